//! Proof that two clusters, or an index and its copy, hold the same: every document with its id, its routing and its
//! `_source` as JSON, and every setting.

#![allow(clippy::indexing_slicing, reason = "a field that JSON does not have is null")]

use std::collections::BTreeMap;
use std::hash::Hasher;

use serde_json::{Map, Value, json};

use super::{Client, Search};
use crate::error::{Error, Result};

/// Documents in an answer.
const PAGE: u32 = 2000;

/// How many differences are told.
const TOLD: usize = 20;

/// An index's settings that are of its making and not of its user's.
const OWN_SETTINGS: [&str; 9] = [
    "index.creation_date",
    "index.creation_date_string",
    "index.history.uuid",
    "index.provided_name",
    "index.resize",
    "index.routing.allocation.initial_recovery",
    "index.uuid",
    "index.verified_before_close",
    "index.version",
];

/// What a server adds to templates and pipelines.
const OWN_FIELDS: [&str; 4] = ["created_date", "created_date_millis", "modified_date", "modified_date_millis"];

/// All that a cluster's users made of it; not what begins with a dot or says that somebody else manages it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cluster {
    pub indices: BTreeMap<String, Index>,
    pub data_streams: BTreeMap<String, DataStream>,
    pub component_templates: BTreeMap<String, Value>,
    pub index_templates: BTreeMap<String, Value>,
    pub legacy_templates: BTreeMap<String, Value>,
    pub pipelines: BTreeMap<String, Value>,
    pub scripts: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Index {
    pub documents: Documents,
    pub mappings: Value,
    pub settings: Value,
    pub aliases: Value,
    pub is_closed: bool,
}

/// A stream's documents are its own, in whatever indices they are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DataStream {
    pub documents: Documents,
    pub template: String,
    pub timestamp: Value,
    /// How many indices it has.
    pub indices: usize,
    /// Of the index that is written to.
    pub mappings: Value,
    pub settings: Value,
}

/// A hash of `_source` for each id and routing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Documents(pub BTreeMap<(String, Option<String>), u128>);

impl Documents {
    /// Notes a document that comes from elsewhere than a server; false where it is there already.
    pub fn add(&mut self, id: &str, routing: Option<&str>, source: &Value) -> bool {
        self.0.insert((id.to_owned(), routing.map(str::to_owned)), hash(source)).is_none()
    }
}

/// What is there now. Closed indices are opened for as long as it takes to read them.
pub fn cluster(server: &Search) -> Result<Cluster> {
    let client = server.client();
    let mut cluster = Cluster {
        component_templates: named(&client, "/_component_template", "component_templates", "component_template")?,
        index_templates: named(&client, "/_index_template", "index_templates", "index_template")?,
        legacy_templates: object(client.ask("GET", "/_template", &Value::Null)?),
        pipelines: match client.get("/_ingest/pipeline")? {
            // There is none.
            (404, _) => BTreeMap::new(),
            (_, found) => object(found),
        },
        ..Cluster::default()
    };
    let state = client.ask("GET", "/_cluster/state/metadata?filter_path=metadata.stored_scripts", &Value::Null)?;
    cluster.scripts = object(state["metadata"]["stored_scripts"].clone());
    if server.version().abilities().data_streams {
        let found = client.ask("GET", "/_data_stream", &Value::Null)?;
        for stream in found["data_streams"].as_array().into_iter().flatten() {
            let name = text(&stream["name"]);
            cluster.data_streams.insert(name.clone(), data_stream(server, &name, stream)?);
        }
    }
    let found = client.ask("GET", "/_all/_settings?expand_wildcards=all&flat_settings=true", &Value::Null)?;
    for name in found.as_object().into_iter().flat_map(Map::keys).filter(|name| !name.starts_with('.')) {
        cluster.indices.insert(name.clone(), index(server, name)?);
    }
    Ok(cluster)
}

/// One index, which may be closed.
pub fn index(server: &Search, name: &str) -> Result<Index> {
    let client = server.client();
    let (mappings, settings, aliases) = described(&client, name)?;
    let path = format!("/_cat/indices/{}?format=json&expand_wildcards=all&h=status", encode(name));
    let status = client.ask("GET", &path, &Value::Null)?;
    let is_closed = status[0]["status"] == "close";
    let change = |how: &str| client.ask("POST", &format!("/{}/{how}", encode(name)), &Value::Null);
    if is_closed {
        change("_open")?;
        let health = format!("/_cluster/health/{}?wait_for_status=yellow&timeout=60s", encode(name));
        client.ask("GET", &health, &Value::Null)?;
    }
    let documents = documents(server, name)?;
    if is_closed {
        change("_close")?;
    }
    Ok(Index { documents, mappings, settings, aliases, is_closed })
}

