//! Opening a session: TLS by the binding's mode, greeting, authentication.

use super::auth::{Plugin, Prover};
use super::cancel::Sessions;
use super::handshake::{Answer, Greeting, agreed, can, ssl_request};
use super::packets::Packets;
use super::read::Reader;
use super::{Client, Running, ServerError, Version};
use coffer_addon::{Application, Connection, Context as _, Error, Result, TlsMode, host};
use futures::future::{Either, select};
use std::pin::pin;
use std::time::Duration;

/// A server speaks first. One that does not (PostgreSQL, HTTP) would have us wait for ever.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Who logs in where. Not `Debug`: it holds the password.
#[derive(Clone)]
pub struct Login {
    pub user: String,
    /// None where the account has none.
    pub password: Option<String>,
    /// The binding's database, where it has one. A session is in the one that [`Client::connect`] is given.
    pub database: Option<String>,
    pub tls: TlsMode,
    /// For connecting and logging in.
    pub connect_timeout: Duration,
    pub(super) sessions: Sessions,
}

impl Login {
    pub fn new(user: &str, password: Option<&str>, tls: TlsMode) -> Self {
        Login {
            user: user.into(),
            password: password.map(String::from),
            database: None,
            tls,
            connect_timeout: CONNECT_TIMEOUT,
            sessions: Sessions::default(),
        }
    }

    /// From the binding: credentials `username` and `password`, parameters `database` and `connect_timeout`.
    pub fn from_binding(application: &Application) -> Result<Self> {
        let binding = application.binding();
        let user = application.credential("username").context(|| "MySQL needs a user to log in as")?;
        let mut login = Login::new(&user, application.credential("password").ok().as_deref(), binding.tls);
        for (key, value) in &binding.parameters {
            match key.as_str() {
                "database" => login.database = Some(value.clone()),
                "connect_timeout" => {
                    let seconds = value.parse::<u32>().ok().filter(|seconds| *seconds > 0).ok_or_else(|| {
                        Error::InvalidParameter("the binding's connect_timeout has to be a number of seconds".into())
                    })?;
                    login.connect_timeout = Duration::from_secs(seconds.into());
                }
                _ => return Err(unknown(key)),
            }
        }
        Ok(login)
    }

    fn prover(&self) -> Prover<'_> {
        let password = self.password.as_deref().unwrap_or_default();
        Prover { user: &self.user, password, tls: self.tls == TlsMode::Require }
    }
}

/// What the address says beyond what is known here must not be passed over: its author counts on it. The value may be a
/// password.
fn unknown(key: &str) -> Error {
    let remedy = match key.to_ascii_lowercase().replace(['-', '_'], "").as_str() {
        "tls" | "ssl" | "usessl" | "requiressl" | "sslmode" | "verifyservercertificate" | "allowpublickeyretrieval" => {
            "set clientConfig.tlsMode instead"
        }
        "sslca" | "sslcapath" | "servercertificate" => "set clientConfig.caBundle instead",
        "sslcert" | "sslkey" => "name the client certificate's secret in tlsSecret instead",
        "user" | "username" | "password" | "passwd" => "put it into the binding's secret",
        "host" | "hostname" | "port" | "socket" | "protocol" => {
            "it belongs into clientConfig.url or clientConfig.service"
        }
        "db" | "dbname" | "schema" => "the database is the path of clientConfig.url: mysql://db.example:3306/shop",
        "charset" | "characterencoding" | "sessionvariables" | "initcommand" | "sqlmode" | "timezone" => {
            "the sessions of a backup have settings of their own"
        }
        _ => "remove it from the address; known are database and connect_timeout",
    };
    Error::InvalidParameter(format!("the binding's parameter {key} is not supported; {remedy}"))
}

