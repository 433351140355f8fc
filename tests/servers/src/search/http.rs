//! A client for tests: one connection per request, the answer as JSON.

#![allow(clippy::indexing_slicing, reason = "a field that JSON does not have is null")]

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::cache::tail;
use crate::error::{Error, Result};
use crate::process::state;

/// A node that is busy compiling itself may take a while; one that hangs must not hang a test for ever.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Clone)]
pub struct Client {
    port: u16,
    authorization: Option<String>,
    tls: Option<Arc<ClientConfig>>,
    node: Option<Node>,
}

/// Who is asked about when no answer comes.
#[derive(Clone)]
pub(super) struct Node {
    pub process: u32,
    /// Where it keeps its log, and where Java tells of its own end.
    pub folder: PathBuf,
}

impl Node {
    /// How it fares, with the ends of what it and its Java have said.
    fn told(&self) -> String {
        let mut told = state(self.process);
        let report = self.folder.join(format!("hs_err_pid{}.log", self.process));
        if let Ok(report) = fs::read_to_string(report) {
            told.push_str(&format!("; Java says:\n{report:.3000}"));
        }
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        format!("{told}; the end of its log:\n{}", tail(&log, 3000))
    }
}

impl Client {
    /// A client of a node on a loopback port.
    pub(super) fn new(port: u16, node: Option<Node>) -> Self {
        Self { port, authorization: None, tls: None, node }
    }

    /// Who asks.
    pub fn with_login(self, user: &str, password: &str) -> Self {
        self.with_authorization(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
    }

    /// Who asks, as the header `Authorization` says it, e.g. `ApiKey …`.
    pub fn with_authorization(mut self, authorization: String) -> Self {
        self.authorization = Some(authorization);
        self
    }

    /// The header `Authorization`, where somebody asks.
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// Over TLS, trusting a PEM certificate.
    pub fn with_authority(mut self, certificate: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(unusable)?;
        roots.add(certificate).map_err(unusable)?;
        let config = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
        let config = config.with_safe_default_protocol_versions().map_err(unusable)?;
        self.tls = Some(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
        Ok(self)
    }

    pub fn get(&self, path: &str) -> Result<(u16, Value)> {
        self.send("GET", path, &Value::Null)
    }

    /// `Null` is no body.
    pub fn post(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        self.send("POST", path, body)
    }

    pub fn put(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        self.send("PUT", path, body)
    }

    pub fn delete(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        self.send("DELETE", path, body)
    }

    /// The answer to a request that must succeed.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        match self.send(method, path, body)? {
            (200..=299, answer) => Ok(answer),
            (status, answer) => Err(refused(method, path, status, &answer)),
        }
    }

    /// Sends lines of NDJSON to `_bulk`; every item must succeed.
    pub fn bulk(&self, path: &str, lines: &str) -> Result<()> {
        let (status, answer) = self.request("POST", path, "application/x-ndjson", lines.as_bytes())?;
        if !(200..300).contains(&status) {
            return Err(refused("POST", path, status, &answer));
        }
        let failed = answer["errors"] != false;
        let items = answer["items"].as_array().into_iter().flatten();
        let reason = items.filter_map(|item| item.as_object()?.values().find(|done| !done["error"].is_null())).next();
        match reason {
            Some(reason) => Err(refused("POST", path, status, reason)),
            None if failed => Err(refused("POST", path, status, &answer)),
            None => Ok(()),
        }
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.request(method, path, "application/json", &body)
    }

    /// The status and the body: JSON, or a string where it is something else.
    pub fn request(&self, method: &str, path: &str, content: &str, body: &[u8]) -> Result<(u16, Value)> {
        let lost = |source| Error::Lost {
            command: format!("{method} {path}"),
            source,
            server: self.node.as_ref().map_or_else(|| "its node is not up".to_owned(), Node::told),
        };
        let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).map_err(lost)?;
        tcp.set_nodelay(true).and_then(|()| tcp.set_read_timeout(Some(LIMIT))).map_err(lost)?;
        let head = self.head(method, path, content, body.len());
        let bytes = match &self.tls {
            None => exchange(tcp, &head, body),
            Some(config) => {
                let name = ServerName::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST));
                let tls = ClientConnection::new(config.clone(), name).map_err(unusable)?;
                exchange(StreamOwned::new(tls, tcp), &head, body)
            }
        };
        let bytes = bytes.map_err(lost)?;
        parse(&bytes).ok_or_else(|| {
            let text = String::from_utf8_lossy(&bytes);
            Error::Different(format!("{method} {path}: no answer of HTTP: {text:.200}"))
        })
    }

    fn head(&self, method: &str, path: &str, content: &str, length: usize) -> String {
        let login = self.authorization.as_ref().map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
        let content = match length {
            0 => String::new(),
            _ => format!("Content-Type: {content}\r\n"),
        };
        format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAccept: application/json\r\nConnection: close\r\n\
             {login}{content}Content-Length: {length}\r\n\r\n",
            self.port
        )
    }
}

/// Everything that comes back until the server closes.
fn exchange(mut stream: impl Read + Write, head: &str, body: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(head.as_bytes())?;
    // A server that refuses early may close while it is still being written to; its answer is worth reading.
    let written = stream.write_all(body).and_then(|()| stream.flush());
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        // A server that closes without TLS's farewell has said what it had to say.
        Err(_) if parse(&bytes).is_some() => {}
        Err(error) => return Err(error),
    }
    if bytes.is_empty() {
        written?;
    }
    Ok(bytes)
}

/// The status and the body of a complete response.
fn parse(bytes: &[u8]) -> Option<(u16, Value)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let rest = bytes.get(end + 4..)?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let header = |wanted: &str| {
        head.lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned()))
    };
    let body = match header("content-length") {
        Some(length) => {
            let length: usize = length.parse().ok()?;
            // An answer to HEAD has none.
            rest.get(..length).unwrap_or_default().to_vec()
        }
        None if header("transfer-encoding").is_some() => join_chunks(rest)?,
        None => rest.to_vec(),
    };
    if body.is_empty() {
        return Some((status, Value::Null));
    }
    let value = serde_json::from_slice(&body);
    Some((status, value.unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()))))
}

fn join_chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..end)?).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        let chunk = rest.get(end + 2..end + 2 + size)?;
        if size == 0 {
            return Some(body);
        }
        body.extend(chunk);
        rest = rest.get(end + 4 + size..)?;
    }
}

fn refused(method: &str, path: &str, status: u16, answer: &Value) -> Error {
    let command = format!("{method} {path}");
    Error::Refused { command, code: status.into(), message: format!("{answer:.1000}") }
}

fn unusable(error: impl std::fmt::Display) -> Error {
    Error::Different(format!("the certificate cannot be used: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_are_read_whole_whatever_way_they_come() {
        let sized = b"HTTP/1.1 200 OK\r\nContent-length: 7\r\n\r\n{\"a\":1}";
        assert_eq!(parse(sized), Some((200, json!({ "a": 1 }))));
        let chunked = b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4;x\r\n\":1}\r\n0\r\n\r\n";
        assert_eq!(parse(chunked), Some((404, json!({ "a": 1 }))));
        assert_eq!(parse(&chunked[..chunked.len() - 8]), None, "cut off");
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\ncontent-length: 87\r\n\r\n"), Some((200, Value::Null)));
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n\r\nmoin"), Some((200, json!("moin"))));
    }
}
