//! MySQL and MariaDB servers of the versions Coffer is tested with, with their own clients and dump programs.
//!
//! A server starts in a second or so: its system tables are made once, kept in the cache and copied. Row-based binary
//! log and, where the server has them, GTIDs are on, as on a server that is taken seriously.

pub mod compare;
mod data;
pub mod sample;
mod version;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub use version::MysqlVersion;

use crate::cache::{self, feed, run, tail};
use crate::certs::{Authority, Identity};
use crate::error::{AtPath, Error, Result};
use crate::process::{Process, free_port, temporary_folder, wait_until};
use crate::tools;

/// A machine that is busy with compiling needs a few seconds.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Another process may take the port between our look and the server's start.
const TRIES: usize = 3;

/// How a user proves who they are: the server's plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MysqlAuth {
    /// `mysql_native_password`: MySQL 5.5 and MariaDB; MySQL 9 has it no more.
    Native,
    /// `caching_sha2_password`: MySQL 8 and later.
    CachingSha2,
    /// `sha256_password`: MySQL 5.6 and later.
    Sha256,
    /// `ed25519`: MariaDB.
    Ed25519,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MysqlTls {
    Off,
    /// Offered; who wants it asks for it.
    Available,
    /// TCP connections without TLS are refused.
    Required,
}

#[derive(Debug, Clone)]
pub struct MysqlOptions {
    /// How [`Mysql::USER`] logs in; `None` is the version's default.
    pub auth: Option<MysqlAuth>,
    pub tls: MysqlTls,
    /// Server settings beside the harness's own, e.g. `("max_connections", "5")`.
    pub settings: Vec<(String, String)>,
    /// The password of [`Mysql::USER`].
    pub password: String,
    /// The names in the server's certificate.
    pub server_names: Vec<String>,
}

impl Default for MysqlOptions {
    fn default() -> Self {
        Self {
            auth: None,
            tls: MysqlTls::Off,
            settings: Vec::new(),
            password: "my-pässwörd/%-4e0b".into(),
            server_names: vec!["localhost".into(), "127.0.0.1".into()],
        }
    }
}

/// A running server. Its own tools connect over its Unix socket as [`Mysql::ROOT`], without a password.
pub struct Mysql {
    version: MysqlVersion,
    programs: PathBuf,
    options: MysqlOptions,
    folder: PathBuf,
    port: u16,
    authority: Option<Authority>,
    process: Option<Process>,
}

impl Mysql {
    /// Without a password, from this machine only.
    pub const ROOT: &str = "root";

    /// With all privileges and the password of the options, from anywhere.
    pub const USER: &str = "coffer";

    pub fn start(version: MysqlVersion, options: &MysqlOptions) -> Result<Self> {
        let mut server = Self::prepare(version, options)?;
        let template = data::template(version)?;
        data::copy(&template, &server.data())?;
        server.start_again()?;
        let auth = options.auth.or_else(|| version.auths().first().copied()).unwrap_or(MysqlAuth::Native);
        server.create_user(Self::USER, auth, &options.password)?;
        server.mysql(&format!("set sql_log_bin = 0; grant all on *.* to '{}'@'%' with grant option", Self::USER))?;
        Ok(server)
    }

    /// A server with an empty folder.
    fn prepare(version: MysqlVersion, options: &MysqlOptions) -> Result<Self> {
        if version == MysqlVersion::MySql55 && options.tls != MysqlTls::Off {
            return Err(Error::NotReady { what: version.name().into(), log: "it was built without TLS".into() });
        }
        let programs = version.programs()?;
        let authority = if options.tls == MysqlTls::Off { None } else { Some(Authority::new()?) };
        let server = Self {
            version,
            programs,
            options: options.clone(),
            folder: temporary_folder("coffer-my-")?,
            port: 0,
            authority,
            process: None,
        };
        if let Some(authority) = &server.authority {
            let names: Vec<&str> = options.server_names.iter().map(String::as_str).collect();
            let Identity { certificate, key } = authority.server(&names)?;
            for (name, text) in [("ca.crt", authority.certificate()), ("server.crt", certificate), ("server.key", key)]
            {
                let path = server.folder.join(name);
                fs::write(&path, text).at(path)?;
            }
        }
        Ok(server)
    }

    pub fn version(&self) -> MysqlVersion {
        self.version
    }

