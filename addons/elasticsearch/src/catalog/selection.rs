//! Which of a cluster's indices are dumped.

use super::Found;
use crate::layout::DataStream;
use crate::parameters::Dump;
use coffer_addon::{Error, Result, omitted};
use std::collections::BTreeSet;

/// What is dumped.
#[derive(Debug)]
pub struct Selected {
    pub found: Vec<Found>,
    pub streams: Vec<DataStream>,
    /// What would be, were it not hidden. Without names that begin with a dot, which are not users' own.
    pub hidden: Vec<String>,
}

/// Of what there is; fails for names that there are not.
pub fn select(parameters: &Dump, found: Vec<Found>, streams: Vec<DataStream>) -> Result<Selected> {
    let backing: BTreeSet<String> = streams.iter().flat_map(|stream| stream.indices.iter().cloned()).collect();
    let own = found.iter().filter(|found| !backing.contains(found.name()));
    let names: Vec<&str> = own.map(Found::name).chain(streams.iter().map(|stream| stream.name.as_str())).collect();
    for name in &parameters.indices {
        if !names.contains(&name.as_str()) {
            return Err(Error::InvalidParameter(format!("indices: there is no index and no data stream {name}")));
        }
    }
    let unmatched = parameters.include.without_match(&names);
    if !unmatched.is_empty() {
        let unmatched = omitted::line(unmatched);
        return Err(Error::InvalidParameter(format!("include: nothing is named like {unmatched}")));
    }
    let has_excluded = !parameters.exclude.is_empty() && !names.is_empty();
    let unmatched = parameters.exclude.without_match(&names);
    if !unmatched.is_empty() {
        coffer_addon::warn!("exclude: nothing is named like {}", omitted::line(unmatched));
    }
    let mut left_out = Vec::new();
    let mut wanted = |name: &str, hidden: bool| {
        let is_wanted = parameters.asks_for(name, hidden);
        if !is_wanted && parameters.asks_for(name, false) && !name.starts_with('.') {
            left_out.push(name.to_owned());
        }
        is_wanted
    };
    check_included(parameters, &found, &streams, &backing)?;
    let streams: Vec<DataStream> =
        streams.into_iter().filter(|stream| wanted(&stream.name, is_hidden(stream))).collect();
    let selected: BTreeSet<&String> = streams.iter().flat_map(|stream| &stream.indices).collect();
    let mut is_wanted = |found: &Found| match backing.contains(found.name()) {
        true => selected.contains(&found.definition.name),
        false => wanted(found.name(), found.hidden),
    };
    let found: Vec<Found> = found.into_iter().filter(|found| is_wanted(found)).collect();
    if has_excluded && found.is_empty() && streams.is_empty() {
        return Err(Error::InvalidParameter(match left_out.is_empty() {
            true => "exclude: it leaves nothing to dump".into(),
            false => format!(
                "exclude: it leaves nothing to dump but what is hidden: {}; set hidden to dump that",
                omitted::line(&left_out)
            ),
        }));
    }
    for name in parameters.query.keys() {
        let is_there = found.iter().any(|found| found.name() == name);
        if !is_there && !streams.iter().any(|stream| stream.name == *name) {
            return Err(Error::InvalidParameter(format!("query: no index and no data stream {name} is dumped")));
        }
    }
    Ok(Selected { found, streams, hidden: left_out })
}

fn is_hidden(stream: &DataStream) -> bool {
    stream.hidden || stream.name.starts_with('.')
}

/// Whoever includes what is hidden means to have it: without `hidden` it would not be in the dump, and nothing would say so.
fn check_included(
    parameters: &Dump,
    found: &[Found],
    streams: &[DataStream],
    backing: &BTreeSet<String>,
) -> Result<()> {
    let own = found.iter().filter(|found| !backing.contains(found.name()));
    let own = own.map(|found| (found.name(), found.hidden));
    let all = own.chain(streams.iter().map(|stream| (stream.name.as_str(), is_hidden(stream))));
    let all: Vec<(&str, bool)> = all.filter(|(name, _)| parameters.include.matches(name)).collect();
    let is_seen = |(name, hidden): &&(&str, bool)| parameters.shows(name, *hidden);
    let seen: Vec<&str> = all.iter().filter(is_seen).map(|(name, _)| *name).collect();
    let unseen = parameters.include.without_match(&seen);
    if unseen.is_empty() {
        return Ok(());
    }
    let matched: Vec<&str> = all.iter().map(|(name, _)| *name).filter(|name| !seen.contains(name)).collect();
    Err(Error::InvalidParameter(format!(
        "include: all that is named like {} is hidden: {}; set hidden to dump that",
        omitted::line(&unseen),
        omitted::line(&matched)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::IndexDefinition;

    fn index(name: &str, hidden: bool) -> Found {
        let definition = IndexDefinition { name: name.into(), ..IndexDefinition::default() };
        Found { definition, hidden: hidden || name.starts_with('.'), shards: 1, bytes: 0, documents: 0 }
    }

    fn names(parameters: &str) -> Result<(Vec<String>, Vec<String>)> {
        let found = [
            index(".ds-logs-1", true),
            index(".kibana", true),
            index("a", false),
            index("ab", false),
            index("h", true),
        ];
        let stream = DataStream { name: "logs".into(), indices: vec![".ds-logs-1".into()], ..DataStream::default() };
        let parameters: Dump = serde_json::from_str(parameters).expect("parameters");
        let selected = select(&parameters, found.into(), vec![stream])?;
        Ok((selected.found.iter().map(|found| found.name().to_owned()).collect(), selected.hidden))
    }

    #[test]
    fn a_stream_brings_its_indices_and_hidden_ones_are_told() {
        let these = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        assert_eq!(names("{}"), Ok((these(&[".ds-logs-1", "a", "ab"]), these(&["h"]))));
        let all = these(&[".ds-logs-1", ".kibana", "a", "ab", "h"]);
        assert_eq!(names(r#"{"hidden": true}"#), Ok((all, these(&[]))));
        assert_eq!(names(r#"{"indices": ["h", "logs"]}"#), Ok((these(&[".ds-logs-1", "h"]), these(&[]))));
        assert_eq!(names(r#"{"include": ["a*"], "exclude": ["ab", "x"]}"#), Ok((these(&["a"]), these(&[]))));
        assert_eq!(names(r#"{"include": [".kibana*"], "hidden": true}"#), Ok((these(&[".kibana"]), these(&[]))));
        assert_eq!(
            names(r#"{"query": {"logs": "{}"}, "exclude": ["a*"]}"#),
            Ok((these(&[".ds-logs-1"]), these(&["h"])))
        );
        for (wrong, says) in [
            (r#"{"indices": ["x"]}"#, "no data stream x"),
            (r#"{"include": ["x*"]}"#, "x*"),
            (r#"{"exclude": ["*"]}"#, "exclude: it leaves nothing"),
            (r#"{"indices": ["a"], "exclude": ["a"]}"#, "exclude: it leaves nothing"),
            (r#"{"include": [".kibana*"]}"#, "like .kibana* is hidden: .kibana; set hidden"),
            (r#"{"include": ["a*", "h"]}"#, "like h is hidden: h; set hidden"),
            (r#"{"exclude": ["a*", "logs"]}"#, "but what is hidden: h; set hidden"),
            (r#"{"query": {"x": "{}"}}"#, "x is dumped"),
        ] {
            assert!(matches!(names(wrong), Err(Error::InvalidParameter(text)) if text.contains(says)), "{wrong}");
        }
    }
}
