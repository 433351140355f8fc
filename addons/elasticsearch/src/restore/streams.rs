//! Data streams. A server makes a stream's indices itself, one after the other, by a template: each is begun when the one before
//! it is filled, and given what it had in the dump as far as that can be changed.

use super::plan::{Backing, Plan, Stream};
use super::settings::{self, Settings};
use super::target;
use super::unfinished::Unfinished;
use crate::catalog;
use crate::client::{Body, Client};
use crate::layout::Definition;
use coffer_addon::http::segment;
use coffer_addon::{Context as _, Error, Result};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Of a mapping, what the server puts there itself.
const OWN: &str = "_data_stream_timestamp";

const LIFECYCLE: &str = "index.lifecycle.name";

/// Whether the server has data streams, where the dump does.
pub async fn check_known(client: &Client, plan: &Plan) -> Result<()> {
    if plan.streams.is_empty() || catalog::optional::<Value>(client, "/_data_stream").await?.is_some() {
        return Ok(());
    }
    let version = client.version();
    Err(Error::Unsupported(format!(
        "the dump has data streams, which this {} {} does not know; leave them out with exclude",
        version.flavour.name(),
        version.text
    )))
}

/// Makes a stream with its first index.
pub async fn make(client: &Client, stream: &Stream, unfinished: &Unfinished) -> Result<()> {
    let failed = || {
        format!("unable to make the data stream {}, for whose name there has to be an index template", stream.target)
    };
    let path = format!("/_data_stream/{}", segment(&stream.target));
    unfinished.stream(stream);
    let made = client.ask("PUT", &path, &Body::None).await.context(failed)?;
    made.map(drop).map_err(|refusal| {
        unfinished.refused(&stream.target);
        refusal.error("it").context(failed())
    })
}

/// Lets documents go to the index at this place: the stream has another one, unless that is its first. It is
/// quick to fill where the stream was made for these documents.
pub async fn begin(client: &Client, stream: &Stream, place: usize, makes: bool) -> Result<()> {
    if place > 0 {
        let failed = || format!("unable to give the data stream {} another index", stream.target);
        let path = format!("/{}/_rollover", segment(&stream.target));
        client.send("POST", &path, &Body::None).await.context(failed)?;
    }
    if !makes {
        return Ok(());
    }
    let Some(index) = indices(client, &stream.target).await?.pop() else {
        return Err(Error::Failed(format!("the data stream {} has no index", stream.target)));
    };
    let mut quick = settings::quick(true);
    // By the template; it is not to end an index that is being filled. What the dump says comes at the end.
    let path = format!("/{}/_settings/{LIFECYCLE}?flat_settings=true", segment(&index));
    let found: BTreeMap<String, Value> = client.get(&path).await?;
    if found.values().any(|index| index.pointer("/settings/index.lifecycle.name").is_some()) {
        quick.insert(LIFECYCLE.into(), Value::Null);
    }
    target::set(client, &index, &quick).await?;
    match stream.indices.get(place) {
        Some(Backing { made: Some(made), .. }) => map(client, &index, made.mappings.as_ref()).await,
        _ => Ok(()),
    }
}

/// Fields as they were, where they came from documents and not from the template.
async fn map(client: &Client, index: &str, mappings: Option<&Definition>) -> Result<()> {
    let Some(mappings) = mappings else { return Ok(()) };
    let mut fields: BTreeMap<String, Definition> = serde_json::from_str(mappings.text())?;
    fields.remove(OWN);
    if fields.is_empty() {
        return Ok(());
    }
    match client.ask("PUT", &format!("/{}/_mapping", segment(index)), &Body::json(&fields)?).await? {
        Ok(_) => Ok(()),
        // Templates may have changed since. Without that no dump of such a stream could be restored.
        Err(refusal) if refusal.status == 400 => {
            coffer_addon::warn!(
                "{index} has its fields by the template, which does not go with the dump's: {}",
                refusal.reason
            );
            Ok(())
        }
        Err(refusal) => Err(refusal.error(&format!("changing the mapping of {index}"))),
    }
}

/// Gives a stream's indices some of their settings, as far as they may change.
pub async fn set(client: &Client, stream: &Stream, which: impl Fn(&Settings) -> Map<String, Value>) -> Result<()> {
    let there = indices(client, &stream.target).await?;
    for (index, backing) in there.iter().zip(&stream.indices) {
        if let Some(made) = &backing.made {
            target::set(client, index, &which(&made.settings)).await?;
        }
    }
    Ok(())
}

/// A stream's indices on the server, oldest first.
pub async fn indices(client: &Client, stream: &str) -> Result<Vec<String>> {
    let streams = catalog::data_streams(client).await?;
    let found = streams.into_iter().find(|found| found.name == stream);
    let gone = || Error::Failed(format!("the data stream {stream} is not there any more"));
    Ok(found.ok_or_else(gone)?.indices)
}
