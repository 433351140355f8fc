//! Refuses a bad object before it is stored: the same checks for the embedded control plane, for `coffer apply` on a
//! cluster that is not asked yet, and for what an addon describes.
//!
//! First the shape ([`structural`]): unknown fields, types, required fields, defaults. Only when that holds, the rules
//! that span fields, which live with their kinds. An update also has to fit what was there ([`transition`]).

mod format;
mod structural;
pub(crate) mod transition;

use std::{collections::BTreeMap, fmt};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    AppBindingSpec, BackupConfigurationSpec, BackupStorageSpec, GROUP, RepositorySpec, RestoreSessionSpec, TaskSpec,
    catalog::{self, Kind},
    hint, secret,
};

/// An object that was refused, and everything that is wrong with it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct Invalid {
    /// The object's kind.
    pub kind: String,
    /// Its namespace, when it has one.
    pub namespace: Option<String>,
    /// Its name; empty when it has none.
    pub name: String,
    /// What is wrong; never empty.
    pub causes: Vec<Cause>,
}

/// One thing that is wrong with an object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cause {
    /// Path of the field, such as `spec.sessions[0].timeout`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Cause {
    /// Something wrong with a field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), hint: None }
    }

    /// The same with a remedy.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, seen from an object that holds this one at `path`.
    pub fn under(mut self, path: &str) -> Self {
        self.field = if self.field.is_empty() { path.to_owned() } else { format!("{path}.{}", self.field) };
        self
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl Invalid {
    /// Kind, namespace and name for people: `AppBinding demo/shop`.
    pub fn object(&self) -> String {
        let name = if self.name.is_empty() { "without a name" } else { &self.name };
        match &self.namespace {
            Some(namespace) => format!("{} {namespace}/{name}", self.kind),
            None => format!("{} {name}", self.kind),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is refused", self.object())?;
        for cause in &self.causes {
            write!(f, "\n  {cause}")?;
        }
        Ok(())
    }
}

/// Checks an object and fills in its defaults. Nulls that a schema does not allow are dropped, as Kubernetes does;
/// a Secret's `stringData` becomes `data`.
pub fn validate(object: &mut Value) -> Result<(), Invalid> {
    let mut causes = Vec::new();
    match known_kind(object) {
        Ok(kind) => {
            if kind.kind == "Secret" && kind.group.is_empty() {
                secret::merge_string_data(object);
            }
            shape(kind, object, &mut causes);
            if causes.is_empty() && kind.group == GROUP {
                meaning(kind, object, &mut causes);
            }
        }
        Err(cause) => causes.push(cause),
    }
    if causes.is_empty() { Ok(()) } else { Err(refused(object, causes)) }
}

/// Checks what only a comparison with the object that is there can tell: fields that are never changed. Both must have passed
/// [`validate`].
pub fn validate_update(before: &Value, after: &Value) -> Result<(), Invalid> {
    let Ok(kind) = known_kind(after) else { return Ok(()) };
    let mut causes = Vec::new();
    transition::check(&kind.schema, before, after, "", &mut causes);
    if causes.is_empty() { Ok(()) } else { Err(refused(after, causes)) }
}

fn refused(object: &Value, causes: Vec<Cause>) -> Invalid {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    let name = match object.pointer("/metadata/name") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(name)) => name.clone(),
        // It is no name, but what stands where one should.
        Some(other) => other.to_string(),
    };
    Invalid {
        kind: text("/kind").unwrap_or("object").to_owned(),
        namespace: text("/metadata/namespace").map(str::to_owned),
        name,
        causes,
    }
}

fn known_kind(object: &Value) -> Result<&'static Kind, Cause> {
    let text = |field: &str, example: &str| {
        object.get(field).and_then(Value::as_str).filter(|text| !text.is_empty()).ok_or_else(|| {
            Cause::new(field, "missing: this is no Kubernetes object").hint(format!("write {field}: {example}"))
        })
    };
    let (api_version, kind) = (text("apiVersion", crate::API_VERSION)?, text("kind", "BackupConfiguration")?);
    if let Some(found) = catalog::find(api_version, kind) {
        return Ok(found);
    }
    if let Some(other) = catalog::kinds().iter().find(|other| other.kind == kind) {
        return Err(Cause::new("apiVersion", format!("{api_version:?} has no kind {kind}"))
            .hint(format!("write apiVersion: {}", other.api_version())));
    }
    let kinds = catalog::kinds().iter().map(|kind| kind.kind.as_str());
    Err(Cause::new("kind", format!("unknown kind {kind:?}")).hint(hint::unknown(kind, kinds, "kinds")))
}

