//! The stage on which the demo and the benchmark play: folders of their own, a `coffer serve`, and a user's commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use coffer_test_servers::process::{Process, wait_until};
use coffer_test_servers::{Mongodb, Mysql, Postgres, Search};

use crate::shell::{AtPath, Error, Result, run as run_command, say};

const MANIFEST: &str = include_str!("demo.yaml");
pub const REPOSITORY_PASSWORD: &str = "only for the demo";

/// The folders of a demo or a benchmark; made anew by each run, and left for whoever wants to look.
pub struct Place {
    pub data: PathBuf,
    pub backups: PathBuf,
    /// The repository within.
    pub repository: PathBuf,
    /// The snapshot as restic restores it: a dump in `pg_dump`'s directory format.
    pub dump: PathBuf,
    pub manifest: PathBuf,
    pub log: PathBuf,
}

/// What the manifest says of the database `shop`.
pub struct Binding<'a> {
    pub kind: &'a str,
    pub url: String,
    pub user: &'a str,
    pub password: &'a str,
    /// The Task that backs it up.
    pub task: &'a str,
    /// Parameters of the Task beside those of the manifest, each with a comma before it.
    pub parameters: &'a str,
}

impl<'a> From<&'a Postgres> for Binding<'a> {
    fn from(server: &'a Postgres) -> Self {
        let (url, password) = (server.url("shop"), server.password());
        Self { kind: "postgresql", url, user: Postgres::USER, password, task: "postgres-backup", parameters: "" }
    }
}

impl<'a> From<&'a Mysql> for Binding<'a> {
    fn from(server: &'a Mysql) -> Self {
        let kind = if server.version().is_mariadb() { "mariadb" } else { "mysql" };
        let (url, password) = (format!("{}/shop", server.url()), server.password());
        Self { kind, url, user: Mysql::USER, password, task: "mysql-backup", parameters: "" }
    }
}

impl<'a> From<&'a Mongodb> for Binding<'a> {
    fn from(server: &'a Mongodb) -> Self {
        let (url, password) = (format!("{}/shop", server.url()), server.password());
        Self { kind: "mongodb", url, user: Mongodb::USER, password, task: "mongodb-backup", parameters: "" }
    }
}

/// A node that asks nobody who they are.
impl From<&Search> for Binding<'_> {
    fn from(server: &Search) -> Self {
        let kind = if server.version().is_opensearch() { "opensearch" } else { "elasticsearch" };
        let url = server.url();
        Self {
            kind,
            url,
            user: "",
            password: "",
            task: "elasticsearch-backup",
            parameters: ", indices: [shop-products]",
        }
    }
}

impl Place {
    pub fn anew(folder: &Path) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder).at(folder)?;
        }
        let backups = folder.join("backups");
        fs::create_dir_all(&backups).at(&backups)?;
        Ok(Self {
            data: folder.join("data"),
            repository: backups.join("shop"),
            backups,
            dump: folder.join("dump"),
            manifest: folder.join("shop.yaml"),
            log: folder.join("serve.log"),
        })
    }

    /// Writes the manifest of everything.
    pub fn write_manifest(&self, binding: &Binding) -> Result<()> {
        let manifest = MANIFEST
            .replace("{{type}}", binding.kind)
            .replace("{{url}}", &binding.url)
            .replace("{{user}}", binding.user)
            .replace("{{password}}", binding.password)
            .replace("{{task}}", binding.task)
            .replace("{{parameters}}", binding.parameters)
            .replace("{{repository-password}}", REPOSITORY_PASSWORD)
            .replace("{{backups}}", &self.backups.display().to_string());
        fs::write(&self.manifest, manifest).at(&self.manifest)
    }

    /// Starts `coffer serve` and waits until it answers.
    pub fn serve(&self, coffer: &Path) -> Result<Process> {
        say(format_args!("$ coffer serve --data-dir {} &", self.data.display()));
        let log = fs::File::create(&self.log).at(&self.log)?;
        let mut command = Command::new(coffer);
        command.args(["serve", "--data-dir"]).arg(&self.data).stdin(Stdio::null());
        command.stdout(log.try_clone().at(&self.log)?).stderr(log);
        let mut process = Process::start(&mut command, None)?;
        let answers = || {
            let mut get = Command::new(coffer);
            get.arg("--data-dir").arg(&self.data).args(["get", "addons"]);
            get.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        if wait_until(&mut process, Duration::from_secs(60), answers) {
            return Ok(process);
        }
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        Err(Error::Other(format!("coffer serve did not come up:\n{log}")))
    }
}

/// Somebody at a terminal.
pub struct User<'a> {
    pub coffer: &'a Path,
    pub place: &'a Place,
}

impl User<'_> {
    pub fn runs(&self, arguments: &[&str]) -> Result<()> {
        say(format_args!("\n$ coffer {}", arguments.join(" ")));
        let done = run_command(Command::new(self.coffer).arg("--data-dir").arg(&self.place.data).args(arguments));
        done.map_err(|error| {
            Error::Other(format!(
                "coffer {}: {error}; the server's log is {}",
                arguments.join(" "),
                self.place.log.display()
            ))
        })
    }
}

/// restic, set to read and write the repository.
pub fn restic_on(restic: &Path, repository: &Path) -> Command {
    let mut command = Command::new(restic);
    command.arg("--repo").arg(repository).arg("--no-cache").env("RESTIC_PASSWORD", REPOSITORY_PASSWORD);
    command
}
