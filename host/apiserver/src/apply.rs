//! Server-side apply: each manager says what it wants and owns exactly those fields.
//!
//! The steps are those of sigs.k8s.io/structured-merge-diff: merge what is applied into what is there, refuse fields
//! that another manager owns with another value, take away what this manager applied before and no longer does, unless
//! somebody else owns it too.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::fields::{self, Entry, Fields, List};
use crate::metadata;
use crate::object::{self, meta, meta_mut};
use crate::registry::{self, Record, Target, Write};
use crate::resource::Resources;
use crate::status::{Cause, Result, Status};
use crate::txn::Txn;

/// Applies a configuration, making the object when absent. `force` takes fields over from their managers.
pub(crate) fn apply(
    resources: &Resources,
    txn: &mut Txn,
    target: &Target,
    mut applied: Value,
    force: bool,
    how: &mut Write,
) -> Result<Arc<Value>> {
    let resource = &target.resource;
    let schema = &resource.schema;
    if applied
        .pointer("/metadata/managedFields")
        .is_some_and(|managed| !managed.is_null() && *managed != Value::Array(Vec::new()))
    {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    meta_mut(&mut applied).remove("managedFields");
    metadata::fit(target, &mut applied)?;
    drop_nulls(&mut applied);
    if resource.kind == "Secret" {
        // Owned as what it becomes, or applying it again without a key would leave that key behind.
        coffer_api::secret::merge_string_data(&mut applied);
    }
    // What the other subresource keeps is neither written nor owned.
    let mut owned = applied.clone();
    let parts = object::as_map(&mut owned);
    if how.status {
        parts.retain(|field, _| field == "status");
    } else if resource.has_status {
        parts.remove("status");
    }
    let wanted = fields::of(&owned, schema);

    let Some(before) = txn.get(&target.key()).cloned() else {
        if how.status {
            return Err(target.absent());
        }
        if !meta(&applied, "resourceVersion").is_empty() || !meta(&applied, "uid").is_empty() {
            let why = "the object does not exist, so it has no uid or resourceVersion to match";
            return Err(Status::conflict(resource, &target.name, why));
        }
        let managers = vec![entry(target, how, wanted)];
        return registry::create_recorded(resources, txn, target, applied, how, Record::Managers(managers));
    };

    let mut merged = Value::clone(&before);
    merge(&mut merged, &owned, schema, true);
    for field in ["resourceVersion", "uid"] {
        // Preconditions, checked when the object is replaced.
        let given = meta(&applied, field);
        if !given.is_empty() {
            let given = given.to_owned();
            meta_mut(&mut merged).insert(field.into(), given.into());
        }
    }

    let mut managers = fields::entries(&before);
    let (mine, others): (Vec<&Entry>, Vec<&Entry>) =
        managers.iter().partition(|entry| entry.is(&how.manager, true, how.subresource()));
    let taken: Fields = wanted.iter().filter(|path| !fields::same(&before, &merged, path)).cloned().collect();
    let mut conflicts: Vec<Cause> = Vec::new();
    for other in &others {
        for path in other.fields.intersection(&taken) {
            conflicts.push(conflict(other, path));
        }
    }
    if !conflicts.is_empty() && !force {
        return Err(Status::apply_conflict(resource, &target.name, conflicts));
    }

    let previous = fields::with_parents(mine.iter().flat_map(|entry| &entry.fields));
    let kept = fields::with_parents(others.iter().flat_map(|entry| &entry.fields).chain(&wanted));
    for path in previous.difference(&kept) {
        fields::remove(&mut merged, path);
    }

    for other in managers.iter_mut().filter(|entry| !entry.is(&how.manager, true, how.subresource())) {
        other.fields.retain(|path| !taken.contains(path));
    }
    let mut new = entry(target, how, wanted);
    match managers.iter_mut().find(|entry| entry.is(&how.manager, true, how.subresource())) {
        Some(own) => {
            // The time says when what is owned or its values last changed; a repeated apply changes nothing.
            if own.fields == new.fields && taken.is_empty() {
                new.time.clone_from(&own.time);
            }
            *own = new;
        }
        None => managers.push(new),
    }
    registry::replace(txn, target, &before, merged, how, Record::Managers(managers))
}

fn entry(target: &Target, how: &Write, fields: Fields) -> Entry {
    Entry {
        manager: how.manager.clone(),
        apply: true,
        subresource: how.subresource().into(),
        api_version: target.resource.api_version(),
        time: object::now(),
        fields,
    }
}

fn conflict(other: &Entry, path: &fields::Path) -> Cause {
    let using = if other.apply { String::new() } else { format!(" using {}", other.api_version) };
    let subresource =
        if other.subresource.is_empty() { String::new() } else { format!(" with subresource {:?}", other.subresource) };
    Cause {
        reason: "FieldManagerConflict",
        message: format!("conflict with {:?}{subresource}{using}", other.manager),
        field: fields::display(path),
    }
}

/// Merges what is applied into what is there: maps field by field, lists by their kind, all else as a whole.
fn merge(live: &mut Value, applied: &Value, schema: &Value, top: bool) {
    match (&mut *live, applied) {
        (Value::Object(live), Value::Object(applied)) if !fields::is_atomic_map(schema) => {
            for (field, value) in applied {
                let schema = fields::schema_of(schema, field, top);
                match live.get_mut(field) {
                    Some(live) => merge(live, value, schema, false),
                    None => {
                        live.insert(field.clone(), value.clone());
                    }
                }
            }
        }
        (Value::Array(live), Value::Array(applied)) if !matches!(fields::list_type(schema), List::Atomic) => {
            let list = fields::list_type(schema);
            for value in applied {
                let element = fields::entry_element(&list, value);
                match live.iter_mut().find(|entry| fields::entry_element(&list, entry) == element) {
                    Some(live) => merge(live, value, fields::items(schema), false),
                    None => live.push(value.clone()),
                }
            }
        }
        (live, applied) => *live = applied.clone(),
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => drop_nulls_of(map),
        Value::Array(entries) => entries.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn drop_nulls_of(map: &mut Map<String, Value>) {
    map.retain(|_, value| !value.is_null());
    map.values_mut().for_each(drop_nulls);
}
