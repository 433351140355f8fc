//! What a cluster has: indices and what is around them.
//!
//! | module | what |
//! |---|---|
//! | [`around`] | templates, pipelines, scripts, policies, settings of the cluster |
//! | [`needed`] | which of that no dump may leave out |
//! | [`others`] | what only some servers have: search pipelines, synonyms, enrich policies |
//! | [`streams`] | data streams |
//! | [`lossy`] | indices whose documents cannot be had as they were indexed |
//! | [`inference`] | fields that are filled by models |
//! | [`restricted`] | what a user's role hides |
//! | [`security`] | who the user is to OpenSearch |
//! | [`not_kept`] | what there is that no dump has |
//! | [`selection`] | which of it is dumped |
//! | [`unseen`] | what the server does not show the user |

pub mod around;
pub mod inference;
pub mod lossy;
pub mod needed;
pub mod not_kept;
pub mod others;
pub mod restricted;
pub mod security;
pub mod selection;
pub mod streams;
pub mod unseen;

use crate::client::{Client, Refusal, what};
use crate::layout::{DataStream, Definition, Definitions, IndexDefinition, is_own_setting};
use coffer_addon::{Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// An index and what a dump has to know of it.
#[derive(Clone, Debug)]
pub struct Found {
    pub definition: IndexDefinition,
    /// Hidden by its settings or by its name.
    pub hidden: bool,
    pub shards: u32,
    /// Of its primaries, as far as the server knows.
    pub bytes: u64,
    /// With nested ones: an upper limit.
    pub documents: u64,
}

impl Found {
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    /// A setting that is a text, e.g. `index.mode`.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.definition.settings.get(name).and_then(Value::as_str)
    }
}

#[derive(Deserialize)]
struct Described {
    #[serde(default)]
    aliases: Definitions,
    mappings: Option<Definition>,
    #[serde(default)]
    settings: BTreeMap<String, Value>,
    data_stream: Option<String>,
}

#[derive(Deserialize)]
struct Row {
    index: String,
    status: Option<String>,
    #[serde(rename = "docs.count")]
    documents: Option<String>,
    #[serde(rename = "pri.store.size")]
    bytes: Option<String>,
}

/// All indices, by name.
pub async fn indices(client: &Client) -> Result<Vec<Found>> {
    let described: BTreeMap<String, Described> = client.get("/_all?flat_settings=true&expand_wildcards=all").await?;
    // Elasticsearch before 7.7 shows all of them anyway, and does not know the parameter: none are hidden there.
    let all = if client.version().has_since(7, 7) { "&expand_wildcards=all" } else { "" };
    let path = format!("/_cat/indices?format=json&bytes=b&h=index,status,docs.count,pri.store.size{all}");
    let rows: Vec<Row> = client.get(&path).await?;
    let mut rows: BTreeMap<String, Row> = rows.into_iter().map(|row| (row.index.clone(), row)).collect();
    Ok(described.into_iter().map(|(name, described)| found(rows.remove(&name), name, described)).collect())
}

fn found(row: Option<Row>, name: String, described: Described) -> Found {
    let Described { aliases, mappings, mut settings, data_stream } = described;
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or_default();
    let is_empty = mappings.as_ref().is_some_and(|mappings| mappings.text() == "{}");
    settings.retain(|name, _| !is_own_setting(name));
    let definition = IndexDefinition {
        data_stream,
        closed: row.as_ref().is_some_and(|row| row.status.as_deref() == Some("close")),
        settings,
        mappings: mappings.filter(|_| !is_empty),
        aliases,
        ism_policy: None,
        file: None,
        name,
    };
    let hidden = definition.settings.get("index.hidden").and_then(Value::as_str) == Some("true");
    let shards = definition.settings.get("index.number_of_shards").and_then(Value::as_str);
    Found {
        hidden: hidden || definition.name.starts_with('.'),
        shards: shards.and_then(|shards| shards.parse().ok()).unwrap_or(1),
        bytes: number(row.as_ref().and_then(|row| row.bytes.as_deref())),
        documents: number(row.as_ref().and_then(|row| row.documents.as_deref())),
        definition,
    }
}

/// All data streams; none where the server does not know them.
pub async fn data_streams(client: &Client) -> Result<Vec<DataStream>> {
    streams::read(client).await.map(|found| found.streams)
}

/// A stream's indices on the server, oldest first.
pub async fn backing(client: &Client, stream: &str) -> Result<Vec<String>> {
    let streams = data_streams(client).await?;
    let found = streams.into_iter().find(|found| found.name == stream);
    let gone = || Error::Failed(format!("the data stream {stream} is not there any more"));
    Ok(found.ok_or_else(gone)?.indices)
}

/// What not every server has, or knows how to be asked for.
pub async fn optional<T: DeserializeOwned>(client: &Client, path: &str) -> Result<Option<T>> {
    match client.try_get(path).await? {
        Ok(answer) => Ok(Some(answer)),
        Err(refusal) if is_unknown(&refusal) => Ok(None),
        Err(refusal) => Err(refusal.error(&what("GET", path))),
    }
}

/// [`optional`] of what only some users may see: an error is the refusal to show it.
async fn visible<T: DeserializeOwned>(client: &Client, path: &str) -> Result<std::result::Result<Option<T>, Unseen>> {
    match client.try_get(path).await? {
        Ok(answer) => Ok(Ok(Some(answer))),
        Err(refusal) if is_unknown(&refusal) => Ok(Ok(None)),
        Err(refusal) if refusal.status == 403 => Ok(Err(Unseen)),
        Err(refusal) => Err(refusal.error(&what("GET", path))),
    }
}

/// The user may not see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unseen;

/// The server knows no such thing, or takes its name for an index's.
fn is_unknown(refusal: &Refusal) -> bool {
    let says = |text: &str| refusal.reason.contains(text) || refusal.kind.contains(text);
    match refusal.status {
        404 | 405 => true,
        // Who may not read whatever index is asked for is told so before its name is looked at.
        403 => says("on indices [_"),
        400 => ["no handler found", "invalid_index_name", "nvalid index name"].iter().any(|text| says(text)),
        _ => false,
    }
}
