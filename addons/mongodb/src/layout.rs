//! What a dump consists of: mongodump's directory, and an index for Coffer's restore.
//!
//! | artifact | what |
//! |---|---|
//! | `<db>/<collection>.bson` | documents as the server sent them, one after the other |
//! | `<db>/system.buckets.<collection>.bson` | the same of a time series: its buckets |
//! | `<db>/<collection>.metadata.json` | options, indexes, UUID and kind in canonical extended JSON |
//! | `admin/system.users.bson`, `admin/system.roles.bson`, `admin/system.version.bson` | users, roles and the version of their schema, with their metadata |
//! | `oplog.bson` | what was written while the documents were read |
//! | `prelude.json` | versions of the server and of the tool |
//! | `coffer.json` | [`Index`]: what all that comes to. The last to be written, the first to be restored |
//!
//! `<collection>` is a [`file_name`]; databases' names stand for themselves.
//!
//! Formats: what mongodump of the MongoDB Database Tools writes and mongorestore reads, 100.10 and later.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
pub use coffer_addon::hash::Hash;
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use std::fmt;

/// The index, which a restore needs before all else.
pub const INDEX: &str = "coffer.json";
/// mongodump's word on versions.
pub const PRELUDE: &str = "prelude.json";
/// The entries of the oplog from the dump's start to its end.
pub const OPLOG: &str = "oplog.bson";
/// Behind the name of a file with documents.
pub const DATA: &str = ".bson";
/// Behind the name of a file with a collection's definition.
pub const METADATA: &str = ".metadata.json";
/// In front of the name of a time series: the collection that holds its documents.
pub const BUCKETS: &str = "system.buckets.";
/// The version of [`Index`] that this crate writes and reads.
pub const FORMAT: u32 = 1;

/// The longest index, in bytes. A restore holds it in memory whole.
pub const MAX_INDEX: usize = 64 * 1024 * 1024;

/// The whole dump but its documents.
///
/// Facts of a dump that a restore has as well: `tables` counts [`Index::collections`], `rows` the documents of their
/// [`Data`], `bytes` their lengths. The oplog's entries are in none of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Index {
    /// [`FORMAT`].
    pub format: u32,
    /// Who wrote it, with its version.
    pub tool: String,
    pub server: Server,
    /// Of which moment the documents are.
    pub consistency: Consistency,
    /// Whether options and indexes are there; not with `dataOnly`.
    pub schema: bool,
    /// Whether documents are there; not with `schemaOnly`.
    pub data: bool,
    /// Where parameters left something out, which ones: not all that the databases had is in the dump then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filtered: Option<String>,
    /// By database and name.
    pub collections: Vec<Collection>,
    /// [`OPLOG`], where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oplog: Option<Data>,
}

/// The server that was dumped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Server {
    /// `MongoDB` or `FerretDB`.
    pub engine: String,
    /// As the server says it.
    pub version: String,
    /// The replica set that it is a member of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_set: Option<String>,
}

/// Of which moment the documents are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", deny_unknown_fields)]
pub enum Consistency {
    /// Of `end`, when the oplog's entries have been replayed on them; without, of different moments between the two.
    Oplog { start: Timestamp, end: Timestamp },
    /// All of this moment.
    Snapshot { at: Timestamp },
    /// Of different moments.
    None { why: String },
}

impl Consistency {
    /// For facts.
    pub fn name(&self) -> &'static str {
        match self {
            Consistency::Oplog { .. } => "oplog",
            Consistency::Snapshot { .. } => "snapshot",
            Consistency::None { .. } => "none",
        }
    }
}

/// A moment of a replica set: seconds since 1970, and a counter within the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timestamp {
    #[serde(rename = "t")]
    pub time: u32,
    #[serde(rename = "i")]
    pub increment: u32,
}

/// As mongorestore's `--oplogLimit` takes it.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.time, self.increment)
    }
}

impl From<bson::Timestamp> for Timestamp {
    fn from(timestamp: bson::Timestamp) -> Self {
        Timestamp { time: timestamp.time, increment: timestamp.increment }
    }
}

impl From<Timestamp> for bson::Timestamp {
    fn from(timestamp: Timestamp) -> Self {
        bson::Timestamp { time: timestamp.time, increment: timestamp.increment }
    }
}

/// A collection, a view or a time series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Collection {
    pub database: String,
    pub name: String,
    pub kind: Kind,
    /// The text of its [`METADATA`] file, whose name is [`metadata_name`]: a restore makes the collection before it sees that
    /// file, which comes behind the documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Not a view's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Collection,
    View,
    /// [`Collection::data`] has the documents of `system.buckets.<name>`.
    Timeseries,
}

/// A file with documents. There is one also where there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Data {
    /// The artifact's name.
    pub file: String,
    pub documents: u64,
    pub bytes: u64,
    /// [`Hash`] of them all.
    pub hash: Hash,
}

impl Data {
    pub fn new(file: String) -> Self {
        Data { file, ..Data::default() }
    }

    /// Counts a document in.
    pub fn add(&mut self, document: &[u8]) {
        self.documents += 1;
        self.bytes += u64::try_from(document.len()).unwrap_or(u64::MAX);
        self.hash.add(document);
    }
}

