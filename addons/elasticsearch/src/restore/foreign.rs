//! Files of stock elasticdump and multielasticdump, which have no index: a file for each part of each index, in any order.
//!
//! Files with documents are held, unread, until all others were read: those say how indices are made. As long as that is
//! possible, nothing is written before everything was looked at. What a file has is told by what it says: elasticdump lets its
//! users name files as they like.

use super::batch::Action;
use super::indexed::{self, drain};
use super::load::{Filling, Loader};
use super::parameters::Restore;
use super::parts::Parts;
use super::plan::Plan;
use super::unfinished::Unfinished;
use super::{lines, streams};
use crate::client::Client;
use crate::layout::MAX_INDEX;
use coffer_addon::{Context as _, Error, Inbox, Incoming, Result};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Artifacts that are open at once: the host allows 64.
const HELD: usize = 48;

/// Bytes of a file's first line by which its kind is told, unless the line is shorter.
const BEGINNING: usize = 64 << 10;

pub async fn restore(
    client: &Client,
    inbox: &Inbox,
    parameters: &Restore,
    loader: &Loader<'_>,
    first: Incoming,
    unfinished: &Unfinished,
) -> Result<Plan> {
    coffer_addon::info!("the dump is of elasticdump: nothing says whether what is restored is all of it");
    let mut parts = Parts::default();
    let mut held: Vec<(String, Incoming)> = Vec::new();
    let mut whole: Option<Plan> = None;
    let mut next = Some(first);
    loop {
        let incoming = match next.take() {
            Some(incoming) => Some(incoming),
            None => inbox.next().await,
        };
        let is_end = incoming.is_none();
        if let Some(mut incoming) = incoming {
            match index_of(&mut incoming).await? {
                Some(index) => held.push((index, incoming)),
                None => define(&mut parts, &mut incoming).await?,
            }
        }
        if !is_end && held.len() < HELD {
            continue;
        }
        let (ready, waiting): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|(index, _)| is_end || parts.is_known(index));
        if ready.is_empty() && !is_end {
            return Err(Error::Unsupported(format!(
                "of the first {HELD} files with documents none has its .mapping.json and .settings.json beside it; restore fewer at a time"
            )));
        }
        held = waiting;
        let names: Vec<&str> = ready.iter().map(|(index, _)| index.as_str()).collect();
        let index = parts.take(client, &names, is_end);
        let is_whole = is_end && whole.is_none();
        if is_end && let Some(whole) = &whole {
            let names = index.indices.iter().map(|index| index.name.as_str());
            let mut names = names.chain(index.data_streams.iter().map(|stream| stream.name.as_str()));
            if parameters.is_filtered()
                && whole.targets().next().is_none()
                && !names.any(|name| parameters.selects(name))
            {
                return Err(Error::InvalidParameter(
                    "include, exclude: they leave nothing of the dump to restore".into(),
                ));
            }
        }
        let plan = indexed::prepare(client, parameters, &index, is_whole, unfinished).await?;
        load(client, loader, &plan, ready).await?;
        match &mut whole {
            Some(whole) => whole.extend(plan),
            None => whole = Some(plan),
        }
        if is_end {
            return Ok(whole.unwrap_or_default());
        }
    }
}

/// The index of the first document, of a file that has documents.
async fn index_of(incoming: &mut Incoming) -> Result<Option<String>> {
    let name = incoming.artifact.name.clone();
    let file = name.rsplit('/').next().unwrap_or(&name);
    if file.ends_with(".gz") {
        return Err(Error::Unsupported(format!("{name} is compressed (--fsCompress); unpack it with gunzip first")));
    }
    let Some(stem) = file.strip_suffix(".json") else {
        return Err(Error::Corrupt(format!("{name} is no part of a dump by elasticdump")));
    };
    loop {
        let line = incoming.buffer().trim_ascii_start();
        let end = line.iter().position(|byte| *byte == b'\n');
        if let Some(line) = line.get(..end.unwrap_or(line.len()))
            && (end.is_some() || line.len() >= BEGINNING)
        {
            return Ok(first_index(line, stem));
        }
        if incoming.fill().await? == 0 {
            let rest = incoming.buffer().trim_ascii();
            return Ok(if rest.is_empty() { Some(stem.into()) } else { first_index(rest, stem) });
        }
    }
}

/// From a line, or from how it begins: `_index` comes first in what servers say and elasticdump writes.
fn first_index(line: &[u8], stem: &str) -> Option<String> {
    let is_document = [&b"{\"_index\":"[..], b"{\"_type\":", b"{\"_id\":", b"{\"_source\":"];
    if !is_document.iter().any(|begin| line.starts_with(begin)) {
        return None;
    }
    let told = line.strip_prefix(b"{\"_index\":\"").and_then(|rest| {
        let end = rest.iter().position(|byte| *byte == b'"')?;
        String::from_utf8(rest.get(..end)?.to_vec()).ok()
    });
    Some(told.unwrap_or_else(|| stem.into()))
}

async fn define(parts: &mut Parts, incoming: &mut Incoming) -> Result<()> {
    let name = incoming.artifact.name.clone();
    let bytes = incoming.read_all(MAX_INDEX).await?;
    parts.add(&bytes).context(|| name)
}

async fn load(client: &Client, loader: &Loader<'_>, plan: &Plan, files: Vec<(String, Incoming)>) -> Result<()> {
    let mut places: BTreeMap<&str, (&str, Action)> = BTreeMap::new();
    let has_type = client.version().has_types();
    for index in &plan.indices {
        // Where versions are there at all, whoever made the dump wanted them.
        places.insert(&index.name, (&index.target, Action { has_type, keeps_versions: true, is_create: false }));
    }
    for stream in &plan.streams {
        // All documents of a stream are in one file: to the index that is written to.
        for place in 0..stream.indices.len() {
            streams::begin(client, stream, place, true).await?;
        }
        for index in &stream.indices {
            places.insert(&index.name, (&stream.target, Action { is_create: true, ..Action::default() }));
        }
    }
    for (first, mut incoming) in files {
        if plan.left_out.contains_key(&first) {
            drain(&mut incoming).await?;
            continue;
        }
        let file = incoming.artifact.name.clone();
        let mut open: BTreeMap<String, Rc<Filling>> = BTreeMap::new();
        let fill = |line: &lines::Line<'_>| {
            let index = line.index.as_deref().unwrap_or(&first);
            if let Some(filling) = open.get(index) {
                return Ok(filling.clone());
            }
            let Some((target, action)) = places.get(index) else {
                return Err(Error::Corrupt(format!(
                    "{file} has documents of {index} behind those of {first}, and no .mapping.json says how {index} is made"
                )));
            };
            let filling = loader.fill(target, &file, action.clone());
            open.insert(index.into(), filling.clone());
            Ok(filling)
        };
        loader.file(&mut incoming, fill).await?;
    }
    loader.idle().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_by_its_first_line() {
        let of = |line: &str| first_index(line.as_bytes(), "stem");
        assert_eq!(of(r#"{"_index":"a","_id":"1","_source":{}}"#), Some("a".into()));
        assert_eq!(of(r#"{"_id":"1","_source":{}}"#), Some("stem".into()));
        assert_eq!(of(r#"{"_index":"a","_id":"1","_sou"#), Some("a".into()));
        for definition in [r#"{"a":{"mappings":{}}}"#, r#""{\"a\":{}}""#, "{}"] {
            assert_eq!(of(definition), None, "{definition}");
        }
    }
}
