//! Whether indices were made as the dump has them. Templates that stand on the server already have their say when an index is
//! made, and nobody is asked.

use super::plan::{Plan, Planned};
use super::settings::is_of_no_matter;
use crate::client::Client;
use coffer_addon::http::segment;
use coffer_addon::{Result, omitted};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Default, Deserialize)]
struct Made {
    #[serde(default)]
    settings: Map<String, Value>,
    #[serde(default)]
    mappings: Value,
}

/// What of the indices that were just made is not the dump's, for people. It is told, and ends nothing: on a bad day an index
/// that is a little different is better than none.
pub async fn differing(client: &Client, plan: &Plan) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for index in &plan.indices {
        let path = format!("/{}?flat_settings=true", segment(&index.target));
        let found: Value = client.get(&path).await?;
        // One that cannot be read is nothing to be told of here: its documents will be refused.
        let Some(made) = found.get(&index.target).and_then(|made| Made::deserialize(made).ok()) else { continue };
        let differing = compare(index, &made)?;
        if !differing.is_empty() {
            all.push(format!("{} ({})", index.target, omitted::line(&differing)));
        }
    }
    if !all.is_empty() {
        coffer_addon::warn!(
            "NOT AS IN THE DUMP, by a template of the server's: {}; change that, and restore these again",
            omitted::line(&all)
        );
    }
    Ok(all)
}

fn compare(index: &Planned, made: &Made) -> Result<Vec<String>> {
    let wanted = index.settings.to_make();
    let is_added = |name: &&String| !wanted.contains_key(*name) && !index.settings.has(name) && !is_of_no_matter(name);
    let mut differing: Vec<String> = made.settings.keys().filter(is_added).cloned().collect();
    let mappings = index.mappings.as_ref().map(|mappings| mappings.value()).transpose()?;
    let none = Value::Object(Map::new());
    let made_mappings = if made.mappings.is_null() { &none } else { &made.mappings };
    if mappings.as_ref().unwrap_or(&none) != made_mappings {
        differing.push("its mapping".into());
    }
    Ok(differing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Definition, Definitions};
    use crate::restore::settings::{Knows, Settings};
    use coffer_addon::parameters::Patterns;
    use serde_json::json;

    #[test]
    fn what_a_template_adds_is_found() {
        let said = json!({ "index.number_of_shards": "1", "index.refresh_interval": "5s" });
        let knows = Knows { tiers: false, final_pipelines: true, replication: true };
        let mapping = json!({ "properties": { "f": { "type": "keyword" } } });
        let index = Planned {
            name: "x".into(),
            target: "x".into(),
            settings: Settings::new(&said, &Patterns::default(), knows),
            mappings: Some(Definition::new(&mapping).expect("JSON")),
            aliases: Definitions::new(),
            is_closed: false,
            ism_policy: None,
            file: None,
        };
        let made = |more: Value, mappings: Value| {
            let mut settings: Map<String, Value> = index.settings.to_make();
            settings.insert("index.uuid".into(), json!("u"));
            settings.insert("index.provided_name".into(), json!("x"));
            settings.extend(more.as_object().expect("an object").clone());
            compare(&index, &Made { settings, mappings }).expect("compared")
        };
        assert!(made(json!({}), mapping.clone()).is_empty());
        assert_eq!(made(json!({ "index.codec": "best_compression" }), mapping.clone()), ["index.codec"]);
        let other = json!({ "properties": { "f": { "type": "keyword", "index": false } } });
        assert_eq!(made(json!({}), other), ["its mapping"]);
    }
}