impl Client {
    /// Opens a session with the bound application, in `database` or in none.
    pub async fn connect(application: &Application, login: &Login, database: Option<&str>) -> Result<Self> {
        let open = async { Self::open(application.connect(None).await?, login, database).await };
        match select(pin!(open), pin!(host::sleep(login.connect_timeout))).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => {
                let seconds = login.connect_timeout.as_secs_f64();
                Err(Error::Unavailable(format!(
                    "no session within {seconds} s (the binding's connect_timeout); is it MySQL or MariaDB that listens there?"
                )))
            }
        }
    }

    /// Opens a session over a fresh connection.
    pub async fn open(connection: Connection, login: &Login, database: Option<&str>) -> Result<Self> {
        let what = format!("the login of {}", login.user);
        let lost = |error: Error| error.context(format!("connection to the server lost during {what}"));
        let mut packets = Packets::new(connection);
        packets.receive().await.map_err(lost)?;
        if let Some(error) = ServerError::read(packets.payload()) {
            return Err(login_error(login, database, &error));
        }
        let greeting = Greeting::read(packets.payload())?;
        let capabilities = agreed(&greeting, database, login.tls == TlsMode::Require);
        if login.tls == TlsMode::Require {
            if capabilities & can::SSL == 0 {
                return Err(Error::Denied(
                    "the server does not speak TLS, and the binding requires it; set `ssl_cert` and `ssl_key` in the server's configuration, or set the binding's clientConfig.tlsMode to Disable".into(),
                ));
            }
            packets.send(&ssl_request(capabilities), &[]).await.map_err(lost)?;
            packets = packets.start_tls().await?;
        }
        authenticate(&mut packets, login, database, capabilities, greeting).await.map_err(|error| match error {
            // What the server said needs no more words.
            Error::Unavailable(_) | Error::Corrupt(_) => lost(error),
            error => error,
        })?;
        let mut client = Client {
            packets,
            version: Version { flavor: super::Flavor::MySql, number: 0, text: String::new() },
            id: 0,
            max_packet: usize::MAX,
            has_eof: capabilities & can::DEPRECATE_EOF == 0,
            running: Running::own(what),
            is_busy: false,
            lost: None,
            _open: None,
        };
        client.introduce(login).await?;
        Ok(client)
    }

    /// Asks the server who it is: what greeted may have been a proxy.
    async fn introduce(&mut self, login: &Login) -> Result<()> {
        let row = self
            .query_one("SELECT VERSION() AS version, CONNECTION_ID() AS id, @@max_allowed_packet AS max_packet")
            .await?;
        let text = row.get("version")?;
        self.version = Version::parse(text).ok_or_else(|| {
            Error::Unsupported(format!("the server calls its version {text:?}, which is none of MySQL or MariaDB"))
        })?;
        self.id = row.parse("id")?;
        self.max_packet = row.parse("max_packet")?;
        self._open = Some(login.sessions.open(self.id));
        Ok(())
    }
}

async fn authenticate(
    packets: &mut Packets,
    login: &Login,
    database: Option<&str>,
    capabilities: u32,
    greeting: Greeting,
) -> Result<()> {
    let prover = login.prover();
    let mut plugin = Plugin::first(&greeting.plugin);
    let mut nonce = greeting.nonce;
    let proof = prover.begin(plugin, &nonce);
    let answer = Answer { capabilities, user: &login.user, database, plugin: plugin.name(), proof: &proof };
    packets.send(&answer.encode()?, &[]).await?;
    loop {
        packets.receive().await?;
        let mut reader = Reader(packets.payload());
        let reply = match reader.u8() {
            Some(0) => return Ok(()),
            Some(0xff) => {
                let error = ServerError::read(packets.payload()).ok_or_else(nonsense)?;
                return Err(login_error(login, database, &error));
            }
            // A switch that names no plugin is one to the oldest.
            Some(0xfe) if reader.0.is_empty() => {
                prover.switch("mysql_old_password")?;
                None
            }
            Some(0xfe) => {
                let name = String::from_utf8_lossy(reader.until_nul());
                plugin = prover.switch(&name)?;
                // Where it has a NUL behind it, that is not part of it.
                nonce = reader.0.strip_suffix(&[0]).unwrap_or(reader.0).to_vec();
                Some(prover.begin(plugin, &nonce))
            }
            Some(1) => prover.go_on(plugin, &nonce, reader.0)?,
            _ => return Err(nonsense()),
        };
        if let Some(reply) = reply {
            packets.send(&reply, &[]).await?;
        }
    }
}

fn nonsense() -> Error {
    Error::Corrupt("the server sent a packet that makes no sense; is it MySQL or MariaDB?".into())
}

/// The server's "no" to a login, with the remedy for what mostly is the reason.
fn login_error(login: &Login, database: Option<&str>, error: &ServerError) -> Error {
    let ServerError { number, message } = error;
    let user = &login.user;
    error.classify(match number {
        1045 | 1698 if login.password.is_none() => format!(
            "the server wants more than the name of user {user}, and the binding's secret has no key `password` (server error {number})"
        ),
        1045 | 1698 => {
            let tls = match login.tls {
                TlsMode::Require => "",
                TlsMode::Disable => ", and clientConfig.tlsMode, if the server lets the user in by TLS only",
            };
            format!("wrong user or password for user {user} (server error {number}); check the binding's secret{tls}")
        }
        3159 => format!("{message} (server error {number}); set the binding's clientConfig.tlsMode to Require"),
        // The server names the user and the database itself.
        1044 | 1049 => format!("{message} (server error {number})"),
        _ => {
            let place = database.map(|database| format!(" to database {database}")).unwrap_or_default();
            format!("unable to log in{place} as user {user}: {message} (server error {number})")
        }
    })
}
