//! Every limit of a run in one table, each with its reason.

use std::time::Duration;

/// What one operation may take. `Default` is meant for real work; tests and a Function's own limits tighten it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The whole run, from instantiation to the last artifact. None by default: a large database takes days, and `idle` ends
    /// what hangs.
    pub deadline: Option<Duration>,
    /// No sign of life for so long: no byte, no artifact, no connection, no progress and no log line. An hour, because
    /// building an index after a restore is silent.
    pub idle: Duration,
    /// Computing between two moves of a byte, an artifact or a connection; what a run computes in all is not limited. Real
    /// work moves bytes many times a second; a minute leaves room for a slow machine. Log and progress do not count: a
    /// loop could call them.
    pub cpu: Duration,
    /// After a cancel, the deadline or `idle`, for a component that listens to `cancelled`: time to undo what it did to the
    /// application.
    pub grace: Duration,
    /// All linear memories of the component together, in bytes. Addons stream; 256 MiB hold many buffers.
    pub memory: usize,
    /// Open connections, also those whose stream is still in use. Above any sensible number of parallel jobs.
    pub connections: usize,
    /// TCP connect and, again, the TLS handshake. Longer than a lost SYN's first retries.
    pub connect: Duration,
    /// Requests under way: until an answer's body has been read or dropped. As many as connections.
    pub requests: usize,
    /// From the last byte of a request to the head of its answer, and again between two pieces of that. Whoever lets a server
    /// work for longer asks it to work in the background; proxies in between give up long before.
    pub response: Duration,
    /// Log bytes a second that reach the observer, and twice that in a burst. More is a flood, and nobody reads it.
    pub log_rate: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: None,
            idle: Duration::from_secs(3600),
            cpu: Duration::from_secs(60),
            grace: Duration::from_secs(5),
            memory: 256 << 20,
            connections: 64,
            connect: Duration::from_secs(30),
            requests: 64,
            response: Duration::from_secs(900),
            log_rate: 64 << 10,
        }
    }
}

impl Limits {
    /// `describe` answers from memory: it has no excuse to take long.
    pub(crate) fn describe() -> Self {
        Self { deadline: Some(Duration::from_secs(10)), cpu: Duration::from_secs(5), ..Self::default() }
    }
}

/// A component's size. A Postgres addon has half a megabyte; 64 MiB hold an addon with an interpreter inside.
pub const COMPONENT_BYTES: usize = 64 << 20;
/// Host resources (connections, stdio handles, pollables) a guest may hold.
pub(crate) const HANDLES: usize = 1_000;
/// Bytes a guest may make the host copy in one call: parameters, log lines, lists. Streams do not count.
pub(crate) const HOSTCALL_BYTES: usize = 8 << 20;
/// Core instances and memories in a component, tables and their elements: what a Rust component has, times ten or more.
pub(crate) const INSTANCES: usize = 32;
pub(crate) const MEMORIES: usize = 8;
pub(crate) const TABLES: usize = 32;
pub(crate) const TABLE_ELEMENTS: usize = 100_000;
/// Guest stack. The engine's default of 512 KiB is small for parsers; fibers have 2 MiB.
pub(crate) const STACK_BYTES: usize = 1 << 20;
/// How often a computing guest yields to the other tasks of its thread.
pub(crate) const EPOCH: Duration = Duration::from_millis(10);
/// One chunk between a guest and a channel: large enough that channel costs vanish, small enough to stay in the cache.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// Chunks a channel holds. 1 is measurably slower than 4; 16 adds little.
pub(crate) const CHANNEL_CHUNKS: usize = 4;
/// What the host may have taken of an artifact whose reader stands still: a chunk that fills up, two channels, the chunk on
/// the way from one to the other, and the one that the reader was handed last.
pub const ARTIFACT_BYTES_AHEAD: u64 = ((2 * CHANNEL_CHUNKS + 3) * CHUNK_BYTES) as u64;
/// Bytes one poll of a connection moves, so that several connections share their task fairly.
pub(crate) const POLL_BYTES: usize = 1 << 20;
/// A request's path with its query. Servers allow 4 to 16 KiB; more belongs into a body.
pub(crate) const HTTP_PATH_BYTES: usize = 16 << 10;
/// The head of a request and of an answer, in bytes, and how many headers it has. Servers allow 8 to 64 KiB.
pub(crate) const HTTP_HEAD_BYTES: usize = 128 << 10;
pub(crate) const HTTP_HEADERS: usize = 128;
/// What an HTTP/2 server may send of an answer before it was read. Twice a read's buffer.
pub(crate) const HTTP_WINDOW: u32 = 1 << 20;
/// How long a connection waits for its next request. Servers wait for 5 s or longer; one that closes as we send fails a request.
pub(crate) const HTTP_IDLE: Duration = Duration::from_secs(4);
/// What the host remembers of a run's artifacts: names and labels, in bytes. Room for several hundred thousand.
pub(crate) const LEDGER_BYTES: usize = 64 << 20;
/// Artifacts open at once: each has its chunks in memory.
pub(crate) const OPEN_ARTIFACTS: usize = 64;
/// An artifact's name, in bytes: restic and most file systems allow 255 a part; paths get long.
pub(crate) const ARTIFACT_NAME_BYTES: usize = 1_024;
/// Guest text that reaches people: one log line, one error message.
pub(crate) const TEXT_BYTES: usize = 8 << 10;
/// Fields of a log line, facts of a report, labels of an artifact.
pub(crate) const PAIRS: usize = 256;
/// All facts of a report together, in bytes. They stand in a session's status, and no Kubernetes object may have much more than
/// a megabyte.
pub(crate) const FACTS_BYTES: usize = 64 << 10;
/// How often progress reaches the observer; the last value always does.
pub(crate) const PROGRESS: Duration = Duration::from_millis(100);
/// How long `start-tls` waits for the plain streams to come back: dropping them is prompt, or has been forgotten.
pub(crate) const STREAM_RETURN: Duration = Duration::from_secs(5);
/// How long a connection's last TLS records may take to leave after its writer is gone.
pub(crate) const FLUSH: Duration = Duration::from_secs(30);
