//! Bad input: whatever is wrong, the error names the object and says what to do, nothing is stored, and the server goes
//! on serving.

use coffer_e2e::manifest::{self, NAMESPACE};
use coffer_e2e::{Coffer, REPOSITORY_PASSWORD, Scene};
use coffer_test_servers::{PostgresOptions, PostgresVersion, S3};

const BACKUP: [&str; 4] = ["backup", "shop", "-n", NAMESPACE];

fn scene() -> Scene {
    Scene::new(PostgresVersion::V17, &PostgresOptions::default())
}

/// After a failure: nothing listed, and the server serves.
fn must_be_unharmed(mut scene: Scene) {
    assert_eq!(scene.snapshots(), Vec::<String>::new());
    assert!(scene.coffer.serves(), "{}", scene.coffer.log());
}

fn must_mention(error: &str, words: &[&str]) {
    for word in words {
        assert!(error.to_lowercase().contains(&word.to_lowercase()), "no {word} in:\n{error}");
    }
}

#[test]
fn a_wrong_password() {
    let scene = scene();
    scene.coffer.keep_secret("not-the-password-91");
    scene.coffer.apply(&[manifest::auth("shop", "not-the-password-91")]);
    let failure = scene.backup_fails("shop");
    failure.must_be("Denied", &["wrong user or password for user postgres"]);
    assert!(failure.hint.contains("shop-auth"), "{failure:?}");
    must_be_unharmed(scene);
}

#[test]
fn an_absent_server() {
    let mut scene = scene();
    scene.server.kill9();
    let params = "{timeout: 2s}";
    scene.coffer.apply(&[manifest::configuration("shop", "shop", "shop", "postgres-backup", params, "")]);
    let address = format!("127.0.0.1:{}", scene.server.port());
    scene.backup_fails("shop").must_be("Unavailable", &[&address]);
    must_be_unharmed(scene);
}

#[test]
fn a_wrong_repository_password() {
    let scene = scene();
    scene.backs_up();
    scene.coffer.keep_secret("not-the-repository's-7");
    scene.coffer.apply(&[manifest::repository_key("shop", "not-the-repository's-7")]);
    scene.backup_fails("shop").must_be("Denied", &["Repository demo/shop", "password"]);
    assert_eq!(scene.snapshots().len(), 1);
}

#[test]
fn an_unreachable_or_refusing_store() {
    let scene = scene();
    let s3 = S3::start().unwrap();
    scene.coffer.keep_secret("not-the-secret-key-8");
    scene.coffer.apply(&[
        manifest::s3_keys("bucket", "not-the-secret-key-8"),
        manifest::s3_storage("bucket", &s3),
        manifest::repository_key("far", REPOSITORY_PASSWORD),
        manifest::repository("far", "bucket"),
        manifest::configuration("shop", "shop", "far", "postgres-backup", "{}", ""),
    ]);
    scene.backup_fails("shop").must_be("Denied", &["Repository demo/far"]);
    drop(s3);
    scene.backup_fails("shop").must_be("Unavailable", &["Repository demo/far"]);
    must_be_unharmed(scene);
}

#[test]
fn a_folder_of_something_else() {
    let scene = scene();
    let folder = scene.backups().join("private");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("diary.txt"), "dear diary").unwrap();
    scene
        .coffer
        .apply(&[manifest::repository_key("private", REPOSITORY_PASSWORD), manifest::repository("private", "disk")]);
    let into = manifest::configuration("shop", "shop", "private", "postgres-backup", "{}", "");
    must_mention(&scene.coffer.fails(&["apply", "-f", &scene.coffer.manifest_file(&[into])]), &["demo/private"]);
    scene.backup_fails("shop").must_be("Invalid", &["Repository demo/private"]);
    let left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["diary.txt"], "nothing was made among somebody's files");
    must_be_unharmed(scene);
}

#[test]
fn a_storage_that_is_not_there() {
    let scene = scene();
    scene.coffer.apply(&[
        manifest::local_storage("unmounted", &scene.coffer.folder().join("mnt")),
        manifest::repository_key("far", REPOSITORY_PASSWORD),
        manifest::repository("far", "unmounted"),
        manifest::configuration("shop", "shop", "far", "postgres-backup", "{}", ""),
    ]);
    scene.backup_fails("shop").must_be("Unavailable", &["BackupStorage demo/unmounted"]);
    assert!(!scene.coffer.folder().join("mnt").exists(), "an empty folder looks like an empty storage");
    must_be_unharmed(scene);
}

#[test]
fn parameters_that_are_unknown_or_ill_typed() {
    let scene = scene();
    for (params, words) in [("{jbos: 4}", ["jbos", "jobs"]), ("{jobs: many}", ["jobs", "many"])] {
        let wrong = manifest::configuration("shop", "shop", "shop", "postgres-backup", params, "");
        must_mention(&scene.coffer.fails(&["apply", "-f", &scene.coffer.manifest_file(&[wrong])]), &words);
        scene.backup_fails("shop").must_be("InvalidParameter", &words[..1]);
        must_mention(&scene.coffer.fails(&["plan", "shop", "-n", NAMESPACE]), &words);
    }
    must_be_unharmed(scene);
}

