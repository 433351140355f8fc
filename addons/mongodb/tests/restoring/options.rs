//! How collections are made, and what servers do to documents on their way in.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::numbered;
use super::restoring::{Small, archive_of, artifact, client, mongodump, name, old_server, renamed, restore, server};
use bson::{RawDocumentBuf, rawdoc};
use coffer_addon::Error;

#[tokio::test]
async fn timestamps_of_zeros_stay_zeros() {
    let (server, database) = (server(), name());
    let zero = bson::Timestamp { time: 0, increment: 0 };
    let documents =
        [rawdoc! { "_id": 1, "ts": zero }, rawdoc! { "_id": zero }, rawdoc! { "_id": 3, "a": { "ts": zero } }];
    let small = Small::new().with(&database, "c", "{}", "[]", &documents);
    restore(server, "{}", small.artifacts()).await.expect("restored");
    let mut found = client(server).documents(&database, "c").unwrap();
    found.sort_by_key(|document| document.as_bytes().to_vec());
    let mut wanted = documents.to_vec();
    wanted.sort_by_key(|document| document.as_bytes().to_vec());
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn an_option_that_the_server_ignores_is_told() {
    let (server, database) = (server(), name());
    let capped = r#"{"capped":true,"size":{"$numberInt":"100000"}}"#;
    let small = Small::new().with(&database, "c", capped, "[]", &numbered(3));
    let refused = restore(server, "{}", small.artifacts()).await;
    assert!(
        matches!(&refused, Err(Error::Unsupported(text)) if text.contains(&format!("capped of {database}.c")) && text.contains("allowUnsupported")),
        "{refused:?}"
    );
    // What the error says can be done at once: nothing is in the way.
    assert!(client(server).collections(&database).unwrap().is_empty());
    coffer_addon::testing::logged();
    // Nor is anything dropped for what cannot be made.
    let old = numbered(5);
    client(server).insert(&database, "c", &old).unwrap();
    let refused = restore(server, r#"{"drop": true}"#, small.artifacts()).await;
    assert!(
        matches!(&refused, Err(Error::Unsupported(text)) if text.contains(&format!("capped of {database}.c"))),
        "{refused:?}"
    );
    assert_eq!(client(server).collections(&database).unwrap().len(), 1);
    assert_eq!(client(server).documents(&database, "c").unwrap(), old);
    restore(server, r#"{"allowUnsupported": true, "drop": true}"#, small.artifacts()).await.expect("restored");
    assert!(coffer_addon::testing::logged().iter().any(|(_, line)| line.starts_with("NOT RESTORED: capped")));
    assert_eq!(client(server).documents(&database, "c").unwrap(), numbered(3));
    let (database, view) = (name(), r#"{"viewOn":"c","pipeline":[]}"#);
    let small = Small::new().with(&database, "v", view, "[]", &[]).with(&database, "c", "{}", "[]", &numbered(3));
    for files in [small.artifacts(), small.without_index()] {
        let refused = restore(server, "{}", files.clone()).await;
        assert!(matches!(&refused, Err(Error::Unsupported(text)) if text.contains("viewOn of")), "{refused:?}");
        assert!(client(server).collections(&database).unwrap().is_empty());
        restore(server, r#"{"allowUnsupported": true}"#, files).await.expect("restored");
        client(server).drop_database(&database).unwrap();
    }
}

#[tokio::test]
async fn a_capped_collection_keeps_its_order_and_stays_capped() {
    let (server, database) = (old_server(), name());
    let mut client = client(server);
    client.run(&database, &rawdoc! { "create": "c", "capped": true, "size": 10_000_000 }).unwrap();
    let documents: Vec<RawDocumentBuf> = (0..5000).map(|number| rawdoc! { "_id": 7919 * number % 5003 }).collect();
    client.insert(&database, "c", &documents).unwrap();
    let natural = rawdoc! { "find": "c", "sort": { "$natural": 1 } };
    let before = client.query(&database, &natural).unwrap();
    let theirs = mongodump(server, &["--db", &database]);
    let archive = vec![artifact("x", archive_of(server, &["--db", &database]))];
    for files in [theirs, archive] {
        let copy = name();
        restore(server, &renamed(&database, &copy), files).await.expect("restored");
        assert_eq!(client.query(&copy, &natural).unwrap(), before);
        let options = client.collections(&copy).unwrap()[0].get_document("options").unwrap().to_owned();
        assert!(options.get_bool("capped").unwrap());
    }
}
