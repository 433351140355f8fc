//! What a dump's documents come to: written last, and compared by a restore.

use coffer_addon::hash::Hash;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The bytes of [`super::COUNTS`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Counts {
    /// [`super::FORMAT`].
    pub format: u32,
    /// By index; every one that has a file.
    pub indices: BTreeMap<String, Count>,
    /// How many of Dashboards' objects there are, by artifact.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub saved_objects: BTreeMap<String, u64>,
}

/// What an index's documents come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Count {
    pub documents: u64,
    /// Of their `_source`, as they are in the file.
    pub bytes: u64,
    /// Of id, routing and `_source`.
    pub hash: Hash,
}

impl Count {
    /// Counts a document in. `source` as it is in the file.
    pub fn add(&mut self, id: &str, routing: Option<&str>, source: &[u8]) {
        self.documents += 1;
        self.bytes += length(source);
        // Lengths in front: no two documents have the same bytes.
        self.hash.add_parts(&[
            &length(id.as_bytes()).to_le_bytes(),
            id.as_bytes(),
            &routing.map_or(u64::MAX, |routing| length(routing.as_bytes())).to_le_bytes(),
            routing.unwrap_or_default().as_bytes(),
            source,
        ]);
    }

    pub fn merge(&mut self, other: &Count) {
        self.documents += other.documents;
        self.bytes += other.bytes;
        self.hash.merge(other.hash);
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_documents_in_any_order() {
        let mut one = Count::default();
        one.add("a", None, b"{}");
        one.add("b", Some("r"), b"{\"x\":1}");
        let mut other = Count::default();
        other.add("b", Some("r"), b"{\"x\":1}");
        other.add("a", None, b"{}");
        assert_eq!(one, other);
        for (id, routing, source) in [("a", Some(""), "{}"), ("ar", None, "{}"), ("a", None, "{ }")] {
            let mut wrong = Count::default();
            wrong.add(id, routing, source.as_bytes());
            wrong.add("b", Some("r"), b"{\"x\":1}");
            assert_ne!(one.hash, wrong.hash, "{id} {routing:?} {source}");
        }
        let json = serde_json::to_string(&one).expect("serializable");
        assert_eq!(serde_json::from_str::<Count>(&json).expect("readable"), one);
    }
}
