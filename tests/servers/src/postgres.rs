//! PostgreSQL servers of the versions Coffer is tested with, with their own `psql`, `pg_dump` and `pg_restore`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cache::{self, feed, run, tail};
use crate::certs::{Authority, Identity};
use crate::debian::Wanted;
use crate::error::{AtPath, Error, Result};
use crate::process::{Process, free_port, temporary_folder, wait_until};
use crate::relocate::relocate;
use crate::tools::overridden;

/// PostgreSQL refuses to run as root; `nobody` is on every machine.
const UNPRIVILEGED: u32 = 65534;

/// A machine that is busy with compiling needs a few seconds.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Another process may take the port between our look and the server's start.
const TRIES: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostgresVersion {
    V15,
    V17,
}

impl PostgresVersion {
    pub const ALL: [Self; 2] = [Self::V15, Self::V17];

    pub fn major(self) -> u32 {
        match self {
            Self::V15 => 15,
            Self::V17 => 17,
        }
    }

    fn wanted(self) -> Wanted {
        match self {
            Self::V15 => Wanted::new("bookworm", &["postgresql-15", "postgresql-client-15"], "COFFER_PG_BIN_15"),
            Self::V17 => Wanted::new("trixie", &["postgresql-17", "postgresql-client-17"], "COFFER_PG_BIN_17"),
        }
    }

    /// The folder of this version's programs: `$COFFER_PG_BIN_15`, `$COFFER_PG_BIN_17`, else from Debian's packages.
    pub fn programs(self) -> Result<PathBuf> {
        let wanted = self.wanted();
        if let Some(own) = overridden(wanted.variable, "postgres")? {
            return Ok(own);
        }
        let programs = format!("usr/lib/postgresql/{}/bin", self.major());
        let root = cache::entry(&format!("postgresql-{}", self.major()), &wanted.recipe(), |folder| {
            wanted.unpack(folder)?;
            relocate(folder, &folder.join(&programs))
        })?;
        Ok(root.join(programs))
    }
}

/// How clients on TCP prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    Trust,
    /// The password in clear text.
    Password,
    Md5,
    Scram,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    Off,
    /// TCP connections without TLS are refused.
    Required,
    /// The client must show a certificate of [`Postgres::authority`] as well.
    ClientCertificate,
}

#[derive(Debug, Clone)]
pub struct PostgresOptions {
    pub auth: Auth,
    pub tls: Tls,
    /// Lines of `pg_hba.conf` that come before the one that follows from `auth` and `tls`.
    pub hba: String,
    /// Server settings beside the harness's own, e.g. `("max_connections", "5")`.
    pub settings: Vec<(String, String)>,
    /// The password of [`Postgres::USER`].
    pub password: String,
    /// The names in the server's certificate.
    pub server_names: Vec<String>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            auth: Auth::Scram,
            tls: Tls::Off,
            hba: String::new(),
            settings: Vec::new(),
            password: "pg-pässwörd/%-7c1e".into(),
            server_names: vec!["localhost".into(), "127.0.0.1".into()],
        }
    }
}

/// A running server. Its own tools connect over its Unix socket and are always let in.
pub struct Postgres {
    version: PostgresVersion,
    programs: PathBuf,
    options: PostgresOptions,
    folder: PathBuf,
    port: u16,
    authority: Option<Authority>,
    process: Option<Process>,
}

impl Postgres {
    /// The superuser.
    pub const USER: &str = "postgres";

    pub fn start(version: PostgresVersion, options: &PostgresOptions) -> Result<Self> {
        let authority = if options.tls == Tls::Off { None } else { Some(Authority::new()?) };
        let mut server = Self {
            version,
            programs: version.programs()?,
            options: options.clone(),
            folder: temporary_folder("coffer-pg-")?,
            port: 0,
            authority,
            process: None,
        };
        server.initialise()?;
        server.start_again()?;
        let password = server.options.password.replace('\'', "''");
        let encryption = if server.options.auth == Auth::Md5 { "md5" } else { "scram-sha-256" };
        server.psql(
            "postgres",
            &format!("set password_encryption = '{encryption}'; alter role {} password '{password}'", Self::USER),
        )?;
        Ok(server)
    }

    pub fn version(&self) -> PostgresVersion {
        self.version
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The postmaster, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    pub fn password(&self) -> &str {
        &self.options.password
    }

    /// The address for an AppBinding: no user, no password.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://127.0.0.1:{}/{database}", self.port)
    }

    /// Who signed the server's certificate, where it has one.
    pub fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    /// One of the version's own programs, set to connect to this server as its superuser.
    pub fn tool(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        for name in ["PGDATABASE", "PGSERVICE", "PGOPTIONS", "PGSSLMODE", "PGPASSWORD", "PGPASSFILE", "PGHOSTADDR"] {
            command.env_remove(name);
        }
        command
            .env("PGHOST", self.folder.join("socket"))
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", Self::USER);
        command.env("PGCLIENTENCODING", "UTF8").env("LC_ALL", "C.UTF-8");
        command
    }

