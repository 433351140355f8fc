//! Opening a connection: TLS by the binding's mode, hello, login.

use super::cancel::{Open, Registry};
use super::wire::Wire;
use super::{Client, Engine, Hello, ServerError, Version, auth, is_ok};
use bson::raw::{RawDocumentBuf, cstr};
use bson::rawdoc;
use coffer_addon::{Application, Connection, Context as _, Error, Result, TlsMode, host};
use futures::future::{Either, select};
use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// A server that is none may never answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// The least that drivers take for it: a set without writes notes the time every ten seconds.
const MAX_STALENESS: Duration = Duration::from_secs(90);

/// A password that was hashed, with what it was hashed for.
type Salted = ((Mechanism, Vec<u8>, u32), Vec<u8>);

/// Who logs in how. Not `Debug`: it holds the password. Clones share what is open for one run.
#[derive(Clone)]
pub struct Login {
    /// None where the server wants no login, or takes the name from a certificate.
    pub user: Option<String>,
    pub(super) password: Option<String>,
    /// The database that has the user.
    pub source: String,
    /// None: what the server says that the user has.
    pub mechanism: Option<Mechanism>,
    pub tls: TlsMode,
    /// The binding's replica set: members of another one are not spoken to.
    pub replica_set: Option<String>,
    /// The binding's database, where it has one.
    pub database: Option<String>,
    /// For connecting and logging in.
    pub connect_timeout: Duration,
    /// How far behind the primary a secondary may be that is read. None: as far as it is.
    pub max_staleness: Option<Duration>,
    pub(super) salted: Rc<RefCell<Option<Salted>>>,
    pub(super) registry: Registry,
}

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    ScramSha1,
    ScramSha256,
    X509,
}

impl Mechanism {
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::ScramSha1 => "SCRAM-SHA-1",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::X509 => "MONGODB-X509",
        }
    }

    /// None is the default.
    fn parse(name: &str) -> Result<Option<Self>> {
        let all = [Mechanism::ScramSha1, Mechanism::ScramSha256, Mechanism::X509];
        match all.into_iter().find(|mechanism| mechanism.name() == name) {
            Some(mechanism) => Ok(Some(mechanism)),
            None if name == "DEFAULT" => Ok(None),
            None => {
                let why = match name {
                    "PLAIN" => " (it hands the password itself to the server)",
                    _ => "",
                };
                Err(Error::Unsupported(format!(
                    "the binding's authMechanism {name} is not supported{why}; SCRAM-SHA-256, SCRAM-SHA-1 and MONGODB-X509 are"
                )))
            }
        }
    }
}

impl Login {
    /// From the binding: credentials `username` and `password`, parameters as a mongodb:// URL has them.
    pub fn of(application: &Application) -> Result<Self> {
        let binding = application.binding();
        let mut login = Login {
            user: application.credential("username").ok(),
            password: application.credential("password").ok(),
            source: String::new(),
            mechanism: None,
            tls: binding.tls,
            replica_set: None,
            database: None,
            connect_timeout: CONNECT_TIMEOUT,
            max_staleness: Some(MAX_STALENESS),
            salted: Rc::default(),
            registry: Registry::default(),
        };
        for (key, value) in &binding.parameters {
            // As in MongoDB's own tools, the case of a name does not count.
            match key.to_ascii_lowercase().as_str() {
                "database" => login.database = Some(value.clone()),
                "authsource" => login.source = value.clone(),
                "authmechanism" => login.mechanism = Mechanism::parse(value)?,
                "replicaset" => login.replica_set = Some(value.clone()),
                "connecttimeoutms" => {
                    let millis = value.parse::<u32>().ok().filter(|millis| *millis > 0).ok_or_else(|| {
                        Error::InvalidParameter(
                            "the binding's connectTimeoutMS has to be a number of milliseconds".into(),
                        )
                    })?;
                    login.connect_timeout = Duration::from_millis(millis.into());
                }
                "maxstalenessseconds" => login.max_staleness = staleness(value)?,
                key @ ("tls" | "ssl") => {
                    let is_on = login.tls == TlsMode::Require;
                    if *value != is_on.to_string() {
                        return Err(Error::InvalidParameter(format!(
                            "the binding's parameter {key} contradicts its clientConfig.tlsMode; remove it, and set that"
                        )));
                    }
                }
                name if IGNORED.contains(&name) => {}
                _ => return Err(unknown(key)),
            }
        }
        if login.source.is_empty() {
            // As a mongodb:// URL means it.
            login.source = login.database.clone().unwrap_or_else(|| "admin".into());
        }
        if login.mechanism == Some(Mechanism::X509) && login.tls == TlsMode::Disable {
            return Err(Error::InvalidParameter(
                "authMechanism MONGODB-X509 takes the client certificate of TLS; set the binding's clientConfig.tlsMode to Require and its tlsSecret".into(),
            ));
        }
        Ok(login)
    }

