//! The application a run is bound to, as the host knows it. The guest sees names; addresses, keys and authorities stay here.

use secrecy::SecretString;
use std::collections::BTreeMap;

/// Without `Debug` of its secrets: `SecretString` masks itself.
#[derive(Debug, Clone)]
pub struct Application {
    /// `postgresql`, …
    pub kind: String,
    pub version: Option<String>,
    /// The first is the default. Never empty.
    pub endpoints: Vec<Endpoint>,
    pub tls: Tls,
    /// Not secret; the guest sees them all.
    pub parameters: Vec<(String, String)>,
    /// By key (`username`, `password`, …); the guest gets one by asking for its key.
    pub credentials: BTreeMap<String, SecretString>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub name: String,
    /// A DNS name or an IP address.
    pub host: String,
    pub port: u16,
}

#[derive(Debug, Clone)]
pub struct Tls {
    pub mode: TlsMode,
    /// Authorities to trust instead of the platform's, PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// The name to verify and to send; the endpoint's host by default.
    pub server_name: Option<String>,
    /// Our own certificate, where the application wants one.
    pub identity: Option<Identity>,
    /// Off only where the operator said so: then anyone can pose as the application.
    pub verify: bool,
}

impl Default for Tls {
    fn default() -> Self {
        Self { mode: TlsMode::Require, ca_pem: None, server_name: None, identity: None, verify: true }
    }
}

impl Tls {
    pub fn disabled() -> Self {
        Self { mode: TlsMode::Disable, ..Self::default() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    Disable,
    Require,
}

/// A client certificate.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The chain, own certificate first, PEM.
    pub certificate_pem: Vec<u8>,
    pub key_pem: SecretString,
}
