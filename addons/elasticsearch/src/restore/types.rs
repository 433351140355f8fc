//! A mapping's type: between it and its fields, or not there, whichever the server wants.

use crate::layout::Definition;
use coffer_addon::{Error, Result};
use std::collections::BTreeMap;

/// A mapping with its type in between, or without, whatever the server wants.
pub fn mapping(mappings: &Definition, wants_type: bool) -> Result<Definition> {
    /// What a mapping without a type begins with; no type is called so.
    const ROOT: [&str; 15] = [
        "_data_stream_timestamp",
        "_doc_count",
        "_field_names",
        "_meta",
        "_routing",
        "_size",
        "_source",
        "date_detection",
        "dynamic",
        "dynamic_date_formats",
        "dynamic_templates",
        "numeric_detection",
        "properties",
        "runtime",
        "subobjects",
    ];
    let parts: BTreeMap<String, Definition> = serde_json::from_str(mappings.text())?;
    let is_typed = !parts.is_empty() && parts.keys().all(|name| !ROOT.contains(&name.as_str()));
    let to_definition = |value: &BTreeMap<&str, &Definition>| -> Result<Definition> {
        Ok(Definition(serde_json::value::to_raw_value(value)?))
    };
    match (is_typed, wants_type) {
        (true, false) => match (parts.len(), parts.into_values().next()) {
            (1, Some(only)) => Ok(only),
            _ => Err(Error::Unsupported("it has several types, which this server does not take".into())),
        },
        (false, true) => to_definition(&BTreeMap::from([("_doc", mappings)])),
        _ => Ok(mappings.clone()),
    }
}

/// A template's mappings are with a type in between, or without, as an index' are.
pub fn template(template: &Definition, wants_type: bool) -> Result<Definition> {
    let mut fields: BTreeMap<String, Definition> = serde_json::from_str(template.text())?;
    let Some(mappings) = fields.get_mut("mappings").filter(|mappings| mappings.text() != "{}") else {
        return Ok(template.clone());
    };
    let typed = mapping(mappings, wants_type)?;
    if typed == *mappings {
        return Ok(template.clone());
    }
    *mappings = typed;
    Ok(Definition(serde_json::value::to_raw_value(&fields)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_there_where_it_has_to_be() {
        let of = |text: &str| serde_json::from_str::<Definition>(text).expect("JSON");
        let (plain, with) =
            (r#"{"properties":{"a":{"type":"long"}}}"#, r#"{"_doc":{"properties":{"a":{"type":"long"}}}}"#);
        for (text, wants_type, wanted) in
            [(plain, false, plain), (with, false, plain), (plain, true, with), (with, true, with)]
        {
            assert_eq!(mapping(&of(text), wants_type), Ok(of(wanted)));
        }
        assert_eq!(mapping(&of("{}"), false), Ok(of("{}")));
        assert!(mapping(&of(r#"{"a":{},"b":{}}"#), false).is_err());
    }

    #[test]
    fn a_templates_mappings_have_a_type_where_they_have_to() {
        let of = |text: &str| serde_json::from_str::<Definition>(text).expect("JSON");
        let plain = of(r#"{"index_patterns":["a"],"mappings":{"properties":{"f":{"type":"long"}}}}"#);
        let typed = of(r#"{"index_patterns":["a"],"mappings":{"_doc":{"properties":{"f":{"type":"long"}}}}}"#);
        for (one, other, wants_type) in [(&plain, &typed, true), (&typed, &plain, false)] {
            assert_eq!(&template(one, wants_type).expect("one type"), other);
            assert_eq!(&template(other, wants_type).expect("one type"), other);
        }
        let none = of(r#"{"index_patterns":["a"],"mappings":{}}"#);
        assert_eq!(template(&none, true).expect("none"), none);
        assert!(template(&of(r#"{"mappings":{"a":{},"b":{}}}"#), false).is_err());
    }
}
