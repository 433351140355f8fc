//! The index: which blob lies where in which pack (restic's design document, "Indexing").
//!
//! In memory it is two sorted arrays, 48 bytes a blob and nothing else: 10 TiB of data take about half a gigabyte.

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    id::Id,
    pack::BlobKind,
};

/// An index file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct IndexFile {
    pub(crate) packs: Vec<IndexPack>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexPack {
    pub(crate) id: Id,
    pub(crate) blobs: Vec<IndexBlob>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexBlob {
    pub(crate) id: Id,
    #[serde(rename = "type")]
    pub(crate) kind: BlobKind,
    pub(crate) offset: u32,
    pub(crate) length: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uncompressed_length: Option<u32>,
}

/// Where a blob lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) pack: Id,
    pub(crate) offset: u32,
    /// Sealed length.
    pub(crate) length: u32,
    /// Plain length, when compressed.
    pub(crate) uncompressed: Option<u32>,
}

impl Location {
    pub(crate) fn plain_length(&self) -> u64 {
        let sealed = self.length.saturating_sub(crate::crypto::OVERHEAD as u32);
        self.uncompressed.unwrap_or(sealed).into()
    }
}

/// 48 bytes; an `Option<u32>` would make it 52. Zero stands for "not compressed": a compressed blob is never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    id: Id,
    pack: u32,
    offset: u32,
    length: u32,
    uncompressed: u32,
}

/// All blobs of a repository at one time.
#[derive(Debug, Default)]
pub(crate) struct Index {
    packs: Vec<Id>,
    data: Vec<Entry>,
    trees: Vec<Entry>,
}

impl Index {
    pub(crate) fn add(&mut self, file: IndexFile) -> Result<()> {
        for pack in file.packs {
            let number = u32::try_from(self.packs.len()).map_err(|_| Error::Internal("too many packs".into()))?;
            self.packs.push(pack.id);
            for blob in pack.blobs {
                let entry = Entry {
                    id: blob.id,
                    pack: number,
                    offset: blob.offset,
                    length: blob.length,
                    uncompressed: blob.uncompressed_length.unwrap_or(0),
                };
                match blob.kind {
                    BlobKind::Data => self.data.push(entry),
                    BlobKind::Tree => self.trees.push(entry),
                }
            }
        }
        Ok(())
    }

    /// To be called once, after the last file.
    pub(crate) fn sort(&mut self) {
        for entries in [&mut self.data, &mut self.trees] {
            entries.sort_unstable();
            entries.shrink_to_fit();
        }
    }

    pub(crate) fn find(&self, kind: BlobKind, id: &Id) -> Option<Location> {
        let entries = match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        };
        let entry = entries.get(entries.partition_point(|entry| entry.id < *id)).filter(|entry| entry.id == *id)?;
        Some(Location {
            pack: *self.packs.get(entry.pack as usize)?,
            offset: entry.offset,
            length: entry.length,
            uncompressed: (entry.uncompressed != 0).then_some(entry.uncompressed),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::codec;

    fn blob() -> impl Strategy<Value = IndexBlob> {
        let kind = prop_oneof![Just(BlobKind::Data), Just(BlobKind::Tree)];
        (any::<[u8; 32]>(), kind, any::<u32>(), any::<u32>(), prop::option::of(1..u32::MAX)).prop_map(
            |(id, kind, offset, length, uncompressed_length)| IndexBlob {
                id: id.into(),
                kind,
                offset,
                length,
                uncompressed_length,
            },
        )
    }

    fn pack() -> impl Strategy<Value = IndexPack> {
        (any::<[u8; 32]>(), prop::collection::vec(blob(), 1..10))
            .prop_map(|(id, blobs)| IndexPack { id: id.into(), blobs })
    }

    proptest! {
        #[test]
        fn finds_through_a_file_what_went_in(packs in prop::collection::vec(pack(), 0..10)) {
            let body = codec::encode_file(&IndexFile { packs: packs.clone() }).unwrap();
            let mut index = Index::default();
            index.add(codec::decode_file(&body).unwrap()).unwrap();
            index.sort();
            let mut known = HashMap::new();
            for pack in &packs {
                for blob in &pack.blobs {
                    known.insert((blob.kind, blob.id), (pack.id, blob.offset, blob.length, blob.uncompressed_length));
                }
            }
            for ((kind, id), (pack, offset, length, uncompressed)) in known {
                prop_assert_eq!(index.find(kind, &id), Some(Location { pack, offset, length, uncompressed }));
            }
            prop_assert_eq!(index.find(BlobKind::Data, &Id::of(b"not there")), None);
        }
    }

    #[test]
    fn an_entry_takes_48_bytes() {
        assert_eq!(size_of::<Entry>(), 48);
    }
}
