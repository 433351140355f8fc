//! A server that keeps its connections and answers nothing, as one that was stopped does.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::numbered;
use super::restoring::fake::{Fake, cursor};
use super::restoring::{Small, binding, fact, restore_into};
use bson::rawdoc;
use coffer_addon::{Binding, Ends, Error, testing};

/// As long as a test wants to wait.
fn impatient() -> Binding {
    Binding { parameters: vec![("connectTimeoutMS".into(), "1000".into())], ..binding() }
}

#[tokio::test]
async fn a_restore_ends_when_the_server_falls_silent() {
    for command in ["insert", "createIndexes", "create", "aggregate"] {
        let fake = Fake::new("7.0.1", |name, _| (name == "count").then(|| rawdoc! { "ok": 1, "n": -1 }));
        fake.falls_silent_at(command);
        let index = r#"[{"v":2,"key":{"a":1},"name":"a_1"}]"#;
        let small = Small::new().with("d", "c", "{}", index, &numbered(3));
        let ended = restore_into(fake.application_of(impatient()), "{}", small.artifacts()).await;
        assert!(
            matches!(&ended, Err(Error::Unavailable(text)) if text.contains(command) && text.contains("stopped answering")),
            "{command}: {ended:?}"
        );
    }
}

#[tokio::test]
async fn a_dump_ends_when_the_server_falls_silent() {
    let fake = Fake::new("7.0.1", |name, heard| match name {
        "listDatabases" => Some(rawdoc! { "ok": 1, "databases": [{ "name": "d" }] }),
        "listCollections" if heard.command.get_str("$db").unwrap() == "d" => {
            Some(cursor([rawdoc! { "name": "c", "type": "collection", "options": {}, "info": {} }]))
        }
        _ => None,
    });
    fake.falls_silent_at("find");
    let (outbox, _written) = testing::outbox();
    let ends = Ends { application: fake.application_of(impatient()), inbox: testing::inbox([]), outbox };
    let ended = coffer_addon_mongodb::addon().run(ends, "mongodb-dump", r#"{"consistency": "none"}"#).await;
    assert!(
        matches!(&ended, Err(Error::Unavailable(text)) if text.contains("d.c") && text.contains("stopped answering")),
        "{ended:?}"
    );
}

/// An index that takes long to build.
#[tokio::test]
async fn a_server_that_is_busy_is_waited_for() {
    let fake = Fake::new("7.0.1", |_, _| None);
    fake.takes_long_for("createIndexes", std::time::Duration::from_secs(4));
    let index = r#"[{"v":2,"key":{"a":1},"name":"a_1"}]"#;
    let small = Small::new().with("d", "c", "{}", index, &numbered(3));
    let report = restore_into(fake.application_of(impatient()), "{}", small.artifacts()).await.expect("restored");
    assert_eq!(fact(&report, "indexes"), "1");
}

/// A server that has no room for another connection hangs up on it.
#[tokio::test]
async fn a_server_that_takes_no_more_connections_is_waited_for() {
    let fake = Fake::new("7.0.1", |_, _| None);
    fake.takes_long_for("createIndexes", std::time::Duration::from_secs(4));
    fake.takes_no_more_from("createIndexes");
    let index = r#"[{"v":2,"key":{"a":1},"name":"a_1"}]"#;
    let small = Small::new().with("d", "c", "{}", index, &numbered(3));
    let report = restore_into(fake.application_of(impatient()), "{}", small.artifacts()).await.expect("restored");
    assert_eq!(fact(&report, "indexes"), "1");
}
