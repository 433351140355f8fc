//! Data streams. A server makes a stream's indices itself, one after the other, by a template: each is begun when the one before
//! it is filled, and given what it had in the dump as far as that can be changed.

use super::once;
use super::plan::{Backing, Plan, Stream};
use super::settings::{self, Settings};
use super::target;
use super::unfinished::Unfinished;
use crate::catalog;
use crate::client::{Body, Client, Refusal, what};
use crate::layout::{Definition, Definitions};
use coffer_addon::http::segment;
use coffer_addon::parameters::Patterns;
use coffer_addon::{Context as _, Error, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Of a mapping, what the server puts there itself.
const OWN: &str = "_data_stream_timestamp";

const LIFECYCLE: &str = "index.lifecycle.name";

/// An index template, as far as streams need one.
#[derive(Deserialize)]
struct Template {
    #[serde(default)]
    index_patterns: Patterns,
    data_stream: Option<IgnoredAny>,
}

/// Whether the server can make the dump's data streams: it knows them, and there is a template for each, or one among
/// `templates`, which are put first.
pub async fn check_known(client: &Client, plan: &Plan, templates: &Definitions) -> Result<()> {
    #[derive(Deserialize)]
    struct Listed {
        index_templates: Vec<Named>,
    }
    #[derive(Deserialize)]
    struct Named {
        index_template: Template,
    }
    if plan.streams.is_empty() {
        return Ok(());
    }
    let version = client.version();
    let of_another = |stream: &&Stream| !(stream.before.is_empty() && stream.behind.is_empty());
    if catalog::optional::<Value>(client, "/_data_stream").await?.is_none() {
        return Err(Error::Unsupported(format!(
            "the dump has data streams, which this {} {} does not know; leave them out with exclude",
            version.flavour.name(),
            version.text
        )));
    }
    if let Some(stream) = plan.streams.iter().find(of_another).filter(|_| !version.is_elasticsearch()) {
        return Err(Error::Unsupported(format!(
            "the data stream {} has a lifecycle, options, settings or mappings of its own, which {} does not know; set templates \
             to false to leave them out",
            stream.target,
            version.flavour.name()
        )));
    }
    let listed: Listed = client.get("/_index_template").await?;
    let mut all: Vec<Template> = listed.index_templates.into_iter().map(|named| named.index_template).collect();
    for template in templates.values() {
        all.push(serde_json::from_str(template.text())?);
    }
    let has_one = |stream: &&Stream| {
        all.iter().any(|template| template.data_stream.is_some() && template.index_patterns.matches(&stream.target))
    };
    match plan.streams.iter().find(|stream| !has_one(stream)) {
        None => Ok(()),
        Some(stream) => Err(Error::InvalidParameter(format!(
            "there is no index template for a data stream {}, neither in the dump nor on the server: put one first, or choose \
             another rename",
            stream.target
        ))),
    }
}

/// Makes a stream with its first index.
pub async fn make(client: &Client, stream: &Stream, unfinished: &Unfinished) -> Result<()> {
    let failed = || {
        format!("unable to make the data stream {}, for whose name there has to be an index template", stream.target)
    };
    let path = format!("/_data_stream/{}", segment(&stream.target));
    unfinished.stream(stream);
    let is_made = async |refusal: &Refusal| Ok(once::is_there(refusal));
    let made = once::ask(client, "PUT", &path, None, is_made).await.context(failed)?;
    made.map(drop).map_err(|refusal| {
        unfinished.refused(&stream.target);
        refusal.error(&what("PUT", &path)).context(failed())
    })?;
    put(client, stream, &stream.before).await
}

/// What was set on a stream itself.
pub async fn put(client: &Client, stream: &Stream, said: &[(&'static str, Definition)]) -> Result<()> {
    for (what, body) in said {
        let path = format!("/_data_stream/{}/{what}", segment(&stream.target));
        let failed = || {
            format!(
                "the data stream {} cannot have its {}; set templates to false to leave that out",
                stream.target,
                what.trim_start_matches('_')
            )
        };
        client.send("PUT", &path, &Body::Json(body.text().into())).await.map(drop).context(failed)?;
    }
    Ok(())
}

/// Lets documents go to the index at this place: the stream has another one, unless that is its first. It is
/// quick to fill where the stream was made for these documents.
pub async fn begin(client: &Client, stream: &Stream, place: usize, makes: bool) -> Result<()> {
    if place > 0 {
        roll_over(client, stream, makes.then_some(place)).await?;
    }
    if !makes {
        return Ok(());
    }
    let mut there = catalog::backing(client, &stream.target).await?;
    if there.len() > place + 1 {
        // They would get each other's settings, and their documents.
        return Err(Error::Failed(format!(
            "the data stream {} has {} indices, and should have {} by now: something else rolls it over; keep that away from \
             it, and try again with overwrite",
            stream.target,
            there.len(),
            place + 1
        )));
    }
    let Some(index) = there.pop() else {
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

/// Gives a stream one index more than it has, which are so many where that is known.
async fn roll_over(client: &Client, stream: &Stream, there: Option<usize>) -> Result<()> {
    let failed = || format!("unable to give the data stream {} another index", stream.target);
    let there = match there {
        Some(there) => there,
        None => catalog::backing(client, &stream.target).await?.len(),
    };
    let path = format!("/{}/_rollover", segment(&stream.target));
    let is_done = async |_: &Refusal| Ok(catalog::backing(client, &stream.target).await?.len() > there);
    let done = once::ask(client, "POST", &path, None, is_done).await.context(failed)?;
    done.map(drop).map_err(|refusal| refusal.error(&what("POST", &path)).context(failed()))
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
    let there = catalog::backing(client, &stream.target).await?;
    for (index, backing) in there.iter().zip(&stream.indices) {
        if let Some(made) = &backing.made {
            target::set(client, index, &which(&made.settings)).await?;
        }
    }
    Ok(())
}

/// Lets policies of ISM manage a stream's indices.
pub async fn manage(client: &Client, stream: &Stream) -> Result<()> {
    let made: Vec<_> = stream.indices.iter().map(|backing| backing.made.as_ref()).collect();
    if made.iter().flatten().all(|made| made.ism_policy.is_none()) {
        return Ok(());
    }
    let there = catalog::backing(client, &stream.target).await?;
    for (index, made) in there.iter().zip(made) {
        if let Some(made) = made {
            target::manage(client, index, made).await?;
        }
    }
    Ok(())
}
