//! Artifacts on their way out of a source, into a folder or just measured, and back into a sink, whole or damaged.

use crate::gate::Gate;
use crate::limits::DAMAGE_BYTES;
use bytes::{Bytes, BytesMut};
use coffer_runtime::{Artifact, ArtifactReader, ArtifactWriter, ReaderGone, artifact};
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Chunks between the addon and the kit, an artifact: as few as can be, since what waits there was not throttled.
const CHUNKS: usize = 1;

/// An artifact as it came.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) artifact: Artifact,
    pub(crate) length: u64,
    pub(crate) sha256: [u8; 32],
    /// Whether its trailer was good.
    pub(crate) whole: bool,
    /// Where it is kept, when it is.
    pub(crate) file: Option<PathBuf>,
}

/// Takes everything that comes, side by side, in the order of their beginnings. An error is the disk's.
pub(crate) async fn take(
    mut from: mpsc::Receiver<ArtifactReader>,
    folder: Option<PathBuf>,
    gate: Arc<Gate>,
) -> io::Result<Vec<Taken>> {
    let mut tasks = JoinSet::new();
    let mut count = 0;
    while let Some(reader) = from.recv().await {
        let file = folder.as_ref().map(|folder| folder.join(count.to_string()));
        let (index, gate) = (count, Arc::clone(&gate));
        count += 1;
        tasks.spawn(async move { take_one(reader, file, &gate).await.map(|taken| (index, taken)) });
    }
    let mut all = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        all.push(ended.map_err(io::Error::other)??);
    }
    all.sort_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, taken)| taken).collect())
}

async fn take_one(mut reader: ArtifactReader, file: Option<PathBuf>, gate: &Gate) -> io::Result<Taken> {
    let artifact = reader.artifact().clone();
    let mut out = match &file {
        Some(path) => Some(File::create(path).await?),
        None => None,
    };
    let (mut hash, mut length) = (Sha256::new(), 0);
    let whole = loop {
        match reader.next().await {
            Ok(Some(mut chunk)) => {
                while !chunk.is_empty() {
                    let some = chunk.split_to(gate.pass(chunk.len()).await);
                    hash.update(&some);
                    length += some.len() as u64;
                    if let Some(out) = &mut out {
                        out.write_all(&some).await?;
                    }
                }
            }
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    if let Some(mut out) = out {
        out.flush().await?;
    }
    Ok(Taken { artifact, length, sha256: hash.finalize().into(), whole, file })
}

/// An artifact for a sink.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) artifact: Artifact,
    pub(crate) file: PathBuf,
    pub(crate) damage: Damage,
}

/// What happens to an artifact on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    None,
    /// Ends there, and says it is whole.
    Short(u64),
    /// Ends there, and says it is not.
    Broken(u64),
    /// From there on some bytes are others.
    Garbled(u64),
}

/// Hands everything to a sink, each as soon as the one before was taken. Ends when the sink wants no more.
pub(crate) async fn feed(into: mpsc::Sender<ArtifactReader>, offers: Vec<Offer>, piece: usize, gate: Arc<Gate>) {
    let mut tasks = JoinSet::new();
    for offer in offers {
        let (writer, reader) = artifact(offer.artifact.clone(), CHUNKS);
        if into.send(reader).await.is_err() {
            break;
        }
        let gate = Arc::clone(&gate);
        tasks.spawn(async move { pump(&offer, writer, piece, &gate).await });
    }
    drop(into);
    while tasks.join_next().await.is_some() {}
}

/// A sink that leaves an artifact in the middle gets nothing more of it; what it makes of that is its own affair.
async fn pump(offer: &Offer, mut writer: ArtifactWriter, piece: usize, gate: &Gate) {
    let end = match offer.damage {
        Damage::None | Damage::Garbled(_) => u64::MAX,
        Damage::Short(end) | Damage::Broken(end) => end,
    };
    match write(offer, &mut writer, piece, gate, end).await {
        Ok(Ok(())) if matches!(offer.damage, Damage::Broken(_)) => {
            writer.fail("the kit broke it off").await;
        }
        Ok(Ok(())) => {
            let _ = writer.finish_read().await;
        }
        Ok(Err(ReaderGone)) => {}
        Err(error) => writer.fail(format!("unable to read what was kept of it: {error}")).await,
    }
}

