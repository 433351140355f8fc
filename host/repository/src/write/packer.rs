//! Packs: gathers sealed blobs, uploads full packs several at a time, and writes index files for those that are durable.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    backend::{Backend, FileKind},
    codec,
    error::Result,
    health::Health,
    id::Id,
    index::{IndexFile, IndexPack},
    limits,
    pack::{BlobKind, OpenPack},
    spares::Spares,
    work::{internal, on_core},
};

pub(crate) struct Packer {
    uploader: Arc<Uploader>,
    health: Arc<Health>,
    open: Mutex<OpenPacks>,
    slots: Arc<Semaphore>,
    /// Dropped with the packer, which stops them.
    uploads: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct OpenPacks {
    data: OpenPack,
    trees: OpenPack,
}

impl Packer {
    pub(crate) fn new(backend: Arc<Backend>, health: Arc<Health>) -> Self {
        let spares = Arc::new(Spares::new(limits::PACK_BUFFER, limits::PACK_BUFFER));
        Self {
            uploader: Arc::new(Uploader { backend, spares, durable: Mutex::default() }),
            health,
            open: Mutex::default(),
            slots: Arc::new(Semaphore::new(limits::UPLOADS)),
            uploads: Mutex::default(),
        }
    }

    fn open(&self) -> MutexGuard<'_, OpenPacks> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn uploads(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a sealed blob; returns the pack when that filled it, to be uploaded. Does not wait.
    pub(crate) fn add(&self, kind: BlobKind, id: Id, sealed: &[u8], uncompressed: Option<u32>) -> Option<OpenPack> {
        let mut open = self.open();
        let pack = match kind {
            BlobKind::Data => &mut open.data,
            BlobKind::Tree => &mut open.trees,
        };
        if pack.is_empty() {
            *pack = OpenPack::within(self.uploader.spares.take());
        }
        pack.push(kind, id, sealed, uncompressed);
        (pack.size() >= limits::PACK_SIZE).then(|| std::mem::take(pack))
    }

    /// Starts the upload of a full pack, if there is one; waits until one may start.
    pub(crate) async fn upload(&self, pack: Option<OpenPack>) -> Result<()> {
        let Some(pack) = pack else { return Ok(()) };
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(internal)?;
        let (uploader, health) = (Arc::clone(&self.uploader), Arc::clone(&self.health));
        let mut uploads = self.uploads();
        while uploads.try_join_next().is_some() {}
        uploads.spawn(async move {
            if let Err(error) = uploader.upload(pack).await {
                health.fail(error);
            }
            drop(slot);
        });
        Ok(())
    }

    /// Makes all blobs durable and known to an index. Nothing may be added meanwhile.
    pub(crate) async fn flush(&self) -> Result<()> {
        let OpenPacks { data, trees } = std::mem::take(&mut *self.open());
        for pack in [data, trees] {
            self.upload(Some(pack).filter(|pack| !pack.is_empty())).await?;
        }
        let mut uploads = std::mem::take(&mut *self.uploads());
        while let Some(ended) = uploads.join_next().await {
            ended.map_err(internal)?;
        }
        self.health.check()?;
        self.uploader.write_index(1).await
    }

    pub(crate) async fn stop(&self) {
        let mut uploads = std::mem::take(&mut *self.uploads());
        uploads.shutdown().await;
    }
}

struct Uploader {
    backend: Arc<Backend>,
    /// Where the buffers of packs come from and go back to.
    spares: Arc<Spares>,
    /// Packs that are stored but in no index yet.
    durable: Mutex<Vec<IndexPack>>,
}

impl Uploader {
    fn durable(&self) -> MutexGuard<'_, Vec<IndexPack>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn upload(self: Arc<Self>, pack: OpenPack) -> Result<()> {
        let backend = Arc::clone(&self.backend);
        let pack = on_core(move |_| Ok(pack.seal(&backend.key))).await?;
        self.backend.put(FileKind::Pack, &pack.entry.id, self.spares.lend(pack.bytes).into()).await?;
        self.durable().push(pack.entry);
        self.write_index(limits::PACKS_PER_INDEX).await
    }

    /// Writes an index file when at least so many packs wait for one.
    async fn write_index(&self, at_least: usize) -> Result<()> {
        let packs = {
            let mut durable = self.durable();
            if durable.len() < at_least {
                return Ok(());
            }
            std::mem::take(&mut *durable)
        };
        let body = on_core(move |_| codec::encode_file(&IndexFile { packs }).map_err(internal)).await?;
        self.backend.save(FileKind::Index, &body).await.map(drop)
    }
}
