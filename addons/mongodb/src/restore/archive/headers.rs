//! The documents of an archive's own: what its prelude says of it and of its collections, and whose documents a segment has.

use bson::RawDocument;
use coffer_addon::{Error, Result};
use std::fmt;

/// The only version of the format there has been.
const VERSION: &str = "0.1";

/// The oplog stands in the prelude without a database.
pub const OPLOG: (&str, &str) = ("", "oplog");

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Namespace {
    pub database: String,
    pub collection: String,
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.database.is_empty() {
            return f.write_str(&self.collection);
        }
        write!(f, "{}.{}", self.database, self.collection)
    }
}

/// What the prelude says of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// As the headers of its segments have it: of a time series, that of its buckets.
    pub data: Namespace,
    pub name: String,
    pub is_view: bool,
    /// The text of `metadata.json`; none for the oplog.
    pub metadata: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prelude {
    pub server_version: String,
    pub tool_version: String,
    pub collections: Vec<Listed>,
}

impl Prelude {
    /// Of the document that it begins with; those on collections follow.
    pub fn begin(header: &[u8]) -> Result<Self> {
        let header = raw(header)?;
        let version = text(header, "version")?;
        if version != VERSION {
            return Err(Error::Unsupported(format!(
                "the archive's format is {version}, and this addon knows {VERSION}; restore it with its own mongorestore"
            )));
        }
        Ok(Prelude {
            server_version: text(header, "server_version").unwrap_or_default(),
            tool_version: text(header, "tool_version").unwrap_or_default(),
            collections: Vec::new(),
        })
    }
}

impl Listed {
    pub fn read(document: &[u8]) -> Result<Self> {
        let document = raw(document)?;
        let (database, name) = (text(document, "db")?, text(document, "collection")?);
        // Older versions do not say it.
        let kind = text(document, "type").unwrap_or_default();
        let collection = if kind == "timeseries" { format!("{}{name}", crate::layout::BUCKETS) } else { name.clone() };
        let metadata = Some(text(document, "metadata")?).filter(|metadata| !metadata.is_empty());
        Ok(Listed { data: Namespace { database, collection }, name, is_view: kind == "view", metadata })
    }
}

/// Whose documents follow.
pub struct Header {
    pub namespace: Namespace,
    /// None do any more: the checksum of all there were.
    pub end: Option<u64>,
}

impl Header {
    pub fn read(header: &[u8]) -> Result<Self> {
        let document = raw(header)?;
        let namespace = Namespace { database: text(document, "db")?, collection: text(document, "collection")? };
        let end = match document.get_bool("EOF").map_err(|_| unreadable("EOF"))? {
            true => Some(document.get_i64("CRC").map_err(|_| unreadable("CRC"))?.cast_unsigned()),
            false => None,
        };
        Ok(Header { namespace, end })
    }
}

fn raw(bytes: &[u8]) -> Result<&RawDocument> {
    RawDocument::from_bytes(bytes).map_err(|_| Error::Corrupt("a header cannot be read".into()))
}

fn unreadable(field: &str) -> Error {
    Error::Corrupt(format!("a header's {field} is missing or no such thing"))
}

fn text(document: &RawDocument, field: &str) -> Result<String> {
    document.get_str(field).map(String::from).map_err(|_| unreadable(field))
}
