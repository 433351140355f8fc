//! Servers to dump, what a dump consists of, and the stock programs that read one.

// Every test binary uses another part of it.
#![allow(dead_code)]
// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

pub mod fake;

use bson::{RawDocument, RawDocumentBuf};
use coffer_addon::testing;
use coffer_addon::{Application, Binding, Error, TlsMode};
use coffer_addon_mongodb::layout::{INDEX, Index};
pub use coffer_test_components::dumped::Dump;
use coffer_test_servers::cache::run;
use coffer_test_servers::mongodb::{Mongodb, MongodbOptions, MongodbVersion};
use futures::io::{AsyncRead, AsyncWrite};
use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use tokio_util::compat::TokioAsyncReadCompatExt;

/// The test binary's FerretDB 2, started once: all of BSON.
pub fn server() -> &'static Mongodb {
    static SERVER: OnceLock<Mongodb> = OnceLock::new();
    SERVER.get_or_init(|| Mongodb::start(MongodbVersion::FerretDb2, &MongodbOptions::default()).expect("a server"))
}

/// A replica set of one member, with an oplog. It is the whole server that is dumped: each test has its own.
pub fn member() -> Mongodb {
    let options = MongodbOptions { replica_set: Some("rs0".into()), ..MongodbOptions::default() };
    Mongodb::start(MongodbVersion::FerretDb1, &options).expect("a server")
}

/// A name that no other test has.
pub fn name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("dump_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A binding of one host, or of a fake.
pub fn binding() -> Binding {
    Binding { kind: "mongodb".into(), tls: TlsMode::Disable, endpoints: vec!["default".into()], ..Binding::default() }
}

/// The server as an addon sees it.
pub fn application(server: &Mongodb) -> Application {
    let (host, port) = (server.host().to_string(), server.port());
    let credentials = [("username", server.user()), ("password", server.password())];
    testing::application(binding(), &credentials, move || {
        let host = host.clone();
        async move { Ok(testing::connection(tokio::net::TcpStream::connect((host, port)).await?.compat())) }
    })
}

/// What is in a dump of a server of this kind.
pub trait Mongodump {
    fn index(&self) -> Index;
    fn documents(&self, name: &str) -> Vec<RawDocumentBuf>;
}

impl Mongodump for Dump {
    fn index(&self) -> Index {
        assert_eq!(self.files.last().expect("files").artifact.name, INDEX);
        serde_json::from_slice(self.bytes(INDEX)).expect("an index")
    }

    fn documents(&self, name: &str) -> Vec<RawDocumentBuf> {
        documents(self.bytes(name))
    }
}

/// Documents that lie one after the other, in an order of their own.
pub fn documents(mut bytes: &[u8]) -> Vec<RawDocumentBuf> {
    let mut documents = Vec::new();
    while !bytes.is_empty() {
        let length = usize::try_from(i32::from_le_bytes(bytes[..4].try_into().unwrap())).unwrap();
        let (document, rest) = bytes.split_at(length);
        documents.push(RawDocument::from_bytes(document).expect("a document").to_owned());
        bytes = rest;
    }
    sorted(documents)
}

pub fn sorted(mut documents: Vec<RawDocumentBuf>) -> Vec<RawDocumentBuf> {
    documents.sort_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
    documents
}

/// Dumps from whatever answers there.
pub async fn dump_from(application: Application, parameters: &str) -> Result<Dump, Error> {
    Dump::of(coffer_addon_mongodb::addon(), "mongodb-dump", application, parameters).await
}

pub async fn dump(server: &Mongodb, parameters: &str) -> Result<Dump, Error> {
    dump_from(application(server), parameters).await
}

/// Dumps, and does something right before the first message with these texts in it is sent.
pub async fn dump_before(
    server: &Mongodb,
    parameters: &str,
    needles: &[&str],
    then: impl FnOnce() + 'static,
) -> Result<Dump, Error> {
    let mut then = Some(then);
    let then: Hook = Rc::new(RefCell::new(move || then.take().into_iter().for_each(|then| then())));
    let needles: Vec<String> = needles.iter().map(|needle| needle.to_string()).collect();
    let port = server.port();
    let credentials = [("username", server.user()), ("password", server.password())];
    let application = testing::application(binding(), &credentials, move || {
        let (then, needles) = (then.clone(), needles.clone());
        async move {
            let io = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?.compat();
            Ok(testing::connection(Hooked { io, needles, then }))
        }
    });
    dump_from(application, parameters).await
}

type Hook = Rc<RefCell<dyn FnMut()>>;

/// A connection that does something before it sends messages with these texts in them.
struct Hooked<T> {
    io: T,
    needles: Vec<String>,
    then: Hook,
}

impl<T: AsyncRead + Unpin> AsyncRead for Hooked<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, target: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_read(cx, target)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Hooked<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let text = String::from_utf8_lossy(bytes);
        if self.needles.iter().all(|needle| text.contains(needle)) {
            (self.then.borrow_mut())();
        }
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(cx)
    }
}

/// What stock mongodump makes of a database, as a folder.
pub fn mongodump(server: &Mongodb, arguments: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = server.tool("mongodump").expect("mongodump");
    run(command.arg("--out").arg(folder.path()).args(arguments)).expect("mongodump");
    folder
}

/// Stock mongorestore of a folder; what it said.
pub fn mongorestore(server: &Mongodb, folder: &Path, arguments: &[&str]) -> String {
    let mut command = server.tool("mongorestore").expect("mongorestore");
    let output = command.args(arguments).arg("--dir").arg(folder).output().expect("mongorestore");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}
