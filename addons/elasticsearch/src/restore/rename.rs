//! Other names for indices, data streams and aliases, by patterns.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Patterns with at most one `*`, and what becomes of names that match them. The longest pattern that matches counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct Rename(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Rename {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let patterns: BTreeMap<String, String> = BTreeMap::deserialize(deserializer)?;
        for (from, to) in &patterns {
            let stars = |text: &str| text.matches('*').count();
            if stars(from) > 1 || stars(to) != stars(from) || to.is_empty() {
                return Err(serde::de::Error::custom(format!(
                    "rename: {from:?} to {to:?}: both have one * or none, and neither is empty"
                )));
            }
            if to.chars().any(|char| char.is_uppercase() || " ,\"\\/?<>|#:".contains(char)) {
                return Err(serde::de::Error::custom(format!("rename: {to:?} cannot be the name of an index")));
            }
        }
        Ok(Rename(patterns))
    }
}

impl Rename {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What something of the dump is called on the server.
    pub fn of<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if let Some(exact) = self.0.get(name) {
            return Cow::Owned(exact.clone());
        }
        let matching = self.0.iter().filter_map(|(from, to)| Some((from, to, part(from, name)?)));
        match matching.max_by_key(|(from, ..)| from.len()) {
            Some((_, to, part)) => Cow::Owned(to.replacen('*', part, 1)),
            None => Cow::Borrowed(name),
        }
    }

    /// Patterns that match none of `names`.
    pub fn without_match<'a>(&'a self, names: &[&str]) -> Vec<&'a str> {
        let matches = |from: &str| names.iter().any(|name| *name == from || part(from, name).is_some());
        self.0.keys().filter(|from| !matches(from)).map(String::as_str).collect()
    }
}

/// What the `*` stands for.
fn part<'a>(pattern: &str, name: &'a str) -> Option<&'a str> {
    let (before, behind) = pattern.split_once('*')?;
    name.strip_prefix(before)?.strip_suffix(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pattern_counts() {
        let rename: Rename =
            serde_json::from_str(r#"{"*": "x-*", "shop-*": "copy-*", "shop-a": "b", "*-z": "z-*"}"#).expect("read");
        for (name, wanted) in [("shop-a", "b"), ("shop-b", "copy-b"), ("other", "x-other"), ("a-z", "z-a")] {
            assert_eq!(rename.of(name), wanted);
        }
        let one: Rename = serde_json::from_str(r#"{"shop-*": "copy-*", "y": "z"}"#).expect("read");
        assert_eq!((one.of("other"), one.without_match(&["shop-1"])), ("other".into(), vec!["y"]));
    }
}
