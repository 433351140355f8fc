//! Opening a session: TLS by the binding's mode, startup, authentication.

use super::cancel::Sessions;
use super::{Client, Running, ServerError, unreadable};
use bytes::BytesMut;
use coffer_addon::{Application, Connection, Context as _, Error, Result, TlsMode, host};
use fallible_iterator::FallibleIterator;
use futures::future::{Either, select};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;
use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

/// Who logs in where. Not `Debug`: it holds the password.
#[derive(Clone)]
pub struct Login {
    pub user: String,
    /// None where the server is expected to trust.
    pub password: Option<String>,
    pub database: String,
    pub tls: TlsMode,
    /// As `pg_stat_activity` has it.
    pub application_name: String,
    /// For connecting and logging in; none waits as long as the host does.
    pub connect_timeout: Option<Duration>,
    pub(super) sessions: Sessions,
}

impl Login {
    pub fn new(user: &str, password: Option<&str>, database: &str, tls: TlsMode) -> Self {
        Login {
            user: user.into(),
            password: password.map(String::from),
            database: database.into(),
            tls,
            application_name: "coffer".into(),
            connect_timeout: None,
            sessions: Sessions::default(),
        }
    }

    /// From the binding: credentials `username` and `password`, parameters `database` (else a database named like the user,
    /// as libpq has it), `application_name` and `connect_timeout`. `database` overrides the binding's.
    pub fn from_binding(application: &Application, database: Option<&str>) -> Result<Self> {
        let binding = application.binding();
        let user = application.credential("username").context(|| "PostgreSQL needs a user to log in as")?;
        let database = database.or(binding.parameter("database")).unwrap_or(&user).to_string();
        let mut login = Login::new(&user, application.credential("password").ok().as_deref(), &database, binding.tls);
        for (key, value) in &binding.parameters {
            match key.as_str() {
                "database" => {}
                "application_name" => login.application_name.clone_from(value),
                "connect_timeout" => {
                    let seconds = value.parse::<u32>().map_err(|_| {
                        Error::InvalidParameter("the binding's connect_timeout has to be a number of seconds".into())
                    })?;
                    login.connect_timeout = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
                }
                _ => return Err(unknown(key)),
            }
        }
        Ok(login)
    }
}

/// What the address says beyond what is known here must not be passed over: its author counts on it. The value may be a
/// password.
fn unknown(key: &str) -> Error {
    let remedy = match key {
        "sslmode" | "ssl" | "requiressl" | "sslnegotiation" | "channel_binding" => "set clientConfig.tlsMode instead",
        "sslrootcert" => "set clientConfig.caBundle instead",
        "sslsni" => "set clientConfig.serverName instead",
        "sslcert" | "sslkey" | "sslpassword" => "name the client certificate's secret in tlsSecret instead",
        "user" | "username" | "password" | "passfile" => "put it into the binding's secret",
        "host" | "hostaddr" | "port" => "it belongs into clientConfig.url or clientConfig.service",
        "dbname" => "the database is the path of clientConfig.url: postgresql://db.example:5432/shop",
        "options" | "search_path" | "role" => "set it for the user instead: ALTER ROLE … SET …",
        _ => "remove it from the address; known are database, application_name and connect_timeout",
    };
    Error::InvalidParameter(format!("the binding's parameter {key} is not supported; {remedy}"))
}

