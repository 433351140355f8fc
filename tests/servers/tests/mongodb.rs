//! The servers that speak MongoDB's protocol.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use bson::rawdoc;
use coffer_test_servers::cache::run;
use coffer_test_servers::mongodb::{Mongodb, MongodbOptions, MongodbVersion};

#[test]
fn stock_mongodump_dumps_every_server() {
    for version in MongodbVersion::ALL {
        let server = Mongodb::start(version, &MongodbOptions::default()).unwrap();
        let mut client = server.client().unwrap();
        client.insert("shop", "users", &[rawdoc! { "_id": 1, "name": "Ada" }]).unwrap();
        assert_eq!(client.documents("shop", "users").unwrap().len(), 1);
        let folder = tempfile::tempdir().unwrap();
        run(server.tool("mongodump").unwrap().arg("--out").arg(folder.path())).unwrap();
        assert!(folder.path().join("shop/users.bson").is_file());
    }
}
