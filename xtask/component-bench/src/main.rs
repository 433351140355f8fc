//! How long a component takes to load, to start and to deliver, and how fast bytes pass between host and component.
//! `cargo xtask bench` runs it: `coffer-bench ADDON.wasm GUESTS.wasm`, the second being the component of the tests.

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coffer_runtime::{
    Artifact, ArtifactError, ArtifactReader, Compiled, Grants, Linked, Operation, Runtime, RuntimeOptions, artifact,
};
use serde_json::json;
use tokio::sync::mpsc;

const ROUNDS: u32 = 20;
/// What is echoed to measure the rate, and in which pieces.
const BYTES: u64 = 1 << 30;
const PIECE: usize = 256 << 10;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut files = std::env::args_os().skip(1);
    let addon = std::fs::read(files.next().ok_or("the addon's file is missing")?)?;
    let guests = std::fs::read(files.next().ok_or("the guests' file is missing")?)?;
    let folder = tempfile::tempdir()?;
    let options = || RuntimeOptions { cache: folder.path().to_owned() };

    let start = Instant::now();
    let compiled = Runtime::new(options())?.compile(&addon).await?;
    print("load the addon, compiling it", start.elapsed());
    // Another engine finds what the first one compiled.
    let start = Instant::now();
    Runtime::new(options())?.compile(&addon).await?;
    print("load the addon, compiled before", start.elapsed());
    let linked = link(&compiled)?;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        linked.describe().await?;
    }
    print("instantiate it and ask what it is", start.elapsed() / ROUNDS);

    let runtime = Runtime::new(options())?;
    let guests = link(&runtime.compile(&guests).await?)?;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        generate(&guests, 1).await?;
    }
    print("instantiate a source, first byte, end", start.elapsed() / ROUNDS);
    let start = Instant::now();
    echo(&guests).await?;
    let rate = BYTES as f64 / 1e9 / start.elapsed().as_secs_f64();
    say(&format!("{:<40}{rate:>8.2} GB/s", "into a component and out again, hashed"));
    Ok(())
}

fn link(compiled: &Compiled) -> Result<Linked, Box<dyn Error>> {
    Ok(compiled.link(&Grants::all())?)
}

/// Runs a source that writes so many bytes.
async fn generate(guests: &Linked, length: u64) -> Result<(), Box<dyn Error>> {
    let (outbox, mut artifacts) = mpsc::channel(1);
    let parameters = json!({"length": length, "piece": length});
    let operation = Operation { outbox, ..Operation::new("generate", parameters) };
    let (report, total) = tokio::join!(guests.run(operation), drain(&mut artifacts));
    report?;
    expect(total?, length)
}

/// Runs a transform that hands on what it is given.
async fn echo(guests: &Linked) -> Result<(), Box<dyn Error>> {
    let (outbox, mut artifacts) = mpsc::channel(1);
    let (send, inbox) = mpsc::channel(1);
    let (mut writer, reader) = artifact(Artifact::new("zeros"), 4);
    send.send(reader).await?;
    drop(send);
    let write = async {
        let piece = Bytes::from(vec![0; PIECE]);
        for _ in 0..BYTES / PIECE as u64 {
            writer.write(piece.clone()).await?;
        }
        writer.finish().await
    };
    let operation = Operation { inbox, outbox, ..Operation::new("echo", json!({})) };
    let (report, written, total) = tokio::join!(guests.run(operation), write, drain(&mut artifacts));
    report?;
    written?;
    expect(total?, BYTES)
}

/// Reads everything, to good ends.
async fn drain(artifacts: &mut mpsc::Receiver<ArtifactReader>) -> Result<u64, ArtifactError> {
    let mut total = 0;
    while let Some(mut artifact) = artifacts.recv().await {
        while let Some(piece) = artifact.next().await? {
            total += piece.len() as u64;
        }
    }
    Ok(total)
}

fn expect(total: u64, wanted: u64) -> Result<(), Box<dyn Error>> {
    if total == wanted { Ok(()) } else { Err(format!("{total} bytes arrived, not {wanted}").into()) }
}

fn print(what: &str, took: Duration) {
    say(&format!("{what:<40}{:>8.2} ms", took.as_secs_f64() * 1000.0));
}

#[allow(clippy::print_stdout, reason = "figures are what this program is for")]
fn say(line: &str) {
    println!("{line}");
}
