//! From one application into another, with no repository in between.

use coffer_e2e::Scene;
use coffer_e2e::manifest::{self, NAMESPACE};
use coffer_test_servers::{Mysql, MysqlOptions, MysqlVersion, Postgres, PostgresOptions, PostgresVersion};
use coffer_test_servers::{compare, mysql};

#[test]
fn a_postgres_database_goes_to_another_server() {
    let scene = Scene::new(PostgresVersion::V15, &PostgresOptions::default());
    let other = Postgres::start(PostgresVersion::V17, &PostgresOptions::default()).unwrap();
    other.psql("postgres", "create database copy template template0").unwrap();
    scene.coffer.keep_secret(other.password());
    scene.coffer.apply(&[manifest::auth("copy", other.password()), manifest::binding("copy", &other, "copy")]);
    let copy = ["copy", "shop", "--to", "copy", "-n", NAMESPACE, "--task", "postgres-copy", "--param", "jobs=2"];
    let printed = scene.coffer.ok(&copy);
    assert!(printed.contains("copied in"), "{printed}");
    let of = |server, name| compare::Database { server, name };
    assert!(compare::same_rows(of(&scene.server, "shop"), of(&other, "copy")).unwrap().len() > 5);
    assert_eq!(scene.snapshots(), Vec::<String>::new());

    // The target's own refusal reaches whoever asked, and the source is left as it was.
    let error = scene.coffer.fails(&copy);
    assert!(error.contains("not empty") || error.contains("already exists"), "{error}");
    assert!(error.contains("the copy demo/"), "{error}");
}

#[test]
fn a_mysql_database_goes_to_another_server() {
    let scene = Scene::mysql(MysqlVersion::MariaDb118, &MysqlOptions::default());
    let other = Mysql::start(MysqlVersion::MariaDb118, &MysqlOptions::default()).unwrap();
    mysql::sample::create_definer(&other).unwrap();
    scene.coffer.keep_secret(other.password());
    let binding = manifest::mysql_binding("copy", &other, None);
    scene.coffer.apply(&[manifest::login("copy", Mysql::USER, other.password()), binding]);
    let copy = ["copy", "shop", "--to", "copy", "-n", NAMESPACE, "--task", "mysql-copy"];
    scene.coffer.ok(&[&copy[..], &["--param", "rename={shop: staging}"]].concat());
    let of = |server, name| mysql::compare::Database { server, name };
    assert!(mysql::compare::same_rows(of(&scene.server, "shop"), of(&other, "staging")).unwrap().len() > 5);

    // Whose login is refused is told by name: here the source's.
    scene.coffer.apply(&[manifest::login("shop", Mysql::USER, "wrong-password")]);
    let error = scene.coffer.fails(&copy);
    assert!(error.contains("dump") && error.contains("Secret demo/shop-auth"), "{error}");
}

#[test]
fn what_cannot_be_copied_is_refused_before_anything_runs() {
    let scene = Scene::new(PostgresVersion::V17, &PostgresOptions::default());
    let copy = |target: &str, task: &str| {
        scene.coffer.fails(&["copy", "shop", "--to", target, "-n", NAMESPACE, "--task", task])
    };
    let error = copy("shop", "postgres-copy");
    assert!(error.contains("spec.dataSource.application") && error.contains("the target itself"), "{error}");
    scene
        .coffer
        .apply(&[manifest::auth("copy", scene.server.password()), manifest::binding("copy", &scene.server, "copy")]);
    scene
        .coffer
        .apply(&[manifest::auth("alias", scene.server.password()), manifest::binding("alias", &scene.server, "shop")]);
    let error = copy("alias", "postgres-copy");
    assert!(error.contains("are the same server"), "{error}");
    let error = copy("copy", "postgres-restore");
    assert!(error.contains("postgres-restore") && error.contains("source"), "{error}");
    let error = scene.coffer.fails(&["copy", "nobody", "--to", "copy", "-n", NAMESPACE, "--task", "postgres-copy"]);
    assert!(error.contains("no AppBinding nobody in namespace demo"), "{error}");
}
