//! An index's settings: those it is made with, those it gets when its documents are in, and those that are the server's own.

use crate::client::Version;
use crate::layout::is_own_setting;
use coffer_addon::parameters::Patterns;
use serde_json::{Map, Value, json};

/// What a server says of an index and takes from nobody, beside [`is_own_setting`]: of what it was before, or set by itself.
const OWN: [&str; 9] = [
    // When a disk is nearly full.
    "index.blocks.read_only_allow_delete",
    "index.ccr",
    "index.frozen",
    "index.search.throttled",
    "index.shrink",
    "index.split",
    "index.store.snapshot",
    // Of a block, which is set anew.
    "index.verified_read_only",
    "index.xpack.ccr",
];

/// What would be in the way of documents, or change or remove them: set when they are in.
const LATER: [&str; 9] = [
    "index.auto_expand_replicas",
    "index.blocks",
    "index.default_pipeline",
    "index.final_pipeline",
    "index.lifecycle",
    "index.number_of_replicas",
    "index.plugins.index_state_management",
    "index.refresh_interval",
    "index.write.wait_for_active_shards",
];

/// Of them, what would end an index that is not whole yet, or keep everything else from it: the last to be set.
const LAST: [&str; 3] = ["index.blocks", "index.lifecycle", "index.plugins.index_state_management"];

/// A preference among Elasticsearch's tiers. Elsewhere it is the name of an attribute that no node has.
const TIER: &str = "index.routing.allocation.include._tier_preference";

/// How OpenSearch copies an index to its replicas: `DOCUMENT`, which it says of every index, is what Elasticsearch does.
const REPLICATION: &str = "index.replication.type";

/// What an index is made with, by flat names, and what it gets later.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    pub first: Map<String, Value>,
    pub later: Map<String, Value>,
    has_final_pipelines: bool,
}

/// What a server knows that others do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knows {
    pub tiers: bool,
    pub final_pipelines: bool,
    pub replication: bool,
}

impl Knows {
    pub fn of(version: &Version) -> Knows {
        Knows {
            tiers: version.is_elasticsearch() && version.is_since(7, 10) && !version.oss,
            final_pipelines: version.has_since(7, 5),
            replication: !version.is_elasticsearch(),
        }
    }
}

impl Settings {
    /// From what a server said of an index: `{"index": {…}}`, flat or not.
    pub fn new(said: &Value, omit: &Patterns, knows: Knows) -> Settings {
        let mut settings = Settings { has_final_pipelines: knows.final_pipelines, ..Settings::default() };
        for (name, value) in flat(said) {
            let is_type = name == "index.store.type" && value == "snapshot";
            if is_own_setting(&name)
                || is_in(&OWN, &name)
                || omit.matches(&name)
                || is_type
                || name == TIER && !knows.tiers
                || name == REPLICATION && value == "DOCUMENT" && !knows.replication
            {
                continue;
            }
            let place = if is_in(&LATER, &name) { &mut settings.later } else { &mut settings.first };
            place.insert(name, value);
        }
        settings
    }

    /// Nothing is copied or made visible while documents come.
    pub fn to_make(&self) -> Map<String, Value> {
        let mut made = self.first.clone();
        made.extend(quick(self.has_final_pipelines));
        made
    }

    /// When no more documents come: the dump's word on everything that [`Settings::to_make`] said, its default otherwise.
    pub fn to_use(&self) -> Map<String, Value> {
        let mut finished = self.later.clone();
        finished.retain(|name, _| !is_in(&LAST, name));
        for (name, _) in quick(self.has_final_pipelines) {
            finished.entry(name).or_insert(Value::Null);
        }
        // It decides by itself.
        if self.expands() {
            finished.remove("index.number_of_replicas");
        }
        finished
    }

    /// The lifecycle policy, where it counts the index's age from a date that the dump says. Otherwise it counts from when the
    /// restore made the index: nothing is ended for being old that was only just brought back.
    pub fn ages_from_a_date(&self) -> Option<&str> {
        let says = |name: &str| self.later.get(&format!("index.lifecycle.{name}")).and_then(Value::as_str);
        let has_date = says("origination_date").is_some_and(|date| date != "-1");
        says("name").filter(|_| has_date || says("parse_origination_date") == Some("true"))
    }

    /// With replicas, as far as the dump says how many.
    pub fn shards(&self) -> u64 {
        let number = |settings: &Map<String, Value>, name: &str, default| {
            let text = settings.get(name).and_then(Value::as_str);
            text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(default)
        };
        // What expands by itself has as many as there is room for.
        let replicas = number(&self.later, "index.number_of_replicas", 1);
        let replicas = if self.expands() { 0 } else { replicas };
        number(&self.first, "index.number_of_shards", 1).saturating_mul(replicas.saturating_add(1))
    }

