//! The client against real servers.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

mod peer;

use bson::raw::RawDocumentBuf;
use bson::rawdoc;
use coffer_addon::parameters::{Span, WaitReady};
use coffer_addon::{Application, Error, Result, testing};
use coffer_addon_mongodb::client::{Kind, Login, code, stoppable};
use coffer_addon_mongodb::{Client, wait};
use coffer_test_servers::{Mongodb, MongodbOptions, MongodbVersion};
use std::sync::OnceLock;
use std::time::Duration;

/// A server of a test's own.
fn start(version: MongodbVersion) -> Option<Mongodb> {
    if let Err(error) = version.prepare() {
        coffer_test_servers::skipped(format_args!("no {}: {error}", version.name()));
        return None;
    }
    Some(Mongodb::start(version, &MongodbOptions::default()).expect("a server"))
}

/// The binary's servers, each started once: those of packages, and a real one if there is one.
fn servers() -> impl Iterator<Item = &'static Mongodb> {
    static SERVERS: [OnceLock<Option<Mongodb>>; 2] = [const { OnceLock::new() }; 2];
    static REAL: OnceLock<Option<Mongodb>> = OnceLock::new();
    let all = MongodbVersion::ALL.into_iter().zip(&SERVERS);
    let real = REAL.get_or_init(|| Mongodb::real().expect("the real one")).as_ref();
    all.filter_map(|(version, server)| server.get_or_init(|| start(version)).as_ref()).chain(real)
}

fn application(server: &Mongodb, password: &str) -> Application {
    peer::at(&[("default", server.port())], &[("username", server.user()), ("password", password)], &[])
}

async fn open(server: &Mongodb, password: &str) -> Result<Client> {
    let application = application(server, password);
    Client::connect(&application, &Login::of(&application)?, None).await
}

async fn client(server: &Mongodb) -> Client {
    open(server, server.password()).await.expect("connected")
}

#[tokio::test]
async fn logins_versions_and_a_server_that_is_ready() {
    for server in servers() {
        let name = server.version().name();
        let client = client(server).await;
        let hello = client.hello();
        eprintln!("{name}: {}, {hello:?}", client.version());
        assert!(hello.max_bson >= 16 << 20 && hello.max_wire >= 6, "{hello:?}");
        assert!(matches!(hello.kind, Kind::Standalone | Kind::Primary), "{hello:?}");
        assert_eq!(client.version().is_ferretdb(), server.version() != MongodbVersion::Mongod);
        client.close().await;
        let wrong = open(server, "guess").await.err();
        let Some(Error::Denied(text)) = wrong else { panic!("{name}: {wrong:?}") };
        assert!(text.contains(server.user()) && !text.contains("guess"), "{text}");
        let ready = wait::wait_ready(application(server, server.password()), WaitReady::default()).await.expect(name);
        assert!(ready.facts.iter().any(|(name, value)| name == "serverVersion" && !value.is_empty()), "{ready:?}");
        let denied = wait::wait_ready(application(server, "guess"), WaitReady::default()).await;
        assert!(matches!(denied, Err(Error::Denied(_))), "{denied:?}");
        assert_eq!(testing::logged(), []);
    }
}

#[tokio::test]
async fn documents_go_in_and_come_out_as_they_are() {
    for server in servers() {
        let name = server.version().name();
        let mut client = client(server).await;
        let database = "coffer_client";
        client.run(database, rawdoc! { "dropDatabase": 1 }).await.expect(name);
        let documents: Vec<RawDocumentBuf> = (0..30_000)
            .map(|n| rawdoc! { "_id": n, "text": "x".repeat(usize::try_from(n % 500).unwrap()), "half": 0.5 })
            .collect();
        for documents in documents.chunks(5000) {
            let bytes: Vec<u8> = documents.iter().flat_map(|document| document.as_bytes().to_vec()).collect();
            let inserted = client.insert(database, rawdoc! { "insert": "many" }, &bytes).await.expect(name);
            assert_eq!((inserted.count, inserted.errors.len()), (5000, 0));
        }
        // Asked for in another way, so that both ways are gone.
        for size in [None, Some(7000)] {
            let mut find = rawdoc! { "find": "many", "sort": { "_id": 1 } };
            if let Some(size) = size {
                find.append(bson::raw::cstr!("batchSize"), size);
            }
            let mut query = client.query(database, find).await.expect(name);
            let mut place = 0;
            while let Some(batch) = query.next_batch().await.expect(name) {
                for document in batch.documents() {
                    assert!(document == documents[place].as_bytes(), "{name}: {place}");
                    place += 1;
                }
            }
            assert_eq!(place, documents.len(), "{name}");
        }
        // One that is left has no place among the others.
        let mut query = client.query(database, rawdoc! { "find": "many", "batchSize": 100 }).await.expect(name);
        query.next().await.expect(name).expect("one");
        let twice = documents[0].as_bytes().repeat(2);
        let twice = client.insert(database, rawdoc! { "insert": "many" }, &twice).await.expect(name);
        assert_eq!((twice.count, twice.errors[0].1.code), (0, code::DUPLICATE_KEY), "{name}: {twice:?}");
        let absent = client.try_run(database, rawdoc! { "nonsense": 1 }).await.expect(name).err();
        eprintln!("{name}: {absent:?}");
        assert_eq!(absent.map(|error| error.code), Some(code::COMMAND_NOT_FOUND), "{name}");
        let unknown = client.query(database, rawdoc! { "find": "many", "filter": { "$nonsense": 1 } }).await.err();
        let Some(unknown) = unknown else { panic!("{name}") };
        assert!(unknown.message().contains("find coffer_client.many"), "{unknown}");
        client.run(database, rawdoc! { "dropDatabase": 1 }).await.expect(name);
        client.close().await;
    }
}

