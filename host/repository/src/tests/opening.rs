//! Ways not to have a repository, and several who want to make one.

use std::{net::TcpListener, sync::Arc};

use futures::{StreamExt, future};
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};

use super::{
    CHEAP, backup,
    fault_store::{Fault, FaultStore},
    new_repository, open, password, restore, small_files, store,
};
use crate::{
    Error, Repository, S3Config, S3Credentials, SnapshotFilter, StoreConfig, backend::config_path, open_store,
};

#[tokio::test]
async fn an_empty_store_is_absent() {
    assert!(matches!(open(Arc::new(InMemory::new())).await, Err(Error::Absent { .. })));
}

#[tokio::test]
async fn a_missing_folder_is_absent_and_made_by_init_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/one");
    let opened = open_store(&StoreConfig::Local { path: path.clone() }).unwrap();
    let error = Repository::open(opened.clone(), &password()).await.unwrap_err();
    assert!(matches!(&error, Error::Absent { store } if *store == path.to_string_lossy()), "{error:?}");
    let error = opened.check().await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable { .. }) && error.chain().contains("no such folder"), "{error:?}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);

    let made = Repository::init_with_cost(opened.clone(), &password(), CHEAP).await.unwrap();
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o777, 0o700);
    opened.check().await.unwrap();
    assert_eq!(Repository::open(opened, &password()).await.unwrap().id(), made.id());
}

#[tokio::test]
async fn an_empty_folder_is_absent_and_a_file_is_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open_store(&StoreConfig::Local { path: folder.path().into() }).unwrap();
    assert!(matches!(Repository::open(opened, &password()).await, Err(Error::Absent { .. })));
    let path = folder.path().join("file");
    std::fs::write(&path, "").unwrap();
    let opened = open_store(&StoreConfig::Local { path }).unwrap();
    assert!(matches!(opened.check().await, Err(Error::Unreachable { .. })));
    let made = Repository::init_with_cost(opened, &password(), CHEAP).await;
    assert!(matches!(made, Err(Error::Unreachable { .. })), "{made:?}");
}

