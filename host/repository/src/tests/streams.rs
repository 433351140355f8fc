//! Streams that do not end well.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, future};

use super::{backup, cause, listed_and_complete, new_repository, noise, restore, small_files};
use crate::{Error, FileWriter, SnapshotOptions};

const LENGTH: usize = 5 << 20;

/// Four streams, of which one ends early.
#[tokio::test(flavor = "multi_thread")]
async fn one_broken_stream_of_four_fails_the_snapshot() {
    let (objects, repository) = new_repository().await;
    for broken in 0..4 {
        for ends_at in [0, 1, LENGTH / 2, LENGTH - 1, LENGTH] {
            let writer = repository.begin(SnapshotOptions::default()).await.unwrap();
            let streams = (0..4).map(|stream| {
                let mut file = writer.file(&format!("{stream}.dat")).unwrap();
                async move {
                    let length = if stream == broken { ends_at } else { LENGTH };
                    let mut rest = noise(length, stream);
                    while !rest.is_empty() {
                        file.write(rest.split_to(rest.len().min(300_000))).await?;
                    }
                    match stream == broken {
                        // Also after the last byte: without its end a stream is not whole.
                        true => drop(file),
                        false => drop(file.finish().await?),
                    }
                    Ok::<_, Error>(())
                }
            });
            future::join_all(streams).await;
            let error = writer.commit().await.unwrap_err();
            let broken_path = format!("{broken}.dat");
            assert!(matches!(cause(&error), Error::Unfinished { path } if *path == broken_path), "{error:?}");
            assert_eq!(listed_and_complete(objects.clone(), &small_files()).await, 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_still_open_fails_the_commit() {
    let (_, repository) = new_repository().await;
    let writer = repository.begin(SnapshotOptions::default()).await.unwrap();
    let mut file = writer.file("a").unwrap();
    file.write(noise(10, 0)).await.unwrap();
    assert!(matches!(cause(&writer.commit().await.unwrap_err()), Error::Unfinished { .. }));
    assert!(file.write(noise(10, 0)).await.is_err());
    assert!(repository.snapshots().await.unwrap().snapshots.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_snapshot_fails_its_streams_and_unlocks() {
    let (_, repository) = new_repository().await;
    let writer = repository.begin(SnapshotOptions::default()).await.unwrap();
    let mut file = writer.file("a").unwrap();
    drop(writer);
    assert!(matches!(cause(&file.write(noise(10, 0)).await.unwrap_err()), Error::Abandoned));
    while !repository.backend.list(crate::backend::FileKind::Lock).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_dropped_under_way_fails_the_snapshot() {
    let (_, repository) = new_repository().await;
    let writer = repository.begin(SnapshotOptions::default()).await.unwrap();
    let mut file = writer.file("a").unwrap();
    // Large enough that it has to wait for a core.
    assert!(file.write(noise(64 << 20, 0)).now_or_never().is_none());
    assert!(matches!(cause(&file.write(noise(1, 0)).await.unwrap_err()), Error::Unfinished { .. }));
    assert!(matches!(file.finish().await, Err(Error::Failed(_))));
    assert!(writer.commit().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_chunks_are_stored_once() {
    let (_, repository) = new_repository().await;
    let writer = Arc::new(repository.begin(SnapshotOptions::default()).await.unwrap());
    let write = |mut file: FileWriter| async {
        for _ in 0..4 {
            file.write(Bytes::from(vec![7; 8 << 20])).await?;
        }
        file.finish().await
    };
    let ended = future::join_all((0..4).map(|number| write(writer.file(&format!("{number}")).unwrap()))).await;
    let receipts: Vec<_> = ended.into_iter().map(Result::unwrap).collect();
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]), "{receipts:?}");
    let snapshot = Arc::into_inner(writer).unwrap().commit().await.unwrap();
    let summary = snapshot.summary.as_ref().unwrap();
    assert_eq!((summary.data_blobs, summary.total_bytes_processed), (1, 128 << 20));
    let restored = restore(&repository, &snapshot).await.unwrap();
    assert!(restored.len() == 4 && restored.values().all(|file| file.len() == 32 << 20));

    // Nor twice by two snapshots.
    let again = backup(&repository, &small_files()).await.unwrap();
    assert!(again.summary.unwrap().data_blobs > 0);
    let again = backup(&repository, &small_files()).await.unwrap();
    assert_eq!(again.summary.unwrap().data_blobs, 0);
}
