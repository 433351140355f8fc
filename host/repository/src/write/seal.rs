//! From a chunk to a sealed blob in a pack: hash, look whether the repository has it, compress, seal, check.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::packer::Packer;
use crate::{
    backend::Backend,
    error::{Error, Result},
    id::Id,
    index::Index,
    limits,
    pack::{BlobKind, OpenPack},
    spares::Spares,
    work::{Scratch, internal, on_core},
};

pub(crate) struct Sealer {
    backend: Arc<Backend>,
    /// The repository as it was when the snapshot began.
    index: Arc<Index>,
    packer: Arc<Packer>,
    /// Where chunks come from and go back to.
    pub(crate) spares: Arc<Spares>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What this snapshot added, or is about to: of equal chunks in work at the same time only one is stored.
    /// A tree: 52 bytes a blob, where a hash table takes 71 and half as much again while it grows.
    ours: BTreeSet<(BlobKind, Id)>,
    added: Added,
}

#[derive(Default, Clone, Copy)]
pub(crate) struct Added {
    pub(crate) data_blobs: u64,
    pub(crate) tree_blobs: u64,
    pub(crate) plain: u64,
    pub(crate) sealed: u64,
}

impl Sealer {
    pub(crate) fn new(backend: Arc<Backend>, index: Arc<Index>, packer: Arc<Packer>) -> Self {
        let spares = Arc::new(Spares::new(limits::CHUNK_BUFFER, limits::CHUNK_BUFFER_KEPT));
        Self { backend, index, packer, spares, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn added(&self) -> Added {
        self.state().added
    }

    /// Stores a chunk, unless the repository has it or will; returns its id.
    pub(crate) async fn chunk(self: &Arc<Self>, chunk: Vec<u8>) -> Result<Id> {
        let sealer = Arc::clone(self);
        let (id, full) = on_core(move |scratch| {
            let id = Id::of(&chunk);
            let full = sealer.seal(scratch, BlobKind::Data, id, &chunk)?;
            sealer.spares.give(chunk);
            Ok((id, full))
        })
        .await?;
        self.packer.upload(full).await?;
        Ok(id)
    }

    pub(crate) async fn tree(self: &Arc<Self>, id: Id, tree: Vec<u8>) -> Result<()> {
        let sealer = Arc::clone(self);
        let full = on_core(move |scratch| sealer.seal(scratch, BlobKind::Tree, id, &tree)).await?;
        self.packer.upload(full).await
    }

    /// A pack that this blob filled is returned.
    fn seal(&self, scratch: &mut Scratch, kind: BlobKind, id: Id, plain: &[u8]) -> Result<Option<OpenPack>> {
        if self.index.find(kind, &id).is_some() || !self.state().ours.insert((kind, id)) {
            return Ok(None);
        }
        let key = &self.backend.key;
        let length = u32::try_from(plain.len()).map_err(internal)?;
        scratch.codec.compress(plain, &mut scratch.packed).map_err(internal)?;
        // Less than 3 % are not worth a decompression on every read.
        let worthwhile = scratch.packed.len() < plain.len() - plain.len() / 32;
        let uncompressed = worthwhile.then_some(length);
        key.seal_into(if worthwhile { &scratch.packed } else { plain }, &mut scratch.sealed);
        self.verify(scratch, plain, uncompressed)?;

        {
            let added = &mut self.state().added;
            added.plain += u64::from(length);
            added.sealed += scratch.sealed.len() as u64;
            match kind {
                BlobKind::Data => added.data_blobs += 1,
                BlobKind::Tree => added.tree_blobs += 1,
            }
        }
        Ok(self.packer.add(kind, id, &scratch.sealed, uncompressed))
    }

    /// Opens the blob again and compares, before it leaves: a bit that flipped in memory or in the CPU, or a bug in a
    /// compressor (restic met both, and checks the same by default), would otherwise show on the day of the restore. It is a fifth
    /// to a quarter of the CPU time (`engine_bench` says), and there is no switch: a stream is faster than most networks with it.
    fn verify(&self, scratch: &mut Scratch, plain: &[u8], uncompressed: Option<u32>) -> Result<()> {
        self.backend.key.open_into(&scratch.sealed, &mut scratch.opened).map_err(internal)?;
        let opened = match uncompressed {
            Some(length) => {
                scratch.codec.decompress(&scratch.opened, length, &mut scratch.plain).map_err(internal)?;
                &scratch.plain
            }
            None => &scratch.opened,
        };
        if opened != plain {
            let reason =
                "a sealed blob did not open to what it was made of; this machine's memory or CPU may be faulty";
            return Err(Error::Internal(reason.into()));
        }
        Ok(())
    }
}
