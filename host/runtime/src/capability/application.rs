//! The bound application: what the guest may know of it, its granted credentials, and connections to its endpoints by name.

use super::{
    Own,
    connection::{Connection, describe_io},
    failed,
    http::Http,
    invalid,
};
use crate::{
    Application, Endpoint, TlsMode,
    bindings::{
        GuestError,
        coffer::addon::{
            application::{Host, HostWithStore},
            types::{Binding, TlsMode as GuestTlsMode},
        },
    },
    state::State,
    tls,
};
use rustls::ClientConfig;
use secrecy::ExposeSecret as _;
use socket2::{SockRef, TcpKeepalive};
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::OnceCell, time::timeout};
use wasmtime::component::{Accessor, Resource};

/// An index may be built for an hour with no byte on the wire; firewalls forget a silent connection sooner than that.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));

/// An application for the length of a run.
pub(crate) struct Bound {
    application: Application,
    /// Made when first asked for: reading the platform's authorities takes a while.
    tls: OnceCell<Arc<ClientConfig>>,
    http: Http,
}

impl Bound {
    pub(crate) fn new(application: Application) -> Self {
        Self { application, tls: OnceCell::new(), http: Http::new() }
    }

    pub(crate) fn application(&self) -> &Application {
        &self.application
    }

    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    pub(crate) fn tls(&self) -> &crate::Tls {
        &self.application.tls
    }

    pub(crate) async fn client_config(&self) -> Result<Arc<ClientConfig>, GuestError> {
        self.tls
            .get_or_try_init(|| async {
                let tls = self.application.tls.clone();
                let made = tokio::task::spawn_blocking(move || tls::client_config(&tls)).await;
                made.map_err(failed)?.map(Arc::new).map_err(invalid)
            })
            .await
            .cloned()
    }

    pub(crate) fn endpoint(&self, name: Option<&str>) -> Result<&Endpoint, GuestError> {
        let endpoints = &self.application.endpoints;
        let found = match name {
            None => endpoints.first(),
            Some(name) => endpoints.iter().find(|endpoint| endpoint.name == name),
        };
        found.ok_or_else(|| {
            let names: Vec<_> = endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
            let name = crate::event::cut(name.unwrap_or("(the default)"));
            invalid(format_args!("the application has no endpoint {name}, only: {}", names.join(", ")))
        })
    }
}

impl State {
    pub(crate) fn bound(&self) -> wasmtime::Result<Arc<Bound>> {
        self.application.clone().ok_or_else(|| wasmtime::format_err!("no application is bound to this call"))
    }

    /// What a guest may know of it.
    pub(crate) fn binding(&self) -> wasmtime::Result<Binding> {
        let bound = self.bound()?;
        let application = &bound.application;
        Ok(Binding {
            kind: application.kind.clone(),
            version: application.version.clone(),
            endpoints: application.endpoints.iter().map(|endpoint| endpoint.name.clone()).collect(),
            tls: match application.tls.mode {
                TlsMode::Disable => GuestTlsMode::Disable,
                TlsMode::Require => GuestTlsMode::Require,
            },
            parameters: application.parameters.clone(),
        })
    }
}

impl Host for State {
    fn info(&mut self) -> wasmtime::Result<Binding> {
        self.binding()
    }

    fn credential(&mut self, key: String) -> wasmtime::Result<Result<String, GuestError>> {
        let bound = self.bound()?;
        Ok(match bound.application.credentials.get(&key) {
            Some(secret) => Ok(secret.expose_secret().to_owned()),
            None => {
                let key = crate::event::cut(&key);
                Err(GuestError::Denied(format!("the binding's secret has no key {key} that is granted to this task")))
            }
        })
    }
}

impl HostWithStore<State> for Own {
    async fn connect(
        accessor: &Accessor<State, Self>,
        endpoint: Option<String>,
    ) -> wasmtime::Result<Result<Resource<Connection>, GuestError>> {
        let (bound, permits, limits, traffic, remedy) = accessor.with(|mut access| {
            let state = access.get();
            wasmtime::error::Ok((
                state.bound()?,
                state.connections.clone(),
                state.limits.clone(),
                state.traffic.clone(),
                state.remedy.clone(),
            ))
        })?;
        let Ok(permit) = permits.try_acquire_owned() else {
            return Ok(Err(failed(format_args!(
                "too many connections are open, {} are allowed: lower `jobs`, or whatever else makes it open so many",
                limits.connections
            ))));
        };
        let endpoint = match bound.endpoint(endpoint.as_deref()) {
            Ok(endpoint) => endpoint.clone(),
            Err(error) => return Ok(Err(error)),
        };
        let connected = dial(&endpoint, limits.connect).await;
        // An attempt that failed is progress too: whoever waits for a server tries again and again.
        traffic.add_event();
        let stream = match connected {
            Ok(stream) => stream,
            Err(error) => return Ok(Err(error)),
        };
        accessor.with(|mut access| access.get().hold(Connection::plain(stream, endpoint.host, permit, remedy)))
    }
}

impl State {
    /// Gives the guest a handle, unless it has too many.
    pub(crate) fn hold(
        &mut self,
        connection: Connection,
    ) -> wasmtime::Result<Result<Resource<Connection>, GuestError>> {
        match self.table.push(connection) {
            Ok(resource) => Ok(Ok(resource)),
            Err(_) => Ok(Err(failed("too many handles are open: the addon has to drop some before the next"))),
        }
    }
}

pub(super) async fn dial(endpoint: &Endpoint, limit: Duration) -> Result<TcpStream, GuestError> {
    let Endpoint { name, host, port } = endpoint;
    let unavailable = |reason: String| {
        GuestError::Unavailable(format!("unable to connect to endpoint {name} at {host}:{port}: {reason}"))
    };
    let stream = timeout(limit, TcpStream::connect((host.as_str(), *port)))
        .await
        .map_err(|_| unavailable(format!("no answer within {limit:?}")))?
        .map_err(|error| unavailable(describe_io(&error)))?;
    // Requests are small and wait for their answers. Neither option is worth failing for.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE);
    Ok(stream)
}
