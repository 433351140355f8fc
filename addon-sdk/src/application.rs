//! The application that the task is bound to, and nothing else.

use crate::connection::Connection;
use crate::error::Result;
use crate::http::Http;
use crate::sys;

/// Whether to ask for TLS in the protocol's own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Speak in the clear.
    Disable,
    /// Ask, then [`Connection::start_tls`]; never go on without it.
    Require,
}

/// What is known of the application without asking it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// `postgresql`, `mysql`, …
    pub kind: String,
    /// As the operator wrote it, when they did. What the server says weighs more.
    pub version: Option<String>,
    /// Names for [`Application::connect`], the default one first.
    pub endpoints: Vec<String>,
    pub tls: TlsMode,
    /// The binding's own parameters (a database's name, …), without any secret.
    pub parameters: Vec<(String, String)>,
}

impl Binding {
    /// The value of a parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The way to the application. Cheap to clone.
#[derive(Clone)]
pub struct Application {
    pub(crate) raw: sys::Application,
}

impl Application {
    pub fn binding(&self) -> Binding {
        self.raw.info()
    }

    /// A credential that was granted to the task (`username`, `password`, …), else `denied`.
    pub fn credential(&self, key: &str) -> Result<String> {
        self.raw.credential(key)
    }

    /// The way to it over HTTP, for a function that is [`over_http`](crate::Function::over_http).
    pub fn http(&self) -> Http {
        Http { raw: self.raw.http() }
    }

    /// Opens a connection in the clear to a named endpoint, or to the first one.
    pub async fn connect(&self, endpoint: Option<&str>) -> Result<Connection> {
        self.raw.connect(endpoint).await
    }
}
