//! The component in the real host, dumping more than it may have in memory.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

mod dumping;

use bson::{RawDocumentBuf, rawdoc};
use coffer_runtime::{Application, Endpoint, Limits, Operation, Tls};
use dumping::fake::{Collection, Fake, standalone};
use serde_json::json;

const COLLECTIONS: [&str; 3] = ["a", "b", "c"];
const DOCUMENTS: i32 = 5;
/// Close to the largest that there are.
const SIZE: usize = 15 << 20;
/// For three connections, each with a document; far less than there is in all.
const MEMORY: usize = 96 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn large_documents_take_the_memory_of_one_each() {
    let Some(component) = coffer_test_components::addon("coffer-addon-mongodb").await else { return };
    let mut fake = Fake::new("7.0.2", standalone());
    for name in COLLECTIONS {
        let documents: Vec<RawDocumentBuf> =
            (0..DOCUMENTS).map(|id| rawdoc! { "_id": id, "text": "x".repeat(SIZE) }).collect();
        fake = fake.with("shop", Collection::new(name, documents));
    }
    fake.0.lock().unwrap().batch = 1;
    let endpoint = Endpoint { name: "default".into(), host: "127.0.0.1".into(), port: fake.listen().await };
    let application = Application {
        kind: "mongodb".into(),
        version: None,
        endpoints: vec![endpoint],
        tls: Tls::disabled(),
        parameters: Vec::new(),
        credentials: Vec::new().into_iter().collect(),
    };
    let operation = Operation::new("mongodb-dump", json!({ "jobs": 3 }));
    let traffic = operation.traffic.clone();
    let limits = Limits { memory: MEMORY, ..Limits::default() };
    let operation = Operation { application: Some(application), limits, ..operation };
    let (report, files) = coffer_test_components::run(&component, operation, Vec::new()).await;
    let report = report.unwrap_or_else(|error| panic!("{error}"));
    eprintln!("{} MiB of memory", traffic.memory() >> 20);
    assert!(report.facts.iter().any(|(name, value)| name == "rows" && value == "15"), "{report:?}");
    let size: usize = files.iter().map(|file| file.bytes.as_ref().expect("whole").len()).sum();
    assert!(size > 2 * MEMORY, "{size}");
}
