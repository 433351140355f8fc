//! What a dump consists of: multielasticdump's files, and an index for Coffer's restore.
//!
//! | artifact | what |
//! |---|---|
//! | `coffer.json` | [`Index`]: everything but the documents. The first |
//! | `<index>.mapping.json` | a line, the object `{"<index>": {"mappings": …}}` |
//! | `<index>.settings.json`, `<index>.analyzer.json`, `<index>.alias.json` | a line, such an object as a text in JSON |
//! | `<index>.index.json` | the same with mappings, settings and aliases |
//! | `<index>.json` | the documents, one a line: `{"_index":…,"_id":…,"_version":…,"_routing":…,"_source":…}` |
//! | `saved-objects/<space>.ndjson` | Dashboards' objects, one a line as its export gives them, the export's own details last |
//! | `coffer.counts.json` | [`Counts`]: what the documents come to. The last |
//!
//! A data stream's documents are in the files of its backing indices. Format: what multielasticdump of elasticdump 6 writes and
//! reads.
//!
//! `_version` comes back by `version_type=external` (elasticdump: `--handleVersion=true --versionType=external`; without these it
//! passes over it). Not in data streams: they take `create` alone, which makes every document's version 1; only one that was
//! changed in its backing index had another. `_seq_no` and `_primary_term` are the index's own and are not kept.

mod counts;

pub use counts::{Count, Counts};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The index, which a restore needs before all else.
pub const INDEX: &str = "coffer.json";
/// What the documents come to.
pub const COUNTS: &str = "coffer.counts.json";
/// Behind the name of a file with documents.
pub const DATA: &str = ".json";
/// The same, where that would be taken for something else.
const DOCUMENTS: &str = ".documents.json";
/// Behind the names of files with definitions.
pub const MAPPING: &str = ".mapping.json";
pub const SETTINGS: &str = ".settings.json";
pub const ANALYZER: &str = ".analyzer.json";
pub const ALIAS: &str = ".alias.json";
/// All of them.
pub const WHOLE: &str = ".index.json";
/// Before the names of files with Dashboards' objects.
pub const SAVED_OBJECTS: &str = "saved-objects/";
/// multielasticdump's; ours are in [`INDEX`] alone.
pub const TEMPLATE: &str = ".template.json";
/// The version of [`Index`] and [`Counts`] that this crate writes and reads.
pub const FORMAT: u32 = 1;

/// The longest index, in bytes. A restore holds it in memory whole.
pub const MAX_INDEX: usize = 64 * 1024 * 1024;

/// Settings that are of an index's making and not of its user's; each with all that follows it behind a `.`. No index can be
/// created with them.
pub const OWN_SETTINGS: [&str; 11] = [
    "index.creation_date",
    "index.creation_date_string",
    "index.history.uuid",
    "index.provided_name",
    "index.resize",
    "index.routing.allocation.initial_recovery",
    "index.uuid",
    "index.verified_before_close",
    "index.version",
    "index.remote_store",
    "index.shard_limit_group",
];

/// Whether a flat setting's name is one of [`OWN_SETTINGS`].
pub fn is_own_setting(name: &str) -> bool {
    let is = |own: &str| name.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    OWN_SETTINGS.iter().any(|own| is(own))
}

