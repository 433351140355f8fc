//! Indices and data streams on the server: looked at, made ready for documents, and made what they were in the dump.

use super::load::Loader;
use super::parameters::Restore;
use super::plan::{Plan, Planned, Stream};
use crate::client::{Body, Client};
use crate::layout::Definition;
use coffer_addon::http::segment;
use coffer_addon::{Context as _, Error, Result, omitted};
use serde::Deserialize;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Sorted as they are to be used.
const BLOCKS: &str = "index.blocks";

/// What is there under the names that the restore wants.
#[derive(Debug, Default)]
pub struct Found {
    indices: BTreeSet<String>,
    streams: BTreeSet<String>,
}

/// Looks at everything that could stand in the way; changes nothing.
pub async fn look(client: &Client, plan: &Plan, parameters: &Restore) -> Result<Found> {
    #[derive(Deserialize)]
    struct Aliases {
        #[serde(default)]
        aliases: BTreeMap<String, Value>,
    }
    let there: BTreeMap<String, Aliases> =
        client.get("/_all/_alias?expand_wildcards=all&ignore_unavailable=true").await?;
    let mut found = Found::default();
    if !plan.streams.is_empty() {
        found.streams = streams(client).await?;
    }
    let aliases: BTreeSet<&String> = there.values().flat_map(|index| index.aliases.keys()).collect();
    let mut in_the_way = Vec::new();
    for target in plan.targets() {
        if aliases.contains(&target.to_owned()) {
            return Err(Error::InvalidParameter(format!(
                "there is an alias {target}, so there can be no index of that name; remove the alias, or restore elsewhere with rename"
            )));
        }
        let place = match (there.contains_key(target), found.streams.contains(target)) {
            (true, _) => &mut found.indices,
            (_, true) => &mut BTreeSet::new(),
            _ => continue,
        };
        place.insert(target.into());
        in_the_way.push(target);
    }
    if !plan.makes {
        return check_empty(client, plan, &in_the_way).await.map(|()| found);
    }
    if !in_the_way.is_empty() && !parameters.overwrite {
        return Err(Error::InvalidParameter(format!(
            "{} is there already; set overwrite to replace it, or restore elsewhere with rename",
            omitted::line(&in_the_way)
        )));
    }
    let wanted: BTreeSet<&str> = plan.targets().collect();
    found.streams.retain(|stream| wanted.contains(stream.as_str()));
    Ok(found)
}

/// Documents alone go into what is there, and has none.
async fn check_empty(client: &Client, plan: &Plan, there: &[&str]) -> Result<()> {
    for target in plan.targets() {
        if !there.contains(&target) {
            return Err(Error::InvalidParameter(format!(
                "{target} is not there, and the dump has documents alone; restore a dump of its schema first"
            )));
        }
        if count(client, target).await? > 0 {
            return Err(Error::InvalidParameter(format!(
                "{target} is not empty, and the dump has documents alone; empty it first, or restore elsewhere with rename"
            )));
        }
    }
    Ok(())
}

async fn streams(client: &Client) -> Result<BTreeSet<String>> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    #[derive(Deserialize)]
    struct Streams {
        data_streams: Vec<Named>,
    }
    match client.ask("GET", "/_data_stream?expand_wildcards=all", &Body::None).await? {
        Ok(mut answer) => {
            let streams: Streams = answer.json(crate::client::MAX_ANSWER).await?;
            Ok(streams.data_streams.into_iter().map(|stream| stream.name).collect())
        }
        Err(refusal) if matches!(refusal.status, 400 | 404 | 405) => Err(Error::Unsupported(format!(
            "the dump has data streams, which {} {} does not have here; leave them out with exclude",
            client.version().flavour.name(),
            client.version().text
        ))),
        Err(refusal) => Err(refusal.error("GET /_data_stream")),
    }
}

/// Deletes what was in the way.
pub async fn clear(client: &Client, found: &Found) -> Result<()> {
    for stream in &found.streams {
        let failed = || format!("unable to delete the data stream {stream}");
        client.send("DELETE", &format!("/_data_stream/{}", segment(stream)), &Body::None).await.context(failed)?;
    }
    for index in &found.indices {
        let failed = || format!("unable to delete {index}");
        client.send("DELETE", &format!("/{}", segment(index)), &Body::None).await.context(failed)?;
    }
    Ok(())
}

/// Makes an index that is quick to fill.
pub async fn make(client: &Client, index: &Planned) -> Result<()> {
    #[derive(Serialize)]
    struct Made<'a> {
        settings: Map<String, Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        mappings: Option<&'a Definition>,
    }
    let body = Body::json(&Made { settings: index.settings.to_make(), mappings: index.mappings.as_ref() })?;
    let failed =
        || format!("unable to make {}; what this server does not know can be left out with omitSettings", index.target);
    client.send("PUT", &format!("/{}", segment(&index.target)), &body).await.map(drop).context(failed)
}