fn shape(kind: &Kind, object: &mut Value, causes: &mut Vec<Cause>) {
    structural::check(&envelope(kind), object, "", causes);
    let given = |field: &str| object.pointer(&format!("/metadata/{field}"));
    let metadata = |field: &str| given(field).and_then(Value::as_str);
    match (metadata("name"), metadata("generateName")) {
        // What is there and no string was refused as such.
        (None, _) if given("name").or(given("generateName")).is_some_and(|given| !given.is_string()) => {}
        (None, None) => causes.push(Cause::new("metadata.name", "missing").hint("give the object a name")),
        (Some(name), _) => {
            // A namespace is a label of names inside it, so it has the stricter form.
            let format = if kind.kind == "Namespace" { "k8s-short-name" } else { "k8s-long-name" };
            causes.extend(format::check(format, name).err().map(|why| Cause::new("metadata.name", why)));
        }
        (None, Some(_)) => {}
    }
    if let Some(namespace) = metadata("namespace")
        && !kind.namespaced
        && !namespace.is_empty()
    {
        causes.push(
            Cause::new("metadata.namespace", format!("a {} belongs to no namespace", kind.kind)).hint("remove it"),
        );
    }
}

/// The kind's schema with the fields that every object has.
fn envelope(kind: &Kind) -> Value {
    let mut schema = kind.schema.clone();
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.insert("apiVersion".to_owned(), json!({"type": "string"}));
        properties.insert("kind".to_owned(), json!({"type": "string"}));
        properties.insert("metadata".to_owned(), metadata_schema());
    }
    if let Some(schema) = schema.as_object_mut() {
        let required = schema.entry("required").or_insert_with(|| json!([]));
        if let Some(required) = required.as_array_mut() {
            required.push(json!("metadata"));
        }
    }
    schema
}

fn metadata_schema() -> Value {
    let text = json!({"type": "string"});
    let texts = json!({"type": "array", "items": text});
    json!({"type": "object", "properties": {
        "name": text,
        "generateName": text,
        "namespace": {"type": "string", "format": "k8s-short-name"},
        "labels": {"type": "object", "additionalProperties": {"type": "string", "format": "label-value"}},
        "annotations": {"type": "object", "additionalProperties": text},
        "finalizers": texts,
        "ownerReferences": {"type": "array", "items": {
            "type": "object",
            "required": ["apiVersion", "kind", "name", "uid"],
            "properties": {
                "apiVersion": text, "kind": text, "name": text, "uid": text,
                "controller": {"type": "boolean"}, "blockOwnerDeletion": {"type": "boolean"},
            },
        }},
        "uid": text,
        "resourceVersion": text,
        "generation": {"type": "integer"},
        "creationTimestamp": {"type": "string", "format": "date-time", "nullable": true},
        "deletionTimestamp": {"type": "string", "format": "date-time", "nullable": true},
        "deletionGracePeriodSeconds": {"type": "integer", "nullable": true},
        "managedFields": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
        "selfLink": text,
    }})
}

/// The rules that a schema cannot say.
fn meaning(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    match kind.kind.as_str() {
        "AppBinding" => typed::<AppBindingSpec>(object, causes, AppBindingSpec::check),
        "BackupConfiguration" => typed::<BackupConfigurationSpec>(object, causes, BackupConfigurationSpec::check),
        "BackupStorage" => typed::<BackupStorageSpec>(object, causes, BackupStorageSpec::check),
        "Function" => typed::<crate::FunctionSpec>(object, causes, crate::FunctionSpec::check),
        "Repository" => typed::<RepositorySpec>(object, causes, RepositorySpec::check),
        "RestoreSession" => typed::<RestoreSessionSpec>(object, causes, RestoreSessionSpec::check),
        "Task" => typed::<TaskSpec>(object, causes, TaskSpec::check),
        _ => {}
    }
}

fn typed<T: DeserializeOwned>(object: &Value, causes: &mut Vec<Cause>, check: impl FnOnce(&T, &mut Vec<Cause>)) {
    match serde_json::from_value(object.get("spec").cloned().unwrap_or_default()) {
        Ok(spec) => check(&spec, causes),
        Err(error) => causes.push(Cause::new("spec", error.to_string())),
    }
}

/// Exactly one of the fields at `path` is set.
pub(crate) fn exactly_one<const N: usize>(path: &str, fields: [(&str, bool); N], causes: &mut Vec<Cause>) {
    let names = fields.map(|(name, _)| name).join(", ");
    let set: Vec<&str> = fields.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
    match set.as_slice() {
        [_] => {}
        [] => causes.push(Cause::new(path, format!("needs exactly one of {names}; none is set"))),
        several => causes.push(
            Cause::new(path, format!("needs exactly one of {names}; {} are set", several.join(" and ")))
                .hint("keep one, remove the others"),
        ),
    }
}

/// No name stands twice.
pub(crate) fn unique<'a>(named: impl IntoIterator<Item = (String, &'a str)>, what: &str, causes: &mut Vec<Cause>) {
    let mut seen = BTreeMap::new();
    for (path, name) in named {
        match seen.get(name) {
            Some(first) => causes.push(
                Cause::new(path, format!("{name:?} stands at {first} too"))
                    .hint(format!("{what} have different names")),
            ),
            None => {
                seen.insert(name, path);
            }
        }
    }
}

#[cfg(test)]
mod tests;
