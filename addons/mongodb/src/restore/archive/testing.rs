//! Archives made by hand, for tests.

use super::MAGIC;
use super::crc::Crc;
use bson::raw::RawDocumentBuf;
use bson::rawdoc;
use std::collections::BTreeMap;

#[derive(Clone, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    crcs: BTreeMap<(String, String), Crc>,
}

impl Archive {
    pub fn new() -> Archive {
        Archive::begun_with("0.1")
    }

    pub fn begun_with(version: &str) -> Archive {
        let header = rawdoc! { "concurrent_collections": 4, "version": version, "server_version": "7.0.1", "tool_version": "a test" };
        Archive::default().raw(&MAGIC).document(header)
    }

    pub fn raw(mut self, bytes: &[u8]) -> Archive {
        self.bytes.extend(bytes);
        self
    }

    fn document(self, document: RawDocumentBuf) -> Archive {
        self.raw(&document.into_bytes())
    }

    pub fn terminator(self) -> Archive {
        self.raw(&[0xff; 4])
    }

    pub fn listed(self, database: &str, collection: &str, metadata: &str, kind: &str) -> Archive {
        self.document(
            rawdoc! { "db": database, "collection": collection, "metadata": metadata, "size": 0, "type": kind },
        )
    }

    pub fn prelude_end(self) -> Archive {
        self.terminator()
    }

    pub fn segment(mut self, database: &str, collection: &str, documents: &[&[u8]]) -> Archive {
        let crc = self.crcs.entry((database.into(), collection.into())).or_default();
        documents.iter().for_each(|document| crc.update(document));
        let header = rawdoc! { "db": database, "collection": collection, "EOF": false, "CRC": 0_i64 };
        self.document(header).raw(&documents.concat()).terminator()
    }

    pub fn end(self, database: &str, collection: &str) -> Archive {
        let crc = self.crcs.get(&(database.into(), collection.into())).copied().unwrap_or_default();
        self.end_with(database, collection, crc.sum())
    }

    pub fn end_with(self, database: &str, collection: &str, crc: u64) -> Archive {
        let header = rawdoc! { "db": database, "collection": collection, "EOF": true, "CRC": crc.cast_signed() };
        self.document(header).terminator()
    }

    pub fn bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A whole archive of collections without options.
pub fn archive(collections: &[(&str, &str, &[&[u8]])]) -> Vec<u8> {
    let listed = collections.iter().fold(Archive::new(), |archive, (database, name, _)| {
        archive.listed(database, name, r#"{"options": {}, "indexes": []}"#, "")
    });
    let filled = collections
        .iter()
        .fold(listed.prelude_end(), |archive, (database, name, documents)| archive.segment(database, name, documents));
    collections.iter().fold(filled, |archive, (database, name, _)| archive.end(database, name)).bytes()
}
