//! MongoDB: dumps databases as raw documents into mongodump's files, and restores such a dump.

use coffer_addon::Addon;

/// The addon as it describes itself.
pub fn addon() -> Addon {
    Addon::new("mongodb", env!("CARGO_PKG_VERSION"))
        .description("Dumps and restores MongoDB databases in mongodump's format, their documents as they are")
}

coffer_addon::export!(addon);
