//! Addons as components, for tests: built by cargo, loaded into the real host, run there with artifacts in and out.

// All of it is for tests, where a panic says what is wrong.
#![allow(clippy::expect_used, clippy::panic)]

pub mod dumped;

use coffer_addon::testing::Written;
use coffer_runtime::{Artifact, ArtifactReader, Grants, Linked, Operation, Report, RunError, Runtime, RuntimeOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::sync::mpsc;

/// Bytes of a given artifact that are handed over at once: no multiple of anything.
const PIECE: usize = 50_001;
/// Pieces that wait.
const PIECES: usize = 4;

/// Builds what cargo's arguments name (`-p coffer-addon-mysql`) as a component; its file. None, and a line that the checks
/// count, where the target is not installed.
pub fn build(what: &[&str]) -> Option<PathBuf> {
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut compiler = Command::new("rustc");
    compiler.args(["--print", "target-libdir", "--target", "wasm32-wasip2"]).current_dir(workspace);
    let libraries = compiler.output().ok().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string());
    if !libraries.is_some_and(|libraries| Path::new(&libraries).exists()) {
        coffer_test_servers::skipped("the target wasm32-wasip2 is not installed; rustup target add wasm32-wasip2");
        return None;
    }
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--target", "wasm32-wasip2", "--profile", "addon", "--message-format", "json"])
        .args(what)
        .current_dir(workspace)
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let messages = String::from_utf8_lossy(&built.stdout);
    // What was asked for is built last, behind all that it depends on.
    let mut components = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let files = message.get("filenames")?.as_array()?;
        files.iter().filter_map(|file| file.as_str()).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
    });
    Some(components.next_back().expect("a component was built"))
}

/// Compiles a component, and links it with all that it asks for.
pub async fn load(component: &Path) -> Linked {
    let wasm = std::fs::read(component).expect("readable");
    let cache = tempfile::tempdir().expect("a folder");
    let runtime = Runtime::new(RuntimeOptions { cache: cache.path().join("cache") }).expect("a runtime");
    runtime.compile(&wasm).await.expect("compiled").link(&Grants::all()).expect("linked")
}

/// An addon's package, [`build`] and [`load`] in one.
pub async fn addon(package: &str) -> Option<Linked> {
    match build(&["-p", package]) {
        Some(component) => Some(load(&component).await),
        None => None,
    }
}

/// Runs an operation. Artifacts are given and taken through bounded channels, as between steps; the operation's own inbox and
/// outbox do not count.
pub async fn run(
    component: &Linked,
    mut operation: Operation,
    given: Vec<Written>,
) -> (Result<Report, RunError>, Vec<Written>) {
    let (into, inbox) = mpsc::channel(1);
    let (outbox, from) = mpsc::channel(1);
    (operation.inbox, operation.outbox) = (inbox, outbox);
    let (give, take) = (tokio::spawn(give(into, given)), tokio::spawn(take(from)));
    let outcome = component.run(operation).await;
    give.await.expect("given");
    (outcome, take.await.expect("taken"))
}

/// Each as soon as the one before was taken, and side by side from then on.
async fn give(into: mpsc::Sender<ArtifactReader>, given: Vec<Written>) {
    let mut writers = Vec::new();
    for written in given {
        let artifact = Artifact { name: written.artifact.name, labels: written.artifact.labels };
        let (mut writer, reader) = coffer_runtime::artifact(artifact, PIECES);
        if into.send(reader).await.is_err() {
            break;
        }
        let bytes = written.bytes.expect("whole");
        writers.push(tokio::spawn(async move {
            let mut is_wanted = true;
            for piece in bytes.chunks(PIECE) {
                is_wanted = is_wanted && writer.write(bytes::Bytes::copy_from_slice(piece)).await.is_ok();
            }
            // A step that failed wants no more.
            let _ = writer.finish().await;
        }));
    }
    drop(into);
    for writer in writers {
        writer.await.expect("given");
    }
}

async fn take(mut from: mpsc::Receiver<ArtifactReader>) -> Vec<Written> {
    let mut readers = Vec::new();
    while let Some(reader) = from.recv().await {
        readers.push(tokio::spawn(take_one(reader)));
    }
    let mut taken = Vec::new();
    for reader in readers {
        taken.push(reader.await.expect("read"));
    }
    taken
}

async fn take_one(mut reader: ArtifactReader) -> Written {
    let Artifact { name, labels } = reader.artifact().clone();
    let mut whole = Vec::new();
    let bytes = loop {
        match reader.next().await {
            Ok(Some(piece)) => whole.extend_from_slice(&piece),
            Ok(None) => break Ok(whole),
            Err(error) => break Err(coffer_addon::Error::Failed(error.to_string())),
        }
    };
    Written { artifact: coffer_addon::Artifact { name, labels }, bytes }
}
