//! HTTP servers to ask: a real one in both versions, and one that says whatever it is told. Gone with the test.

use bytes::Bytes;
use hyper::{
    Request, Response, StatusCode, Version,
    body::{Body, Frame, Incoming, SizeHint},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::ServerConfig;
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// What a server has seen.
#[derive(Default)]
pub struct Seen {
    pub connections: AtomicUsize,
    pub requests: AtomicUsize,
    pub versions: Mutex<Vec<Version>>,
}

pub struct HttpServer {
    pub port: u16,
    pub seen: Arc<Seen>,
    /// A word for every request or connection that ended otherwise than well.
    pub over: mpsc::UnboundedReceiver<&'static str>,
    task: JoinHandle<()>,
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl HttpServer {
    /// `/echo` gives the body back as it comes, `/count` its length, `/bytes/n` n bytes, `/headers` what it was sent,
    /// `/redirect` sends elsewhere, `/silent` says nothing.
    pub async fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, over) = mpsc::unbounded_channel();
        let seen = Arc::new(Seen::default());
        let counts = seen.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counts.connections.fetch_add(1, SeqCst);
                let (sender, counts, tls) = (sender.clone(), counts.clone(), tls.clone());
                tokio::spawn(async move {
                    let end = sender.clone();
                    let service = service_fn(move |request| answer(request, counts.clone(), sender.clone()));
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let served = match tls {
                        None => builder.serve_connection(TokioIo::new(stream), service).await,
                        Some(tls) => match TlsAcceptor::from(tls).accept(stream).await {
                            Ok(stream) => builder.serve_connection(TokioIo::new(stream), service).await,
                            Err(_) => Ok(()),
                        },
                    };
                    let _ = end.send(if served.is_ok() { "closed" } else { "broken" });
                });
            }
        });
        Self { port, seen, over, task }
    }

    /// Reads a request's head and says `words`, then hangs up.
    pub async fn saying(words: impl Into<Vec<u8>>) -> Self {
        let words: Arc<[u8]> = words.into().into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (_, over) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let words = words.clone();
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.windows(4).any(|some| some == b"\r\n\r\n") {
                        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let _ = stream.write_all(&words).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { port, seen: Arc::default(), over, task }
    }
}

enum Said {
    Text(Option<Bytes>),
    /// And then no more, nor an end.
    Half(Option<Bytes>),
    Echo(Incoming),
    Bytes(u64),
}

/// An answer's body, and the word when it was dropped before its end.
struct Saying {
    said: Said,
    dropped: Option<mpsc::UnboundedSender<&'static str>>,
}

impl Drop for Saying {
    fn drop(&mut self) {
        if let Some(dropped) = self.dropped.take() {
            let _ = dropped.send("answer dropped");
        }
    }
}

impl Body for Saying {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = match &mut self.said {
            Said::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Said::Half(text) => match text.take() {
                Some(text) => Poll::Ready(Some(Ok(Frame::data(text)))),
                None => Poll::Pending,
            },
            Said::Echo(body) => Pin::new(body).poll_frame(cx),
            Said::Bytes(0) => Poll::Ready(None),
            Said::Bytes(left) => {
                let count = (*left).min(65_536);
                *left -= count;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![7; usize::try_from(count).unwrap()])))))
            }
        };
        if let Poll::Ready(None) = polled {
            self.dropped = None;
        }
        polled
    }

    fn size_hint(&self) -> SizeHint {
        match &self.said {
            Said::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            _ => SizeHint::default(),
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Seen>,
    over: mpsc::UnboundedSender<&'static str>,
) -> Result<Response<Saying>, hyper::Error> {
    seen.requests.fetch_add(1, SeqCst);
    seen.versions.lock().unwrap().push(request.version());
    let text = |text: String| Saying { said: Said::Text(Some(text.into())), dropped: None };
    let path = request.uri().path().to_owned();
    let mut status = StatusCode::OK;
    let said = match path.as_str() {
        "/echo" => Saying { said: Said::Echo(request.into_body()), dropped: Some(over) },
        "/count" => {
            let mut body = request.into_body();
            let mut count = Ok(0);
            while let Ok(sum) = count
                && let Some(piece) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
            {
                count = piece.map(|frame| sum + frame.into_data().map_or(0, |data| data.len()));
            }
            match count {
                Ok(count) => {
                    let _ = over.send("whole");
                    text(count.to_string())
                }
                Err(error) => {
                    let _ = over.send("body broken");
                    return Err(error);
                }
            }
        }
        "/headers" => {
            let lines = request.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
            let lines: Vec<_> = lines.collect();
            text(format!("{} {}\n{}", request.method(), request.uri(), lines.join("\n")))
        }
        "/redirect" => {
            status = StatusCode::FOUND;
            text("elsewhere".into())
        }
        "/half" => Saying { said: Said::Half(Some("half".into())), dropped: Some(over) },
        "/silent" => {
            let _waiting = Saying { said: Said::Text(None), dropped: Some(over) };
            std::future::pending().await
        }
        path => {
            let count = path.strip_prefix("/bytes/").unwrap_or("0").parse().unwrap();
            Saying { said: Said::Bytes(count), dropped: Some(over) }
        }
    };
    let mut response = Response::new(said);
    *response.status_mut() = status;
    if status == StatusCode::FOUND {
        response.headers_mut().insert("location", "/headers".parse().unwrap());
    }
    response.headers_mut().insert("set-cookie", "session=1".parse().unwrap());
    Ok(response)
}
