//! Servers that speak MongoDB's protocol, with MongoDB's own dump programs and a small client.
//!
//! ```no_run
//! use bson::rawdoc;
//! use coffer_test_servers::mongodb::{Mongodb, MongodbOptions, MongodbVersion};
//! let server = Mongodb::start(MongodbVersion::FerretDb2, &MongodbOptions::default())?;
//! let mut client = server.client()?;
//! client.insert("shop", "users", &[rawdoc! { "_id": 1, "name": "Ada" }])?;
//! assert_eq!(client.documents("shop", "users")?.len(), 1);
//! let folder = tempfile::tempdir().unwrap();
//! coffer_test_servers::cache::run(server.tool("mongodump")?.arg("--out").arg(folder.path()))?;
//! # Ok::<(), coffer_test_servers::Error>(())
//! ```
//!
//! An addon connects to [`Mongodb::port`] on 127.0.0.1 as [`Mongodb::USER`] with [`Mongodb::password`], over TLS where the
//! options ask for it. The harness's own client and tools use a port without TLS. [`sample`] and [`corpus`] make
//! databases, [`compare`] tells whether two hold the same.

mod bytes;
mod client;
pub mod compare;
pub mod corpus;
mod documentdb;
mod programs;
mod real;
pub mod sample;
mod scram;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

pub use client::{Client, Login};
pub use programs::{documentdb, tool, tools};

use crate::cache::tail;
use crate::certs::{Authority, Identity};
use crate::error::{AtPath, Error, Result};
use crate::process::{Process, free_port, temporary_folder, wait_until};
use documentdb::Documentdb;

/// A machine that is busy with compiling needs a few seconds.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Another process may take a port between our look and the server's start.
const TRIES: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MongodbVersion {
    /// FerretDB 2 over PostgreSQL with DocumentDB: all of BSON, all kinds of indexes; no oplog, no capped collections.
    FerretDb2,
    /// FerretDB 1 over SQLite: less of BSON and few indexes, but capped collections and an oplog.
    FerretDb1,
    /// A real one, which nobody but its owner can start; see [`Mongodb::real`].
    Mongod,
}

impl MongodbVersion {
    /// Those that can be started.
    pub const ALL: [Self; 2] = [Self::FerretDb2, Self::FerretDb1];

