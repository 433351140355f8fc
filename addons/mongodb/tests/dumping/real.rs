//! A real mongod, where there is one: what FerretDB cannot, without a fake's opinion of it.

use crate::dumping::{Dump, Mongodump, application, dump_from, mongodump, sorted};
use crate::{definitions, only};
use bson::{RawDocumentBuf, rawdoc};
use coffer_addon_mongodb::layout::Consistency;
use coffer_test_servers::mongodb::{Mongodb, corpus};

/// Databases on it are its owner's, but for those of these names; gone afterwards.
struct Scratch<'a> {
    server: &'a Mongodb,
    name: &'static str,
}

impl<'a> Scratch<'a> {
    fn new(server: &'a Mongodb, name: &'static str) -> Self {
        server.client().unwrap().drop_database(name).expect("dropped");
        Scratch { server, name }
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        if let Ok(mut client) = self.server.client() {
            let _ = client.drop_database(self.name);
        }
    }
}

/// The real server, and whether it is a member of a replica set.
fn real() -> Option<(Mongodb, bool)> {
    let server = Mongodb::real().expect("the real one")?;
    let hello = server.client().unwrap().run("admin", &rawdoc! { "isMaster": 1 }).expect("hello");
    Some((server, hello.get_str("setName").is_ok()))
}

async fn dump(server: &Mongodb, parameters: &str) -> Dump {
    dump_from(application(server), parameters).await.expect("dumped")
}

#[tokio::test]
async fn ranges_of_a_real_index_are_all_of_it() {
    let Some((server, is_member)) = real() else { return };
    let scratch = Scratch::new(&server, "coffer_dump_ranges");
    corpus::create(&server, scratch.name).expect("the corpus");
    let mut client = server.client().unwrap();
    let many: Vec<RawDocumentBuf> = (0..5000).map(|id| rawdoc! { "_id": id, "text": "x".repeat(100) }).collect();
    client.insert(scratch.name, "many", &many).expect("inserted");
    let parameters = format!(r#"{{"databases": ["{}"], "splitSize": 500, "jobs": 4}}"#, scratch.name);
    let dumped = dump(&server, &parameters).await;
    for collection in ["awkward", "ids", "large", "many"] {
        let stored = client.documents(scratch.name, collection).expect("documents");
        let name = format!("{}/{collection}.bson", scratch.name);
        assert_eq!(dumped.documents(&name), sorted(stored), "{collection}");
    }
    let consistency = dumped.index().consistency;
    assert_eq!(matches!(consistency, Consistency::Snapshot { .. }), is_member, "{consistency:?}");
}

#[tokio::test]
async fn all_kinds_of_collections_are_defined_as_stock_mongodump_does() {
    let Some((server, _)) = real() else { return };
    let scratch = Scratch::new(&server, "coffer_dump_kinds");
    let mut client = server.client().unwrap();
    for create in [
        rawdoc! { "create": "capped", "capped": true, "size": 1 << 16, "max": 50 },
        rawdoc! { "create": "checked", "validator": { "$jsonSchema": { "required": ["a"] } }, "validationLevel": "moderate" },
        rawdoc! { "create": "french", "collation": { "locale": "fr", "strength": 2 } },
        rawdoc! { "create": "view", "viewOn": "checked", "pipeline": [{ "$match": { "a": 1 } }] },
        rawdoc! { "create": "clustered", "clusteredIndex": { "key": { "_id": 1 }, "unique": true } },
        rawdoc! { "create": "weather", "timeseries": { "timeField": "t", "metaField": "m" } },
    ] {
        // Older ones have not all of them.
        if let Err(error) = client.run(scratch.name, &create) {
            coffer_test_servers::skipped(error);
        }
    }
    for collection in ["capped", "checked", "french", "clustered"] {
        let documents: Vec<RawDocumentBuf> = (0..20).map(|id| rawdoc! { "_id": id, "a": 1 }).collect();
        client.insert(scratch.name, collection, &documents).expect("inserted");
    }
    let point = rawdoc! { "t": bson::DateTime::from_millis(1_700_000_000_000), "m": "here", "degrees": 4.5 };
    let _ = client.insert(scratch.name, "weather", &[point]);
    let dumped = dump(&server, &only(scratch.name)).await;
    let (ours, theirs) = (dumped.write(), mongodump(&server, &["--db", scratch.name]));
    let (ours, theirs) = (ours.path().join(scratch.name), theirs.path().join(scratch.name));
    assert_eq!(definitions(&ours), definitions(&theirs));
    for file in std::fs::read_dir(&theirs).expect("a folder").map(|entry| entry.expect("an entry")) {
        let name = file.file_name().to_string_lossy().into_owned();
        if name.ends_with(".bson") {
            let stored = crate::dumping::documents(&std::fs::read(file.path()).expect("read"));
            assert_eq!(dumped.documents(&format!("{}/{name}", scratch.name)), stored, "{name}");
        }
    }
}
