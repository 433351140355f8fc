//! Sessions that end before or without a run, or that nobody runs any more.

use crate::plane::*;
use coffer_api::*;
use coffer_repository::{StoreConfig, open_store};
use kube::api::{DeleteParams, Patch, PatchParams};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::time::Duration;

pub fn configuration(retry: Value) -> Value {
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
