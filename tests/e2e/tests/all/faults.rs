//! What happens in the middle: servers that die, disks that fill, and we ourselves being killed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use coffer_e2e::manifest::{self, NAMESPACE};
use coffer_e2e::{Coffer, REPOSITORY_PASSWORD, Scene};
use coffer_test_servers::compare::{Database, same_rows};
use coffer_test_servers::{PostgresOptions, PostgresVersion, S3};

fn scene() -> Scene {
    Scene::new(PostgresVersion::V17, &PostgresOptions::default())
}

/// Starts a backup that cannot end by itself soon: a table is locked against its reader. Returns the session's name once
/// the dump waits for the lock. The lock lasts as long as the server or `seconds`.
fn backup_that_hangs(scene: &Scene, seconds: u32) -> (String, std::process::Child) {
    let lock = format!("begin; lock table awkward.empty in access exclusive mode; select pg_sleep({seconds})");
    let locker = scene.server.tool("psql").args(["--quiet", "--dbname=shop", "--command", &lock]).spawn().unwrap();
    let locked =
        "select count(*) from pg_locks where relation = 'awkward.empty'::regclass and mode = 'AccessExclusiveLock'";
    scene.coffer.wait_for("locked", |_| scene.server.psql("shop", &format!("{locked} and granted")).unwrap() == "1");
    let session = scene.coffer.ok(&["backup", "shop", "-n", NAMESPACE, "--no-wait"]).trim().to_owned();
    let waits = "select count(*) from pg_locks where not granted";
    scene.coffer.wait_for("waiting", |_| scene.server.psql("shop", waits).unwrap() != "0");
    (session, locker)
}

fn phase(coffer: &Coffer, kind: &str, name: &str) -> String {
    coffer.json(&["get", kind, name, "-n", NAMESPACE])["status"]["phase"].as_str().unwrap_or_default().to_owned()
}

fn ends_as(coffer: &Coffer, kind: &str, name: &str, wanted: &str) {
    coffer.wait_for("ended", |coffer| ["Succeeded", "Failed"].contains(&phase(coffer, kind, name).as_str()));
    let session = coffer.json(&["get", kind, name, "-n", NAMESPACE]);
    assert_eq!(session["status"]["phase"], wanted, "{session:#}");
}

#[test]
fn the_server_dies_in_the_middle_of_a_dump() {
    let mut scene = scene();
    let (session, mut locker) = backup_that_hangs(&scene, 600);
    scene.server.kill9();
    locker.wait().unwrap();
    ends_as(&scene.coffer, "backupsession", &session, "Failed");
    assert_eq!(scene.snapshots(), Vec::<String>::new());
    assert!(scene.coffer.serves());
    scene.server.start_again().unwrap();
    scene.backs_up();
    scene.restic(&["check", "--read-data"]);
}

#[test]
fn the_server_dies_in_the_middle_of_a_restore() {
    let mut scene = scene();
    scene.backs_up();
    scene.server.psql("postgres", "create database copy template template0").unwrap();
    scene
        .coffer
        .apply(&[manifest::auth("copy", scene.server.password()), manifest::binding("copy", &scene.server, "copy")]);
    // Holds up whoever makes a trigger or a foreign key: that comes after the rows.
    let lock = "begin; lock table pg_trigger in access exclusive mode; select pg_sleep(600)";
    let mut locker = scene.server.tool("psql").args(["--quiet", "--dbname=copy", "--command", lock]).spawn().unwrap();
    let locked =
        "select count(*) from pg_locks where relation = 'pg_trigger'::regclass and mode = 'AccessExclusiveLock'";
    scene.coffer.wait_for("locked", |_| scene.server.psql("copy", locked).unwrap() == "1");
    let restore =
        ["restore", "-n", NAMESPACE, "--config", "shop", "--target", "copy", "--task", "postgres-restore", "--no-wait"];
    let session = scene.coffer.ok(&restore).trim().to_owned();
    let waits = "select count(*) from pg_locks where not granted";
    scene.coffer.wait_for("waiting", |_| scene.server.psql("postgres", waits).unwrap() != "0");
    scene.server.kill9();
    locker.wait().unwrap();
    ends_as(&scene.coffer, "restoresession", &session, "Failed");
    assert!(scene.coffer.serves());
}

