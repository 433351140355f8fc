//! The component in the real host, with its own TLS, connections and randomness: what the native tests cannot see.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

mod restoring;

use bson::{RawDocumentBuf, rawdoc};
use coffer_addon::testing::Written;
use coffer_runtime::{Application, Class, Endpoint, Linked, Operation, Report, RunError, Tls};
use coffer_test_servers::mongodb::compare::{same_database, same_documents};
use coffer_test_servers::mongodb::{Mongodb, MongodbOptions, MongodbTls, MongodbVersion, sample};
use restoring::{client, name, of, server};
use serde_json::json;

/// The component, built and compiled once; none where the target is not installed.
async fn component() -> Option<Linked> {
    static COMPONENT: tokio::sync::OnceCell<Option<Linked>> = tokio::sync::OnceCell::const_new();
    COMPONENT.get_or_init(|| coffer_test_components::addon("coffer-addon-mongodb")).await.clone()
}

fn application(server: &Mongodb, password: &str, tls: Tls) -> Application {
    Application {
        kind: "mongodb".into(),
        version: None,
        endpoints: vec![Endpoint { name: "default".into(), host: "127.0.0.1".into(), port: server.port() }],
        tls,
        parameters: Vec::new(),
        credentials: [("username", Mongodb::USER), ("password", password)].map(|(k, v)| (k.into(), v.into())).into(),
    }
}

async fn run(
    component: &Linked,
    application: Application,
    function: &str,
    parameters: serde_json::Value,
    given: Vec<Written>,
) -> (Result<Report, RunError>, Vec<Written>) {
    let operation = Operation { application: Some(application), ..Operation::new(function, parameters) };
    coffer_test_components::run(component, operation, given).await
}

fn fact(report: &Report, name: &str) -> String {
    let found = report.facts.iter().find(|(key, _)| key == name);
    found.unwrap_or_else(|| panic!("no fact {name} in {:?}", report.facts)).1.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_describes_itself_as_the_addon_does() {
    let Some(component) = component().await else { return };
    let descriptor = component.describe().await.expect("described");
    assert_eq!(descriptor, coffer_addon_mongodb::addon().descriptor().expect("valid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_goes_out_and_comes_back_in() {
    let Some(component) = component().await else { return };
    let (server, database) = (server(), name());
    sample::create(server, &database, 3).expect("the sample");
    let sized = |number: i32| rawdoc! { "_id": number, "text": "x".repeat(usize::try_from(number).unwrap() * 1000) };
    let large: Vec<RawDocumentBuf> = (0..200).map(sized).collect();
    client(server).insert(&database, "large", &large).unwrap();
    let there = || application(server, server.password(), Tls::disabled());
    let parameters = json!({"databases": [&database]});
    let (dumped, mut files) = run(&component, there(), "mongodb-dump", parameters, Vec::new()).await;
    let dumped = dumped.expect("dumped");
    // As they were written, with the index at the end, and as a repository gives them.
    for is_first in [false, true] {
        if is_first {
            let index = files.iter().position(|file| file.artifact.name == "coffer.json").expect("an index");
            files[..=index].rotate_right(1);
        }
        let copy = name();
        let parameters = json!({"rename": {&database: &copy}, "jobs": 3});
        let (restored, _) = run(&component, there(), "mongodb-restore", parameters, files.clone()).await;
        let restored = restored.expect("restored");
        same_database(of(server, &database), of(server, &copy)).expect("the same");
        for total in ["tables", "rows", "bytes"] {
            assert_eq!(fact(&restored, total), fact(&dumped, total), "{total}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_documents_fit_into_its_memory() {
    let Some(component) = component().await else { return };
    let (server, database) = (server(), name());
    for collection in ["a", "b", "c"] {
        let large: Vec<RawDocumentBuf> =
            (0..6).map(|number| rawdoc! { "_id": number, "text": "x".repeat(16_700_000) }).collect();
        client(server).insert(&database, collection, &large).unwrap();
    }
    let there = || application(server, server.password(), Tls::disabled());
    let archive = vec![restoring::artifact("dump", restoring::archive_of(server, &["--db", &database]))];
    let directory = restoring::mongodump(server, &["--db", &database]);
    for (kind, given) in [("archive", archive), ("directory", directory)] {
        let copy = name();
        let parameters = json!({"rename": {&database: &copy}, "jobs": 8});
        // A directory's files are held open: to be given one after the other is not enough.
        let given = restoring::metadata_first(given);
        let (restored, _) = run(&component, there(), "mongodb-restore", parameters, given).await;
        assert_eq!(fact(&restored.expect(kind), "rows"), "18");
        same_documents(of(server, &database), of(server, &copy)).expect("the same");
        client(server).drop_database(&copy).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_the_hosts() {
    let Some(component) = component().await else { return };
    let options = MongodbOptions { tls: MongodbTls::Required, ..MongodbOptions::default() };
    let server = Mongodb::start(MongodbVersion::FerretDb1, &options).expect("a server");
    let ca = server.authority().expect("TLS").certificate().into_bytes();
    let tls = Tls { ca_pem: Some(ca), server_name: Some("localhost".into()), ..Tls::default() };
    let ready = async |password: &str, tls: Tls| {
        let application = application(&server, password, tls);
        run(&component, application, "mongodb-wait-ready", json!({"timeout": "5s"}), Vec::new()).await.0
    };
    ready(server.password(), tls.clone()).await.expect("ready");
    let wrong = ready("guess", tls.clone()).await.expect_err("a wrong password");
    assert_eq!(wrong.class, Class::Denied, "{wrong}");
    // Somebody else's name, nobody who vouches for it, and no TLS at all.
    let other = Tls { server_name: Some("example.org".into()), ..tls.clone() };
    let unknown = Tls { ca_pem: None, ..tls };
    for tls in [other, unknown, Tls::disabled()] {
        ready(server.password(), tls).await.expect_err("not the one");
    }
    let database = name();
    let small = restoring::Small::new().with(&database, "c", "{}", "[]", &[rawdoc! { "_id": 1 }]);
    let tls = Tls {
        ca_pem: Some(server.authority().expect("TLS").certificate().into_bytes()),
        server_name: Some("localhost".into()),
        ..Tls::default()
    };
    let there = application(&server, server.password(), tls);
    let (restored, _) = run(&component, there, "mongodb-restore", json!({}), small.artifacts()).await;
    restored.expect("restored");
    assert_eq!(client(&server).count(&database, "c").unwrap(), 1);
}
