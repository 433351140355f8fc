//! Back up, restore, and let others judge.

use std::path::Path;
use std::process::Command;

use coffer_e2e::manifest::{self, NAMESPACE};
use coffer_e2e::{REPOSITORY_PASSWORD, Scene, addon};
use coffer_test_servers::cache::run;
use coffer_test_servers::compare::{Database, same_dump, same_rows};
use coffer_test_servers::{Auth, Postgres, PostgresOptions, PostgresVersion, S3, Tls, tools};

fn must_be_equal(one: (&Postgres, &str), other: (&Postgres, &str)) {
    let (one, other) = (Database { server: one.0, name: one.1 }, Database { server: other.0, name: other.1 });
    assert!(same_rows(one, other).unwrap().len() > 30);
    assert!(same_dump(one, other, &[]).unwrap() > 1000);
}

/// What a user without Coffer would do: take the snapshot out with restic and restore it with PostgreSQL's own tool.
fn must_be_restorable_without_coffer(scene: &Scene, restic: &Path) {
    let dump = scene.coffer.folder().join("dump");
    scene.restic_of(restic.to_owned(), &["restore", "latest", "--target", dump.to_str().unwrap()]);
    assert!(scene.server.restore_list(&dump).unwrap().contains("TABLE DATA shop orders_2024h2"));
    scene.server.psql("postgres", "create database by_hand template template0").unwrap();
    run(scene.server.tool("pg_restore").args(["--exit-on-error", "--jobs=2", "--dbname=by_hand"]).arg(&dump)).unwrap();
    must_be_equal((&scene.server, "shop"), (&scene.server, "by_hand"));
    std::fs::remove_dir_all(dump).unwrap();
}

#[test]
fn a_backup_restores_to_an_equal_database_and_stock_tools_accept_it() {
    for version in PostgresVersion::ALL {
        let scene = Scene::new(version, &PostgresOptions::default());
        scene.backs_up();
        assert_eq!(scene.snapshots().len(), 1);
        scene.restic(&["check", "--read-data"]);
        scene.restic_of(tools::restic_old().unwrap(), &["check", "--read-data"]);
        must_be_restorable_without_coffer(&scene, &tools::restic().unwrap());
        scene.restores_to("copy");
        must_be_equal((&scene.server, "shop"), (&scene.server, "copy"));

        // Again: nothing is new, so nearly nothing is stored.
        let before = folder_size(&scene.backups());
        scene.backs_up();
        let grown = folder_size(&scene.backups()) - before;
        assert!(grown < before / 5, "{before} bytes grew by {grown}");
        assert_eq!(scene.snapshots().len(), 2);
    }
}

#[test]
fn a_snapshot_of_an_older_server_restores_on_a_newer_one() {
    let scene = Scene::new(PostgresVersion::V15, &PostgresOptions::default());
    scene.backs_up();
    let newer = Postgres::start(PostgresVersion::V17, &PostgresOptions::default()).unwrap();
    newer.psql("postgres", "create database copy template template0").unwrap();
    scene.coffer.apply(&[manifest::auth("copy", newer.password()), manifest::binding("copy", &newer, "copy")]);
    scene.coffer.ok(&[
        "restore",
        "-n",
        NAMESPACE,
        "--config",
        "shop",
        "--target",
        "copy",
        "--task",
        "postgres-restore",
    ]);
    let (source, copy) = (Database { server: &scene.server, name: "shop" }, Database { server: &newer, name: "copy" });
    assert!(same_rows(source, copy).unwrap().len() > 30);
}

#[test]
fn every_way_to_authenticate_works() {
    for auth in [Auth::Trust, Auth::Password, Auth::Md5] {
        let scene = Scene::new(PostgresVersion::V15, &PostgresOptions { auth, ..PostgresOptions::default() });
        scene.backs_up();
        scene.restores_to("copy");
        must_be_equal((&scene.server, "shop"), (&scene.server, "copy"));
    }
}

#[test]
fn tls_with_our_own_authority_works_and_another_name_is_refused() {
    let scene = Scene::new(PostgresVersion::V17, &PostgresOptions { tls: Tls::Required, ..PostgresOptions::default() });
    scene.backs_up();
    scene.restores_to("copy");
    must_be_equal((&scene.server, "shop"), (&scene.server, "copy"));
    drop(scene);

    let options = PostgresOptions {
        tls: Tls::Required,
        server_names: vec!["elsewhere.example".into()],
        ..PostgresOptions::default()
    };
    let scene = Scene::new(PostgresVersion::V17, &options);
    let error = scene.coffer.fails(&["backup", "shop", "-n", NAMESPACE]);
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    assert_eq!(scene.snapshots(), Vec::<String>::new());
}