    /// Runs a script; returns what it selected, unaligned and without headings, trailing newline off.
    pub fn psql(&self, database: &str, script: &str) -> Result<String> {
        let mut command = self.tool("psql");
        command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]);
        command.args(["--file=-", "--dbname", database]);
        let output = feed(&mut command, script.as_bytes())?;
        Ok(String::from_utf8_lossy(&output).trim_end_matches('\n').to_owned())
    }

    /// What `pg_dump` prints, with these arguments besides the database.
    pub fn dump(&self, database: &str, arguments: &[&str]) -> Result<Vec<u8>> {
        run(self.tool("pg_dump").args(arguments).arg("--dbname").arg(database))
    }

    /// What `pg_restore --list` makes of a directory dump: the proof that stock tools can read it.
    pub fn restore_list(&self, dump: &Path) -> Result<String> {
        let list = run(self.tool("pg_restore").arg("--list").arg(dump))?;
        Ok(String::from_utf8_lossy(&list).into_owned())
    }

    /// Kills the postmaster and every backend at once; the data stays for [`Self::start_again`].
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Brings the server back with the same data, on the same port if it can.
    pub fn start_again(&mut self) -> Result<()> {
        self.kill9();
        let mut log = String::new();
        for _ in 0..TRIES {
            if self.port == 0 {
                self.port = free_port()?;
            }
            log = match self.launch()? {
                None => return Ok(()),
                Some(log) => log,
            };
            if !log.contains("could not bind") {
                break;
            }
            self.port = 0;
        }
        Err(Error::NotReady { what: format!("PostgreSQL {}", self.version.major()), log })
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts the server and waits until it answers; the end of its log when it does not.
    fn launch(&mut self) -> Result<Option<String>> {
        let log = self.folder.join("log");
        let output = fs::File::create(&log).at(&log)?;
        let mut command = unprivileged(self.programs.join("postgres"));
        command.arg("-D").arg(self.data());
        for (name, value) in self.settings() {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.stdin(Stdio::null()).stdout(output.try_clone().at(&log)?).stderr(output).current_dir("/");
        let mut process = Process::start(&mut command, Some(&self.folder))?;
        let is_ready = || {
            let mut probe = self.tool("pg_isready");
            probe.arg("--quiet").status().is_ok_and(|status| status.success())
        };
        if wait_until(&mut process, START_LIMIT, is_ready) {
            self.process = Some(process);
            return Ok(None);
        }
        process.kill();
        Ok(Some(tail(&fs::read_to_string(&log).unwrap_or_default(), 2000)))
    }

    /// Loopback only, and no care for the data: it is thrown away.
    fn settings(&self) -> Vec<(String, String)> {
        let socket = self.folder.join("socket").display().to_string();
        let port = self.port.to_string();
        let mut settings: Vec<(String, String)> = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &port),
            ("unix_socket_directories", &socket),
            ("fsync", "off"),
            // In the data folder, which goes with the server; POSIX segments would outlive a killed one.
            ("dynamic_shared_memory_type", "mmap"),
            ("synchronous_commit", "off"),
            ("full_page_writes", "off"),
            ("wal_level", "minimal"),
            ("max_wal_senders", "0"),
            ("max_wal_size", "4GB"),
            ("jit", "off"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        if self.authority.is_some() {
            for (name, value) in [("ssl", "on"), ("ssl_ca_file", "ca.crt")] {
                settings.push((name.into(), value.into()));
            }
        }
        settings.extend(self.options.settings.iter().cloned());
        settings
    }

    fn initialise(&self) -> Result<()> {
        fs::set_permissions(&self.folder, fs::Permissions::from_mode(0o755)).at(&self.folder)?;
        for part in ["data", "socket"] {
            let path = self.folder.join(part);
            fs::create_dir(&path).at(&path)?;
            give_away(&path)?;
        }
        let mut command = unprivileged(self.programs.join("initdb"));
        command.arg("-D").arg(self.data()).args(["--username", Self::USER, "--auth=trust", "--encoding=UTF8"]);
        command.args(["--locale=C.UTF-8", "--no-sync", "--no-instructions"]).current_dir("/");
        let log = self.folder.join("log");
        let output = fs::File::create(&log).at(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone().at(&log)?).stderr(output);
        // Guarded as the server itself will be, so that a test killed by now leaves nothing either.
        let mut process = Process::start(&mut command, Some(&self.folder))?;
        let ended = process.wait(START_LIMIT);
        process.kill();
        if !ended.is_some_and(|status| status.success()) {
            let log = tail(&fs::read_to_string(&log).unwrap_or_default(), 2000);
            return Err(Error::NotReady { what: format!("initdb of PostgreSQL {}", self.version.major()), log });
        }
        self.write("pg_hba.conf", &self.host_based_authentication())?;
        if let Some(authority) = &self.authority {
            let names: Vec<&str> = self.options.server_names.iter().map(String::as_str).collect();
            let Identity { certificate, key } = authority.server(&names)?;
            self.write("server.crt", &certificate)?;
            self.write("server.key", &key)?;
            self.write("ca.crt", &authority.certificate())?;
        }
        Ok(())
    }

    fn host_based_authentication(&self) -> String {
        let method = match self.options.auth {
            Auth::Trust => "trust",
            Auth::Password => "password",
            Auth::Md5 => "md5",
            Auth::Scram => "scram-sha-256",
        };
        let (connection, option) = match self.options.tls {
            Tls::Off => ("host", ""),
            Tls::Required => ("hostssl", ""),
            Tls::ClientCertificate => ("hostssl", " clientcert=verify-ca"),
        };
        let own = &self.options.hba;
        format!("local all all trust\n{own}{connection} all all 127.0.0.1/32 {method}{option}\n")
    }

    /// Writes a file that the server may read and nobody else.
    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.data().join(name);
        fs::write(&path, text).at(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).at(&path)?;
        give_away(&path)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Never started, or killed and not started again: no watchdog is left to remove the folder.
        if self.process.is_none() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The program as it runs without root's rights.
pub(crate) fn unprivileged(program: PathBuf) -> Command {
    if !cache::is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={UNPRIVILEGED}"))
        .arg(format!("--regid={UNPRIVILEGED}"))
        .arg("--clear-groups")
        .arg(program);
    command
}

/// Makes the unprivileged user the owner, where there is one.
pub(crate) fn give_away(path: &Path) -> Result<()> {
    if cache::is_root() {
        std::os::unix::fs::chown(path, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).at(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connects over TCP as a client from outside would.
    fn connect(server: &Postgres, password: &str, extra: &str) -> Result<String> {
        let target = format!("host=127.0.0.1 port={} dbname=postgres connect_timeout=10 {extra}", server.port());
        let mut command = server.tool("psql");
        command.args(["--no-psqlrc", "--no-align", "--tuples-only", "--no-password", "--command=select version()"]);
        command.arg("--dbname").arg(target).env("PGPASSWORD", password);
        Ok(String::from_utf8_lossy(&run(&mut command)?).into_owned())
    }

    #[test]
    fn every_version_takes_the_right_password_and_no_other() {
        for version in PostgresVersion::ALL {
            for auth in [Auth::Password, Auth::Md5, Auth::Scram] {
                let options = PostgresOptions { auth, ..PostgresOptions::default() };
                let server = Postgres::start(version, &options).unwrap();
                let answer = connect(&server, server.password(), "sslmode=disable").unwrap();
                assert!(answer.starts_with(&format!("PostgreSQL {}.", version.major())), "{answer}");
                let refused = connect(&server, "wrong", "sslmode=disable").unwrap_err().to_string();
                assert!(refused.contains("password authentication failed"), "{refused}");
            }
        }
    }

    #[test]
    fn tls_is_required_where_asked_for_and_so_is_the_client_certificate() {
        let options = PostgresOptions { tls: Tls::ClientCertificate, ..PostgresOptions::default() };
        let server = Postgres::start(PostgresVersion::V17, &options).unwrap();
        let authority = server.authority().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path.display().to_string()
        };
        let identity = authority.client("somebody").unwrap();
        let verify = format!("sslmode=verify-full sslrootcert={}", file("ca.crt", &authority.certificate()));
        let own =
            format!("sslcert={} sslkey={}", file("own.crt", &identity.certificate), file("own.key", &identity.key));

        connect(&server, server.password(), &format!("{verify} {own}")).unwrap();
        let refused = connect(&server, server.password(), &format!("{verify} sslcert=/none")).unwrap_err().to_string();
        assert!(refused.contains("certificate"), "{refused}");
        assert!(connect(&server, server.password(), "sslmode=disable").is_err());
    }

    #[test]
    fn a_killed_server_comes_back_with_its_data_and_a_dropped_one_leaves_nothing() {
        let mut server = Postgres::start(PostgresVersion::V17, &PostgresOptions::default()).unwrap();
        server.psql("postgres", "create table kept (a int); insert into kept values (7); checkpoint").unwrap();
        let (folder, port) = (server.folder.clone(), server.port());
        server.kill9();
        assert!(server.psql("postgres", "select 1").is_err());
        server.start_again().unwrap();
        assert_eq!((server.port(), server.psql("postgres", "table kept").unwrap().as_str()), (port, "7"));
        drop(server);
        assert!(!folder.exists());
    }

    #[test]
    fn a_failed_script_says_why() {
        let server = Postgres::start(PostgresVersion::V15, &PostgresOptions::default()).unwrap();
        let error = server.psql("postgres", "select 1;\nselect nonsense").unwrap_err().to_string();
        assert!(error.contains("nonsense"), "{error}");
    }
}
