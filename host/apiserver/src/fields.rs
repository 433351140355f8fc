//! Who owns which field: `metadata.managedFields`, the memory of server-side apply.
//!
//! A set of fields is a set of paths whose elements are written as in FieldsV1: `f:name` for a field, `k:{…}` for the
//! list entry with these keys, `v:…` for the list entry that is this value. A list without `x-kubernetes-list-type` is
//! one field as a whole. Source of the format and of the rules: sigs.k8s.io/structured-merge-diff.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::metadata::SERVER_SET;
use crate::object;

pub(crate) type Path = Vec<String>;
pub(crate) type Fields = BTreeSet<Path>;

/// The lists in metadata that merge by entry.
static METADATA: LazyLock<Value> = LazyLock::new(|| {
    json!({"properties": {
        "finalizers": {"x-kubernetes-list-type": "set"},
        "ownerReferences": {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"]},
    }})
});

/// How a list is compared and merged.
pub(crate) enum List<'a> {
    Atomic,
    Set,
    Map(Vec<&'a str>),
}

/// The schema of a field: its own under `properties`, else the one for all fields of a map.
pub(crate) fn schema_of<'a>(schema: &'a Value, field: &str, top: bool) -> &'a Value {
    if top && field == "metadata" {
        return &METADATA;
    }
    let own = schema.get("properties").and_then(|properties| properties.get(field));
    own.or_else(|| schema.get("additionalProperties")).unwrap_or(&Value::Null)
}

pub(crate) fn items(schema: &Value) -> &Value {
    schema.get("items").unwrap_or(&Value::Null)
}

pub(crate) fn list_type(schema: &Value) -> List<'_> {
    match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => List::Set,
        Some("map") => {
            let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
            List::Map(keys.into_iter().flatten().filter_map(Value::as_str).collect())
        }
        _ => List::Atomic,
    }
}

pub(crate) fn is_atomic_map(schema: &Value) -> bool {
    schema.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic")
}

/// The path element of a list entry.
pub(crate) fn entry_element(list: &List, entry: &Value) -> Option<String> {
    match list {
        List::Atomic => None,
        List::Set => Some(format!("v:{entry}")),
        List::Map(keys) => {
            let key: Map<String, Value> =
                keys.iter().map(|key| ((*key).to_owned(), entry.get(*key).cloned().unwrap_or(Value::Null))).collect();
            Some(format!("k:{}", Value::Object(key)))
        }
    }
}

/// The fields that an object has, without what nobody owns.
pub(crate) fn of(object: &Value, schema: &Value) -> Fields {
    let mut found = Fields::new();
    for (field, value) in object.as_object().into_iter().flatten() {
        match field.as_str() {
            "apiVersion" | "kind" => {}
            "metadata" => {
                for (field, value) in value.as_object().into_iter().flatten() {
                    if field != "managedFields" && !SERVER_SET.contains(&field.as_str()) {
                        let path = vec!["f:metadata".to_owned(), format!("f:{field}")];
                        walk(value, schema_of(&METADATA, field, false), path, &mut found);
                    }
                }
            }
            field => walk(value, schema_of(schema, field, true), vec![format!("f:{field}")], &mut found),
        }
    }
    found
}

fn walk(value: &Value, schema: &Value, path: Path, found: &mut Fields) {
    let below = |element: String| path.iter().cloned().chain([element]).collect::<Path>();
    match value {
        Value::Object(map) if !map.is_empty() && !is_atomic_map(schema) => {
            for (field, value) in map {
                walk(value, schema_of(schema, field, false), below(format!("f:{field}")), found);
            }
        }
        Value::Array(entries) if !entries.is_empty() => {
            let list = list_type(schema);
            for entry in entries {
                let Some(element) = entry_element(&list, entry) else {
                    found.insert(path);
                    return;
                };
                let path = below(element);
                found.insert(path.clone());
                if matches!(list, List::Map(_)) {
                    walk(entry, items(schema), path, found);
                }
            }
        }
        _ => {
            found.insert(path);
        }
    }
}

/// The value at a path.
pub(crate) fn get<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, element| match element.strip_prefix("f:") {
        Some(field) => value.get(field),
        None => value.as_array()?.iter().find(|entry| is_entry(element, entry)),
    })
}