async fn write(
    offer: &Offer,
    writer: &mut ArtifactWriter,
    piece: usize,
    gate: &Gate,
    end: u64,
) -> io::Result<Result<(), ReaderGone>> {
    let mut file = File::open(&offer.file).await?.take(end);
    let mut at = 0_u64;
    loop {
        let mut buffer = BytesMut::with_capacity(piece);
        // `read_buf` stops at the buffer's capacity, which is a piece or a little more.
        if file.read_buf(&mut buffer).await? == 0 {
            return Ok(Ok(()));
        }
        if let Damage::Garbled(from) = offer.damage {
            garble(&mut buffer, at, from);
        }
        at += buffer.len() as u64;
        let mut chunk: Bytes = buffer.freeze();
        while !chunk.is_empty() {
            let some = chunk.split_to(gate.pass(chunk.len()).await);
            if writer.write(some).await.is_err() {
                return Ok(Err(ReaderGone));
            }
        }
    }
}

/// Overwrites what of the damaged place lies in `bytes`, which begin at `at`.
fn garble(bytes: &mut [u8], at: u64, from: u64) {
    for (index, byte) in (at..).zip(bytes.iter_mut()) {
        if (from..from + DAMAGE_BYTES).contains(&index) {
            *byte = 0xff;
        }
    }
}

/// The end of the last line in the first half of a file, in bytes: what is left then looks whole.
pub(crate) async fn line_end(path: &Path, length: u64) -> io::Result<Option<u64>> {
    let mut half = Vec::new();
    File::open(path).await?.take(length / 2).read_to_end(&mut half).await?;
    Ok(half.iter().rposition(|byte| *byte == b'\n').map(|at| at as u64 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn through(damage: Damage) -> Taken {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kept");
        std::fs::write(&file, vec![b'x'; 100_000]).unwrap();
        let (into, from) = mpsc::channel(1);
        let gate = || Arc::new(Gate::after(u64::MAX));
        let offer = Offer { artifact: Artifact::new("a"), file, damage };
        let (taken, ()) = tokio::join!(take(from, None, gate()), feed(into, vec![offer], 1009, gate()));
        taken.unwrap().pop().unwrap()
    }

    #[tokio::test]
    async fn what_is_damaged_is_damaged_as_said() {
        let whole = through(Damage::None).await;
        assert_eq!((whole.length, whole.whole), (100_000, true));
        assert_eq!(whole.sha256, <[u8; 32]>::from(Sha256::digest(vec![b'x'; 100_000])));
        let short = through(Damage::Short(5_000)).await;
        assert_eq!((short.length, short.whole), (5_000, true));
        let broken = through(Damage::Broken(5_000)).await;
        assert_eq!((broken.length, broken.whole), (5_000, false));
        let garbled = through(Damage::Garbled(50_000)).await;
        let mut bytes = vec![b'x'; 100_000];
        bytes[50_000..54_096].fill(0xff);
        assert_eq!((garbled.length, garbled.sha256), (100_000, Sha256::digest(&bytes).into()));
    }

    #[tokio::test]
    async fn a_gate_stops_the_stream_where_it_says() {
        let gate = Arc::new(Gate::after(10));
        let (into, from) = mpsc::channel(1);
        let (mut writer, reader) = artifact(Artifact::new("a"), 4);
        into.send(reader).await.unwrap();
        drop(into);
        let taking = tokio::spawn(take(from, None, Arc::clone(&gate)));
        writer.write(Bytes::from_static(&[0; 25])).await.unwrap();
        gate.reached().await;
        // The run has ended in the middle of it.
        drop(writer);
        gate.open();
        let taken = taking.await.unwrap().unwrap();
        assert!(!taken[0].whole);
    }
}
