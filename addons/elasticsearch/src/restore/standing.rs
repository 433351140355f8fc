//! What is there already: everything that could stand in the way is found before anything is written; and deleted.

use super::names;
use super::parameters::Restore;
use super::plan::Plan;
use super::unfinished::Unfinished;
use super::{streams, target};
use crate::catalog;
use crate::client::Client;
use crate::layout::{DataStream, Definition, Definitions};
use coffer_addon::http::segment;
use coffer_addon::{Context as _, Error, Result, omitted};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What is there under the names that the restore wants.
#[derive(Debug, Default)]
pub struct Found {
    pub indices: BTreeSet<String>,
    pub streams: BTreeSet<String>,
}

impl Found {
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty() && self.streams.is_empty()
    }

    /// What has to go before indices are made, and what makes way for data streams alone.
    pub fn parted(&self, plan: &Plan) -> (Found, Found) {
        let is_of_stream = |name: &String| plan.streams.iter().any(|stream| stream.target == *name);
        let part = |of_streams: bool| {
            let of = |names: &BTreeSet<String>| {
                names.iter().filter(|name| is_of_stream(name) == of_streams).cloned().collect()
            };
            Found { indices: of(&self.indices), streams: of(&self.streams) }
        };
        (part(false), part(true))
    }

    /// Whether it will be deleted.
    fn replaces(&self, name: &str) -> bool {
        self.indices.contains(name) || self.streams.contains(name)
    }
}

#[derive(Debug, Default, Deserialize)]
struct Aliased {
    #[serde(default)]
    aliases: BTreeMap<String, Alias>,
}

#[derive(Debug, Default, Deserialize)]
struct Alias {
    #[serde(default)]
    is_write_index: bool,
}

/// All that there is.
struct There {
    indices: BTreeMap<String, Aliased>,
    streams: Vec<DataStream>,
}

/// Looks at everything; changes nothing.
pub async fn look(client: &Client, plan: &Plan, parameters: &Restore, templates: &Definitions) -> Result<Found> {
    let there = There {
        indices: client.get("/_all/_alias?expand_wildcards=all&ignore_unavailable=true").await?,
        streams: catalog::data_streams(client).await?,
    };
    let (found, in_the_way) = check_names(plan, &there)?;
    if !plan.makes {
        return check_empty(client, plan, &in_the_way).await.map(|()| found);
    }
    if !in_the_way.is_empty() && !parameters.overwrite {
        return Err(Error::InvalidParameter(format!(
            "{} is there already; set overwrite to replace it, or restore elsewhere with rename",
            omitted::line(&in_the_way)
        )));
    }
    if parameters.aliases {
        check_aliases(plan, parameters, &there, &found)?;
    }
    streams::check_known(client, plan, templates).await?;
    check_shards(client, plan, &found).await?;
    Ok(found)
}

/// What has the name of something that is to be made; what never can be made way for is an error.
fn check_names<'a>(plan: &'a Plan, there: &There) -> Result<(Found, Vec<&'a str>)> {
    let aliases: BTreeSet<&str> =
        there.indices.values().flat_map(|index| index.aliases.keys()).map(String::as_str).collect();
    let is_stream = |name: &str| there.streams.iter().any(|stream| stream.name == name);
    let mut found = Found::default();
    let mut in_the_way = Vec::new();
    for target in plan.targets() {
        let stream = there.streams.iter().find(|stream| stream.indices.iter().any(|index| index == target));
        let what = match stream {
            Some(stream) => Some(format!("is an index of the data stream {}", stream.name)),
            None if aliases.contains(target) => Some("is an alias".into()),
            None => None,
        };
        if let Some(what) = what {
            return Err(Error::InvalidParameter(format!(
                "{target} {what}, so there can be no index of that name; remove that first, or restore elsewhere with rename"
            )));
        }
        // Where streams have aliases, they are among the indices.
        if is_stream(target) {
            found.streams.insert(target.into());
            in_the_way.push(target);
        } else if there.indices.contains_key(target) {
            found.indices.insert(target.into());
            in_the_way.push(target);
        }
    }
    Ok((found, in_the_way))
}