impl Collection {
    /// `<database>.<collection>`.
    pub fn namespace(&self) -> String {
        format!("{}.{}", self.database, self.name)
    }

    /// Whether there is nothing to restore of it in an index of that [`Index::schema`]: a view is its definition.
    pub fn is_nothing(&self, schema: bool) -> bool {
        self.kind == Kind::View && !schema
    }
}

impl Index {
    /// The artifact's bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// The collection whose documents an artifact holds; none for any other.
    pub fn data_of(&self, artifact: &str) -> Option<&Collection> {
        self.collections.iter().find(|collection| collection.data.as_ref().is_some_and(|data| data.file == artifact))
    }
}

/// The artifact with a collection's documents; of a time series, that of its buckets (see [`BUCKETS`]).
pub fn data_name(database: &str, collection: &str) -> String {
    format!("{database}/{}{DATA}", file_name(collection))
}

/// The artifact with a collection's definition.
pub fn metadata_name(database: &str, collection: &str) -> String {
    format!("{database}/{}{METADATA}", file_name(collection))
}

/// The longest escaped name that stands for itself; with the longest ending it makes 255 bytes, what file systems take.
const MAX_NAME: usize = 238;
/// How much of a longer one is left.
const KEPT: usize = 208;

/// A collection's name as it stands in names of files: as in a query string, and a longer one cut, with its hash behind an
/// escaped `$`, which no short name has in that place. The full name is in the metadata then.
pub fn file_name(collection: &str) -> String {
    let escaped = escaped(collection);
    match escaped.get(..KEPT) {
        Some(kept) if escaped.len() > MAX_NAME => {
            format!("{kept}%24{}", URL_SAFE_NO_PAD.encode(Sha1::digest(collection)))
        }
        _ => escaped,
    }
}

fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            b' ' => escaped.push('+'),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// [`file_name`]'s way back: none where the file's name is none of those. Of a name that was cut it gives what is left of it,
/// and `true`.
pub fn collection_name(file: &str) -> Option<(String, bool)> {
    match file.get(KEPT..) {
        Some(rest) if file.len() == MAX_NAME && rest.starts_with("%24") => {
            let mut kept = file.get(..KEPT)?;
            // Cut in the middle of an escape.
            if let Some(at) = kept.rfind('%').filter(|at| at + 3 > kept.len()) {
                kept = kept.get(..at)?;
            }
            Some((String::from_utf8_lossy(&unescaped(kept)?).into_owned(), true))
        }
        _ => Some((String::from_utf8(unescaped(file)?).ok()?, false)),
    }
}

fn unescaped(file: &str) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(file.len());
    let mut bytes = file.bytes();
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let Some(byte) = bytes.next() {
        name.push(match byte {
            b'+' => b' ',
            b'%' => digit(bytes.next())? * 16 + digit(bytes.next())?,
            other => other,
        });
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_come_back() {
        for (name, file) in [
            ("orders", "orders"),
            ("a b/c%d", "a+b%2Fc%25d"),
            ("fs.chunks", "fs.chunks"),
            ("ü$", "%C3%BC%24"),
            ("a+b", "a%2Bb"),
        ] {
            assert_eq!(file_name(name), file);
            assert_eq!(collection_name(file), Some((name.to_string(), false)));
        }
        for wrong in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(collection_name(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn long_names_are_cut() {
        let name = "a".repeat(239);
        let file = file_name(&name);
        // As mongodump of 100.10 names it.
        assert_eq!(file, format!("{}%24{}", "a".repeat(208), URL_SAFE_NO_PAD.encode(Sha1::digest(&name))));
        assert_eq!(file.len(), MAX_NAME);
        assert!(collection_name(&file).is_some_and(|(_, was_cut)| was_cut));
        assert_eq!(file_name(&"a".repeat(238)), "a".repeat(238));
        // 3 bytes a letter and 9 of its escape: cut in the middle of one.
        assert!(collection_name(&file_name(&"€".repeat(80))).is_some_and(|(_, was_cut)| was_cut));
    }

    #[test]
    fn the_hash_is_that_of_the_documents_in_any_order() {
        let hash = |documents: &[&[u8]]| {
            let mut hash = Hash::default();
            documents.iter().for_each(|document| hash.add(document));
            hash
        };
        assert_eq!(hash(&[b"a", b"b", b"b"]), hash(&[b"b", b"a", b"b"]));
        assert_ne!(hash(&[b"a", b"b"]), hash(&[b"a", b"b", b"b"]));
        // XXH3-128 of nothing, as its reference implementation has it.
        assert_eq!(hash(&[b""]).to_string(), "99aa06d3014798d86001c324468d497f");
        let json = serde_json::to_string(&hash(&[b"a"])).expect("serializable");
        assert_eq!(serde_json::from_str::<Hash>(&json).expect("readable"), hash(&[b"a"]));
    }

    #[test]
    fn the_kinds_of_consistency_have_their_moments() {
        let at = Timestamp { time: 7, increment: 2 };
        let json = serde_json::to_string(&Consistency::Snapshot { at }).expect("serializable");
        assert_eq!(json, r#"{"kind":"snapshot","at":{"t":7,"i":2}}"#);
        assert_eq!(at.to_string(), "7:2");
        assert!(at < Timestamp { time: 8, increment: 0 });
    }
}
