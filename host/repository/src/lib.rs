//! A restic v2 repository on an object store: written and read by our own engine, opened by stock restic.
//!
//! ```text
//! SnapshotWriter ── FileWriter::write ─ chunker, SHA-256 of the stream        one batch a stream on a core
//!                                  └─ chunk ─ SHA-256 ─ known? ─ zstd ─ seal     many chunks on all cores
//!                                                                     └─ pack ─ PUT    several in flight
//!                        commit ─ trees ─ last packs ─ index ─ snapshot
//! ```
//!
//! What the engine promises:
//! - **A listed snapshot is complete.** Its file is written last, after every stream ended well and every pack and index is
//!   durable. The first error anywhere, or a stream dropped before its end, fails the whole snapshot and all its writers.
//! - **Wrong bytes are never handed out.** Every blob's MAC and hash are checked on reading, and every sealed blob is opened
//!   again and compared before it is uploaded.
//! - Memory is bounded whatever the size of a stream (the table is in `limits`), except for what is kept of each chunk, of which a
//!   TiB has about 800 000: 48 bytes of every one in the repository (the index), 52 of every one that a snapshot adds (so that it
//!   is stored once), 32 to 64 for a stream's own list. While that list is stored, as JSON, it takes 270 instead. So 1 TiB into
//!   an empty repository takes some 90 MiB while it runs and 250 MiB when it is committed.
//! - restic and Coffer may use one repository at the same time: locks follow restic's protocol.
//!
//! Over TLS the store needs a crypto provider, see [`open_store`].

mod backend;
mod chunker;
mod codec;
mod crypto;
mod error;
mod gostring;
mod health;
mod id;
mod identity;
mod index;
mod key;
mod limits;
mod lock;
mod pack;
mod polynomial;
mod read;
mod repository;
mod snapshot;
mod spares;
mod store;
mod tree;
mod work;
mod write;

pub use error::{Error, Part, Refusal, Result, chain};
pub use id::Id;
pub use lock::{Holder, Lock};
pub use read::FileEntry;
pub use repository::Repository;
pub use snapshot::{Snapshot, SnapshotFilter, SnapshotList, SnapshotOptions, Summary};
pub use store::{S3Config, S3Credentials, Store, StoreConfig, open_store};
pub use write::{FileWriter, Receipt, SnapshotWriter};

#[cfg(test)]
mod tests;