/// Fails unless both have the same; says what is different.
pub fn same_cluster(one: &Cluster, other: &Cluster) -> Result<()> {
    let mut found = Vec::new();
    same_names("index", &one.indices, &other.indices, &mut found, different_index);
    same_names("data stream", &one.data_streams, &other.data_streams, &mut found, |what, one, other, found| {
        different_documents(what, &one.documents, &other.documents, found);
        let rest = |stream: &DataStream| {
            json!({ "template": stream.template, "timestamp": stream.timestamp, "indices": stream.indices,
                "mappings": stream.mappings, "settings": stream.settings })
        };
        different(what, &rest(one), &rest(other), found);
    });
    for (kind, one, other) in [
        ("component template", &one.component_templates, &other.component_templates),
        ("index template", &one.index_templates, &other.index_templates),
        ("legacy template", &one.legacy_templates, &other.legacy_templates),
        ("pipeline", &one.pipelines, &other.pipelines),
        ("script", &one.scripts, &other.scripts),
    ] {
        same_names(kind, one, other, &mut found, different);
    }
    verdict(found)
}

/// The same for an index and its copy, under whatever names.
pub fn same_index(one: &Index, other: &Index) -> Result<()> {
    let mut found = Vec::new();
    different_index("the index", one, other, &mut found);
    verdict(found)
}

/// The same for documents alone.
pub fn same_documents(one: &Documents, other: &Documents) -> Result<()> {
    let mut found = Vec::new();
    different_documents("the documents", one, other, &mut found);
    verdict(found)
}

/// Every document of an open index, an alias or a data stream, as it was refreshed last.
pub fn documents(server: &Search, name: &str) -> Result<Documents> {
    let client = server.client();
    let mut body = json!({ "size": PAGE, "sort": ["_doc"], "query": { "match_all": {} } });
    if server.version().abilities().hidden_vectors {
        body["_source"] = json!({ "exclude_vectors": false });
    }
    let mut found = Documents::default();
    let mut answer = client.ask("POST", &format!("/{}/_search?scroll=2m", encode(name)), &body)?;
    loop {
        if answer["_shards"]["failed"] != 0 || answer["timed_out"] == true {
            return Err(Error::Different(format!("{name} cannot be read: {}", answer["_shards"])));
        }
        let hits = answer["hits"]["hits"].as_array().map(Vec::as_slice).unwrap_or_default();
        for hit in hits {
            let routing = hit["_routing"].as_str().map(str::to_owned);
            let key = (text(&hit["_id"]), routing);
            if found.0.insert(key, hash(&hit["_source"])).is_some() {
                return Err(Error::Different(format!("{name} has the document {} twice", hit["_id"])));
            }
        }
        let scroll = json!({ "scroll_id": answer["_scroll_id"] });
        if hits.is_empty() {
            client.delete("/_search/scroll", &scroll)?;
            return Ok(found);
        }
        let more = json!({ "scroll": "2m", "scroll_id": answer["_scroll_id"] });
        answer = client.ask("POST", "/_search/scroll", &more)?;
    }
}

fn described(client: &Client, name: &str) -> Result<(Value, Value, Value)> {
    let path = format!("/{}?flat_settings=true&expand_wildcards=all", encode(name));
    let mut found = client.ask("GET", &path, &Value::Null)?;
    let mut index = found[name].take();
    let mut settings = index["settings"].take();
    if let Value::Object(settings) = &mut settings {
        settings.retain(|name, _| {
            !OWN_SETTINGS
                .iter()
                .any(|own| name.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
        });
    }
    Ok((index["mappings"].take(), settings, index["aliases"].take()))
}

fn data_stream(server: &Search, name: &str, stream: &Value) -> Result<DataStream> {
    let indices = stream["indices"].as_array().map(Vec::as_slice).unwrap_or_default();
    let last = indices.last().map(|index| text(&index["index_name"])).unwrap_or_default();
    let (mappings, settings, _) = described(&server.client(), &last)?;
    Ok(DataStream {
        documents: documents(server, name)?,
        template: text(&stream["template"]),
        timestamp: stream["timestamp_field"].clone(),
        indices: indices.len(),
        mappings,
        settings,
    })
}

/// From `{ list: [{ "name": …, item: … }] }`.
fn named(client: &Client, path: &str, list: &str, item: &str) -> Result<BTreeMap<String, Value>> {
    let mut found = client.ask("GET", path, &Value::Null)?;
    let items = found[list].as_array_mut().into_iter().flatten();
    let items = items.map(|entry| (text(&entry["name"]), entry[item].take()));
    Ok(object(Value::Object(items.collect())))
}

/// What users made, without what the server adds to it.
fn object(found: Value) -> BTreeMap<String, Value> {
    let Value::Object(found) = found else { return BTreeMap::new() };
    let is_users = |name: &str, value: &Value| !name.starts_with('.') && value["_meta"]["managed"] != true;
    let mut users: BTreeMap<_, _> = found.into_iter().filter(|(name, value)| is_users(name, value)).collect();
    for value in users.values_mut().filter_map(Value::as_object_mut) {
        value.retain(|name, _| !OWN_FIELDS.contains(&name.as_str()));
    }
    users
}

fn same_names<T>(
    kind: &str,
    one: &BTreeMap<String, T>,
    other: &BTreeMap<String, T>,
    found: &mut Vec<String>,
    compare: impl Fn(&str, &T, &T, &mut Vec<String>),
) {
    for name in one.keys().chain(other.keys().filter(|name| !one.contains_key(*name))) {
        let what = format!("{kind} {name}");
        match (one.get(name), other.get(name)) {
            (Some(one), Some(other)) => compare(&what, one, other, found),
            (Some(_), None) => found.push(format!("{what}: only in the first")),
            (None, _) => found.push(format!("{what}: only in the second")),
        }
    }
}

fn different_index(what: &str, one: &Index, other: &Index, found: &mut Vec<String>) {
    different_documents(what, &one.documents, &other.documents, found);
    let rest = |index: &Index| json!({ "mappings": index.mappings, "settings": index.settings, "aliases": index.aliases, "closed": index.is_closed });
    different(what, &rest(one), &rest(other), found);
}

fn different_documents(what: &str, one: &Documents, other: &Documents, found: &mut Vec<String>) {
    if one.0.len() != other.0.len() {
        found.push(format!("{what}: {} documents and {}", one.0.len(), other.0.len()));
    }
    let mut tell = |how: &str, these: &Documents, those: &Documents, is: &dyn Fn(Option<&u128>, &u128) -> bool| {
        let wanted: Vec<_> = these.0.iter().filter(|(key, hash)| is(those.0.get(*key), hash)).collect();
        for ((id, routing), _) in wanted.iter().take(3) {
            let routing = routing.as_ref().map(|routing| format!(", routed by {routing:?}")).unwrap_or_default();
            found.push(format!("{what}: document {id:?}{routing} {how} (one of {})", wanted.len()));
        }
    };
    tell("is only in the first", one, other, &|other, _| other.is_none());
    tell("is only in the second", other, one, &|one, _| one.is_none());
    tell("has another source", one, other, &|other, one| other.is_some_and(|other| other != one));
}

/// Where two values differ, by path.
fn different(path: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let null = Value::Null;
            for name in ours.keys().chain(theirs.keys().filter(|name| !ours.contains_key(*name))) {
                let (our, their) = (ours.get(name), theirs.get(name));
                different(&format!("{path}.{name}"), our.unwrap_or(&null), their.unwrap_or(&null), found);
            }
        }
        _ if one == other => {}
        _ => found.push(format!("{path}: {one:.300} and {other:.300}")),
    }
}

