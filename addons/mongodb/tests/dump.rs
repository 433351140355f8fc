//! mongodb-dump of real servers: what it writes is what they have, stock programs take it, and it fails by name where it cannot.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

mod dumping;
#[path = "dumping/faked.rs"]
mod faked;
#[path = "dumping/logged.rs"]
mod logged;
#[path = "dumping/lost.rs"]
mod lost;
#[path = "dumping/real.rs"]
mod real;

use bson::{RawDocumentBuf, rawdoc};
use coffer_addon::Error;
use coffer_addon_mongodb::layout::{Consistency, Hash, Kind};
use coffer_test_servers::cache::run;
use coffer_test_servers::mongodb::compare::{Database, same_database};
use coffer_test_servers::mongodb::{Mongodb, MongodbOptions, MongodbVersion, corpus, sample, tool};
use dumping::{Mongodump, documents, dump, dump_before, member, mongodump, mongorestore, name, server, sorted};

fn only(database: &str) -> String {
    format!(r#"{{"databases": ["{database}"]}}"#)
}

#[tokio::test]
async fn every_awkward_document_is_dumped_as_it_is() {
    let (server, database) = (server(), name());
    corpus::create(server, &database).expect("the corpus");
    let dumped = dump(server, &only(&database)).await.expect("dumped");
    let index = dumped.index();
    let (mut rows, mut bytes) = (0, 0);
    for collection in ["awkward", "ids", "large"] {
        let file = format!("{database}/{collection}.bson");
        let stored = server.client().unwrap().documents(&database, collection).expect("documents");
        assert_eq!(dumped.documents(&file), sorted(stored.clone()), "{collection}");
        let data = index.data_of(&file).expect("indexed").data.as_ref().expect("data");
        let mut hash = Hash::default();
        stored.iter().for_each(|document| hash.add(document.as_bytes()));
        assert_eq!((data.documents, data.hash), (stored.len() as u64, hash));
        rows += data.documents;
        bytes += data.bytes;
    }
    let folder = dumped.write();
    for collection in ["awkward", "ids"] {
        let file = folder.path().join(&database).join(format!("{collection}.bson"));
        let mut bsondump = tool("bsondump").expect("bsondump");
        let said = run(bsondump.arg(file)).expect("bsondump");
        let lines = said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
        assert_eq!(
            lines as u64,
            index.data_of(&format!("{database}/{collection}.bson")).unwrap().data.as_ref().unwrap().documents
        );
    }
    restored_as(server, folder.path(), &database);
    assert_eq!(dumped.fact("tables"), "3");
    assert_eq!(dumped.fact("rows"), rows.to_string());
    assert_eq!(dumped.fact("bytes"), bytes.to_string());
    assert!(matches!(index.consistency, Consistency::None { .. }));
    assert_eq!(dumped.fact("consistency"), "none");
}

/// Copies what is in a folder to another name and holds both to be the same.
fn restored_as(server: &Mongodb, folder: &std::path::Path, database: &str) {
    let copy = name();
    let (from, to) = (format!("{database}.*"), format!("{copy}.*"));
    mongorestore(server, folder, &["--nsInclude", &from, "--nsFrom", &from, "--nsTo", &to, "--stopOnError"]);
    same_database(Database { server, name: database }, Database { server, name: &copy }).expect("the same");
}

/// What is JSON in a folder, by name.
fn definitions(folder: &std::path::Path) -> std::collections::BTreeMap<String, serde_json::Value> {
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let json = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    json.map(|path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, serde_json::from_slice(&std::fs::read(path).expect("read")).expect("JSON"))
    })
    .collect()
}

