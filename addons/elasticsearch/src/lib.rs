//! Elasticsearch and OpenSearch: dumps indices into multielasticdump's files, and restores such a dump.

use coffer_addon::Addon;

/// The addon as it describes itself.
pub fn addon() -> Addon {
    Addon::new("elasticsearch", env!("CARGO_PKG_VERSION"))
        .description("Dumps and restores Elasticsearch and OpenSearch indices in elasticdump's format")
}

coffer_addon::export!(addon);
