//! A real `mongod` of somebody who has one: no package does.

use percent_encoding::percent_decode_str;

use super::client::Login;
use crate::error::{Error, Result};

/// Names the server: `mongodb://user:password@host:port/?authSource=admin`. Tests make and drop databases in it, whose
/// names begin with `coffer`.
pub const VARIABLE: &str = "COFFER_TEST_MONGODB_URI";

/// What a URI says.
#[derive(Debug, PartialEq)]
pub(super) struct Address {
    pub host: String,
    pub port: u16,
    pub login: Option<Login>,
    pub replica_set: Option<String>,
}

/// The address in [`VARIABLE`]; without one says on stderr, past the capture of a test harness, that a test is skipped.
pub(super) fn address() -> Result<Option<Address>> {
    match std::env::var(VARIABLE) {
        Ok(uri) if !uri.is_empty() => match parse(&uri) {
            Some(address) => Ok(Some(address)),
            None => Err(Error::NotReady {
                what: format!("the server of {VARIABLE}"),
                log: "it is no mongodb:// URI without TLS".into(),
            }),
        },
        _ => {
            crate::skipped(format_args!("no real MongoDB: {VARIABLE} is not set"));
            Ok(None)
        }
    }
}

/// The first host counts.
fn parse(uri: &str) -> Option<Address> {
    let rest = uri.strip_prefix("mongodb://")?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let option = |name: &str| {
        let value = query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))?;
        decode(value)
    };
    if ["tls", "ssl"].iter().any(|name| option(name).is_some_and(|value| value == "true")) {
        return None;
    }
    let (login, hosts) = match authority.rsplit_once('@') {
        Some((login, hosts)) => (Some(login), hosts),
        None => (None, authority),
    };
    let login = match login {
        Some(login) => {
            let (user, password) = login.split_once(':')?;
            let source = option("authSource").or_else(|| decode(database).filter(|name| !name.is_empty()));
            let source = source.unwrap_or_else(|| "admin".into());
            Some(Login { user: decode(user)?, password: decode(password)?, source })
        }
        None => None,
    };
    let first = hosts.split(',').next()?;
    let (host, port) = first.rsplit_once(':').unwrap_or((first, "27017"));
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some(Address { host, port: port.parse().ok()?, login, replica_set: option("replicaSet") })
}

fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_read() {
        let login = |source: &str| Some(Login { user: "a@b".into(), password: "p:/".into(), source: source.into() });
        let address = parse("mongodb://a%40b:p%3A%2F@db.test:1,other:2/shop?replicaSet=rs0").unwrap();
        let expected =
            Address { host: "db.test".into(), port: 1, login: login("shop"), replica_set: Some("rs0".into()) };
        assert_eq!(address, expected);
        assert_eq!(parse("mongodb://a%40b:p%3A%2F@h/shop?x=1&authSource=admin").unwrap().login, login("admin"));
        let plain = Address { host: "::1".into(), port: 27017, login: None, replica_set: None };
        assert_eq!(parse("mongodb://[::1]:27017/"), Some(plain));
        assert_eq!(parse("mongodb://h/?tls=true"), None);
        assert_eq!(parse("http://h"), None);
    }
}
