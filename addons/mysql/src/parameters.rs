//! What an operator may set on each function. Their schemas are generated from these types.

use coffer_addon::parameters::{Jobs, Patterns, Span};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// mysql-dump.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Dump {
    /// The databases to dump; all but the server's own when empty.
    pub databases: Vec<String>,
    /// Only tables, views and other objects whose `database.name` matches one of these; `*` and `?` stand for other
    /// characters. Empty: all. Triggers go with their tables.
    pub include: Patterns,
    /// Without those that match one of these.
    pub exclude: Patterns,
    /// Rows alone, to be restored into tables that are there.
    pub data_only: bool,
    /// Everything but rows.
    pub schema_only: bool,
    /// Accounts, roles and grants too. They are the whole server's and hold the hashes of passwords.
    pub users: bool,
    /// How many connections read rows at once.
    pub jobs: Jobs,
    /// About how many rows of a table are read and restored as one piece. A table is cut where its primary key begins with an
    /// integer. 0: tables are never cut.
    pub chunk_size: u64,
    /// Conditions of SQL by table, e.g. `{"shop.orders": "paid > 0"}`: only its rows that meet it are dumped.
    #[serde(rename = "where")]
    pub conditions: BTreeMap<String, String>,
    /// How long to wait for the global lock and for locks of tables. Statements of others that write wait behind it
    /// meanwhile. `0s` tries once.
    pub lock_timeout: Span,
    /// What to do about tables whose engine has no transactions (MyISAM, Aria, MEMORY, …).
    pub non_transactional: NonTransactional,
    /// Go on when there are objects that cannot be dumped faithfully: they are logged, listed in the report and not in the
    /// backup. Otherwise such a dump fails and names them.
    pub allow_unsupported: bool,
}

/// Their rows belong to the dump's moment only as long as nobody may write them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum NonTransactional {
    /// Locked against writing until they were read, by one connection.
    #[default]
    Lock,
    /// The dump fails and names them.
    Refuse,
}

impl Default for Dump {
    fn default() -> Self {
        Dump {
            databases: Vec::new(),
            include: Patterns::default(),
            exclude: Patterns::default(),
            data_only: false,
            schema_only: false,
            users: false,
            jobs: Jobs(2),
            chunk_size: 500_000,
            conditions: BTreeMap::new(),
            lock_timeout: Span(Duration::from_secs(60)),
            non_transactional: NonTransactional::Lock,
            allow_unsupported: false,
        }
    }
}

/// mysql-restore.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Restore {
    /// How many files are restored at once, each over a connection of its own.
    pub jobs: Jobs,
    /// Drop databases of the dump's names first where they are there. Otherwise they must not have tables yet.
    pub overwrite: bool,
    /// Other names for databases, old to new.
    pub rename: BTreeMap<String, String>,
    /// Accounts, roles and grants of the dump too. Accounts that are there keep their passwords.
    pub users: bool,
    /// Make views, routines, triggers and events the restoring account's own instead of their definers'.
    pub no_definer: bool,
}

impl Default for Restore {
    fn default() -> Self {
        Restore { jobs: Jobs(2), overwrite: false, rename: BTreeMap::new(), users: false, no_definer: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_have_defaults_and_unknown_ones_are_refused() {
        let dump: Dump = serde_json::from_str(r#"{"where": {"a.b": "c > 0"}}"#).expect("all have defaults");
        assert_eq!((dump.jobs, dump.chunk_size, dump.conditions.len()), (Jobs(2), 500_000, 1));
        assert!(serde_json::from_str::<Dump>(r#"{"conditions": {}}"#).is_err());
        let restore: Restore = serde_json::from_str(r#"{"rename": {"shop": "shop2"}}"#).expect("all have defaults");
        assert!(!restore.overwrite);
        assert!(serde_json::from_str::<Restore>(r#"{"job": 3}"#).is_err());
    }
}
