//! PostgreSQL 18 with the DocumentDB extension, where FerretDB 2 keeps its data.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{START_LIMIT, TRIES, programs};
use crate::cache::{self, feed, run, tail};
use crate::error::{AtPath, Error, Result};
use crate::postgres::{give_away, unprivileged};
use crate::process::{Process, free_port, temporary_folder, wait_until};

/// Changed when what is done here changes.
const RECIPE: u32 = 1;

pub(super) struct Documentdb {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    process: Option<Process>,
}

impl Documentdb {
    /// A server with the extension and a superuser. The extension takes seconds to create: that is done once, and its
    /// data folder copied.
    pub(super) fn start(user: &str, password: &str) -> Result<Self> {
        let template = template()?;
        let mut server = Self::prepare()?;
        server.guarded(Command::new("cp").args(["-a", "--reflink=auto"]).arg(template).arg(server.data()))?;
        server.launch()?;
        let (user, password) = (user.replace('"', "\"\""), password.replace('\'', "''"));
        server.psql(&format!("create role \"{user}\" superuser login password '{password}'"))?;
        Ok(server)
    }

    /// A server with no data folder.
    fn prepare() -> Result<Self> {
        let server = Self {
            programs: programs::documentdb()?,
            folder: temporary_folder("coffer-documentdb-")?,
            port: 0,
            process: None,
        };
        fs::set_permissions(&server.folder, fs::Permissions::from_mode(0o755)).at(&server.folder)?;
        let socket = server.socket();
        fs::create_dir(&socket).at(&socket)?;
        give_away(&socket)?;
        Ok(server)
    }

    pub(super) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Runs a script; returns what it selected, unaligned and without headings, trailing newline off.
    pub(super) fn psql(&self, script: &str) -> Result<String> {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1", "--file=-"]);
        command.arg("--host").arg(self.socket()).arg("--port").arg(self.port.to_string());
        command.args(["--username=postgres", "--dbname=postgres"]).env("LC_ALL", "C.UTF-8");
        let output = feed(&mut command, script.as_bytes())?;
        Ok(String::from_utf8_lossy(&output).trim_end_matches('\n').to_owned())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    fn launch(&mut self) -> Result<()> {
        let mut log = String::new();
        for _ in 0..TRIES {
            self.port = free_port()?;
            log = match self.try_launch()? {
                None => return Ok(()),
                Some(log) => log,
            };
            if !log.contains("could not bind") {
                break;
            }
        }
        Err(Error::NotReady { what: "PostgreSQL 18 with DocumentDB".into(), log })
    }

    /// The end of the server's log when it does not come up.
    fn try_launch(&mut self) -> Result<Option<String>> {
        let log = self.folder.join("log");
        let output = fs::File::create(&log).at(&log)?;
        let mut command = unprivileged(self.programs.join("postgres"));
        command.arg("-D").arg(self.data());
        let (socket, port) = (self.socket().display().to_string(), self.port.to_string());
        // Loopback only, and no care for the data: it is thrown away.
        for (name, value) in [
            ("listen_addresses", "127.0.0.1"),
            ("port", &port),
            ("unix_socket_directories", &socket),
            ("fsync", "off"),
            ("synchronous_commit", "off"),
            ("full_page_writes", "off"),
            ("dynamic_shared_memory_type", "mmap"),
            ("shared_buffers", "64MB"),
            ("max_wal_size", "4GB"),
            ("jit", "off"),
            ("shared_preload_libraries", "pg_cron,pg_documentdb_core,pg_documentdb"),
            // DocumentDB builds indexes by its jobs.
            ("cron.database_name", "postgres"),
            ("cron.host", &socket),
        ] {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.stdin(Stdio::null()).stdout(output.try_clone().at(&log)?).stderr(output).current_dir("/");
        let mut process = Process::start(&mut command, Some(&self.folder))?;
        if wait_until(&mut process, START_LIMIT, || self.psql("select 1").is_ok()) {
            self.process = Some(process);
            return Ok(None);
        }
        process.kill();
        Ok(Some(tail(&fs::read_to_string(&log).unwrap_or_default(), 2000)))
    }

    fn initialise(&self) -> Result<()> {
        let data = self.data();
        fs::create_dir(&data).at(&data)?;
        give_away(&data)?;
        let mut command = unprivileged(self.programs.join("initdb"));
        command.arg("-D").arg(&data).args(["--username=postgres", "--auth=trust", "--encoding=UTF8"]);
        self.guarded(command.args(["--locale=C.UTF-8", "--no-sync", "--no-instructions"]).current_dir("/"))
    }

    /// Runs a command that fills the folder, guarded as the server itself will be, so that a test killed by now leaves
    /// nothing either.
    fn guarded(&self, command: &mut Command) -> Result<()> {
        let log = self.folder.join("log");
        let output = fs::File::create(&log).at(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone().at(&log)?).stderr(output);
        let mut process = Process::start(command, Some(&self.folder))?;
        let ended = process.wait(START_LIMIT);
        process.kill();
        if ended.is_some_and(|status| status.success()) {
            return Ok(());
        }
        let log = tail(&fs::read_to_string(&log).unwrap_or_default(), 2000);
        Err(Error::NotReady { what: "the data folder of PostgreSQL 18".into(), log })
    }

    /// Lets the server write everything down and end.
    fn shut_down(&mut self) -> Result<()> {
        let mut command = unprivileged(self.programs.join("pg_ctl"));
        run(command.arg("stop").arg("-D").arg(self.data()).args(["--mode=fast", "--silent"]).current_dir("/"))?;
        if let Some(process) = self.process.take() {
            process.kill();
        }
        Ok(())
    }
}

impl Drop for Documentdb {
    fn drop(&mut self) {
        // Never started, or shut down: no watchdog is left to remove the folder.
        if self.process.is_none() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// A data folder with the extension, to copy.
fn template() -> Result<PathBuf> {
    let programs = programs::documentdb()?;
    let banner = run(Command::new(programs.join("postgres")).arg("--version"))?;
    let recipe = format!("{RECIPE} {} {}", programs.display(), String::from_utf8_lossy(&banner).trim());
    let folder = cache::entry("documentdb-data", &recipe, make)?;
    Ok(folder.join("data"))
}

fn make(into: &Path) -> Result<()> {
    cache::say("creating DocumentDB's tables (once)");
    let mut server = Documentdb::prepare()?;
    server.initialise()?;
    server.launch()?;
    server.psql("create extension documentdb cascade")?;
    server.shut_down()?;
    run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(server.data()).arg(into.join("data"))).map(drop)
}
