//! Requests to the bound application over HTTP. The host does TLS, keeps connections and shows who we are.
//!
//! ```no_run
//! # use coffer_addon::{Application, Error, Result, http::Request};
//! # async fn example(application: Application) -> Result<()> {
//! let http = application.http();
//! let mut found = http.send(Request::post("/_search").json(&serde_json::json!({"size": 10}))).await?;
//! if !found.is_success() {
//!     let status = found.status;
//!     return Err(Error::Failed(format!("searching: {status}: {}", found.text(1 << 16).await?)));
//! }
//! let hits: serde_json::Value = found.json(1 << 20).await?;
//!
//! let mut bulk = http.open(Request::post("/_bulk").header("content-type", "application/x-ndjson"));
//! bulk.write(b"{\"index\":{}}\n{}\n").await?;
//! let answer = bulk.finish().await?;
//! # Ok(()) }
//! ```

use crate::application::Binding;
use crate::buffer::{CHUNK, ReadBuffer};
use crate::error::{Error, Result};
use crate::sys;
use futures::io::{AsyncBufRead, AsyncRead};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Sends requests; several may be under way at once. Cheap to clone.
#[derive(Clone)]
pub struct Http {
    pub(crate) raw: sys::Http,
}

impl Http {
    /// As [`Application::binding`](crate::Application::binding), for an addon that is granted `http` alone.
    pub fn binding(&self) -> Binding {
        self.raw.info()
    }

    /// Sends a request whole. The answer's body is still to be read; dropped before its end, it costs a connection.
    pub async fn send(&self, request: Request) -> Result<Response> {
        let Request { head, body, length: _ } = request;
        let body = body?;
        let length = body.as_ref().map(|body| Some(body.len() as u64));
        let what = head.what();
        let mut exchange = self.raw.open(head, length);
        let answered = async {
            if let Some(body) = body {
                exchange.write(body).await?;
            }
            exchange.end().await
        };
        answered.await.map(|answer| Response::new(what, answer))
    }

    /// Begins a request whose body is written piece by piece; one that the request has is its first piece.
    pub fn open(&self, request: Request) -> Upload {
        let Request { head, body, length } = request;
        let what = head.what();
        let (pending, failed) = match body {
            Ok(body) => (body.unwrap_or_default(), None),
            Err(error) => (Vec::new(), Some(error)),
        };
        Upload { what, raw: self.raw.open(head, Some(length)), pending, failed }
    }
}

/// Where a request goes, and its headers.
pub(crate) struct Head {
    pub endpoint: Option<String>,
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// For errors. Without the query, in which there may be a document's words.
    fn what(&self) -> String {
        format!("{} {}", self.method, self.path.split('?').next().unwrap_or_default())
    }
}

/// What to ask for.
#[must_use = "nothing is sent before `Http::send` or `Http::open`"]
pub struct Request {
    head: Head,
    body: Result<Option<Vec<u8>>>,
    length: Option<u64>,
}

impl Request {
    /// `path` begins with one `/` and is percent-encoded where it has to be: [`segment`].
    pub fn new(method: &'static str, path: impl Into<String>) -> Self {
        let head = Head { endpoint: None, method, path: path.into(), headers: Vec::new() };
        Request { head, body: Ok(None), length: None }
    }

    pub fn get(path: impl Into<String>) -> Self {
        Self::new("GET", path)
    }

    pub fn head(path: impl Into<String>) -> Self {
        Self::new("HEAD", path)
    }

    pub fn post(path: impl Into<String>) -> Self {
        Self::new("POST", path)
    }

    pub fn put(path: impl Into<String>) -> Self {
        Self::new("PUT", path)
    }

    pub fn delete(path: impl Into<String>) -> Self {
        Self::new("DELETE", path)
    }

    /// Asks a named endpoint instead of the first one.
    pub fn endpoint(mut self, name: impl Into<String>) -> Self {
        self.head.endpoint = Some(name.into());
        self
    }

    /// Adds `name=value` to the path's query, encoded.
    pub fn query(mut self, name: &str, value: impl ToString) -> Self {
        let path = &mut self.head.path;
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(&segment(name));
        path.push('=');
        path.push_str(&segment(&value.to_string()));
        self
    }

    /// Adds a header. Those that are the host's (`authorization`, `host`, `content-length`, …) are refused when it is sent.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.head.headers.push((name.into(), value.into()));
        self
    }

    /// A body in JSON, with its content type unless a header says another.
    pub fn json(mut self, value: &impl Serialize) -> Self {
        if !self.head.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            self = self.header("content-type", "application/json");
        }
        self.body = serde_json::to_vec(value).map(Some).map_err(|error| {
            Error::InvalidParameter(format!("the body of {} cannot be JSON: {error}", self.head.what()))
        });
        self
    }

    /// A body as it is. An empty one is none.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = Ok(Some(bytes.into()).filter(|bytes| !bytes.is_empty()));
        self
    }

    /// How long a body that is written piece by piece will be. Without it, it goes in chunks.
    pub fn length(mut self, bytes: u64) -> Self {
        self.length = Some(bytes);
        self
    }
}

