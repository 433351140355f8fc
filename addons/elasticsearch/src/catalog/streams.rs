//! Data streams, and what was set on each of them beside its template.

use super::optional;
use crate::client::Client;
use crate::layout::{DataStream, Definition, Definitions};
use coffer_addon::Result;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What there is.
#[derive(Debug, Default)]
pub struct Found {
    pub streams: Vec<DataStream>,
    /// Indices with what could not be indexed, by their stream. A stream takes no documents for them.
    pub failures: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Streams {
    data_streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    name: String,
    timestamp_field: Field,
    indices: Vec<Backing>,
    #[serde(default)]
    template: String,
    #[serde(default)]
    hidden: bool,
    #[serde(default)]
    failure_store: FailureStore,
}

#[derive(Deserialize)]
struct Field {
    name: String,
}

#[derive(Deserialize)]
struct Backing {
    index_name: String,
}

#[derive(Default, Deserialize)]
struct FailureStore {
    #[serde(default)]
    indices: Vec<Backing>,
}

#[derive(Deserialize)]
struct Aliased {
    #[serde(default)]
    aliases: Definitions,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    data_streams: Vec<Map<String, Value>>,
}

/// What the server works out itself, and does not take.
const WORKED_OUT: [&str; 2] = ["effective_retention", "retention_determined_by"];

/// All data streams; none where the server does not know them.
pub async fn read(client: &Client) -> Result<Found> {
    let mut all = Found::default();
    if !client.version().has_since(7, 9) {
        return Ok(all);
    }
    // OpenSearch and old Elasticsearches show all of them anyway, and do not know the parameter.
    let knows_hidden = client.version().is_elasticsearch() && client.version().is_since(7, 11);
    let path = if knows_hidden { "/_data_stream?expand_wildcards=all" } else { "/_data_stream" };
    let Some(found): Option<Streams> = optional(client, path).await? else { return Ok(all) };
    if found.data_streams.is_empty() {
        return Ok(all);
    }
    let mut aliases: BTreeMap<String, Aliased> = match client.version().is_elasticsearch() {
        true => client.get("/_alias?expand_wildcards=all").await?,
        false => BTreeMap::new(),
    };
    for stream in found.data_streams {
        let Stream { name, timestamp_field, indices, template, hidden, failure_store } = stream;
        let names = |indices: Vec<Backing>| indices.into_iter().map(|index| index.index_name).collect::<Vec<_>>();
        if !failure_store.indices.is_empty() {
            all.failures.insert(name.clone(), names(failure_store.indices));
        }
        all.streams.push(DataStream {
            aliases: aliases.remove(&name).map(|aliased| aliased.aliases).unwrap_or_default(),
            template,
            timestamp_field: timestamp_field.name,
            indices: names(indices),
            hidden,
            name,
            ..DataStream::default()
        });
    }
    Ok(all)
}

/// Adds what was set on each beside its template.
pub async fn describe(client: &Client, streams: &mut [DataStream]) -> Result<()> {
    if streams.is_empty() {
        return Ok(());
    }
    let mut lifecycles = details(client, "lifecycle", (8, 14)).await?;
    let mut options = details(client, "options", (8, 19)).await?;
    let mut settings = details(client, "settings", (9, 1)).await?;
    let mut mappings = details(client, "mappings", (9, 2)).await?;
    for stream in streams {
        stream.lifecycle = lifecycles.remove(&stream.name);
        stream.options = options.remove(&stream.name);
        stream.settings = settings.remove(&stream.name);
        stream.mappings = mappings.remove(&stream.name);
    }
    Ok(())
}

impl Found {
    /// The indices that hold failures.
    pub fn failed(&self) -> BTreeSet<&str> {
        self.failures.values().flatten().map(String::as_str).collect()
    }
}

/// What was set on streams, each as it is put in; nothing where the server does not know that.
async fn details(client: &Client, what: &str, since: (u32, u32)) -> Result<BTreeMap<String, Definition>> {
    let mut all = BTreeMap::new();
    if !client.version().is_elasticsearch() || !client.version().is_since(since.0, since.1) {
        return Ok(all);
    }
    let path = format!("/_data_stream/*/_{what}?expand_wildcards=all");
    // Those of settings and mappings have no such parameter.
    let path = if matches!(what, "settings" | "mappings") { format!("/_data_stream/*/_{what}") } else { path };
    let Some(found): Option<Details> = optional(client, &path).await? else { return Ok(all) };
    for mut stream in found.data_streams {
        let name = stream.remove("name").and_then(|name| name.as_str().map(str::to_owned));
        if let (Some(name), Some(mut detail)) = (name, stream.remove(what)) {
            strip(&mut detail);
            if detail.as_object().is_some_and(|detail| !detail.is_empty()) {
                all.insert(name, Definition::new(&detail)?);
            }
        }
    }
    Ok(all)
}

fn strip(detail: &mut Value) {
    if let Value::Object(fields) = detail {
        fields.retain(|name, _| !WORKED_OUT.contains(&name.as_str()));
        fields.values_mut().for_each(strip);
    }
}
