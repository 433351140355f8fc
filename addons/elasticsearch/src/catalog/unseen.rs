//! What is there that the server does not show the user. Asked for all, it gives what the user may see, and says nothing of the
//! rest: a dump of that would be taken for one of everything.

use super::Found;
use crate::client::{Client, what};
use crate::layout::DataStream;
use crate::parameters::Dump;
use coffer_addon::{Error, Result, omitted};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The cluster's state is the same for all who may see it.
const STATE: &str = "/_cluster/state/metadata?filter_path=metadata.indices.*.state,metadata.indices.*.system,\
    metadata.indices.*.settings.index.hidden,metadata.data_stream.data_stream.*.name,\
    metadata.data_stream.data_stream.*.hidden,metadata.data_stream.data_stream.*.system,\
    metadata.data_stream.data_stream.*.indices.index_name";

#[derive(Default, Deserialize)]
struct State {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    indices: BTreeMap<String, Index>,
    #[serde(default)]
    data_stream: Streams,
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    system: bool,
    #[serde(default)]
    settings: Value,
}

#[derive(Default, Deserialize)]
struct Streams {
    #[serde(default)]
    data_stream: BTreeMap<String, Stream>,
}

#[derive(Deserialize)]
struct Stream {
    #[serde(default)]
    hidden: bool,
    #[serde(default)]
    system: bool,
    #[serde(default)]
    indices: Vec<Backing>,
}

#[derive(Deserialize)]
struct Backing {
    index_name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct There {
    is_hidden: bool,
    /// A plugin's or the server's own: it may be for nobody to see.
    is_own: bool,
}

/// Indices that are no data stream's, and data streams, by name.
#[derive(Debug)]
pub struct All(BTreeMap<String, There>);

impl All {
    /// None: the user may not see it. To be read before what it is compared with.
    pub async fn read(client: &Client) -> Result<Option<All>> {
        match client.try_get::<State>(STATE).await? {
            Ok(State { metadata }) => Ok(Some(All::of(metadata, !client.version().is_elasticsearch()))),
            Err(refusal) if refusal.status == 403 => Ok(None),
            Err(refusal) => Err(refusal.error(&what("GET", STATE))),
        }
    }

    /// `hides_dotted`: OpenSearch's plugins keep theirs from everybody and mark them by a dot alone.
    fn of(metadata: Metadata, hides_dotted: bool) -> All {
        let Metadata { indices, data_stream: Streams { data_stream: streams } } = metadata;
        let backing: BTreeSet<&String> =
            streams.values().flat_map(|stream| stream.indices.iter().map(|index| &index.index_name)).collect();
        let there = |name: &String, is_hidden: bool, is_own: bool| {
            let is_dotted = name.starts_with('.');
            let there = There { is_hidden: is_hidden || is_dotted, is_own: is_own || hides_dotted && is_dotted };
            (name.clone(), there)
        };
        let own = indices.iter().filter(|(name, _)| !backing.contains(name)).map(|(name, index)| {
            let is_hidden = match index.settings.pointer("/index/hidden") {
                Some(Value::Bool(is_hidden)) => *is_hidden,
                hidden => hidden.and_then(Value::as_str) == Some("true"),
            };
            there(name, is_hidden, index.system)
        });
        let streams = streams.iter().map(|(name, stream)| there(name, stream.hidden, stream.system));
        All(own.chain(streams).collect())
    }

    /// Of what these parameters ask for, that which was not found.
    fn unseen(&self, parameters: &Dump, found: &[Found], streams: &[DataStream]) -> BTreeMap<String, There> {
        let seen: BTreeSet<&str> =
            found.iter().map(Found::name).chain(streams.iter().map(|stream| stream.name.as_str())).collect();
        let is_unseen = |name: &str, there: &There| !seen.contains(name) && parameters.asks_for(name, there.is_hidden);
        let unseen = self.0.iter().filter(|(name, there)| is_unseen(name, there));
        unseen.map(|(name, there)| (name.clone(), *there)).collect()
    }
}

/// Fails for users' indices and data streams that the user is not shown; gives the names of those that are the server's own.
/// `before` was read before `found` and `streams`.
pub async fn check(
    client: &Client,
    parameters: &Dump,
    before: &All,
    found: &[Found],
    streams: &[DataStream],
) -> Result<Vec<String>> {
    let mut unseen = before.unseen(parameters, found, streams);
    if !unseen.is_empty()
        && let Some(after) = All::read(client).await?
    {
        // What was deleted in between is hidden by nobody.
        unseen.retain(|name, _| after.0.contains_key(name));
    }
    let (own, users): (Vec<_>, Vec<_>) = unseen.into_iter().partition(|(_, there)| there.is_own);
    let names = |all: Vec<(String, There)>| all.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let (own, users) = (names(own), names(users));
    if users.is_empty() {
        return Ok(own);
    }
    Err(Error::Denied(format!(
        "the server does not show the user all that there is: {} would not be in the dump; give the user `monitor`, `read` and \
         `view_index_metadata` on them, or leave them out with exclude",
        omitted::line(&users)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::IndexDefinition;
    use serde_json::json;

    #[test]
    fn what_is_asked_for_and_not_shown_is_found() {
        let state = json!({ "metadata": {
            "indices": {
                "a": { "state": "open", "system": false }, "b": { "state": "close" },
                "h": { "settings": { "index": { "hidden": "true" } } }, ".kibana_1": { "system": true }, ".own": {},
                ".ds-logs-1": { "settings": { "index": { "hidden": "true" } } } },
            "data_stream": { "data_stream": { "logs": { "name": "logs", "indices": [{ "index_name": ".ds-logs-1" }] } } } } });
        let of = |hides_dotted: bool, parameters: &str, seen: &str| {
            let State { metadata } = serde_json::from_value(state.clone()).expect("a state");
            let definition = IndexDefinition { name: seen.into(), ..IndexDefinition::default() };
            let found = Found { definition, hidden: false, shards: 1, bytes: 0, documents: 0 };
            let parameters: Dump = serde_json::from_str(parameters).expect("parameters");
            let unseen = All::of(metadata, hides_dotted).unseen(&parameters, &[found], &[]);
            let told = unseen.iter().map(|(name, there)| format!("{name}{}", if there.is_own { "!" } else { "" }));
            told.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(false, "{}", "a"), "b logs");
        assert_eq!(of(false, r#"{"hidden": true}"#, "a"), ".kibana_1! .own b h logs");
        assert_eq!(of(true, r#"{"hidden": true}"#, "a"), ".kibana_1! .own! b h logs");
        assert_eq!(of(false, r#"{"include": ["b*", "a"]}"#, "a"), "b");
        assert_eq!(of(false, r#"{"exclude": ["b", "logs"]}"#, "a"), "");
        // Each of them was found.
        assert_eq!(of(false, r#"{"indices": ["a"]}"#, "a"), "");
    }
}
