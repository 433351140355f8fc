//! What the server is.

use bson::raw::RawDocument;
use std::fmt;

/// Who made the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// MongoDB, or one that does not say that it is another.
    MongoDb,
    /// FerretDB, with its own version: `v2.7.0`.
    FerretDb(String),
}

/// A server's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub engine: Engine,
    /// Of MongoDB, or the one that the server claims to be like. Two digits each for minor and patch: 70012 is 7.0.12.
    pub number: u32,
    /// As the server words it.
    pub text: String,
}

impl Version {
    /// From the reply to `buildInfo`.
    pub(super) fn read(build: &RawDocument) -> Option<Self> {
        let text = build.get_str("version").ok()?.to_string();
        // FerretDB 2 has a document of its own, FerretDB 1 a field.
        let ferret = build.get_document("ferretdb").map(|ferret| ferret.get_str("version").unwrap_or_default());
        let engine = match ferret.or_else(|_| build.get_str("ferretdbVersion")) {
            Ok(version) => Engine::FerretDb(version.to_string()),
            Err(_) => Engine::MongoDb,
        };
        Some(Version { engine, number: numbered(&text)?, text })
    }

    /// Whether it is MongoDB of this version or later, or one that claims to be like it.
    pub fn is_since(&self, number: u32) -> bool {
        self.number >= number
    }

    /// Whether the buckets of time series are in no collection of their own, and `rawData` is how to get at them.
    pub fn has_raw_series(&self) -> bool {
        !self.is_ferretdb() && self.is_since(80_300)
    }

    /// Whether its batches have a number of documents, however long they are: FerretDB 1. All others end a batch at 16 MB.
    pub fn has_long_batches(&self) -> bool {
        self.is_ferretdb_1()
    }

    /// Whether it looks at a filter's conditions only with a document in its hand, and not at those behind one that is not met.
    pub fn has_lazy_filters(&self) -> bool {
        self.is_ferretdb_1()
    }

    fn is_ferretdb_1(&self) -> bool {
        matches!(&self.engine, Engine::FerretDb(version) if version.trim_start_matches('v').starts_with("1."))
    }

    pub fn is_ferretdb(&self) -> bool {
        matches!(self.engine, Engine::FerretDb(_))
    }
}

/// `7.0.12`, `8.0.0-rc3`, `4.4.0-percona`.
fn numbered(text: &str) -> Option<u32> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().ok());
    let major = numbers.next()??;
    let mut below = || numbers.next().flatten().unwrap_or(0).min(99);
    Some(major.checked_mul(10_000)? + below() * 100 + below())
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.engine {
            Engine::MongoDb => write!(f, "MongoDB {}", self.text),
            Engine::FerretDb(version) => write!(f, "FerretDB {version} (like MongoDB {})", self.text),
        }
    }
}
