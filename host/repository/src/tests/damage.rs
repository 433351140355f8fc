//! Bit rot and worse, in every kind of object: always noticed, and never a wrong byte handed out.

use std::sync::Arc;

use bytes::Bytes;
use futures::{TryStreamExt, future};
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{Files, backup, copy_of, new_repository, noise, open, restore};
use crate::{Error, Result, SnapshotFilter, SnapshotList};

fn files() -> Files {
    let text: String = (0..60_000).map(|line| format!("{line}\tsome text\t{}\n", line % 7)).collect();
    [("/noise.dat", noise(3 << 20, 1)), ("/text.dat", text.into()), ("/b/c.dat", noise(100, 2))]
        .map(|(path, content)| (path.to_owned(), content))
        .into()
}

/// Opens, lists, and reads all.
async fn read(objects: Arc<InMemory>) -> Result<Files> {
    let repository = open(objects).await?;
    let SnapshotList { damaged, .. } = repository.snapshots().await?;
    if let Some(error) = damaged.into_iter().next() {
        return Err(error);
    }
    let snapshot = repository.snapshot("latest", &SnapshotFilter::default()).await?;
    restore(&repository, &snapshot).await
}

async fn objects_of(objects: &InMemory) -> Vec<(Path, Bytes)> {
    let listed: Vec<_> = objects.list(None).try_collect().await.unwrap();
    future::join_all(listed.into_iter().map(|object| async {
        let bytes = objects.get(&object.location).await.unwrap().bytes().await.unwrap();
        (object.location, bytes)
    }))
    .await
}

/// The end of a pack, which lists its blobs again: for repairs, a reader does not need it.
fn header_length(path: &Path, bytes: &Bytes) -> usize {
    if !path.as_ref().starts_with("data/") {
        return 0;
    }
    4 + u32::from_le_bytes(bytes[bytes.len() - 4..].try_into().unwrap()) as usize
}

#[tokio::test(flavor = "multi_thread")]
async fn any_flipped_bit_is_noticed() {
    let (objects, repository) = new_repository().await;
    backup(&repository, &files()).await.unwrap();
    assert_eq!(read(objects.clone()).await.unwrap(), files());
    let mut random = StdRng::seed_from_u64(5);
    let mut kinds = std::collections::BTreeSet::new();
    for (path, bytes) in objects_of(&objects).await {
        kinds.insert(path.parts().next().unwrap().as_ref().to_owned());
        let end = bytes.len() - header_length(&path, &bytes);
        let places: Vec<usize> = [0, 15, 16, end / 2, end - 17, end - 16, end - 1]
            .into_iter()
            .chain((0..40).map(|_| random.random_range(0..end)))
            .collect();
        for place in places {
            let mut damaged = bytes.to_vec();
            damaged[place] ^= 1 << random.random_range(0..8);
            objects.put(&path, damaged.into()).await.unwrap();
            let result = read(objects.clone()).await;
            let noticed = matches!(&result, Err(Error::Corrupt { .. }));
            assert!(noticed, "byte {place} of {path}: {:?}", result.map(|_| "read"));
        }
        objects.put(&path, bytes.into()).await.unwrap();
    }
    assert_eq!(Vec::from_iter(kinds), ["config", "data", "index", "keys", "snapshots"]);
    assert_eq!(read(objects).await.unwrap(), files());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_lost_cut_or_swapped_is_noticed() {
    let (objects, repository) = new_repository().await;
    // Two packs of data that look alike from outside.
    let mut files = files();
    files.insert("/more.dat".into(), noise(3 << 20, 3));
    backup(&repository, &files).await.unwrap();
    backup(&repository, &Files::from([("/x".into(), noise(3 << 20, 4))])).await.unwrap();
    backup(&repository, &files).await.unwrap();
    let all = objects_of(&objects).await;
    for (path, bytes) in &all {
        let copy = copy_of(&objects).await;
        copy.delete(path).await.unwrap();
        // Without their list entries, snapshots are gone; nothing tells that they were there.
        if !path.as_ref().starts_with("snapshots/") {
            assert_safe(read(copy).await, &files, path);
        }
        for length in [0, 1, bytes.len() / 2] {
            let copy = copy_of(&objects).await;
            copy.put(path, bytes.slice(..length).into()).await.unwrap();
            assert_safe(read(copy).await, &files, path);
        }
        for (_, other) in all.iter().filter(|(other, _)| other != path) {
            let copy = copy_of(&objects).await;
            copy.put(path, other.clone().into()).await.unwrap();
            assert_safe(read(copy).await, &files, path);
        }
    }
}

/// An error; or the right bytes, when what was damaged or lost belongs to another snapshot.
fn assert_safe(result: Result<Files>, files: &Files, path: &Path) {
    match result {
        Ok(read) => {
            assert!(read == *files, "wrong bytes after damage to {path}");
            assert!(["data/", "index/"].iter().any(|folder| path.as_ref().starts_with(folder)), "{path}");
        }
        Err(Error::Store { .. } | Error::Unreachable { .. } | Error::Failed(_)) => {
            panic!("{path}: not named as damage")
        }
        Err(_) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_hides_no_other() {
    let (objects, repository) = new_repository().await;
    let first = backup(&repository, &files()).await.unwrap();
    let second = backup(&repository, &files()).await.unwrap();
    let path = crate::backend::FileKind::Snapshot.path(&second.id);
    objects.put(&path, "rotten".into()).await.unwrap();
    let list = repository.snapshots().await.unwrap();
    assert_eq!(list.snapshots.iter().map(|snapshot| snapshot.id).collect::<Vec<_>>(), [first.id]);
    assert_eq!(list.damaged.len(), 1);
    // But nobody shall take the first for the latest.
    assert!(repository.snapshot("latest", &SnapshotFilter::default()).await.is_err());
    assert!(repository.snapshot(&first.id.to_string(), &SnapshotFilter::default()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_error_a_stream_ends() {
    let (objects, repository) = new_repository().await;
    let content = noise(40 << 20, 1);
    let snapshot = backup(&repository, &Files::from([("/a".into(), content.clone())])).await.unwrap();
    let entries = repository.files(&snapshot).await.unwrap();
    // One pack of several.
    let packs: Vec<_> = objects.list(Some(&"data".into())).try_collect().await.unwrap();
    let largest = packs.iter().max_by_key(|pack| pack.size).unwrap();
    objects.delete(&largest.location).await.unwrap();
    let results: Vec<Result<Bytes>> = futures::StreamExt::collect(repository.read(&entries[0])).await;
    let (last, before) = results.split_last().unwrap();
    assert!(matches!(last, Err(Error::Corrupt { .. })), "{last:?}");
    let read: Vec<u8> = before.iter().flat_map(|bytes| bytes.as_ref().unwrap().to_vec()).collect();
    assert!(content.starts_with(&read) && read.len() < content.len());
}
