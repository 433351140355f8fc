//! What an operator may set on elasticsearch-dump. Its schema is generated from these types.

use coffer_addon::omitted;
use coffer_addon::parameters::{self, Jobs, Patterns, Span};
use coffer_addon::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is read from is renewed several times in its time: in less there would be nothing else than that.
const SHORTEST_KEEP_ALIVE: Duration = Duration::from_millis(250);

/// elasticsearch-dump.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Dump {
    /// The indices and data streams to dump, by name; each has to be there. When empty: all that `include` and `exclude` say.
    pub indices: Vec<String>,
    /// Only indices and data streams whose name matches one of these; `*` and `?` stand for other characters. Empty: all.
    pub include: Patterns,
    /// Without those that match one of these.
    pub exclude: Patterns,
    /// Queries by index or data stream, e.g. `{"orders": "{\"term\": {\"paid\": true}}"}`: only its documents
    /// that match are dumped.
    pub query: BTreeMap<String, String>,
    /// Hidden indices too, and those whose names begin with a dot; also templates, pipelines and the like whose names do.
    pub hidden: bool,
    /// Opens closed indices for as long as they are read.
    pub open_closed: bool,
    /// Persistent settings of the cluster too.
    pub cluster_settings: bool,
    /// The saved objects of Kibana or OpenSearch Dashboards too, of every space; the binding has to name its endpoint
    /// `dashboards`.
    pub saved_objects: bool,
    /// Definitions, no documents.
    pub schema_only: bool,
    /// Documents alone, to be restored into indices that are there.
    pub data_only: bool,
    /// Dumps also what cannot be dumped whole (closed indices, `_source` that is not kept as it was indexed), as far as it
    /// goes. The report names it.
    pub allow_unsupported: bool,
    /// How many requests for documents are under way at once.
    pub jobs: Jobs,
    /// About how many bytes of a shard are read by one; a larger shard is read by several at once, where the server can do that
    /// cheaply. 0: each shard by one.
    pub split_size: u64,
    /// How long the server keeps what is read from when it hears nothing, where its own limits are below 10 minutes (points in
    /// time, which are asked for five times as often) or an hour (scrolls, which have to wait for a slow repository). Not below
    /// 250ms.
    pub keep_alive: Option<Span>,
}

impl Dump {
    /// Whether an index or a data stream of that name is to be dumped.
    pub fn asks_for(&self, name: &str, is_hidden: bool) -> bool {
        (self.indices.is_empty() || self.names(name))
            && Patterns::select(&self.include, &self.exclude, name)
            && self.shows(name, is_hidden)
    }

    /// Whether being hidden does not keep it out of the dump: who names it wants it.
    pub fn shows(&self, name: &str, is_hidden: bool) -> bool {
        !is_hidden || self.hidden || self.names(name)
    }

    fn names(&self, name: &str) -> bool {
        self.indices.iter().any(|named| named == name)
    }

    /// What the schema does not say.
    pub fn check(&self) -> Result<()> {
        if self.data_only && self.schema_only {
            return Err(Error::InvalidParameter(
                "dataOnly and schemaOnly leave nothing to dump; set one of them".into(),
            ));
        }
        if self.schema_only && !self.query.is_empty() {
            return Err(Error::InvalidParameter("query: schemaOnly dumps no documents; leave one of them out".into()));
        }
        if self.keep_alive.is_some_and(|span| span.0 < SHORTEST_KEEP_ALIVE) {
            return Err(Error::InvalidParameter(format!(
                "keepAlive: no less than {}ms, and better some minutes: what is read from would be lost between two requests",
                SHORTEST_KEEP_ALIVE.as_millis()
            )));
        }
        Ok(())
    }

    /// Which parameters leave something out, for people; none when nothing is. `hidden` are those that are left out for being
    /// that. Queries are not told: they hold values.
    pub fn filtered(&self, hidden: &[String]) -> Option<String> {
        let hidden = (!hidden.is_empty()).then(|| omitted::line(hidden));
        parameters::filtered([
            ("indices", self.indices.iter().map(String::as_str).collect()),
            ("include", self.include.iter().collect()),
            ("exclude", self.exclude.iter().collect()),
            ("query", self.query.keys().map(String::as_str).collect()),
            ("without hidden indices", hidden.iter().map(String::as_str).collect()),
        ])
    }
}

impl Default for Dump {
    fn default() -> Self {
        Dump {
            indices: Vec::new(),
            include: Patterns::default(),
            exclude: Patterns::default(),
            query: BTreeMap::new(),
            hidden: false,
            open_closed: false,
            cluster_settings: false,
            saved_objects: false,
            schema_only: false,
            data_only: false,
            allow_unsupported: false,
            jobs: Jobs(4),
            split_size: 1 << 30,
            keep_alive: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_have_defaults_and_unknown_ones_are_refused() {
        let dump: Dump = serde_json::from_str(r#"{"query": {"a": "{}"}}"#).expect("defaults");
        assert_eq!((dump.jobs, dump.split_size), (Jobs(4), 1 << 30));
        assert_eq!(dump.filtered(&[]).as_deref(), Some("query: a"));
        assert_eq!(Dump::default().filtered(&[]), None);
        assert!(serde_json::from_str::<Dump>(r#"{"queries": {}}"#).is_err());
        for (keep_alive, is_taken) in [("0s", false), ("249ms", false), ("250ms", true), ("10m", true)] {
            let dump = serde_json::from_value::<Dump>(serde_json::json!({ "keepAlive": keep_alive })).expect("a span");
            assert_eq!(dump.check().is_ok(), is_taken, "{keep_alive}");
        }
    }
}
