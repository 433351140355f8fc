//! A disk that fills up: a real one where this test may mount it, and a store that only says so.

use std::{path::Path, process::Command, sync::Arc};

use super::{
    CHEAP, Files, backup, cause,
    fault_store::{Fault, FaultStore},
    listed_and_complete, new_repository, noise, open, password,
};
use crate::{Error, Refusal, Repository, StoreConfig, open_store};

fn files() -> Files {
    Files::from([("/a.dat".into(), noise(60 << 20, 1)), ("/b.dat".into(), noise(3 << 20, 2))])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fills_up_lists_nothing() {
    let (objects, _) = new_repository().await;
    for size in [0, 1000, 20 << 20, 50 << 20] {
        let full = Arc::new(FaultStore::new(objects.clone(), Fault::FullAt(size)));
        let error = backup(&open(full).await.unwrap(), &files()).await.unwrap_err();
        assert!(matches!(cause(&error), Error::Store { .. }), "{error:?}");
        assert_eq!(listed_and_complete(objects.clone(), &files()).await, 0);
    }
    backup(&open(objects.clone()).await.unwrap(), &files()).await.unwrap();
    assert_eq!(listed_and_complete(objects, &files()).await, 1);
}

/// A file system in memory, unmounted in the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        mount(options, folder.path()).then(|| Self(folder))
    }
}

fn mount(options: &str, folder: &Path) -> bool {
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder).output();
    mount.is_ok_and(|output| output.status.success())
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_lists_nothing_and_works_again_with_room() {
    let Some(disk) = SmallDisk::mount("size=30m,mode=700") else {
        coffer_test_servers::skipped("may not mount a small tmpfs here: the real full disk is missing");
        return;
    };
    let config = StoreConfig::Local { path: disk.0.path().into() };
    let opened = open_store(&config).unwrap();
    let repository = Repository::init_with_cost(opened.clone(), &password(), CHEAP).await.unwrap();
    let error = backup(&repository, &files()).await.unwrap_err();
    assert!(matches!(cause(&error), Error::Store { .. }), "{error:?}");
    assert!(error.chain().to_lowercase().contains("no space left"), "{}", error.chain());
    let objects = opened.clone().open().unwrap().objects;
    assert_eq!(listed_and_complete(objects.clone(), &files()).await, 0);

    assert!(mount("remount,size=200m", disk.0.path()));
    backup(&repository, &files()).await.unwrap();
    assert_eq!(listed_and_complete(objects, &files()).await, 1);

    // Nobody but root may do this, and it holds for root too.
    assert!(mount("remount,ro", disk.0.path()));
    let error = backup(&repository, &files()).await.unwrap_err();
    assert!(
        matches!(cause(&error), Error::Denied { refusal: Refusal::ReadOnly, .. }) && !error.is_transient(),
        "{error:?}"
    );
    assert!(error.chain().to_lowercase().contains("read-only"), "{}", error.chain());
    assert!(matches!(opened.check().await, Err(Error::Denied { .. })), "{:?}", opened.check().await);
    let below = open_store(&StoreConfig::Local { path: disk.0.path().join("below") }).unwrap();
    let made = Repository::init_with_cost(below, &password(), CHEAP).await;
    assert!(matches!(made, Err(Error::Denied { .. })), "{made:?}");
}
