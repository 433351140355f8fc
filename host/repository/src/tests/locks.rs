//! Neighbours in the same repository.

use std::process::Command;

use jiff::{SignedDuration, Timestamp};

use super::{backup, cause, new_repository, noise, small_files};
use crate::{Error, Repository, SnapshotOptions, backend::FileKind, codec, identity};

/// A lock as another program would leave it.
async fn leave_lock(repository: &Repository, exclusive: bool, hostname: &str, pid: u32, age: SignedDuration) {
    let time = Timestamp::now() - age;
    let lock = serde_json::json!({
        "time": time, "exclusive": exclusive, "hostname": hostname, "username": "root", "pid": pid,
    });
    repository.backend.save(FileKind::Lock, &codec::encode_file(&lock).unwrap()).await.unwrap();
}

async fn locks(repository: &Repository) -> usize {
    repository.backend.list(FileKind::Lock).await.unwrap().len()
}

fn dead_pid() -> u32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

const FRESH: SignedDuration = SignedDuration::from_mins(2);
const OLD: SignedDuration = SignedDuration::from_mins(31);

#[tokio::test(flavor = "multi_thread")]
async fn a_living_exclusive_lock_is_heeded_and_named() {
    let (_, repository) = new_repository().await;
    let here = identity::current().hostname;
    // The last may live in another container that thinks it has our name.
    for (hostname, pid) in [("elsewhere", 4711), (here.as_str(), std::process::id()), (here.as_str(), dead_pid())] {
        leave_lock(&repository, true, hostname, pid, FRESH).await;
        let error = backup(&repository, &small_files()).await.unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::Locked(_)), "{message}");
        assert!(
            message.contains(hostname) && message.contains(&pid.to_string()) && message.contains("unlock"),
            "{message}"
        );
        // Neither theirs nor ours.
        assert_eq!(locks(&repository).await, 1);
        for id in repository.backend.list(FileKind::Lock).await.unwrap() {
            repository.backend.delete(FileKind::Lock, &id).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_locks_are_removed_and_others_are_not() {
    let (_, repository) = new_repository().await;
    let here = identity::current().hostname;
    leave_lock(&repository, true, "elsewhere", 1, OLD).await;
    leave_lock(&repository, false, &here, dead_pid(), FRESH).await;
    leave_lock(&repository, false, "elsewhere", 1, FRESH).await;
    backup(&repository, &small_files()).await.unwrap();
    assert_eq!(locks(&repository).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_lock_nothing_is_published() {
    let (_, repository) = new_repository().await;
    let writer = repository.begin(SnapshotOptions::default()).await.unwrap();
    let mut file = writer.file("a").unwrap();
    file.write(noise(100, 1)).await.unwrap();
    file.finish().await.unwrap();
    for id in repository.backend.list(FileKind::Lock).await.unwrap() {
        repository.backend.delete(FileKind::Lock, &id).await.unwrap();
    }
    assert!(matches!(cause(&writer.commit().await.unwrap_err()), Error::LockLost(_)));
    assert!(repository.snapshots().await.unwrap().snapshots.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refreshed_lock_is_the_only_one() {
    let (_, repository) = new_repository().await;
    let lock = repository.hold().await.unwrap();
    let before = repository.backend.list(FileKind::Lock).await.unwrap();
    lock.refresh_now().await.unwrap();
    let after = repository.backend.list(FileKind::Lock).await.unwrap();
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");
    lock.release().await;
    assert_eq!(locks(&repository).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_can_not_be_read_is_not_ignored() {
    let (_, repository) = new_repository().await;
    repository.backend.save(FileKind::Lock, b"?").await.unwrap();
    let error = backup(&repository, &small_files()).await.unwrap_err();
    assert!(matches!(&error, Error::Corrupt { .. }) && error.to_string().contains("unlock"), "{error}");
}
