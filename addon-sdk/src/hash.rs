//! A hash of documents in whatever order they come: a dump has it of each collection or index, and its restore compares.

use serde::{Deserialize, Serialize};
use std::fmt;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// The sum of the XXH3-128 of each document, modulo 2^128. It is for accidents; whoever could forge it could not forge the
/// repository's. Written as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hash(u128);

impl Hash {
    /// Counts a document in.
    pub fn add(&mut self, document: &[u8]) {
        self.merge(Hash(xxh3_128(document)));
    }

    /// Counts a document in that is these parts, one behind the other.
    pub fn add_parts(&mut self, parts: &[&[u8]]) {
        let mut hasher = Xxh3::new();
        parts.iter().for_each(|part| hasher.update(part));
        self.merge(Hash(hasher.digest128()));
    }

    /// Counts all in that another has.
    pub fn merge(&mut self, other: Hash) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16)
            .map(Hash)
            .map_err(|_| serde::de::Error::custom(format!("{text:?} is no hash of documents")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_document() {
        let (mut whole, mut parts, mut merged) = (Hash::default(), Hash::default(), Hash::default());
        whole.add(b"abc");
        parts.add_parts(&[b"a", b"", b"bc"]);
        merged.merge(whole);
        assert_eq!((whole, merged), (parts, parts));
    }
}
