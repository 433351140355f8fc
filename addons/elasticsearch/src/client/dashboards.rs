//! Requests to Kibana or OpenSearch Dashboards, at an endpoint of its own.

use super::{Body, Client, MAX_ANSWER, Refusal, is_busy, patiently, what};
use coffer_addon::http::{Http, Request, Response, Upload, segment};
use coffer_addon::{Error, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The endpoint's name in the binding.
pub const ENDPOINT: &str = "dashboards";

/// The parameter of the binding with what all its paths begin with, where there is such.
pub const PATH: &str = "dashboardsPath";

/// The space that is there always, and the only one where there are none.
pub const DEFAULT_SPACE: &str = "default";

#[derive(Clone)]
pub struct Dashboards {
    http: Http,
    is_kibana: bool,
    /// What all paths begin with: nothing, or `/` and more without a `/` at its end.
    prefix: String,
    /// As it says it; nothing where it tells that only to those that it knows better.
    pub version: String,
}

impl Dashboards {
    /// Fails where the binding names no endpoint of that name.
    pub async fn connect(client: &Client) -> Result<Self> {
        let http = client.http().clone();
        let binding = http.binding();
        if !binding.endpoints.iter().any(|name| name == ENDPOINT) {
            return Err(Error::InvalidParameter(
                "savedObjects: the AppBinding does not say where Kibana or OpenSearch Dashboards is; set its parameter \
                 dashboards to the URL, or leave savedObjects out"
                    .into(),
            ));
        }
        let prefix = binding.parameter(PATH).unwrap_or_default().trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        let is_kibana = client.version().is_elasticsearch();
        let mut dashboards = Dashboards { http, is_kibana, prefix, version: String::new() };
        let status: Value = dashboards.get(DEFAULT_SPACE, "/api/status").await?;
        dashboards.version = status.pointer("/version/number").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(dashboards)
    }

    pub fn is_kibana(&self) -> bool {
        self.is_kibana
    }

    pub fn name(&self) -> &'static str {
        if self.is_kibana { "Kibana" } else { "OpenSearch Dashboards" }
    }

    pub async fn get<T: DeserializeOwned>(&self, space: &str, path: &str) -> Result<T> {
        self.send("GET", space, path, &Body::None).await?.json(MAX_ANSWER).await
    }

    /// The answer to a request that succeeded, its body still to be read.
    pub async fn send(&self, method: &'static str, space: &str, path: &str, body: &Body) -> Result<Response> {
        self.ask(method, space, path, body).await?.map_err(|refusal| refusal.error(&self.what(method, path)))
    }

    /// The answer in a space, or the refusal. One that is busy or only starting is asked again for a while; so only what may
    /// be done twice should be asked. `path` begins with `/api`.
    pub async fn ask(
        &self,
        method: &'static str,
        space: &str,
        path: &str,
        body: &Body,
    ) -> Result<Result<Response, Refusal>> {
        let what = self.what(method, path);
        let exchange = async || {
            let request = body.of(self.request(method, space, path));
            self.http.send(request).await.map_err(|error| error.context(&what))
        };
        patiently(&what, exchange, is_busy).await
    }

    /// Begins a request whose body is written piece by piece, `first` in front; it is made once.
    pub fn open(&self, method: &'static str, space: &str, path: &str, content_type: &str, first: &str) -> Upload {
        self.http.open(self.request(method, space, path).header("content-type", content_type).body(first))
    }

    fn request(&self, method: &'static str, space: &str, path: &str) -> Request {
        let space = match space {
            DEFAULT_SPACE => String::new(),
            space => format!("/s/{}", segment(space)),
        };
        let request = Request::new(method, format!("{}{space}{path}", self.prefix)).endpoint(ENDPOINT);
        // Without these it takes a request for one that a page of somebody else's has made.
        match self.is_kibana {
            true => request.header("kbn-xsrf", "true").header("x-elastic-internal-origin", "coffer"),
            // The tenant that all share.
            false => request.header("osd-xsrf", "true").header("securitytenant", "global"),
        }
    }

    fn what(&self, method: &str, path: &str) -> String {
        format!("{}: {}", self.name(), what(method, path))
    }
}
