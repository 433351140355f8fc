//! Servers to restore into, and dumps of every kind to restore.

// Every test binary uses another part of it.
#![allow(dead_code, unused_imports)]
// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

pub mod fake;

use bson::RawDocumentBuf;
use coffer_addon::testing::{self, Written};
use coffer_addon::{Application, Binding, Error, Report, TlsMode};
use coffer_addon_mongodb::layout::{self, Collection, Consistency, Data, FORMAT, INDEX, Index, Kind};
use coffer_test_components::dumped::{self, Dump};
pub use coffer_test_components::dumped::{artifact, fact, files};
use coffer_test_servers::cache::run;
use coffer_test_servers::mongodb::compare::Database;
use coffer_test_servers::mongodb::{Client, Mongodb, MongodbOptions, MongodbVersion};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_util::compat::TokioAsyncReadCompatExt;

/// The test binary's FerretDB 2, started once: all of BSON, most indexes.
pub fn server() -> &'static Mongodb {
    static SERVER: OnceLock<Mongodb> = OnceLock::new();
    SERVER.get_or_init(|| Mongodb::start(MongodbVersion::FerretDb2, &MongodbOptions::default()).expect("a server"))
}

/// The test binary's FerretDB 1, started once: capped collections.
pub fn old_server() -> &'static Mongodb {
    static SERVER: OnceLock<Mongodb> = OnceLock::new();
    SERVER.get_or_init(|| Mongodb::start(MongodbVersion::FerretDb1, &MongodbOptions::default()).expect("a server"))
}

/// A name that no other test has.
pub fn name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("restore_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn binding() -> Binding {
    Binding { kind: "mongodb".into(), tls: TlsMode::Disable, endpoints: vec!["default".into()], ..Binding::default() }
}

/// The server as an addon sees it.
pub fn application(server: &Mongodb) -> Application {
    let port = server.port();
    let credentials = [("username", Mongodb::USER), ("password", server.password())];
    testing::application(binding(), &credentials, move || async move {
        Ok(testing::connection(tokio::net::TcpStream::connect(("127.0.0.1", port)).await?.compat()))
    })
}

pub async fn restore_into(application: Application, parameters: &str, files: Vec<Written>) -> Result<Report, Error> {
    dumped::restore(coffer_addon_mongodb::addon(), "mongodb-restore", application, parameters, files).await
}

pub async fn restore(server: &Mongodb, parameters: &str, files: Vec<Written>) -> Result<Report, Error> {
    restore_into(application(server), parameters, files).await
}

/// A dump's files as they were written: the index is the last.
pub async fn dump_as_written(server: &Mongodb, parameters: &str) -> (Report, Vec<Written>) {
    let dumped = Dump::of(coffer_addon_mongodb::addon(), "mongodb-dump", application(server), parameters).await;
    let Dump { report, files } = dumped.expect("dumped");
    (report, files)
}

/// As the host hands them on from a repository: the index is the first.
pub async fn dump(server: &Mongodb, parameters: &str) -> (Report, Vec<Written>) {
    let (report, mut files) = dump_as_written(server, parameters).await;
    files.rotate_right(1);
    assert_eq!(files[0].artifact.name, INDEX);
    (report, files)
}

/// What stock mongodump makes of a database, as a folder.
pub fn mongodump(server: &Mongodb, arguments: &[&str]) -> Vec<Written> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = server.tool("mongodump").expect("mongodump");
    run(command.arg("--out").arg(folder.path()).args(arguments)).expect("mongodump");
    files(folder.path())
}

/// The same, as one file.
pub fn archive_of(server: &Mongodb, arguments: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("archive");
    let mut command = server.tool("mongodump").expect("mongodump");
    run(command.arg(format!("--archive={}", file.display())).args(arguments)).expect("mongodump");
    std::fs::read(file).expect("read")
}

pub fn of<'a>(server: &'a Mongodb, name: &'a str) -> Database<'a> {
    Database { server, name }
}

pub fn client(server: &Mongodb) -> Client {
    server.client().expect("a client")
}