impl Client {
    /// Opens a session with the bound application.
    pub async fn connect(application: &Application, login: &Login) -> Result<Self> {
        let open = async { Self::open(application.connect(None).await?, login).await };
        let Some(timeout) = login.connect_timeout else { return open.await };
        match select(pin!(open), pin!(host::sleep(timeout))).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => {
                let seconds = timeout.as_secs();
                Err(Error::Unavailable(format!("no session within the binding's connect_timeout of {seconds} s")))
            }
        }
    }

    /// Opens a session over a fresh connection.
    pub async fn open(connection: Connection, login: &Login) -> Result<Self> {
        let mut client = Client {
            connection: secure(connection, login.tls).await?,
            outgoing: BytesMut::new(),
            parameters: BTreeMap::new(),
            version: 0,
            running: Running::own(format!("the login of {} to database {}", login.user, login.database)),
            open: None,
        };
        let parameters = [
            ("user", login.user.as_str()),
            ("database", login.database.as_str()),
            ("application_name", login.application_name.as_str()),
            // What is in a catalog becomes text here; `session` has the exception for databases without an encoding.
            ("client_encoding", "UTF8"),
        ];
        frontend::startup_message(parameters, &mut client.outgoing).map_err(|_| {
            Error::InvalidParameter("the name of the user, database or application holds a NUL character".into())
        })?;
        client.flush().await?;
        client.authenticate(login).await?;
        client.await_ready(login).await?;
        Ok(client)
    }

    async fn authenticate(&mut self, login: &Login) -> Result<()> {
        loop {
            match self.receive().await? {
                Message::AuthenticationOk => return Ok(()),
                Message::AuthenticationCleartextPassword => {
                    if login.tls == TlsMode::Disable {
                        coffer_addon::warn!("the server asked for the password in the clear, and there is no TLS");
                    }
                    let password = password(login)?;
                    frontend::password_message(password.as_bytes(), &mut self.outgoing).map_err(unreadable)?;
                    self.flush().await?;
                }
                Message::AuthenticationMd5Password(body) => {
                    let hash = md5_hash(login.user.as_bytes(), password(login)?.as_bytes(), body.salt());
                    frontend::password_message(hash.as_bytes(), &mut self.outgoing).map_err(unreadable)?;
                    self.flush().await?;
                }
                Message::AuthenticationSasl(body) => self.scram(login, &body).await?,
                Message::ErrorResponse(body) => return Err(login_error(login, &ServerError::read(&body)?)),
                Message::AuthenticationGss
                | Message::AuthenticationSspi
                | Message::AuthenticationKerberosV5
                | Message::AuthenticationScmCredential => {
                    return Err(Error::Unsupported(format!(
                        "the server wants user {} to log in by GSSAPI, SSPI or the like, which is not possible here; allow scram-sha-256 for it in pg_hba.conf",
                        login.user
                    )));
                }
                _ => return Err(self.unexpected()),
            }
        }
    }

    /// SCRAM-SHA-256 (RFC 7677). Without channel binding: the host does TLS and checks the certificate.
    async fn scram(&mut self, login: &Login, body: &AuthenticationSaslBody) -> Result<()> {
        let mut mechanisms = body.mechanisms();
        loop {
            match mechanisms.next().map_err(unreadable)? {
                Some(SCRAM_SHA_256) => break,
                Some(_) => {}
                None => {
                    return Err(Error::Unsupported(
                        "the server offers no SCRAM-SHA-256 among its SASL mechanisms".into(),
                    ));
                }
            }
        }
        let mut scram = ScramSha256::new(password(login)?.as_bytes(), ChannelBinding::unsupported());
        frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut self.outgoing).map_err(unreadable)?;
        self.flush().await?;
        let refused = |error: std::io::Error| Error::Denied(format!("SCRAM with user {} failed: {error}", login.user));
        match self.receive().await? {
            Message::AuthenticationSaslContinue(body) => scram.update(body.data()).map_err(refused)?,
            Message::ErrorResponse(body) => return Err(login_error(login, &ServerError::read(&body)?)),
            _ => return Err(self.unexpected()),
        }
        frontend::sasl_response(scram.message(), &mut self.outgoing).map_err(unreadable)?;
        self.flush().await?;
        match self.receive().await? {
            // The server's proof that it knows the password too.
            Message::AuthenticationSaslFinal(body) => scram.finish(body.data()).map_err(refused),
            Message::ErrorResponse(body) => Err(login_error(login, &ServerError::read(&body)?)),
            _ => Err(self.unexpected()),
        }
    }

    async fn await_ready(&mut self, login: &Login) -> Result<()> {
        loop {
            match self.receive().await? {
                Message::BackendKeyData(body) => {
                    self.open = Some(login.sessions.open((body.process_id(), body.secret_key())));
                }
                Message::ReadyForQuery(_) => break,
                Message::ErrorResponse(body) => return Err(login_error(login, &ServerError::read(&body)?)),
                _ => return Err(self.unexpected()),
            }
        }
        let text = self.server_version_text();
        self.version = version_number(text).ok_or_else(|| {
            Error::Unsupported(format!("the server calls its version {text:?}, which is no PostgreSQL version"))
        })?;
        Ok(())
    }
}

