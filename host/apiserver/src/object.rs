//! An object as it is stored: JSON with `apiVersion`, `kind` and `metadata`. Helpers that reach into metadata.

use serde_json::{Map, Value};

/// A finalizer that the server itself keeps while dependents are being deleted first.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";

/// A string in metadata, or "".
pub(crate) fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
    object.pointer("/metadata").and_then(|metadata| metadata.get(field)).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn name(object: &Value) -> &str {
    meta(object, "name")
}

pub(crate) fn uid(object: &Value) -> &str {
    meta(object, "uid")
}

/// The metadata map, made when absent.
pub(crate) fn meta_mut(object: &mut Value) -> &mut Map<String, Value> {
    entry_map(as_map(object), "metadata")
}

/// The value as a map; anything else becomes an empty one first.
pub(crate) fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made a map just above"),
    }
}

/// The map under `key`, made when absent.
pub(crate) fn entry_map<'a>(map: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    as_map(map.entry(key).or_insert_with(|| Value::Object(Map::new())))
}

pub(crate) fn is_deleting(object: &Value) -> bool {
    !meta(object, "deletionTimestamp").is_empty()
}

pub(crate) fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    list(object, "/metadata/finalizers").filter_map(Value::as_str)
}

pub(crate) fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    list(object, "/metadata/ownerReferences")
}

/// The uids of an object's owners.
pub(crate) fn owner_uids(object: &Value) -> impl Iterator<Item = &str> {
    owners(object).filter_map(|owner| owner.get("uid")?.as_str())
}

fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// Takes one finalizer away, and the list with it when it was the last.
pub(crate) fn remove_finalizer(object: &mut Value, finalizer: &str) {
    retain(meta_mut(object), "finalizers", |entry| entry.as_str() != Some(finalizer));
}

/// Takes the references to one owner away.
pub(crate) fn remove_owner(object: &mut Value, uid: &str) {
    retain(meta_mut(object), "ownerReferences", |owner| owner.get("uid").and_then(Value::as_str) != Some(uid));
}

fn retain(metadata: &mut Map<String, Value>, field: &str, keep: impl Fn(&Value) -> bool) {
    if let Some(Value::Array(entries)) = metadata.get_mut(field) {
        entries.retain(keep);
        if entries.is_empty() {
            metadata.remove(field);
        }
    }
}

/// The time as Kubernetes writes it: RFC 3339 in UTC, whole seconds.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A random (version 4) UUID.
pub(crate) fn new_uid() -> String {
    let bits = rand::random::<u128>() & !(0xf << 76 | 0x3 << 62) | (0x4 << 76 | 0x2 << 62);
    let digits = format!("{bits:032x}");
    let part = |range| digits.get(range).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_version_4() {
        let uid = new_uid();
        let parts: Vec<&str> = uid.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(parts[2].starts_with('4'), "{uid}");
        assert!(parts[3].starts_with(['8', '9', 'a', 'b']), "{uid}");
        assert_ne!(uid, new_uid());
    }

    #[test]
    fn the_last_finalizer_takes_the_list_with_it() {
        let mut object = serde_json::json!({"metadata": {"finalizers": ["a", "b"]}});
        remove_finalizer(&mut object, "a");
        assert_eq!(finalizers(&object).collect::<Vec<_>>(), ["b"]);
        remove_finalizer(&mut object, "b");
        assert_eq!(object, serde_json::json!({"metadata": {}}));
    }
}
