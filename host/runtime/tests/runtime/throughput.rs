//! Figures by hand: `cargo test -p coffer-runtime --test runtime throughput -- --ignored --nocapture --test-threads 1`.

use crate::support::{Host, guests};
use coffer_runtime::{Artifact, ArtifactReader, Grants, Operation, Runtime, RuntimeOptions, artifact};
use serde_json::json;
use std::time::Instant;
use tokio::sync::mpsc;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, not a check"]
async fn throughput_of_an_echo() {
    let host = Host::start().await;
    let chunk = bytes::Bytes::from(vec![7; 256 << 10]);
    let chunks = 16_384_u64;
    let (inbox_sender, inbox) = mpsc::channel(1);
    let (outbox, mut artifacts) = mpsc::channel::<ArtifactReader>(1);
    let (mut writer, reader) = artifact(Artifact::new("a"), 4);
    inbox_sender.send(reader).await.unwrap();
    drop(inbox_sender);
    let begun = Instant::now();
    let writing = tokio::spawn(async move {
        for _ in 0..chunks {
            writer.write(chunk.clone()).await.unwrap();
        }
        writer.finish().await.unwrap();
    });
    let reading = tokio::spawn(async move {
        let mut reader = artifacts.recv().await.unwrap();
        let mut total = 0;
        while let Some(chunk) = reader.next().await.unwrap() {
            total += chunk.len() as u64;
        }
        total
    });
    let linked = host.linked.clone();
    let running = tokio::spawn(async move {
        linked.run(Operation { inbox, outbox, ..Operation::new("echo", json!({})) }).await.unwrap()
    });
    running.await.unwrap();
    writing.await.unwrap();
    let total = reading.await.unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    println!("echo with SHA-256: {total} bytes, {:.2} GB/s", total as f64 / seconds / 1e9);
}

#[tokio::test]
#[ignore = "a measurement, not a check"]
async fn throughput_of_starts() {
    let cache = tempfile::tempdir().unwrap();
    let open = || Runtime::new(RuntimeOptions { cache: cache.path().join("c") }).unwrap();
    let begun = Instant::now();
    open().compile(guests()).await.unwrap();
    println!("compile {} bytes: {:?}", guests().len(), begun.elapsed());
    let runtime = open();
    let begun = Instant::now();
    let compiled = runtime.compile(guests()).await.unwrap();
    println!("load from the cache: {:?}", begun.elapsed());
    let linked = compiled.link(&Grants::all()).unwrap();
    let begun = Instant::now();
    for _ in 0..1_000 {
        linked.run(Operation::new("facts", json!({"count": 1}))).await.unwrap();
    }
    println!("a run: {:?}", begun.elapsed() / 1_000);
}