/// `rename` as a parameter.
pub fn renamed(from: &str, to: &str) -> String {
    format!(r#"{{"rename": {{"{from}": "{to}"}}}}"#)
}

/// A dump made by hand, with its index.
#[derive(Clone)]
pub struct Small {
    pub index: Index,
    pub files: Vec<Written>,
}

impl Small {
    pub fn new() -> Small {
        let index = Index {
            format: FORMAT,
            tool: "a test".into(),
            server: layout::Server { engine: "MongoDB".into(), version: "7.0.1".into(), replica_set: None },
            consistency: Consistency::None { why: "it was made by hand".into() },
            schema: true,
            data: true,
            filtered: None,
            collections: Vec::new(),
            oplog: None,
        };
        Small { index, files: Vec::new() }
    }

    /// A collection with the text of its options and indexes.
    pub fn with(
        mut self,
        database: &str,
        name: &str,
        options: &str,
        indexes: &str,
        documents: &[RawDocumentBuf],
    ) -> Small {
        let kind = match options {
            options if options.contains("viewOn") => Kind::View,
            options if options.contains("timeseries") => Kind::Timeseries,
            _ => Kind::Collection,
        };
        let metadata = format!(
            r#"{{"options":{options},"indexes":{indexes},"uuid":"00112233445566778899aabbccddeeff","collectionName":"{name}"}}"#
        );
        let stored = if kind == Kind::Timeseries { format!("system.buckets.{name}") } else { name.to_string() };
        let mut data = Data::new(layout::data_name(database, &stored));
        documents.iter().for_each(|document| data.add(document.as_bytes()));
        if kind != Kind::View {
            self.files.push(artifact(&data.file, bytes(documents)));
        }
        self.files.push(artifact(&layout::metadata_name(database, name), metadata.clone()));
        self.index.collections.push(Collection {
            database: database.into(),
            name: name.into(),
            kind,
            metadata: Some(metadata),
            uuid: Some("00112233445566778899aabbccddeeff".into()),
            data: (kind != Kind::View).then_some(data),
        });
        self
    }

    pub fn with_oplog(mut self, entries: &[RawDocumentBuf]) -> Small {
        let mut data = Data::new(layout::OPLOG.into());
        entries.iter().for_each(|entry| data.add(entry.as_bytes()));
        self.index.oplog = Some(data);
        let moment = layout::Timestamp { time: 1, increment: 1 };
        self.index.consistency = Consistency::Oplog { start: moment, end: moment };
        self.files.insert(0, artifact(layout::OPLOG, bytes(entries)));
        self
    }

    pub fn artifacts(&self) -> Vec<Written> {
        let mut all = vec![artifact(INDEX, self.index.to_bytes().expect("JSON"))];
        all.extend(self.files.iter().cloned());
        all.push(artifact(layout::PRELUDE, "{}"));
        all
    }

    /// As stock mongodump leaves it.
    pub fn without_index(&self) -> Vec<Written> {
        let mut all = self.files.clone();
        all.sort_by(|one, other| one.artifact.name.cmp(&other.artifact.name));
        all
    }
}

pub fn bytes(documents: &[RawDocumentBuf]) -> Vec<u8> {
    documents.iter().flat_map(|document| document.as_bytes().to_vec()).collect()
}

/// An archive of collections without options, made by hand.
pub fn archive(collections: &[(&str, &str, &[RawDocumentBuf])]) -> Vec<u8> {
    use bson::rawdoc;
    let mut bytes = 0x8199_e26d_u32.to_le_bytes().to_vec();
    let mut add = |document: RawDocumentBuf| bytes.extend(document.as_bytes());
    add(rawdoc! { "concurrent_collections": 4, "version": "0.1", "server_version": "7.0.1", "tool_version": "a test" });
    for (database, name, _) in collections {
        add(
            rawdoc! { "db": *database, "collection": *name, "metadata": r#"{"options":{},"indexes":[]}"#, "size": 0, "type": "" },
        );
    }
    bytes.extend([0xff; 4]);
    for (database, name, documents) in collections {
        let header =
            |is_end: bool, crc: i64| rawdoc! { "db": *database, "collection": *name, "EOF": is_end, "CRC": crc };
        bytes.extend(header(false, 0).as_bytes());
        bytes.extend(self::bytes(documents));
        bytes.extend([0xff; 4]);
        bytes.extend(header(true, crc(&self::bytes(documents))).as_bytes());
        bytes.extend([0xff; 4]);
    }
    bytes
}

/// Bit by bit, so that it has nothing in common with what it is held against.
fn crc(bytes: &[u8]) -> i64 {
    let mut crc = u64::MAX;
    for byte in bytes {
        crc ^= u64::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xC96C_5795_D787_0F42 } else { crc >> 1 };
        }
    }
    (!crc).cast_signed()
}

/// What describes documents before them.
pub fn metadata_first(mut files: Vec<Written>) -> Vec<Written> {
    files.sort_by_key(|file| !file.artifact.name.ends_with(layout::METADATA));
    files
}
