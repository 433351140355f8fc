//! What an operator may set on each function. Their schemas are generated from these types.

use coffer_addon::parameters::{Jobs, Span};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// postgres-dump.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Dump {
    /// The database to dump; the binding's when not set.
    pub database: Option<String>,
    /// How many tables are read at once, each over a connection of its own.
    pub jobs: Jobs,
    /// How long to wait for another session's lock on a table, e.g. `30s`; `0s` waits for as long as it takes.
    pub lock_timeout: Span,
    /// Go on when the database has objects that cannot be dumped faithfully: they are logged, listed in the report and not
    /// in the backup. Otherwise such a dump fails and names them.
    pub allow_unsupported: bool,
}

impl Default for Dump {
    fn default() -> Self {
        Dump {
            database: None,
            jobs: Jobs::default(),
            lock_timeout: Span(Duration::from_secs(300)),
            allow_unsupported: false,
        }
    }
}

/// postgres-restore.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Restore {
    /// The database to restore into; the binding's when not set. With `create`: the one to connect to for creating.
    pub database: Option<String>,
    /// How many tables are written and indexes built at once, each over a connection of its own.
    pub jobs: Jobs,
    /// Drop the dump's objects first where they are there. Otherwise the database has to be empty.
    pub clean: bool,
    /// Create the database that was dumped, by its name, and restore into that; with `clean`, drop it first.
    pub create: bool,
    /// Leave everything to the user who restores, instead of to its owners.
    pub no_owner: bool,
    /// Leave out privileges (GRANT, REVOKE).
    pub no_privileges: bool,
    /// Leave everything in the database's own tablespace.
    pub no_tablespaces: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_limits() {
        let dump: Dump = serde_json::from_str("{}").expect("all have defaults");
        assert_eq!((dump.jobs, dump.allow_unsupported), (Jobs(2), false));
        assert!(serde_json::from_str::<Dump>(r#"{"jobs": 0}"#).is_err());
        assert!(serde_json::from_str::<Dump>(r#"{"jobs": 33}"#).is_err());
        assert!(serde_json::from_str::<Dump>(r#"{"job": 3}"#).is_err());
    }
}