/// The server's "no" to a login, with the remedy for what mostly is the reason.
fn login_error(login: &Login, error: &ServerError) -> Error {
    let Login { user, database, .. } = login;
    let ServerError { message, code, .. } = error;
    error.classify(match code.as_str() {
        "28P01" => format!("wrong user or password for user {user} (SQLSTATE {code}); check the binding's secret"),
        // The server names the user and the database itself.
        "28000" if message.contains("pg_hba.conf") => {
            format!("{message} (SQLSTATE {code}); let this login in with a line in the server's pg_hba.conf")
        }
        "28000" | "3D000" => format!("{message} (SQLSTATE {code})"),
        _ => format!("unable to log in to database {database} as user {user}: {message} (SQLSTATE {code})"),
    })
}

fn password(login: &Login) -> Result<&str> {
    let password = login.password.as_deref();
    password.ok_or_else(|| {
        Error::Denied(format!(
            "the server wants a password for user {}, and the binding's secret has no key `password`",
            login.user
        ))
    })
}

/// The connection as the binding wants it.
pub(super) async fn secure(connection: Connection, tls: TlsMode) -> Result<Connection> {
    match tls {
        TlsMode::Disable => Ok(connection),
        TlsMode::Require => request_tls(connection).await,
    }
}

/// Asks for TLS; anything but a yes is an error.
async fn request_tls(mut connection: Connection) -> Result<Connection> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    connection.write(&request).await?;
    connection.send().await?;
    while connection.buffer().is_empty() {
        if connection.fill().await? == 0 {
            return Err(Error::Unavailable("the server closed the connection when it was asked for TLS".into()));
        }
    }
    let answer = connection.buffer().first().copied();
    connection.consume(1);
    match answer {
        // Bytes behind the answer are refused by `start_tls`: they were not encrypted (CVE-2021-23222).
        Some(b'S') => connection.start_tls().await,
        Some(b'N') => Err(Error::Denied(
            "the server does not speak TLS, and the binding requires it; turn `ssl` on in the server's configuration, or set the binding's clientConfig.tlsMode to Disable".into(),
        )),
        Some(b'E') => Err(Error::Unavailable("the server answered with an error when it was asked for TLS".into())),
        _ => Err(Error::Corrupt("the answer to the request for TLS makes no sense; is it PostgreSQL?".into())),
    }
}

/// `15.6 (Debian …)` is 150006, `9.6.24` is 90624, `17beta1` is 170000: as `server_version_num` has it.
fn version_number(text: &str) -> Option<u32> {
    let numeric = text.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
    let mut parts = numeric.split('.').map(|part| part.parse::<u32>().ok());
    let major = parts.next()??;
    let minor = parts.next().flatten().unwrap_or(0);
    if major >= 10 {
        return Some(major * 10_000 + minor);
    }
    Some(major * 10_000 + minor * 100 + parts.next().flatten().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::version_number;

    #[test]
    fn versions_are_numbers_as_the_server_has_them() {
        assert_eq!(version_number("15.6 (Debian 15.6-0+deb12u1)"), Some(150_006));
        assert_eq!(version_number("9.6.24"), Some(90_624));
        assert_eq!(version_number("17beta1"), Some(170_000));
        assert_eq!(version_number("18devel"), Some(180_000));
        assert_eq!(version_number("devel"), None);
        assert_eq!(version_number(""), None);
    }
}
