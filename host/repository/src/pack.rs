//! Pack files: sealed blobs one after the other, then a sealed header that lists them, then the header's length (restic's design
//! document, "Pack Format").

use crate::{
    crypto::Key,
    id::Id,
    index::{IndexBlob, IndexPack},
};

/// Data and trees never share a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BlobKind {
    Data,
    Tree,
}

/// A pack that is being filled.
#[derive(Default)]
pub(crate) struct OpenPack {
    bytes: Vec<u8>,
    blobs: Vec<IndexBlob>,
}

/// A pack ready for upload.
pub(crate) struct SealedPack {
    pub(crate) bytes: Vec<u8>,
    pub(crate) entry: IndexPack,
}

impl OpenPack {
    /// In a buffer that is used again.
    pub(crate) fn within(buffer: Vec<u8>) -> Self {
        Self { bytes: buffer, blobs: Vec::new() }
    }

    /// Adds a sealed blob; `uncompressed_length` is its plain length when it is compressed.
    pub(crate) fn push(&mut self, kind: BlobKind, id: Id, sealed: &[u8], uncompressed_length: Option<u32>) {
        let (offset, length) = (self.bytes.len() as u32, sealed.len() as u32);
        self.blobs.push(IndexBlob { id, kind, offset, length, uncompressed_length });
        self.bytes.extend_from_slice(sealed);
    }

    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// Adds the header and names the pack. Hashes all of it: CPU work.
    pub(crate) fn seal(self, key: &Key) -> SealedPack {
        let Self { mut bytes, blobs } = self;
        let header = key.seal(&header(&blobs));
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
        SealedPack { entry: IndexPack { id: Id::of(&bytes), blobs }, bytes }
    }
}

fn header(blobs: &[IndexBlob]) -> Vec<u8> {
    let mut header = Vec::with_capacity(blobs.len() * 41);
    for blob in blobs {
        let kind = match blob.kind {
            BlobKind::Data => 0,
            BlobKind::Tree => 1,
        };
        header.push(kind | if blob.uncompressed_length.is_some() { 2 } else { 0 });
        header.extend_from_slice(&blob.length.to_le_bytes());
        if let Some(length) = blob.uncompressed_length {
            header.extend_from_slice(&length.to_le_bytes());
        }
        header.extend_from_slice(blob.id.as_bytes());
    }
    header
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a header as the design document describes it.
    fn parse(pack: &[u8], key: &Key) -> Vec<IndexBlob> {
        let (rest, length) = pack.split_at(pack.len() - 4);
        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
        let header = key.open(&rest[rest.len() - length..]).unwrap();
        let (mut at, mut offset, mut blobs) = (0, 0, Vec::new());
        let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
        while at < header.len() {
            let kind = if header[at] & 1 == 0 { BlobKind::Data } else { BlobKind::Tree };
            let length = number(at + 1);
            let (uncompressed_length, hash) =
                if header[at] & 2 == 0 { (None, at + 5) } else { (Some(number(at + 5)), at + 9) };
            let id: [u8; 32] = header[hash..hash + 32].try_into().unwrap();
            blobs.push(IndexBlob { id: id.into(), kind, offset, length, uncompressed_length });
            offset += length;
            at = hash + 32;
        }
        blobs
    }

    proptest! {
        #[test]
        fn a_pack_describes_itself(
            blobs in prop::collection::vec((any::<[u8; 32]>(), prop::option::of(any::<u32>()), any::<bool>(), 0usize..200), 1..20)
        ) {
            let key = Key::random();
            let mut pack = OpenPack::default();
            for (id, uncompressed, tree, length) in blobs {
                let kind = if tree { BlobKind::Tree } else { BlobKind::Data };
                pack.push(kind, id.into(), &vec![7; length], uncompressed);
            }
            let sealed = pack.seal(&key);
            prop_assert_eq!(Id::of(&sealed.bytes), sealed.entry.id);
            prop_assert_eq!(parse(&sealed.bytes, &key), sealed.entry.blobs);
        }
    }
}
