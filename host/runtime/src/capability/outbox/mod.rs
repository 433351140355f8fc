//! Artifacts of the guest, on their way to the next step.
//!
//! A guest's stream that broke looks like one that ended, and a `run` may return while a write is still open. So nothing
//! counts as written before its trailer said so, and the [`Ledger`] is asked when `run` returns.

mod ledger;
mod stream;

pub(crate) use ledger::Ledger;
pub(super) use stream::Trailer;

use self::{
    ledger::Place,
    stream::{Drain, outgoing},
};
use super::{Own, failed, pairs};
use crate::{
    Artifact, ArtifactWriter, Outbox, ReaderGone, Receipt, artifact,
    bindings::{
        GuestError,
        coffer::addon::{
            outbox::{Host, HostWithStore},
            types,
        },
    },
    event::Gate,
    limits::CHANNEL_CHUNKS,
    state::State,
    stdio::lock,
};
use sha2::{Digest as _, Sha256};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::{Accessor, FutureReader, StreamReader};

impl Host for State {}

impl HostWithStore<State> for Own {
    async fn write(
        accessor: &Accessor<State, Self>,
        artifact: types::Artifact,
        mut bytes: StreamReader<u8>,
        mut trailer: FutureReader<Result<(), GuestError>>,
    ) -> wasmtime::Result<Result<types::Receipt, GuestError>> {
        let begun = accessor.with(|mut access| {
            let state = access.get();
            let begun = pairs(artifact.labels).and_then(|labels| {
                let labels = lock(&state.gate).readable_pairs(labels);
                let artifact = Artifact { name: artifact.name, labels };
                lock(&state.ledger).begin(&artifact).map(|()| artifact)
            });
            state.traffic.add_event();
            let (outbox, gate) = (state.outbox.clone(), state.gate.clone());
            let (ledger, traffic) = (state.ledger.clone(), state.traffic.clone());
            let artifact = match begun {
                Ok(artifact) => artifact,
                Err(error) => {
                    bytes.close(&mut access)?;
                    trailer.close(&mut access)?;
                    return wasmtime::error::Ok(Err(error));
                }
            };
            let (sink, drain) = outgoing(traffic.clone());
            let (verdict, judged) = oneshot::channel();
            bytes.pipe(&mut access, sink)?;
            trailer.pipe(&mut access, Trailer::new(verdict))?;
            // On a task of its own: hashing then runs beside the guest, not in between.
            let place = lock(&ledger).place();
            let carried = tokio::spawn(carry(artifact.clone(), place, outbox, drain, judged, gate));
            Ok(Ok((artifact, ledger, traffic, AbortOnDropHandle::new(carried))))
        })?;
        let (artifact, ledger, traffic, carried) = match begun {
            Ok(begun) => begun,
            Err(error) => return Ok(Err(error)),
        };
        let outcome = carried.await.map_err(|error| wasmtime::format_err!("handing on an artifact failed: {error}"))?;
        traffic.add_event();
        lock(&ledger).end(artifact, outcome.as_ref().ok().copied());
        Ok(outcome.map(|receipt| types::Receipt { length: receipt.length, sha256: receipt.sha256.to_vec() }))
    }
}

/// Carries one artifact to its reader, measuring it. Dropped at any point, the reader sees a failed artifact.
async fn carry(
    named: Artifact,
    place: Place,
    outbox: Outbox,
    mut drain: Drain,
    mut judged: oneshot::Receiver<Result<(), GuestError>>,
    gate: Arc<Mutex<Gate>>,
) -> Result<Receipt, GuestError> {
    let (mut writer, reader) = artifact(named, CHANNEL_CHUNKS);
    let turn = place.await;
    if outbox.send(reader).await.is_err() {
        return Err(failed("nobody takes this step's artifacts any more"));
    }
    drop(turn);
    let mut hash = Sha256::new();
    let mut length = 0;
    let mut verdict = None;
    loop {
        tokio::select! {
            chunk = drain.chunks.recv() => match chunk {
                Some(chunk) => {
                    hash.update(&chunk);
                    length += chunk.len() as u64;
                    writer.write(chunk).await.map_err(reader_gone)?;
                }
                None => break,
            },
            early = &mut judged, if verdict.is_none() => {
                let early = early.unwrap_or_else(|_| Err(no_trailer()));
                if let Err(error) = early {
                    return give_up(writer, error, &gate).await;
                }
                verdict = Some(Ok(()));
            }
            () = writer.closed() => return Err(reader_gone(ReaderGone)),
        }
    }
    if let Ok(tail) = drain.tail.await {
        hash.update(&tail);
        length += tail.len() as u64;
        writer.write(tail).await.map_err(reader_gone)?;
    }
    let verdict = match verdict {
        Some(verdict) => verdict,
        None => judged.await.unwrap_or_else(|_| Err(no_trailer())),
    };
    match verdict {
        Ok(()) => {
            writer.finish().await.map_err(reader_gone)?;
            Ok(Receipt { length, sha256: hash.finalize().into() })
        }
        Err(error) => give_up(writer, error, &gate).await,
    }
}

async fn give_up(writer: ArtifactWriter, error: GuestError, gate: &Mutex<Gate>) -> Result<Receipt, GuestError> {
    let reason = lock(gate).readable(error.text());
    writer.fail(reason).await;
    Err(error)
}

fn no_trailer() -> GuestError {
    GuestError::Corrupt("the artifact ended without its trailer".into())
}

fn reader_gone(gone: ReaderGone) -> GuestError {
    failed(gone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ArtifactReader, Observer, event::Mask};
    use bytes::Bytes;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn what_is_carried_is_measured() {
        let (outbox, mut inbox) = mpsc::channel(1);
        let (chunks, drain_chunks) = mpsc::channel(4);
        let (tail_sender, tail) = oneshot::channel();
        let (verdict, judged) = oneshot::channel();
        let gate = Arc::new(Mutex::new(Gate::new(Observer::none(), Mask::default(), 0)));
        let place = Ledger::default().place();
        let carried =
            tokio::spawn(carry(Artifact::new("a"), place, outbox, Drain { chunks: drain_chunks, tail }, judged, gate));
        chunks.send(Bytes::from_static(b"ab")).await.unwrap();
        // A trailer may overtake the bytes before it.
        verdict.send(Ok(())).unwrap();
        tail_sender.send(Bytes::from_static(b"c")).unwrap();
        drop(chunks);
        let mut reader: ArtifactReader = inbox.recv().await.unwrap();
        let mut read = Vec::new();
        while let Some(chunk) = reader.next().await.unwrap() {
            read.extend_from_slice(&chunk);
        }
        assert_eq!(read, b"abc");
        let receipt = carried.await.unwrap().unwrap();
        assert_eq!((receipt.length, receipt.sha256), (3, Sha256::digest(b"abc").into()));
    }
}