/// Makes a data stream by its template.
pub async fn make_stream(client: &Client, stream: &Stream) -> Result<()> {
    let failed =
        || format!("unable to make the data stream {}, for which there has to be an index template", stream.target);
    client
        .send("PUT", &format!("/_data_stream/{}", segment(&stream.target)), &Body::None)
        .await
        .map(drop)
        .context(failed)
}

/// Gives a data stream its next index.
pub async fn roll_over(client: &Client, stream: &str) -> Result<()> {
    let failed = || format!("unable to give the data stream {stream} another index");
    client.send("POST", &format!("/{}/_rollover", segment(stream)), &Body::None).await.map(drop).context(failed)
}

/// How many documents there are, made visible first.
pub async fn count(client: &Client, target: &str) -> Result<u64> {
    let encoded = segment(target);
    let _: Value = client.post(&format!("/{encoded}/_refresh"), &()).await?;
    let answer: Value = client.get(&format!("/{encoded}/_count")).await?;
    let failed = answer.pointer("/_shards/failed").and_then(Value::as_u64);
    match answer.get("count").and_then(Value::as_u64) {
        Some(count) if failed == Some(0) => Ok(count),
        _ => Err(Error::Unavailable(format!("{target}: not all of its shards can be counted"))),
    }
}

/// What every target has against what was indexed into it.
pub async fn check_counts(client: &Client, loader: &Loader<'_>, targets: impl Iterator<Item = &str>) -> Result<()> {
    let mut indexed: BTreeMap<&str, u64> = targets.map(|target| (target, 0)).collect();
    let fillings = loader.fillings();
    for filling in &fillings {
        *indexed.entry(&filling.target).or_default() += filling.indexed.get();
    }
    for (target, indexed) in indexed {
        let count = count(client, target).await?;
        if count != indexed {
            return Err(Error::Failed(format!(
                "{target} has {count} documents after {indexed} were indexed: the dump has a document twice, or something else writes there"
            )));
        }
    }
    Ok(())
}

/// Settings, aliases, blocks, closed: what indices were in the dump.
pub async fn finish(client: &Client, plan: &Plan, parameters: &Restore) -> Result<()> {
    for index in &plan.indices {
        let mut settings = index.settings.to_finish();
        settings.retain(|name, _| !name.starts_with(BLOCKS));
        set(client, &index.target, &settings).await?;
    }
    if parameters.aliases {
        aliases(client, plan, parameters).await?;
    }
    for index in &plan.indices {
        let mut blocks = index.settings.to_finish();
        blocks.retain(|name, value| name.starts_with(BLOCKS) && !value.is_null());
        if !blocks.is_empty() {
            set(client, &index.target, &blocks).await?;
        }
        if index.is_closed {
            let failed = || format!("unable to close {}", index.target);
            let path = format!("/{}/_close", segment(&index.target));
            client.send("POST", &path, &Body::None).await.context(failed)?;
        }
    }
    Ok(())
}

async fn set(client: &Client, target: &str, settings: &Map<String, Value>) -> Result<()> {
    let failed = || {
        format!(
            "the documents of {target} are in, but its settings are not; one that this server does not know can be left out with omitSettings"
        )
    };
    let path = format!("/{}/_settings", segment(target));
    client.send("PUT", &path, &Body::json(settings)?).await.map(drop).context(failed)
}

/// All at once: nobody sees some of them. Those that a template of the server's gave to an index are none of the dump's.
async fn aliases(client: &Client, plan: &Plan, parameters: &Restore) -> Result<()> {
    let mut actions = Vec::new();
    for index in &plan.indices {
        let names: BTreeSet<String> =
            index.aliases.keys().map(|alias| parameters.rename.of(alias).into_owned()).collect();
        let found: Value = client.get(&format!("/{}/_alias", segment(&index.target))).await?;
        let there = found.get(&index.target).and_then(|index| index.get("aliases")).and_then(Value::as_object);
        for alias in there.into_iter().flat_map(Map::keys).filter(|alias| !names.contains(*alias)) {
            actions.push(json!({ "remove": { "index": index.target, "alias": alias } }));
        }
    }
    let indices = plan.indices.iter().map(|index| (&index.target, &index.aliases));
    let streams = plan.streams.iter().map(|stream| (&stream.target, &stream.aliases));
    for (target, aliases) in indices.chain(streams) {
        for (alias, definition) in aliases {
            let mut action = definition.value()?;
            let Some(fields) = action.as_object_mut() else {
                return Err(Error::Corrupt(format!("the alias {alias} of {target} is not described by an object")));
            };
            fields.insert("index".into(), target.as_str().into());
            fields.insert("alias".into(), parameters.rename.of(alias).into());
            actions.push(json!({ "add": action }));
        }
    }
    if actions.is_empty() {
        return Ok(());
    }
    let body = Body::json(&json!({ "actions": actions }))?;
    client.send("POST", "/_aliases", &body).await.map(drop).context(|| "the documents are in, but no aliases are made")
}
