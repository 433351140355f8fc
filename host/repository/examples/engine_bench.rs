//! How fast the engine is by itself: from memory into a store that forgets, against the sum of its primitives.
//!
//! `cargo run --release -p coffer-repository --example engine_bench -- --mib 1024 --streams 1` prints JSON: for random bytes and for
//! text as COPY writes it, wall seconds, CPU seconds a GiB, compression, memory beyond the input, and what chunking, hashing,
//! compression and encryption take each. Figures do not travel between machines; ratios do.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

// The primitives themselves, which the crate does not publish.
#[allow(dead_code, reason = "only parts of them are measured")]
#[path = "../src/chunker.rs"]
mod chunker;
#[allow(dead_code)]
#[path = "../src/codec.rs"]
mod codec;
#[allow(dead_code)]
#[path = "../src/crypto.rs"]
mod crypto;
#[allow(dead_code)]
#[path = "../src/limits.rs"]
mod limits;
#[allow(dead_code)]
#[path = "../src/spares.rs"]
mod spares;

use std::{fmt, fs, hint::black_box, io::Write, sync::Arc, time::Instant};

use async_trait::async_trait;
use bytes::Bytes;
use coffer_repository::{Repository, SnapshotOptions, Store};
use futures::{future, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const GIB: f64 = (1u64 << 30) as f64;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str, default: usize| {
        let place = arguments.iter().position(|argument| argument == name);
        place.map_or(default, |place| arguments[place + 1].parse().expect("a number"))
    };
    let (mib, streams) = (option("--mib", 1024), option("--streams", 1));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let random = measure(&runtime, &random(mib << 20), streams);
    let text = measure(&runtime, &text(mib << 20), streams);
    println!("{:#}", json!({"mib": mib, "streams": streams, "random": random, "text": text}));
}

fn random(length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    StdRng::seed_from_u64(1).fill_bytes(&mut bytes);
    bytes.into()
}

fn text(length: usize) -> Bytes {
    let mut random = StdRng::seed_from_u64(2);
    let mut bytes = Vec::with_capacity(length + 200);
    while bytes.len() < length {
        let (a, b, c) = (random.next_u32(), random.next_u32(), random.next_u32());
        writeln!(
            bytes,
            "{}\tcustomer-{}@example.com\t{}.{:02}\t2026-{:02}-{:02} {:02}:{:02}:07.{:06}+00\tpaid\t\\N\t{:x}",
            a % 100_000_000,
            b % 50_000,
            c % 10_000,
            b % 100,
            a % 12 + 1,
            b % 28 + 1,
            c % 24,
            a % 60,
            b % 1_000_000,
            c
        )
        .unwrap();
    }
    bytes.truncate(length);
    bytes.into()
}

fn measure(runtime: &tokio::runtime::Runtime, input: &Bytes, streams: usize) -> Value {
    let gib = input.len() as f64 / GIB;
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    let (stored, memory) = runtime.block_on(backup(input, streams));
    let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let primitives = primitives(input);
    let sum: f64 = primitives.iter().map(|(_, seconds)| seconds).sum();
    json!({
        "wallSeconds": wall,
        "mibPerSecond": input.len() as f64 / (1 << 20) as f64 / wall,
        "cpuSecondsPerGib": cpu / gib,
        "compression": input.len() as f64 / stored as f64,
        "memoryMib": memory,
        "primitivesCpuSecondsPerGib": primitives.iter().map(|(name, seconds)| ((*name).to_owned(), json!(seconds / gib))).collect::<serde_json::Map<_, _>>(),
        "primitivesSum": sum / gib,
        "engineToPrimitives": cpu / sum,
    })
}

/// Stored bytes and peak memory in MiB.
async fn backup(input: &Bytes, streams: usize) -> (u64, u64) {
    let store = Store::new(Arc::new(Forgetful(InMemory::new())), "a store that forgets");
    let repository = Repository::init(store, &"password".into()).await.unwrap();
    let before = memory_mib("VmRSS:");
    // The peak so far is of making the key and the input.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let writer = repository.begin(SnapshotOptions::default()).await.unwrap();
    let share = input.len().div_ceil(streams);
    future::join_all((0..streams).map(|stream| {
        let mut file = writer.file(&format!("{stream}")).unwrap();
        let mut rest = input.slice(stream * share..input.len().min((stream + 1) * share));
        tokio::spawn(async move {
            while !rest.is_empty() {
                file.write(rest.split_to(rest.len().min(64 * 1024))).await.unwrap();
            }
            file.finish().await.unwrap();
        })
    }))
    .await;
    let summary = writer.commit().await.unwrap().summary.unwrap();
    (summary.data_added_packed, memory_mib("VmHWM:").saturating_sub(before))
}

/// CPU seconds of each step on one core, with nothing around it.
fn primitives(input: &[u8]) -> Vec<(&'static str, f64)> {
    let key = crypto::Key::random();
    let table = chunker::GearTable::new(&[7; 32]);
    let mut steps = Vec::new();
    let mut timed = |name, step: &mut dyn FnMut()| {
        let start = cpu_seconds();
        step();
        steps.push((name, cpu_seconds() - start));
    };
    // Cut points, without buffers of their own: memory is touched once, outside of what is measured.
    let mut lengths = Vec::new();
    let spares = Arc::new(spares::Spares::new(limits::CHUNK_BUFFER, limits::CHUNK_BUFFER_KEPT));
    timed("chunk", &mut || {
        let mut chunker = chunker::Chunker::new(Arc::clone(&spares));
        chunker.push(&table, input, &mut |chunk| {
            lengths.push(chunk.len());
            spares.give(chunk);
        });
        lengths.extend(chunker.finish().map(|chunk| chunk.len()));
    });
    let mut rest = input;
    let chunks: Vec<&[u8]> = lengths.iter().map(|length| rest.split_off(..*length).unwrap()).collect();
    timed("hashOfStream", &mut || _ = black_box(Sha256::digest(input)));
    timed("hashOfChunks", &mut || chunks.iter().for_each(|chunk| _ = black_box(Sha256::digest(chunk))));
    let mut codec = codec::Codec::default();
    let (mut packed, mut sealed, mut opened, mut plain) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut seconds = [0.0; 4];
    for chunk in &chunks {
        let mut lap = thread_seconds();
        let mut took = |step: usize| {
            let now = thread_seconds();
            seconds[step] += now - lap;
            lap = now;
        };
        codec.compress(chunk, &mut packed).unwrap();
        took(0);
        let small = packed.len() < chunk.len() - chunk.len() / 32;
        key.seal_into(if small { &packed } else { chunk }, &mut sealed);
        took(1);
        key.open_into(&sealed, &mut opened).unwrap();
        if small {
            codec.decompress(&opened, chunk.len() as u32, &mut plain).unwrap();
        }
        assert!(if small { &plain } else { &opened } == chunk);
        took(2);
        black_box(Sha256::digest(&sealed));
        took(3);
    }
    steps.extend(["compress", "seal", "verify", "hashOfPacks"].into_iter().zip(seconds));
    steps
}

/// Of this thread, to the nanosecond.
fn thread_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// Of all threads of this process, from Linux's `/proc` in ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn memory_mib(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Keeps all but packs.
#[derive(Debug)]
struct Forgetful(InMemory);

impl fmt::Display for Forgetful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forgetful")
    }
}

#[async_trait]
impl ObjectStore for Forgetful {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let payload = if location.as_ref().starts_with("data/") { PutPayload::new() } else { payload };
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}
