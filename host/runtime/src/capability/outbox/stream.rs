//! A guest's stream and its trailer, taken.

use crate::{
    Traffic,
    bindings::GuestError,
    limits::{CHANNEL_CHUNKS, CHUNK_BYTES},
    state::State,
};
use bytes::{Bytes, BytesMut};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::PollSender;
use wasmtime::{
    StoreContextMut,
    component::{FutureConsumer, Source, StreamConsumer, StreamResult},
};

/// The host's end of a guest's stream, and the other end of that: full chunks, then perhaps a last one.
pub(super) fn outgoing(traffic: Arc<Traffic>) -> (Outgoing, Drain) {
    let (sender, chunks) = mpsc::channel(CHANNEL_CHUNKS);
    let (tail_sender, tail) = oneshot::channel();
    let sink = Outgoing { sender: PollSender::new(sender), tail: Some(tail_sender), buffer: BytesMut::new(), traffic };
    (sink, Drain { chunks, tail })
}

pub(super) struct Drain {
    pub(super) chunks: mpsc::Receiver<Bytes>,
    pub(super) tail: oneshot::Receiver<Bytes>,
}

/// Gathers what a guest writes, piece by piece, into chunks worth sending.
pub(super) struct Outgoing {
    sender: PollSender<Bytes>,
    tail: Option<oneshot::Sender<Bytes>>,
    buffer: BytesMut,
    traffic: Arc<Traffic>,
}

impl Outgoing {
    /// `Err` when nobody reads any more.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        std::task::ready!(self.sender.poll_reserve(cx)).map_err(drop)?;
        Poll::Ready(self.sender.send_item(self.buffer.split().freeze()).map_err(drop))
    }

    /// The reader has caught up: it would rather have little now than much later.
    fn is_awaited(&self) -> bool {
        self.sender.get_ref().is_some_and(|sender| sender.capacity() == sender.max_capacity())
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Some(tail) = self.tail.take() {
            // Nobody to receive it: the artifact has failed already.
            let _ = tail.send(self.buffer.split().freeze());
        }
    }
}

impl StreamConsumer<State> for Outgoing {
    type Item = u8;

    fn poll_consume(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<State>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let this = self.get_mut();
        if this.buffer.len() >= CHUNK_BYTES {
            match this.poll_send(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(())) => return Poll::Ready(Ok(StreamResult::Dropped)),
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if this.sender.is_closed() {
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        let mut source = source.as_direct(store);
        let bytes = source.remaining();
        // Never by the guest's word alone: a chunk is the most that is taken at once.
        let count = bytes.len().min(CHUNK_BYTES - this.buffer.len());
        if count == 0 {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        if this.buffer.capacity() - this.buffer.len() < count {
            this.buffer.reserve(CHUNK_BYTES - this.buffer.len());
        }
        this.buffer.extend_from_slice(bytes.get(..count).unwrap_or_default());
        source.mark_read(count);
        this.traffic.add_written(count);
        if this.buffer.len() >= CHUNK_BYTES || this.is_awaited() {
            // What cannot be sent yet stays, and is sent before more is taken.
            if let Poll::Ready(Err(())) = this.poll_send(cx) {
                return Poll::Ready(Ok(StreamResult::Dropped));
            }
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// Takes a guest's trailer; dropped without one, the other end sees that.
pub(in super::super) struct Trailer(Option<oneshot::Sender<Result<(), GuestError>>>);

impl Trailer {
    pub(in super::super) fn new(verdict: oneshot::Sender<Result<(), GuestError>>) -> Self {
        Self(Some(verdict))
    }
}

impl FutureConsumer<State> for Trailer {
    type Item = Result<(), GuestError>;

    fn poll_consume(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<State>,
        mut source: Source<'_, Self::Item>,
        _: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut value = None;
        source.read(store, &mut value)?;
        if let (Some(value), Some(verdict)) = (value, self.get_mut().0.take()) {
            // The carrier may have given up already.
            let _ = verdict.send(value);
        }
        Poll::Ready(Ok(()))
    }
}