#[tokio::test]
async fn a_wrong_password_is_told_apart() {
    let (objects, _) = new_repository().await;
    let error = Repository::open(store(objects), &"wrong".into()).await.unwrap_err();
    assert!(matches!(error, Error::WrongPassword { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("wrong\""));
}

#[tokio::test]
async fn what_is_no_repository_is_never_overwritten() {
    let objects = Arc::new(InMemory::new());
    objects.put(&"holiday/beach.jpg".into(), "sand".into()).await.unwrap();
    assert!(matches!(open(objects.clone()).await, Err(Error::NotARepository { .. })));
    let made = Repository::init_with_cost(store(objects.clone()), &password(), CHEAP).await;
    assert!(matches!(made, Err(Error::NotARepository { .. })), "{made:?}");

    // A repository that lost its config is not absent either.
    let (objects, _) = new_repository().await;
    objects.delete(&config_path()).await.unwrap();
    assert!(matches!(open(objects.clone()).await, Err(Error::NotARepository { .. })));
    let made = Repository::init_with_cost(store(objects), &password(), CHEAP).await;
    assert!(matches!(made, Err(Error::NotARepository { .. })), "{made:?}");
}

#[tokio::test]
async fn a_repository_that_is_being_made_is_waited_for() {
    let (objects, _) = new_repository().await;
    let key = objects.list(Some(&"keys".into())).next().await.unwrap().unwrap().location;
    let bytes = objects.get(&key).await.unwrap().bytes().await.unwrap();
    objects.delete(&key).await.unwrap();
    let error = open(objects.clone()).await.unwrap_err();
    assert!(matches!(&error, Error::NotARepository { reason, .. } if reason.contains("no key")), "{error:?}");
    // The config is its maker's first write, the key the next.
    let (opened, ()) = tokio::join!(open(objects.clone()), async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        objects.put(&key, bytes.into()).await.unwrap();
    });
    opened.unwrap();
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_unreachable() {
    let dead = Arc::new(FaultStore::new(Arc::new(InMemory::new()), Fault::DeadFrom(0)));
    assert!(matches!(open(dead.clone()).await, Err(Error::Unreachable { .. })));
    let made = Repository::init_with_cost(store(dead), &password(), CHEAP).await;
    assert!(matches!(made, Err(Error::Unreachable { .. })), "{made:?}");
}

#[tokio::test]
async fn a_closed_port_is_unreachable_and_its_error_keeps_the_secret() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let config = StoreConfig::S3(S3Config {
        bucket: "backups".into(),
        prefix: Some("shop".into()),
        endpoint: Some(endpoint),
        path_style: true,
        credentials: Some(S3Credentials {
            access_key_id: "coffer".into(),
            secret_access_key: "extremely-secret".into(),
            session_token: Some("just-as-secret".into()),
        }),
        ..S3Config::default()
    });
    let opened = open_store(&config).unwrap();
    let error = Repository::open(opened.clone(), &password()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let text = format!("{} {error:?} {config:?} {opened:?}", error.chain());
    assert!(text.contains("s3://backups/shop") && !text.contains("secret\"") && !text.contains("-secret"), "{text}");
}

#[test]
fn endpoints_are_checked() {
    for endpoint in ["s3.example.com", "ftp://s3.example.com", "https://", "http://user:password@s3.example.com"] {
        let config = S3Config { bucket: "b".into(), endpoint: Some(endpoint.into()), ..S3Config::default() };
        let error = open_store(&StoreConfig::S3(config)).unwrap_err();
        assert!(matches!(error, Error::Configuration(_)), "{endpoint}: {error:?}");
        assert!(!error.to_string().contains("password"), "{error}");
    }
}

#[tokio::test]
async fn a_repository_of_version_1_is_named_as_such() {
    let (objects, repository) = new_repository().await;
    let config = br#"{"version":1,"id":"00","chunker_polynomial":"25b468838dcb75"}"#;
    objects.put(&config_path(), repository.backend.key.seal(config).into()).await.unwrap();
    assert!(matches!(open(objects).await, Err(Error::Version { version: 1, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_make_a_repository_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let local = open_store(&StoreConfig::Local { path: folder.path().into() }).unwrap();
    for store in [local, store(Arc::new(InMemory::new()))] {
        let made = future::join_all((0..16).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { Repository::init_with_cost(store, &password(), CHEAP).await })
        }))
        .await;
        let made: Vec<_> = made.into_iter().map(Result::unwrap).collect();
        let winners: Vec<&Repository> = made.iter().flatten().collect();
        assert_eq!(winners.len(), 1, "{made:?}");
        assert!(made.iter().all(|made| matches!(made, Ok(_) | Err(Error::AlreadyExists { .. }))), "{made:?}");
        assert_eq!(Repository::open(store.clone(), &password()).await.unwrap().id(), winners[0].id());
        assert_eq!(
            crate::backend::list(&*store.open().unwrap().objects, crate::backend::FileKind::Key).await.unwrap().len(),
            1
        );
    }
}

#[tokio::test]
async fn one_that_is_made_while_we_look_is_seen() {
    let (objects, repository) = new_repository().await;
    let late = || store(Arc::new(FaultStore::new(objects.clone(), Fault::TooEarly(0))));
    let made = Repository::init_with_cost(late(), &password(), CHEAP).await;
    assert!(matches!(made, Err(Error::AlreadyExists { .. })), "{made:?}");
    assert_eq!(Repository::open(late(), &password()).await.unwrap().id(), repository.id());
}

#[tokio::test]
async fn of_several_keys_the_right_one_opens() {
    let (objects, repository) = new_repository().await;
    let file = crate::key::KeyFile::seal(&repository.backend.key, &"another".into(), CHEAP).unwrap();
    let file = serde_json::to_vec(&file).unwrap();
    let id = crate::Id::of(&file);
    objects.put(&crate::backend::FileKind::Key.path(&id), file.into()).await.unwrap();
    for password in ["another".into(), password()] {
        assert_eq!(Repository::open(store(objects.clone()), &password).await.unwrap().id(), repository.id());
    }
    assert!(matches!(Repository::open(store(objects), &"third".into()).await, Err(Error::WrongPassword { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_found_by_id_tag_and_age() {
    let (objects, repository) = new_repository().await;
    let files = small_files();
    let first = backup(&repository, &files).await.unwrap();
    let second = backup(&repository, &files).await.unwrap();
    let any = SnapshotFilter::default();
    assert_eq!(repository.snapshot("latest", &any).await.unwrap().id, second.id);
    let found = repository.snapshot(&first.id.to_string()[..20], &any).await.unwrap();
    assert_eq!(restore(&repository, &found).await.unwrap(), files);
    assert!(matches!(repository.snapshot("zzz", &any).await, Err(Error::NoSnapshot(_))));
    assert!(matches!(repository.snapshot("", &any).await, Err(Error::NoSnapshot(_))));
    let none = SnapshotFilter { tags: vec!["nightly".into()], ..any };
    assert!(matches!(repository.snapshot("latest", &none).await, Err(Error::NoSnapshot(_))));
    assert!(objects.list(Some(&"locks".into())).next().await.is_none());
}
