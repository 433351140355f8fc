//! The engine on a real S3 server.

use coffer_test_servers::{S3, skipped};

use super::{CHEAP, Files, backup, cause, noise, password, restore, small_files};
use crate::{Error, Refusal, Repository, S3Config, S3Credentials, SnapshotOptions, StoreConfig, open_store};

/// A loud line when there is no server to be had.
fn server() -> Option<S3> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    S3::start().inspect_err(|error| skipped(format_args!("no S3 server: {error}"))).ok()
}

fn config(server: &S3) -> S3Config {
    S3Config {
        bucket: S3::BUCKET.into(),
        prefix: Some("some/where".into()),
        region: Some(S3::REGION.into()),
        endpoint: Some(server.endpoint()),
        path_style: true,
        credentials: Some(S3Credentials {
            access_key_id: S3::ACCESS_KEY.into(),
            secret_access_key: S3::SECRET_KEY.into(),
            session_token: None,
        }),
        ca_pem: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_on_s3_comes_back() {
    let Some(server) = server() else { return };
    let opened = open_store(&StoreConfig::S3(config(&server))).unwrap();
    assert!(matches!(Repository::open(opened.clone(), &password()).await, Err(Error::Absent { .. })));
    let repository = Repository::init_with_cost(opened.clone(), &password(), CHEAP).await.unwrap();
    let again = Repository::init_with_cost(opened.clone(), &password(), CHEAP).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");

    let mut files: Files = small_files();
    files.insert("/large.dat".into(), noise(70 << 20, 7));
    let snapshot = backup(&repository, &files).await.unwrap();
    let repository = Repository::open(opened, &password()).await.unwrap();
    let listed = repository.snapshots().await.unwrap().snapshots;
    assert_eq!(listed.iter().map(|snapshot| snapshot.id).collect::<Vec<_>>(), [snapshot.id]);
    assert!(restore(&repository, &listed[0]).await.unwrap() == files);

    let writer = repository.begin(SnapshotOptions::default()).await.unwrap();
    writer.abort().await;
    assert!(repository.backend.list(crate::backend::FileKind::Lock).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_and_missing_buckets_are_not_absent() {
    let Some(server) = server() else { return };
    let missing = S3Config { bucket: "no-such-bucket".into(), ..config(&server) };
    let error = Repository::open(open_store(&StoreConfig::S3(missing)).unwrap(), &password()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }) && !error.is_transient(), "{error:?}");
    open_store(&StoreConfig::S3(config(&server))).unwrap().check().await.unwrap();

    let credentials = S3Credentials {
        access_key_id: S3::ACCESS_KEY.into(),
        secret_access_key: "mistyped".into(),
        session_token: None,
    };
    let denied = S3Config { credentials: Some(credentials), ..config(&server) };
    let denied = open_store(&StoreConfig::S3(denied)).unwrap();
    assert!(matches!(denied.check().await, Err(Error::Denied { .. })));
    let error = Repository::open(denied, &password()).await.unwrap_err();
    assert!(matches!(error, Error::Denied { refusal: Refusal::Credentials, .. }), "{error:?}");
    assert!(!format!("{error:?} {}", error.chain()).contains("mistyped"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_outlasts_a_server_that_goes_and_comes_back() {
    let Some(mut server) = server() else { return };
    let opened = open_store(&StoreConfig::S3(config(&server))).unwrap();
    let repository = Repository::init_with_cost(opened, &password(), CHEAP).await.unwrap();
    let files = Files::from([("/a".into(), noise(80 << 20, 1))]);
    let under_way = tokio::spawn({
        let (repository, files) = (repository.clone(), files.clone());
        async move { backup(&repository, &files).await }
    });
    while !server.bucket_folder().join("some/where/data").exists() {
        assert!(!under_way.is_finished());
        tokio::task::yield_now().await;
    }
    server.kill9();
    // Longer than a few tries in quick succession last.
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    assert!(!under_way.is_finished(), "{:?}", under_way.await.unwrap().map_err(|error| cause(&error).chain()));
    server.start_again().unwrap();
    let snapshot = under_way.await.unwrap().map_err(|error| cause(&error).chain()).unwrap();
    assert!(restore(&repository, &snapshot).await.unwrap() == files);
}
