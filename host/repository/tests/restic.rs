//! Stock restic as the judge, the oldest that knows the format and the newest: it must check, list, dump and restore what we write,
//! and we must read what it writes.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "these are tests")]

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use bytes::Bytes;
use coffer_repository::{Repository, Snapshot, SnapshotFilter, SnapshotOptions, StoreConfig, open_store};
use futures::{StreamExt, TryStreamExt, future, stream};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tempfile::TempDir;

const PASSWORD: &str = "correct horse battery staple";

struct Restic {
    binary: PathBuf,
    repository: PathBuf,
    cache: TempDir,
}

impl Restic {
    /// A loud line for each that is not to be had.
    fn all(repository: &Path) -> Vec<Self> {
        let found = [coffer_test_servers::tools::restic_old(), coffer_test_servers::tools::restic()];
        let usable = found.into_iter().filter_map(|found| {
            // Not println: a missing judge must be seen even when the test passes.
            found.inspect_err(|error| coffer_test_servers::skipped(format_args!("no restic: {error}"))).ok()
        });
        usable.map(|binary| Self { binary, repository: repository.into(), cache: TempDir::new().unwrap() }).collect()
    }

    fn try_run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.binary);
        command.args(arguments).env("RESTIC_REPOSITORY", &self.repository).env("RESTIC_PASSWORD", PASSWORD);
        command.env("RESTIC_CACHE_DIR", self.cache.path()).env("GOMAXPROCS", "2").output().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.try_run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "restic {arguments:?}: {stderr}\n{}", String::from_utf8_lossy(&output.stdout));
        output.stdout
    }
}

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// Lines as COPY writes them.
fn text(length: usize, seed: u64) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut bytes = Vec::with_capacity(length + 100);
    while bytes.len() < length {
        let (id, amount) = (random.next_u32() % 1_000_000, random.next_u32());
        writeln!(bytes, "{id}\tcustomer-{}@example.com\t{amount}\t2026-11-21 10:00:00+00\t\\N", id % 5000).unwrap();
    }
    bytes.truncate(length);
    bytes
}

type Files = BTreeMap<String, Vec<u8>>;

async fn backup(repository: &Repository, files: &Files) -> Snapshot {
    let options = SnapshotOptions {
        hostname: Some("db1".into()),
        tags: vec!["nightly".into()],
        paths: vec!["/postgresql/shop".into()],
        program_version: Some("coffer test".into()),
    };
    let writer = repository.begin(options).await.unwrap();
    future::join_all(files.iter().map(|(path, content)| async {
        let mut file = writer.file(path).unwrap();
        for piece in content.chunks(64 * 1024) {
            file.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        let receipt = file.finish().await.unwrap();
        assert_eq!(receipt.length, content.len() as u64);
        assert_eq!(receipt.sha256, coffer_repository::Id::of(content));
    }))
    .await;
    writer.commit().await.unwrap()
}

async fn read_all(repository: &Repository, snapshot: &Snapshot) -> Files {
    let entries = repository.files(snapshot).await.unwrap();
    stream::iter(entries)
        .then(async |entry| {
            let parts: Vec<Bytes> = repository.read(&entry).try_collect().await.unwrap();
            let content = parts.concat();
            assert_eq!(content.len() as u64, entry.size, "{}", entry.path);
            (entry.path, content)
        })
        .collect()
        .await
}

fn walk(folder: &Path, root: &Path, files: &mut Files) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, root, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read(&path).unwrap());
        }
    }
}

fn assert_same(left: &Files, right: &Files) {
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (path, content) in left {
        assert!(*content == right[path], "{path} differs");
    }
}

fn sample() -> Files {
    Files::from([
        ("toc.dat".into(), noise(3000, 1)),
        ("1.dat".into(), noise(40 << 20, 2)),
        ("2.dat".into(), text(30 << 20, 3)),
        ("3.dat".into(), vec![0; 20 << 20]),
        ("empty.dat".into(), Vec::new()),
        (".coffer/manifest.json".into(), b"{}".to_vec()),
        ("deep/er/\"quoted\" \\ <é&>.dat".into(), text(700_000, 4)),
    ])
}