/// Aliases are made at the end, all at once: one that cannot be made would leave them all unmade.
fn check_aliases(plan: &Plan, parameters: &Restore, there: &There, found: &Found) -> Result<()> {
    let refuse = |text: String| {
        Err(Error::InvalidParameter(format!(
            "{text}; set aliases to false, or rename the alias or exclude what has it"
        )))
    };
    let targets: BTreeSet<&str> = plan.targets().collect();
    let is_stream = |name: &str| there.streams.iter().any(|stream| stream.name == name);
    let stays = |name: &&String| !found.replaces(name);
    // By alias, who is written to, and whether that is a data stream: here and in the dump.
    let mut writers: BTreeMap<&str, &str> = BTreeMap::new();
    let mut kinds: BTreeMap<&str, bool> = BTreeMap::new();
    for (name, index) in there.indices.iter().filter(|(name, _)| stays(name)) {
        for (alias, definition) in &index.aliases {
            kinds.insert(alias, is_stream(name));
            if definition.is_write_index {
                writers.insert(alias, name);
            }
        }
    }
    for stream in there.streams.iter().filter(|stream| stays(&&stream.name)) {
        kinds.extend(stream.aliases.keys().map(|alias| (alias.as_str(), true)));
    }
    let indices = plan.indices.iter().map(|index| (&index.target, &index.aliases, false));
    let streams = plan.streams.iter().map(|stream| (&stream.target, &stream.aliases, true));
    let all: Vec<(String, &str, &Definition, bool)> = indices
        .chain(streams)
        .flat_map(|(target, aliases, is_stream)| {
            let named = move |(alias, definition)| (alias, target.as_str(), definition, is_stream);
            aliases.iter().map(named)
        })
        .map(|(alias, target, definition, is_stream)| {
            (parameters.rename.of(alias).into_owned(), target, definition, is_stream)
        })
        .collect();
    for (alias, target, definition, of_stream) in &all {
        names::check_alias(alias)?;
        let is_taken = there.indices.contains_key(alias) || is_stream(alias);
        if targets.contains(alias.as_str()) || is_taken && !found.replaces(alias) {
            return refuse(format!("the dump has an alias {alias}, and there is an index of that name"));
        }
        if kinds.insert(alias, *of_stream).is_some_and(|other| other != *of_stream) {
            return refuse(format!("the alias {alias} would be one of data streams and of indices"));
        }
        let Alias { is_write_index } = serde_json::from_str(definition.text())?;
        if is_write_index && let Some(other) = writers.insert(alias, target) {
            return refuse(format!("the alias {alias} would be written to {target} and to {other}"));
        }
    }
    Ok(())
}

/// A cluster takes so many shards and no more. Who may not see how many it has finds that out when indices are made.
async fn check_shards(client: &Client, plan: &Plan, found: &Found) -> Result<()> {
    // It says how many, and takes more.
    if client.version().has_types() {
        return Ok(());
    }
    let path = "/_cluster/settings?include_defaults=true&flat_settings=true";
    let (settings, health) = match (client.get::<Value>(path).await, client.get::<Value>("/_cluster/health").await) {
        (Ok(settings), Ok(health)) => (settings, health),
        (Err(Error::Denied(_)), _) | (_, Err(Error::Denied(_))) => return Ok(()),
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    let limit = ["transient", "persistent", "defaults"]
        .iter()
        .find_map(|kind| settings.get(kind)?.get("cluster.max_shards_per_node")?.as_str()?.parse::<u64>().ok());
    let number = |name: &str| health.get(name).and_then(Value::as_u64);
    let (Some(limit), Some(nodes), Some(active)) = (limit, number("number_of_data_nodes"), number("active_shards"))
    else {
        return Ok(());
    };
    let there = active + number("unassigned_shards").unwrap_or_default();
    let streams = plan.streams.iter().flat_map(|stream| stream.indices.iter().filter_map(|index| index.made.as_ref()));
    let wanted: u64 = plan.indices.iter().chain(streams).map(|index| index.settings.shards()).sum();
    // What is deleted first makes room: how much, the server knows.
    let is_too_much = found.indices.is_empty() && found.streams.is_empty() && there + wanted > limit * nodes;
    if !is_too_much {
        return Ok(());
    }
    Err(Error::InvalidParameter(format!(
        "the dump's indices have {wanted} shards with their replicas, the cluster has {there}, and takes {} of them; restore some \
         with include, or raise cluster.max_shards_per_node",
        limit * nodes
    )))
}

/// Documents alone go into what is there, and has none.
async fn check_empty(client: &Client, plan: &Plan, there: &[&str]) -> Result<()> {
    for target in plan.targets() {
        if !there.contains(&target) {
            return Err(Error::InvalidParameter(format!(
                "{target} is not there, and the dump has documents alone; restore a dump of its schema first"
            )));
        }
        check_pipelines(client, target).await?;
        if target::count(client, target).await? > 0 {
            return Err(Error::InvalidParameter(format!(
                "{target} is not empty, and the dump has documents alone; empty it first, or restore elsewhere with rename"
            )));
        }
    }
    Ok(())
}

/// A default pipeline is kept from documents by each request, a final one cannot be.
async fn check_pipelines(client: &Client, target: &str) -> Result<()> {
    let path = format!("/{}/_settings?flat_settings=true", segment(target));
    let found: BTreeMap<String, Value> = client.get(&path).await?;
    let has_final =
        |index: &Value| index.pointer("/settings/index.final_pipeline").is_some_and(|name| *name != "_none");
    if found.values().any(has_final) {
        return Err(Error::InvalidParameter(format!(
            "{target} has a final pipeline, which would change documents that have been through it; remove the setting index.final_pipeline for as long as this takes"
        )));
    }
    Ok(())
}

/// Deletes what was in the way.
pub async fn clear(client: &Client, found: &Found, unfinished: &Unfinished) -> Result<()> {
    for stream in &found.streams {
        let failed = || format!("unable to delete the data stream {stream}");
        target::delete(client, &format!("/_data_stream/{}", segment(stream))).await.context(failed)?;
        unfinished.removed(stream);
    }
    for index in &found.indices {
        let failed = || format!("unable to delete {index}");
        target::delete(client, &format!("/{}", segment(index))).await.context(failed)?;
        unfinished.removed(index);
    }
    Ok(())
}
