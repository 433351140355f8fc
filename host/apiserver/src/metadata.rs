//! The rules of metadata: where an object belongs, what it is called, what may not change.

use serde_json::Value;

use crate::fields::{Fields, Path, schema_of};
use crate::object::{self, meta, meta_mut};
use crate::registry::Target;
use crate::resource::Resources;
use crate::status::{Cause, Result, Status};
use crate::store::Key;
use crate::txn::Txn;

/// Kubernetes' alphabet for generated names: no vowels and nothing that looks like another, so no words.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX: usize = 5;
/// A generated name may be taken; with 27⁵ suffixes it hardly is.
const ATTEMPTS: usize = 8;

/// What no client writes into an object that exists, and no manager owns: the identity and what the server sets.
pub(crate) const SERVER_SET: [&str; 10] = [
    "name",
    "namespace",
    "generateName",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
];

/// Holds an object against the URL it was sent to, and fills in what the URL says.
pub(crate) fn fit(target: &Target, object: &mut Value) -> Result<()> {
    let resource = &target.resource;
    let field = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let (kind, api_version) = (field("kind"), field("apiVersion"));
    if kind != resource.kind || api_version != resource.api_version() {
        return Err(Status::bad_request(format!(
            "the object is {api_version:?} {kind:?}, this URL takes {:?} {:?}",
            resource.api_version(),
            resource.kind
        )));
    }
    if object.get("metadata").is_some_and(|metadata| !metadata.is_object()) {
        return Err(Status::bad_request("metadata is not an object"));
    }
    for field in ["name", "generateName", "namespace"] {
        let given = object.get("metadata").and_then(|metadata| metadata.get(field));
        if given.is_some_and(|given| !given.is_string() && !given.is_null()) {
            return Err(Status::bad_request(format!("metadata.{field} must be a string: put it in quotes")));
        }
    }
    let (name, namespace) = (meta(object, "name").to_owned(), meta(object, "namespace").to_owned());
    if !target.name.is_empty() {
        if !name.is_empty() && name != target.name {
            return Err(Status::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                target.name
            )));
        }
        meta_mut(object).insert("name".into(), target.name.as_str().into());
    }
    if resource.namespaced {
        if !namespace.is_empty() && namespace != target.namespace {
            return Err(Status::bad_request(format!(
                "the namespace of the provided object ({namespace}) does not match the namespace sent on the request ({})",
                target.namespace
            )));
        }
        meta_mut(object).insert("namespace".into(), target.namespace.as_str().into());
    }
    Ok(())
}

/// Refuses a new object in a namespace that is not there or going.
pub(crate) fn require_namespace(resources: &Resources, txn: &Txn, target: &Target) -> Result<()> {
    if !target.resource.namespaced {
        return Ok(());
    }
    let Some(namespaces) = resources.find("", "v1", "namespaces") else { return Ok(()) };
    match txn.get(&namespace_key(&target.namespace)) {
        None => Err(Status::not_found(namespaces, &target.namespace)
            .with_hint(format_args!("create it first: kubectl create namespace {}", target.namespace))),
        Some(namespace) if object::is_deleting(namespace) => {
            let why = format!(
                "unable to create new content in namespace {} because it is being terminated",
                target.namespace
            );
            Err(Status::forbidden(&target.resource, &target.name, &why))
        }
        Some(_) => Ok(()),
    }
}

pub(crate) fn namespace_key(name: &str) -> Key {
    Key { resource: "namespaces".into(), namespace: String::new(), name: name.into() }
}

/// The name of a new object: its own, or one made from `generateName`.
pub(crate) fn name_for(txn: &Txn, target: &Target, object: &mut Value) -> Result<String> {
    let name = object::name(object);
    if !name.is_empty() {
        return Ok(name.into());
    }
    let prefix = meta(object, "generateName").to_owned();
    if prefix.is_empty() {
        let message = "Required value: name or generateName is required".into();
        let cause = Cause { reason: "FieldValueRequired", message, field: "metadata.name".into() };
        return Err(Status::invalid(&target.resource, "", vec![cause]));
    }
    for _ in 0..ATTEMPTS {
        let suffix: String = (0..SUFFIX)
            .map(|_| char::from(LETTERS.get(rand::random_range(0..LETTERS.len())).copied().unwrap_or(b'x')))
            .collect();
        let name = format!("{prefix}{suffix}");
        let taken = Target { name: name.clone(), ..target.clone() };
        if txn.get(&taken.key()).is_none() {
            meta_mut(object).insert("name".into(), name.as_str().into());
            return Ok(name);
        }
    }
    Err(Status::already_exists(&target.resource, &prefix))
}

