//! What elasticdump's files say of indices, templates and the like, put together.

use super::settings::flat;
use crate::client::Client;
use crate::layout::{Consistency, DataStream, Definition, Definitions, Index, IndexDefinition, Server, is_own_setting};
use coffer_addon::{Error, Result};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub struct Parts {
    indices: BTreeMap<String, IndexDefinition>,
    has_settings: BTreeSet<String>,
    policies: Definitions,
    component_templates: Definitions,
    index_templates: Definitions,
    legacy_templates: Definitions,
    pipelines: Definitions,
    scripts: Definitions,
    /// The data stream of each index that backs one.
    streams: BTreeMap<String, String>,
    taken: BTreeSet<String>,
}

impl Parts {
    /// All of a file: an object, or its text as a string, which elasticdump writes for most kinds.
    pub fn add(&mut self, bytes: &[u8]) -> Result<()> {
        let wrong = || Error::Corrupt("it has neither documents nor definitions of elasticdump's".into());
        let mut value: Value = serde_json::from_slice(bytes).map_err(|_| wrong())?;
        if let Value::String(text) = &value {
            value = serde_json::from_str(text).map_err(|_| wrong())?;
        }
        let Value::Object(entries) = value else { return Err(wrong()) };
        for (name, value) in entries {
            match (name.as_str(), value) {
                ("component_templates", Value::Array(list)) => {
                    listed(list, "name", "component_template", &mut self.component_templates)?;
                }
                ("index_templates", Value::Array(list)) => {
                    listed(list, "name", "index_template", &mut self.index_templates)?;
                }
                ("stored_scripts", Value::Array(list)) => listed(list, "_id", "script", &mut self.scripts)?,
                ("policies", Value::Array(list)) => {
                    let mut policies = Definitions::new();
                    listed(list, "_id", "policy", &mut policies)?;
                    for (name, policy) in policies {
                        self.policies.insert(name, Definition::new(&json!({ "policy": policy.value()? }))?);
                    }
                }
                ("total_policies", _) => {}
                (_, Value::Object(part)) => self.part(name, part).ok_or_else(wrong)??,
                _ => return Err(wrong()),
            }
        }
        Ok(())
    }

    fn part(&mut self, name: String, mut part: Map<String, Value>) -> Option<Result<()>> {
        let insert = |into: &mut Definitions, value: &Value| -> Result<()> {
            into.insert(name.clone(), Definition::new(value)?);
            Ok(())
        };
        if let Some(policy) = part.get("policy") {
            return Some(insert(&mut self.policies, &json!({ "policy": policy })));
        }
        if part.contains_key("index_patterns") {
            return Some(insert(&mut self.legacy_templates, &Value::Object(part)));
        }
        if part.contains_key("processors") {
            return Some(insert(&mut self.pipelines, &Value::Object(part)));
        }
        // elasticdump adds one of a data stream's name to those of its indices.
        if part.is_empty() {
            return Some(Ok(()));
        }
        if !["mappings", "settings", "aliases"].iter().any(|field| part.contains_key(*field)) {
            return None;
        }
        let index = self.indices.entry(name.clone()).or_insert_with(|| empty(&name));
        if let Some(mappings) = part.get("mappings") {
            if mappings.get("_data_stream_timestamp").is_some() {
                self.streams.entry(name.clone()).or_insert_with(|| stream_name(&name));
            }
            match Definition::new(mappings) {
                Ok(mappings) => index.mappings = Some(mappings),
                Err(error) => return Some(Err(error.into())),
            }
        }
        if let Some(settings) = part.get("settings") {
            let settings = flat(settings);
            index.closed |= settings.contains_key("index.verified_before_close");
            index.settings.extend(settings.into_iter().filter(|(name, _)| !is_own_setting(name)));
            self.has_settings.insert(name.clone());
        }
        if let Some(Value::Object(aliases)) = part.remove("aliases") {
            for (alias, definition) in aliases {
                match Definition::new(&definition) {
                    Ok(definition) => index.aliases.insert(alias, definition),
                    Err(error) => return Some(Err(error.into())),
                };
            }
        }
        if let Some(Value::String(stream)) = part.remove("data_stream") {
            self.streams.insert(name.clone(), stream);
        }
        Some(Ok(()))
    }

    /// Whether all that is needed to make an index was read.
    pub fn is_known(&self, index: &str) -> bool {
        self.has_settings.contains(index) && self.indices.get(index).is_some_and(|index| index.mappings.is_some())
    }

