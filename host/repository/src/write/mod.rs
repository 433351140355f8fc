//! Writing a snapshot.

mod file;
mod packer;
mod seal;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::Semaphore;

pub use file::{FileWriter, Receipt};

use crate::{
    backend::{Backend, FileKind},
    codec,
    error::{Error, Result},
    health::Health,
    id::Id,
    identity,
    index::Index,
    limits,
    lock::Lock,
    repository::Repository,
    snapshot::{Snapshot, SnapshotFile, SnapshotOptions, Summary},
    tree::{Directory, Owner},
    work::internal,
};
use packer::Packer;
use seal::Sealer;

/// What all streams of a snapshot share.
pub(crate) struct Shared {
    repository: Repository,
    health: Arc<Health>,
    sealer: Arc<Sealer>,
    packer: Arc<Packer>,
    /// KiB of chunks in work.
    budget: Arc<Semaphore>,
    files: Mutex<Directory>,
    figures: Mutex<Figures>,
}

#[derive(Default, Clone, Copy)]
struct Figures {
    files: u64,
    bytes: u64,
}

impl Shared {
    fn files(&self) -> MutexGuard<'_, Directory> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A snapshot under way. Nothing of it is listed before [`SnapshotWriter::commit`]; dropping it abandons it.
pub struct SnapshotWriter {
    shared: Arc<Shared>,
    /// `None` once committed or aborted.
    lock: Option<Lock>,
    options: SnapshotOptions,
    begun: Timestamp,
}

impl SnapshotWriter {
    pub(crate) fn new(
        repository: &Repository,
        lock: Lock,
        index: Arc<Index>,
        health: Arc<Health>,
        options: SnapshotOptions,
    ) -> Self {
        let backend = Arc::clone(&repository.backend);
        let packer = Arc::new(Packer::new(Arc::clone(&backend), Arc::clone(&health)));
        let shared = Shared {
            repository: repository.clone(),
            sealer: Arc::new(Sealer::new(backend, index, Arc::clone(&packer))),
            packer,
            health,
            budget: Arc::new(Semaphore::new(limits::CHUNKS_IN_WORK / 1024)),
            files: Mutex::default(),
            figures: Mutex::default(),
        };
        Self { shared: Arc::new(shared), lock: Some(lock), options, begun: Timestamp::now() }
    }

    /// A new file. Many may be written at the same time.
    ///
    /// `path` is relative to the snapshot's root; directories come of themselves. Each path can be used once.
    pub fn file(&self, path: &str) -> Result<FileWriter> {
        self.shared.health.check()?;
        self.shared.files().claim(path)?;
        Ok(FileWriter::new(Arc::clone(&self.shared), path.into()))
    }

    /// Makes everything durable, then lists the snapshot. All files must be finished.
    pub async fn commit(mut self) -> Result<Snapshot> {
        let lock = self.lock.take();
        let result = match self.shared.health.guard(self.prepare(lock.as_ref())).await {
            // Beyond the guard, for this write counts once it has left: what fails meanwhile, such as the lock's refresh, must
            // not have it called a failure. The lock is still refreshed, as it may take minutes of retries.
            Ok((file, body)) => list_snapshot(&self.shared.repository.backend, &body).await.map(|id| file.named(id)),
            Err(error) => Err(error),
        };
        if let Some(lock) = lock {
            lock.release().await;
        }
        result
    }

    /// Everything but listing the snapshot: its file, and the body thereof.
    async fn prepare(&self, lock: Option<&Lock>) -> Result<(SnapshotFile, Vec<u8>)> {
        let Shared { health, sealer, packer, .. } = &*self.shared;
        let owner = Owner { identity: identity::current(), time: self.begun };
        let mut trees = Vec::new();
        let files = std::mem::take(&mut *self.shared.files());
        let tree = files.save(&owner, &mut |id, bytes| trees.push((id, bytes)))?;
        let tree_count = trees.len() as u64;
        for (id, bytes) in trees {
            sealer.tree(id, bytes).await?;
        }
        packer.flush().await?;
        health.check()?;

        let (figures, added) = (*self.shared.figures(), sealer.added());
        let summary = Summary {
            backup_start: self.begun,
            backup_end: Timestamp::now(),
            files_new: figures.files,
            files_changed: 0,
            files_unmodified: 0,
            dirs_new: tree_count.saturating_sub(1),
            dirs_changed: 0,
            dirs_unmodified: 0,
            data_blobs: added.data_blobs,
            tree_blobs: added.tree_blobs,
            data_added: added.plain,
            data_added_packed: added.sealed,
            total_files_processed: figures.files,
            total_bytes_processed: figures.bytes,
        };
        let SnapshotOptions { hostname, tags, paths, program_version } = self.options.clone();
        let file = SnapshotFile {
            time: self.begun,
            tree,
            paths: if paths.is_empty() { vec!["/".into()] } else { paths },
            hostname: hostname.unwrap_or(owner.identity.hostname),
            username: owner.identity.username,
            uid: owner.identity.uid,
            gid: owner.identity.gid,
            tags,
            program_version: program_version.unwrap_or_default(),
            summary: Some(summary),
        };
        let body = codec::encode_file(&file).map_err(internal)?;
        // Last. Had someone taken the lock for dead, a prune may have deleted packs that no snapshot refers to: ours.
        if let Some(lock) = lock {
            lock.verify().await?;
        }
        Ok((file, body))
    }

    #[cfg(test)]
    pub(crate) fn health(&self) -> Arc<Health> {
        Arc::clone(&self.shared.health)
    }

    /// Gives the snapshot up: stops all its streams and uploads, and removes the lock.
    pub async fn abort(mut self) {
        self.shared.health.fail(Error::Abandoned);
        self.shared.packer.stop().await;
        if let Some(lock) = self.lock.take() {
            lock.release().await;
        }
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        // After a commit no stream is left that could notice.
        self.shared.health.fail(Error::Abandoned);
    }
}

/// The one write that counts. When its answer got lost, the store is asked whether it took place.
async fn list_snapshot(backend: &Backend, body: &[u8]) -> Result<Id> {
    let sealed = bytes::Bytes::from(backend.key.seal(body));
    let id = Id::of(&sealed);
    match backend.put(FileKind::Snapshot, &id, sealed.into()).await {
        Ok(()) => Ok(id),
        Err(error) => match backend.exists(FileKind::Snapshot, &id).await {
            Ok(true) => Ok(id),
            _ => Err(error),
        },
    }
}
