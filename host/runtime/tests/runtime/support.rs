//! A runtime, the guests of `tests/guests`, and an operation in one line.

use coffer_runtime::{
    Application, Artifact, ArtifactReader, Endpoint, Event, Grants, Level, Linked, Observer, Operation, Report,
    RunError, Runtime, RuntimeOptions, Tls, artifact,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, LazyLock, Mutex},
    time::SystemTime,
};
use tempfile::TempDir;
use tokio::sync::mpsc;

pub struct Host {
    pub runtime: Runtime,
    pub linked: Linked,
    /// Deleted with the host.
    pub _cache: TempDir,
}

impl Host {
    pub async fn start() -> Self {
        let cache = tempfile::tempdir().unwrap();
        let runtime = Runtime::new(RuntimeOptions { cache: cache.path().join("compiled") }).unwrap();
        let linked = runtime.compile(guests()).await.unwrap().link(&Grants::all()).unwrap();
        Self { runtime, linked, _cache: cache }
    }

    pub async fn run(&self, function: &str, parameters: Value) -> Result<Report, RunError> {
        self.linked.run(Operation::new(function, parameters)).await
    }

    /// The host is as good as new: another guest runs to its end.
    pub async fn assert_healthy(&self) {
        let (outbox, artifacts) = mpsc::channel(1);
        let operation =
            Operation { outbox, ..Operation::new("generate", serde_json::json!({"length": 100_000, "piece": 1_000})) };
        let (report, read) = tokio::join!(self.linked.run(operation), read_all(artifacts));
        assert_eq!(fact(&report.unwrap(), "length"), "100000");
        assert_eq!(read, [("generated".to_owned(), Ok(pattern(100_000)))]);
    }
}

/// Byte i is i modulo 251, as the guests make it.
pub fn pattern(length: u64) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8).collect()
}

pub fn fact<'a>(report: &'a Report, key: &str) -> &'a str {
    report.facts.iter().find(|(found, _)| found == key).map_or("", |(_, value)| value)
}

/// Everything a step wrote: name, and the bytes or why they are not whole.
pub async fn read_all(mut artifacts: mpsc::Receiver<ArtifactReader>) -> Vec<(String, Result<Vec<u8>, String>)> {
    let mut all = Vec::new();
    while let Some(mut reader) = artifacts.recv().await {
        let mut bytes = Vec::new();
        let outcome = loop {
            match reader.next().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => break Ok(bytes),
                Err(error) => break Err(error.to_string()),
            }
        };
        all.push((reader.artifact().name.clone(), outcome));
    }
    all
}

/// An inbox with these artifacts, whole.
pub fn inbox_of(artifacts: Vec<(&'static str, Vec<u8>)>) -> mpsc::Receiver<ArtifactReader> {
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        for (name, bytes) in artifacts {
            let (mut writer, reader) = artifact(Artifact::new(name), 4);
            if sender.send(reader).await.is_err() {
                return;
            }
            for chunk in bytes.chunks(100_000) {
                if writer.write(chunk.to_vec().into()).await.is_err() {
                    return;
                }
            }
            let _ = writer.finish().await;
        }
    });
    receiver
}

/// Log lines as `level: message`, and progress.
pub fn listen() -> (Observer, Arc<Mutex<Vec<String>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = heard.clone();
    let observer = Observer::new(move |event| {
        ear.lock().unwrap().push(match event {
            Event::Log { level, message, .. } => format!("{}: {message}", name(level)),
            Event::Progress { done, total } => format!("progress {done} of {total:?}"),
        });
    });
    (observer, heard)
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}

/// Listening on the loopback, without TLS.
pub fn application(port: u16) -> Application {
    Application {
        kind: "echo".into(),
        version: None,
        endpoints: vec![Endpoint { name: "main".into(), host: "127.0.0.1".into(), port }],
        tls: Tls::disabled(),
        parameters: Vec::new(),
        credentials: BTreeMap::from([
            ("username".to_owned(), "tester".into()),
            ("password".to_owned(), "swordfish-7".into()),
        ]),
    }
}

/// The component of `tests/guests`, built when it is absent or older than its sources.
pub fn guests() -> &'static [u8] {
    static GUESTS: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let path = target.join("wasm32-wasip2/addon/coffer_test_guests.wasm");
        let newest = ["tests/guests/src", "tests/guests/Cargo.toml", "wit/0.1.0"]
            .map(|p| changed(&root.join(p)))
            .into_iter()
            .max();
        if !path.exists() || Some(changed(&path)) < newest {
            let status = Command::new(env!("CARGO"))
                .args(["build", "--target", "wasm32-wasip2", "--profile", "addon", "-p", "coffer-test-guests"])
                .current_dir(root)
                .status()
                .unwrap();
            assert!(status.success(), "building the test guests failed");
        }
        std::fs::read(path).unwrap()
    });
    &GUESTS
}

/// When a file, or anything directly in a folder, was last changed.
fn changed(path: &Path) -> SystemTime {
    let own = path.metadata().unwrap().modified().unwrap();
    let inside = std::fs::read_dir(path).into_iter().flatten().map(|entry| changed(&entry.unwrap().path()));
    inside.max().map_or(own, |newest| newest.max(own))
}