    fn expands(&self) -> bool {
        let value = self.later.get("index.auto_expand_replicas");
        value.is_some_and(|value| !value.is_null() && *value != json!("false"))
    }

    /// Whether the dump has it.
    pub fn has(&self, name: &str) -> bool {
        self.first.contains_key(name) || self.later.contains_key(name)
    }

    /// When everything else is done.
    pub fn to_finish(&self) -> Map<String, Value> {
        let mut last = self.later.clone();
        last.retain(|name, value| is_in(&LAST, name) && !value.is_null());
        last
    }
}

/// Whether a setting of a server's says nothing of what its user made of an index.
pub fn is_of_no_matter(name: &str) -> bool {
    is_own_setting(name) || is_in(&OWN, name) || name == TIER
}

/// By flat names.
pub fn flat(said: &Value) -> Map<String, Value> {
    let mut flat = Map::new();
    flatten("", said, &mut flat);
    flat
}

/// Settings of an index that is being filled. A template of the server's may say otherwise: what an index itself says counts for
/// more.
pub fn quick(has_final_pipelines: bool) -> Map<String, Value> {
    let settings = [
        ("index.refresh_interval", "-1"),
        ("index.number_of_replicas", "0"),
        ("index.auto_expand_replicas", "false"),
        ("index.default_pipeline", "_none"),
        ("index.final_pipeline", "_none"),
    ];
    let known = settings.iter().filter(|(name, _)| has_final_pipelines || *name != "index.final_pipeline");
    known.map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect()
}

fn is_in(names: &[&str], name: &str) -> bool {
    names.iter().any(|own| name.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

fn flatten(prefix: &str, value: &Value, flat: &mut Map<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let separator = if prefix.is_empty() { "" } else { "." };
                flatten(&format!("{prefix}{separator}{name}"), value, flat);
            }
        }
        _ => {
            // Some say `index.` and some do not.
            let name = if prefix.starts_with("index.") { prefix.into() } else { format!("index.{prefix}") };
            flat.insert(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Knows = Knows { tiers: true, final_pipelines: true, replication: true };
    const NEITHER: Knows = Knows { tiers: false, final_pipelines: false, replication: false };

    #[test]
    fn each_setting_has_its_time() {
        let said = json!({ "index": {
            "uuid": "u", "version": { "created": "1" }, "creation_date": "1", "provided_name": "x", "number_of_shards": "3",
            "number_of_replicas": "2", "refresh_interval": "7s", "blocks": { "write": "true" }, "versioned": "1",
            "routing": { "allocation": { "include": { "_tier_preference": "data_content" }, "initial_recovery": { "_id": "x" } } },
            "analysis": { "filter": { "s": { "type": "stop", "stopwords": ["a", "b"] } } }, "lifecycle": { "name": "p" } } });
        let settings = Settings::new(&said, &["index.life*"].into_iter().collect(), NEITHER);
        let first = json!({ "index.number_of_shards": "3", "index.versioned": "1",
            "index.analysis.filter.s.type": "stop", "index.analysis.filter.s.stopwords": ["a", "b"] });
        assert_eq!(Value::Object(settings.first.clone()), first);
        let later =
            json!({ "index.number_of_replicas": "2", "index.refresh_interval": "7s", "index.blocks.write": "true" });
        assert_eq!(Value::Object(settings.later.clone()), later);
        assert_eq!(settings.to_make()["index.refresh_interval"], "-1");
        let used = settings.to_use();
        assert_eq!((&used["index.refresh_interval"], &used["index.default_pipeline"]), (&json!("7s"), &Value::Null));
        assert!(!used.contains_key("index.final_pipeline") && !used.contains_key("index.blocks.write"));
        assert_eq!(Value::Object(settings.to_finish()), json!({ "index.blocks.write": "true" }));
        let tiers = Settings::new(&said, &Patterns::default(), BOTH);
        assert!(tiers.first.contains_key(TIER) && tiers.to_finish().contains_key("index.lifecycle.name"));
        assert_eq!(tiers.ages_from_a_date(), None);
        let dated = json!({ "index.lifecycle.name": "p", "index.lifecycle.origination_date": "1700000000000" });
        assert_eq!(Settings::new(&dated, &Patterns::default(), BOTH).ages_from_a_date(), Some("p"));
        let flat = json!({ "index.number_of_shards": "3", "auto_expand_replicas": "0-1" });
        let flat = Settings::new(&flat, &Patterns::default(), BOTH);
        assert_eq!(Value::Object(flat.first.clone()), json!({ "index.number_of_shards": "3" }));
        assert!(!flat.to_use().contains_key("index.number_of_replicas"));
    }
}
