//! The artifacts of the step before, as streams into the guest's own buffers.

use super::{Own, failed};
use crate::{
    ArtifactReader, Traffic,
    bindings::{
        GuestError,
        coffer::addon::{
            inbox::{Host, HostWithStore, Incoming},
            types,
        },
    },
    limits::POLL_BYTES,
    state::State,
};
use bytes::{Buf as _, Bytes};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::oneshot;
use wasmtime::{
    AsContextMut as _, StoreContextMut,
    component::{Accessor, Destination, FutureReader, StreamProducer, StreamReader, StreamResult},
};

impl Host for State {}

impl HostWithStore<State> for Own {
    async fn next(accessor: &Accessor<State, Self>) -> wasmtime::Result<Option<Incoming>> {
        let inbox = accessor.with(|mut access| access.get().inbox.clone());
        let Some(reader) = inbox.lock().await.recv().await else { return Ok(None) };
        accessor.with(|mut access| {
            let traffic = access.get().traffic.clone();
            traffic.add_event();
            let artifact =
                types::Artifact { name: reader.artifact().name.clone(), labels: reader.artifact().labels.clone() };
            let (sender, receiver) = oneshot::channel();
            let producer = Incomplete { reader: Some(reader), chunk: Bytes::new(), trailer: Some(sender), traffic };
            let bytes = StreamReader::new(&mut access, producer)?;
            let trailer = FutureReader::new(&mut access, async move {
                wasmtime::error::Ok(receiver.await.unwrap_or_else(|_| Err(failed("the artifact's stream is gone"))))
            })?;
            Ok(Some(Incoming { artifact, bytes, trailer }))
        })
    }
}

/// An artifact on its way into a guest.
struct Incomplete {
    /// Until its end.
    reader: Option<ArtifactReader>,
    /// What the guest had no room for.
    chunk: Bytes,
    trailer: Option<oneshot::Sender<Result<(), GuestError>>>,
    traffic: Arc<Traffic>,
}

impl Incomplete {
    fn end(&mut self, trailer: Result<(), GuestError>) -> Poll<wasmtime::Result<StreamResult>> {
        self.reader = None;
        self.traffic.add_event();
        if let Some(sender) = self.trailer.take() {
            // A guest that dropped the future does not want to know.
            let _ = sender.send(trailer);
        }
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

impl Drop for Incomplete {
    fn drop(&mut self) {
        let _ = self.end(Err(failed("the artifact's stream was dropped before its end")));
    }
}

impl StreamProducer<State> for Incomplete {
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
                let Some(reader) = this.reader.as_mut() else { break };
                match reader.poll_next(cx) {
                    Poll::Ready(Ok(Some(chunk))) => this.chunk = chunk,
                    // First what came; the end, and the waker, will be asked for again.
                    _ if rest.len() < room => break,
                    Poll::Ready(Ok(None)) => return this.end(Ok(())),
                    Poll::Ready(Err(error)) => return this.end(Err(GuestError::Corrupt(error.to_string()))),
                    Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            let count = rest.len().min(this.chunk.len());
            let (filled, unfilled) = rest.split_at_mut_checked(count).unwrap_or_default();
            this.chunk.copy_to_slice(filled);
            rest = unfilled;
        }
        let written = room - rest.len();
        if written == 0 {
            // Only after the end.
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        direct.mark_written(written);
        this.traffic.add_read(written);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}
