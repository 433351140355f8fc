//! What no server at hand does, by one that says what it is told to.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::numbered;
use super::restoring::fake::{Fake, cursor, entries, plain, refusal};
use super::restoring::{Small, artifact, fact, restore_into};
use bson::{RawBsonRef, RawDocumentBuf, Timestamp, rawdoc};
use coffer_addon::testing::{self, Written};
use coffer_addon::{Binding, Error};
use coffer_addon_mongodb::layout::{INDEX, METADATA, PRELUDE};

const TWO: &str = r#"[{"v":1,"key":{"_id":1},"name":"_id_","ns":"d.c"},{"v":2,"key":{"a":1},"name":"a_1"}]"#;

#[tokio::test]
async fn a_replica_set_acknowledges_with_its_majority() {
    let fake = plain("7.0.1");
    let small = Small::new().with("d", "c", r#"{"validator":{"a":1}}"#, TWO, &numbered(3));
    restore_into(fake.application(), "{}", small.artifacts()).await.expect("restored");
    for command in ["create", "insert", "createIndexes"] {
        let heard = fake.heard(command);
        let concern = heard[0].command.get_document("writeConcern").expect("a write concern");
        assert_eq!((heard.len(), concern.get_str("w").unwrap()), (1, "majority"), "{command}");
    }
    let insert = &fake.heard("insert")[0];
    assert_eq!(insert.documents, numbered(3));
    // Documents may be older than the validator.
    assert!(
        insert.command.get_bool("ordered").unwrap() && insert.command.get_bool("bypassDocumentValidation").unwrap()
    );
    let indexes = fake.heard("createIndexes")[0].command.get_array("indexes").unwrap().to_owned();
    let wanted: bson::RawArrayBuf = [rawdoc! { "key": { "a": 1 }, "name": "a_1" }].into_iter().collect();
    assert_eq!(indexes, wanted);
}

#[tokio::test]
async fn uuids_are_preserved_by_an_entry_of_the_oplog() {
    let fake = plain("7.0.1");
    let small = Small::new().with("d", "c", r#"{"capped":true,"size":4096}"#, TWO, &numbered(3));
    let parameters = r#"{"preserveUuid": true, "rename": {"d": "e"}}"#;
    restore_into(fake.application(), parameters, small.artifacts()).await.expect("restored");
    let heard = fake.heard("applyOps");
    let entry = &entries(&heard[0])[0];
    let RawBsonRef::Binary(uuid) = entry.get("ui").unwrap().unwrap() else { panic!("a UUID") };
    assert_eq!((uuid.bytes[1], uuid.subtype), (0x11, bson::spec::BinarySubtype::Uuid));
    assert_eq!((entry.get_str("op").unwrap(), entry.get_str("ns").unwrap()), ("c", "e.$cmd"));
    let wanted = rawdoc! {
        "create": "c", "capped": true, "size": 4096, "idIndex": { "v": 1, "key": { "_id": 1 }, "name": "_id_" },
    };
    assert_eq!(entry.get_document("o").unwrap(), &*wanted);
    assert!(fake.heard("create").is_empty());

    let denied = Fake::new("7.0.1", |name, _| {
        (name == "applyOps").then(|| refusal(13, "Unauthorized", "not authorized on admin to execute command { … }"))
    });
    let refused = restore_into(denied.application(), parameters, small.artifacts()).await;
    assert!(matches!(&refused, Err(Error::Denied(text)) if text.contains("preserveUuid") && text.contains("e.c")));
    let failed = Fake::new("7.0.1", |name, _| {
        (name == "applyOps").then(|| rawdoc! { "ok": 1, "applied": 1, "results": [false] })
    });
    let refused = restore_into(failed.application(), parameters, small.artifacts()).await;
    assert!(matches!(&refused, Err(Error::Failed(text)) if text.contains("could not apply")), "{refused:?}");
}

#[tokio::test]
async fn views_come_after_what_they_read() {
    let view = r#"{"viewOn":"c","pipeline":[{"$match":{"a":{"$gt":{"$numberInt":"1"}}}}]}"#;
    let small = Small::new().with("d", "a_view", view, "[]", &[]).with("d", "c", "{}", "[]", &numbered(2));
    for files in [small.artifacts(), small.without_index()] {
        let fake = plain("7.0.1");
        let report = restore_into(fake.application(), "{}", files).await.expect("restored");
        assert_eq!(fact(&report, "tables"), "2");
        let made: Vec<String> =
            fake.heard("create").iter().map(|heard| heard.command.get_str("create").unwrap().to_string()).collect();
        assert_eq!(made, ["c", "a_view"]);
        let create = fake.heard("create")[1].command.clone();
        let RawBsonRef::Document(stage) = create.get_array("pipeline").unwrap().get(0).unwrap().unwrap() else {
            panic!("a stage")
        };
        assert_eq!(stage, &*rawdoc! { "$match": { "a": { "$gt": 1 } } });
    }
}

/// A dump of documents alone as it is made: its index, which tells of views, too, comes last.
fn documents_alone(name: &str, collection: &str) -> (Small, Vec<Written>) {
    let view = r#"{"viewOn":"c","pipeline":[]}"#;
    let mut small = Small::new().with("d", "a_view", view, "[]", &[]).with("d", name, "{}", "[]", &numbered(2));
    small.index.schema = false;
    small.index.collections.iter_mut().for_each(|collection| collection.metadata = None);
    small.files.retain(|file| !file.artifact.name.ends_with(METADATA));
    for file in &mut small.files {
        file.artifact.labels = vec![("database".into(), "d".into()), ("collection".into(), collection.into())];
    }
    let prelude = artifact(PRELUDE, r#"{"ServerVersion":"7.0.1","ToolVersion":"coffer 1.0.0"}"#);
    let mut files = vec![prelude];
    files.extend(small.files.iter().cloned());
    files.push(artifact(INDEX, small.index.to_bytes().expect("JSON")));
    (small, files)
}

/// It has an empty collection.
fn with_collection(name: &str) -> Fake {
    let name = name.to_string();
    Fake::new("7.0.1", move |command, _| {
        let listed = || cursor([rawdoc! { "name": name.as_str(), "type": "collection", "options": {}, "info": {} }]);
        (command == "listCollections").then(listed)
    })
}

#[tokio::test]
async fn a_copy_of_documents_alone_passes_over_views() {
    let (small, files) = documents_alone("c", "c");
    for files in [files, small.artifacts()] {
        let report = restore_into(with_collection("c").application(), "{}", files).await.expect("restored");
        assert_eq!((fact(&report, "rows"), fact(&report, "tables")), ("2", "1"));
    }
}

#[tokio::test]
async fn a_copy_of_documents_alone_has_long_names_too() {
    let name = "€".repeat(80);
    let (_, files) = documents_alone(&name, &name);
    let fake = with_collection(&name);
    restore_into(fake.application(), "{}", files).await.expect("restored");
    assert_eq!(fake.heard("insert")[0].command.get_str("insert").unwrap(), name);
    // The label is of another collection.
    let (_, files) = documents_alone(&name, "c");
    let refused = restore_into(with_collection(&name).application(), "{}", files).await;
    assert!(matches!(&refused, Err(Error::Unsupported(text)) if text.contains("whole name")), "{refused:?}");
}

#[tokio::test]
async fn documents_that_go_missing_are_lost_unless_the_server_removes_them_by_itself() {
    let collection = |options: RawDocumentBuf| {
        cursor([rawdoc! { "name": "c", "type": "collection", "options": options, "info": {} }])
    };
    let lives = || cursor([rawdoc! { "v": 2, "key": { "a": 1 }, "name": "a_1", "expireAfterSeconds": 5 }]);
    let index = r#"[{"v":2,"key":{"a":1},"name":"a_1","expireAfterSeconds":5}]"#;
    let (_, alone) = documents_alone("c", "c");
    let whole = Small::new().with("d", "c", "{}", index, &numbered(2)).artifacts();
    for (files, options, has_index, is_whole) in [
        (&alone, rawdoc! {}, false, false),
        (&alone, rawdoc! {}, true, true),
        (&alone, rawdoc! { "capped": true, "size": 4096 }, false, true),
        (&alone, rawdoc! { "expireAfterSeconds": 5 }, false, true),
        (&whole, rawdoc! {}, true, true),
        (&whole, rawdoc! {}, false, false),
    ] {
        let fake = Fake::new("7.0.1", move |name, _| match name {
            "listCollections" => Some(collection(options.clone())),
            "listIndexes" if has_index => Some(lives()),
            "count" => Some(rawdoc! { "ok": 1, "n": 1 }),
            "aggregate" => Some(cursor([rawdoc! { "n": 1 }])),
            _ => None,
        });
        let restored = restore_into(fake.application(), "{}", files.clone()).await;
        match restored {
            Ok(_) => assert!(is_whole),
            Err(Error::Failed(text)) => {
                assert!(!is_whole && text.contains("d.c has 1 documents after 2 were inserted"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_sharded_cluster_is_refused_before_anybody_is_asked() {
    let endpoints = ["default", "host-0/s0/a:1", "host-1/s1/b:2"].map(String::from).into();
    let binding = Binding { endpoints, ..super::restoring::binding() };
    let nobody = || async { Err(Error::Failed("somebody was asked".into())) };
    let small = Small::new().with("d", "c", "{}", "[]", &numbered(1));
    let refused = restore_into(testing::application(binding, &[], nobody), "{}", small.artifacts()).await;
    assert!(matches!(&refused, Err(Error::Unsupported(text)) if text.contains("each shard")), "{refused:?}");
}

#[tokio::test]
async fn whatever_an_insert_answers_counts() {
    let small = || Small::new().with("d", "c", "{}", "[]", &numbered(3)).artifacts();
    type Answer = fn() -> RawDocumentBuf;
    let answers: [(Answer, &str); 5] = [
        (
            || rawdoc! { "ok": 1, "n": 3, "writeConcernError": { "code": 64, "codeName": "WriteConcernFailed", "errmsg": "waiting for replication timed out" } },
            "majority",
        ),
        (|| rawdoc! { "ok": 1, "n": 2 }, "says nothing of the others"),
        (
            || rawdoc! { "ok": 1, "n": 1, "writeErrors": [{ "index": 1, "code": 121, "errmsg": "Document failed validation" }] },
            "document 2",
        ),
        (|| refusal(10107, "NotWritablePrimary", "not primary"), "not the primary"),
        (|| refusal(13, "Unauthorized", "not authorized"), "unable to restore d/c.bson into d.c"),
    ];
    for (answer, wanted) in answers {
        let fake = Fake::new("7.0.1", move |name, _| (name == "insert").then(answer));
        let failed = restore_into(fake.application(), "{}", small()).await.expect_err(wanted);
        assert!(failed.message().contains(wanted) && failed.message().contains("d.c"), "{wanted}: {failed:?}");
        match answer().get_i32("code") {
            Ok(13) => assert!(matches!(failed, Error::Denied(_))),
            Ok(10107) => assert!(matches!(failed, Error::Unavailable(_))),
            _ => {}
        }
    }
    // What the server knows without looking may be wrong, but not what it counts.
    let estimating = Fake::new("7.0.1", |name, _| (name == "count").then(|| rawdoc! { "ok": 1, "n": 2 }));
    restore_into(estimating.application(), "{}", small()).await.expect("restored");
    let fake = Fake::new("7.0.1", |name, _| match name {
        "count" => Some(rawdoc! { "ok": 1, "n": 2 }),
        "aggregate" => Some(cursor([rawdoc! { "_id": 1, "n": 2 }])),
        _ => None,
    });
    let failed = restore_into(fake.application(), "{}", small()).await.expect_err("one is missing");
    assert!(failed.message().contains("d.c has 2 documents after 3 were inserted"), "{failed}");
}

fn stamp(increment: u32) -> Timestamp {
    Timestamp { time: 5, increment }
}

#[tokio::test]
async fn users_and_roles_are_merged_by_the_server() {
    let users = [rawdoc! { "_id": "d.ada", "user": "ada", "db": "d", "credentials": { "SCRAM-SHA-256": "s3cret" } }];
    let version = [rawdoc! { "_id": "authSchema", "currentVersion": 5 }];
    let small = |version: &[RawDocumentBuf]| {
        Small::new()
            .with("admin", "system.users", "{}", "[]", &users)
            .with("admin", "system.version", "{}", "[]", version)
            .with("d", "c", "{}", "[]", &numbered(1))
    };
    let fake = plain("7.0.1");
    let report = restore_into(fake.application(), "{}", small(&version).artifacts()).await.expect("restored");
    assert!(fake.heard("_mergeAuthzCollections").is_empty());
    assert_eq!(fact(&report, "collections"), "1");

    let parameters = r#"{"usersAndRoles": true, "drop": true}"#;
    for files in [small(&version).artifacts(), small(&version).without_index()] {
        let fake = plain("7.0.1");
        let report = restore_into(fake.application(), parameters, files).await.expect("restored");
        let merges = fake.heard("_mergeAuthzCollections");
        let merge = &merges.last().expect("merged").command;
        assert_eq!(merge.get_str("tempUsersCollection").unwrap(), "admin.coffer_restored_users");
        assert!(merge.get("tempRolesCollection").unwrap().is_none() && merge.get_bool("drop").unwrap());
        let inserted = fake.heard("insert");
        let put = inserted.iter().find(|heard| heard.command.get_str("insert").unwrap() == "coffer_restored_users");
        assert_eq!(put.expect("put").documents, users);
        // Before and after.
        let dropped = fake.heard("drop").iter().filter(|heard| heard.command.get_str("drop").unwrap() != "c").count();
        assert_eq!((dropped, fact(&report, "rows")), (2, "3"));
    }
    let old = [rawdoc! { "_id": "authSchema", "currentVersion": 1 }];
    let refused = restore_into(plain("7.0.1").application(), parameters, small(&old).artifacts()).await;
    assert!(matches!(&refused, Err(Error::Unsupported(text)) if text.contains("schema 1")), "{refused:?}");
    let none = Small::new().with("d", "c", "{}", "[]", &numbered(1));
    let refused = restore_into(plain("7.0.1").application(), parameters, none.artifacts()).await;
    assert!(matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains("no users")), "{refused:?}");
    for files in [none.artifacts(), none.without_index()] {
        let fake = plain("7.0.1");
        let refused = restore_into(fake.application(), parameters, files).await;
        assert!(matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains("no users")), "{refused:?}");
        assert!(fake.heard("create").is_empty() && fake.heard("insert").is_empty());
    }
    let failing = Fake::new("7.0.1", |name, _| {
        (name == "_mergeAuthzCollections").then(|| refusal(59, "CommandNotFound", "no such command"))
    });
    let refused = restore_into(failing.application(), parameters, small(&version).artifacts()).await;
    assert!(matches!(&refused, Err(Error::Unsupported(text)) if text.contains("users and roles")), "{refused:?}");
    // It is known before anything is written.
    for name in ["drop", "create", "insert"] {
        assert!(failing.heard(name).is_empty(), "{name}");
    }
    // What passwords are checked with does not stay behind.
    let failing = Fake::new("7.0.1", |name, heard| {
        let is_all = heard.command.get_str("tempUsersCollection").is_ok();
        (name == "_mergeAuthzCollections" && is_all).then(|| refusal(1, "InternalError", "no"))
    });
    let refused = restore_into(failing.application(), parameters, small(&version).artifacts()).await;
    assert!(matches!(&refused, Err(Error::Failed(text)) if text.contains("users and roles")), "{refused:?}");
    let dropped = failing.heard("drop");
    assert_eq!(dropped.iter().filter(|heard| heard.command.get_str("drop").unwrap() != "c").count(), 2);
}

#[tokio::test]
async fn a_server_that_sets_timestamps_is_put_right() {
    let zero = Timestamp { time: 0, increment: 0 };
    let document = rawdoc! { "_id": 1, "ts": zero };
    let small = Small::new().with("d", "c", "{}", "[]", std::slice::from_ref(&document));
    for (version, wanted) in [("7.0.1", "$replaceRoot"), ("4.0.9", "$set")] {
        let (mut is_right, right) = (false, document.clone());
        let fake = Fake::new(version, move |name, heard| match name {
            "update" => {
                is_right = true;
                assert!(format!("{:?}", bson::Document::try_from(&*heard.command)).contains(wanted));
                Some(rawdoc! { "ok": 1, "n": 1 })
            }
            "find" if is_right => Some(cursor([right.clone()])),
            "find" if heard.command.get_document("filter").is_ok() => {
                Some(cursor([rawdoc! { "_id": 1, "ts": stamp(1) }]))
            }
            _ => None,
        });
        restore_into(fake.application(), "{}", small.artifacts()).await.expect("restored");
        assert_eq!(fake.heard("update").len(), 1);
    }
    let stubborn = Fake::new("7.0.1", |name, heard| {
        (name == "find" && heard.command.get_document("filter").is_ok())
            .then(|| cursor([rawdoc! { "_id": 1, "ts": stamp(1) }]))
    });
    let refused = restore_into(stubborn.application(), "{}", small.artifacts()).await;
    assert!(matches!(&refused, Err(Error::Unsupported(text)) if text.contains("timestamp of zeros")), "{refused:?}");
}

#[tokio::test]
async fn a_document_larger_than_the_server_takes_is_named() {
    let fake = Fake::new("7.0.1", |name, _| {
        (name == "isMaster")
            .then(|| rawdoc! { "ok": 1, "ismaster": true, "maxWireVersion": 21, "maxBsonObjectSize": 1000 })
    });
    let large = rawdoc! { "_id": 1, "text": "x".repeat(2000) };
    let small = Small::new().with("d", "c", "{}", "[]", &[rawdoc! { "_id": 0 }, large]);
    let refused = restore_into(fake.application(), "{}", small.artifacts()).await;
    assert!(
        matches!(&refused, Err(Error::Unsupported(text)) if text.contains("d/c.bson: document 2") && text.contains("1000")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_restore_that_is_asked_to_stop_ends_its_sessions() {
    let fake = Fake::new("7.0.1", |name, _| {
        if name == "insert" {
            coffer_addon::testing::cancel();
        }
        None
    });
    let small = Small::new().with("d", "c", "{}", "[]", &numbered(3));
    let stopped = restore_into(fake.application(), "{}", small.artifacts()).await;
    assert_eq!(stopped, Err(Error::Failed("cancelled".into())));
    assert!(!fake.heard("killSessions").is_empty());
    assert!(fake.heard("createIndexes").is_empty());
}
