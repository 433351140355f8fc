//! What an operator may set on mongodb-dump. Its schema is generated from these types.

use crate::client;
use coffer_addon::parameters::{Jobs, Patterns, filtered};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// mongodb-dump.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Dump {
    /// The databases to dump. When empty: the binding's, and where it names none, all but `admin`, `config` and `local`.
    pub databases: Vec<String>,
    /// Only collections and views whose `database.name` matches one of these; `*` and `?` stand for other characters.
    /// Empty: all.
    pub include: Patterns,
    /// Without those that match one of these.
    pub exclude: Patterns,
    /// Filters by collection, in extended JSON, e.g. `{"shop.orders": "{\"paid\": {\"$gt\": 0}}"}`: only its documents that match
    /// are dumped.
    pub query: BTreeMap<String, String>,
    /// The server's users and roles too: all of them, with the keys that their passwords are checked by.
    pub users_and_roles: bool,
    /// Options and indexes, no documents.
    pub schema_only: bool,
    /// Documents alone, to be restored into collections that are there.
    pub data_only: bool,
    /// How many connections read documents at once.
    pub jobs: Jobs,
    /// About how many bytes of a collection one connection reads; a larger collection is read by several at once. 0: each
    /// collection by one.
    pub split_size: u64,
    /// Which member of a replica set is read.
    pub read_preference: ReadPreference,
    /// Of which moment the dump is to be.
    pub consistency: Consistency,
}

/// Which member of a replica set is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ReadPreference {
    /// A secondary that is not far behind, and the primary where there is none.
    #[default]
    SecondaryPreferred,
    /// The primary.
    Primary,
}

/// Of which moment a dump is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Consistency {
    /// Of one moment wherever the server can do it: by its oplog where the whole server is dumped, else by a snapshot. Where it
    /// can do neither, the report says so.
    #[default]
    Auto,
    /// Of the moment of its end: what is written meanwhile is taken from the oplog, and replayed by the restore. Whole servers
    /// only, and members of a replica set.
    Oplog,
    /// Of the moment of its beginning: the server reads from a snapshot, which it keeps for
    /// `minSnapshotHistoryWindowInSeconds` (5 minutes unless set). Members of a replica set from MongoDB 5.0 on.
    Snapshot,
    /// Each document as it is when it is read.
    None,
}

impl From<ReadPreference> for client::ReadPreference {
    fn from(preference: ReadPreference) -> Self {
        match preference {
            ReadPreference::SecondaryPreferred => client::ReadPreference::SecondaryPreferred,
            ReadPreference::Primary => client::ReadPreference::Primary,
        }
    }
}

impl Dump {
    /// Which parameters leave something out, for people; none when nothing is. Filters are not told: they hold values.
    pub fn filtered(&self) -> Option<String> {
        filtered([
            ("databases", self.databases.iter().map(String::as_str).collect()),
            ("include", self.include.iter().collect()),
            ("exclude", self.exclude.iter().collect()),
            ("query", self.query.keys().map(String::as_str).collect()),
        ])
    }
}

impl Default for Dump {
    fn default() -> Self {
        Dump {
            databases: Vec::new(),
            include: Patterns::default(),
            exclude: Patterns::default(),
            query: BTreeMap::new(),
            users_and_roles: false,
            schema_only: false,
            data_only: false,
            jobs: Jobs(2),
            split_size: 1 << 29,
            read_preference: ReadPreference::SecondaryPreferred,
            consistency: Consistency::Auto,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_have_defaults_and_unknown_ones_are_refused() {
        let dump: Dump = serde_json::from_str(r#"{"query": {"a.b": "{}"}, "consistency": "oplog"}"#).expect("defaults");
        assert_eq!((dump.jobs, dump.split_size, dump.consistency), (Jobs(2), 1 << 29, Consistency::Oplog));
        assert_eq!(dump.filtered().as_deref(), Some("query: a.b"));
        assert_eq!(Dump::default().filtered(), None);
        assert!(serde_json::from_str::<Dump>(r#"{"queries": {}}"#).is_err());
    }
}