#[tokio::test]
async fn documents_of_fifteen_megabytes_go_in_and_come_out() {
    for server in servers() {
        let name = server.version().name();
        let mut client = client(server).await;
        let database = "coffer_large";
        client.run(database, rawdoc! { "dropDatabase": 1 }).await.expect(name);
        let documents: Vec<_> = (0..3).map(|n| rawdoc! { "_id": n, "text": "z".repeat(15_000_000) }).collect();
        for document in &documents {
            let inserted =
                client.insert(database, rawdoc! { "insert": "large" }, document.as_bytes()).await.expect(name);
            assert_eq!(inserted.count, 1, "{name}: {:?}", inserted.errors);
        }
        let mut query = client
            .query(database, rawdoc! { "find": "large", "sort": { "_id": 1 }, "batchSize": 1 })
            .await
            .expect(name);
        for document in &documents {
            let came = query.next().await.expect(name).expect("one");
            assert!(came.as_bytes() == document.as_bytes(), "{name}");
        }
        assert!(query.next().await.expect(name).is_none());
        client.run(database, rawdoc! { "dropDatabase": 1 }).await.expect(name);
    }
}

#[tokio::test]
async fn a_run_that_is_asked_to_stop_ends_its_cursors() {
    for server in servers() {
        let name = server.version().name();
        let mut setup = client(server).await;
        let database = "coffer_stop";
        setup.run(database, rawdoc! { "dropDatabase": 1 }).await.expect(name);
        let bytes: Vec<u8> = (0..1000).flat_map(|n| rawdoc! { "_id": n }.into_bytes()).collect();
        setup.insert(database, rawdoc! { "insert": "some" }, &bytes).await.expect(name);
        let application = application(server, server.password());
        let login = Login::of(&application).expect("a login");
        let kept = std::cell::RefCell::new(None);
        let work = async {
            let mut client = Client::connect(&application, &login, None).await?;
            let mut query = client.query(database, rawdoc! { "find": "some", "batchSize": 10 }).await?;
            for _ in 0..11 {
                query.next().await?;
            }
            kept.replace(Some(()));
            testing::cancel();
            std::future::pending::<Result<()>>().await
        };
        let outcome = stoppable(&application, &login, work).await;
        assert_eq!(outcome, Err(Error::Failed("cancelled".into())), "{name}");
        assert_eq!(kept.take(), Some(()));
        assert_eq!(testing::logged(), [], "{name}");
        setup.run(database, rawdoc! { "dropDatabase": 1 }).await.expect(name);
    }
}

#[tokio::test]
async fn a_server_that_dies_is_unavailable_and_the_error_says_when() {
    for version in MongodbVersion::ALL {
        let Some(mut server) = start(version) else { continue };
        let name = version.name();
        let mut client = client(&server).await;
        let bytes: Vec<u8> =
            (0..5000).flat_map(|n| rawdoc! { "_id": n, "text": "x".repeat(1000) }.into_bytes()).collect();
        client.insert("coffer", rawdoc! { "insert": "some" }, &bytes).await.expect(name);
        let mut query = client.query("coffer", rawdoc! { "find": "some", "batchSize": 50 }).await.expect(name);
        query.next().await.expect(name).expect("one");
        server.kill9();
        let died = loop {
            match query.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{name}: ended well"),
                Err(error) => break error,
            }
        };
        assert!(matches!(&died, Error::Unavailable(text) if text.contains("find coffer.some")), "{name}: {died:?}");
        let waits = WaitReady { timeout: Span(Duration::from_millis(700)) };
        let gone = wait::wait_ready(application(&server, server.password()), waits).await;
        assert!(matches!(&gone, Err(Error::Unavailable(text)) if text.contains("not ready")), "{name}: {gone:?}");
    }
}
