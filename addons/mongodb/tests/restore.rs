//! mongodb-restore into real servers: every kind of dump, whole and damaged, and what no server at hand does, by a scripted one.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

#[path = "restoring/damaged.rs"]
mod damaged;
#[path = "restoring/failed.rs"]
mod failed;
#[path = "restoring/options.rs"]
mod options;
#[path = "restoring/replayed.rs"]
mod replayed;
mod restoring;
#[path = "restoring/scripted.rs"]
mod scripted;
#[path = "restoring/series.rs"]
mod series;
#[path = "restoring/silent.rs"]
mod silent;

use bson::{RawDocumentBuf, rawdoc};
use coffer_addon::Error;
use coffer_test_servers::mongodb::compare::{same_database, same_documents};
use coffer_test_servers::mongodb::{Mongodb, MongodbOptions, MongodbVersion, corpus, sample};
use restoring::{
    Small, archive_of, artifact, client, dump, dump_as_written, fact, mongodump, name, of, old_server, renamed,
    restore, server,
};

fn numbered(count: i32) -> Vec<RawDocumentBuf> {
    (0..count).map(|number| rawdoc! { "_id": number, "text": format!("number {number}") }).collect()
}

#[tokio::test]
async fn our_own_dump_comes_back_as_it_was() {
    let (server, database, copy) = (server(), name(), name());
    sample::create(server, &database, 2).expect("the sample");
    corpus::create(server, &database).expect("the corpus");
    let (dumped, files) = dump(server, &format!(r#"{{"databases": ["{database}"]}}"#)).await;
    let report = restore(server, &renamed(&database, &copy), files).await.expect("restored");
    same_database(of(server, &database), of(server, &copy)).expect("the same");
    for total in ["tables", "rows", "bytes"] {
        assert_eq!(fact(&report, total), fact(&dumped, total), "{total}");
    }
    assert_eq!(fact(&report, "databases"), copy);
}

#[tokio::test]
async fn a_dump_is_restored_while_it_is_made_and_held_to_its_index_at_the_end() {
    let (server, database, copy) = (server(), name(), name());
    sample::create(server, &database, 2).expect("the sample");
    let parameters = format!(r#"{{"databases": ["{database}"]}}"#);
    let (dumped, files) = dump_as_written(server, &parameters).await;
    let report = restore(server, &renamed(&database, &copy), files.clone()).await.expect("restored");
    same_database(of(server, &database), of(server, &copy)).expect("the same");
    for total in ["tables", "rows", "bytes"] {
        assert_eq!(fact(&report, total), fact(&dumped, total), "{total}");
    }
    let drop = format!(r#"{{"rename": {{"{database}": "{copy}"}}, "drop": true}}"#);
    // Without its end, and with a collection that lost a document on its way.
    let cut = restore(server, &drop, files[..files.len() - 1].to_vec()).await;
    assert!(matches!(&cut, Err(Error::Corrupt(text)) if text.contains("coffer.json did not come")), "{cut:?}");
    let mut short = files.clone();
    let orders = short.iter_mut().find(|file| file.artifact.name.ends_with("/orders.bson")).expect("orders");
    let bytes = orders.bytes.as_mut().expect("whole");
    let first = usize::try_from(u32::from_le_bytes(bytes[..4].try_into().unwrap())).unwrap();
    bytes.drain(..first);
    let short = restore(server, &drop, short).await;
    assert!(matches!(&short, Err(Error::Corrupt(text)) if text.contains("orders.bson has")), "{short:?}");
    let mut missing = files;
    missing.retain(|file| !file.artifact.name.contains("/orders."));
    let missing = restore(server, &drop, missing).await;
    assert!(matches!(&missing, Err(Error::Corrupt(text)) if text.contains("orders did not come")), "{missing:?}");
}

#[tokio::test]
async fn schema_and_documents_may_come_one_after_the_other() {
    let (server, database) = (server(), name());
    sample::create(server, &database, 1).expect("the sample");
    let only = |what: &str| format!(r#"{{"databases": ["{database}"], "{what}": true}}"#);
    for as_written in [false, true] {
        let copy = name();
        for what in ["schemaOnly", "dataOnly"] {
            let (dumped, files) = match as_written {
                true => dump_as_written(server, &only(what)).await,
                false => dump(server, &only(what)).await,
            };
            if what == "dataOnly" {
                let nowhere = restore(server, &renamed(&database, &name()), files.clone()).await;
                assert!(
                    matches!(&nowhere, Err(Error::InvalidParameter(text)) if text.contains("documents alone")),
                    "{nowhere:?}"
                );
            }
            let report = restore(server, &renamed(&database, &copy), files.clone()).await.expect(what);
            assert_eq!(fact(&report, "rows"), fact(&dumped, "rows"));
            if what == "dataOnly" {
                let again = restore(server, &renamed(&database, &copy), files).await;
                assert!(
                    matches!(&again, Err(Error::InvalidParameter(text)) if text.contains("is not empty")),
                    "{again:?}"
                );
            }
        }
        same_database(of(server, &database), of(server, &copy)).expect("the same");
    }
}

#[tokio::test]
async fn an_empty_collection_with_other_indexes_is_not_used() {
    let (server, database) = (server(), name());
    let index = |name: &str, unique: bool| rawdoc! { "key": { "text": 1 }, "name": name, "unique": unique };
    let make = |indexes: RawDocumentBuf| {
        client(server).run(&database, &rawdoc! { "createIndexes": "c", "indexes": [indexes] }).expect("an index");
    };
    let indexes =
        r#"[{"v":2,"key":{"_id":1},"name":"_id_"},{"v":2,"key":{"text":{"$numberInt":"1"}},"name":"text_1"}]"#;
    let small = Small::new().with(&database, "c", "{}", indexes, &numbered(3));
    make(index("only_one", true));
    for files in [small.artifacts(), small.without_index()] {
        let refused = restore(server, "{}", files).await;
        assert!(
            matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains(&format!("{database}.c")) && text.contains("only_one") && text.contains("drop")),
            "{refused:?}"
        );
    }
    client(server).run(&database, &rawdoc! { "dropIndexes": "c", "index": "only_one" }).expect("dropped");
    make(index("text_1", false));
    restore(server, "{}", small.artifacts()).await.expect("restored");
    assert_eq!(client(server).documents(&database, "c").unwrap().len(), 3);
}

#[tokio::test]
async fn a_dump_with_an_oplog_by_stock_mongodump_comes_back() {
    let options = MongodbOptions { replica_set: Some("rs0".into()), ..MongodbOptions::default() };
    let member = Mongodb::start(MongodbVersion::FerretDb1, &options).expect("a server");
    let database = name();
    client(&member).insert(&database, "c", &numbered(500)).unwrap();
    let mut directory = mongodump(&member, &["--oplog"]);
    let archive = vec![artifact("dump", archive_of(&member, &["--oplog"]))];
    let (_, ours) = dump(&member, "{}").await;
    let (_, as_written) = dump_as_written(&member, "{}").await;
    assert!(directory.iter().any(|file| file.artifact.name == "oplog.bson"));
    let plain = directory.clone();
    directory.iter_mut().for_each(|file| file.artifact.name.insert_str(0, "dump/"));
    for (number, files) in [plain, directory, archive, ours, as_written].into_iter().enumerate() {
        let copy = name();
        let report = restore(old_server(), &renamed(&database, &copy), files).await;
        let report = report.unwrap_or_else(|error| panic!("{number}: {error}"));
        fact(&report, "oplogEntries");
        assert_eq!(client(old_server()).documents(&copy, "c").unwrap().len(), 500, "{number}");
    }
}

#[tokio::test]
async fn a_directory_of_stock_mongodump_comes_back_as_it_was() {
    let (server, database, copy) = (server(), name(), name());
    sample::create(server, &database, 2).expect("the sample");
    corpus::create(server, &database).expect("the corpus");
    let mut files = mongodump(server, &["--db", &database]);
    restore(server, &renamed(&database, &copy), files.clone()).await.expect("restored");
    same_database(of(server, &database), of(server, &copy)).expect("the same");
    // From a snapshot of a folder somewhere.
    let deeper = name();
    files.iter_mut().for_each(|file| file.artifact.name.insert_str(0, "var/backup/dump/"));
    restore(server, &renamed(&database, &deeper), files).await.expect("restored");
    same_database(of(server, &database), of(server, &deeper)).expect("the same");
}

#[tokio::test]
async fn an_archive_of_stock_mongodump_comes_back_as_it_was() {
    let (server, database) = (server(), name());
    sample::create(server, &database, 2).expect("the sample");
    corpus::create(server, &database).expect("the corpus");
    for arguments in [&["--numParallelCollections", "8"][..], &["--numParallelCollections", "1"]] {
        let copy = name();
        let archive = archive_of(server, &[&["--db", &database], arguments].concat());
        let files = vec![artifact("dumpfile.archive", archive)];
        let parameters = format!(r#"{{"rename": {{"{database}": "{copy}"}}, "jobs": 4}}"#);
        let report = restore(server, &parameters, files).await.expect("restored");
        let all = same_database(of(server, &database), of(server, &copy)).expect("the same");
        let rows: u64 = all.values().map(|collection| collection.documents).sum();
        assert_eq!(fact(&report, "rows"), rows.to_string());
        assert_eq!(fact(&report, "tables"), all.len().to_string());
    }
}

#[tokio::test]
async fn awkward_names_survive_every_kind_of_dump() {
    let (server, database) = (server(), name());
    sample::create_awkward_names(server, &database).expect("the collections");
    let (_, ours) = dump(server, &format!(r#"{{"databases": ["{database}"]}}"#)).await;
    let theirs = mongodump(server, &["--db", &database]);
    let archive = vec![artifact("a", archive_of(server, &["--db", &database]))];
    for files in [ours, theirs, archive] {
        let copy = name();
        restore(server, &renamed(&database, &copy), files).await.expect("restored");
        same_database(of(server, &database), of(server, &copy)).expect("the same");
    }
}

#[tokio::test]
async fn what_is_there_stays_unless_it_is_dropped() {
    let (server, database) = (server(), name());
    let small =
        Small::new().with(&database, "a", "{}", "[]", &numbered(3)).with(&database, "b", "{}", "[]", &numbered(2));
    let mut client = client(server);
    client.insert(&database, "b", &[rawdoc! { "_id": "precious" }]).unwrap();
    for files in [small.artifacts(), small.without_index()] {
        let refused = restore(server, "{}", files).await;
        assert!(
            matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains(&format!("{database}.b is not empty")) && text.contains("drop")),
            "{refused:?}"
        );
        // Nothing of the other one was made either.
        assert_eq!(client.collections(&database).unwrap().len(), 1);
    }
    restore(server, r#"{"drop": true}"#, small.artifacts()).await.expect("restored");
    assert_eq!(client.documents(&database, "b").unwrap(), numbered(2));
    // Empty, it may be filled.
    for collection in ["a", "b"] {
        client.run(&database, &rawdoc! { "delete": collection, "deletes": [{ "q": {}, "limit": 0 }] }).unwrap();
    }
    restore(server, "{}", small.without_index()).await.expect("restored");
    assert_eq!(client.documents(&database, "a").unwrap(), numbered(3));
}

#[tokio::test]
async fn only_what_is_asked_for_is_restored() {
    let (server, database, copy) = (server(), name(), name());
    let small = ["a", "b", "c"]
        .into_iter()
        .fold(Small::new(), |small, name| small.with(&database, name, "{}", "[]", &numbered(4)));
    let archive = restoring::archive(&[
        (&database, "a", &numbered(4)),
        (&database, "b", &numbered(4)),
        (&database, "c", &numbered(4)),
    ]);
    for files in [small.artifacts(), small.without_index(), vec![artifact("x", archive)]] {
        let parameters = format!(
            r#"{{"rename": {{"{database}": "{copy}"}}, "include": ["*.a", "*.b"], "exclude": ["{database}.b"], "drop": true}}"#
        );
        let report = restore(server, &parameters, files.clone()).await.expect("restored");
        // It is not all of the dump, and must not be taken for it.
        assert!(report.facts.iter().all(|(name, _)| !["tables", "rows", "bytes"].contains(&name.as_str())));
        assert_eq!((fact(&report, "collections"), fact(&report, "documents")), ("1", "4"));
        let names: Vec<String> = client(server)
            .collections(&copy)
            .unwrap()
            .iter()
            .map(|collection| collection.get_str("name").unwrap().to_string())
            .collect();
        assert_eq!(names, ["a"]);
        for (parameters, wanted) in [
            (renamed("nobody", "x"), "no database nobody"),
            (r#"{"include": ["*.zzz"]}"#.into(), "no collection like *.zzz"),
            (r#"{"exclude": ["*"]}"#.into(), "exclude: it leaves nothing"),
            (renamed(&database, "a\\nb"), "cannot be the name"),
            (r#"{"usersAndRoles": true}"#.into(), "usersAndRoles: the dump has no users"),
            (renamed(&database, "admin"), "cannot be the name"),
            (renamed(&database, "a/b"), "cannot be the name"),
            (r#"{"usersAndRoles": true, "rename": {"a": "b"}}"#.into(), "does not go with rename"),
        ] {
            let refused = restore(server, &parameters, files.clone()).await;
            assert!(
                matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains(wanted)),
                "{wanted}: {refused:?}"
            );
        }
    }
    assert!(client(server).collections(&database).unwrap().is_empty());
}

#[tokio::test]
async fn two_databases_do_not_become_one() {
    let (one, other) = (name(), name());
    let small = Small::new().with(&one, "c", "{}", "[]", &numbered(1)).with(&other, "c", "{}", "[]", &numbered(1));
    let refused = restore(server(), &renamed(&one, &other), small.artifacts()).await;
    assert!(matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains("two databases")), "{refused:?}");
}

const UNIQUE: &str = r#"[{"v":2,"key":{"_id":1},"name":"_id_"},{"v":2,"key":{"text":1},"name":"by_text","unique":true},{"v":2,"key":{"n":1},"name":"by_n"}]"#;

#[tokio::test]
async fn an_index_that_documents_violate_is_an_error_that_names_it() {
    let (server, database) = (server(), name());
    let twice = [rawdoc! { "_id": 1, "text": "s3cret" }, rawdoc! { "_id": 2, "text": "s3cret" }];
    let small = Small::new().with(&database, "c", "{}", UNIQUE, &twice);
    let failed = restore(server, "{}", small.artifacts()).await.expect_err("violated");
    let text = failed.to_string();
    assert!(text.contains("by_text") && text.contains(&format!("{database}.c")) && !text.contains("s3cret"), "{text}");
    let failed =
        restore(server, r#"{"collectErrors": true, "drop": true}"#, small.artifacts()).await.expect_err("still");
    let text = failed.to_string();
    assert!(text.contains("1 things") && text.contains("by_text") && !text.contains("s3cret"), "{text}");
    // All others are there.
    let names: Vec<String> = client(server)
        .indexes(&database, "c")
        .unwrap()
        .iter()
        .map(|index| index.get_str("name").unwrap().to_string())
        .collect();
    assert_eq!(names, ["_id_", "by_n"]);
}

#[tokio::test]
async fn a_document_that_is_refused_ends_the_restore_or_is_counted() {
    let (server, database) = (server(), name());
    let mut documents = numbered(2000);
    documents[1500] = rawdoc! { "_id": 7, "text": "s3cret" };
    documents[1700] = rawdoc! { "_id": 8, "text": "s3cret" };
    let small = Small::new().with(&database, "c", "{}", "[]", &documents);
    let failed = restore(server, "{}", small.artifacts()).await.expect_err("twice the same _id");
    let text = failed.to_string();
    let named = ["document 1501", &format!("{database}/c.bson"), "11000"].into_iter().all(|part| text.contains(part));
    assert!(named && !text.contains("s3cret"), "{text}");
    let failed =
        restore(server, r#"{"collectErrors": true, "drop": true}"#, small.artifacts()).await.expect_err("still");
    let text = failed.to_string();
    assert!(text.contains("2 things") && text.contains("document 1501") && text.contains("document 1701"), "{text}");
    assert_eq!(client(server).count(&database, "c").unwrap(), 1998);
}

#[tokio::test]
async fn documents_of_all_sizes_go_in_over_several_connections() {
    let (server, database, copy) = (server(), name(), name());
    let sized = |number: i32| {
        let length = [10, 1000, 300_000, 3_000_000][usize::try_from(number % 4).unwrap()];
        rawdoc! { "_id": number, "text": "x".repeat(length) }
    };
    let documents: Vec<RawDocumentBuf> = (0..60).map(sized).collect();
    client(server).insert(&database, "big", &documents).unwrap();
    for number in 0..20 {
        client(server).insert(&database, &format!("c{number}"), &numbered(number * 7)).unwrap();
    }
    let (_, files) = dump(server, &format!(r#"{{"databases": ["{database}"]}}"#)).await;
    let parameters = format!(r#"{{"rename": {{"{database}": "{copy}"}}, "jobs": 5}}"#);
    restore(server, &parameters, files).await.expect("restored");
    same_documents(of(server, &database), of(server, &copy)).expect("the same");
}

#[tokio::test]
async fn an_oplog_is_replayed_by_ordinary_writes_where_there_is_no_other_way() {
    let (server, database, copy) = (old_server(), name(), name());
    let namespace = format!("{database}.c");
    let entry = |op: &str, o: RawDocumentBuf| rawdoc! { "ts": bson::Timestamp { time: 1, increment: 1 }, "op": op, "ns": namespace.as_str(), "o": o };
    let mut update = entry("u", rawdoc! { "$v": 1, "$set": { "text": "changed" } });
    update.append(bson::raw::cstr!("o2"), rawdoc! { "_id": 1 });
    let oplog = [
        entry("i", rawdoc! { "_id": 9, "text": "new" }),
        entry("i", rawdoc! { "_id": 0, "text": "number 0" }),
        update,
        entry("d", rawdoc! { "_id": 2 }),
        entry("n", rawdoc! { "msg": "periodic noop" }),
    ];
    let small = Small::new().with(&database, "c", "{}", "[]", &numbered(3)).with_oplog(&oplog);
    for files in [small.artifacts(), small.without_index()] {
        let parameters = format!(r#"{{"rename": {{"{database}": "{copy}"}}, "drop": true}}"#);
        let report = restore(server, &parameters, files).await.expect("restored");
        assert_eq!((fact(&report, "oplogEntries"), fact(&report, "rows")), ("5", "3"));
        let wanted = [
            rawdoc! { "_id": 0, "text": "number 0" },
            rawdoc! { "_id": 1, "text": "changed" },
            rawdoc! { "_id": 9, "text": "new" },
        ];
        assert_eq!(client(server).documents(&copy, "c").unwrap(), wanted);
    }
    let parameters = format!(r#"{{"rename": {{"{database}": "{copy}"}}, "drop": true, "replayOplog": false}}"#);
    restore(server, &parameters, small.artifacts()).await.expect("restored");
    assert_eq!(client(server).documents(&copy, "c").unwrap(), numbered(3));
}
