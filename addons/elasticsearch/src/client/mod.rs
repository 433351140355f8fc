//! Requests to the server and what its answers mean.
//!
//! | module | what |
//! |---|---|
//! | [`dashboards`] | requests to Kibana or OpenSearch Dashboards |
//! | [`error`] | what a status and a body that refuse come to |
//! | [`version`] | which server it is |
//! | [`waits`] | how often and how long a server is asked again |

pub mod dashboards;
pub mod error;
mod version;
pub mod waits;

pub use error::Refusal;
pub use version::{Flavour, Version};

use coffer_addon::http::{Http, Request, Response};
use coffer_addon::{Error, Result, host};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;
use waits::in_spite_of_losses;

/// The longest answer of [`Client::get`] and its like, in bytes: definitions of thousands of indices.
pub const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// How often a server that is busy (429, 503) is asked. With the pauses between: about 25 s.
const ATTEMPTS: u32 = 8;

/// Before the second attempt; doubled before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause, also where the server names a longer one in `Retry-After`.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The bound server. Cheap to clone; several requests may be under way at once.
#[derive(Clone)]
pub struct Client {
    http: Http,
    version: Version,
}

impl Client {
    /// Asks the server who it is.
    pub async fn connect(http: Http) -> Result<Self> {
        let answer = accepted(exchange(&http, "GET", "/", &Body::None).await?, "GET /").await?;
        let version = Version::of(&match json::<Value>(answer).await {
            Ok(answer) => answer,
            // It is none of ours then.
            Err(Error::Corrupt(_)) => Value::Null,
            Err(error) => return Err(error),
        })?;
        Ok(Client { http, version })
    }

    pub fn version(&self) -> &Version {
        &self.version
    }

    /// For requests that are written piece by piece; there are no second attempts then.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// `path` is encoded: `coffer_addon::http::segment`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.try_get(path).await?.map_err(|refusal| refusal.error(&what("GET", path)))
    }

    /// [`Client::get`], or the server's refusal. The server is asked again where the connection is lost.
    pub async fn try_get<T: DeserializeOwned>(&self, path: &str) -> Result<Result<T, Refusal>> {
        in_spite_of_losses(&what("GET", path), async || match self.ask("GET", path, &Body::None).await? {
            Ok(answer) => json(answer).await.map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        })
        .await
    }

    /// [`Client::get`] of what need not be there: a 404 is none.
    pub async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        match self.try_get(path).await? {
            Ok(answer) => Ok(Some(answer)),
            Err(refusal) if refusal.status == 404 => Ok(None),
            Err(refusal) => Err(refusal.error(&what("GET", path))),
        }
    }

    /// `&()` is no body.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        json(self.send("POST", path, &Body::json(body)?).await?).await
    }

    /// The answer to a request that succeeded, its body still to be read.
    pub async fn send(&self, method: &'static str, path: &str, body: &Body) -> Result<Response> {
        self.ask(method, path, body).await?.map_err(|refusal| refusal.error(&what(method, path)))
    }

    /// The answer, or the server's refusal, for callers to whom some are no errors. A server that is busy is asked again for a
    /// while; so only what may be done twice should be asked.
    pub async fn ask(&self, method: &'static str, path: &str, body: &Body) -> Result<Result<Response, Refusal>> {
        self.ask_while(method, path, body, is_busy).await
    }

    /// [`Client::ask`] for as long as `again` says of a refusal, and no longer.
    pub async fn ask_while(
        &self,
        method: &'static str,
        path: &str,
        body: &Body,
        again: impl AsyncFn(&Refusal) -> Result<bool>,
    ) -> Result<Result<Response, Refusal>> {
        patiently(&what(method, path), async || exchange(&self.http, method, path, body).await, again).await
    }
}

async fn is_busy(refusal: &Refusal) -> Result<bool> {
    Ok(refusal.is_busy())
}

/// Asks until the answer is none that is worth another attempt, for a while.
async fn patiently(
    what: &str,
    exchange: impl AsyncFn() -> Result<Response>,
    again: impl AsyncFn(&Refusal) -> Result<bool>,
) -> Result<Result<Response, Refusal>> {
    let mut pause = FIRST_PAUSE;
    let mut attempt = 1;
    loop {
        let answer = exchange().await?;
        if answer.is_success() {
            return Ok(Ok(answer));
        }
        let wanted = waits::asked(answer.header("retry-after"));
        let refusal = Refusal::read(answer).await?;
        if !again(&refusal).await? || attempt == ATTEMPTS {
            return Ok(Err(refusal));
        }
        attempt += 1;
        coffer_addon::debug!("{what} was answered {}; asking again", refusal.status);
        host::sleep(wanted.unwrap_or(pause).min(LONGEST_PAUSE)).await;
        pause *= 2;
    }
}

/// What a request carries.
#[derive(Clone, Debug)]
pub enum Body {
    None,
    Json(Vec<u8>),
    /// Lines of NDJSON.
    Lines(Vec<u8>),
    /// Of another content type.
    Other(String, Vec<u8>),
}

impl Body {
    /// What is `null` in JSON is no body.
    pub fn json(value: &impl Serialize) -> Result<Self> {
        let bytes = serde_json::to_vec(value)?;
        Ok(if bytes == b"null" { Body::None } else { Body::Json(bytes) })
    }
}

impl Body {
    fn of(&self, request: Request) -> Request {
        let (kind, bytes) = match self {
            Body::None => return request,
            Body::Json(bytes) => ("application/json", bytes),
            Body::Lines(bytes) => ("application/x-ndjson", bytes),
            Body::Other(kind, bytes) => (kind.as_str(), bytes),
        };
        request.header("content-type", kind).body(bytes.clone())
    }
}

async fn exchange(http: &Http, method: &'static str, path: &str, body: &Body) -> Result<Response> {
    http.send(body.of(Request::new(method, path))).await.map_err(|error| error.context(what(method, path)))
}

async fn accepted(answer: Response, what: &str) -> Result<Response> {
    if answer.is_success() { Ok(answer) } else { Err(Refusal::read(answer).await?.error(what)) }
}

async fn json<T: DeserializeOwned>(mut answer: Response) -> Result<T> {
    answer.json(MAX_ANSWER).await
}

/// For errors: without the query, in which there may be a document's words.
pub fn what(method: &str, path: &str) -> String {
    format!("{method} {}", path.split('?').next().unwrap_or_default())
}
