//! Indices and data streams on the server: made ready for documents, and made what they were in the dump.

use super::load::Loader;
use super::once;
use super::parameters::Restore;
use super::plan::{Plan, Planned};
use super::settings::Settings;
use super::standing::Found;
use super::streams;
use super::unfinished::Unfinished;
use crate::client::{Body, Client, Refusal, what};
use crate::layout::Definition;
use coffer_addon::http::segment;
use coffer_addon::{Context as _, Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Deletes what was in the way.
pub async fn clear(client: &Client, found: &Found, unfinished: &Unfinished) -> Result<()> {
    for stream in &found.streams {
        let failed = || format!("unable to delete the data stream {stream}");
        delete(client, &format!("/_data_stream/{}", segment(stream))).await.context(failed)?;
        unfinished.removed(stream);
    }
    for index in &found.indices {
        let failed = || format!("unable to delete {index}");
        delete(client, &format!("/{}", segment(index))).await.context(failed)?;
        unfinished.removed(index);
    }
    Ok(())
}

/// What an index is made by: quick to fill.
pub fn definition(index: &Planned) -> Result<Body> {
    #[derive(Serialize)]
    struct Make<'a> {
        settings: Map<String, Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        mappings: Option<&'a Definition>,
    }
    Body::json(&Make { settings: index.settings.to_make(), mappings: index.mappings.as_ref() })
}

/// What is gone meanwhile, by an answer that it had no time, or by others, need not be deleted.
pub async fn delete(client: &Client, path: &str) -> Result<()> {
    match client.ask("DELETE", path, &Body::None).await? {
        Err(refusal) if refusal.status != 404 => Err(refusal.error(&what("DELETE", path))),
        _ => Ok(()),
    }
}

/// Makes an index that is quick to fill.
pub async fn make(client: &Client, index: &Planned, origin: &str, unfinished: &Unfinished) -> Result<()> {
    #[derive(Deserialize)]
    struct Made {
        #[serde(default = "yes")]
        shards_acknowledged: bool,
    }
    fn yes() -> bool {
        true
    }
    let body = definition(index)?;
    let body = match &body {
        Body::Json(bytes) => Some(bytes.as_slice()),
        _ => None,
    };
    let failed =
        || format!("unable to make {}; what this server does not know can be left out with omitSettings", index.target);
    // An answer that gets lost may be a good one.
    unfinished.index(index);
    let path = format!("/{}", segment(&index.target));
    // It was not there when all was looked at.
    let is_made = async |refusal: &Refusal| Ok(once::is_there(refusal));
    match once::ask(client, "PUT", &path, body, is_made).await.context(failed)? {
        Ok(None) => wait_for_shards(client, &index.target).await,
        Ok(Some(mut answer)) => {
            let Made { shards_acknowledged } = answer.json(1 << 20).await?;
            if shards_acknowledged { Ok(()) } else { wait_for_shards(client, &index.target).await }
        }
        Err(refusal) => {
            unfinished.refused(&index.target);
            let error = refusal.error(&what("PUT", &path)).context(failed());
            Err(of(origin, error))
        }
    }
}

/// What a server does not know, the dump's did: says which that was, where it is known.
pub fn of(origin: &str, error: Error) -> Error {
    if origin.is_empty() { error } else { error.with(format!("the dump is of {origin}")) }
}

/// The server has waited half a minute for a node to take them.
async fn wait_for_shards(client: &Client, target: &str) -> Result<()> {
    let path = format!("/_cluster/health/{}?wait_for_status=yellow&timeout=30s", segment(target));
    let is_late = match client.ask("GET", &path, &Body::None).await? {
        // Elasticsearch 8 and later say no more than that.
        Ok(mut answer) => answer.json::<Value>(1 << 20).await?.get("timed_out") == Some(&Value::Bool(true)),
        Err(refusal) if refusal.status == 408 => true,
        // Who may not see its health may still fill it.
        Err(refusal) if refusal.status == 403 => false,
        Err(refusal) => return Err(refusal.error(&what("GET", &path))),
    };
    match is_late {
        false => Ok(()),
        // Its documents would be waited for as long as there is patience.
        true => Err(Error::Failed(format!(
            "{target} is made, and no node takes its shards: is there one for its index.routing.allocation settings? They can be \
             left out with omitSettings"
        ))),
    }
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
            // Documents that were refused say more.
            loader.problems.check()?;
            return Err(Error::Failed(format!(
                "{target} has {count} documents after {indexed} were indexed: the dump has a document twice, or something else writes there"
            )));
        }
    }
    Ok(())
}

/// Settings, aliases, closed, lifecycles, blocks: what indices were in the dump.
pub async fn finish(client: &Client, plan: &Plan, parameters: &Restore) -> Result<()> {
    for index in &plan.indices {
        set(client, &index.target, &index.settings.to_use()).await?;
    }
    for stream in &plan.streams {
        streams::set(client, stream, Settings::to_use).await?;
    }
    if parameters.aliases {
        aliases(client, plan, parameters).await?;
    }
    for index in &plan.indices {
        if index.is_closed {
            let failed = || format!("unable to close {}", index.target);
            let path = format!("/{}/_close", segment(&index.target));
            client.send("POST", &path, &Body::None).await.context(failed)?;
        }
        set(client, &index.target, &index.settings.to_finish()).await?;
        manage(client, &index.target, index).await?;
    }
    for stream in &plan.streams {
        streams::put(client, stream, &stream.behind).await?;
        streams::set(client, stream, Settings::to_finish).await?;
        streams::manage(client, stream).await?;
    }
    Ok(())
}

/// What `_plugins/_ism/add` answers with 200, whatever has come of it.
#[derive(Deserialize)]
struct Managed {
    #[serde(default)]
    failed_indices: Vec<Unmanaged>,
}

#[derive(Deserialize)]
struct Unmanaged {
    #[serde(default)]
    reason: String,
}

/// Lets the dump's policy of ISM manage an index. One that does so already, by a policy's `ism_template`, stays.
pub async fn manage(client: &Client, target: &str, index: &Planned) -> Result<()> {
    let Some(policy) = &index.ism_policy else { return Ok(()) };
    let failed = || format!("unable to let the policy {policy} manage {target}");
    let path = format!("/_plugins/_ism/add/{}", segment(target));
    let managed: Managed = client.post(&path, &json!({ "policy_id": policy })).await.context(failed)?;
    match managed.failed_indices.first() {
        Some(Unmanaged { reason }) if reason.contains("already has a policy") => {
            coffer_addon::info!("{target} has a policy of ISM already, by its name; in the dump it was {policy}");
            Ok(())
        }
        Some(Unmanaged { reason }) => Err(Error::Failed(format!("{}: {reason}", failed()))),
        None => Ok(()),
    }
}

/// Changes settings of an index, where there are any to change.
pub async fn set(client: &Client, target: &str, settings: &Map<String, Value>) -> Result<()> {
    if settings.is_empty() {
        return Ok(());
    }
    let failed = || {
        format!(
            "unable to change the settings of {target}; one that this server does not know can be left out with omitSettings"
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
