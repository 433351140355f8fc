//! Who logs in how, by what the binding says.

use super::cancel::Registry;
use coffer_addon::{Application, Error, Result, TlsMode};
use std::cell::RefCell;
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