async fn open(folder: &Path) -> Repository {
    let store = open_store(&StoreConfig::Local { path: folder.into() }).unwrap();
    Repository::open(store, &PASSWORD.into()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn restic_reads_what_we_write() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("repository");
    let store = open_store(&StoreConfig::Local { path: path.clone() }).unwrap();
    let repository = Repository::init(store, &PASSWORD.into()).await.unwrap();
    let mut files = sample();
    let first = backup(&repository, &files).await;
    // Something changes, most does not.
    files.get_mut("1.dat").unwrap().splice(20 << 20..20 << 20, noise(1000, 9));
    let second = backup(&repository, &files).await;
    assert!(second.summary.as_ref().unwrap().data_added < 12 << 20, "{:?}", second.summary);
    assert_same(
        &read_all(&repository, &second).await,
        &files.iter().map(|(path, content)| (format!("/{path}"), content.clone())).collect(),
    );

    for restic in Restic::all(&path) {
        judge(&restic, &first, &second, &files);
    }
    // What restic does to a repository leaves ours readable.
    for restic in Restic::all(&path).iter().take(1) {
        restic.run(&["forget", &first.id.to_string(), "--prune"]);
        let repository = open(&path).await;
        let latest = repository.snapshot("latest", &SnapshotFilter::default()).await.unwrap();
        assert_eq!(latest.id, second.id);
        assert_eq!(read_all(&repository, &latest).await.len(), files.len());
    }
}

fn judge(restic: &Restic, first: &Snapshot, second: &Snapshot, files: &Files) {
    restic.run(&["check", "--read-data"]);

    let listed: serde_json::Value = serde_json::from_slice(&restic.run(&["snapshots", "--json"])).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(listed[0]["id"], first.id.to_string());
    assert_eq!(listed[1]["id"], second.id.to_string());
    assert_eq!(listed[1]["hostname"], "db1");
    assert_eq!(listed[1]["tags"][0], "nightly");
    assert_eq!(listed[1]["paths"][0], "/postgresql/shop");

    let folder = TempDir::new().unwrap();
    restic.run(&["restore", "latest", "--verify", "--target", folder.path().to_str().unwrap()]);
    let mut restored = Files::new();
    walk(folder.path(), folder.path(), &mut restored);
    assert_same(&restored, files);

    let id = second.id.to_string();
    assert!(restic.run(&["dump", &id, "/2.dat"]) == files["2.dat"]);
    assert!(restic.run(&["dump", &id, "/deep/er/\"quoted\" \\ <é&>.dat"]) == files["deep/er/\"quoted\" \\ <é&>.dat"]);
    // As a tar, which wants right sizes.
    assert!(restic.run(&["dump", &id, "/"]).len() > 90 << 20);
    let stats: serde_json::Value = serde_json::from_slice(&restic.run(&["stats", "latest", "--json"])).unwrap();
    assert_eq!(stats["total_size"], files.values().map(Vec::len).sum::<usize>());
}

#[tokio::test(flavor = "multi_thread")]
async fn we_read_what_restic_writes() {
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("source");
    let mut files = sample();
    files.insert("a\nb\tc".into(), b"control characters".to_vec());
    for (path, content) in &files {
        let path = source.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let prefix = source.to_str().unwrap();
    let expected = files.iter().map(|(path, content)| (format!("{prefix}/{path}"), content.clone())).collect();

    for (number, mut restic) in Restic::all(folder.path()).into_iter().enumerate() {
        let path = folder.path().join(number.to_string());
        restic.repository.clone_from(&path);
        restic.run(&["init", "--repository-version", "2"]);
        restic.run(&["backup", "--host", "other", "--tag", "a", prefix]);
        restic.run(&["backup", "--host", "other", "--tag", "b", prefix]);

        let repository = open(&path).await;
        let list = repository.snapshots().await.unwrap();
        assert_eq!((list.snapshots.len(), list.damaged.len()), (2, 0));
        let filter = SnapshotFilter { tags: vec!["a".into()], ..SnapshotFilter::default() };
        let snapshot = repository.snapshot("latest", &filter).await.unwrap();
        assert_eq!(snapshot.id, list.snapshots[0].id);
        assert_eq!(snapshot.hostname, "other");
        assert_same(&read_all(&repository, &snapshot).await, &expected);

        // And both write to one repository.
        backup(&repository, &sample()).await;
        restic.run(&["check", "--read-data"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restic_prune_waits_for_a_backup_of_ours() {
    let folder = TempDir::new().unwrap();
    let store = open_store(&StoreConfig::Local { path: folder.path().into() }).unwrap();
    let repository = Repository::init(store, &PASSWORD.into()).await.unwrap();
    for restic in Restic::all(folder.path()) {
        let writer = repository.begin(SnapshotOptions::default()).await.unwrap();
        let refused = restic.try_run(&["prune"]);
        assert!(!refused.status.success());
        assert!(String::from_utf8_lossy(&refused.stderr).contains("already locked"), "{refused:?}");
        // Shared locks get along.
        restic.run(&["snapshots"]);
        writer.abort().await;
        restic.run(&["prune"]);
    }
}

/// `restic rewrite` refuses trees that it would write differently; 0.14 does not have it yet.
#[tokio::test(flavor = "multi_thread")]
async fn restic_rewrites_our_trees() {
    let folder = TempDir::new().unwrap();
    let store = open_store(&StoreConfig::Local { path: folder.path().into() }).unwrap();
    let repository = Repository::init(store, &PASSWORD.into()).await.unwrap();
    let files = Files::from([("a/<é&>\"\\.dat".into(), vec![1]), ("a/empty".into(), vec![]), ("b".into(), vec![2])]);
    backup(&repository, &files).await;
    let Some(restic) = Restic::all(folder.path()).pop() else { return };
    if restic.try_run(&["help", "rewrite"]).status.success() {
        restic.run(&["rewrite", "latest", "--exclude", "/b"]);
        let list = repository.snapshots().await.unwrap();
        assert_eq!(list.snapshots.len(), 2);
        let rewritten = list.snapshots.iter().find(|snapshot| snapshot.tags.contains(&"rewrite".into())).unwrap();
        let paths: Vec<String> = read_all(&repository, rewritten).await.into_keys().collect();
        assert_eq!(paths, ["/a/<é&>\"\\.dat", "/a/empty"]);
    }
}
