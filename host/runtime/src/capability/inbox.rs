//! The artifacts of the step before, as streams into the guest's own buffers.

use super::{
    Own,
    incoming::{Chunks, lend},
};
use crate::{
    ArtifactReader, Traffic,
    bindings::{
        GuestError,
        coffer::addon::{
            inbox::{Host, HostWithStore, Incoming},
            types,
        },
    },
    state::State,
};
use bytes::Bytes;
use std::task::{Context, Poll, ready};
use wasmtime::component::Accessor;

impl Host for State {}

impl HostWithStore<State> for Own {
    async fn next(accessor: &Accessor<State, Self>) -> wasmtime::Result<Option<Incoming>> {
        let inbox = accessor.with(|mut access| access.get().inbox.clone());
        let Some(reader) = inbox.lock().await.recv().await else { return Ok(None) };
        accessor.with(|mut access| {
            access.get().traffic.add_event();
            let artifact =
                types::Artifact { name: reader.artifact().name.clone(), labels: reader.artifact().labels.clone() };
            let (bytes, trailer) = lend(&mut access, reader)?;
            Ok(Some(Incoming { artifact, bytes, trailer }))
        })
    }
}

impl Chunks for ArtifactReader {
    const OF: &'static str = "the artifact's";

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Result<(), GuestError>>> {
        Poll::Ready(match ready!(self.poll_next(cx)) {
            Ok(Some(chunk)) => Ok(chunk),
            Ok(None) => Err(Ok(())),
            Err(error) => Err(Err(GuestError::Corrupt(error.to_string()))),
        })
    }

    fn count(traffic: &Traffic, bytes: usize) {
        traffic.add_read(bytes);
    }
}
