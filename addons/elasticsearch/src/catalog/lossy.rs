//! Indices whose documents cannot be had as they were indexed.

use super::Found;
use coffer_addon::Result;
use serde_json::Value;

/// Why an index's documents are not what was indexed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lossy {
    pub why: &'static str,
    /// Not even a part of them can be had.
    pub nothing: bool,
}

/// None where they are.
pub fn lossy(found: &Found) -> Result<Option<Lossy>> {
    let nothing = |why| Some(Lossy { why, nothing: true });
    let part = |why| Some(Lossy { why, nothing: false });
    match found.setting("index.mapping.source.mode").map(str::to_ascii_lowercase).as_deref() {
        Some("disabled") => return Ok(nothing("_source is disabled")),
        Some("synthetic") => return Ok(part("_source is synthetic")),
        None | Some("stored") => {}
        Some(_) => return Ok(part("_source is kept in a way that this addon does not know")),
    }
    if found.setting("index.derived_source.enabled") == Some("true") {
        return Ok(part("_source is derived"));
    }
    let mappings = found.definition.mappings.as_ref().map(|mappings| mappings.value()).transpose()?;
    let mappings = mappings.unwrap_or_default();
    // With types it is one level below.
    let below = mappings.as_object().into_iter().flatten();
    let below = below.filter(|(name, _)| !name.starts_with('_')).map(|(_, mapping)| mapping);
    let sources: Vec<&Value> =
        [&mappings].into_iter().chain(below).filter_map(|mapping| mapping.get("_source")).collect();
    let mut is_stored = found.setting("index.mapping.source.mode").is_some();
    for source in sources {
        let is_set = |name: &str| source.get(name).and_then(Value::as_array).is_some_and(|fields| !fields.is_empty());
        let mode = source.get("mode").and_then(Value::as_str).unwrap_or_default();
        is_stored |= mode.eq_ignore_ascii_case("stored");
        if source.get("enabled").is_some_and(|enabled| *enabled == false || *enabled == "false")
            || mode.eq_ignore_ascii_case("disabled")
        {
            return Ok(nothing("_source is disabled"));
        }
        if mode.eq_ignore_ascii_case("synthetic") {
            return Ok(part("_source is synthetic"));
        }
        if !matches!(mode.to_ascii_lowercase().as_str(), "" | "stored") {
            return Ok(part("_source is kept in a way that this addon does not know"));
        }
        if is_set("excludes") || is_set("includes") {
            return Ok(part("_source leaves fields out"));
        }
    }
    // What these modes have unless something else is said.
    match found.setting("index.mode") {
        Some("time_series" | "logsdb") if !is_stored => Ok(part("_source is synthetic")),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Definition, IndexDefinition};
    use serde_json::json;

    fn of(mappings: Value, settings: &[(&str, &str)]) -> Option<bool> {
        let definition = IndexDefinition {
            name: "i".into(),
            data_stream: None,
            closed: false,
            settings: settings.iter().map(|(name, value)| (name.to_string(), Value::from(*value))).collect(),
            mappings: Some(Definition::new(&mappings).expect("JSON")),
            aliases: Default::default(),
            ism_policy: None,
            file: None,
        };
        let found = Found { definition, hidden: false, shards: 1, bytes: 0, documents: 0 };
        lossy(&found).expect("readable").map(|lossy| lossy.nothing)
    }

    #[test]
    fn what_cannot_be_had_as_it_was_is_found() {
        let source = |source: Value| json!({ "_source": source, "properties": {} });
        assert_eq!(of(source(json!({ "enabled": false })), &[]), Some(true));
        assert_eq!(of(source(json!({ "excludes": ["a"] })), &[]), Some(false));
        assert_eq!(of(source(json!({ "includes": ["a"] })), &[]), Some(false));
        assert_eq!(of(source(json!({ "mode": "synthetic" })), &[]), Some(false));
        assert_eq!(of(source(json!({ "mode": "DISABLED" })), &[]), Some(true));
        assert_eq!(of(source(json!({ "mode": "columns" })), &[]), Some(false));
        assert_eq!(of(json!({}), &[("index.mapping.source.mode", "columns")]), Some(false));
        assert_eq!(of(json!({ "doc": { "_source": { "enabled": "false" } } }), &[]), Some(true));
        assert_eq!(of(json!({}), &[("index.mapping.source.mode", "SYNTHETIC")]), Some(false));
        assert_eq!(of(json!({}), &[("index.mapping.source.mode", "disabled")]), Some(true));
        assert_eq!(of(json!({}), &[("index.derived_source.enabled", "true")]), Some(false));
        assert_eq!(of(json!({}), &[("index.mode", "logsdb")]), Some(false));
    }

    #[test]
    fn what_can_is_left_in_peace() {
        assert_eq!(of(json!({}), &[]), None);
        assert_eq!(of(json!({ "_source": { "excludes": [], "enabled": true } }), &[]), None);
        assert_eq!(of(json!({ "_source": { "mode": "stored" } }), &[("index.mode", "time_series")]), None);
        assert_eq!(of(json!({}), &[("index.mode", "logsdb"), ("index.mapping.source.mode", "stored")]), None);
        assert_eq!(of(json!({ "_meta": { "_source": { "enabled": false } } }), &[]), None);
    }
}
