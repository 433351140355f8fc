//! HTTP natively: hyper over whatever connections a test gives. A connection a request, driven by whoever writes or reads.

use super::native::{Application, Connect};
use crate::application::Binding;
use crate::error::{Error, Result};
use crate::http::{Head, answered_too_early};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::channel::mpsc;
use futures::future::{Either, FutureExt, LocalBoxFuture, select};
use futures::io::{AsyncBufRead, AsyncWrite};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::rt;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

#[derive(Clone)]
pub struct Http(pub Application);

impl Http {
    pub fn info(&self) -> Binding {
        self.0.binding.clone()
    }

    pub fn open(&self, head: Head, length: Option<Option<u64>>) -> Exchange {
        let (pieces, taken) = mpsc::channel(0);
        let body = Sending { pieces: length.map(|_| taken), left: length.flatten(), bodiless: length.is_none() };
        let call = call(self.0.connect.clone(), head, authorization(&self.0.credentials), body);
        let pieces = length.map(|_| pieces);
        Exchange { pieces, call: call.boxed_local(), early: None, cut: false }
    }
}

/// As the host does it.
fn authorization(credentials: &BTreeMap<String, String>) -> Option<String> {
    let given = |key: &str| credentials.get(key);
    let basic = || Some(BASE64_STANDARD.encode(format!("{}:{}", given("username")?, given("password")?)));
    given("apiKey")
        .map(|key| format!("ApiKey {key}"))
        .or_else(|| given("token").map(|token| format!("Bearer {token}")))
        .or_else(|| basic().map(|basic| format!("Basic {basic}")))
}

async fn call(connect: Connect, head: Head, authorization: Option<String>, body: Sending) -> Result<Answer> {
    let broken = |error: hyper::Error| Error::Unavailable(format!("the connection broke before the answer: {error}"));
    let connection = connect(head.endpoint.as_deref()).await?;
    let mut request = hyper::Request::builder().method(head.method).uri(&head.path).header("host", "application");
    for (name, value) in head.headers {
        if ["authorization", "host", "content-length", "transfer-encoding"]
            .contains(&name.to_ascii_lowercase().as_str())
        {
            return Err(Error::InvalidParameter(format!("header {name:?} is the host's to set")));
        }
        request = request.header(name, value);
    }
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let request = request
        .body(body)
        .map_err(|error| Error::InvalidParameter(format!("no request can be made of {}: {error}", head.path)))?;
    let (mut sender, driver) = http1::handshake(Wire(connection)).await.map_err(broken)?;
    let driver = driver.map(drop).boxed_local();
    let (response, driver) = match select(sender.send_request(request).boxed_local(), driver).await {
        Either::Left((response, driver)) => (response, Some(driver)),
        Either::Right(((), response)) => (response.await, None),
    };
    let (head, body) = response.map_err(broken)?.into_parts();
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let body = AnswerBody {
        body: Some(body),
        driver,
        target: Vec::new(),
        chunk: Bytes::new(),
        failed: None,
        _unfinished: None,
    };
    Ok(Answer { status: head.status.as_u16(), headers: headers.collect(), body })
}

/// A piece, or the word that there are no more.
type Piece = Option<Vec<u8>>;

/// Closed without that word, it breaks the request off.
struct Sending {
    pieces: Option<mpsc::Receiver<Piece>>,
    left: Option<u64>,
    bodiless: bool,
}

