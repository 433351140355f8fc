//! Every limit, size and time of the engine, in one table, each with its reason.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

// Chunks. restic's own sizes: its readers are tuned for them, and a smaller chunk costs index memory (48 bytes each).
/// No cut before this many bytes. The chunker does not even look at them, which halves its work.
pub(crate) const CHUNK_MIN: usize = 512 * KIB;
/// Up to here a cut is made unlikely, beyond it likely: that draws sizes towards this one.
pub(crate) const CHUNK_AVERAGE: usize = MIB;
/// A cut is forced here.
pub(crate) const CHUNK_MAX: usize = 8 * MIB;

// Memory of a running snapshot: open pack + uploads + chunks in work + streams, about 170 MiB with eight busy streams.
/// What a `FileWriter` gathers before it hands a batch to a core: large enough to make the hand-over cheap (10 µs against
/// 1 ms), small enough that dozens of streams cost little.
pub(crate) const SCAN_BATCH: usize = MIB;
/// Plain bytes of all chunks that wait for a core or are in one, over all streams of a snapshot; three of the largest.
pub(crate) const CHUNKS_IN_WORK: usize = 24 * MIB;
/// A pack is closed when it has reached this size (restic's default too). One PUT each: large enough for a good rate over a
/// slow round trip, small enough for six at a time in memory and for a retry on a bad line.
pub(crate) const PACK_SIZE: usize = 16 * MIB;
/// What a chunk is gathered in, and how large such a buffer may have grown to be used again.
pub(crate) const CHUNK_BUFFER: usize = 2 * MIB;
pub(crate) const CHUNK_BUFFER_KEPT: usize = 4 * MIB;
/// What a core keeps of each of its four buffers.
pub(crate) const SCRATCH_KEPT: usize = 9 * MIB;
/// The buffer of a pack: with the blob that filled it and its header. Only what is used of it takes memory.
pub(crate) const PACK_BUFFER: usize = PACK_SIZE + CHUNK_MAX + MIB;
/// Pack uploads in flight. Six hide half a second of latency a PUT at 200 MiB/s.
pub(crate) const UPLOADS: usize = 6;

/// An index file is written each time this many packs became durable (about 4 GiB), so that an interrupted backup leaves
/// behind what its successor need not upload again.
pub(crate) const PACKS_PER_INDEX: usize = 256;

/// zstd level: the fastest of the ordinary ones. On table text it packs 3.4 to 1, and is still the dearest step of all;
/// level 3 takes 1.7 times as long there and packs no better.
pub(crate) const ZSTD_LEVEL: i32 = 1;

// Reading.
/// Neighbouring blobs of one pack are fetched by one ranged GET up to this many bytes, sealed or plain, whichever is more. With
/// the read-ahead that makes about 24 MiB a stream.
pub(crate) const READ_SPAN: u64 = 4 * MIB as u64;
/// A gap up to this size between two wanted blobs is fetched and thrown away: cheaper than a second round trip.
pub(crate) const READ_GAP: u64 = 256 * KIB as u64;
/// Spans fetched ahead of a reader of a stream.
pub(crate) const READ_AHEAD: usize = 3;
/// Small objects (index, snapshot, lock files) read at a time.
pub(crate) const SMALL_READS: usize = 8;

/// How often and how far apart the key of a repository is looked for whose config is there. A slow PUT takes a second.
pub(crate) const KEY_LOOKS: u32 = 5;
pub(crate) const KEY_PAUSE: Duration = Duration::from_millis(500);

// A hostile repository must not exhaust memory. All of these are far above what any writer makes.
/// Plain size of a blob. Data blobs have at most a few MiB; the tree of a directory with a 1 TiB file has about 70 MiB.
pub(crate) const BLOB_MAX: u32 = 1024 * MIB as u32;
/// Plain size of an index, snapshot or lock file. restic keeps index files below 8 MiB; old versions did not.
pub(crate) const FILE_MAX: u64 = 1024 * MIB as u64;
/// Depth of directories.
pub(crate) const TREE_DEPTH: usize = 128;
/// Bytes of one path component; what file systems allow.
pub(crate) const NAME_MAX: usize = 255;
/// Key files tried with a password, each costs about half a second; restic's limit too.
pub(crate) const KEYS_TRIED: usize = 20;
/// Memory that scrypt may take for a key file: 128 · N · r bytes. restic uses 32 MiB, rustic 128 MiB.
pub(crate) const SCRYPT_MEMORY: u64 = 256 * MIB as u64;
/// scrypt's parallelism, which multiplies its time.
pub(crate) const SCRYPT_PARALLEL: u32 = 64;
/// scrypt's N (as a power of two), r and p for keys we make: 32 MiB and about half a second, as restic does.
pub(crate) const SCRYPT: (u8, u32, u32) = (15, 8, 5);

// Locks, restic's protocol.
/// A lock file is replaced by a fresh one this often.
pub(crate) const LOCK_REFRESH: Duration = Duration::from_secs(5 * 60);
/// A refresh that failed is tried again this soon.
pub(crate) const LOCK_RETRY: Duration = Duration::from_secs(30);
/// Older locks are dead to everyone.
pub(crate) const LOCK_STALE: Duration = Duration::from_secs(30 * 60);
/// We trust our own lock less long than others do, for their clock may run ahead of ours.
pub(crate) const LOCK_TRUSTED: Duration = Duration::from_secs(22 * 60);
/// Pause between writing a lock and looking for a competitor's.
pub(crate) const LOCK_SETTLE: Duration = Duration::from_millis(200);

/// Removing our lock is worth this much waiting; it ends by itself too.
pub(crate) const LOCK_RELEASE: Duration = Duration::from_secs(20);

// The network.
/// First contact: whoever mistyped an endpoint wants to know soon.
pub(crate) const PROBE_RETRIES: usize = 2;
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(15);
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// One request; a pack of 24 MiB passes at 0.7 Mbit/s.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// A backup of hours outlasts an outage of this length. Not longer, for a request is signed once, and S3 refuses signatures
/// that are a quarter of an hour old: this, a last pause and a last request are ten minutes.
pub(crate) const RETRY_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// A pause is a random time between the shortest and three times the one before, up to the longest. With the tenth of a second that
/// is object_store's default it would hardly grow, and twenty tries would be over in seven seconds.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_secs(1);
pub(crate) const RETRY_GROWTH: f64 = 3.0;
pub(crate) const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);
/// More than fit into the time, which alone decides.
pub(crate) const RETRIES: usize = 1000;