/// Takes the value at a path away.
pub(crate) fn remove(object: &mut Value, path: &[String]) {
    let Some((last, parents)) = path.split_last() else { return };
    let parent = parents.iter().try_fold(object, |value, element| match element.strip_prefix("f:") {
        Some(field) => value.get_mut(field),
        None => value.as_array_mut()?.iter_mut().find(|entry| is_entry(element, entry)),
    });
    match (parent, last.strip_prefix("f:")) {
        (Some(Value::Object(map)), Some(field)) => {
            map.remove(field);
        }
        (Some(Value::Array(entries)), None) => entries.retain(|entry| !is_entry(last, entry)),
        _ => {}
    }
}

fn is_entry(element: &str, entry: &Value) -> bool {
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
    if let Some(value) = element.strip_prefix("v:") {
        return parse(value).as_ref() == Some(entry);
    }
    match element.strip_prefix("k:").and_then(parse) {
        Some(Value::Object(keys)) => keys.iter().all(|(key, value)| entry.get(key).unwrap_or(&Value::Null) == value),
        _ => false,
    }
}

/// Whether a field has one value in both objects. Of a list entry only its presence counts: its fields are paths too.
pub(crate) fn same(left: &Value, right: &Value, path: &[String]) -> bool {
    match (get(left, path), get(right, path)) {
        (Some(_), Some(_)) if path.last().is_some_and(|last| last.starts_with("k:")) => true,
        (left, right) => left == right,
    }
}

/// A path as people write it: `.spec.sessions[name="full"].task`.
pub(crate) fn display(path: &[String]) -> String {
    path.iter().fold(String::new(), |text, element| match element.split_once(':') {
        Some(("f", field)) => format!("{text}.{field}"),
        Some(("k", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("{text}[{}]", keys.join(","))
        }
        Some((_, value)) => format!("{text}[={value}]"),
        None => text,
    })
}

/// The paths and all that stand above them.
pub(crate) fn with_parents<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Fields {
    let mut all = Fields::new();
    for path in paths {
        for length in (1..=path.len()).rev() {
            // Whoever is in has its parents in.
            if !all.insert(path.iter().take(length).cloned().collect()) {
                break;
            }
        }
    }
    all
}

/// One manager's fields.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) manager: String,
    pub(crate) apply: bool,
    pub(crate) subresource: String,
    pub(crate) api_version: String,
    pub(crate) time: String,
    pub(crate) fields: Fields,
}

impl Entry {
    pub(crate) fn is(&self, manager: &str, apply: bool, subresource: &str) -> bool {
        self.manager == manager && self.apply == apply && self.subresource == subresource
    }
}

/// The managers of an object. What is not of the right form is no entry.
pub(crate) fn entries(object: &Value) -> Vec<Entry> {
    let listed = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    let entry = |value: &Value| {
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut fields = Fields::new();
        parse(value.get("fieldsV1")?, &mut Vec::new(), &mut fields);
        Some(Entry {
            manager: text("manager"),
            apply: text("operation") == "Apply",
            subresource: text("subresource"),
            api_version: text("apiVersion"),
            time: text("time"),
            fields,
        })
    };
    listed.into_iter().flatten().filter_map(entry).collect()
}

fn parse(value: &Value, path: &mut Path, fields: &mut Fields) {
    let Some(children) = value.as_object() else { return };
    if (children.is_empty() && !path.is_empty()) || children.contains_key(".") {
        fields.insert(path.clone());
    }
    for (element, value) in children.iter().filter(|(element, _)| *element != ".") {
        path.push(element.clone());
        parse(value, path, fields);
        path.pop();
    }
}

/// Writes the managers into an object; those without a field are dropped.
pub(crate) fn set_entries(target: &mut Value, entries: &[Entry]) {
    let listed: Vec<Value> = entries
        .iter()
        .filter(|entry| !entry.fields.is_empty())
        .map(|entry| {
            let mut value = json!({
                "manager": entry.manager,
                "operation": if entry.apply { "Apply" } else { "Update" },
                "apiVersion": entry.api_version,
                "time": entry.time,
                "fieldsType": "FieldsV1",
                "fieldsV1": to_json(&entry.fields),
            });
            if !entry.subresource.is_empty() {
                object::as_map(&mut value).insert("subresource".into(), entry.subresource.as_str().into());
            }
            value
        })
        .collect();
    let metadata = object::meta_mut(target);
    if listed.is_empty() {
        metadata.remove("managedFields");
    } else {
        metadata.insert("managedFields".into(), Value::Array(listed));
    }
}