    pub fn stream_of<'a>(&'a self, index: &str) -> Option<&'a str> {
        self.streams.get(index).map(String::as_str)
    }

    /// As an index of ours: those of `names`, or all that were not taken before; the rest with the first.
    pub fn take(&mut self, client: &Client, names: &[&str], is_end: bool) -> Index {
        for name in names {
            if !self.indices.contains_key(*name)
                && self.indices.values().all(|index| self.stream_of(&index.name) != Some(*name))
            {
                coffer_addon::warn!(
                    "nothing in the dump says how {name} is made: its fields are what the server takes them for"
                );
                self.indices.insert((*name).into(), empty(name));
            }
        }
        let wanted = |name: &String| {
            let is_named = |name: &str| {
                names.contains(&name)
                    || self.stream_of(name).is_some_and(|of| names.iter().any(|name| self.stream_of(name) == Some(of)))
            };
            !self.taken.contains(name) && (is_end || is_named(name))
        };
        let indices: Vec<IndexDefinition> =
            self.indices.iter().filter(|(name, _)| wanted(name)).map(|(_, index)| index.clone()).collect();
        let mut data_streams: BTreeMap<String, DataStream> = BTreeMap::new();
        for index in &indices {
            if let Some(stream) = self.stream_of(&index.name) {
                let stream = data_streams.entry(stream.into()).or_insert_with(|| DataStream {
                    name: stream.into(),
                    timestamp_field: "@timestamp".into(),
                    ..DataStream::default()
                });
                stream.indices.push(index.name.clone());
            }
        }
        self.taken.extend(indices.iter().map(|index| index.name.clone()));
        let version = client.version();
        // Nothing says which it was: policies are taken for the server's kind.
        let server = Server {
            flavour: version.flavour.name().into(),
            version: String::new(),
            cluster: String::new(),
            cluster_uuid: String::new(),
        };
        let mut index = Index::new("elasticdump", server, Consistency::Scroll);
        index.indices = indices;
        index.data_streams = data_streams.into_values().collect();
        // Templates would change indices that are made behind them; a data stream cannot be made without.
        if !is_end && index.data_streams.is_empty() {
            return index;
        }
        for (from, to) in [
            (&mut self.policies, &mut index.policies),
            (&mut self.component_templates, &mut index.component_templates),
            (&mut self.index_templates, &mut index.index_templates),
            (&mut self.legacy_templates, &mut index.legacy_templates),
            (&mut self.pipelines, &mut index.pipelines),
            (&mut self.scripts, &mut index.scripts),
        ] {
            to.append(from);
        }
        index
    }
}

fn empty(name: &str) -> IndexDefinition {
    IndexDefinition {
        name: name.into(),
        data_stream: None,
        closed: false,
        settings: BTreeMap::new(),
        mappings: None,
        aliases: Definitions::new(),
        ism_policy: None,
        file: None,
    }
}

/// From the name of an index that backs it: `.ds-<stream>-000001`, with a date in between since Elasticsearch 7.11.
fn stream_name(index: &str) -> String {
    let name = index.strip_prefix(".ds-").unwrap_or(index);
    let name = name.rsplit_once('-').map_or(name, |(name, _)| name);
    match name.rsplit_once('-') {
        Some((stream, date)) if date.len() == 10 && date.split('.').count() == 3 => stream.into(),
        _ => name.into(),
    }
}

fn listed(list: Vec<Value>, name: &str, item: &str, into: &mut Definitions) -> Result<()> {
    for entry in list {
        let (Some(name), Some(item)) = (entry.get(name).and_then(Value::as_str), entry.get(item)) else {
            return Err(Error::Corrupt(format!("it has an entry without {name} or {item}")));
        };
        into.insert(name.into(), Definition::new(item)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_by_what_they_say() {
        let mut parts = Parts::default();
        for file in [
            r#"{"a":{"mappings":{"properties":{}}}}"#,
            r#""{\"a\":{\"settings\":{\"index\":{\"uuid\":\"u\",\"verified_before_close\":\"true\",\"number_of_shards\":\"2\"}}}}""#,
            r#""{\"a\":{\"aliases\":{\"x\":{}}}}""#,
            r#""{\"t\":{\"index_patterns\":[\"a\"]}}""#,
            r#"{"component_templates":[{"name":"c","component_template":{}}]}"#,
            r#"{".ds-e-2026.01.01-000002":{"mappings":{"_data_stream_timestamp":{"enabled":true}}}}"#,
            r#"{"e":{}}"#,
            "{}",
        ] {
            parts.add(file.as_bytes()).expect(file);
        }
        let a = &parts.indices["a"];
        assert!(a.closed && a.aliases.contains_key("x") && parts.is_known("a"));
        assert_eq!(a.settings.keys().collect::<Vec<_>>(), ["index.number_of_shards"]);
        assert!(!parts.indices.contains_key("e"));
        assert_eq!(parts.stream_of(".ds-e-2026.01.01-000002"), Some("e"));
        assert_eq!(stream_name(".ds-a-b-000001"), "a-b");
        assert!(parts.legacy_templates.contains_key("t") && parts.component_templates.contains_key("c"));
        for wrong in ["", "[]", "1", r#""x""#, r#"{"a":1}"#, r#"{"a":{"b":1}}"#] {
            assert!(matches!(parts.add(wrong.as_bytes()), Err(Error::Corrupt(_))), "{wrong}");
        }
    }
}
