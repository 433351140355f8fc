//! A store that fails at every call there is, a caller that vanishes at every point, a store that is slow.

use std::{sync::Arc, task::Poll, time::Duration};

use futures::{FutureExt, StreamExt, future, stream};

use super::{
    backup, cause, copy_of,
    fault_store::{Fault, FaultStore},
    listed_and_complete, new_repository, noise, open, password, small_files, store,
};
use crate::{Error, Repository, SnapshotOptions};

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_at_any_call_leaves_nothing_or_all() {
    let (pristine, _) = new_repository().await;
    let files = small_files();
    let counting = Arc::new(FaultStore::new(copy_of(&pristine).await, Fault::None));
    backup(&open(counting.clone()).await.unwrap(), &files).await.unwrap();
    let calls = counting.calls();
    assert!(calls > 10, "{calls}");

    let faults = (0..calls).flat_map(|call| [Fault::Before(call), Fault::After(call), Fault::DeadFrom(call)]);
    let completed: Vec<bool> = stream::iter(faults)
        .map(|fault| {
            let (pristine, files) = (&pristine, &files);
            async move {
                let objects = copy_of(pristine).await;
                let faulty = Arc::new(FaultStore::new(objects.clone(), fault));
                let result = match open(faulty).await {
                    Ok(repository) => backup(&repository, files).await,
                    Err(error) => Err(error),
                };
                let listed = listed_and_complete(objects.clone(), files).await;
                // A snapshot that is listed was also reported, and the other way round; unless the store is not even there to
                // be asked whether the last write took place.
                assert_eq!(listed == 1, result.is_ok(), "{fault:?}: {result:?}");
                // What the failure left behind is in nobody's way.
                backup(&open(objects.clone()).await.unwrap(), files).await.unwrap();
                assert_eq!(listed_and_complete(objects, files).await, listed + 1, "{fault:?}");
                result.is_ok()
            }
        })
        .buffer_unordered(16)
        .collect()
        .await;
    // Faults while unlocking, and an answer to the last write that got lost, do not undo a success.
    let succeeded = completed.iter().filter(|ok| **ok).count();
    assert!((1..completed.len() / 2).contains(&succeeded), "{succeeded} of {}", completed.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_at_any_call_of_init_leaves_nothing_harmful() {
    for call in 0..8 {
        for fault in [Fault::Before(call), Fault::After(call)] {
            let objects = Arc::new(object_store::memory::InMemory::new());
            let faulty = Arc::new(FaultStore::new(objects.clone(), fault));
            let made = Repository::init_with_cost(store(faulty), &password(), super::CHEAP).await;
            let opened = open(objects.clone()).await;
            match (made, opened) {
                (Ok(made), Ok(opened)) => assert_eq!(made.id(), opened.id()),
                (Err(_), Err(Error::Absent { .. })) => {
                    Repository::init_with_cost(store(objects), &password(), super::CHEAP).await.unwrap();
                }
                // The config could not be taken back, or nobody knows that the key arrived.
                (Err(_), Err(Error::NotARepository { .. }) | Ok(_)) => {}
                (made, opened) => panic!("{fault:?}: {made:?}, {opened:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_vanishes_at_any_point_is_in_nobodys_way() {
    let (pristine, _) = new_repository().await;
    let files = small_files();
    let listed: Vec<usize> = stream::iter(0..60)
        .map(|polls| {
            let (pristine, files) = (&pristine, &files);
            async move {
                let objects = copy_of(pristine).await;
                let repository = open(objects.clone()).await.unwrap();
                let mut backup_under_way = Box::pin(backup(&repository, files));
                for _ in 0..polls {
                    // Wakes itself, for this backup shall be polled so often however much it has to wait.
                    let ended = future::poll_fn(|context| Poll::Ready(backup_under_way.poll_unpin(context))).await;
                    if ended.is_ready() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                drop(backup_under_way);
                let repository = open(objects.clone()).await.unwrap();
                backup(&repository, files).await.unwrap();
                listed_and_complete(objects, files).await
            }
        })
        .buffer_unordered(16)
        .collect()
        .await;
    assert!(listed.contains(&1), "no run was interrupted: {listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_store_stops_an_endless_stream() {
    let (objects, _) = new_repository().await;
    let repository = open(Arc::new(FaultStore::new(objects.clone(), Fault::DeadFrom(12)))).await.unwrap();
    let writer = repository.begin(SnapshotOptions::default()).await.unwrap();
    let mut files = [writer.file("a").unwrap(), writer.file("b").unwrap()];
    let mut written = 0;
    let error = 'endless: loop {
        for file in &mut files {
            if let Err(error) = file.write(noise(1 << 20, written)).await {
                break 'endless error;
            }
            written += 1;
        }
        assert!(written < 1000, "{written} MiB were taken without a store");
    };
    assert!(matches!(cause(&error), Error::Store { .. }), "{error:?}");
    // The others learn of it at once.
    for file in &mut files {
        assert!(matches!(file.write(noise(1, 0)).await, Err(Error::Failed(_))));
    }
    assert!(matches!(writer.file("c"), Err(Error::Failed(_))));
    drop(files);
    assert!(matches!(writer.commit().await.map_err(|error| error.is_transient()), Err(true)));
    assert_eq!(listed_and_complete(objects, &small_files()).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_written_is_denied_and_not_worth_another_try() {
    let (objects, _) = new_repository().await;
    for folder in ["locks", "data", "index", "snapshots"] {
        let store = Arc::new(FaultStore::new(objects.clone(), Fault::DeniedIn(folder)));
        let error = backup(&open(store).await.unwrap(), &small_files()).await.unwrap_err();
        assert!(matches!(cause(&error), Error::Denied { action: "store", .. }), "{folder}: {error:?}");
        assert!(!error.is_transient(), "{folder}");
        assert_eq!(listed_and_complete(objects.clone(), &small_files()).await, 0);
    }
    let store = Arc::new(FaultStore::new(objects.clone(), Fault::Gone));
    let error = backup(&open(store).await.unwrap(), &small_files()).await.unwrap_err();
    assert!(matches!(cause(&error), Error::Store { .. }) && !error.is_transient(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_while_the_snapshot_is_listed_does_not_deny_it() {
    let (objects, _) = new_repository().await;
    let slow = Arc::new(FaultStore::slow(objects.clone(), Duration::from_secs(1)));
    let repository = open(slow).await.unwrap();
    let writer = repository.begin(SnapshotOptions::default()).await.unwrap();
    let mut file = writer.file("a").unwrap();
    file.write(noise(100, 1)).await.unwrap();
    file.finish().await.unwrap();
    let health = writer.health();
    let commit = tokio::spawn(writer.commit());
    let listed = async || open(objects.clone()).await.unwrap().snapshots().await.unwrap().snapshots;
    while listed().await.is_empty() {
        assert!(!commit.is_finished());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    health.fail(Error::LockLost("meanwhile".into()));
    let snapshot = commit.await.unwrap().unwrap();
    assert_eq!(listed().await[0].id, snapshot.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_overlap_within_their_limit() {
    let (objects, _) = new_repository().await;
    let slow = Arc::new(FaultStore::slow(objects, Duration::from_millis(300)));
    let repository = open(slow.clone()).await.unwrap();
    let writer = repository.begin(SnapshotOptions::default()).await.unwrap();
    let mut file = writer.file("a").unwrap();
    for seed in 0..200 {
        file.write(noise(1 << 20, seed)).await.unwrap();
    }
    file.finish().await.unwrap();
    writer.commit().await.unwrap();
    let most = slow.most_putting();
    assert!((2..=crate::limits::UPLOADS + 1).contains(&most), "{most} at the same time");
}
