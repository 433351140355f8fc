//! Connections for requests: a pool an endpoint, all of them gone with the run.

use super::{super::application, body::Sending};
use crate::{
    Endpoint, Limits, TlsMode, Traffic,
    bindings::GuestError,
    capability::{application::Bound, connection::describe_io, invalid},
    limits::{HTTP_HEAD_BYTES, HTTP_HEADERS, HTTP_IDLE, HTTP_WINDOW},
    state::Remedy,
    stdio::lock,
    tls,
};
use http::Uri;
use hyper_util::{
    client::legacy::{
        self,
        connect::{Connected, Connection},
    },
    rt::{TokioIo, TokioTimer},
};
use rustls::pki_types::ServerName;
use std::{
    collections::HashMap,
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(super) type Client = legacy::Client<Dialer, Sending>;

/// A run's clients, made when first asked for.
pub(crate) struct Http {
    /// By the endpoint's name: two of one host and port, through two tunnels, are not the same.
    clients: Mutex<HashMap<String, Client>>,
    tasks: Tasks,
    /// Ends every connection's task, whatever it is at.
    _end: DropGuard,
}

impl Http {
    pub(crate) fn new() -> Self {
        let token = CancellationToken::new();
        Self { clients: Mutex::default(), tasks: Tasks(token.clone()), _end: token.drop_guard() }
    }
}

impl Bound {
    pub(super) async fn http_client(
        &self,
        endpoint: &Endpoint,
        limits: &Limits,
        traffic: &Arc<Traffic>,
        remedy: &Remedy,
    ) -> Result<Client, GuestError> {
        if let Some(client) = lock(&self.http().clients).get(&endpoint.name) {
            return Ok(client.clone());
        }
        let tls = match self.tls().mode {
            TlsMode::Disable => None,
            TlsMode::Require => {
                let mut config = self.client_config().await?.as_ref().clone();
                config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
                let name = tls::server_name(self.tls(), &endpoint.host).map_err(invalid)?;
                Some((TlsConnector::from(Arc::new(config)), name))
            }
        };
        let way = Way {
            endpoint: endpoint.clone(),
            tls,
            limit: limits.connect,
            traffic: traffic.clone(),
            remedy: remedy.clone(),
        };
        let client = build(Dialer(Arc::new(way)), self.http().tasks.clone(), limits);
        // Another request may have been quicker: then its client is the one.
        Ok(lock(&self.http().clients).entry(endpoint.name.clone()).or_insert(client).clone())
    }
}

fn build(dialer: Dialer, tasks: Tasks, limits: &Limits) -> Client {
    // Room for all requests on one connection, so that an answer nobody reads holds up none of the others.
    let together = u32::try_from(limits.requests).unwrap_or(u32::MAX).saturating_mul(HTTP_WINDOW);
    legacy::Client::builder(tasks)
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(HTTP_IDLE)
        .pool_max_idle_per_host(limits.requests)
        .http1_max_buf_size(HTTP_HEAD_BYTES)
        .http1_max_headers(HTTP_HEADERS)
        .http2_max_header_list_size(u32::try_from(HTTP_HEAD_BYTES).unwrap_or(u32::MAX))
        .http2_initial_stream_window_size(HTTP_WINDOW)
        .http2_initial_connection_window_size(together.min(i32::MAX.unsigned_abs()))
        .build(dialer)
}

/// Runs what hyper does beside requests until the run is over.
#[derive(Clone)]
struct Tasks(CancellationToken);

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        let over = self.0.clone();
        tokio::spawn(async move {
            let _ = over.run_until_cancelled(task).await;
        });
    }
}

/// Connects to one endpoint, whatever the URI says.
#[derive(Clone)]
pub(super) struct Dialer(Arc<Way>);

struct Way {
    endpoint: Endpoint,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// For TCP and, again, for the handshake.
    limit: Duration,
    traffic: Arc<Traffic>,
    remedy: Remedy,
}

impl tower::Service<Uri> for Dialer {
    type Response = TokioIo<Wire>;
    type Error = Told;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Told>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Told>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let way = self.0.clone();
        Box::pin(async move {
            let opened = way.open().await;
            way.traffic.add_event();
            opened.map(TokioIo::new).map_err(Told)
        })
    }
}

impl Way {
    async fn open(&self) -> Result<Wire, GuestError> {
        let plain = application::dial(&self.endpoint, self.limit).await?;
        let Some((connector, name)) = &self.tls else { return Ok(Wire::Plain(plain)) };
        let Endpoint { name: endpoint, host, port } = &self.endpoint;
        let at = format!("endpoint {endpoint} at {host}:{port}");
        let secured = timeout(self.limit, connector.connect(name.clone(), plain)).await.map_err(|_| {
            GuestError::Unavailable(format!("{at}: the TLS handshake did not end within {:?}", self.limit))
        })?;
        secured.map(|stream| Wire::Tls(Box::new(stream))).map_err(|error| {
            let text = format!("{at}: TLS was refused: {}", describe_io(&error));
            if tls::is_refusal(&error) {
                self.remedy.told(&text);
                GuestError::Denied(text)
            } else {
                GuestError::Unavailable(text)
            }
        })
    }
}

/// Why there is no connection, in the words that reach the guest.
#[derive(Debug)]
pub(super) struct Told(pub(super) GuestError);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.text())
    }
}

impl std::error::Error for Told {}

pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        match self {
            Self::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => Connected::new().negotiated_h2(),
            _ => Connected::new(),
        }
    }
}

/// HTTP/2 keeps no more of an error than its kind and text, so both are made to say it.
fn told<T>(outcome: io::Result<T>) -> io::Result<T> {
    outcome.map_err(|error| match tls::is_refusal(&error) {
        true => io::Error::new(io::ErrorKind::PermissionDenied, tls::explain(&error)),
        false => error,
    })
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer).map(told),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes).map(told),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, pieces).map(told),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx).map(told),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
