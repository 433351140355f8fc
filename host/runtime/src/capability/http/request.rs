//! What an addon asks for, checked: nothing in it reaches beyond the bound application or speaks for the host.

use super::super::{application::Bound, invalid};
use crate::{
    Application, Endpoint, TlsMode,
    bindings::{GuestError, coffer::addon::http::Request},
    event::cut,
    limits::{HTTP_HEAD_BYTES, HTTP_HEADERS, HTTP_PATH_BYTES},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{
    HeaderName, HeaderValue, Method,
    header::{AUTHORIZATION, CONTENT_LENGTH, USER_AGENT},
    uri::{Authority, PathAndQuery, Scheme, Uri},
};
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::BTreeMap;

/// Headers that are the host's: they frame messages, name the server or say who we are.
const HOSTS: [&str; 16] = [
    "authorization",
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "forwarded",
];

pub(super) struct Checked {
    pub(super) endpoint: Endpoint,
    pub(super) request: hyper::Request<()>,
    /// TLS says that a connection was closed on purpose; without it, that could be a cut as well.
    pub(super) closing_is_an_end: bool,
}

/// `length` is the body's, when there is one and it is known.
pub(super) fn check(bound: &Bound, asked: &Request, length: Option<Option<u64>>) -> Result<Checked, GuestError> {
    let endpoint = bound.endpoint(asked.endpoint.as_deref())?.clone();
    let method = method(&asked.method)?;
    match length {
        Some(None) if method == Method::GET || method == Method::HEAD => {
            return Err(invalid(format_args!("a {method} needs the length of its body beforehand")));
        }
        Some(Some(0)) => return Err(invalid("a body of no bytes is none: leave it out")),
        _ => {}
    }
    let application = bound.application();
    let tls = application.tls.mode == TlsMode::Require;
    let uri = Uri::builder()
        .scheme(if tls { Scheme::HTTPS } else { Scheme::HTTP })
        .authority(authority(application, &endpoint)?)
        .path_and_query(path(&asked.path)?)
        .build()
        .map_err(|error| invalid(format_args!("no request can be made of it: {error}")))?;
    let mut request = hyper::Request::new(());
    *request.uri_mut() = uri;
    let bodiless = matches!(method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS);
    *request.method_mut() = method;

    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("coffer/", env!("CARGO_PKG_VERSION"))));
    let size: usize = asked.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    if asked.headers.len() > HTTP_HEADERS || size > HTTP_HEAD_BYTES {
        return Err(invalid(format_args!(
            "{} headers of {size} bytes are more than the {HTTP_HEADERS} of {HTTP_HEAD_BYTES} bytes allowed",
            asked.headers.len()
        )));
    }
    headers.extend(own_headers(&asked.headers)?);
    if length.is_none() && !bodiless {
        // Some servers refuse a POST that does not say that it has no body.
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if let Some(value) = authorization(&application.credentials)? {
        headers.insert(AUTHORIZATION, value);
    }
    Ok(Checked { endpoint, request, closing_is_an_end: tls })
}

fn method(asked: &str) -> Result<Method, GuestError> {
    let refuse = || invalid(format_args!("{:?} is no method that an addon may use", cut(asked)));
    let method = Method::from_bytes(asked.as_bytes()).map_err(|_| refuse())?;
    if asked.len() > 32 || method == Method::CONNECT || method == Method::TRACE { Err(refuse()) } else { Ok(method) }
}

/// A path alone: what could be read as another server's name, or end the line, is refused before anything parses it.
fn path(asked: &str) -> Result<PathAndQuery, GuestError> {
    let refuse = |reason: &str| Err(invalid(format_args!("the request's path {:?} {reason}", cut(asked))));
    if asked.len() > HTTP_PATH_BYTES {
        return Err(invalid(format_args!(
            "the request's path has {} bytes, {HTTP_PATH_BYTES} are allowed",
            asked.len()
        )));
    }
    if !asked.starts_with('/') || asked.starts_with("//") {
        return refuse("does not begin with one slash");
    }
    if !asked.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#' && byte != b'\\') {
        return refuse("holds what has to be percent-encoded");
    }
    PathAndQuery::try_from(asked).or_else(|_| refuse("holds what has to be percent-encoded"))
}

/// The name that TLS is asked for is the server's, also where a tunnel has another address.
fn authority(application: &Application, endpoint: &Endpoint) -> Result<Authority, GuestError> {
    let told = application.tls.server_name.as_deref().filter(|_| application.tls.mode == TlsMode::Require);
    let host = told.unwrap_or(&endpoint.host);
    let bare = host.contains(':') && !host.starts_with('[');
    let text = if bare { format!("[{host}]:{}", endpoint.port) } else { format!("{host}:{}", endpoint.port) };
    Authority::try_from(text).map_err(|_| invalid(format_args!("{host} can be no name of an HTTP server")))
}