#[test]
fn a_client_certificate_is_shown_where_one_is_asked_for() {
    let options = PostgresOptions { tls: Tls::ClientCertificate, ..PostgresOptions::default() };
    let scene = Scene::new(PostgresVersion::V17, &options);
    let error = scene.coffer.fails(&["backup", "shop", "-n", NAMESPACE]);
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    let identity = scene.server.authority().unwrap().client("coffer").unwrap();
    scene.coffer.keep_secret(identity.key.lines().nth(1).unwrap());
    scene.coffer.apply(&[
        manifest::secret("shop-tls", &[("tls.crt", &identity.certificate), ("tls.key", &identity.key)]),
        manifest::binding("shop", &scene.server, "shop").trim_end().to_owned() + "\n  tlsSecret: {name: shop-tls}\n",
    ]);
    scene.backs_up();
    assert_eq!(scene.snapshots().len(), 1);
}

#[test]
fn an_s3_bucket_holds_the_repository() {
    let scene = Scene::new(PostgresVersion::V17, &PostgresOptions::default());
    let s3 = S3::start().unwrap();
    scene.coffer.keep_secret(S3::SECRET_KEY);
    scene.coffer.apply(&[
        manifest::s3_keys("bucket", S3::SECRET_KEY),
        manifest::s3_storage("bucket", &s3),
        manifest::repository_key("far", REPOSITORY_PASSWORD),
        manifest::repository("far", "bucket"),
        manifest::configuration("shop", "shop", "far", "postgres-backup", "{}", ""),
    ]);
    scene.backs_up();
    scene.restores_to("copy");
    must_be_equal((&scene.server, "shop"), (&scene.server, "copy"));
    // The server keeps objects as files, so restic judges them there: over S3 this server lists no packs, not even those
    // that restic itself wrote.
    let mut restic = Command::new(tools::restic().unwrap());
    restic.arg("--repo").arg(s3.bucket_folder().join("far")).args(["--no-cache", "check", "--read-data"]);
    run(restic.env("RESTIC_PASSWORD", REPOSITORY_PASSWORD)).unwrap();
}

#[test]
fn a_full_database_is_refused_and_clean_replaces_what_is_there() {
    let scene = Scene::new(PostgresVersion::V17, &PostgresOptions::default());
    scene.backs_up();
    scene.restores_to("copy");
    let restore = ["restore", "-n", NAMESPACE, "--config", "shop", "--target", "copy", "--task", "postgres-restore"];
    let error = scene.coffer.fails(&restore);
    assert!(error.contains("empty") || error.contains("exists"), "{error}");
    scene.server.psql("copy", "delete from awkward.value; drop view shop.good_customer").unwrap();
    scene.coffer.ok(&[&restore[..], &["--param", "clean=true"]].concat());
    must_be_equal((&scene.server, "shop"), (&scene.server, "copy"));
}

#[test]
fn what_happened_can_be_looked_at() {
    let scene = Scene::new(PostgresVersion::V17, &PostgresOptions::default());
    let coffer = &scene.coffer;
    let addon = addon().display().to_string();
    // A second time is fine.
    coffer.ok(&["addon", "install", &addon, "--grant-requested"]);
    assert!(coffer.ok(&["addon", "list"]).contains("postgres"));
    assert!(coffer.ok(&["addon", "inspect", &addon]).contains("postgres-dump"));
    assert!(coffer.ok(&["plan", "shop", "-n", NAMESPACE]).contains("postgres-dump"));
    scene.backs_up();

    let sessions = coffer.json(&["get", "backupsessions", "-n", NAMESPACE]);
    assert_eq!(sessions["items"][0]["status"]["phase"], "Succeeded", "{sessions:#}");
    let name = sessions["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(coffer.ok(&["describe", "backupsession", &name, "-n", NAMESPACE]).contains("postgres-dump"));
    let table = run(Command::new(tools::kubectl().unwrap()).arg("--kubeconfig").arg(coffer.kubeconfig()).args([
        "get",
        "backupsessions",
        "--all-namespaces",
    ]));
    let table = String::from_utf8(table.unwrap()).unwrap();
    assert!(table.contains(&name) && table.contains("Succeeded"), "{table}");

    coffer.wait_for("a snapshot is listed", |coffer| coffer.ok(&["snapshots", "-n", NAMESPACE]).contains("shop"));
    let files = coffer.ok(&["ls", "latest", "-n", NAMESPACE]);
    assert!(files.contains("/toc.dat") && files.contains("/.coffer/manifest.json"), "{files}");
    let toc = coffer.folder().join("toc.dat");
    coffer.ok(&["download", "latest", "/toc.dat", "-n", NAMESPACE, "-o", toc.to_str().unwrap()]);
    assert!(std::fs::read(toc).unwrap().starts_with(b"PGDMP"));
    coffer.fails(&["download", "latest", "/none", "-n", NAMESPACE]);
    coffer.fails(&["get", "backupsession", "none", "-n", NAMESPACE]);
}

fn folder_size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| if entry.path().is_dir() { folder_size(&entry.path()) } else { entry.metadata().unwrap().len() })
        .sum()
}
