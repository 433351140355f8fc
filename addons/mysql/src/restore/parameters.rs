//! What an operator may set on mysql-restore.

use coffer_addon::parameters::Jobs;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Restore {
    /// Databases that get another name, e.g. `{shop: shop_copy}`; the others keep theirs.
    pub rename: BTreeMap<String, String>,
    /// How many data files are loaded at once, each over a connection of its own.
    pub jobs: Jobs,
    /// Replace what the dump has too: its tables, views, routines and events are dropped first where they are there.
    /// Otherwise the databases have to be empty or not there.
    pub overwrite: bool,
    /// Make the dump's users and roles too, with their passwords and privileges. One that is there stays as it is, unless
    /// `overwrite` is set.
    pub users: bool,
    /// Who views, triggers, routines and events belong to.
    pub definer: Definer,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Definer {
    /// The user that they belonged to, who has to be there.
    #[default]
    Keep,
    /// The user who restores.
    Current,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_default_and_nothing_else_is_taken() {
        let read = |text: &str| serde_json::from_str::<Restore>(text);
        let restore = read("{}").expect("all have defaults");
        assert!(!restore.overwrite && !restore.users && restore.definer == Definer::Keep && restore.jobs == Jobs(2));
        let restore = read(r#"{"rename": {"a": "b"}, "definer": "current"}"#).expect("understood");
        assert_eq!((restore.rename["a"].as_str(), restore.definer), ("b", Definer::Current));
        assert!(read(r#"{"definer": "somebody"}"#).is_err());
        assert!(read(r#"{"clean": true}"#).is_err());
    }
}
