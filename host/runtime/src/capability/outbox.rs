//! Artifacts of the guest, on their way to the next step.
//!
//! A guest's stream that broke looks like one that ended, and a `run` may return while a write is still open. So nothing
//! counts as written before its trailer said so, and the [`Ledger`] is asked when `run` returns.

use super::{Own, failed, invalid, pairs};
use crate::{
    Artifact, ArtifactWriter, Outbox, ReaderGone, Receipt, Traffic, Written, artifact,
    bindings::{
        GuestError,
        coffer::addon::{
            outbox::{Host, HostWithStore},
            types,
        },
    },
    event::Gate,
    limits::{ARTIFACT_NAME_BYTES, CHANNEL_CHUNKS, CHUNK_BYTES, LEDGER_BYTES, OPEN_ARTIFACTS},
    state::State,
    stdio::lock,
};
use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeSet, HashSet},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};
use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};
use tokio_util::{sync::PollSender, task::AbortOnDropHandle};
use wasmtime::{
    StoreContextMut,
    component::{Accessor, FutureConsumer, FutureReader, Source, StreamConsumer, StreamReader, StreamResult},
};

/// A run's artifacts, begun and ended.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    names: HashSet<String>,
    open: BTreeSet<String>,
    broken: BTreeSet<String>,
    written: Vec<Written>,
    /// Of everything above, about.
    bytes: usize,
    /// Held by whoever hands an artifact on.
    order: Arc<tokio::sync::Mutex<()>>,
}

/// An artifact's place among those that are handed on: they come in the order in which the guest began them, whichever of their
/// tasks runs first. A guest that lets one wait for another counts on it.
type Place = Pin<Box<dyn Future<Output = OwnedMutexGuard<()>> + Send>>;

impl Ledger {
    fn begin(&mut self, artifact: &Artifact) -> Result<(), GuestError> {
        check_name(&artifact.name)?;
        let labels: usize = artifact.labels.iter().map(|(key, value)| key.len() + value.len() + 48).sum();
        let bytes = self.bytes + 2 * artifact.name.len() + labels + 128;
        if bytes > LEDGER_BYTES {
            return Err(invalid("this run has more artifacts, or longer names and labels, than the host remembers"));
        }
        if self.open.len() >= OPEN_ARTIFACTS {
            return Err(invalid(format_args!("{OPEN_ARTIFACTS} artifacts are open: finish one before the next")));
        }
        if !self.names.insert(artifact.name.clone()) {
            return Err(invalid(format_args!("this run already wrote an artifact {}", artifact.name)));
        }
        self.open.insert(artifact.name.clone());
        self.bytes = bytes;
        Ok(())
    }

    /// Behind all that asked before.
    fn place(&self) -> Place {
        // With a budget the lock might not even queue.
        let mut lock = Box::pin(tokio::task::unconstrained(self.order.clone().lock_owned()));
        match lock.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(guard) => Box::pin(std::future::ready(guard)),
            Poll::Pending => lock,
        }
    }

    fn end(&mut self, artifact: Artifact, receipt: Option<Receipt>) {
        self.open.remove(&artifact.name);
        match receipt {
            Some(receipt) => self.written.push(Written { artifact, receipt }),
            None => {
                self.broken.insert(artifact.name);
            }
        }
    }

    /// What was written whole, or the names of what was not.
    pub(crate) fn close(&mut self) -> Result<Vec<Written>, Vec<String>> {
        let incomplete: Vec<_> = self.open.iter().chain(&self.broken).cloned().collect();
        if incomplete.is_empty() { Ok(std::mem::take(&mut self.written)) } else { Err(incomplete) }
    }
}

/// A name becomes a path in the snapshot and, one day, on somebody's disk.
fn check_name(name: &str) -> Result<(), GuestError> {
    let refuse = |reason: &str| Err(invalid(format_args!("artifact name {name:?} {reason}")));
    if name.len() > ARTIFACT_NAME_BYTES {
        return Err(invalid(format_args!(
            "an artifact's name has {} bytes, {ARTIFACT_NAME_BYTES} are allowed",
            name.len()
        )));
    }
    if name.chars().any(|c| c.is_control() || c == '\\') {
        return refuse("holds a control character or a backslash");
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return refuse("is not a relative path of plain parts");
    }
    if name.split('/').next() == Some(".coffer") {
        return refuse("is in the folder .coffer, which is the host's");
    }
    Ok(())
}

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

/// The host's end of a guest's stream, and the other end of that: full chunks, then perhaps a last one.
fn outgoing(traffic: Arc<Traffic>) -> (Outgoing, Drain) {
    let (sender, chunks) = mpsc::channel(CHANNEL_CHUNKS);
    let (tail_sender, tail) = oneshot::channel();
    let sink = Outgoing { sender: PollSender::new(sender), tail: Some(tail_sender), buffer: BytesMut::new(), traffic };
    (sink, Drain { chunks, tail })
}

struct Drain {
    chunks: mpsc::Receiver<Bytes>,
    tail: oneshot::Receiver<Bytes>,
}

/// Gathers what a guest writes, piece by piece, into chunks worth sending.
struct Outgoing {
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
pub(super) struct Trailer(Option<oneshot::Sender<Result<(), GuestError>>>);

impl Trailer {
    pub(super) fn new(verdict: oneshot::Sender<Result<(), GuestError>>) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ArtifactReader, Observer, event::Mask};

    #[test]
    fn names_are_relative_paths_of_plain_parts() {
        for good in ["toc.dat", "base/16384/1", "a b", "…", ".hidden", "x.coffer"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "a//b",
            "a/",
            "../a",
            "a/../b",
            ".",
            "a\0b",
            "a\nb",
            "a\\b",
            ".coffer/manifest.json",
        ] {
            assert!(matches!(check_name(bad), Err(GuestError::InvalidParameter(_))), "{bad:?}");
        }
        assert!(check_name(&"a".repeat(ARTIFACT_NAME_BYTES + 1)).is_err());
    }

    #[test]
    fn the_ledger_knows_what_is_not_whole() {
        let receipt = Receipt { length: 0, sha256: [0; 32] };
        let mut ledger = Ledger::default();
        for name in ["whole", "broken", "open"] {
            ledger.begin(&Artifact::new(name)).unwrap();
        }
        assert!(ledger.begin(&Artifact::new("whole")).is_err(), "names are unique");
        let greedy = Artifact { name: "greedy".into(), labels: vec![("k".repeat(LEDGER_BYTES), String::new())] };
        assert!(ledger.begin(&greedy).is_err(), "the host's memory is not the guest's");
        ledger.end(Artifact::new("whole"), Some(receipt));
        ledger.end(Artifact::new("broken"), None);
        assert_eq!(ledger.close().unwrap_err(), ["open", "broken"]);
    }

    #[tokio::test]
    async fn artifacts_come_in_the_order_in_which_they_were_begun() {
        let ledger = Ledger::default();
        let places: Vec<Place> = (0..3).map(|_| ledger.place()).collect();
        let (took, mut taken) = mpsc::unbounded_channel();
        // Whichever asks first.
        for (number, place) in places.into_iter().enumerate().rev() {
            let took = took.clone();
            tokio::spawn(async move {
                let _turn = place.await;
                took.send(number).unwrap();
            });
        }
        for number in 0..3 {
            assert_eq!(taken.recv().await, Some(number));
        }
    }

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