#[test]
fn names_of_what_is_not_there() {
    let scene = scene();
    scene.coffer.apply(&[manifest::configuration("shop", "shop", "shop", "mysql-backup", "{}", "")]);
    scene.backup_fails("shop").must_be("NotFound", &["Task mysql-backup"]);
    scene.coffer.apply(&[
        manifest::task("strange", "no-such-function"),
        manifest::configuration("shop", "shop", "shop", "strange", "{}", ""),
    ]);
    scene.backup_fails("shop").must_be("NotFound", &["no-such-function"]);
    scene.coffer.apply(&[manifest::configuration("shop", "shop", "nowhere", "postgres-backup", "{}", "")]);
    scene.backup_fails("shop").must_be("NotFound", &["Repository demo/nowhere"]);
    scene.coffer.apply(&[manifest::configuration("shop", "nothing", "shop", "postgres-backup", "{}", "")]);
    scene.backup_fails("shop").must_be("NotFound", &["AppBinding demo/nothing"]);
    let told = scene.coffer.run(&["backup", "shop", "-n", NAMESPACE, "--output", "json"]);
    let status: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert!(!told.success && status["error"]["class"] == "NotFound", "{told}");
    must_mention(&scene.coffer.fails(&["backup", "nobody", "-n", NAMESPACE]), &["nobody", "hint"]);
    for wrong in [
        ["--config", "shop", "--target", "nowhere", "--task", "postgres-restore"],
        ["--config", "shop", "--target", "shop", "--task", "nowhere"],
        ["--repository", "nowhere", "--target", "shop", "--task", "postgres-restore"],
    ] {
        let restore = [&["restore", "-n", NAMESPACE][..], &wrong].concat();
        must_mention(&scene.coffer.fails(&restore), &["nowhere", "hint"]);
    }
    assert_eq!(scene.coffer.json(&["get", "restoresessions", "-n", NAMESPACE])["items"], serde_json::json!([]));
    must_mention(&scene.coffer.fails(&["snapshots", "-n", NAMESPACE, "--repository", "gone"]), &["gone"]);
    must_be_unharmed(scene);
}

#[test]
fn a_secret_without_the_key() {
    let scene = scene();
    scene.coffer.ok(&["delete", "secret", "shop-auth", "-n", NAMESPACE]);
    scene.backup_fails("shop").must_be("NotFound", &["Secret demo/shop-auth"]);
    scene.coffer.apply(&[manifest::secret("shop-auth", &[("username", "postgres")])]);
    let failure = scene.backup_fails("shop");
    failure.must_be("Denied", &["password"]);
    assert!(failure.hint.contains("shop-auth"), "{failure:?}");
    scene.coffer.apply(&[manifest::auth("shop", scene.server.password())]);
    scene.coffer.ok(&["delete", "secret", "shop-key", "-n", NAMESPACE]);
    scene.coffer.apply(&[manifest::secret("shop-key", &[("PASSWORD", "x")])]);
    scene.backup_fails("shop").must_be("NotFound", &["Secret demo/shop-key", "RESTIC_PASSWORD"]);
    must_be_unharmed(scene);
}

#[test]
fn misspelt_and_impossible_manifests() {
    let coffer = Coffer::start();
    let right = manifest::configuration("shop", "shop", "shop", "postgres-backup", "{}", "");
    for (wrong, words) in [
        (right.replace("sessions:", "sesions:"), vec!["BackupConfiguration", "shop", "sesions", "sessions"]),
        (right.replace("kind: BackupConfiguration", "kind: BackupConfig"), vec!["BackupConfig"]),
        (right.replace("name: full", "name: 7"), vec!["shop", "name"]),
        (right.replace("coffer.dev/v1alpha1", "coffer.dev/v9"), vec!["coffer.dev/v9"]),
        (right.replace("target:", "target: ["), vec!["manifest.yaml"]),
        (manifest::local_storage("disk", "/x".as_ref()) + "  s3: {bucket: b}\n", vec!["disk", "s3", "local"]),
    ] {
        let file = coffer.manifest_file(&[manifest::secret("s", &[("k", "v")]), wrong]);
        must_mention(&coffer.fails(&["apply", "-f", &file]), &words);
        assert!(!coffer.run(&["get", "secret", "s", "-n", NAMESPACE]).success, "nothing of the file was written");
    }
    coffer.fails(&["apply", "-f", "none.yaml"]);
}

#[test]
fn commands_without_a_server() {
    let coffer = Coffer::without_server();
    must_mention(&coffer.fails(&["get", "addons"]), &["coffer serve"]);
    must_mention(&coffer.fails(&BACKUP), &["coffer serve"]);
}