#[tokio::test]
async fn a_sample_is_restored_by_stock_mongorestore_and_defined_as_stock_mongodump_does() {
    let (server, database) = (server(), name());
    sample::create(server, &database, 2).expect("the sample");
    let dumped = dump(server, &only(&database)).await.expect("dumped");
    let (ours, theirs) = (dumped.write(), mongodump(server, &["--db", &database]));
    let (ours, theirs) = (ours.path().join(&database), theirs.path().join(&database));
    assert_eq!(definitions(&ours), definitions(&theirs));
    for file in std::fs::read_dir(&theirs).expect("a folder").map(|entry| entry.expect("an entry")) {
        let name = file.file_name().to_string_lossy().into_owned();
        if name.ends_with(".bson") {
            let stored = documents(&std::fs::read(file.path()).expect("read"));
            assert_eq!(dumped.documents(&format!("{database}/{name}")), stored, "{name}");
        }
    }
    assert_eq!(std::fs::read_dir(&ours).unwrap().count(), std::fs::read_dir(&theirs).unwrap().count());
    restored_as(server, dumped.write().path(), &database);
}

#[tokio::test]
async fn awkward_names_are_those_that_stock_programs_give() {
    let (server, database) = (server(), name());
    sample::create_awkward_names(server, &database).expect("the collections");
    let dumped = dump(server, &only(&database)).await.expect("dumped");
    let theirs = mongodump(server, &["--db", &database]);
    let mut names: Vec<String> = std::fs::read_dir(theirs.path().join(&database))
        .expect("a folder")
        .map(|entry| format!("{database}/{}", entry.expect("an entry").file_name().to_string_lossy()))
        .collect();
    names.sort();
    let mut ours: Vec<&str> = dumped.names().into_iter().filter(|name| name.contains('/')).collect();
    ours.sort();
    assert_eq!(ours, names);
    assert_eq!(definitions(&dumped.write().path().join(&database)), definitions(&theirs.path().join(&database)));
}