    pub fn name(self) -> &'static str {
        match self {
            Self::FerretDb2 => "FerretDB 2",
            Self::FerretDb1 => "FerretDB 1",
            Self::Mongod => "MongoDB",
        }
    }

    /// Whether everything that it needs can be had here; it is downloaded or built by that.
    pub fn prepare(self) -> Result<()> {
        tools()?;
        self.program()?;
        if self == Self::FerretDb2 {
            documentdb()?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MongodbTls {
    Off,
    /// [`Mongodb::port`] speaks TLS only.
    Required,
    /// The client must show a certificate of [`Mongodb::authority`] as well.
    ClientCertificate,
}

#[derive(Debug, Clone)]
pub struct MongodbOptions {
    /// Whether users must log in, by SCRAM.
    pub auth: bool,
    pub tls: MongodbTls,
    /// The password of [`Mongodb::USER`].
    pub password: String,
    /// The names in the server's certificate.
    pub server_names: Vec<String>,
    /// Be the only member of a replica set of this name and keep an oplog. FerretDB 1 only.
    pub replica_set: Option<String>,
}

impl Default for MongodbOptions {
    fn default() -> Self {
        Self {
            auth: true,
            tls: MongodbTls::Off,
            password: "mongo-pässwörd/%-9d2c".into(),
            server_names: vec!["localhost".into(), "127.0.0.1".into()],
            replica_set: None,
        }
    }
}

/// A running server.
pub struct Mongodb {
    version: MongodbVersion,
    program: PathBuf,
    options: MongodbOptions,
    folder: PathBuf,
    host: String,
    login: Option<Login>,
    /// Without TLS.
    plain_port: u16,
    tls_port: u16,
    authority: Option<Authority>,
    documentdb: Option<Documentdb>,
    process: Option<Process>,
}

impl Mongodb {
    /// With all privileges and the password of the options.
    pub const USER: &str = "coffer";

    pub fn start(version: MongodbVersion, options: &MongodbOptions) -> Result<Self> {
        if version == MongodbVersion::FerretDb2 && options.replica_set.is_some() {
            return Err(Error::NotReady { what: version.name().into(), log: "it knows no replica sets".into() });
        }
        let login = Login { user: Self::USER.into(), password: options.password.clone(), source: "admin".into() };
        let program = version.program()?;
        // What takes longest comes before the folder that nobody guards yet.
        let documentdb = match version {
            MongodbVersion::FerretDb2 => Some(Documentdb::start(Self::USER, &options.password)?),
            MongodbVersion::FerretDb1 | MongodbVersion::Mongod => None,
        };
        let mut server = Self {
            version,
            program,
            options: options.clone(),
            folder: temporary_folder("coffer-mongo-")?,
            host: "127.0.0.1".into(),
            login: options.auth.then_some(login),
            plain_port: 0,
            tls_port: 0,
            authority: None,
            documentdb,
            process: None,
        };
        if options.tls != MongodbTls::Off {
            server.authority = Some(Authority::new()?);
        }
        server.write_files()?;
        server.start_again()?;
        if server.options.replica_set.is_some() {
            server.client()?.create_oplog()?;
        }
        Ok(server)
    }

    /// The real one that `COFFER_TEST_MONGODB_URI` names; none, and a loud line, where that is not set. Its databases are
    /// its owner's: a test uses names that begin with `coffer`, and drops what it made.
    pub fn real() -> Result<Option<Self>> {
        let Some(address) = real::address()? else { return Ok(None) };
        let login = address.login;
        let options = MongodbOptions {
            auth: login.is_some(),
            password: login.as_ref().map(|login| login.password.clone()).unwrap_or_default(),
            replica_set: address.replica_set,
            ..MongodbOptions::default()
        };
        let server = Self {
            version: MongodbVersion::Mongod,
            program: PathBuf::new(),
            options,
            folder: temporary_folder("coffer-mongo-")?,
            host: address.host,
            login,
            plain_port: address.port,
            tls_port: 0,
            authority: None,
            documentdb: None,
            process: None,
        };
        server.client().map(|_| Some(server))
    }

    pub fn version(&self) -> MongodbVersion {
        self.version
    }

    /// 127.0.0.1 unless the server is somebody's own.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// With TLS if the options ask for it.
    pub fn port(&self) -> u16 {
        if self.authority.is_some() { self.tls_port } else { self.plain_port }
    }

    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Its own and, where it keeps its data in one, that of its PostgreSQL.
    pub fn process_ids(&self) -> Vec<u32> {
        let below = self.documentdb.as_ref().and_then(Documentdb::process_id);
        self.process_id().into_iter().chain(below).collect()
    }

    /// [`Self::USER`] unless the server is somebody's own.
    pub fn user(&self) -> &str {
        self.login.as_ref().map_or(Self::USER, |login| &login.user)
    }

    pub fn password(&self) -> &str {
        &self.options.password
    }

    /// The address for an AppBinding: no user, no password.
    pub fn url(&self) -> String {
        let set = self.options.replica_set.as_ref().map(|name| format!("/?replicaSet={name}"));
        format!("mongodb://{}:{}{}", self.host, self.port(), set.unwrap_or_default())
    }

    /// Who signed the server's certificate, where it has one.
    pub fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    /// What the server has said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// What is gone when the server is: its folder, and its PostgreSQL's.
    pub fn folders(&self) -> Vec<PathBuf> {
        let own = std::iter::once(self.folder.clone());
        own.chain(self.documentdb.as_ref().map(|documentdb| documentdb.folder().to_owned())).collect()
    }

    /// A connection with all privileges.
    pub fn client(&self) -> Result<Client> {
        Client::connect(&self.host, self.plain_port, self.login.as_ref())
    }

    /// Stock `mongodump` or `mongorestore`, set to connect to this server with all privileges.
    pub fn tool(&self, program: &str) -> Result<Command> {
        self.tool_at(program, self.plain_port)
    }

    /// The same over TLS. A client's certificate, where the server wants one, is the caller's to add (`--sslPEMKeyFile`).
    pub fn tls_tool(&self, program: &str) -> Result<Command> {
        let mut command = self.tool_at(program, self.tls_port)?;
        command.arg("--ssl").arg("--sslCAFile").arg(self.folder.join("ca.crt"));
        Ok(command)
    }

    fn tool_at(&self, program: &str, port: u16) -> Result<Command> {
        let mut command = tool(program)?;
        command.args(["--host", &self.host, "--port", &port.to_string()]);
        if let Some(Login { user, password, source }) = &self.login {
            command.args(["--username", user, "--password", password, "--authenticationDatabase", source]);
        }
        Ok(command)
    }

    /// Runs SQL in the PostgreSQL under FerretDB 2, which can do what FerretDB does not pass on.
    pub fn sql(&self, script: &str) -> Result<String> {
        match &self.documentdb {
            Some(documentdb) => documentdb.psql(script),
            None => Err(Error::NotReady { what: "SQL".into(), log: format!("{} has none", self.version.name()) }),
        }
    }

    /// Kills the server at once; the data stays for [`Self::start_again`]. A real one is left alone.
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Brings the server back with the same data, on the same port if it can.
    pub fn start_again(&mut self) -> Result<()> {
        if self.version == MongodbVersion::Mongod {
            return Ok(());
        }
        self.kill9();
        let mut log = String::new();
        for _ in 0..TRIES {
            if self.plain_port == 0 {
                self.plain_port = free_port()?;
                self.tls_port = free_port()?;
            }
            log = match self.launch()? {
                None => return Ok(()),
                Some(log) => log,
            };
            if !log.contains("address already in use") {
                break;
            }
            self.plain_port = 0;
        }
        Err(Error::NotReady { what: self.version.name().into(), log })
    }

    /// The end of the server's log when it does not come up.
    fn launch(&mut self) -> Result<Option<String>> {
        let log = self.folder.join("log");
        let output = fs::File::options().create(true).append(true).open(&log).at(&log)?;
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FERRETDB_")) {
            command.env_remove(name);
        }
        command.args(self.arguments());
        command.stdin(Stdio::null()).stdout(output.try_clone().at(&log)?).stderr(output).current_dir("/");
        let mut process = Process::start(&mut command, Some(&self.folder))?;
        let mut error = String::new();
        let is_ready = || match self.client() {
            Ok(_) => true,
            Err(failed) => {
                error = failed.to_string();
                false
            }
        };
        if wait_until(&mut process, START_LIMIT, is_ready) {
            self.process = Some(process);
            return Ok(None);
        }
        process.kill();
        Ok(Some(format!("{}\n{error}", tail(&self.log(), 2000))))
    }

    fn arguments(&self) -> Vec<String> {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let mut arguments = vec![
            format!("--listen-addr=127.0.0.1:{}", self.plain_port),
            format!("--state-dir={}", file("state")),
            "--telemetry=disable".into(),
            "--debug-addr=-".into(),
        ];
        if self.authority.is_some() {
            arguments.push(format!("--listen-tls=127.0.0.1:{}", self.tls_port));
            arguments.push(format!("--listen-tls-cert-file={}", file("server.crt")));
            arguments.push(format!("--listen-tls-key-file={}", file("server.key")));
        }
        if self.options.tls == MongodbTls::ClientCertificate {
            arguments.push(format!("--listen-tls-ca-file={}", file("ca.crt")));
        }
        if let Some(documentdb) = &self.documentdb {
            arguments.push(format!("--postgresql-url={}", documentdb.url()));
            if !self.options.auth {
                arguments.push("--no-auth".into());
            }
            return arguments;
        }
        arguments.push("--handler=sqlite".into());
        arguments.push(format!("--sqlite-url=file:{}/", file("data")));
        if self.options.auth {
            arguments.push("--test-enable-new-auth".into());
            arguments.push(format!("--setup-username={}", Self::USER));
            arguments.push(format!("--setup-password={}", self.options.password));
            arguments.push("--setup-database=admin".into());
        }
        if let Some(name) = &self.options.replica_set {
            arguments.push(format!("--repl-set-name={name}"));
        }
        arguments
    }

    fn write_files(&self) -> Result<()> {
        for part in ["state", "data"] {
            let path = self.folder.join(part);
            fs::create_dir(&path).at(path)?;
        }
        let Some(authority) = &self.authority else { return Ok(()) };
        let names: Vec<&str> = self.options.server_names.iter().map(String::as_str).collect();
        let Identity { certificate, key } = authority.server(&names)?;
        for (name, text) in [("ca.crt", authority.certificate()), ("server.crt", certificate), ("server.key", key)] {
            let path = self.folder.join(name);
            fs::write(&path, text).at(path)?;
        }
        Ok(())
    }
}

impl Drop for Mongodb {
    fn drop(&mut self) {
        // Never started, or killed and not started again: no watchdog is left to remove the folder.
        if self.process.is_none() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
