//! What an operator may set on mysql-dump. Its schema is generated from these types.

use coffer_addon::parameters::{Jobs, Patterns, Span, filtered};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// mysql-dump.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Dump {
    /// The databases to dump. When empty: the binding's, and where it names none, all but the server's own.
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
    /// How long to wait for the global lock and for locks of tables, in whole seconds and at least one. Statements of others
    /// that write wait behind it meanwhile.
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

impl Dump {
    /// Which parameters leave something out, for people; none when nothing is. Conditions are not told: they hold values.
    pub fn filtered(&self) -> Option<String> {
        filtered([
            ("databases", self.databases.iter().map(String::as_str).collect()),
            ("include", self.include.iter().collect()),
            ("exclude", self.exclude.iter().collect()),
            ("where", self.conditions.keys().map(String::as_str).collect()),
        ])
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_have_defaults_and_unknown_ones_are_refused() {
        let dump: Dump = serde_json::from_str(r#"{"where": {"a.b": "c > 0"}}"#).expect("all have defaults");
        assert_eq!((dump.jobs, dump.chunk_size, dump.conditions.len()), (Jobs(2), 500_000, 1));
        assert_eq!(dump.filtered().as_deref(), Some("where: a.b"));
        assert_eq!(Dump::default().filtered(), None);
        assert!(serde_json::from_str::<Dump>(r#"{"conditions": {}}"#).is_err());
    }
}