/// The whole dump but its documents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Index {
    /// [`FORMAT`].
    pub format: u32,
    /// Who wrote it, with its version.
    pub tool: String,
    pub server: Server,
    pub consistency: Consistency,
    /// Whether definitions are there; not with `dataOnly`.
    pub schema: bool,
    /// Whether documents are there; not with `schemaOnly`.
    pub data: bool,
    /// Where parameters left something out, which ones: not all that the server had is in the dump then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filtered: Option<String>,
    /// What could not be taken along, by name, where that was allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omitted: Vec<String>,
    /// Persistent settings of the cluster, flat; with `clusterSettings`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cluster_settings: BTreeMap<String, Value>,
    /// Lifecycle policies: of ILM, the body of `PUT /_ilm/policy/<name>`, where the server is Elasticsearch; of ISM, the body of
    /// `PUT /_plugins/_ism/policies/<name>`, where it is OpenSearch.
    #[serde(default)]
    pub policies: Definitions,
    /// The body of `PUT /_component_template/<name>`.
    #[serde(default)]
    pub component_templates: Definitions,
    /// The body of `PUT /_index_template/<name>`.
    #[serde(default)]
    pub index_templates: Definitions,
    /// The body of `PUT /_template/<name>`.
    #[serde(default)]
    pub legacy_templates: Definitions,
    /// The body of `PUT /_ingest/pipeline/<name>`.
    #[serde(default)]
    pub pipelines: Definitions,
    /// What is `script` in the body of `PUT /_scripts/<name>`.
    #[serde(default)]
    pub scripts: Definitions,
    /// The body of `PUT /_search/pipeline/<name>`. OpenSearch's; `index.search.default_pipeline` of an index may name one.
    #[serde(default, skip_serializing_if = "Definitions::is_empty")]
    pub search_pipelines: Definitions,
    /// The body of `PUT /_synonyms/<name>`. Elasticsearch's; an index whose analysis names one cannot be created before it.
    #[serde(default, skip_serializing_if = "Definitions::is_empty")]
    pub synonym_sets: Definitions,
    /// The body of `PUT /_enrich/policy/<name>`. Elasticsearch's. One can be created when its indices are there; a pipeline that
    /// uses it, when it was executed after their documents came: `POST /_enrich/policy/<name>/_execute`.
    #[serde(default, skip_serializing_if = "Definitions::is_empty")]
    pub enrich_policies: Definitions,
    /// What the server has that no dump has, by its kind (`transforms`, `watches`, …), by name. For people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_kept: BTreeMap<String, Vec<String>>,
    /// With `savedObjects`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dashboards: Option<Dashboards>,
    /// By name, data streams' backing indices with the others.
    pub indices: Vec<IndexDefinition>,
    /// By name.
    #[serde(default)]
    pub data_streams: Vec<DataStream>,
}

impl Index {
    /// A dump of documents with nothing in it yet.
    pub fn new(tool: impl Into<String>, server: Server, consistency: Consistency) -> Self {
        Index {
            format: FORMAT,
            tool: tool.into(),
            server,
            consistency,
            schema: true,
            data: true,
            filtered: None,
            omitted: Vec::new(),
            cluster_settings: BTreeMap::new(),
            policies: Definitions::new(),
            component_templates: Definitions::new(),
            index_templates: Definitions::new(),
            legacy_templates: Definitions::new(),
            pipelines: Definitions::new(),
            scripts: Definitions::new(),
            search_pipelines: Definitions::new(),
            synonym_sets: Definitions::new(),
            enrich_policies: Definitions::new(),
            not_kept: BTreeMap::new(),
            dashboards: None,
            indices: Vec::new(),
            data_streams: Vec::new(),
        }
    }
}

/// By name.
pub type Definitions = BTreeMap<String, Definition>;

/// JSON as the server sent it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Definition(pub Box<RawValue>);

impl Definition {
    pub fn new(value: &Value) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Definition)
    }

    pub fn text(&self) -> &str {
        self.0.get()
    }

    pub fn value(&self) -> Result<Value, serde_json::Error> {
        serde_json::from_str(self.text())
    }
}

impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

/// The server that was dumped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Server {
    /// `Elasticsearch` or `OpenSearch`.
    pub flavour: String,
    /// As the server says it.
    pub version: String,
    pub cluster: String,
    /// No other cluster has this one, whatever it is called; empty where nobody knows.
    #[serde(default)]
    pub cluster_uuid: String,
}

/// Of which moment the documents are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Consistency {
    /// Each index of one moment, by a point in time of its own. Those of the first 200 shards are opened one after the other before
    /// anything is read, which is nearly one moment; each further one when its index has its turn.
    Pit,
    /// Each index's slices of nearly the same moment, when its scrolls were opened.
    Scroll,
}

