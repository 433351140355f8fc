//! Files of definitions as multielasticdump has them: a line each, which is an object for mappings, and for all others a text
//! with an object in it.

use crate::layout::{ALIAS, ANALYZER, IndexDefinition, MAPPING, SETTINGS, WHOLE};
use coffer_addon::{Outbox, Result};
use serde_json::{Map, Value, json};

/// Writes an index's.
pub async fn write(outbox: &Outbox, index: &IndexDefinition) -> Result<()> {
    for (ending, line) in lines(index)? {
        let file = outbox.file(format!("{}{ending}", index.name)).label("mediaType", "application/json");
        file.write_all(line.as_bytes()).await?;
    }
    Ok(())
}

/// By what the files' names end in.
fn lines(index: &IndexDefinition) -> Result<Vec<(&'static str, String)>> {
    let name = &index.name;
    let quoted = |text: String| format!("{}\n", Value::String(text));
    let is_analysis = |(name, _): &(&String, &Value)| name.starts_with("index.analysis.");
    let analysis = nested(index.settings.iter().filter(is_analysis));
    let nested_settings = nested(index.settings.iter());
    let settings = json!({ name: { "settings": nested_settings } });
    // Not through a `Value`: its numbers would be printed anew.
    let mappings = index.mappings.as_ref().map_or("{}", |mappings| mappings.text());
    let name = Value::from(name.as_str());
    let mut lines = vec![
        (SETTINGS, quoted(settings.to_string())),
        (MAPPING, format!("{{{name}:{{\"mappings\":{}}}}}\n", mappings.replace(['\n', '\r'], " "))),
    ];
    if analysis.as_object().is_some_and(|analysis| !analysis.is_empty()) {
        lines.push((ANALYZER, quoted(format!("{{{name}:{{\"settings\":{analysis}}}}}"))));
    }
    let aliases = serde_json::to_string(&index.aliases)?;
    lines.push(match index.aliases.is_empty() {
        true => (ALIAS, quoted("{}".into())),
        false => (ALIAS, quoted(format!("{{{name}:{{\"aliases\":{aliases}}}}}"))),
    });
    let whole = format!("{{{name}:{{\"aliases\":{aliases},\"mappings\":{mappings},\"settings\":{nested_settings}}}}}");
    lines.push((WHOLE, quoted(whole)));
    Ok(lines)
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

    #[test]
    fn each_is_a_line() {
        let definition = serde_json::from_str("{\n\"b\":1.10}").expect("JSON");
        let index = IndexDefinition {
            name: "i".into(),
            data_stream: None,
            closed: false,
            settings: [("index.analysis.a", "x"), ("index.b", "1")]
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            mappings: Some(definition),
            aliases: BTreeMap::new(),
            ism_policy: None,
            file: None,
        };
        let settings = r#""{\"i\":{\"settings\":{\"index\":{\"analysis\":{\"a\":\"x\"},\"b\":\"1\"}}}}""#;
        let analyzer = r#""{\"i\":{\"settings\":{\"index\":{\"analysis\":{\"a\":\"x\"}}}}}""#;
        let wanted = [
            (SETTINGS, format!("{settings}\n")),
            (MAPPING, "{\"i\":{\"mappings\":{ \"b\":1.10}}}\n".into()),
            (ANALYZER, format!("{analyzer}\n")),
            (ALIAS, "\"{}\"\n".into()),
        ];
        let lines = lines(&index).expect("lines");
        assert_eq!(lines[..4], wanted);
        let whole: String = serde_json::from_str(&lines[4].1).expect("a text");
        let whole: Value = serde_json::from_str(&whole).expect("an object in it");
        let settings = json!({ "index": { "analysis": { "a": "x" }, "b": "1" } });
        assert_eq!(whole, json!({ "i": { "aliases": {}, "mappings": { "b": 1.1 }, "settings": settings } }));
    }
}