/// Text as it can stand between two `/` of a path, or in a query: everything but letters, digits and `-._~` encoded.
pub fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// A request being written. One that is dropped without [`finish`](Self::finish) is broken off, so that the application cannot
/// take a part for all of it.
pub struct Upload {
    what: String,
    raw: sys::Exchange,
    pending: Vec<u8>,
    failed: Option<Error>,
}

impl Upload {
    /// Appends `bytes`, handed on in large pieces. Once the application has refused, what is written goes nowhere: see
    /// [`Upload::is_refused`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.pending.len() + bytes.len() > CHUNK {
            self.hand_on().await?;
        }
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= CHUNK {
            self.hand_on().await?;
        }
        Ok(())
    }

    /// Appends a whole buffer without a copy and gives an empty one back, for re-use. Best from 64 KiB on.
    pub async fn write_buffer(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        self.hand_on().await?;
        if bytes.is_empty() {
            return Ok(bytes);
        }
        let mut returned = self.raw.write(bytes).await.map_err(|error| error.context(&self.what))?;
        returned.clear();
        Ok(returned)
    }

    /// The application has answered with no success before it had everything: [`finish`](Self::finish) has its answer.
    pub fn is_refused(&self) -> bool {
        self.raw.is_refused()
    }

    async fn hand_on(&mut self) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if !self.pending.is_empty() {
            let bytes = std::mem::take(&mut self.pending);
            self.pending = self.raw.write(bytes).await.map_err(|error| error.context(&self.what))?;
            self.pending.clear();
        }
        Ok(())
    }

    /// Says that the body is whole, and waits for the answer.
    pub async fn finish(mut self) -> Result<Response> {
        self.hand_on().await?;
        let Upload { what, raw, .. } = self;
        let answer = raw.end().await.map_err(|error| error.context(&what))?;
        Ok(Response::new(what, answer))
    }
}

/// An answer whose body is being read. Its end is `Ok` only when all of it came.
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    what: String,
    reading: ReadBuffer<sys::AnswerBody>,
}

impl Response {
    fn new(what: String, answer: sys::Answer) -> Self {
        let sys::Answer { status, headers, body } = answer;
        Response { status, headers, what, reading: ReadBuffer::new(body) }
    }

    /// 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Bytes received and not consumed yet, in one piece.
    pub fn buffer(&self) -> &[u8] {
        self.reading.buffer()
    }

    /// Takes `amount` bytes from the front of [`Response::buffer`].
    pub fn consume(&mut self, amount: usize) {
        self.reading.consume(amount);
    }

    /// Receives more bytes behind those in [`Response::buffer`]. 0: the body ended and is whole.
    pub async fn fill(&mut self) -> Result<usize> {
        poll_fn(|cx| self.reading.poll_fill(cx)).await
    }

    /// All of it, for small ones: more than `limit` bytes are `corrupt`.
    pub async fn read_all(&mut self, limit: usize) -> Result<Vec<u8>> {
        loop {
            if self.buffer().len() > limit {
                return Err(Error::Corrupt(format!(
                    "the answer to {} is larger than the {limit} bytes it may have",
                    self.what
                )));
            }
            if self.fill().await? == 0 {
                let all = self.buffer().to_vec();
                self.consume(usize::MAX);
                return Ok(all);
            }
        }
    }

    /// [`Response::read_all`] as text; what is not UTF-8 is replaced. For messages to people.
    pub async fn text(&mut self, limit: usize) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.read_all(limit).await?).into_owned())
    }

    /// [`Response::read_all`] as JSON.
    pub async fn json<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T> {
        let all = self.read_all(limit).await?;
        serde_json::from_slice(&all).map_err(|error| {
            Error::Corrupt(format!("the answer to {} is not the JSON it should be: {error}", self.what))
        })
    }
}

impl AsyncBufRead for Response {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().reading.poll_nonempty(cx).map_err(io::Error::from)
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        self.get_mut().reading.consume(amount);
    }
}

impl AsyncRead for Response {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, target: &mut [u8]) -> Poll<io::Result<usize>> {
        self.get_mut().reading.poll_copy(cx, target).map_err(io::Error::from)
    }
}

/// What both platforms answer when a server took a part and said that all was well.
pub(crate) fn answered_too_early(status: u16) -> Error {
    Error::Failed(format!("the server answered {status} before it had taken all of the request"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_encoded() {
        let request = Request::get(format!("/{}/_search", segment("a/b ü"))).query("q", "a&b=c").query("size", 10);
        assert_eq!(request.head.path, "/a%2Fb%20%C3%BC/_search?q=a%26b%3Dc&size=10");
        assert_eq!(request.head.what(), "GET /a%2Fb%20%C3%BC/_search");
    }
}
