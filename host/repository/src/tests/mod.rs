//! The engine against stores, streams, neighbours and callers that fail.

mod backend_faults;
mod damage;
mod disk_full;
mod fault_store;
mod locks;
mod opening;
mod s3;
mod streams;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};
use rand::{Rng, SeedableRng, rngs::StdRng};
use secrecy::SecretString;

use crate::{Error, Repository, Result, Snapshot, SnapshotOptions, Store};

/// A key that costs nothing to open: these tests open thousands of times.
const CHEAP: (u8, u32, u32) = (1, 1, 1);

fn password() -> SecretString {
    "correct horse battery staple".into()
}

fn store(objects: Arc<dyn ObjectStore>) -> Store {
    Store::new(objects, "the test's store")
}

async fn new_repository() -> (Arc<InMemory>, Repository) {
    let objects = Arc::new(InMemory::new());
    let repository = Repository::init_with_cost(store(objects.clone()), &password(), CHEAP).await.unwrap();
    (objects, repository)
}

async fn open(objects: Arc<dyn ObjectStore>) -> Result<Repository> {
    Repository::open(store(objects), &password()).await
}

fn noise(length: usize, seed: u64) -> Bytes {
    let mut bytes = vec![0; length];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes.into()
}

type Files = BTreeMap<String, Bytes>;

/// One stream of a few chunks, one tiny, one without bytes.
fn small_files() -> Files {
    [("/a.dat", noise(3 << 20, 1)), ("/b/c.dat", noise(100, 2)), ("/empty", Bytes::new())]
        .map(|(path, content)| (path.to_owned(), content))
        .into()
}

async fn backup(repository: &Repository, files: &Files) -> Result<Snapshot> {
    let writer = repository.begin(SnapshotOptions::default()).await?;
    for (path, content) in files {
        let mut file = writer.file(path)?;
        let mut rest = content.clone();
        while !rest.is_empty() {
            file.write(rest.split_to(rest.len().min(64 * 1024))).await?;
        }
        assert_eq!(file.finish().await?.length, content.len() as u64);
    }
    writer.commit().await
}

async fn restore(repository: &Repository, snapshot: &Snapshot) -> Result<Files> {
    let mut files = Files::new();
    for entry in repository.files(snapshot).await? {
        let parts: Vec<Bytes> = repository.read(&entry).try_collect().await?;
        files.insert(entry.path, parts.concat().into());
    }
    Ok(files)
}

/// What is listed; each of it must restore, to these files.
async fn listed_and_complete(objects: Arc<dyn ObjectStore>, files: &Files) -> usize {
    let repository = open(objects).await.unwrap();
    let list = repository.snapshots().await.unwrap();
    assert!(list.damaged.is_empty(), "{:?}", list.damaged);
    for snapshot in &list.snapshots {
        assert!(restore(&repository, snapshot).await.unwrap() == *files, "a listed snapshot is not what was written");
    }
    list.snapshots.len()
}

async fn copy_of(objects: &InMemory) -> Arc<InMemory> {
    let copy = Arc::new(InMemory::new());
    for object in objects.list(None).try_collect::<Vec<_>>().await.unwrap() {
        let bytes = objects.get(&object.location).await.unwrap().bytes().await.unwrap();
        copy.put(&object.location, bytes.into()).await.unwrap();
    }
    copy
}

/// The first cause, under all the `Failed`.
fn cause(error: &Error) -> &Error {
    match error {
        Error::Failed(first) => cause(first),
        error => error,
    }
}
