//! The oplog replayed: into a server that says what it is told to, and into one without `applyOps`.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::numbered;
use super::restoring::fake::{Fake, entries, name_of, plain};
use super::restoring::{Small, client, fact, name, old_server, restore, restore_into};
use bson::{RawDocumentBuf, Timestamp, rawdoc};
use coffer_addon::Error;

const TWO: &str = r#"[{"v":1,"key":{"_id":1},"name":"_id_","ns":"d.c"},{"v":2,"key":{"a":1},"name":"a_1"}]"#;

fn stamp(increment: u32) -> Timestamp {
    Timestamp { time: 5, increment }
}

fn insert(namespace: &str, id: i32) -> RawDocumentBuf {
    rawdoc! { "op": "i", "ns": namespace, "o": { "_id": id } }
}

fn command(database: &str, o: RawDocumentBuf) -> RawDocumentBuf {
    rawdoc! { "op": "c", "ns": format!("{database}.$cmd"), "o": o }
}

/// Somebody's collection that no dump has, and an entry that would change it.
#[tokio::test]
async fn what_is_there_and_not_in_the_dump_is_not_touched_by_the_oplog() {
    let (server, database) = (old_server(), name());
    let own = format!("{database}.precious");
    let precious = [rawdoc! { "_id": 1, "text": "somebody's" }];
    client(server).insert(&database, "precious", &precious).unwrap();
    let update =
        rawdoc! { "op": "u", "ns": own.as_str(), "o": { "$v": 1, "$set": { "text": "" } }, "o2": { "_id": 1 } };
    let nested = |entry: RawDocumentBuf| rawdoc! { "op": "c", "ns": "admin.$cmd", "o": { "applyOps": [entry] } };
    let create = command(&database, rawdoc! { "create": "precious" });
    let index = command(
        &database,
        rawdoc! { "createIndexes": "precious", "v": 2, "key": { "x": 1 }, "name": "x_1", "unique": true },
    );
    let rename = command(
        &database,
        rawdoc! { "renameCollection": format!("{database}.c"), "to": own.as_str(), "dropTarget": true },
    );
    let delete = rawdoc! { "op": "d", "ns": own.as_str(), "o": { "_id": 1 } };
    for entry in [insert(&own, 2), update, delete, nested(insert(&own, 2)), create, index, rename] {
        let what = format!("{entry:?}");
        let small = Small::new().with(&database, "c", "{}", "[]", &numbered(1)).with_oplog(&[entry]);
        let refused = restore(server, "{}", small.artifacts()).await;
        assert!(
            matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains(&format!("{own} is not empty")) && text.contains("drop") && text.contains("entry 1 of the oplog")),
            "{what}: {refused:?}"
        );
        assert_eq!(client(server).documents(&database, "precious").unwrap(), precious, "{what}");
        assert_eq!(client(server).indexes(&database, "precious").unwrap().len(), 1, "{what}");
        client(server).run(&database, &rawdoc! { "drop": "c" }).unwrap();
    }
    // What was gone at the dump's end is not the one that is here.
    let gone = [
        command(&database, rawdoc! { "drop": "precious" }),
        command(&database, rawdoc! { "collMod": "precious", "validator": {} }),
        command(&database, rawdoc! { "dropDatabase": 1 }),
    ];
    let small = Small::new().with(&database, "c", "{}", "[]", &numbered(1)).with_oplog(&gone);
    restore(server, "{}", small.artifacts()).await.expect("restored");
    assert_eq!(client(server).documents(&database, "precious").unwrap(), precious);
    let small = Small::new().with(&database, "c", "{}", "[]", &numbered(1)).with_oplog(&[insert(&own, 2)]);
    restore(server, r#"{"drop": true}"#, small.artifacts()).await.expect("restored");
    assert_eq!(client(server).documents(&database, "precious").unwrap(), [rawdoc! { "_id": 2 }]);
}