    /// A connection of which no more is known than what the server says of itself: no login.
    pub(super) async fn greet(&self, application: &Application, endpoint: Option<&str>) -> Result<Hello> {
        self.in_time(self.ask(application, endpoint)).await
    }

    /// [`Login::greet`], for as long as it takes.
    pub(super) async fn ask(&self, application: &Application, endpoint: Option<&str>) -> Result<Hello> {
        let (_, hello) = self.greet_over(application.connect(endpoint).await?).await?;
        Ok(hello)
    }

    async fn greet_over(&self, connection: Connection) -> Result<(Wire, Hello)> {
        let mut wire = Wire::new(connection);
        if self.tls == TlsMode::Require {
            wire = wire.start_tls().await.context(
                || "unable to begin TLS, which the binding requires (clientConfig.tlsMode); does the server speak it?",
            )?;
        }
        let reply = exchange(&mut wire, &self.hello()).await.map_err(|error| match error {
            Error::Unavailable(_) => error.context(
                "the server hung up at the first message; does it take TLS only (clientConfig.tlsMode), or is it no MongoDB of 3.6 or later?",
            ),
            error => error,
        })?;
        if !is_ok(&reply) {
            let error = ServerError::read(&reply);
            return Err(error.classify(format!("the server does not say what it is: {}", error.text())));
        }
        let hello = Hello::read(&reply);
        hello.check()?;
        Ok((wire, hello))
    }

    fn hello(&self) -> RawDocumentBuf {
        // The command's older name, as servers before 4.4.2 have no other; all have this one.
        let mut command = rawdoc! { "isMaster": 1, "helloOk": true };
        // What a server's log and `currentOp` show of this client.
        let client = rawdoc! {
            "application": { "name": "coffer" },
            "driver": { "name": "coffer", "version": env!("CARGO_PKG_VERSION") },
            "os": { "type": std::env::consts::OS },
        };
        command.append(cstr!("client"), client);
        if let Some(user) = &self.user {
            command.append(cstr!("saslSupportedMechs"), format!("{}.{user}", self.source));
        }
        command.append(cstr!("$db"), "admin");
        command
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match select(pin!(work), pin!(host::sleep(self.connect_timeout))).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => {
                let seconds = self.connect_timeout.as_secs_f64();
                // Some that speak no TLS wait for the rest of what they take its beginning for.
                let tls = match self.tls {
                    TlsMode::Require => ", and does it speak TLS, which the binding requires (clientConfig.tlsMode)",
                    TlsMode::Disable => "",
                };
                Err(Error::Unavailable(format!(
                    "no session within {seconds} s (the binding's connectTimeoutMS); is it MongoDB 3.6 or later that listens there{tls}?"
                )))
            }
        }
    }
}

