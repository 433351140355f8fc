//! The mongodb addon, as a user has it: through the whole host, against servers that speak MongoDB's protocol.

use coffer_e2e::Scene;
use coffer_e2e::manifest::{self, NAMESPACE};
use coffer_test_servers::cache::run;
use coffer_test_servers::mongodb::compare::{Database, same_database};
use coffer_test_servers::{Mongodb, MongodbOptions, MongodbTls, MongodbVersion};

fn must_be_equal(scene: &Scene<Mongodb>, other: &Mongodb, name: &str) {
    let (source, copy) = (Database { server: &scene.server, name: "shop" }, Database { server: other, name });
    assert!(same_database(source, copy).unwrap().len() > 4);
}

#[test]
fn a_backup_restores_to_an_equal_database() {
    let scene = Scene::mongodb(MongodbVersion::FerretDb2, &MongodbOptions::default());
    scene.backs_up();
    assert_eq!(scene.snapshots().len(), 1);
    scene.restic(&["check", "--read-data"]);
    let other = Mongodb::start(MongodbVersion::FerretDb2, &MongodbOptions::default()).unwrap();
    scene.restores_to(&other);
    must_be_equal(&scene, &other, "shop");

    // Without Coffer, as the manual has it.
    let folder = scene.coffer.folder().join("stock");
    scene.restic(&["restore", "latest", "--exclude", "/.coffer", "--target", folder.to_str().unwrap()]);
    let renamed = ["--nsFrom", "shop.*", "--nsTo", "stock.*"];
    run(other.tool("mongorestore").unwrap().args(renamed).arg(&folder)).unwrap();
    must_be_equal(&scene, &other, "stock");

    // What is there is not touched unless asked for.
    let again = ["restore", "-n", NAMESPACE, "--config", "shop", "--target", "copy", "--task", "mongodb-restore"];
    let error = scene.coffer.fails(&again);
    assert!(error.contains("drop") && error.contains("shop."), "{error}");
    must_be_equal(&scene, &other, "shop");
    scene.coffer.ok(&[&again[..], &["--param", "rename={shop: staging}"]].concat());
    must_be_equal(&scene, &other, "staging");

    let copy = ["copy", "shop", "--to", "copy", "-n", NAMESPACE, "--task", "mongodb-copy"];
    scene.coffer.ok(&[&copy[..], &["--param", "rename={shop: direct}"]].concat());
    must_be_equal(&scene, &other, "direct");
}

#[test]
fn a_replica_sets_backup_has_its_oplog() {
    let options = MongodbOptions { replica_set: Some("rs0".to_owned()), ..MongodbOptions::default() };
    let scene = Scene::mongodb(MongodbVersion::FerretDb1, &options);
    scene.backs_up();
    let files = scene.coffer.ok(&["ls", "-n", NAMESPACE, "--repository", "shop", "latest"]);
    assert!(files.contains("oplog.bson") && files.contains("shop/orders.bson"), "{files}");
    let other = Mongodb::start(MongodbVersion::FerretDb1, &MongodbOptions::default()).unwrap();
    scene.restores_to(&other);
    must_be_equal(&scene, &other, "shop");
}

#[test]
fn tls_is_verified_from_the_start() {
    let required = MongodbOptions { tls: MongodbTls::Required, ..MongodbOptions::default() };
    let scene = Scene::mongodb(MongodbVersion::FerretDb2, &required);
    scene.backs_up();
    drop(scene);
    let scene = Scene::mongodb(
        MongodbVersion::FerretDb1,
        &MongodbOptions { server_names: vec!["elsewhere.example".into()], ..required },
    );
    let error = scene.coffer.fails(&["backup", "shop", "-n", NAMESPACE]);
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    assert_eq!(scene.snapshots(), Vec::<String>::new());
}

#[test]
fn what_the_server_refuses_fails_with_a_remedy_and_leaves_no_snapshot() {
    let mut scene = Scene::mongodb(MongodbVersion::FerretDb2, &MongodbOptions::default());
    scene.coffer.apply(&[manifest::login("shop", Mongodb::USER, "wrong-password")]);
    scene.backup_fails("shop").must_be("Denied", &[Mongodb::USER]);
    scene.coffer.apply(&[manifest::login("shop", Mongodb::USER, scene.server.password())]);
    scene.server.kill9();
    scene.backup_fails("shop");
    assert_eq!(scene.snapshots(), Vec::<String>::new());
    scene.server.start_again().unwrap();
    scene.coffer.apply(&[manifest::mongodb_binding("shop", &scene.server, None)]);
    scene.backs_up();
    assert_eq!(scene.snapshots().len(), 1);
}