fn own_headers(asked: &[(String, String)]) -> Result<http::HeaderMap, GuestError> {
    let mut headers = http::HeaderMap::new();
    for (name, value) in asked {
        let refuse = |reason: &str| invalid(format_args!("header {:?} {reason}", cut(name)));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse("is no header's name"))?;
        if HOSTS.contains(&name.as_str()) {
            return Err(refuse("is the host's to set"));
        }
        let value = HeaderValue::from_str(value)
            .or_else(|_| HeaderValue::from_bytes(value.as_bytes()))
            .map_err(|_| refuse("has a value that holds a control character"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// What the host says of us. A key is made for one purpose and wins over a token, a token over a person's password.
fn authorization(credentials: &BTreeMap<String, SecretString>) -> Result<Option<HeaderValue>, GuestError> {
    let given = |key: &str| credentials.get(key).map(|secret| secret.expose_secret().trim());
    let (key, text) = if let Some(secret) = given("apiKey") {
        ("apiKey", format!("ApiKey {secret}"))
    } else if let Some(secret) = given("token") {
        ("token", format!("Bearer {secret}"))
    } else if let Some(secret) = basic(credentials) {
        ("password", format!("Basic {}", secret.expose_secret()))
    } else {
        return Ok(None);
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| invalid(format_args!("the binding's {key} holds characters that no header can have")))?;
    // Kept out of debug output, and out of HTTP/2's table of headers.
    value.set_sensitive(true);
    Ok(Some(value))
}

/// User name and password as they go over the wire, which is as secret as they are.
pub(crate) fn basic(credentials: &BTreeMap<String, SecretString>) -> Option<SecretString> {
    let (user, password) = (credentials.get("username")?, credentials.get("password")?);
    Some(BASE64_STANDARD.encode(format!("{}:{}", user.expose_secret(), password.expose_secret())).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tls;

    fn credentials(pairs: &[(&str, &str)]) -> BTreeMap<String, SecretString> {
        pairs.iter().map(|(key, value)| (key.to_string(), SecretString::from(*value))).collect()
    }

    fn bound() -> Bound {
        Bound::new(Application {
            kind: "search".into(),
            version: None,
            endpoints: vec![Endpoint { name: "main".into(), host: "::1".into(), port: 9200 }],
            tls: Tls::disabled(),
            parameters: Vec::new(),
            credentials: credentials(&[("username", "elastic"), ("password", "swordfish")]),
        })
    }

    fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
        Request {
            endpoint: None,
            method: method.into(),
            path: path.into(),
            headers: headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            body: None,
        }
    }

    #[test]
    fn a_request_goes_to_the_endpoint_and_says_who_we_are() {
        let checked = check(&bound(), &request("POST", "/a%20b/_search?q=1", &[("X-Opaque-Id", "ü")]), None).unwrap();
        assert_eq!(checked.request.uri(), "http://[::1]:9200/a%20b/_search?q=1");
        let headers = checked.request.headers();
        assert_eq!(headers["authorization"], "Basic ZWxhc3RpYzpzd29yZGZpc2g=");
        assert!(!format!("{headers:?}").contains("ZWxhc3"));
        assert_eq!(
            (headers["content-length"].as_bytes(), headers["x-opaque-id"].as_bytes()),
            (&b"0"[..], "ü".as_bytes())
        );
    }

    #[test]
    fn what_reaches_further_is_refused() {
        let long = format!("/{}", "a".repeat(HTTP_PATH_BYTES));
        for path in ["", "a", "//other/", "http://other/", "/a b", "/a\r\nX: y", "/a#b", "/ä", "/a\\b", long.as_str()]
        {
            assert!(matches!(path_of(path), Err(GuestError::InvalidParameter(_))), "{path}");
        }
        for method in ["", "GE T", "CONNECT", "TRACE", "GET\r\n"] {
            assert!(check(&bound(), &request(method, "/", &[]), None).is_err(), "{method}");
        }
        for name in HOSTS.into_iter().chain(["Authorization", "HOST", "a b", "", "x:y"]) {
            assert!(check(&bound(), &request("GET", "/", &[(name, "x")]), None).is_err(), "{name}");
        }
        assert!(check(&bound(), &request("GET", "/", &[("x", "a\r\nauthorization: b")]), None).is_err());
        let many = vec![("x", "y"); HTTP_HEADERS + 1];
        assert!(check(&bound(), &request("GET", "/", &many), None).is_err());
        assert!(check(&bound(), &request("GET", "/", &[]), Some(None)).is_err(), "hyper would leave the body out");
        assert!(check(&bound(), &request("POST", "/", &[]), Some(Some(0))).is_err());
    }

    fn path_of(text: &str) -> Result<Checked, GuestError> {
        check(&bound(), &request("GET", text, &[]), None)
    }

    #[test]
    fn the_narrowest_credential_wins() {
        let mut all = vec![("username", "u"), ("password", "p"), ("token", "t\n"), ("apiKey", "k")];
        for expected in ["ApiKey k", "Bearer t", "Basic dTpw"] {
            assert_eq!(authorization(&credentials(&all)).unwrap().unwrap(), expected);
            all.pop();
        }
        assert_eq!(authorization(&credentials(&all)).unwrap(), None);
        let Err(GuestError::InvalidParameter(text)) = authorization(&credentials(&[("token", "top\nsecret")])) else {
            panic!("a line break is no part of a header");
        };
        assert!(text.contains("token") && !text.contains("secret"), "{text}");
    }
}
