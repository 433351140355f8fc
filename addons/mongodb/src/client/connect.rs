//! Opening a connection: TLS by the binding's mode, hello, login.

use super::cancel::Open;
use super::wire::Wire;
use super::{Client, Engine, Hello, Login, ServerError, Version, auth, is_ok};
use bson::raw::{RawDocumentBuf, cstr};
use bson::rawdoc;
use coffer_addon::{Application, Connection, Context as _, Error, Result, TlsMode, host};
use futures::future::{Either, select};
use std::pin::pin;

impl Login {
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