/// An object that is being deleted loses finalizers only.
pub(crate) fn no_new_finalizers(target: &Target, before: &Value, after: &Value) -> Result<()> {
    let new: Vec<&str> =
        object::finalizers(after).filter(|new| !object::finalizers(before).any(|known| known == *new)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let message = format!(
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers {new:?}"
    );
    let cause = Cause { reason: "FieldValueForbidden", message, field: "metadata.finalizers".into() };
    Err(Status::invalid(&target.resource, &target.name, vec![cause]))
}

/// A Secret marked immutable keeps its data and the mark.
pub(crate) fn keep_immutable(target: &Target, before: &Value, after: &Value) -> Result<()> {
    if before.get("immutable") != Some(&Value::Bool(true)) || target.resource.kind != "Secret" {
        return Ok(());
    }
    let changed = ["immutable", "data", "type"].into_iter().find(|field| before.get(*field) != after.get(*field));
    changed.map_or(Ok(()), |field| {
        let message = "Forbidden: field is immutable when `immutable` is set".into();
        let cause = Cause { reason: "FieldValueForbidden", message, field: field.into() };
        Err(Status::invalid(&target.resource, &target.name, vec![cause]))
    })
}

/// Whether nothing in a value is more than `levels` deep.
pub(crate) fn is_shallow(value: &Value, levels: usize) -> bool {
    match value {
        Value::Object(map) => levels > 0 && map.values().all(|value| is_shallow(value, levels - 1)),
        Value::Array(entries) => levels > 0 && entries.iter().all(|entry| is_shallow(entry, levels - 1)),
        _ => true,
    }
}

/// Drops the fields that a schema does not know, and names them.
pub(crate) fn drop_unknown(value: &mut Value, schema: &Value, path: &mut Path, dropped: &mut Fields) {
    match value {
        Value::Object(map) => {
            let top = path.is_empty();
            let closed = schema.get("properties").is_some()
                && schema.get("additionalProperties").is_none()
                && schema.get("x-kubernetes-preserve-unknown-fields") != Some(&Value::Bool(true));
            map.retain(|field, value| {
                if top && ["apiVersion", "kind", "metadata"].contains(&field.as_str()) {
                    return true;
                }
                path.push(field.clone());
                let known = !closed || schema.get("properties").is_some_and(|known| known.get(field).is_some());
                if known {
                    drop_unknown(value, schema_of(schema, field, false), path, dropped);
                } else {
                    dropped.insert(path.clone());
                }
                path.pop();
                known
            });
        }
        Value::Array(entries) => {
            let schema = schema.get("items").unwrap_or(&Value::Null);
            for (index, entry) in entries.iter_mut().enumerate() {
                path.push(index.to_string());
                drop_unknown(entry, schema, path, dropped);
                path.pop();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_fields_are_dropped_and_named() {
        let schema = json!({"properties": {"spec": {"properties": {
            "known": {"items": {"properties": {"a": {}}}},
            "free": {"x-kubernetes-preserve-unknown-fields": true},
            "map": {"additionalProperties": {"type": "string"}},
        }}}});
        let mut object = json!({
            "apiVersion": "v1", "kind": "X", "metadata": {"name": "x"},
            "spec": {"known": [{"a": 1, "b": 2}], "free": {"x": 1}, "map": {"y": "1"}, "knwon": 1},
        });
        let mut dropped = Fields::new();
        drop_unknown(&mut object, &schema, &mut Vec::new(), &mut dropped);
        let dropped: Vec<String> = dropped.iter().map(|path| path.join(".")).collect();
        assert_eq!(dropped, ["spec.known.0.b", "spec.knwon"]);
        assert_eq!(object["spec"], json!({"known": [{"a": 1}], "free": {"x": 1}, "map": {"y": "1"}}));
    }
}
