//! Opening a connection: TLS by the binding's mode, hello, login.

use super::cancel::{Open, Registry};
use super::wire::Wire;
use super::{Client, Hello, ServerError, Version, is_ok};
use bson::raw::{RawDocumentBuf, cstr};
use bson::rawdoc;
use coffer_addon::{Application, Connection, Context as _, Error, Result, TlsMode, host};
use futures::future::{Either, select};
use std::pin::pin;
use std::time::Duration;

/// A server that is none may never answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Who logs in how. Not `Debug`: it holds the password. Clones share what is open for one run.
#[derive(Clone)]
pub struct Login {
    /// None where the server wants no login, or takes the name from a certificate.
    pub user: Option<String>,
    pub(super) password: Option<String>,
    /// The database that has the user.
    pub source: String,
    pub mechanism: Option<Mechanism>,
    pub tls: TlsMode,
    /// The binding's replica set: a server of another one is refused.
    pub replica_set: Option<String>,
    /// The binding's database, where it has one.
    pub database: Option<String>,
    /// For connecting and logging in.
    pub connect_timeout: Duration,
    pub(super) registry: Registry,
}

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    ScramSha1,
    ScramSha256,
    X509,
}

impl Login {
    /// From the binding: credentials `username` and `password`, parameters as a mongodb:// URL has them.
    pub fn of(application: &Application) -> Result<Self> {
        let binding = application.binding();
        let parameter = |name: &str| binding.parameter(name).map(String::from);
        let database = parameter("database");
        Ok(Login {
            user: application.credential("username").ok(),
            password: application.credential("password").ok(),
            source: parameter("authSource").or_else(|| database.clone()).unwrap_or_else(|| "admin".into()),
            mechanism: None,
            tls: binding.tls,
            replica_set: parameter("replicaSet"),
            database,
            connect_timeout: CONNECT_TIMEOUT,
            registry: Registry::default(),
        })
    }

    /// A connection of which no more is known than what the server says of itself: no login.
    pub(super) async fn greet(&self, application: &Application, endpoint: Option<&str>) -> Result<(Wire, Hello)> {
        let greet = async { self.greet_over(application.connect(endpoint).await?).await };
        self.in_time(greet).await
    }

    async fn greet_over(&self, connection: Connection) -> Result<(Wire, Hello)> {
        let mut wire = Wire::new(connection);
        if self.tls == TlsMode::Require {
            wire = wire.start_tls().await.context(
                || "unable to begin TLS, which the binding requires (clientConfig.tlsMode); does the server speak it?",
            )?;
        }
        // The command's older name, as servers before 4.4.2 have no other; all have this one.
        let mut command = rawdoc! { "isMaster": 1, "helloOk": true };
        if let Some(user) = &self.user {
            command.append(cstr!("saslSupportedMechs"), format!("{}.{user}", self.source));
        }
        command.append(cstr!("client"), client());
        command.append(cstr!("$db"), "admin");
        let outcome = exchange(&mut wire, &command).await;
        let reply = outcome.map_err(|error| match error {
            Error::Unavailable(_) => error.context(
                "the server hung up at the first message; does it speak TLS only (clientConfig.tlsMode), or is it no MongoDB of 3.6 or later?",
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

    async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match select(pin!(work), pin!(host::sleep(self.connect_timeout))).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => {
                let seconds = self.connect_timeout.as_secs_f64();
                Err(Error::Unavailable(format!(
                    "no session within {seconds} s (the binding's connectTimeoutMS); is it MongoDB 3.6 or later that listens there?"
                )))
            }
        }
    }
}

/// What a server's log and `currentOp` show of this client.
fn client() -> RawDocumentBuf {
    rawdoc! {
        "application": { "name": "coffer" },
        "driver": { "name": "coffer", "version": env!("CARGO_PKG_VERSION") },
        "os": { "type": std::env::consts::OS },
    }
}

/// A command and its reply.
pub(super) async fn exchange(wire: &mut Wire, command: &RawDocumentBuf) -> Result<RawDocumentBuf> {
    wire.send(command.as_bytes(), None).await?;
    let length = wire.reply().await?;
    let mut reply = Vec::new();
    wire.take_into(&mut reply, length).await?;
    RawDocumentBuf::from_bytes(reply).map_err(|_| super::batch::corrupt())
}

impl Client {
    /// Connects to one of the application's endpoints, or to the first one, and logs in.
    pub async fn connect(application: &Application, login: &Login, endpoint: Option<&str>) -> Result<Self> {
        let open = async {
            let connection = application.connect(endpoint).await?;
            let open = login.registry.open(endpoint);
            Self::over(connection, login, open).await
        };
        let outcome = login.in_time(open).await;
        outcome.context(|| format!("endpoint {}", endpoint.unwrap_or("default")))
    }

    async fn over(connection: Connection, login: &Login, open: Open) -> Result<Self> {
        let (wire, hello) = login.greet_over(connection).await?;
        let version = Version { engine: super::Engine::MongoDb, number: 0, text: String::new() };
        let mut client =
            Client { wire, hello, version, session: None, running: String::new(), stream: None, count: 0, open };
        let build = client.run("admin", rawdoc! { "buildInfo": 1 }).await?;
        client.version = Version::read(&build)
            .ok_or_else(|| Error::Unsupported("the server does not tell its version; is it MongoDB?".into()))?;
        Ok(client)
    }
}
