//! A disk that fills up under the control plane, a real one where this test may mount it.

use std::path::Path;
use std::process::Command;

use coffer_apiserver::Server;
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Error, ResourceExt};
use serde_json::json;

/// A file system in memory, unmounted in the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<SmallDisk> {
        let folder = tempfile::tempdir().unwrap();
        let options = ["-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs"];
        let mount = Command::new("mount").args(options).arg(folder.path()).output();
        mount.is_ok_and(|output| output.status.success()).then_some(SmallDisk(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the task of a client may hold the database for a moment more.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Takes all room that is left.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
}

/// Gives the room back at once: a mere removal waits for a process that another test is just starting and that has
/// inherited the open file.
fn free(path: &Path) {
    std::fs::File::create(path).unwrap();
    std::fs::remove_file(path).unwrap();
}

fn secret(name: &str, bytes: usize) -> Secret {
    serde_json::from_value(json!({"metadata": {"name": name}, "stringData": {"content": "x".repeat(bytes)}})).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named_and_forgotten_with_room() {
    let Some(disk) = SmallDisk::mount() else {
        coffer_test_servers::skipped("may not mount a small tmpfs here: the control plane on a full disk");
        return;
    };
    let (data, filler) = (disk.0.path().join("data"), disk.0.path().join("filler"));
    let server = Server::open(&data).unwrap();
    let secrets: Api<Secret> = Api::default_namespaced(server.client());
    secrets.create(&PostParams::default(), &secret("before", 1000)).await.unwrap();
    let version = secrets.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();

    fill(&filler);
    let mut acknowledged = vec!["before".to_owned()];
    let mut refused = 0;
    for number in 0..200 {
        let name = format!("s{number}");
        match secrets.create(&PostParams::default(), &secret(&name, 200_000)).await {
            Ok(_) => acknowledged.push(name),
            // More than once: the second meets what the first has left behind.
            Err(Error::Api(status)) => {
                assert_eq!((status.code, status.reason.as_str()), (507, "InsufficientStorage"), "{}", status.message);
                let remedy = format!("free space on the file system of {}", data.display());
                assert!(status.message.contains("control.redb") && status.message.contains(&remedy), "{status:?}");
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
        if refused == 3 {
            break;
        }
    }
    assert_eq!(refused, 3, "the disk did not fill up");
    let names = || async {
        let listed = secrets.list(&ListParams::default()).await.unwrap();
        listed.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
    };
    acknowledged.sort();
    assert_eq!(names().await, acknowledged, "what is there is still read");

    free(&filler);
    secrets.create(&PostParams::default(), &secret("with-room", 200_000)).await.unwrap();
    acknowledged.push("with-room".into());
    acknowledged.sort();
    assert_eq!(names().await, acknowledged);
    // Nobody who watches has missed one.
    let mut told = vec!["before".to_owned()];
    let mut watch = Box::pin(secrets.watch(&WatchParams::default(), &version).await.unwrap());
    while told.len() < acknowledged.len() {
        if let Some(WatchEvent::Added(secret)) = watch.try_next().await.unwrap() {
            told.push(secret.name_any());
        }
    }
    told.sort();
    assert_eq!(told, acknowledged);

    drop((watch, secrets, server));
    let secrets: Api<Secret> = Api::default_namespaced(crate::reopen(&data).await.client());
    let listed = secrets.list(&ListParams::default()).await.unwrap();
    assert_eq!(listed.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), acknowledged);
}

#[tokio::test]
async fn a_first_start_without_room_can_be_tried_again() {
    let Some(disk) = SmallDisk::mount() else {
        coffer_test_servers::skipped("may not mount a small tmpfs here: the first start on a full disk");
        return;
    };
    let (data, filler) = (disk.0.path().join("data"), disk.0.path().join("filler"));
    std::fs::create_dir(&data).unwrap();
    fill(&filler);
    let error = Server::open(&data).err().expect("there is no room");
    assert!(matches!(error, coffer_apiserver::Error::Full { .. } | coffer_apiserver::Error::Io { .. }), "{error:?}");
    free(&filler);
    crate::reopen(&data).await;
}
