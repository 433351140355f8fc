//! Dumps that lose what they read from: they fail by name, and leave nothing behind.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use crate::dumping::dump_from;
use crate::dumping::fake::{Collection, Fake, cursor, primary, refusal, standalone};
use crate::faked::{dump, numbered};
use crate::logged::{entry, with_oplog};
use bson::raw::RawDocumentBuf;
use bson::{RawDocument, rawdoc};
use coffer_addon::Error;

#[tokio::test]
async fn a_cursor_that_is_lost_fails_the_dump_and_leaves_nothing_behind() {
    let fake = Fake::new("7.0.2", standalone()).with("shop", Collection::new("orders", numbered(10)));
    let fake =
        fake.instead(|name, _| (name == "getMore").then(|| refusal(43, "CursorNotFound", "cursor id 5 not found")));
    match dump(&fake, "{}").await.map(|dumped| dumped.report) {
        Err(Error::Unavailable(text)) => {
            assert!(text.contains("shop.orders") && text.contains("CursorNotFound"), "{text}")
        }
        other => panic!("{other:?}"),
    }
    let reader = fake.heard("find")[0].get_document("lsid").expect("a session").to_owned();
    let killed = fake.heard("killSessions");
    let killed = killed[0].get_array("killSessions").unwrap();
    assert!(killed.into_iter().any(|session| session.unwrap().as_document() == Some(&reader)));
}

#[tokio::test]
async fn a_dump_that_is_cancelled_leaves_nothing_behind() {
    let fake = Fake::new("7.0.2", standalone()).with("shop", Collection::new("orders", numbered(10)));
    let fake = fake.instead(|name, _| (name == "getMore").then(|| rawdoc! { "never": true }));
    let application = fake.application();
    let dumped = dump_from(application, "{}");
    let stop = async {
        while fake.heard("getMore").is_empty() {
            tokio::task::yield_now().await;
        }
        coffer_addon::testing::cancel();
    };
    let (dumped, ()) = futures::future::join(dumped, stop).await;
    assert!(dumped.is_err());
    let reader = fake.heard("find")[0].get_document("lsid").expect("a session").to_owned();
    let killed = fake.heard("killSessions");
    let is_killed = |command: &RawDocumentBuf| {
        command.get_array("killSessions").unwrap().into_iter().any(|id| id.unwrap().as_document() == Some(&reader))
    };
    assert!(killed.iter().any(is_killed));
}

#[tokio::test]
async fn a_collection_whose_name_another_has_taken_fails_the_dump() {
    let fake = Fake::new("7.0.2", standalone()).with("shop", Collection::new("orders", numbered(10)));
    let fake = fake.instead(|name, command| {
        let again = name == "listCollections" && command.get_document("filter").is_ok();
        let uuid = bson::Binary { subtype: bson::spec::BinarySubtype::Uuid, bytes: vec![9; 16] };
        again.then(|| {
            cursor([rawdoc! { "name": "orders", "type": "collection", "options": {}, "info": { "uuid": uuid } }])
        })
    });
    match dump(&fake, "{}").await.map(|dumped| dumped.report) {
        Err(Error::Failed(text)) => {
            assert!(text.contains("shop.orders") && text.contains("another collection has taken its name"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_snapshot_that_is_gone_is_explained() {
    let fake = Fake::new("7.0.2", primary(50, 50)).with("shop", Collection::new("orders", numbered(10)));
    let fake = fake.instead(|name, _| {
        (name == "getMore").then(|| refusal(239, "SnapshotTooOld", "Read timestamp is older than the oldest available"))
    });
    match dump(&fake, r#"{"consistency": "snapshot"}"#).await.map(|dumped| dumped.report) {
        Err(Error::Failed(text)) => {
            assert!(text.contains("shop.orders") && text.contains("minSnapshotHistoryWindowInSeconds"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    // What no snapshot has: the reason is told, or it is an error.
    let capped = Collection { options: rawdoc! { "capped": true }, ..Collection::new("log", numbered(3)) };
    let fake = Fake::new("7.0.2", primary(50, 50)).with("shop", capped);
    let dumped = dump(&fake, r#"{"databases": ["shop"]}"#).await.expect("dumped");
    assert!(dumped.fact("inconsistentBecause").contains("shop.log"), "{:?}", dumped.report);
    match dump(&fake, r#"{"consistency": "snapshot"}"#).await.map(|dumped| dumped.report) {
        Err(Error::Unsupported(text)) => assert!(text.contains("shop.log"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn documents_that_a_cursor_has_not_told_are_missed_where_nothing_was_written() {
    let cut_short = |name: &str, _: &RawDocument| {
        (name == "getMore")
            .then(|| rawdoc! { "ok": 1, "cursor": { "id": 0_i64, "ns": "shop.orders", "nextBatch": [] } })
    };
    let snapshot = Fake::new("7.0.2", primary(50, 50)).with("shop", Collection::new("orders", numbered(10)));
    let oplog = with_oplog(vec![entry(50, "i", "shop.others", rawdoc! { "_id": 1 })], 50, 50);
    for (fake, parameters) in [(snapshot, r#"{"databases": ["shop"]}"#), (oplog, "{}")] {
        let fake = fake.instead(cut_short);
        match dump(&fake, parameters).await.map(|dumped| dumped.report) {
            Err(Error::Failed(text)) => assert!(text.contains("3 documents of collection shop.orders"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    // The snapshot has gone when all documents were read.
    coffer_addon::testing::logged();
    let snapshot = Fake::new("7.0.2", primary(50, 50)).with("shop", Collection::new("orders", numbered(10)));
    let gone = snapshot.instead(move |name, command| match name {
        "aggregate" => Some(refusal(239, "SnapshotTooOld", "Read timestamp is older than the oldest available")),
        _ => cut_short(name, command),
    });
    dump(&gone, r#"{"databases": ["shop"]}"#).await.expect("dumped");
    let says = |line: &str| line.contains("shop.orders") && line.contains("cannot be checked");
    assert!(coffer_addon::testing::logged().iter().any(|(_, line)| says(line)));
    // Users and roles are counted in no snapshot.
    let users = Fake::new("7.0.2", primary(50, 50))
        .with("shop", Collection::new("orders", numbered(3)))
        .with("admin", Collection::new("system.users", numbered(2)));
    let users = users.instead(|name, command| {
        let is_users = command.get_str("count").is_ok_and(|name| name == "system.users");
        (is_users || name == "aggregate").then(|| rawdoc! { "ok": 1, "n": 9 })
    });
    let parameters = r#"{"databases": ["shop"], "usersAndRoles": true, "consistency": "snapshot"}"#;
    dump(&users, parameters).await.expect("dumped");
    // Somebody may have written to it.
    let oplog = with_oplog(vec![entry(50, "i", "shop.orders", rawdoc! { "_id": 1 })], 50, 50);
    assert_eq!(dump(&oplog.instead(cut_short), "{}").await.expect("dumped").fact("rows"), "3");
}
