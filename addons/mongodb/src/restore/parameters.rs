//! What an operator may set on mongodb-restore. Its schema is generated from this type.

use coffer_addon::parameters::{Jobs, Patterns};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// mongodb-restore.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Restore {
    /// Databases that get another name, e.g. `{shop: shop_copy}`; the others keep theirs.
    pub rename: BTreeMap<String, String>,
    /// Only collections and views whose `database.name` in the dump matches one of these; `*` and `?` stand for other
    /// characters. Empty: all.
    pub include: Patterns,
    /// Without those that match one of these.
    pub exclude: Patterns,
    /// Replace collections and views that are there already: they are dropped first. Otherwise such a collection has to be
    /// empty and made as the dump's is.
    pub drop: bool,
    /// How many connections insert documents and build indexes at once.
    pub jobs: Jobs,
    /// Make collections with the UUIDs that they had. It takes the privilege to run applyOps.
    pub preserve_uuid: bool,
    /// Go on when documents are refused or an index cannot be built, and fail at the end with their number and the first of
    /// them. Otherwise the first one ends the restore.
    pub collect_errors: bool,
    /// Restore the dump's users and roles too, with their passwords and privileges. With `drop`, those that the dump has not
    /// are removed.
    pub users_and_roles: bool,
    /// Replay what was written during the dump, where it has that: without it, collections are of different moments.
    pub replay_oplog: bool,
    /// Go on when the server ignores an option of a collection. Otherwise such a restore fails and names it.
    pub allow_unsupported: bool,
}

impl Default for Restore {
    fn default() -> Self {
        Restore {
            rename: BTreeMap::new(),
            include: Patterns::default(),
            exclude: Patterns::default(),
            drop: false,
            jobs: Jobs::default(),
            preserve_uuid: false,
            collect_errors: false,
            users_and_roles: false,
            replay_oplog: true,
            allow_unsupported: false,
        }
    }
}

impl Restore {
    /// What a database of the dump is called on the server.
    pub fn target<'a>(&'a self, database: &'a str) -> &'a str {
        self.rename.get(database).map_or(database, String::as_str)
    }

    /// Whether a collection of the dump is asked for.
    pub fn selects(&self, database: &str, collection: &str) -> bool {
        Patterns::select(&self.include, &self.exclude, &format!("{database}.{collection}"))
    }

    pub fn is_filtered(&self) -> bool {
        !self.include.is_empty() || !self.exclude.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_default_and_nothing_else_is_taken() {
        let read = |text: &str| serde_json::from_str::<Restore>(text);
        let restore = read("{}").expect("all have defaults");
        assert!(!restore.drop && restore.replay_oplog && !restore.is_filtered() && restore.jobs == Jobs(2));
        let restore = read(r#"{"rename": {"a": "b"}, "exclude": ["a.log*"]}"#).expect("understood");
        assert_eq!((restore.target("a"), restore.target("c")), ("b", "c"));
        assert!(restore.selects("a", "x") && !restore.selects("a", "log1") && restore.is_filtered());
        assert!(read(r#"{"overwrite": true}"#).is_err());
    }
}