fn to_json(fields: &Fields) -> Value {
    let mut root = Map::new();
    for path in fields {
        let mut at = &mut root;
        for element in path {
            at = object::entry_map(at, element);
        }
        // A field that has fields below it says with "." that it is owned itself.
        let has_children =
            fields.range(path.clone()..).nth(1).is_some_and(|next| next.len() > path.len() && next.starts_with(path));
        if has_children {
            at.insert(".".into(), json!({}));
        }
    }
    Value::Object(root)
}

/// Who wrote, and into which part of the object.
pub(crate) struct Author<'a> {
    pub(crate) manager: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) api_version: String,
}

/// After a create, update or patch: the author owns what it changed, nobody owns what is gone.
pub(crate) fn record_update(entries: &mut Vec<Entry>, before: &Value, after: &Value, schema: &Value, author: &Author) {
    let (old, new) = (of(before, schema), of(after, schema));
    let changed: Fields = new.iter().filter(|path| !same(before, after, path)).cloned().collect();
    let gone: Fields = old.difference(&new).cloned().collect();
    if changed.is_empty() && gone.is_empty() {
        return;
    }
    for entry in entries.iter_mut() {
        entry.fields.retain(|path| !changed.contains(path) && !gone.contains(path));
    }
    if !changed.is_empty() {
        let at = match entries.iter().position(|entry| entry.is(author.manager, false, author.subresource)) {
            Some(at) => at,
            None => {
                entries.push(Entry {
                    manager: author.manager.into(),
                    apply: false,
                    subresource: author.subresource.into(),
                    api_version: String::new(),
                    time: String::new(),
                    fields: Fields::new(),
                });
                entries.len() - 1
            }
        };
        if let Some(entry) = entries.get_mut(at) {
            entry.fields.extend(changed);
            entry.time = object::now();
            entry.api_version.clone_from(&author.api_version);
        }
    }
    entries.retain(|entry| !entry.fields.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_v1_there_and_back() {
        let schema = json!({"properties": {"spec": {"properties": {
            "named": {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
            "whole": {},
        }}}});
        let mut object = json!({
            "apiVersion": "v1", "kind": "X",
            "metadata": {"name": "x", "labels": {"a.b/c": "1"}, "finalizers": ["f"]},
            "spec": {"named": [{"name": "n", "value": 1}], "whole": [1, 2], "empty": {}},
        });
        let fields = of(&object, &schema);
        let shown: Vec<String> = fields.iter().map(|path| display(path)).collect();
        assert!(shown.contains(&".metadata.labels.a.b/c".to_owned()), "{shown:?}");
        assert!(shown.contains(&".spec.named[name=\"n\"].value".to_owned()), "{shown:?}");
        assert!(shown.contains(&".spec.whole".to_owned()), "{shown:?}");
        let entry = Entry {
            manager: "m".into(),
            apply: true,
            subresource: String::new(),
            api_version: "v1".into(),
            time: "t".into(),
            fields: fields.clone(),
        };
        set_entries(&mut object, &[entry]);
        let json = &object["metadata"]["managedFields"][0]["fieldsV1"];
        assert_eq!(json["f:spec"]["f:named"]["k:{\"name\":\"n\"}"]["."], json!({}));
        assert_eq!(json["f:metadata"]["f:finalizers"]["v:\"f\""], json!({}));
        assert_eq!(entries(&object)[0].fields, fields);

        for path in &fields {
            assert!(get(&object, path).is_some(), "{path:?}");
        }
        remove(&mut object, &["f:spec".into(), "f:named".into(), "k:{\"name\":\"n\"}".into()]);
        assert_eq!(object["spec"]["named"], json!([]));
    }

    #[test]
    fn the_last_writer_of_a_field_owns_it() {
        let author = |manager| Author { manager, subresource: "", api_version: "v1".into() };
        let mut entries = Vec::new();
        let first = json!({"spec": {"a": 1, "b": 1}});
        record_update(&mut entries, &Value::Null, &first, &Value::Null, &author("one"));
        let second = json!({"spec": {"a": 2}});
        record_update(&mut entries, &first, &second, &Value::Null, &author("two"));
        assert_eq!(entries.len(), 1, "b is gone and a is two's: {entries:?}");
        assert_eq!(entries[0].manager, "two");
    }
}
