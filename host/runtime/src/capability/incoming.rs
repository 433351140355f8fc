//! Streams of the host into a guest's own buffers, each with a trailer that says how it ended.

use super::{Own, failed};
use crate::{Traffic, bindings::GuestError, limits::POLL_BYTES, state::State};
use bytes::{Buf as _, Bytes};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::oneshot;
use wasmtime::{
    AsContextMut as _, StoreContextMut,
    component::{Access, Destination, FutureReader, StreamProducer, StreamReader, StreamResult},
};

/// What a stream and its trailer are to a guest.
pub(super) type Trailed = (StreamReader<u8>, FutureReader<Result<(), GuestError>>);

/// Where the bytes of a stream come from. Dropped at its end.
pub(super) trait Chunks: Send + Unpin + 'static {
    /// Whose stream it is, for people.
    const OF: &'static str;

    /// The next bytes, at least one, or how it ended: also when asked again.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Result<(), GuestError>>>;

    /// The guest does not wait any longer; it may come back.
    fn rest(&mut self) {}

    /// So many bytes are in the guest.
    fn count(traffic: &Traffic, bytes: usize);
}

/// A stream of `chunks` and its trailer.
pub(super) fn lend<C: Chunks>(access: &mut Access<'_, State, Own>, chunks: C) -> wasmtime::Result<Trailed> {
    let traffic = access.get().traffic.clone();
    let (trailer, receiver) = oneshot::channel();
    let stream = Incoming { chunks: Some(chunks), chunk: Bytes::new(), trailer: Some(trailer), traffic };
    let bytes = StreamReader::new(&mut *access, stream)?;
    Ok((bytes, outcome(access, receiver, C::OF)?))
}

/// The future of a stream's outcome.
pub(super) fn outcome(
    access: &mut Access<'_, State, Own>,
    receiver: oneshot::Receiver<Result<(), GuestError>>,
    of: &'static str,
) -> wasmtime::Result<FutureReader<Result<(), GuestError>>> {
    FutureReader::new(access, async move {
        wasmtime::error::Ok(receiver.await.unwrap_or_else(|_| Err(failed(format_args!("{of} stream is gone")))))
    })
}

struct Incoming<C: Chunks> {
    /// Until its end.
    chunks: Option<C>,
    /// What the guest had no room for.
    chunk: Bytes,
    trailer: Option<oneshot::Sender<Result<(), GuestError>>>,
    traffic: Arc<Traffic>,
}

impl<C: Chunks> Incoming<C> {
    fn end(&mut self, trailer: Result<(), GuestError>) -> Poll<wasmtime::Result<StreamResult>> {
        self.chunks = None;
        self.traffic.add_event();
        if let Some(sender) = self.trailer.take() {
            // A guest that dropped the future does not want to know.
            let _ = sender.send(trailer);
        }
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

impl<C: Chunks> Drop for Incoming<C> {
    fn drop(&mut self) {
        let _ = self.end(Err(failed(format_args!("{} stream was dropped before its end", C::OF))));
    }
}

impl<C: Chunks> StreamProducer<State> for Incoming<C> {
    type Item = u8;
    type Buffer = Option<u8>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, State>,
        destination: Destination<'a, u8, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let this = self.get_mut();
        if destination.remaining(store.as_context_mut()) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let mut direct = destination.as_direct(store, POLL_BYTES);
        let buffer = direct.remaining();
        let room = buffer.len().min(POLL_BYTES);
        let mut rest = buffer.get_mut(..room).unwrap_or_default();
        while !rest.is_empty() {
            if this.chunk.is_empty() {
                let Some(chunks) = &mut this.chunks else { return Poll::Ready(Ok(StreamResult::Dropped)) };
                match chunks.poll_chunk(cx) {
                    Poll::Ready(Ok(chunk)) => this.chunk = chunk,
                    // First what came; the end, and the waker, will be asked for again.
                    _ if rest.len() < room => break,
                    Poll::Ready(Err(ended)) => return this.end(ended),
                    Poll::Pending if finish => {
                        chunks.rest();
                        return Poll::Ready(Ok(StreamResult::Cancelled));
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
            let count = rest.len().min(this.chunk.len());
            let (filled, unfilled) = rest.split_at_mut_checked(count).unwrap_or_default();
            this.chunk.copy_to_slice(filled);
            rest = unfilled;
        }
        let written = room - rest.len();
        direct.mark_written(written);
        C::count(&this.traffic, written);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}
