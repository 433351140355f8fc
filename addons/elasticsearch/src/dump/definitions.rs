//! Files of definitions as multielasticdump has them.

use crate::layout::{ALIAS, ANALYZER, IndexDefinition, MAPPING, SETTINGS};
use coffer_addon::{Outbox, Result};
use serde_json::{Map, Value, json};

/// Writes an index's.
pub async fn write(outbox: &Outbox, index: &IndexDefinition) -> Result<()> {
    let name = &index.name;
    let json = |ending: &str| outbox.file(format!("{name}{ending}")).label("mediaType", "application/json");
    let line = |value: Value| {
        let mut line = json!({ name: value }).to_string();
        line.push('\n');
        line
    };
    let settings = nested(index.settings.iter());
    let is_analysis = |(name, _): &(&String, &Value)| name.starts_with("index.analysis.");
    let analysis = nested(index.settings.iter().filter(is_analysis));
    json(SETTINGS).write_all(line(json!({ "settings": settings })).as_bytes()).await?;
    if analysis.as_object().is_some_and(|analysis| !analysis.is_empty()) {
        json(ANALYZER).write_all(line(json!({ "settings": analysis })).as_bytes()).await?;
    }
    // Not through a `Value`: its numbers would be printed anew.
    let mappings = index.mappings.as_ref().map_or("{}", |mappings| mappings.text());
    let mapping = format!("{{{}:{{\"mappings\":{mappings}}}}}\n", Value::from(name.as_str()));
    json(MAPPING).write_all(mapping.as_bytes()).await?;
    if !index.aliases.is_empty() {
        let aliases = serde_json::to_string(&index.aliases)?;
        let alias = format!("{{{}:{{\"aliases\":{aliases}}}}}\n", Value::from(name.as_str()));
        json(ALIAS).write_all(alias.as_bytes()).await?;
    }
    Ok(())
}

/// `a.b.c` as an object in an object. A name that goes on where another ended stays flat, which servers take as well.
fn nested<'a>(flat: impl Iterator<Item = (&'a String, &'a Value)>) -> Value {
    let mut root = Map::new();
    for (name, value) in flat {
        if !insert(&mut root, name, value) {
            root.insert(name.clone(), value.clone());
        }
    }
    Value::Object(root)
}

fn insert(into: &mut Map<String, Value>, name: &str, value: &Value) -> bool {
    let Some((first, rest)) = name.split_once('.') else {
        return match into.contains_key(name) {
            true => false,
            false => into.insert(name.to_owned(), value.clone()).is_none(),
        };
    };
    match into.entry(first).or_insert_with(|| Value::Object(Map::new())) {
        Value::Object(within) => insert(within, rest, value),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn settings_are_nested() {
        let flat: BTreeMap<String, Value> = [("index.a.b", "1"), ("index.a.b.c", "2"), ("index.d", "3")]
            .map(|(name, value)| (name.to_string(), value.into()))
            .into();
        let wanted = json!({ "index": { "a": { "b": "1" }, "d": "3" }, "index.a.b.c": "2" });
        assert_eq!(nested(flat.iter()), wanted);
    }
}