#[tokio::test]
async fn a_view_is_its_definition() {
    let (server, database) = (server(), name());
    sample::create(server, &database, 1).expect("the sample");
    sample::create_view(server, &database).expect("the view");
    let dumped = dump(server, &only(&database)).await.expect("dumped");
    let index = dumped.index();
    let view = index.collections.iter().find(|collection| collection.name == sample::VIEW).expect("the view");
    assert_eq!((view.kind, &view.data), (Kind::View, &None));
    assert!(!dumped.has(&format!("{database}/{}.bson", sample::VIEW)));
    let text = String::from_utf8_lossy(dumped.bytes(&format!("{database}/{}.metadata.json", sample::VIEW)));
    assert!(text.contains(r#""viewOn":"orders""#) && text.contains(r#""type":"view""#), "{text}");
    assert_eq!(view.metadata.as_deref(), Some(&*text));
    let theirs = mongodump(server, &["--db", &database]);
    assert_eq!(definitions(&dumped.write().path().join(&database)), definitions(&theirs.path().join(&database)));
}

#[tokio::test]
async fn parameters_choose_what_is_dumped() {
    let (server, database) = (server(), name());
    let mut client = server.client().unwrap();
    for collection in ["a", "b", "c"] {
        let documents: Vec<RawDocumentBuf> = (0..10).map(|id| rawdoc! { "_id": id, "big": id > 5 }).collect();
        client.insert(&database, collection, &documents).expect("inserted");
    }
    let query = |filter: &str| {
        let filters = serde_json::json!({ format!("{database}.a"): filter });
        format!(r#"{{"databases": ["{database}"], "exclude": ["{database}.c"], "query": {filters}}}"#)
    };
    let dumped = dump(server, &query(r#"{"_id": {"$gt": {"$numberInt": "3"}}, "big": false}"#)).await.expect("dumped");
    let ids: Vec<i32> = dumped
        .documents(&format!("{database}/a.bson"))
        .iter()
        .map(|document| document.get_i32("_id").unwrap())
        .collect();
    assert_eq!((ids, dumped.fact("rows"), dumped.fact("tables")), (vec![4, 5], "12", "2"));
    let filtered = format!("databases: {database}; exclude: {database}.c; query: {database}.a");
    assert_eq!(dumped.index().filtered.as_deref(), Some(filtered.as_str()));

    let schema =
        dump(server, &format!(r#"{{"databases": ["{database}"], "schemaOnly": true}}"#)).await.expect("dumped");
    assert!(schema.names().iter().all(|name| !name.ends_with(".bson")), "{:?}", schema.names());
    assert!(schema.index().collections.iter().all(|collection| collection.data.is_none()));
    let data = dump(server, &format!(r#"{{"databases": ["{database}"], "dataOnly": true}}"#)).await.expect("dumped");
    assert!(data.names().iter().all(|name| !name.ends_with(".metadata.json")), "{:?}", data.names());

    for (parameters, says) in [
        (query("{"), "that of"),
        (format!(r#"{{"query": {{"{database}.none": "{{}}"}}, "databases": ["{database}"]}}"#), "no collection"),
        (r#"{"databases": ["not_there"]}"#.into(), "there is no not_there"),
        (r#"{"include": ["nobody.*"]}"#.into(), "include: no collection is named like nobody.*"),
        (r#"{"exclude": ["*"]}"#.into(), "exclude: it leaves nothing to dump"),
        (r#"{"databases": ["local"]}"#.into(), "each member's own"),
        (r#"{"schemaOnly": true, "dataOnly": true}"#.into(), "set one of them"),
    ] {
        match dump(server, &parameters).await.map(|dumped| dumped.report) {
            Err(Error::InvalidParameter(text)) => assert!(text.contains(says), "{text}"),
            other => panic!("{parameters}: {other:?}"),
        }
    }
    match dump(server, r#"{"usersAndRoles": true}"#).await.map(|dumped| dumped.report) {
        Err(Error::Unsupported(text)) => assert!(text.contains("usersAndRoles"), "{text}"),
        other => panic!("{other:?}"),
    }
    match dump(server, r#"{"consistency": "oplog"}"#).await.map(|dumped| dumped.report) {
        Err(Error::Unsupported(text)) => assert!(text.contains("no replica set"), "{text}"),
        other => panic!("{other:?}"),
    }
}

/// Whatever documents there are, and whatever else the filter says.
#[tokio::test]
async fn a_filter_that_the_server_does_not_take_is_refused_before_documents_are_read() {
    let ferret1 = Mongodb::start(MongodbVersion::FerretDb1, &MongodbOptions::default()).expect("a server");
    for server in [server(), &ferret1] {
        let database = name();
        for collection in ["a", "b"] {
            server.client().unwrap().insert(&database, collection, &[rawdoc! { "_id": 1, "n": 1 }]).expect("inserted");
        }
        let query = |filter: &str| {
            let filters = serde_json::json!({ format!("{database}.b"): filter });
            format!(r#"{{"databases": ["{database}"], "query": {filters}, "jobs": 1}}"#)
        };
        for wrong in [
            r#"{"none": {"$nope": 1}}"#,
            r#"{"n": 7, "$or": [{"_id": {"$gt": 0}}, {"none": {"$lt": 1, "$nope": 1}}]}"#,
            r#"{"n": 7, "_id": {"$regex": "("}}"#,
        ] {
            let read = std::rc::Rc::new(std::cell::Cell::new(false));
            let reads = read.clone();
            let dumped = dump_before(server, &query(wrong), &["find\0\u{2}\0\0\0a\0"], move || reads.set(true)).await;
            match dumped.map(|dumped| dumped.report) {
                Err(Error::InvalidParameter(text)) => {
                    assert!(text.contains(&format!("the server does not take that of {database}.b")), "{text}");
                }
                other => panic!("{wrong}: {other:?}"),
            }
            assert!(!read.get(), "{wrong}");
        }
        let right = query(r#"{"n": {"$gte": 0, "$not": {"$gt": 7}}, "$or": [{"_id": 7}, {"_id": {"$in": [1]}}]}"#);
        assert_eq!(dump(server, &right).await.expect("dumped").fact("rows"), "2");
    }
}

#[tokio::test]
async fn a_collection_that_goes_away_is_named() {
    let (server, database) = (server(), name());
    let fill = |collection: &str| {
        let documents: Vec<RawDocumentBuf> = (0..10).map(|id| rawdoc! { "_id": id }).collect();
        server.client().unwrap().insert(&database, collection, &documents).expect("inserted");
    };
    let drop = |database: String, collection: &'static str| {
        move || {
            server.client().unwrap().run(&database, &rawdoc! { "drop": collection }).expect("dropped");
        }
    };
    for collection in ["a", "b", "c"] {
        fill(collection);
    }
    let failed = dump_before(server, &only(&database), &["find\0", "\0b\0"], drop(database.clone(), "b")).await;
    match failed.map(|dumped| dumped.report) {
        Err(Error::Failed(text)) => {
            assert!(text.contains(&format!("{database}.b")) && text.contains("dropped or renamed"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    let failed = dump_before(server, &only(&database), &["listIndexes\0", "\0c\0"], drop(database.clone(), "c")).await;
    match failed.map(|dumped| dumped.report) {
        Err(Error::Failed(text)) => {
            assert!(text.contains(&format!("{database}.c")) && text.contains("dropped or renamed"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

/// FerretDB's oplog says nothing of it.
#[tokio::test]
async fn a_collection_that_is_replaced_behind_the_oplogs_back_is_named() {
    let server = member();
    let fill = |server: &Mongodb, collection: &str| {
        let documents: Vec<RawDocumentBuf> = (0..10).map(|id| rawdoc! { "_id": id }).collect();
        server.client().unwrap().insert("shop", collection, &documents).expect("inserted");
    };
    for collection in ["orders", "others"] {
        fill(&server, collection);
    }
    let server = std::rc::Rc::new(server);
    let replacing = server.clone();
    let replace = move || {
        replacing.client().unwrap().run("shop", &rawdoc! { "drop": "orders" }).expect("dropped");
        fill(&replacing, "orders");
    };
    let failed = dump_before(&server, "{}", &["find\0", "oplog.rs\0", "$lte\0"], replace).await;
    match failed.map(|dumped| dumped.report) {
        Err(Error::Failed(text)) => assert!(text.contains("shop.orders") && !text.contains("shop.others"), "{text}"),
        other => panic!("{other:?}"),
    }
    dump(&server, "{}").await.expect("dumped");
}

/// FerretDB 1 gives 101 documents at once, whatever their length, and all of what such an answer is longer than takes it.
#[tokio::test]
async fn large_documents_come_out_of_a_server_that_does_not_limit_its_answers() {
    let server = Mongodb::start(MongodbVersion::FerretDb1, &MongodbOptions::default()).expect("a server");
    let length = |id: i32| if id < 300 { 10 } else { 600_000 };
    let documents = |range: std::ops::Range<i32>| -> Vec<RawDocumentBuf> {
        range.map(|id| rawdoc! { "_id": id, "text": "x".repeat(length(id)) }).collect()
    };
    let all = documents(0..420);
    let mut client = server.client().unwrap();
    client.insert("shop", "mixed", &all).expect("inserted");
    client.insert("shop", "large", &all[300..]).expect("inserted");
    let dumped = dump(&server, "{}").await.expect("dumped");
    assert_eq!(dumped.documents("shop/mixed.bson"), sorted(all.clone()));
    assert_eq!(dumped.documents("shop/large.bson"), sorted(all[300..].to_vec()));
}

#[tokio::test]
async fn a_server_that_is_killed_fails_the_dump() {
    let server = Mongodb::start(MongodbVersion::FerretDb1, &MongodbOptions::default()).expect("a server");
    let documents: Vec<RawDocumentBuf> = (0..2000).map(|id| rawdoc! { "_id": id, "text": "x".repeat(1000) }).collect();
    server.client().unwrap().insert("shop", "orders", &documents).expect("inserted");
    let process = server.process_id().expect("it runs").to_string();
    let kill = move || {
        assert!(std::process::Command::new("kill").args(["-9", &process]).status().expect("kill").success());
    };
    match dump_before(&server, "{}", &["getMore\0"], kill).await.map(|dumped| dumped.report) {
        Err(Error::Unavailable(text)) => assert!(text.contains("shop.orders"), "{text}"),
        other => panic!("{other:?}"),
    }
}

/// FerretDB has no `applyOps`, which stock mongorestore would have it replay with.
fn replay(server: &Mongodb, entries: &[RawDocumentBuf]) {
    let mut client = server.client().unwrap();
    for entry in entries {
        let (database, collection) = entry.get_str("ns").unwrap().split_once('.').unwrap();
        let done = entry.get_document("o").unwrap();
        let id = entry.get_document("o2").unwrap_or(done).get("_id").unwrap().unwrap();
        let mut query = RawDocumentBuf::new();
        query.append(bson::raw::cstr!("_id"), id);
        let command = match entry.get_str("op").unwrap() {
            "d" => rawdoc! { "delete": collection, "deletes": [{ "q": query, "limit": 1 }] },
            kind => {
                let update = if kind == "i" { done } else { done.get_document("$set").unwrap() };
                let update = if kind == "i" {
                    update.to_owned()
                } else {
                    rawdoc! { "$set": update.to_owned() }
                };
                rawdoc! { "update": collection, "updates": [{ "q": query, "u": update, "upsert": true }] }
            }
        };
        client.run(database, &command).expect("replayed");
    }
}

/// The end of a dump is where its oplog ends: what is written until then is in it.
#[tokio::test]
async fn what_is_written_during_the_dump_is_in_the_oplog() {
    let server = std::rc::Rc::new(member());
    let mut client = server.client().unwrap();
    let documents = |range: std::ops::Range<i32>| -> Vec<RawDocumentBuf> {
        range.map(|id| rawdoc! { "_id": id, "state": "before", "text": "x".repeat(100) }).collect()
    };
    client.insert("shop", "orders", &documents(0..500)).expect("inserted");
    client.insert("shop", "users", &documents(0..10)).expect("inserted");
    let write = {
        let server = server.clone();
        move || {
            let mut client = server.client().unwrap();
            client.insert("shop", "orders", &documents(500..510)).expect("inserted");
            let update = rawdoc! { "update": "orders", "updates": [{ "q": { "_id": 3 }, "u": { "$set": { "state": "after" } } }] };
            client.run("shop", &update).expect("updated");
            let delete = rawdoc! { "delete": "orders", "deletes": [{ "q": { "_id": 4 }, "limit": 1 }] };
            client.run("shop", &delete).expect("deleted");
        }
    };
    // The first orders, what is changed and deleted among them, have been read by then.
    let dumped = dump_before(&server, r#"{"jobs": 1}"#, &["getMore\0", "orders"], write).await.expect("dumped");
    let index = dumped.index();
    let Consistency::Oplog { start, end } = index.consistency else { panic!("{:?}", index.consistency) };
    assert!(start < end, "{start} {end}");
    assert_eq!((dumped.fact("consistency"), dumped.fact("oplogEnd")), ("oplog", end.to_string().as_str()));
    let entries = dumped.documents("oplog.bson");
    let oplog = index.oplog.expect("an oplog");
    assert_eq!(oplog.documents, entries.len() as u64);
    let of = |kind: &str| entries.iter().filter(|entry| entry.get_str("op").unwrap() == kind).count();
    // With the one that it begins at.
    assert_eq!((of("i"), of("u"), of("d")), (11, 1, 1));
    let copy = Mongodb::start(MongodbVersion::FerretDb1, &MongodbOptions::default()).expect("a server");
    mongorestore(&copy, dumped.write().path(), &["--stopOnError"]);
    replay(&copy, &entries);
    same_database(Database { server: &server, name: "shop" }, Database { server: &copy, name: "shop" })
        .expect("the same");
}

#[tokio::test]
async fn an_oplog_that_has_rolled_over_fails_the_dump() {
    let server = std::rc::Rc::new(member());
    let documents: Vec<RawDocumentBuf> = (0..500).map(|id| rawdoc! { "_id": id, "text": "x".repeat(100) }).collect();
    server.client().unwrap().insert("shop", "orders", &documents).expect("inserted");
    let roll = {
        let server = server.clone();
        move || {
            let mut client = server.client().unwrap();
            client.run("local", &rawdoc! { "drop": "oplog.rs" }).expect("dropped");
            let create = rawdoc! { "create": "oplog.rs", "capped": true, "size": 1 << 20 };
            client.run("local", &create).expect("created");
            client.insert("shop", "orders", &[rawdoc! { "_id": -1 }]).expect("inserted");
        }
    };
    match dump_before(&server, "{}", &["getMore\0", "orders"], roll).await.map(|dumped| dumped.report) {
        Err(Error::Failed(text)) => assert!(text.contains("rolled over"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_member_is_dumped_with_its_users_and_capped_collections() {
    let server = member();
    sample::create(&server, "shop", 1).expect("the sample");
    let dumped = dump(&server, r#"{"usersAndRoles": true, "jobs": 3}"#).await.expect("dumped");
    let users = dumped.documents("admin/system.users.bson");
    assert!(users.iter().any(|user| user.get_str("user").is_ok_and(|user| user == Mongodb::USER)), "{users:?}");
    let index = dumped.index();
    assert_eq!(index.server.replica_set.as_deref(), Some("rs0"));
    let theirs = mongodump(&server, &["--db", "shop"]);
    let ours = dumped.write();
    assert_eq!(definitions(&ours.path().join("shop")), definitions(&theirs.path().join("shop")));
    // The order of a capped collection is that of its being written.
    let capped = format!("shop/{}.bson", sample::CAPPED);
    assert_eq!(dumped.bytes(&capped), std::fs::read(theirs.path().join(&capped)).expect("read"));

    // Without the oplog: nothing else makes one moment of it here, and the report says so.
    server.client().unwrap().run("local", &rawdoc! { "drop": "oplog.rs" }).expect("dropped");
    let dumped = dump(&server, "{}").await.expect("dumped");
    assert_eq!(dumped.fact("consistency"), "none");
    assert!(dumped.fact("inconsistentBecause").contains("oplog"), "{:?}", dumped.report);
    match dump(&server, r#"{"consistency": "oplog"}"#).await.map(|dumped| dumped.report) {
        Err(Error::Unsupported(text)) => assert!(text.contains("oplog"), "{text}"),
        other => panic!("{other:?}"),
    }
    match dump(&server, r#"{"consistency": "oplog", "databases": ["shop"]}"#).await.map(|dumped| dumped.report) {
        Err(Error::InvalidParameter(text)) => assert!(text.contains("databases: shop"), "{text}"),
        other => panic!("{other:?}"),
    }
}

/// FerretDB passes over the bounds of a range in silence.
#[tokio::test]
async fn what_cannot_be_cut_is_read_once_and_never_twice() {
    let (server, database) = (server(), name());
    corpus::create(server, &database).expect("the corpus");
    let parameters = format!(r#"{{"databases": ["{database}"], "splitSize": 1000, "jobs": 4}}"#);
    let dumped = dump(server, &parameters).await.expect("dumped");
    for collection in ["awkward", "ids", "large"] {
        let stored = server.client().unwrap().documents(&database, collection).expect("documents");
        assert_eq!(dumped.documents(&format!("{database}/{collection}.bson")), sorted(stored), "{collection}");
    }
}
