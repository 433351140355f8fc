//! Which of a cluster's indices are dumped.

use super::Found;
use crate::layout::DataStream;
use crate::parameters::Dump;
use coffer_addon::parameters::Patterns;
use coffer_addon::{Error, Result, omitted};
use std::collections::BTreeSet;

/// What is dumped of what there is; fails for names that there are not.
pub fn select(parameters: &Dump, found: Vec<Found>, streams: Vec<DataStream>) -> Result<(Vec<Found>, Vec<DataStream>)> {
    let backing: BTreeSet<String> = streams.iter().flat_map(|stream| stream.indices.iter().cloned()).collect();
    let own = found.iter().filter(|found| !backing.contains(found.name()));
    let names: Vec<&str> = own.map(Found::name).chain(streams.iter().map(|stream| stream.name.as_str())).collect();
    for name in &parameters.indices {
        if !names.contains(&name.as_str()) {
            return Err(Error::InvalidParameter(format!("indices: there is no index and no data stream {name}")));
        }
    }
    for (parameter, patterns) in [("include", &parameters.include), ("exclude", &parameters.exclude)] {
        let unmatched = patterns.without_match(&names);
        if !unmatched.is_empty() {
            let unmatched = omitted::line(unmatched);
            return Err(Error::InvalidParameter(format!("{parameter}: nothing is named like {unmatched}")));
        }
    }
    let is_named = |name: &str| parameters.indices.iter().any(|named| named == name);
    let wanted = |name: &str, hidden: bool| {
        let by_name = if parameters.indices.is_empty() { !hidden || parameters.hidden } else { is_named(name) };
        by_name && Patterns::select(&parameters.include, &parameters.exclude, name)
    };
    let is_hidden = |stream: &DataStream| stream.hidden || stream.name.starts_with('.');
    let streams: Vec<DataStream> =
        streams.into_iter().filter(|stream| wanted(&stream.name, is_hidden(stream))).collect();
    let selected: BTreeSet<&String> = streams.iter().flat_map(|stream| &stream.indices).collect();
    let is_wanted = |found: &Found| match backing.contains(found.name()) {
        true => selected.contains(&found.definition.name),
        false => wanted(found.name(), found.hidden),
    };
    let found: Vec<Found> = found.into_iter().filter(is_wanted).collect();
    for name in parameters.query.keys() {
        if !found.iter().any(|found| found.name() == name) {
            return Err(Error::InvalidParameter(format!("query: no index {name} is dumped")));
        }
    }
    Ok((found, streams))
}