impl Consistency {
    /// For facts.
    pub fn name(self) -> &'static str {
        match self {
            Consistency::Pit => "pit",
            Consistency::Scroll => "scroll",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IndexDefinition {
    pub name: String,
    /// The data stream that it backs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_stream: Option<String>,
    /// It is to be closed at the end of a restore. It has documents only where `openClosed` was set.
    #[serde(default)]
    pub closed: bool,
    /// Flat (`index.number_of_shards`), without [`OWN_SETTINGS`]; values are texts or lists of them.
    #[serde(default)]
    pub settings: BTreeMap<String, Value>,
    /// Before Elasticsearch 7 with the type in between: `{"<type>": {"properties": …}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mappings: Option<Definition>,
    /// By name, each as `PUT /<index>/_alias/<name>` takes it.
    #[serde(default)]
    pub aliases: Definitions,
    /// Of [`Index::policies`] the one of ISM that manages it: OpenSearch keeps that beside the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ism_policy: Option<String>,
    /// The artifact with its documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataStream {
    pub name: String,
    /// The index template that it is of.
    pub template: String,
    pub timestamp_field: String,
    /// Oldest first; the last is written to.
    pub indices: Vec<String>,
    #[serde(default)]
    pub hidden: bool,
    /// By name, each as an action of `POST /_aliases` takes it.
    #[serde(default)]
    pub aliases: Definitions,
    /// The body of `PUT /_data_stream/<name>/_lifecycle`. Elasticsearch's since 8.14.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Definition>,
    /// The body of `PUT /_data_stream/<name>/_options`. Elasticsearch's since 8.19.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Definition>,
    /// The body of `PUT /_data_stream/<name>/_settings`: what was set on the stream itself. Elasticsearch's since 9.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Definition>,
    /// The body of `PUT /_data_stream/<name>/_mappings`. Elasticsearch's since 9.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mappings: Option<Definition>,
}

/// Kibana or OpenSearch Dashboards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dashboards {
    /// `Kibana` or `OpenSearch Dashboards`.
    pub flavour: String,
    /// As it says it.
    pub version: String,
    /// By id. OpenSearch has none: what its global tenant has is in one with the id `default`.
    pub spaces: Vec<Space>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Space {
    pub id: String,
    /// The body of `POST /api/spaces/space`, or of `PUT /api/spaces/space/<id>`; none where there are no spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Definition>,
    /// The artifact with its objects: what `POST /s/<id>/api/saved_objects/_import` takes as its `file`. By default that takes
    /// up to 10,000 objects and 25 MiB. In [`Counts::saved_objects`] when it has any.
    pub file: String,
}

/// The artifact with a space's objects.
pub fn saved_objects_name(space: &str) -> String {
    format!("{SAVED_OBJECTS}{space}.ndjson")
}

/// The artifact with an index's documents. Names of indices have no character that a file's cannot have; one that would be taken
/// for another index's definition, or for a file of ours, has another ending.
pub fn data_name(index: &str) -> String {
    let name = format!("{index}{DATA}");
    let endings = [MAPPING, SETTINGS, ANALYZER, ALIAS, WHOLE, TEMPLATE, DOCUMENTS];
    if endings.iter().any(|ending| name.ends_with(ending)) || [INDEX, COUNTS].contains(&name.as_str()) {
        return format!("{index}{DOCUMENTS}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_stay_as_they_came() {
        let text = r#"{"b":1.10,"a":18446744073709551616,"a":2}"#;
        let definition: Definition = serde_json::from_str(text).expect("readable");
        assert_eq!(serde_json::to_string(&definition).expect("serializable"), text);
    }

    #[test]
    fn no_two_artifacts_have_a_name() {
        assert_eq!(data_name("shop"), "shop.json");
        assert_eq!(data_name("shop.settings"), "shop.settings.documents.json");
        assert_eq!(data_name("coffer.counts"), "coffer.counts.documents.json");
        assert_eq!(data_name("a.documents"), "a.documents.documents.json");
    }

    #[test]
    fn own_settings_are_whole_names() {
        assert!(is_own_setting("index.uuid") && is_own_setting("index.version.created"));
        assert!(!is_own_setting("index.versions") && !is_own_setting("index.number_of_shards"));
    }
}