    /// On 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    pub fn password(&self) -> &str {
        &self.options.password
    }

    /// The address for an AppBinding: no user, no password.
    pub fn url(&self) -> String {
        format!("mysql://127.0.0.1:{}", self.port)
    }

    /// Who signed the server's certificate, where it has one.
    pub fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    /// What the server has said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// One of the version's own programs by MySQL's name for it (`mysql`, `mysqldump`, `mysqladmin`, `mysqlbinlog`),
    /// set to connect to this server as root.
    pub fn tool(&self, program: &str) -> Result<Command> {
        let mut command = self.client(program)?;
        command.arg("--no-defaults").arg("--socket").arg(self.socket()).args(["--user", Self::ROOT]);
        // MariaDB's newer clients want TLS even over a socket.
        command.arg(if self.version.clients().is_mariadb() { "--skip-ssl" } else { "--ssl-mode=DISABLED" });
        Ok(command)
    }

    /// The same, not set to connect anywhere.
    fn client(&self, program: &str) -> Result<Command> {
        let clients = self.version.clients();
        let programs = if clients == self.version { self.programs.clone() } else { clients.programs()? };
        let mut command = Command::new(programs.join("bin").join(clients.tool(program)));
        for name in ["MYSQL_PWD", "MYSQL_HOST", "MYSQL_TCP_PORT", "MYSQL_UNIX_PORT", "MYSQL_HOME"] {
            command.env_remove(name);
        }
        if let Some(plugins) = tools::mariadb_client_plugins(&programs) {
            command.env("MARIADB_PLUGIN_DIR", plugins);
        }
        command.env("LC_ALL", "C.UTF-8");
        Ok(command)
    }

    /// Stock `mydumper` or `myloader`, set to connect to this server as root.
    pub fn mydumper(&self, program: &str) -> Result<Command> {
        let mut command = tools::mydumper(program)?;
        command.arg("--socket").arg(self.socket()).args(["--user", Self::ROOT]);
        Ok(command)
    }

    /// Runs a script in no database; see [`Self::query`].
    pub fn mysql(&self, script: &str) -> Result<String> {
        self.query("", script)
    }

    /// Runs a script; returns what it selected: a row a line, columns apart by tabs, with tabs, newlines and
    /// backslashes in values escaped and without headings; trailing newline off. Stops at the first error.
    pub fn query(&self, database: &str, script: impl AsRef<[u8]>) -> Result<String> {
        let mut command = self.tool("mysql")?;
        command.args(["--batch", "--skip-column-names", "--default-character-set=utf8mb4", "--max-allowed-packet=64M"]);
        if !database.is_empty() {
            command.arg(format!("--database={database}"));
        }
        let output = feed(&mut command, script.as_ref())?;
        Ok(String::from_utf8_lossy(&output).trim_end_matches('\n').to_owned())
    }

    /// What `mysqldump` prints, with everything it knows how to dump, without what is new every time (dates) or
    /// specific to the server (its version, the GTIDs it has seen).
    ///
    /// MySQL 5.5 comes without one, and newer ones ask it for what it does not have.
    pub fn dump(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        if self.version == MysqlVersion::MySql55 {
            let log = "the packages have none that can dump it".into();
            return Err(Error::NotReady { what: "mysqldump for MySQL 5.5".into(), log });
        }
        let mut command = self.tool("mysqldump")?;
        command.args(["--skip-comments", "--hex-blob", "--single-transaction", "--routines", "--triggers", "--events"]);
        command.args(["--default-character-set=utf8mb4", "--max-allowed-packet=64M"]);
        if self.version == MysqlVersion::MySql97 {
            command.arg("--set-gtid-purged=OFF");
        }
        run(command.args(arguments))
    }

    /// A user without privileges who may come from anywhere. Not in the binary log.
    pub fn create_user(&self, name: &str, auth: MysqlAuth, password: &str) -> Result<()> {
        let (name, password) = (quote(name), quote(password));
        let identified = match auth {
            MysqlAuth::Native if self.version.is_mariadb() => {
                format!("via mysql_native_password using password({password})")
            }
            MysqlAuth::Native => format!("by {password}"),
            MysqlAuth::CachingSha2 => format!("with caching_sha2_password by {password}"),
            MysqlAuth::Sha256 => format!("with sha256_password by {password}"),
            MysqlAuth::Ed25519 => format!("via ed25519 using password({password})"),
        };
        self.mysql(&format!("set sql_log_bin = 0; create user {name}@'%' identified {identified}")).map(drop)
    }

    /// Kills the server at once; the data stays for [`Self::start_again`].
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Brings the server back with the same data, on the same port if it can.
    pub fn start_again(&mut self) -> Result<()> {
        self.launch(&[])
    }

    /// Lets the server write everything down and end.
    fn shut_down(&mut self) -> Result<()> {
        run(self.tool("mysqladmin")?.arg("shutdown"))?;
        if let Some(mut process) = self.process.take() {
            process.wait(START_LIMIT);
            process.kill();
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts the server, with these arguments besides its own, and waits until it answers.
    fn launch(&mut self, arguments: &[&str]) -> Result<()> {
        self.kill9();
        let mut log = String::new();
        for _ in 0..TRIES {
            if self.port == 0 {
                self.port = free_port()?;
            }
            log = match self.try_launch(arguments)? {
                None => return Ok(()),
                Some(log) => log,
            };
            if !log.contains("Bind on TCP/IP port") {
                break;
            }
            self.port = 0;
        }
        Err(Error::NotReady { what: self.version.name().into(), log })
    }

    /// The end of the server's log when it does not come up.
    fn try_launch(&mut self, arguments: &[&str]) -> Result<Option<String>> {
        let log = self.folder.join("log");
        let output = fs::File::options().create(true).append(true).open(&log).at(&log)?;
        let mut command = self.server()?;
        command.args(self.settings()).args(arguments);
        command.stdin(Stdio::null()).stdout(output.try_clone().at(&log)?).stderr(output).current_dir("/");
        let mut process = Process::start(&mut command, Some(&self.folder))?;
        let is_ready = || {
            let probe = self.tool("mysqladmin").and_then(|mut probe| run(probe.args(["--connect-timeout=5", "ping"])));
            probe.is_ok()
        };
        if wait_until(&mut process, START_LIMIT, is_ready) {
            self.process = Some(process);
            return Ok(None);
        }
        process.kill();
        Ok(Some(tail(&self.log(), 2000)))
    }

    /// The server's program with where everything is.
    fn server(&self) -> Result<Command> {
        let share = version::share(&self.programs)?;
        let mut command = Command::new(self.programs.join(self.version.server_program()));
        let path = |name: &str, path: &Path| format!("--{name}={}", path.display());
        command.arg("--no-defaults").args([
            path("basedir", &self.programs),
            path("datadir", &self.data()),
            path("lc-messages-dir", &share),
            path("character-sets-dir", &share.join("charsets")),
            path("plugin-dir", &self.programs.join("lib/mysql/plugin")),
        ]);
        if cache::is_root() {
            command.arg("--user=root");
        }
        Ok(command)
    }

    /// Loopback only, and no care for the data: it is thrown away.
    fn settings(&self) -> Vec<String> {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let mut settings = vec![
            format!("--port={}", self.port),
            format!("--socket={}", file("socket")),
            format!("--pid-file={}", file("pid")),
            // A MariaDB that starts removes what looks like a temporary table in there, other servers' too.
            format!("--tmpdir={}", self.folder.display()),
        ];
        let fixed: &[&str] = &[
            "--bind-address=127.0.0.1",
            "--server-id=1",
            "--log-bin=binlog",
            "--binlog-format=ROW",
            "--sync-binlog=0",
            "--max-allowed-packet=64M",
            "--innodb-buffer-pool-size=64M",
            // To the page cache: what was committed outlives the server, if not the machine.
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-doublewrite=OFF",
        ];
        let own: &[&str] = match self.version {
            MysqlVersion::MySql97 => &[
                "--gtid-mode=ON",
                "--enforce-gtid-consistency=ON",
                // Its other protocol wants a port of its own.
                "--mysqlx=OFF",
                // Hundreds of megabytes that few tests look at.
                "--performance-schema=OFF",
                "--innodb-flush-method=nosync",
                "--innodb-redo-log-capacity=96M",
                "--secure-file-priv=",
            ],
            MysqlVersion::MariaDb1011 | MysqlVersion::MariaDb118 => {
                &["--plugin-load-add=auth_ed25519", "--innodb-flush-method=nosync", "--innodb-log-file-size=32M"]
            }
            MysqlVersion::MySql55 => &["--innodb-file-per-table=ON"],
        };
        settings.extend(fixed.iter().chain(own).map(ToString::to_string));
        if self.options.tls == MysqlTls::Off {
            match self.version {
                MysqlVersion::MySql97 => settings.push("--tls-version=".into()),
                MysqlVersion::MariaDb1011 | MysqlVersion::MariaDb118 => settings.push("--skip-ssl".into()),
                MysqlVersion::MySql55 => {}
            }
        } else {
            for (name, path) in [("ssl-ca", "ca.crt"), ("ssl-cert", "server.crt"), ("ssl-key", "server.key")] {
                settings.push(format!("--{name}={}", file(path)));
            }
        }
        if self.options.tls == MysqlTls::Required {
            settings.push("--require-secure-transport=ON".into());
        }
        settings.extend(self.options.settings.iter().map(|(name, value)| format!("--{name}={value}")));
        settings
    }
}

impl Drop for Mysql {
    fn drop(&mut self) {
        // Never started, or killed and not started again: no watchdog is left to remove the folder.
        if self.process.is_none() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// A string literal, for sessions without NO_BACKSLASH_ESCAPES.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests;
