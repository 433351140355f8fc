//! The mysql addon, as a user has it: MySQL and MariaDB through the whole host.

use coffer_e2e::Scene;
use coffer_e2e::manifest::{self, NAMESPACE};
use coffer_test_servers::mysql::compare::{Database, same_dump, same_rows};
use coffer_test_servers::{Mysql, MysqlOptions, MysqlTls, MysqlVersion};

const TESTED: [MysqlVersion; 3] = [MysqlVersion::MySql97, MysqlVersion::MariaDb1011, MysqlVersion::MariaDb118];

#[test]
fn a_backup_restores_to_an_equal_database() {
    for version in TESTED {
        let scene = Scene::mysql(version, &MysqlOptions::default());
        scene.backs_up();
        assert_eq!(scene.snapshots().len(), 1);
        scene.restic(&["check", "--read-data"]);
        let other = Mysql::start(version, &MysqlOptions::default()).unwrap();
        scene.restores_to(&other);
        let must_be_equal = || {
            let of = |server| Database { server, name: "shop" };
            assert!(same_rows(of(&scene.server), of(&other)).unwrap().len() > 5);
            assert!(same_dump(of(&scene.server), of(&other), &["--routines", "--triggers", "--events"]).unwrap() > 100);
        };
        must_be_equal();

        // What is there is not touched unless asked for.
        let error = scene.coffer.fails(&["restore", "-n", NAMESPACE, "--config", "shop", "--task", "mysql-restore"]);
        assert!(error.contains("overwrite") && error.contains("shop"), "{error}");
        must_be_equal();
    }
}

#[test]
fn tls_is_verified_also_in_the_middle_of_a_handshake() {
    let required = MysqlOptions { tls: MysqlTls::Required, ..MysqlOptions::default() };
    let scene = Scene::mysql(MysqlVersion::MySql97, &required);
    scene.backs_up();
    drop(scene);
    let scene = Scene::mysql(
        MysqlVersion::MariaDb118,
        &MysqlOptions { server_names: vec!["elsewhere.example".into()], ..required },
    );
    let error = scene.coffer.fails(&["backup", "shop", "-n", NAMESPACE]);
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    assert_eq!(scene.snapshots(), Vec::<String>::new());
}

#[test]
fn what_the_server_refuses_fails_with_a_remedy_and_leaves_no_snapshot() {
    let scene = Scene::mysql(MysqlVersion::MariaDb1011, &MysqlOptions::default());
    scene.coffer.apply(&[manifest::login("shop", Mysql::USER, "wrong-password")]);
    scene.backup_fails("shop").must_be("Denied", &[Mysql::USER]);

    // May log in and read one table, which is not the whole database.
    scene
        .server
        .mysql("create user narrow@'%' identified by 'narrow-5521'; grant select on shop.customer to narrow@'%'")
        .unwrap();
    scene.coffer.apply(&[manifest::login("shop", "narrow", "narrow-5521")]);
    let failure = scene.backup_fails("shop");
    assert_eq!(failure.class, "Denied", "{failure:?}");
    assert_eq!(scene.snapshots(), Vec::<String>::new());

    scene.coffer.apply(&[manifest::login("shop", Mysql::USER, scene.server.password())]);
    scene.backs_up();
    assert_eq!(scene.snapshots().len(), 1);
}

#[test]
fn the_server_dies_while_the_dump_waits_for_its_locks() {
    let mut scene = Scene::mysql(MysqlVersion::MariaDb118, &MysqlOptions::default());
    let mut locker = scene.server.tool("mysql").unwrap();
    let mut locker = locker.args(["--execute", "lock tables shop.orders write; select sleep(600)"]).spawn().unwrap();
    let count = |scene: &Scene<Mysql>, what: &str| {
        let query = format!("select count(*) from information_schema.processlist where {what}");
        scene.server.mysql(&query).unwrap()
    };
    scene.coffer.wait_for("locked", |_| {
        count(&scene, "info like '%sleep(600)' and command = 'Query' and state = 'User sleep'") == "1"
    });
    let session = scene.coffer.ok(&["backup", "shop", "-n", NAMESPACE, "--no-wait"]).trim().to_owned();
    scene.coffer.wait_for("waiting", |_| count(&scene, "state like 'Waiting for%lock%' and user = 'coffer'") != "0");

    scene.server.kill9();
    locker.wait().unwrap();
    let phase = |scene: &Scene<Mysql>| {
        scene.coffer.json(&["get", "backupsession", &session, "-n", NAMESPACE])["status"]["phase"].clone()
    };
    scene.coffer.wait_for("ended", |_| phase(&scene) == "Failed");
    assert_eq!(scene.snapshots(), Vec::<String>::new());

    scene.server.start_again().unwrap();
    scene.coffer.apply(&[manifest::mysql_binding("shop", &scene.server, Some("shop"))]);
    scene.backs_up();
    assert_eq!(scene.snapshots().len(), 1);
}
