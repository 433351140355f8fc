//! What `kubectl get` prints: `meta.k8s.io/v1` Table, made here from the kind's printer columns.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::jsonpath::JsonPath;
use crate::resource::Resource;

/// What stands beside the cells of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Include {
    #[default]
    Metadata,
    Object,
    None,
}

/// A table of objects as the resource shows them.
pub(crate) fn table(resource: &Resource, objects: &[Arc<Value>], list_meta: Value, include: Include) -> Value {
    let mut definitions = vec![json!({
        "name": "Name", "type": "string", "format": "name", "priority": 0,
        "description": "The object's name, unique among its kind in its namespace.",
    })];
    let mut columns = Vec::new();
    for column in &resource.columns {
        definitions.push(json!({
            "name": column.name, "type": column.type_, "format": column.format.as_deref().unwrap_or_default(),
            "description": column.description.as_deref().unwrap_or_default(),
            "priority": column.priority.unwrap_or_default(),
        }));
        columns.push((column.type_ == "date", JsonPath::parse(&column.json_path)));
    }
    if resource.columns.is_empty() {
        definitions.push(json!({
            "name": "Age", "type": "date", "format": "", "priority": 0, "description": "When the object was made.",
        }));
        columns.push((true, JsonPath::parse(".metadata.creationTimestamp")));
    }
    let now = Timestamp::now();
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let mut cells = vec![json!(crate::object::name(object))];
            cells.extend(columns.iter().map(|(date, path)| {
                let found = path.as_ref().map(|path| path.find(object)).unwrap_or_default();
                cell(*date, &found, now)
            }));
            let mut row = json!({"cells": cells});
            let shown = match include {
                Include::None => None,
                Include::Metadata => Some(partial(object)),
                Include::Object => Some(Value::clone(object)),
            };
            if let Some(shown) = shown {
                crate::object::as_map(&mut row).insert("object".into(), shown);
            }
            row
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": list_meta,
        "columnDefinitions": definitions, "rows": rows,
    })
}

/// An object's metadata alone, as `PartialObjectMetadata`.
pub(crate) fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}

fn cell(date: bool, found: &[&Value], now: Timestamp) -> Value {
    match found {
        [] => Value::Null,
        [one] if date => json!(one.as_str().map_or_else(|| "<none>".into(), |time| age(time, now))),
        [one @ (Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null)] => Value::clone(one),
        several => {
            let text = |value: &&Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            json!(several.iter().map(text).collect::<Vec<_>>().join(","))
        }
    }
}

/// How long ago a time was, the way kubectl writes ages: two units while the larger is small.
fn age(time: &str, now: Timestamp) -> String {
    let Ok(time) = time.parse::<Timestamp>() else { return "<invalid>".into() };
    let seconds = now.as_second() - time.as_second();
    let two = |large: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{small_unit}") }
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        // A clock that is a little behind makes nothing invalid.
        ..=-2 => "<invalid>".into(),
        -1..=0 => "0s".into(),
        1..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_like_kubectls() {
        let now: Timestamp = "2026-01-10T00:00:00Z".parse().unwrap();
        for (time, expected) in [
            ("2026-01-09T23:59:30Z", "30s"),
            ("2026-01-09T23:57:30Z", "2m30s"),
            ("2026-01-09T23:00:00Z", "60m"),
            ("2026-01-09T20:30:00Z", "3h30m"),
            ("2026-01-09T00:00:00Z", "24h"),
            ("2026-01-07T12:00:00Z", "2d12h"),
            ("2025-12-01T00:00:00Z", "40d"),
            ("2026-01-10T00:00:01Z", "0s"),
            ("2026-01-11T00:00:00Z", "<invalid>"),
            ("soon", "<invalid>"),
        ] {
            assert_eq!(age(time, now), expected, "{time}");
        }
    }
}