#[test]
fn our_server_is_killed_in_the_middle_of_a_backup() {
    let mut scene = scene();
    let (session, mut locker) = backup_that_hangs(&scene, 600);
    scene.coffer.kill9();
    let waiting = scene.coffer.fails(&["get", "backupsessions", "-n", NAMESPACE]);
    assert!(waiting.contains("coffer serve"), "{waiting}");
    scene.coffer.start_again();
    ends_as(&scene.coffer, "backupsession", &session, "Failed");
    let status = scene.coffer.json(&["get", "backupsession", &session, "-n", NAMESPACE]);
    assert_eq!(status["status"]["error"]["class"], "Interrupted", "{status:#}");
    assert_eq!(scene.snapshots(), Vec::<String>::new());
    locker.kill().unwrap();
    locker.wait().unwrap();
    scene
        .server
        .psql("postgres", "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'shop'")
        .unwrap();
    // No unlocking by hand.
    scene.backs_up();
    scene.restic(&["check", "--read-data"]);
    assert_eq!(scene.snapshots().len(), 1);
}

#[test]
fn a_session_that_is_deleted_is_cancelled() {
    let scene = scene();
    let (session, mut locker) = backup_that_hangs(&scene, 600);
    scene.coffer.ok(&["delete", "backupsession", &session, "-n", NAMESPACE]);
    let waits = "select count(*) from pg_locks where not granted";
    scene.coffer.wait_for("gone", |_| scene.server.psql("shop", waits).unwrap() == "0");
    locker.kill().unwrap();
    locker.wait().unwrap();
    scene
        .server
        .psql("postgres", "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'shop'")
        .unwrap();
    scene.backs_up();
    assert_eq!(scene.snapshots().len(), 1);
}

#[test]
fn the_store_goes_away_in_the_middle_of_a_backup() {
    let scene = scene();
    let mut s3 = S3::start().unwrap();
    scene.coffer.keep_secret(S3::SECRET_KEY);
    scene.coffer.apply(&[
        manifest::s3_keys("bucket", S3::SECRET_KEY),
        manifest::s3_storage("bucket", &s3),
        manifest::repository_key("far", REPOSITORY_PASSWORD),
        manifest::repository("far", "bucket"),
        manifest::configuration("shop", "shop", "far", "postgres-backup", "{}", ""),
    ]);
    let (session, mut locker) = backup_that_hangs(&scene, 600);
    s3.kill9();
    locker.kill().unwrap();
    locker.wait().unwrap();
    let sleepers = "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'";
    scene.server.psql("postgres", sleepers).unwrap();
    ends_as(&scene.coffer, "backupsession", &session, "Failed");
    s3.start_again().unwrap();
    scene.backs_up();
    scene.restores_to("copy");
    let (source, copy) =
        (Database { server: &scene.server, name: "shop" }, Database { server: &scene.server, name: "copy" });
    same_rows(source, copy).unwrap();
}

#[test]
fn the_disk_is_full() {
    let mut scene = scene();
    scene.coffer.kill9();
    // A file system of its own for the server, with less room than the backup needs.
    let small = scene.coffer.folder().join("small");
    std::fs::create_dir_all(&small).unwrap();
    let Some(confined) = small_disk(&small) else {
        coffer_test_servers::skipped("the disk is full: no mount namespace can be made here");
        return;
    };
    scene.coffer.start_by(confined);
    scene.coffer.apply(&[
        manifest::local_storage("small", &small),
        manifest::repository_key("tight", REPOSITORY_PASSWORD),
        manifest::repository("tight", "small"),
        manifest::configuration("tight", "shop", "tight", "postgres-backup", "{}", ""),
    ]);
    scene.backup_fails("tight").must_be("Unavailable", &["No space left on device"]);
    assert!(!scene.coffer.ok(&["snapshots", "-n", NAMESPACE]).contains("tight"));
    assert!(scene.coffer.serves());
    scene.backs_up();
}

/// A command that runs `coffer` where `folder` is a disk of half a megabyte; `None` where that cannot be had.
fn small_disk(folder: &Path) -> Option<Command> {
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let namespaces: &[&str] = if is_root { &["--mount"] } else { &["--user", "--map-root-user", "--mount"] };
    let script = "mount -t tmpfs -o size=512k none \"$0\" && exec \"$@\"";
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(namespaces).args(["sh", "-c", script]).arg(folder);
        command
    };
    let works = unshare().arg("true").output().is_ok_and(|output| output.status.success());
    works.then(|| {
        let mut command = unshare();
        command.arg(Coffer::program());
        command
    })
}
