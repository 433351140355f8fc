//! An index on the server: made, counted, changed, deleted.

use super::once;
use super::plan::Planned;
use super::unfinished::Unfinished;
use crate::client::{Body, Client, Refusal, what};
use crate::layout::Definition;
use coffer_addon::http::segment;
use coffer_addon::{Context as _, Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

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

/// Whether nodes have taken an index's shards within so many seconds.
pub async fn is_taken(client: &Client, index: &str, seconds: u32) -> Result<bool> {
    let path = format!("/_cluster/health/{}?wait_for_status=yellow&timeout={seconds}s", segment(index));
    match client.ask("GET", &path, &Body::None).await? {
        // Elasticsearch 8 and later say no more than that.
        Ok(mut answer) => Ok(answer.json::<Value>(1 << 20).await?.get("timed_out") != Some(&Value::Bool(true))),
        Err(refusal) if refusal.status == 408 => Ok(false),
        // Who may not see its health may still fill it.
        Err(refusal) if refusal.status == 403 => Ok(true),
        Err(refusal) => Err(refusal.error(&what("GET", &path))),
    }
}

/// The server has waited half a minute for a node to take them.
async fn wait_for_shards(client: &Client, target: &str) -> Result<()> {
    match is_taken(client, target, 30).await? {
        true => Ok(()),
        // Its documents would be waited for as long as there is patience.
        false => Err(Error::Failed(format!(
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

/// [`count`] of one that need not be there.
pub async fn count_if_there(client: &Client, target: &str) -> Result<u64> {
    match client.ask("POST", &format!("/{}/_refresh", segment(target)), &Body::None).await? {
        Err(refusal) if refusal.status == 404 => Ok(0),
        _ => count(client, target).await,
    }
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
