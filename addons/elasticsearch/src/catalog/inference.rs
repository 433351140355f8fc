//! Fields that a server fills by asking a model (`semantic_text`): whose embeddings a restore may have to compute anew, by an
//! inference endpoint that no dump has.

use super::Found;
use crate::client::Version;
use coffer_addon::Result;
use serde_json::Value;
use std::collections::BTreeSet;

const KINDS: [&str; 2] = ["semantic_text", "semantic"];

/// The inference endpoints of an index's fields; none where it has no such fields.
pub fn endpoints(found: &Found) -> Result<Option<BTreeSet<String>>> {
    let mut endpoints = None;
    if let Some(mappings) = &found.definition.mappings
        && KINDS.iter().any(|kind| mappings.text().contains(kind))
    {
        collect(&mappings.value()?, &mut endpoints);
    }
    Ok(endpoints)
}

/// Whether what the model said is in `_source`: always asked for where that is possible, and part of the field before.
pub fn has_embeddings(found: &Found, version: &Version) -> bool {
    let is_old = found.setting("index.mapping.semantic_text.use_legacy_format") == Some("true");
    is_old || version.is_since(9, 2) || !version.is_since(8, 18)
}

fn collect(mapping: &Value, endpoints: &mut Option<BTreeSet<String>>) {
    let Some(mapping) = mapping.as_object() else { return };
    for fields in ["properties", "fields"].iter().filter_map(|name| mapping.get(*name)?.as_object()) {
        for field in fields.values() {
            if field.get("type").and_then(Value::as_str).is_some_and(|kind| KINDS.contains(&kind)) {
                let ids =
                    ["inference_id", "search_inference_id"].into_iter().filter_map(|name| field.get(name)?.as_str());
                endpoints.get_or_insert_default().extend(ids.map(str::to_owned));
            }
            collect(field, endpoints);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Definition, IndexDefinition};
    use serde_json::json;

    #[test]
    fn fields_of_models_are_found_wherever_they_are() {
        let of = |mappings: Value| {
            let mappings = Some(Definition::new(&mappings).expect("JSON"));
            let definition = IndexDefinition { name: "i".into(), mappings, ..IndexDefinition::default() };
            endpoints(&Found { definition, hidden: false, shards: 1, bytes: 0, documents: 0 }).expect("readable")
        };
        let deep = json!({ "properties": { "a": { "properties": { "semantic_text": { "type": "text",
            "fields": { "m": { "type": "semantic_text", "inference_id": "mine" } } } } } } });
        assert_eq!(of(deep), Some(["mine".to_string()].into()));
        assert_eq!(of(json!({ "properties": { "a": { "type": "semantic_text" } } })), Some(BTreeSet::new()));
        assert_eq!(of(json!({ "properties": { "semantic_text": { "type": "text" } } })), None);
    }
}