fn verdict(found: Vec<String>) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let more = found.len().saturating_sub(TOLD);
    let told = found.into_iter().take(TOLD).collect::<Vec<_>>().join("\n");
    let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
    Err(Error::Different(format!("they differ:\n{told}{more}")))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn encode(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Two hashes of 64 bits that have nothing to do with each other.
#[expect(deprecated, reason = "the same for every process, and good enough to tell documents apart")]
fn hash(source: &Value) -> u128 {
    let half = |seed: u8| {
        let mut hasher = std::hash::SipHasher::new_with_keys(seed.into(), u64::from(seed) << 32);
        feed(source, &mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

/// A value as bytes that are the same for the same value: fields in any order, 1 as 1.0.
fn feed(value: &Value, hasher: &mut impl Hasher) {
    match value {
        Value::Null => hasher.write(b"n"),
        Value::Bool(value) => hasher.write(if *value { b"t" } else { b"f" }),
        Value::Number(number) => {
            let float = number.as_f64().unwrap_or_default();
            match number.as_i64() {
                None if float.fract() == 0.0 && float.abs() < 9e15 => {
                    hasher.write(format!("#{float:.0}").replace("-0", "0").as_bytes())
                }
                _ => hasher.write(format!("#{number}").as_bytes()),
            }
        }
        Value::String(text) => {
            hasher.write(format!("\"{}:", text.len()).as_bytes());
            hasher.write(text.as_bytes());
        }
        Value::Array(values) => {
            hasher.write(format!("[{}:", values.len()).as_bytes());
            values.iter().for_each(|value| feed(value, hasher));
        }
        Value::Object(fields) => {
            hasher.write(format!("{{{}:", fields.len()).as_bytes());
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            for (name, value) in sorted {
                hasher.write(format!("{}:{name}", name.len()).as_bytes());
                feed(value, hasher);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_the_same_by_value_and_not_by_text() {
        assert_eq!(hash(&json!({ "a": 1, "b": -0.0 })), hash(&json!({ "b": 0, "a": 1.0 })));
        assert_ne!(hash(&json!(9_007_199_254_740_993_i64)), hash(&json!(9_007_199_254_740_992_i64)));
        assert_ne!(hash(&json!(["a", "b"])), hash(&json!(["ab"])));
        assert_ne!(hash(&json!({ "a": null })), hash(&json!({})));
    }

    #[test]
    fn a_difference_is_told_by_its_path() {
        let mut found = Vec::new();
        different(
            "x",
            &json!({ "a": { "b": 1 }, "c": [] }),
            &json!({ "a": { "b": 2 }, "c": [], "d": "e" }),
            &mut found,
        );
        assert_eq!(found, ["x.a.b: 1 and 2", "x.d: null and \"e\""]);
    }
}
