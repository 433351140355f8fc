//! Walks a value along a structural schema, the subset of OpenAPI v3 that Kubernetes allows in a CRD.
//!
//! Written by hand rather than with a JSON Schema library because three things are Kubernetes' own (nulls are dropped,
//! defaults are filled in, unknown fields are refused although no schema says so) and because the messages can then
//! name the field that was meant.

use serde_json::{Map, Value};

use super::{Cause, format};
use crate::hint;

/// Deeper than any manifest; keeps a hostile one from exhausting the stack.
const MAX_DEPTH: usize = 64;

/// Checks `value`, which stands at `path`, and fills in defaults.
pub(super) fn check(schema: &Value, value: &mut Value, path: &str, causes: &mut Vec<Cause>) {
    walk(schema, value, path, 0, causes);
}

fn walk(schema: &Value, value: &mut Value, path: &str, depth: usize, causes: &mut Vec<Cause>) {
    if depth > MAX_DEPTH {
        causes.push(Cause::new(path, format!("is nested more than {MAX_DEPTH} levels deep")));
        return;
    }
    if value.is_null() && schema.get("nullable") == Some(&Value::Bool(true)) {
        return;
    }
    let expected = schema.get("type").and_then(Value::as_str).unwrap_or_default();
    let fits = match expected {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    };
    if !fits {
        causes.push(wrong_type(path, expected, value));
        return;
    }
    match value {
        Value::Object(object) => walk_object(schema, object, path, depth, causes),
        Value::Array(items) => {
            let fewest = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
            if (items.len() as u64) < fewest {
                causes.push(Cause::new(path, "must not be empty").hint("give at least one entry"));
            }
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter_mut().enumerate() {
                    walk(schema, item, &format!("{path}[{index}]"), depth + 1, causes);
                }
            }
        }
        Value::String(text) => causes.extend(check_string(schema, text).map(|why| Cause::new(path, why))),
        Value::Number(number) => {
            let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
            let number = number.as_f64().unwrap_or_default();
            if let Some(least) = bound("minimum").filter(|least| number < *least) {
                causes.push(Cause::new(path, format!("{number} is less than {least}")));
            }
            if let Some(most) = bound("maximum").filter(|most| number > *most) {
                causes.push(Cause::new(path, format!("{number} is more than {most}")));
            }
        }
        Value::Bool(_) | Value::Null => {}
    }
}

fn walk_object(schema: &Value, object: &mut Map<String, Value>, path: &str, depth: usize, causes: &mut Vec<Cause>) {
    let below = |field: &str| if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let open = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    let values = schema.get("additionalProperties").filter(|values| values.is_object());

    // A field left empty is a field left out, unless null means something there.
    object.retain(|field, value| {
        let nullable = properties.get(field).and_then(|property| property.get("nullable"));
        !value.is_null() || nullable == Some(&Value::Bool(true)) || !properties.contains_key(field)
    });
    for (field, property) in properties {
        if !object.contains_key(field)
            && let Some(default) = property.get("default").filter(|default| !default.is_null())
        {
            object.insert(field.clone(), default.clone());
        }
    }
    for field in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(field) {
            causes.push(Cause::new(below(field), "required, and not given"));
        }
    }
    let given: Vec<String> = object.keys().cloned().collect();
    for (field, value) in object.iter_mut() {
        match (properties.get(field), values) {
            (Some(property), _) => walk(property, value, &below(field), depth + 1, causes),
            (None, Some(values)) => walk(values, value, &below(field), depth + 1, causes),
            (None, None) if open => {}
            (None, None) => {
                // A field that is there already is not what was meant.
                let free =
                    properties.keys().map(String::as_str).filter(|known| !given.iter().any(|name| name == known));
                causes.push(Cause::new(below(field), "unknown field").hint(match hint::nearest(field, free) {
                    Some(known) => format!("did you mean {known}?"),
                    None => hint::unknown(field, properties.keys().map(String::as_str), "known fields"),
                }));
            }
        }
    }
}

fn check_string(schema: &Value, text: &str) -> Option<String> {
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array) {
        let names = allowed.iter().filter_map(Value::as_str);
        if !names.clone().any(|name| name == text) {
            let names = names.collect::<Vec<_>>();
            return Some(match hint::nearest(text, names.iter().copied()) {
                Some(name) => format!("{text:?} is not one of {}; did you mean {name}?", names.join(", ")),
                None => format!("{text:?} is not one of {}", names.join(", ")),
            });
        }
    }
    let length = text.chars().count() as u64;
    if length < schema.get("minLength").and_then(Value::as_u64).unwrap_or(0) {
        return Some("must not be empty".to_owned());
    }
    if let Some(longest) = schema.get("maxLength").and_then(Value::as_u64).filter(|longest| length > *longest) {
        return Some(format!("is longer than {longest} characters"));
    }
    format::check(schema.get("format").and_then(Value::as_str)?, text).err()
}

/// Says what was expected and the type of what is there; never the value, which may be a secret.
fn wrong_type(path: &str, expected: &str, value: &Value) -> Cause {
    let found = match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    let article = match expected {
        "array" => "a list",
        "object" => "an object",
        "integer" => "a whole number",
        "boolean" => "true or false",
        "number" => "a number",
        _ => "a string",
    };
    let cause = Cause::new(path, format!("must be {article}, is {found}"));
    match (expected, value) {
        ("string", Value::Number(_) | Value::Bool(_)) => cause.hint("put it in quotes"),
        ("integer" | "number" | "boolean", Value::String(_)) => cause.hint("write it without quotes"),
        _ => cause,
    }
}