/// As drivers take it: -1 is no limit.
fn staleness(value: &str) -> Result<Option<Duration>> {
    match value.parse::<i64>().map(|seconds| (seconds, u64::try_from(seconds))) {
        Ok((-1, _)) => Ok(None),
        Ok((_, Ok(seconds))) if Duration::from_secs(seconds) >= MAX_STALENESS => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(Error::InvalidParameter(format!(
            "the binding's maxStalenessSeconds has to be a number of seconds, {} or more, or -1 for no limit",
            MAX_STALENESS.as_secs()
        ))),
    }
}

/// Parameters of URLs that mean nothing here, whatever they say: pools, retries, how drivers find servers, how they read and
/// write. Dumps and restores have settings of their own for some of it.
const IGNORED: [&str; 26] = [
    "appname",
    "compressors",
    "directconnection",
    "heartbeatfrequencyms",
    "journal",
    "loadbalanced",
    "localthresholdms",
    "maxconnecting",
    "maxidletimems",
    "maxpoolsize",
    "minpoolsize",
    "readconcernlevel",
    "readpreference",
    "readpreferencetags",
    "retryreads",
    "retrywrites",
    "servermonitoringmode",
    "serverselectiontimeoutms",
    "serverselectiontryonce",
    "sockettimeoutms",
    "srvmaxhosts",
    "uuidrepresentation",
    "w",
    "waitqueuetimeoutms",
    "wtimeoutms",
    "zlibcompressionlevel",
];

/// What the address says beyond what is known here must not be passed over: its author counts on it. The value may be a
/// password.
fn unknown(key: &str) -> Error {
    let remedy = match key.to_ascii_lowercase().as_str() {
        "tlsinsecure"
        | "tlsallowinvalidcertificates"
        | "tlsallowinvalidhostnames"
        | "tlsdisableocspendpointcheck"
        | "tlsdisablecertificaterevocationcheck" => "set clientConfig.tlsMode instead",
        "tlscafile" | "sslcertificateauthorityfile" => "set clientConfig.caBundle instead",
        "tlscertificatekeyfile" | "tlscertificatekeyfilepassword" | "sslclientcertificatekeyfile" => {
            "name the client certificate's secret in tlsSecret instead"
        }
        "username" | "user" | "password" => "put it into the binding's secret",
        "authmechanismproperties" | "gssapiservicename" => "its ways to log in are not supported",
        "timeoutms" => "set connectTimeoutMS instead; the Task's own timeout is for the rest",
        _ => "remove it from the address; known are those of a mongodb:// URL",
    };
    Error::InvalidParameter(format!("the binding's parameter {key} is not supported; {remedy}"))
}

/// A command and its reply.
async fn exchange(wire: &mut Wire, command: &RawDocumentBuf) -> Result<RawDocumentBuf> {
    wire.send(command.as_bytes(), None).await?;
    wire.document().await
}

impl Client {
    /// Connects to one of the application's endpoints, or to the first one, and logs in.
    pub async fn connect(application: &Application, login: &Login, endpoint: Option<&str>) -> Result<Self> {
        let open = async {
            let connection = application.connect(endpoint).await?;
            Self::over(connection, login, login.registry.open(endpoint)).await
        };
        let outcome = login.in_time(open).await;
        match endpoint {
            Some(name) => outcome.context(|| format!("endpoint {name}")),
            None => outcome,
        }
    }

    async fn over(connection: Connection, login: &Login, open: Open) -> Result<Self> {
        let (mut wire, hello) = login.greet_over(connection).await?;
        wire.watch(login.registry.pulse.clone());
        let version = Version { engine: Engine::MongoDb, number: 0, text: String::new() };
        let (running, session, stream, count) = (String::new(), None, None, 0);
        let mut client = Client { wire, hello, version, session, running, stream, count, open };
        auth::log_in(&mut client, login).await?;
        let build = client.run("admin", rawdoc! { "buildInfo": 1 }).await?;
        client.version = Version::read(&build)
            .ok_or_else(|| Error::Unsupported("the server does not tell its version; is it MongoDB?".into()))?;
        if client.hello.has_sessions {
            client.session = Some(client.open.session()?);
        }
        Ok(client)
    }
}
