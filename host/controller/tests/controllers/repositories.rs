//! Repository: made, opened, mirrored and let go of.

use crate::plane::*;
use coffer_api::*;
use coffer_repository::{StoreConfig, open_store};
use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use secrecy::SecretString;
use serde_json::json;

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
