//! The streams that a connection's halves are lent to: into the guest's memory and out of it, with no buffer in between.

use super::{
    Link,
    half::{ReadEnd, WriteEnd},
};
use crate::{
    Traffic,
    bindings::GuestError,
    limits::{FLUSH, POLL_BYTES},
    state::State,
};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{io::ReadBuf, runtime::Handle, sync::oneshot, time::timeout};
use wasmtime::{
    AsContextMut as _, StoreContextMut,
    component::{Destination, Source, StreamConsumer, StreamProducer, StreamResult},
};

/// The read half on loan.
pub(super) struct Incoming {
    pub(super) half: Option<ReadEnd>,
    pub(super) link: Arc<Link>,
    pub(super) trailer: Option<oneshot::Sender<Result<(), GuestError>>>,
    pub(super) traffic: Arc<Traffic>,
}

impl Incoming {
    pub(super) fn end(&mut self, trailer: Result<(), GuestError>) {
        if let Some(half) = self.half.take() {
            self.link.read.give_back(half);
        }
        if let Some(sender) = self.trailer.take() {
            // A guest that dropped the future does not want to know.
            let _ = sender.send(trailer);
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.end(Ok(()));
    }
}

impl StreamProducer<State> for Incoming {
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
        let Some(half) = this.half.as_mut() else { return Poll::Ready(Ok(StreamResult::Dropped)) };
        if destination.remaining(store.as_context_mut()) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let mut direct = destination.as_direct(store, POLL_BYTES);
        let buffer = direct.remaining();
        let room = buffer.len().min(POLL_BYTES);
        let mut buffer = ReadBuf::new(buffer.get_mut(..room).unwrap_or_default());
        match half.poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => {
                let count = buffer.filled().len();
                if count == 0 {
                    this.end(Ok(()));
                    return Poll::Ready(Ok(StreamResult::Dropped));
                }
                direct.mark_written(count);
                this.traffic.add_exchanged(count);
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Poll::Ready(Err(error)) => {
                this.end(Err(this.link.classify(&error, "the connection broke while reading")));
                Poll::Ready(Ok(StreamResult::Dropped))
            }
            Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// The write half on loan.
pub(super) struct Outgoing {
    pub(super) half: Option<WriteEnd>,
    pub(super) link: Arc<Link>,
    pub(super) done: Option<oneshot::Sender<Result<(), GuestError>>>,
    /// Of the guest's current write.
    pub(super) taken: usize,
    /// Records that TLS has made and the socket has not taken yet.
    pub(super) unflushed: bool,
    pub(super) traffic: Arc<Traffic>,
}

impl Outgoing {
    fn end(&mut self, outcome: Result<(), GuestError>) {
        if let Some(half) = self.half.take() {
            self.link.write.give_back(half);
        }
        if let Some(done) = self.done.take() {
            let _ = done.send(outcome);
        }
    }

    fn fail(&mut self, error: &io::Error) -> Poll<wasmtime::Result<StreamResult>> {
        self.end(Err(self.link.classify(error, "the connection broke while writing")));
        Poll::Ready(Ok(StreamResult::Dropped))
    }

    fn completed(&mut self) -> Poll<wasmtime::Result<StreamResult>> {
        self.taken = 0;
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl Drop for Outgoing {
    /// The guest has written everything; the last records may still have to leave.
    fn drop(&mut self) {
        let (Ok(runtime), true) = (Handle::try_current(), self.unflushed) else {
            return self.end(Ok(()));
        };
        let (half, done, link) = (self.half.take(), self.done.take(), self.link.clone());
        runtime.spawn(async move {
            let Some(mut half) = half else { return };
            let flushed = match timeout(FLUSH, half.flush()).await {
                Ok(flushed) => flushed,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            link.write.give_back(half);
            if let Some(done) = done {
                let _ = done.send(flushed.map_err(|error| link.classify(&error, "the connection broke while writing")));
            }
        });
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
        let mut source = source.as_direct(store);
        while this.taken < POLL_BYTES {
            let Some(half) = this.half.as_mut() else { return Poll::Ready(Ok(StreamResult::Dropped)) };
            let bytes = source.remaining();
            if bytes.is_empty() {
                break;
            }
            let some = bytes.get(..POLL_BYTES).unwrap_or(bytes);
            match half.poll_write(cx, some) {
                Poll::Ready(Ok(0)) => return this.fail(&io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    source.mark_read(count);
                    this.taken += count;
                    this.unflushed = true;
                    this.traffic.add_exchanged(count);
                }
                Poll::Ready(Err(error)) => return this.fail(&error),
                // The guest will offer the rest again, and with it comes the next poll.
                Poll::Pending if this.taken > 0 => return this.completed(),
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                Poll::Pending => return Poll::Pending,
            }
        }
        // Said to be sent before it has left, a request could wait here for ever, and the guest for its answer.
        let Some(half) = this.half.as_mut() else { return Poll::Ready(Ok(StreamResult::Dropped)) };
        match half.poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                this.unflushed = false;
                this.completed()
            }
            Poll::Ready(Err(error)) => this.fail(&error),
            Poll::Pending if finish => this.completed(),
            Poll::Pending => Poll::Pending,
        }
    }
}
