//! Behind the documents: whether all of them are there, and what indices were in the dump.

use super::load::Loader;
use super::parameters::Restore;
use super::plan::Plan;
use super::settings::Settings;
use super::{streams, target};
use crate::client::{Body, Client};
use coffer_addon::http::segment;
use coffer_addon::{Context as _, Error, Result};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What every target has against what was indexed into it.
pub async fn check_counts(client: &Client, loader: &Loader<'_>, targets: impl Iterator<Item = &str>) -> Result<()> {
    let mut indexed: BTreeMap<&str, u64> = targets.map(|target| (target, 0)).collect();
    let fillings = loader.fillings();
    for filling in &fillings {
        *indexed.entry(&filling.target).or_default() += filling.indexed.get();
    }
    for (target, indexed) in indexed {
        let count = target::count(client, target).await?;
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
        target::set(client, &index.target, &index.settings.to_use()).await?;
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
        target::set(client, &index.target, &index.settings.to_finish()).await?;
        target::manage(client, &index.target, index).await?;
    }
    for stream in &plan.streams {
        streams::put(client, stream, &stream.behind).await?;
        streams::set(client, stream, Settings::to_finish).await?;
        streams::manage(client, stream).await?;
    }
    Ok(())
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
