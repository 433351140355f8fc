//! The controllers against the embedded control plane, with real repositories on disk. Runs with real addons are tested
//! end to end; here is what happens around them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use bytes::Bytes;
use coffer_api::*;
use coffer_apiserver::Server;
use coffer_controller::{Options, run};
use coffer_repository::{SnapshotOptions, StoreConfig, open_store};
use coffer_runtime::{Runtime, RuntimeOptions};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const NAMESPACE: &str = "demo";

/// A control plane of its own. Its controllers run once they are started, and stop with it.
struct Plane {
    folder: tempfile::TempDir,
    server: Server,
    client: Client,
    stop: CancellationToken,
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Plane {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::open(folder.path().join("data")).unwrap();
        let plane = Self { client: server.client(), server, folder, stop: CancellationToken::new() };
        std::fs::create_dir(plane.backups()).unwrap();
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(NAMESPACE.to_owned());
        Api::all(plane.client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        plane
    }

    fn start(&self) {
        let runtime = Runtime::new(RuntimeOptions { cache: self.folder.path().join("cache") }).unwrap();
        let max_sessions = std::num::NonZeroUsize::new(4).unwrap();
        let options =
            Options { client: self.client.clone(), runtime, modules: self.server.modules().source(), max_sessions };
        tokio::spawn(run(options, self.stop.clone()));
    }

    fn backups(&self) -> PathBuf {
        self.folder.path().join("backups")
    }

    fn api<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    async fn apply<K>(&self, name: &str, content: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let mut object = json!({"apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": {"name": name}});
        object.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
        self.api().patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await.unwrap()
    }

    async fn repository(&self, password: &str) {
        self.apply::<Secret>("key", json!({"stringData": {"RESTIC_PASSWORD": password}})).await;
        self.apply::<BackupStorage>("disk", json!({"spec": {"local": {"path": self.backups()}}})).await;
        let spec = json!({"storage": {"name": "disk"}, "path": "shop", "encryptionSecret": {"name": "key"}});
        self.apply::<Repository>("shop", json!({"spec": spec})).await;
    }

    /// Wakes the reconcile of the repository, whose Secret has this password then.
    async fn look_again(&self, password: &str) {
        static TIMES: AtomicU32 = AtomicU32::new(0);
        let times = TIMES.fetch_add(1, Relaxed).to_string();
        self.apply::<Secret>("key", json!({"stringData": {"RESTIC_PASSWORD": password, "touched": times}})).await;
    }

    /// Waits until the object of that name, or its absence, is as wanted.
    async fn until<K>(&self, name: &str, wanted: impl Fn(Option<&K>) -> bool) -> Option<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let mut last = None;
        for _ in 0..600 {
            last = self.api::<K>().get_opt(name).await.unwrap();
            if wanted(last.as_ref()) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} {name} did not become as wanted: {last:#?}", K::kind(&()));
    }

    /// Waits until the repository's status has an error of that class, or none.
    async fn repository_is(&self, class: Option<FailureClass>) -> RepositoryStatus {
        let wanted = |repository: Option<&Repository>| {
            let status = repository.and_then(|repository| repository.status.clone()).unwrap_or_default();
            status.phase != StoragePhase::Pending && status.error.map(|error| error.class) == class
        };
        self.until("shop", wanted).await.and_then(|repository: Repository| repository.status).unwrap()
    }

    async fn ended(&self, session: &str) -> BackupSessionStatus {
        let ended = |session: Option<&BackupSession>| {
            session.and_then(|session| session.status.as_ref()).is_some_and(|status| status.run.phase.is_terminal())
        };
        self.until(session, ended).await.and_then(|session: BackupSession| session.status).unwrap()
    }
}

async fn write_snapshot(folder: &Path, password: &str) -> String {
    write_tagged(folder, password, &[]).await
}

async fn write_tagged(folder: &Path, password: &str, tags: &[&str]) -> String {
    let store = open_store(&StoreConfig::Local { path: folder.to_owned() }).unwrap();
    let repository = coffer_repository::Repository::open(store, &SecretString::from(password)).await.unwrap();
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    let options = SnapshotOptions { tags, ..SnapshotOptions::default() };
    let writer = repository.begin(options).await.unwrap();
    let mut file = writer.file("a.txt").unwrap();
    file.write(Bytes::from_static(b"hello")).await.unwrap();
    file.finish().await.unwrap();
    writer.commit().await.unwrap().id.to_string()
}

#[tokio::test]
async fn a_repository_is_made_where_nothing_is_and_nowhere_else() {
    let plane = Plane::new().await;
    plane.start();
    plane.repository("right").await;
    let status = plane.repository_is(None).await;
    assert!(plane.backups().join("shop/config").exists());

    plane.apply::<Secret>("key", json!({"stringData": {"RESTIC_PASSWORD": "hunter2"}})).await;
    let wrong = plane.repository_is(Some(FailureClass::Denied)).await;
    assert!(!format!("{wrong:?}").contains("hunter2"));
    assert_eq!(wrong.repository_id, status.repository_id, "what was known stays");

    plane.apply::<Secret>("key", json!({"stringData": {"PASSWORD": "right"}})).await;
    plane.api::<Secret>().delete("key", &DeleteParams::default()).await.unwrap();
    plane.repository_is(Some(FailureClass::NotFound)).await;

    // A disk that is not mounted looks just like this.
    std::fs::rename(plane.backups().join("shop"), plane.backups().join("away")).unwrap();
    plane.apply::<Secret>("key", json!({"stringData": {"RESTIC_PASSWORD": "right"}})).await;
    let gone = |repository: Option<&Repository>| {
        let error = repository.and_then(|repository| repository.status.as_ref()?.error.clone());
        error.is_some_and(|error| error.message.ends_with("is gone"))
    };
    plane.until("shop", gone).await;
    assert!(!plane.backups().join("shop/config").exists(), "an empty one in its place would hide the loss");
}

#[tokio::test]
async fn snapshots_are_mirrored_and_the_repository_is_the_truth() {
    let plane = Plane::new().await;
    plane.start();
    plane.repository("right").await;
    plane.repository_is(None).await;
    let id = write_snapshot(&plane.backups().join("shop"), "right").await;
    plane.look_again("right").await;
    let name = format!("shop-{}", &id[..8]);
    let image: Snapshot = plane.until(&name, |snapshot| snapshot.is_some()).await.unwrap();
    assert_eq!((image.spec.id.as_str(), image.spec.files, image.spec.size), (id.as_str(), 1, 5));

    let uid = image.metadata.uid;
    plane.api::<Snapshot>().delete(&name, &DeleteParams::default()).await.unwrap();
    let is_back = |snapshot: Option<&Snapshot>| snapshot.is_some_and(|snapshot| snapshot.metadata.uid != uid);
    plane.until(&name, is_back).await;

    std::fs::remove_file(plane.backups().join("shop/snapshots").join(&id)).unwrap();
    plane.look_again("right").await;
    plane.until::<Snapshot>(&name, |snapshot| snapshot.is_none()).await;
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_read_keeps_its_object_which_says_so() {
    let plane = Plane::new().await;
    // Longer than a label may be.
    let long = "shop-".repeat(20) + "repo";
    plane.start();
    plane.repository("right").await;
    plane.repository_is(None).await;
    let spec = json!({"storage": {"name": "disk"}, "path": "shop", "encryptionSecret": {"name": "key"}});
    plane.apply::<Repository>(&long, json!({"spec": spec})).await;
    let folder = plane.backups().join("shop");
    let id = write_snapshot(&folder, "right").await;
    let manifested = write_tagged(&folder, "right", &["task=dump"]).await;
    plane.look_again("right").await;
    let names = [format!("shop-{}", &id[..8]), format!("{long}-{}", &id[..8])];
    let is_marked = |wanted: bool| {
        move |snapshot: Option<&Snapshot>| {
            snapshot.is_some_and(|snapshot| {
                let annotations = snapshot.metadata.annotations.clone().unwrap_or_default();
                annotations.contains_key("coffer.dev/unreadable") == wanted
            })
        }
    };
    for name in &names {
        plane.until(name, is_marked(false)).await;
    }
    // No manifest where there should be one is no failure to read it.
    plane.until(&format!("shop-{}", &manifested[..8]), is_marked(false)).await;

    let file = folder.join("snapshots").join(&id);
    let whole = std::fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    damaged[20] ^= 1;
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, damaged).unwrap();
    plane.look_again("right").await;
    for name in &names {
        plane.until(name, is_marked(true)).await;
    }
    std::fs::write(&file, whole).unwrap();
    plane.look_again("right").await;
    for name in &names {
        plane.until(name, is_marked(false)).await;
    }
    std::fs::remove_file(&file).unwrap();
    plane.look_again("right").await;
    for name in &names {
        plane.until::<Snapshot>(name, |snapshot| snapshot.is_none()).await;
    }
}

#[tokio::test]
async fn snapshots_of_a_repository_that_cannot_be_opened_say_so() {
    let plane = Plane::new().await;
    plane.start();
    plane.repository("right").await;
    plane.repository_is(None).await;
    let folder = plane.backups().join("shop");
    let id = write_snapshot(&folder, "right").await;
    plane.look_again("right").await;
    let name = format!("shop-{}", &id[..8]);
    let reason = |snapshot: Option<&Snapshot>| {
        let annotations = snapshot.and_then(|snapshot| snapshot.metadata.annotations.clone()).unwrap_or_default();
        annotations.get("coffer.dev/unreadable").cloned()
    };
    plane.until(&name, |snapshot: Option<&Snapshot>| snapshot.is_some() && reason(snapshot).is_none()).await;

    std::fs::rename(&folder, plane.backups().join("away")).unwrap();
    plane.look_again("right").await;
    plane.until(&name, |snapshot| reason(snapshot).is_some_and(|reason| reason.ends_with("is gone"))).await;
    std::fs::rename(plane.backups().join("away"), &folder).unwrap();
    plane.look_again("right").await;
    plane.until(&name, |snapshot: Option<&Snapshot>| snapshot.is_some() && reason(snapshot).is_none()).await;

    plane.look_again("wrong").await;
    plane.until(&name, |snapshot| reason(snapshot).is_some()).await;
    plane.look_again("right").await;
    plane.until(&name, |snapshot: Option<&Snapshot>| snapshot.is_some() && reason(snapshot).is_none()).await;
}

#[tokio::test]
async fn a_manifest_that_could_not_be_read_is_read_at_the_next_look() {
    let plane = Plane::new().await;
    plane.start();
    plane.repository("right").await;
    plane.repository_is(None).await;
    let folder = plane.backups().join("shop");
    // All that is there now belongs to this snapshot.
    let id = write_tagged(&folder, "right", &["task=dump"]).await;
    std::fs::rename(folder.join("data"), folder.join("away")).unwrap();
    std::fs::create_dir(folder.join("data")).unwrap();
    plane.look_again("right").await;
    let name = format!("shop-{}", &id[..8]);
    let marks = |snapshot: Option<&Snapshot>| snapshot.map(|snapshot| snapshot.metadata.annotations.is_some());
    plane.until(&name, |snapshot| marks(snapshot) == Some(true)).await;
    std::fs::remove_dir(folder.join("data")).unwrap();
    std::fs::rename(folder.join("away"), folder.join("data")).unwrap();
    plane.look_again("right").await;
    plane.until(&name, |snapshot| marks(snapshot) == Some(false)).await;
}

#[tokio::test]
async fn the_latest_snapshot_is_of_one_target() {
    let plane = Plane::new().await;
    plane.start();
    plane.repository("right").await;
    plane.repository_is(None).await;
    let folder = plane.backups().join("shop");
    let restore = async |name: &str, of: Value| {
        let mut source = json!({"repository": {"name": "shop"}});
        source.as_object_mut().unwrap().extend(of.as_object().unwrap().clone());
        let spec = json!({"target": {"name": "shop"}, "dataSource": source, "task": {"name": "restore"}});
        plane.apply::<RestoreSession>(name, json!({"spec": spec})).await;
        let ended = |session: Option<&RestoreSession>| {
            session.and_then(|session| session.status.as_ref()).is_some_and(|status| status.run.phase.is_terminal())
        };
        let session = plane.until(name, ended).await.unwrap();
        let status = session.status.unwrap();
        (status.snapshot.is_some(), status.run.error.unwrap())
    };
    let (chosen, error) = restore("early", json!({})).await;
    assert!(!chosen && error.message.contains("holds no snapshot yet"), "{error:?}");
    assert!(error.hint.unwrap().contains("`coffer backup`"));
    write_tagged(&folder, "right", &["target=AppBinding/demo/shop"]).await;
    // What all of them end with, here, once the snapshot is chosen.
    let (chosen, error) = restore("only", json!({})).await;
    assert!(chosen && error.message.contains("AppBinding demo/shop"), "{error:?}");
    write_tagged(&folder, "right", &["target=AppBinding/demo/other"]).await;
    let (chosen, error) = restore("any", json!({})).await;
    assert!(!chosen && error.class == FailureClass::Invalid, "{error:?}");
    assert!(error.message.contains("demo/shop") && error.message.contains("demo/other"), "{error:?}");
    assert!(error.hint.unwrap().contains("--of"));
    assert!(restore("of", json!({"of": {"name": "shop"}})).await.0);
}

#[tokio::test]
async fn deleting_a_repository_keeps_its_data_and_takes_the_mirror_along() {
    let plane = Plane::new().await;
    plane.start();
    plane.repository("right").await;
    plane.repository_is(None).await;
    let id = write_snapshot(&plane.backups().join("shop"), "right").await;
    plane.look_again("right").await;
    plane.until::<Snapshot>(&format!("shop-{}", &id[..8]), |snapshot| snapshot.is_some()).await;
    // In the middle of another look at it, which must not bring its Snapshots back.
    plane.look_again("right").await;
    plane.api::<Repository>().delete("shop", &DeleteParams::default()).await.unwrap();
    plane.until::<Repository>("shop", |repository| repository.is_none()).await;
    plane.until::<Snapshot>(&format!("shop-{}", &id[..8]), |snapshot| snapshot.is_none()).await;
    let store = open_store(&StoreConfig::Local { path: plane.backups().join("shop") }).unwrap();
    coffer_repository::Repository::open(store, &SecretString::from("right")).await.unwrap();
}

fn configuration(retry: Value) -> Value {
    let mut session = json!({"name": "full", "task": {"name": "dump"}, "repositories": [{"name": "shop"}]});
    session.as_object_mut().unwrap().extend(retry.as_object().unwrap().clone());
    json!({"spec": {"target": {"name": "shop"}, "sessions": [session]}})
}

/// A session as a process that was killed leaves it.
async fn left_running(plane: &Plane, name: &str) {
    plane.apply::<BackupSession>(name, json!({"spec": {"configuration": {"name": "shop"}}})).await;
    let steps = json!([{"name": "dump", "function": "f", "phase": "Running"}]);
    let status =
        json!({"status": {"phase": "Running", "attempt": 1, "startedAt": "2026-01-01T00:00:00Z", "steps": steps}});
    let api = plane.api::<BackupSession>();
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
}

#[tokio::test]
async fn a_session_that_nobody_runs_any_more_fails_as_interrupted() {
    let plane = Plane::new().await;
    plane.apply::<BackupConfiguration>("shop", configuration(json!({}))).await;
    left_running(&plane, "killed").await;
    plane.start();
    let status = plane.ended("killed").await;
    assert_eq!(status.run.phase, SessionPhase::Failed);
    assert_eq!(status.run.error.unwrap().class, FailureClass::Interrupted);
    assert_eq!(status.run.steps[0].phase, StepPhase::Failed, "no step runs on for ever either");
}

#[tokio::test]
async fn a_session_whose_snapshots_are_listed_has_succeeded_and_none_is_forgotten() {
    let plane = Plane::new().await;
    plane.repository("right").await;
    let folder = plane.backups().join("shop");
    let store = open_store(&StoreConfig::Local { path: folder.clone() }).unwrap();
    coffer_repository::Repository::init(store, &SecretString::from("right")).await.unwrap();
    plane.apply::<BackupConfiguration>("shop", configuration(json!({}))).await;
    // One of that name before it.
    write_tagged(&folder, "right", &["session=demo/first"]).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    left_running(&plane, "listed").await;
    left_running(&plane, "first").await;
    let known = json!({"repository": "elsewhere", "id": "aa".repeat(32)});
    let status = json!({"status": {"snapshots": [known]}});
    let api = plane.api::<BackupSession>();
    api.patch_status("first", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    let id = write_tagged(&folder, "right", &["coffer", "session=demo/listed"]).await;
    plane.start();
    let status = plane.ended("listed").await;
    assert_eq!((status.run.phase, status.run.attempt, status.run.error.clone()), (SessionPhase::Succeeded, 1, None));
    assert_eq!((status.snapshots.len(), &status.snapshots[0].id, status.snapshots[0].files), (1, &id, 1));
    assert_eq!(status.run.steps[0].phase, StepPhase::Succeeded);
    let first = plane.ended("first").await;
    assert_eq!(first.run.phase, SessionPhase::Failed, "its snapshot is that of another session of its name");
    assert_eq!(first.snapshots.len(), 1, "what it knew of is not forgotten");
}

#[tokio::test]
async fn an_interrupted_restore_is_never_tried_again() {
    let plane = Plane::new().await;
    let spec = json!({
        "target": {"name": "shop"}, "dataSource": {"repository": {"name": "shop"}}, "task": {"name": "restore"},
        "retry": {"maxRetries": 3},
    });
    plane.apply::<RestoreSession>("killed", json!({"spec": spec})).await;
    let status = json!({"status": {"phase": "Running", "attempt": 1, "startedAt": "2026-01-01T00:00:00Z",
        "snapshot": "aa".repeat(32), "steps": [{"name": "load", "function": "f", "phase": "Running"}]}});
    let api = plane.api::<RestoreSession>();
    api.patch_status("killed", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    plane.start();
    let ended = |session: Option<&RestoreSession>| {
        session.and_then(|session| session.status.as_ref()).is_some_and(|status| status.run.phase.is_terminal())
    };
    let status = plane.until("killed", ended).await.unwrap().status.unwrap();
    let error = status.run.error.unwrap();
    assert_eq!((status.run.attempt, error.class), (1, FailureClass::Interrupted));
    assert!(error.hint.unwrap().contains("empty target"));
    assert_eq!(status.snapshot, Some("aa".repeat(32)), "which it was is not forgotten");
}

#[tokio::test]
async fn an_interrupted_session_is_tried_again_when_its_policy_allows_it() {
    let plane = Plane::new().await;
    plane.apply::<BackupConfiguration>("shop", configuration(json!({"retry": {"maxRetries": 1}}))).await;
    left_running(&plane, "killed").await;
    plane.start();
    let status = plane.ended("killed").await;
    // The second attempt fails for a reason of its own: there is no application.
    let error = status.run.error.unwrap();
    assert_eq!((status.run.attempt, error.class), (2, FailureClass::NotFound), "{error:?}");
    assert!(error.message.contains("AppBinding demo/shop"), "{error:?}");
}

#[tokio::test]
async fn a_session_of_nothing_says_what_is_missing() {
    let plane = Plane::new().await;
    plane.start();
    plane.apply::<BackupSession>("lost", json!({"spec": {"configuration": {"name": "nowhere"}}})).await;
    let error = plane.ended("lost").await.run.error.unwrap();
    assert_eq!(error.class, FailureClass::NotFound);
    assert!(error.message.contains("BackupConfiguration demo/nowhere") && error.hint.is_some(), "{error:?}");
    // Nothing keeps a session that has ended.
    plane.api::<BackupSession>().delete("lost", &DeleteParams::default()).await.unwrap();
    plane.until::<BackupSession>("lost", |session| session.is_none()).await;
}

#[tokio::test]
async fn a_configuration_tells_what_it_waits_for() {
    let plane = Plane::new().await;
    plane.start();
    plane.apply::<BackupConfiguration>("shop", configuration(json!({}))).await;
    let says = |word: &'static str| {
        move |configuration: Option<&BackupConfiguration>| {
            let status = configuration.and_then(|configuration| configuration.status.clone()).unwrap_or_default();
            status.phase == ConfigurationPhase::NotReady
                && status.error.is_some_and(|error| error.message.contains(word))
        }
    };
    plane.until("shop", says("AppBinding demo/shop")).await;
    let config = json!({"url": "postgresql://127.0.0.1:1/shop", "tlsMode": "Disable"});
    plane.apply::<AppBinding>("shop", json!({"spec": {"type": "postgresql", "clientConfig": config}})).await;
    plane.until("shop", says("Task dump")).await;
}

#[tokio::test]
async fn an_addon_without_a_module_or_with_a_broken_one_is_failed_with_the_reason() {
    let plane = Plane::new().await;
    plane.start();
    let broken = plane.server.modules().add(Bytes::from_static(b"\0asm\x01\0\0\0")).await.unwrap();
    let absent = format!("sha256:{}", "0".repeat(64));
    let api: Api<Addon> = Api::all(plane.client.clone());
    for (name, digest, class, word) in [
        ("broken", broken, FailureClass::Unsupported, "not a component"),
        ("absent", absent, FailureClass::NotFound, "not stored"),
    ] {
        let spec = AddonSpec { module: AddonModule { digest }, grants: Vec::new(), limits: None };
        api.create(&PostParams::default(), &Addon::new(name, spec)).await.unwrap();
        let mut error = None;
        for _ in 0..600 {
            let status = api.get(name).await.unwrap().status.unwrap_or_default();
            if status.error.is_some() {
                assert_eq!(status.phase, AddonPhase::Failed);
                error = status.error;
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let error = error.expect("the addon was not looked at");
        assert!(error.class == class && error.message.contains(word), "{error:?}");
    }
}
