//! One stream into a snapshot.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::task::{JoinHandle, JoinSet};

use super::Shared;
use crate::{
    chunker::{Chunker, GearTable},
    error::{Error, Result},
    id::Id,
    limits,
    tree::FileRecord,
    work::{internal, on_core},
};

/// What was written, for whoever wrote it to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// In bytes.
    pub length: u64,
    /// Of the whole stream.
    pub sha256: Id,
}

/// Writes one file. It must be finished: dropping it before fails the snapshot.
pub struct FileWriter {
    shared: Arc<Shared>,
    path: String,
    /// What arrived and is not scanned yet.
    batch: Vec<Bytes>,
    batch_size: usize,
    scan: Option<Scan>,
    /// Chunks in work; each ends with its place and its id, or with `None` when the snapshot failed.
    chunks: JoinSet<Option<(usize, Id)>>,
    /// Every chunk's id, once it is known; see `placed`.
    content: Vec<Id>,
    placed: usize,
    /// A call is under way, or was dropped under way.
    busy: bool,
    finished: bool,
}

/// The stream so far, at rest or being scanned on a core.
enum Scan {
    Idle(Box<Scanner>),
    Running(JoinHandle<Result<Scanned>>),
}

struct Scanned {
    scanner: Box<Scanner>,
    /// The chunks that the batch completed.
    chunks: Vec<Vec<u8>>,
}

/// What has to see every byte of the stream in order.
struct Scanner {
    table: Arc<GearTable>,
    chunker: Chunker,
    hash: Sha256,
    length: u64,
}

impl FileWriter {
    pub(crate) fn new(shared: Arc<Shared>, path: String) -> Self {
        let table = Arc::clone(&shared.repository.gear);
        let scanner =
            Scanner { table, chunker: Chunker::new(Arc::clone(&shared.sealer.spares)), hash: Sha256::new(), length: 0 };
        Self {
            shared,
            path,
            batch: Vec::new(),
            batch_size: 0,
            scan: Some(Scan::Idle(Box::new(scanner))),
            chunks: JoinSet::new(),
            content: Vec::new(),
            placed: 0,
            busy: false,
            finished: false,
        }
    }

    /// Takes the next bytes of the stream. Waits when the repository is slower than the stream; fails as soon as anything of the
    /// snapshot fails. Dropped before its end, it fails the snapshot: nobody could tell which bytes it took.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.exclusively(async |writer| writer.take(bytes).await).await
    }

    /// Ends the stream.
    pub async fn finish(mut self) -> Result<Receipt> {
        let receipt = self.exclusively(async |writer| writer.end().await).await?;
        self.finished = true;
        Ok(receipt)
    }

    async fn exclusively<T>(&mut self, work: impl AsyncFnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let shared = Arc::clone(&self.shared);
        if std::mem::replace(&mut self.busy, true) {
            shared.health.fail(Error::Unfinished { path: self.path.clone() });
        }
        let result = shared.health.guard(work(self)).await;
        self.busy = false;
        result
    }

    async fn take(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            let room = limits::SCAN_BATCH - self.batch_size;
            let part = bytes.split_to(room.min(bytes.len()));
            self.batch_size += part.len();
            self.batch.push(part);
            if self.batch_size == limits::SCAN_BATCH {
                let scanner = self.scanned().await?;
                self.start_scan(scanner);
            }
        }
        Ok(())
    }

    /// Hands the batch to a core; the stream goes on meanwhile.
    fn start_scan(&mut self, mut scanner: Box<Scanner>) {
        let batch = std::mem::take(&mut self.batch);
        self.batch_size = 0;
        self.scan = Some(Scan::Running(tokio::spawn(on_core(move |_| {
            let mut chunks = Vec::new();
            for bytes in batch {
                scanner.hash.update(&bytes);
                scanner.length += bytes.len() as u64;
                scanner.chunker.push(&scanner.table, &bytes, &mut |chunk| chunks.push(chunk));
            }
            Ok(Scanned { scanner, chunks })
        }))));
    }

    /// Waits for the scan under way and puts its chunks to work.
    async fn scanned(&mut self) -> Result<Box<Scanner>> {
        match self.scan.take() {
            Some(Scan::Idle(scanner)) => Ok(scanner),
            Some(Scan::Running(scan)) => {
                let Scanned { scanner, chunks } = scan.await.map_err(internal)??;
                for chunk in chunks {
                    self.start_chunk(chunk).await?;
                }
                Ok(scanner)
            }
            None => Err(Error::Unfinished { path: self.path.clone() }),
        }
    }

    async fn start_chunk(&mut self, chunk: Vec<u8>) -> Result<()> {
        while let Some(ended) = self.chunks.try_join_next() {
            self.place(ended.map_err(internal)?);
        }
        let weight = u32::try_from(chunk.len().div_ceil(1024)).map_err(internal)?;
        let permit = Arc::clone(&self.shared.budget).acquire_many_owned(weight).await.map_err(internal)?;
        let place = self.content.len();
        self.content.push(Id::from([0; 32]));
        let shared = Arc::clone(&self.shared);
        self.chunks.spawn(async move {
            let id = shared.health.guard(shared.sealer.chunk(chunk)).await.ok();
            // Held until the pack that the chunk filled is being uploaded, so that what waits for that is bounded too.
            drop(permit);
            id.map(|id| (place, id))
        });
        Ok(())
    }

    fn place(&mut self, ended: Option<(usize, Id)>) {
        if let Some((place, id)) = ended
            && let Some(slot) = self.content.get_mut(place)
        {
            *slot = id;
            self.placed += 1;
        }
    }

    async fn end(&mut self) -> Result<Receipt> {
        let scanner = self.scanned().await?;
        self.start_scan(scanner);
        let mut scanner = self.scanned().await?;
        if let Some(chunk) = scanner.chunker.finish() {
            self.start_chunk(chunk).await?;
        }
        while let Some(ended) = self.chunks.join_next().await {
            self.place(ended.map_err(internal)?);
        }
        self.shared.health.check()?;
        if self.placed != self.content.len() {
            return Err(Error::Internal(format!("a chunk of {} is missing", self.path)));
        }
        let mut content = std::mem::take(&mut self.content);
        content.shrink_to_fit();

        let Scanner { hash, length, .. } = *scanner;
        self.shared.files().complete(&self.path, FileRecord { size: length, content })?;
        let mut figures = self.shared.figures();
        figures.files += 1;
        figures.bytes += length;
        let sha256: [u8; 32] = hash.finalize().into();
        Ok(Receipt { length, sha256: sha256.into() })
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if !self.finished {
            self.shared.health.fail(Error::Unfinished { path: self.path.clone() });
        }
    }
}
