//! The network side: loopback TLS, the token check, and an orderly end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use http::{Request, Response, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::Error;
use crate::access::{Identity, Token};
use crate::router::Stop;
use crate::status::Status;

/// More than any laptop's clients open; what keeps a runaway one from taking every file descriptor.
const MAX_CONNECTIONS: usize = 512;
/// A peer on this machine answers at once; one that does not is no TLS client.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// What requests in flight get to finish in at shutdown. Watches never finish by themselves.
const GRACE: Duration = Duration::from_secs(3);
/// After a failed accept (out of file descriptors, mostly) some time must pass before the next can succeed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that listens. Stops when dropped; [`Listening::shutdown`] lets requests in flight finish first.
#[derive(Debug)]
pub struct Listening {
    address: SocketAddr,
    kubeconfig: PathBuf,
    stop: CancellationToken,
    connections: TaskTracker,
}

impl Listening {
    pub(crate) async fn start(data_dir: &Path, address: SocketAddr, router: Router) -> Result<Listening, Error> {
        if !address.ip().is_loopback() {
            return Err(Error::NotLoopback { address });
        }
        let token = Token::load(data_dir)?;
        let identity = Identity::issue(data_dir)?;
        let listener = TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })?;
        let address = listener.local_addr().map_err(|source| Error::Listen { address, source })?;
        let kubeconfig = data_dir.join("kubeconfig");
        identity.write_kubeconfig(&kubeconfig, address, &token)?;

        let stop = CancellationToken::new();
        let connections = TaskTracker::new();
        let server = Accepting {
            listener,
            tls: TlsAcceptor::from(identity.tls),
            service: Guarded { router, token: Arc::new(token), stop: stop.clone() },
            stop: stop.clone(),
            connections: connections.clone(),
        };
        connections.spawn(server.run());
        Ok(Listening { address, kubeconfig, stop, connections })
    }

    /// The address with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The file that `kubectl --kubeconfig` and `coffer --kubeconfig` take. Mode 0600: it holds the token.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Stops accepting, lets requests in flight finish for a few seconds, ends watches.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.connections.close();
        self.connections.wait().await;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[derive(Clone)]
struct Guarded {
    router: Router,
    token: Arc<Token>,
    stop: CancellationToken,
}

impl Guarded {
    async fn call(self, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        if !self.token.admits(request.headers().get(header::AUTHORIZATION)) {
            return Ok(Status::unauthorized().into_response());
        }
        request.extensions_mut().insert(Stop(self.stop));
        self.router.oneshot(request).await
    }
}

struct Accepting {
    listener: TcpListener,
    tls: TlsAcceptor,
    service: Guarded,
    stop: CancellationToken,
    connections: TaskTracker,
}

impl Accepting {
    async fn run(self) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "unable to accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                tracing::warn!(limit = MAX_CONNECTIONS, "too many connections: one was turned away");
                continue;
            };
            let (tls, service, stop) = (self.tls.clone(), self.service.clone(), self.stop.clone());
            self.connections.spawn(async move {
                serve(stream, tls, service, stop).await;
                drop(place);
            });
        }
    }
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, service: Guarded, stop: CancellationToken) {
    let stream = tokio::select! {
        () = stop.cancelled() => return,
        accepted = tokio::time::timeout(HANDSHAKE, tls.accept(stream)) => match accepted {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => return tracing::debug!("TLS handshake timed out"),
        },
    };
    let service = TowerToHyperService::new(tower::service_fn(move |request| service.clone().call(request)));
    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(stream), service));
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}
