//! Bodies between a guest's streams and hyper. Each side waits for the other, and neither can take a part for the whole.

use super::{
    super::{failed, incoming::Chunks},
    error,
};
use crate::{
    Traffic,
    bindings::GuestError,
    limits::CHUNK_BYTES,
    state::{Remedy, State},
};
use bytes::Bytes;
use http::{StatusCode, Version, header, response::Parts};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::Sleep,
};
use tokio_util::sync::PollSender;
use wasmtime::{
    StoreContextMut,
    component::{Source, StreamConsumer, StreamResult},
};

/// Takes what a guest writes. Every piece goes on at once: an application may answer in the middle of a body.
pub(super) struct Taking {
    sender: PollSender<Bytes>,
    traffic: Arc<Traffic>,
}

impl Taking {
    pub(super) fn new(sender: mpsc::Sender<Bytes>, traffic: Arc<Traffic>) -> Self {
        Self { sender: PollSender::new(sender), traffic }
    }
}

impl StreamConsumer<State> for Taking {
    type Item = u8;

    fn poll_consume(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<State>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let this = self.get_mut();
        match this.sender.poll_reserve(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
        }
        let mut source = source.as_direct(store);
        let bytes = source.remaining();
        // Never by the guest's word alone: a chunk is the most that is taken at once.
        let some = bytes.get(..CHUNK_BYTES).unwrap_or(bytes);
        let count = some.len();
        if count > 0 {
            let sent = this.sender.send_item(Bytes::copy_from_slice(some));
            if sent.is_err() {
                return Poll::Ready(Ok(StreamResult::Dropped));
            }
            source.mark_read(count);
            this.traffic.add_exchanged(count);
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// A request's body as hyper takes it.
pub(super) struct Sending {
    from: Option<From>,
    length: Option<u64>,
    sent: u64,
    /// Told why it broke off, which HTTP/2 does not pass on to whoever waits for the answer. Dropped, it says that all of it
    /// went, or that nobody wants more.
    done: Option<oneshot::Sender<GuestError>>,
}

struct From {
    chunks: mpsc::Receiver<Bytes>,
    judged: oneshot::Receiver<Result<(), GuestError>>,
    /// What would make the length full: it waits until the guest has said that this was all.
    last: Option<Bytes>,
}

/// The guest's body broke off, and why; hyper then breaks the request off.
#[derive(Debug)]
pub(super) struct Broken(pub(super) GuestError);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request's body broke off: {}", self.0.text())
    }
}

impl std::error::Error for Broken {}

impl Sending {
    pub(super) fn nothing(done: oneshot::Sender<GuestError>) -> Self {
        Self { from: None, length: Some(0), sent: 0, done: Some(done) }
    }

    pub(super) fn new(
        chunks: mpsc::Receiver<Bytes>,
        judged: oneshot::Receiver<Result<(), GuestError>>,
        length: Option<u64>,
        done: oneshot::Sender<GuestError>,
    ) -> Self {
        Self { from: Some(From { chunks, judged, last: None }), length, sent: 0, done: Some(done) }
    }

    fn wrong_length(&self) -> Broken {
        let length = self.length.unwrap_or_default();
        Broken(super::super::invalid(format_args!("the body has other than the {length} bytes it was said to have")))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Broken>> {
        loop {
            let Some(from) = &mut self.from else { return Poll::Ready(Ok(None)) };
            if let Some(chunk) = ready!(from.chunks.poll_recv(cx)) {
                self.sent += chunk.len() as u64;
                match self.length {
                    Some(length) if self.sent > length => return Poll::Ready(Err(self.wrong_length())),
                    Some(length) if self.sent == length => from.last = Some(chunk),
                    _ => return Poll::Ready(Ok(Some(chunk))),
                }
                continue;
            }
            let verdict = ready!(Pin::new(&mut from.judged).poll(cx));
            verdict.unwrap_or_else(|_| Err(failed("the request's body ended without its trailer"))).map_err(Broken)?;
            if self.length.is_some_and(|length| length != self.sent) {
                return Poll::Ready(Err(self.wrong_length()));
            }
            let last = from.last.take();
            self.from = None;
            self.done = None;
            return Poll::Ready(Ok(last));
        }
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        let polled = ready!(this.poll_next(cx));
        if let (Err(Broken(error)), Some(done)) = (&polled, this.done.take_if(|_| polled.is_err())) {
            // Nobody may be waiting any more.
            let _ = done.send(error.clone());
        }
        Poll::Ready(polled.transpose().map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.from.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.from, self.length) {
            (None, _) => SizeHint::with_exact(0),
            (Some(_), Some(length)) => SizeHint::with_exact(length.saturating_sub(self.sent)),
            (Some(_), None) => SizeHint::default(),
        }
    }
}

/// Whether a message says where it ends. One that ends when its connection is closed could have been cut there.
pub(super) fn says_its_end(head: &Parts, body: &Incoming) -> bool {
    head.version >= Version::HTTP_2
        || body.is_end_stream()
        || body.size_hint().exact().is_some()
        || head.headers.contains_key(header::TRANSFER_ENCODING)
        || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// What is known of an answer besides the answer.
pub(super) struct Asked {
    /// The request, for people.
    pub(super) what: String,
    /// Whether it is whole when its body ends.
    pub(super) ends: bool,
    /// How long nothing may come while the guest waits.
    pub(super) limit: Duration,
    pub(super) remedy: Remedy,
}

/// An answer's body on its way into a guest.
pub(super) struct Answer {
    asked: Asked,
    /// Dropped before its end, the request is closed and with it, in HTTP/1.1, the connection.
    body: Incoming,
    /// How it ended, while what came before is still on its way.
    ended: Option<Result<(), GuestError>>,
    /// Of the limit, what is left since the guest waits.
    patience: Option<Pin<Box<Sleep>>>,
    _permit: OwnedSemaphorePermit,
}

impl Answer {
    pub(super) fn new(asked: Asked, body: Incoming, permit: OwnedSemaphorePermit) -> Self {
        Self { asked, body, ended: None, patience: None, _permit: permit }
    }
}

impl Chunks for Answer {
    const OF: &'static str = "the answer's";

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Result<(), GuestError>>> {
        loop {
            if let Some(ended) = &self.ended {
                return Poll::Ready(Err(ended.clone()));
            }
            let Poll::Ready(polled) = Pin::new(&mut self.body).poll_frame(cx) else {
                let Asked { what, limit, .. } = &self.asked;
                let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(*limit)));
                ready!(patience.as_mut().poll(cx));
                let stopped = format!("{what}: the answer stopped, and nothing more came within {limit:?}");
                self.ended = Some(Err(GuestError::Unavailable(stopped)));
                continue;
            };
            self.patience = None;
            self.ended = match polled {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(chunk) if !chunk.is_empty() => return Poll::Ready(Ok(chunk)),
                    _ => continue,
                },
                Some(Err(error)) => Some(Err(error::of_body(&error, &self.asked.what, &self.asked.remedy))),
                None if self.asked.ends => Some(Ok(())),
                None => Some(Err(GuestError::Corrupt(format!(
                    "{}: the answer ended with its connection and says no length: it may have been cut there",
                    self.asked.what
                )))),
            };
        }
    }

    /// What is left of the limit counts while the guest waits.
    fn rest(&mut self) {
        self.patience = None;
    }

    fn count(traffic: &Traffic, bytes: usize) {
        traffic.add_exchanged(bytes);
    }
}