#[tokio::test]
async fn what_was_made_during_the_dump_is_made() {
    let (server, database) = (old_server(), name());
    let ns = |name: &str| format!("{database}.{name}");
    let oplog = [
        insert(&ns("implicit"), 1),
        command(&database, rawdoc! { "create": "made", "capped": true, "size": 100_000 }),
        insert(&ns("made"), 2),
        command(&database, rawdoc! { "create": "c" }),
        insert(&ns("c"), 7),
        command(&database, rawdoc! { "create": "gone" }),
        command(&database, rawdoc! { "drop": "gone" }),
        insert("elsewhere_during_the_dump.c", 5),
    ];
    let small = Small::new().with(&database, "c", "{}", "[]", &[]).with_oplog(&oplog);
    restore(server, r#"{"rename": {"elsewhere_during_the_dump": "x"}}"#, small.artifacts())
        .await
        .expect_err("none of the dump's");
    client(server).drop_database(&database).unwrap();
    restore(server, "{}", small.artifacts()).await.expect("restored");
    for (collection, id) in [("implicit", 1), ("made", 2), ("c", 7)] {
        assert_eq!(client(server).documents(&database, collection).unwrap(), [rawdoc! { "_id": id }], "{collection}");
    }
    assert_eq!(client(server).collections(&database).unwrap().len(), 3);
    client(server).drop_database("elsewhere_during_the_dump").unwrap();
}

#[tokio::test]
async fn a_database_of_the_oplog_does_not_become_one_with_a_renamed_one() {
    let small = Small::new().with("d", "c", "{}", "[]", &numbered(1)).with_oplog(&[insert("e.c", 2)]);
    let fake = plain("7.0.1");
    let refused = restore_into(fake.application(), r#"{"rename": {"d": "e"}}"#, small.artifacts()).await;
    assert!(
        matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains("rename") && text.contains("e.c")),
        "{refused:?}"
    );
    assert!(fake.heard("applyOps").is_empty());
}

#[tokio::test]
async fn collections_of_the_oplog_are_made_before_what_is_in_them() {
    let fake = plain("7.0.1");
    let ui = bson::Binary { subtype: bson::spec::BinarySubtype::Uuid, bytes: vec![7; 16] };
    let view = rawdoc! { "op": "i", "ns": "d.system.views", "o": { "_id": "d.v", "viewOn": "c", "pipeline": [] } };
    let oplog = [rawdoc! { "op": "i", "ns": "d.new", "ui": ui, "o": { "_id": 1 } }, view];
    let small = Small::new().with("d", "c", "{}", "[]", &numbered(1)).with_oplog(&oplog);
    restore_into(fake.application(), r#"{"preserveUuid": true}"#, small.artifacts()).await.expect("restored");
    let applied: Vec<_> = fake.heard("applyOps").iter().flat_map(entries).collect();
    let [_, new, insert] = &applied[..] else { panic!("{applied:?}") };
    assert_eq!(new.get_document("o").unwrap().get_str("create").unwrap(), "new");
    assert_eq!((new.get("ui").unwrap(), insert.get_str("op").unwrap()), (insert.get("ui").unwrap(), "i"));
    let views = fake.heard("create");
    assert_eq!((views.len(), views[0].command.get_str("viewOn").unwrap()), (1, "c"));

    let buckets = command("d", rawdoc! { "create": "system.buckets.t", "timeseries": { "timeField": "t" } });
    let stranger = command("d", rawdoc! { "renameCollection": "d.x", "to": "d.y" });
    for (entry, wanted) in [(buckets, "time series d.t was made"), (stranger, "d.x became d.y")] {
        let small = Small::new().with("d", "c", "{}", "[]", &numbered(1)).with_oplog(&[entry]);
        let refused = restore_into(plain("7.0.1").application(), "{}", small.artifacts()).await;
        assert!(matches!(&refused, Err(Error::Unsupported(text)) if text.contains(wanted)), "{refused:?}");
    }
}

#[tokio::test]
async fn views_that_were_changed_or_dropped_during_the_dump_are_so_afterwards() {
    let view = |name: &str, on: &str| rawdoc! { "_id": format!("d.{name}"), "viewOn": on, "pipeline": [] };
    let about = |op: &str, name: &str, o: RawDocumentBuf| {
        rawdoc! { "op": op, "ns": "d.system.views", "o": o, "o2": { "_id": format!("d.{name}") } }
    };
    let dropped = |name: &str| about("d", name, rawdoc! { "_id": format!("d.{name}") });
    let small = || {
        let is = r#"{"viewOn":"c","pipeline":[]}"#;
        let small = Small::new().with("d", "c", "{}", "[]", &numbered(1));
        ["changed", "gone", "again"].into_iter().fold(small, |small, name| small.with("d", name, is, "[]", &[]))
    };
    let oplog = [
        about("u", "changed", view("changed", "other")),
        insert("d.c", 7),
        dropped("gone"),
        dropped("again"),
        about("i", "again", view("again", "other")),
        // They had gone before the dump listed what there is.
        about("u", "early", view("early", "other")),
        dropped("early"),
        // What has its name now is no view.
        dropped("c"),
    ];
    let fake = plain("7.0.1");
    restore_into(fake.application(), r#"{"rename": {"d": "e"}}"#, small().with_oplog(&oplog).artifacts())
        .await
        .expect("restored");
    let done: Vec<_> = fake
        .all()
        .into_iter()
        .filter_map(|heard| {
            let command = heard.command;
            match name_of(&command).as_str() {
                name @ ("drop" | "create") => {
                    assert_eq!(command.get_str("$db").unwrap(), "e");
                    Some(format!(
                        "{name} {} {}",
                        command.get_str(name).unwrap(),
                        command.get_str("viewOn").unwrap_or_default()
                    ))
                }
                "applyOps" => Some("write".into()),
                _ => None,
            }
        })
        .collect();
    assert_eq!(done[..4], ["create c ", "create changed c", "create gone c", "create again c"]);
    let wanted = ["drop changed ", "create changed other", "write", "drop gone ", "drop again ", "create again other"];
    assert_eq!(done[4..], wanted);

    let part = about("u", "changed", rawdoc! { "$v": 2, "diff": { "u": { "viewOn": "other" } } });
    let refused = restore_into(plain("7.0.1").application(), "{}", small().with_oplog(&[part]).artifacts()).await;
    assert!(
        matches!(&refused, Err(Error::Unsupported(text)) if text.contains("view d.changed was changed")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn entries_that_no_plain_write_can_do_are_named() {
    let diff = rawdoc! { "op": "u", "ns": "d.c", "o": { "$v": 2, "diff": { "u": { "a": 1 } } }, "o2": { "_id": 1 } };
    let nameless = rawdoc! { "op": "i", "ns": "d.c", "o": { "a": 1 } };
    let (server, database) = (old_server(), name());
    for (entry, wanted) in [(diff, "entry 2: it changes parts of a document of"), (nameless, "it has no _id")] {
        let small = Small::new().with("d", "c", "{}", "[]", &numbered(1)).with_oplog(&[insert("d.c", 9), entry]);
        let parameters = format!(r#"{{"rename": {{"d": "{database}"}}, "drop": true}}"#);
        let refused = restore(server, &parameters, small.artifacts()).await.expect_err(wanted);
        assert!(refused.message().contains(wanted) && refused.message().contains(".c"), "{refused}");
    }
    let refusing = Fake::new("7.0.1", |name, _| {
        (name == "applyOps").then(|| rawdoc! { "ok": 1, "applied": 2, "results": [true, false] })
    });
    let oplog = [insert("d.c", 1), insert("d.c", 2)];
    let small = Small::new().with("d", "c", "{}", "[]", &numbered(1)).with_oplog(&oplog);
    let refused = restore_into(refusing.application(), "{}", small.artifacts()).await.expect_err("refused");
    assert!(refused.message().starts_with("entries 1 to 2 of the oplog"), "{refused}");
}

#[tokio::test]
async fn an_oplog_is_applied_in_order_under_other_names() {
    let fake = plain("7.0.1");
    let uuid = bson::Binary { subtype: bson::spec::BinarySubtype::Uuid, bytes: vec![7; 16] };
    let document = |op: &str, ns: &str, o: RawDocumentBuf| {
        rawdoc! { "ts": stamp(1), "t": 1_i64, "h": 3_i64, "v": 2, "op": op, "ns": ns, "ui": uuid.clone(), "wall": bson::DateTime::from_millis(0), "o": o }
    };
    let command = |ns: &str, o: RawDocumentBuf| document("c", ns, o);
    let in_transaction = |o: RawDocumentBuf, before: u32| {
        rawdoc! {
            "ts": stamp(2), "op": "c", "ns": "admin.$cmd", "lsid": { "id": 1 }, "txnNumber": 4_i64,
            "prevOpTime": { "ts": if before == 0 { Timestamp { time: 0, increment: 0 } } else { stamp(before) }, "t": 1_i64 }, "o": o,
        }
    };
    let inner = |id: i32| rawdoc! { "op": "i", "ns": "d.c", "ui": uuid.clone(), "o": { "_id": id } };
    let oplog = [
        document("i", "d.c", rawdoc! { "_id": 1 }),
        document("n", "", rawdoc! { "msg": "noop" }),
        in_transaction(rawdoc! { "applyOps": [inner(10)], "partialTxn": true }, 0),
        document("d", "d.c", rawdoc! { "_id": 2 }),
        in_transaction(rawdoc! { "applyOps": [inner(11)], "prepare": true }, 3),
        document("i", "other.c", rawdoc! { "_id": 5 }),
        document("i", "config.transactions", rawdoc! { "_id": 5 }),
        document("i", "d.left_out", rawdoc! { "_id": 6 }),
        command("d.$cmd", rawdoc! { "create": "new", "idIndex": { "v": 2, "key": { "_id": 1 }, "name": "_id_" } }),
        command("d.$cmd", rawdoc! { "createIndexes": "new", "v": 2, "key": { "x": 1 }, "name": "x_1" }),
        command("d.$cmd", rawdoc! { "dropIndexes": "c", "index": "a_1" }),
        command("d.$cmd", rawdoc! { "collMod": "new", "index": { "name": "x_1", "hidden": true } }),
        in_transaction(rawdoc! { "commitTransaction": 1, "commitTimestamp": stamp(4) }, 4),
        command("d.$cmd", rawdoc! { "renameCollection": "d.new", "to": "d.newer", "dropTarget": uuid.clone() }),
    ];
    let small =
        Small::new().with("d", "c", "{}", TWO, &numbered(3)).with("d", "left_out", "{}", "[]", &[]).with_oplog(&oplog);
    let parameters = r#"{"rename": {"d": "e"}, "exclude": ["d.left_out"], "include": ["d.*"]}"#;
    let report = restore_into(fake.application(), parameters, small.artifacts()).await.expect("restored");
    assert_eq!(fact(&report, "oplogEntries"), "14");
    let applied: Vec<Vec<RawDocumentBuf>> = fake.heard("applyOps").iter().map(entries).collect();
    let insert = |id: i32| rawdoc! { "op": "i", "ns": "e.c", "o": { "_id": id } };
    let wanted = vec![
        vec![insert(1), rawdoc! { "op": "d", "ns": "e.c", "o": { "_id": 2 } }],
        vec![
            rawdoc! { "op": "c", "ns": "e.$cmd", "o": { "create": "new", "idIndex": { "v": 2, "key": { "_id": 1 }, "name": "_id_" } } },
        ],
        vec![insert(10), insert(11)],
        vec![
            rawdoc! { "op": "c", "ns": "e.$cmd", "o": { "renameCollection": "e.new", "to": "e.newer", "dropTarget": true } },
        ],
    ];
    assert_eq!(applied, wanted);
    // What the oplog made of the indexes is made at the end.
    let indexes = fake.heard("createIndexes");
    let made: Vec<_> = indexes
        .iter()
        .map(|heard| (heard.command.get_str("createIndexes").unwrap(), heard.command.get_array("indexes").unwrap()))
        .collect();
    let wanted: bson::RawArrayBuf =
        [rawdoc! { "key": { "x": 1 }, "name": "x_1", "hidden": true }].into_iter().collect();
    assert_eq!(made, [("newer", &*wanted)]);
}

#[tokio::test]
async fn entries_that_cannot_be_replayed_are_errors() {
    let entry = |o: RawDocumentBuf| rawdoc! { "op": "c", "ns": "d.$cmd", "o": o };
    let beginning = rawdoc! {
        "op": "c", "ns": "admin.$cmd", "lsid": { "id": 1 }, "txnNumber": 4_i64,
        "prevOpTime": { "ts": stamp(1), "t": 1_i64 }, "o": { "applyOps": [] },
    };
    for (entry, wanted) in [
        (entry(rawdoc! { "importCollection": "c" }), "importCollection on d.c"),
        (rawdoc! { "op": "x", "ns": "d.c", "o": {} }, "kind (x)"),
        (rawdoc! { "op": "i", "o": {} }, "cannot be read"),
        (entry(rawdoc! {}), "cannot be read"),
        (beginning, "beginning"),
    ] {
        let small = Small::new().with("d", "c", "{}", "[]", &numbered(1)).with_oplog(&[entry]);
        let failed = restore_into(plain("7.0.1").application(), "{}", small.artifacts()).await.expect_err(wanted);
        assert!(failed.message().contains(wanted) && failed.message().contains("entry 1 of the oplog"), "{failed:?}");
    }
    // One that came to nothing is let go of.
    let aborted = [
        rawdoc! { "op": "c", "ns": "admin.$cmd", "lsid": { "id": 1 }, "txnNumber": 4_i64, "o": { "applyOps": [{ "op": "i", "ns": "d.c", "o": { "_id": 1 } }], "prepare": true } },
        rawdoc! { "op": "c", "ns": "admin.$cmd", "lsid": { "id": 1 }, "txnNumber": 4_i64, "o": { "abortTransaction": 1 } },
    ];
    let fake = plain("7.0.1");
    let small = Small::new().with("d", "c", "{}", "[]", &numbered(1)).with_oplog(&aborted);
    restore_into(fake.application(), "{}", small.artifacts()).await.expect("restored");
    assert!(fake.heard("applyOps").is_empty());
}
