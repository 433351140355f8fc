//! What an operator may set on each function. Their schemas are generated from these types.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// How many connections work at once; more no server is glad of. The leader has one beside them, and cancelling needs some
/// more: all of it has to stay below the 64 that the host allows.
const MAX_JOBS: u32 = 32;

/// postgres-wait-ready.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WaitReady {
    /// How long to wait before giving up, e.g. `90s` or `5m`.
    pub timeout: Span,
}

impl Default for WaitReady {
    fn default() -> Self {
        WaitReady { timeout: Span(Duration::from_secs(60)) }
    }
}

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
        Dump { database: None, jobs: Jobs(2), lock_timeout: Span(Duration::from_secs(300)), allow_unsupported: false }
    }
}

/// postgres-restore.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
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

impl Default for Restore {
    fn default() -> Self {
        Restore {
            database: None,
            jobs: Jobs(2),
            clean: false,
            create: false,
            no_owner: false,
            no_privileges: false,
            no_tablespaces: false,
        }
    }
}

/// A number of connections, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Jobs(pub u32);

impl<'de> Deserialize<'de> for Jobs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let jobs = u32::deserialize(deserializer)?;
        if !(1..=MAX_JOBS).contains(&jobs) {
            return Err(serde::de::Error::custom(format!("jobs must be from 1 to {MAX_JOBS}, not {jobs}")));
        }
        Ok(Jobs(jobs))
    }
}

impl JsonSchema for Jobs {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Jobs".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 1, "maximum": MAX_JOBS})
    }
}

/// A length of time, written `250ms`, `90s`, `5m` or `2h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl serde::Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = self.0.as_millis();
        if millis.is_multiple_of(1000) {
            serializer.collect_str(&format_args!("{}s", millis / 1000))
        } else {
            serializer.collect_str(&format_args!("{millis}ms"))
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let unit = match text.get(digits.len()..) {
            Some("ms") => Some(1),
            Some("s") => Some(1000),
            Some("m") => Some(60_000),
            Some("h") => Some(3_600_000),
            _ => None,
        };
        let millis = digits.parse::<u32>().ok().zip(unit).map(|(count, unit)| u64::from(count) * unit);
        let millis =
            millis.ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no duration like 90s or 5m")))?;
        Ok(Span(Duration::from_millis(millis)))
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        let read = |text: &str| serde_json::from_value::<Span>(text.into()).ok().map(|span| span.0.as_millis());
        assert_eq!(read("250ms"), Some(250));
        assert_eq!(read("90s"), Some(90_000));
        assert_eq!(read("5m"), Some(300_000));
        assert_eq!(read("2h"), Some(7_200_000));
        for wrong in ["", "s", "5", "5 m", "-1s", "5d", "99999999999s"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn defaults_and_limits() {
        let dump: Dump = serde_json::from_str("{}").expect("all have defaults");
        assert_eq!((dump.jobs, dump.allow_unsupported), (Jobs(2), false));
        assert!(serde_json::from_str::<Dump>(r#"{"jobs": 0}"#).is_err());
        assert!(serde_json::from_str::<Dump>(r#"{"jobs": 33}"#).is_err());
        assert!(serde_json::from_str::<Dump>(r#"{"job": 3}"#).is_err());
    }
}