impl Body for Sending {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let Some(pieces) = &mut self.pieces else { return Poll::Ready(None) };
        Poll::Ready(match ready!(futures::Stream::poll_next(Pin::new(pieces), cx)) {
            Some(Some(piece)) => {
                self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
                Some(Ok(Frame::data(piece.into())))
            }
            Some(None) => {
                self.pieces = None;
                None
            }
            None => Some(Err(Error::Failed("the addon did not finish the request".into()))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.bodiless
    }

    fn size_hint(&self) -> SizeHint {
        match (self.bodiless, self.left) {
            (true, _) => SizeHint::with_exact(0),
            (false, Some(left)) => SizeHint::with_exact(left),
            (false, None) => SizeHint::default(),
        }
    }
}

pub struct Exchange {
    pieces: Option<mpsc::Sender<Piece>>,
    call: LocalBoxFuture<'static, Result<Answer>>,
    early: Option<Result<Answer>>,
    cut: bool,
}

impl Exchange {
    pub fn is_refused(&self) -> bool {
        matches!(&self.early, Some(Ok(answer)) if answer.is_refusal())
    }

    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        self.say(Some(bytes)).await?;
        Ok(Vec::new())
    }

    async fn say(&mut self, piece: Piece) -> Result<()> {
        let refused = self.is_refused();
        let Exchange { pieces, call, early, cut } = self;
        let Some(pieces) = pieces.as_mut().filter(|_| !*cut && !refused) else { return Ok(()) };
        let mut piece = Some(piece);
        poll_fn(|cx| {
            match early {
                None => {
                    if let Poll::Ready(answer) = call.as_mut().poll(cx) {
                        *early = Some(answer);
                    }
                }
                Some(Ok(answer)) => answer.body.drive(cx),
                Some(Err(_)) => {}
            }
            match early {
                Some(Err(error)) => return Poll::Ready(Err(error.clone())),
                Some(Ok(answer)) if answer.is_refusal() => {
                    *cut = true;
                    return Poll::Ready(Ok(()));
                }
                _ => {}
            }
            match ready!(pieces.poll_ready(cx)) {
                Ok(()) => {
                    let _ = piece.take().map(|piece| pieces.start_send(piece));
                    Poll::Ready(Ok(()))
                }
                // Hung up: the answer says why.
                Err(_) if early.is_some() => {
                    // All that was announced has been taken: then the word for its end is not waited for.
                    *cut = matches!(piece, Some(Some(_)));
                    Poll::Ready(Ok(()))
                }
                Err(_) => Poll::Pending,
            }
        })
        .await
    }

    pub async fn end(mut self) -> Result<Answer> {
        self.say(None).await?;
        let Exchange { pieces, call, early, cut } = self;
        let mut answer = match early {
            Some(early) => early?,
            None => call.await?,
        };
        if cut && !answer.is_refusal() {
            return Err(answered_too_early(answer.status));
        }
        answer.body._unfinished = pieces;
        Ok(answer)
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: AnswerBody,
}

impl Answer {
    fn is_refusal(&self) -> bool {
        self.status >= 300
    }
}

pub struct AnswerBody {
    body: Option<Incoming>,
    driver: Option<LocalBoxFuture<'static, ()>>,
    target: Vec<u8>,
    chunk: Bytes,
    failed: Option<Error>,
    /// Broken off before its end, a request would take its answer along.
    _unfinished: Option<mpsc::Sender<Piece>>,
}

impl AnswerBody {
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && driver.as_mut().poll(cx).is_ready()
        {
            self.driver = None;
        }
    }
}

impl crate::buffer::Source for AnswerBody {
    fn begin_read(&mut self, target: Vec<u8>) {
        self.target = target;
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>>> {
        while self.chunk.is_empty() {
            self.drive(cx);
            if let Some(error) = &self.failed {
                return Poll::Ready(Err(error.clone()));
            }
            let Some(body) = &mut self.body else { return Poll::Ready(Ok(std::mem::take(&mut self.target))) };
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => self.chunk = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => {
                    let text = format!("the connection broke in the middle of the answer: {error}");
                    self.failed = Some(Error::Unavailable(text));
                }
                None => self.body = None,
            }
        }
        let mut target = std::mem::take(&mut self.target);
        let room = target.capacity() - target.len();
        target.extend_from_slice(&self.chunk.split_to(self.chunk.len().min(room)));
        Poll::Ready(Ok(target))
    }
}

/// A connection as hyper wants it.
struct Wire(crate::Connection);

impl rt::Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut to: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = ready!(Pin::new(&mut self.0).poll_fill_buf(cx))?;
        let some = bytes.get(..to.remaining()).unwrap_or(bytes);
        to.put_slice(some);
        let count = some.len();
        self.0.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl rt::Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}
