//! Every limit of the kit in one table, each with its reason.

use std::time::Duration;

/// What a component may have, unless the author says otherwise. Addons stream: a quarter of what operators give them.
pub const MEMORY: usize = 64 << 20;
/// One run of a Function. Data for a test is dumped in seconds; what takes minutes hangs.
pub const RUN: Duration = Duration::from_secs(120);
/// How long the application may take to notice that a run is over: its sessions, its locks.
pub(crate) const SETTLE: Duration = Duration::from_secs(15);
/// To find out whether the author's application is there at all.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);
/// Between two looks at the same thing.
pub(crate) const LOOK: Duration = Duration::from_millis(100);
/// Counters that did not move for so long have stopped.
pub(crate) const QUIET: Duration = Duration::from_millis(1500);
/// What an action that waits is told to wait, when the application cannot be reached.
pub(crate) const READY: &str = "3s";
/// Between application and addon, a direction: small, so that what stands still in the proxy does so for the addon soon.
pub(crate) const SOCKET_BYTES: usize = 64 << 10;
/// Segments of a proxied connection. Loopback's own, 64 KiB long, would give each socket megabytes of buffer.
pub(crate) const SEGMENT_BYTES: u32 = 4096;
/// One move through the proxy.
pub(crate) const MOVE_BYTES: usize = 32 << 10;
/// What an addon may hold for streams that stand still, a connection: some buffers of the protocol's and the artifacts'.
pub(crate) const HELD_A_CONNECTION: u64 = 1 << 20;
/// The same where it is HTTP's: a request is held whole for as long as the application may want it again, and an answer until
/// it is known to be whole.
pub(crate) const HELD_A_REQUEST: u64 = 3 << 20;
/// A throttled run takes about so long.
pub(crate) const THROTTLED: Duration = Duration::from_secs(3);
/// An inbox's pieces: nothing is aligned to a prime.
pub(crate) const ODD_PIECE: usize = 1009;
/// An inbox's pieces otherwise.
pub(crate) const PIECE: usize = 64 << 10;
/// What is overwritten in an artifact to damage it.
pub(crate) const DAMAGE_BYTES: u64 = 4 << 10;
/// What is cut from an artifact's end: more than white space behind its data.
pub(crate) const TAIL_BYTES: u64 = 16;
/// A server that talks nonsense says so much of it.
pub(crate) const NONSENSE_BYTES: usize = 16 << 10;
/// What is shown of a command's output or an addon's message.
pub(crate) const SHOWN_BYTES: usize = 400;
/// A command of the author's: it empties a database or looks at one.
pub(crate) const COMMAND: Duration = Duration::from_secs(60);
