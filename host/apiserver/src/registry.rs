//! Creating and replacing objects: the rules every write passes, as pure changes of a [`Txn`].
//!
//! Update, every kind of patch and apply meet in [`replace`], which decides what of the new object counts (spec or
//! status, never identity), whether it changed at all, and what becomes of `generation` and the managed fields.

use std::fmt;
use std::sync::Arc;

use coffer_api::Kind;
use serde_json::{Map, Value, json};

use crate::fields::{self, Author, Entry, Fields};
use crate::media::MAX_OBJECT;
use crate::metadata;
use crate::object::{self, meta, meta_mut};
use crate::query::FieldValidation;
use crate::resource::{Resource, Resources};
use crate::status::{Cause, Result, Status};
use crate::store::{Key, Store};
use crate::txn::Txn;
use crate::{Error, delete};

/// Deeper than any manifest. What is stored must be readable again, and the JSON parser stops at 128.
const MAX_DEPTH: usize = 64;

/// The store and the kinds in it.
pub(crate) struct Registry {
    pub(crate) store: Store,
    pub(crate) resources: Resources,
}

/// The object that a URL names; `name` is "" where it names a collection.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) resource: Arc<Resource>,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Target {
    pub(crate) fn key(&self) -> Key {
        Key { resource: self.resource.id.clone(), namespace: self.namespace.clone(), name: self.name.clone() }
    }

    pub(crate) fn absent(&self) -> Status {
        Status::not_found(&self.resource, &self.name)
    }
}

/// As messages name it: `secrets "shop-auth" in namespace "demo"`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource.qualified())?;
        if !self.name.is_empty() {
            write!(f, " {:?}", self.name)?;
        }
        if !self.namespace.is_empty() {
            write!(f, " in namespace {:?}", self.namespace)?;
        }
        Ok(())
    }
}

/// How a write was asked for, and what the client is to be warned of.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) manager: String,
    pub(crate) validation: FieldValidation,
    /// The `status` subresource: only the status is written. Otherwise everything else is.
    pub(crate) status: bool,
    pub(crate) warnings: Vec<String>,
}

impl Write {
    pub(crate) fn subresource(&self) -> &'static str {
        if self.status { "status" } else { "" }
    }
}

/// What a write records of who owns which fields.
pub(crate) enum Record {
    /// The manager owns what it changed.
    Changes,
    /// Server-side apply: exactly these managers.
    Managers(Vec<Entry>),
}

impl Registry {
    /// Makes the `default` namespace if there is none.
    pub(crate) fn open(store: Store, kinds: &[Kind]) -> std::result::Result<Registry, Error> {
        let resources = Resources::new(kinds);
        let Some(namespaces) = resources.find("", "v1", "namespaces") else {
            return Err(Error::Kind { kind: "Namespace".into(), reason: "the catalog lacks it".into() });
        };
        let target = Target { resource: namespaces.clone(), namespace: String::new(), name: "default".into() };
        let made = store.write(|txn| {
            if txn.get(&target.key()).is_none() {
                let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}});
                let mut how = Write {
                    manager: "coffer".into(),
                    validation: FieldValidation::Strict,
                    status: false,
                    warnings: Vec::new(),
                };
                create(&resources, txn, &target, namespace, &mut how)?;
            }
            Ok(())
        });
        made.map_err(|status| Error::Kind { kind: "Namespace".into(), reason: status.message().into() })?;
        Ok(Registry { store, resources })
    }

    /// Runs a write off the async threads, since it waits for the disk.
    pub(crate) async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        dry_run: bool,
        change: impl FnOnce(&Resources, &mut Txn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let registry = self.clone();
        let run = move || {
            let change = |txn: &mut Txn| change(&registry.resources, txn);
            if dry_run { registry.store.rehearse(change) } else { registry.store.write(change) }
        };
        tokio::task::spawn_blocking(run).await.map_err(Status::internal)?
    }
}

/// Stores a new object.
pub(crate) fn create(
    resources: &Resources,
    txn: &mut Txn,
    target: &Target,
    object: Value,
    how: &mut Write,
) -> Result<Arc<Value>> {
    create_recorded(resources, txn, target, object, how, Record::Changes)
}

pub(crate) fn create_recorded(
    resources: &Resources,
    txn: &mut Txn,
    target: &Target,
    mut object: Value,
    how: &mut Write,
    record: Record,
) -> Result<Arc<Value>> {
    let resource = &target.resource;
    let mut target = target.clone();
    metadata::fit(&target, &mut object)?;
    if !meta(&object, "resourceVersion").is_empty() {
        return Err(Status::bad_request("resourceVersion should not be set on objects to be created"));
    }
    metadata::require_namespace(resources, txn, &target)?;
    if target.name.is_empty() {
        target.name = metadata::name_for(txn, &target, &mut object)?;
    }
    if txn.get(&target.key()).is_some() {
        return Err(Status::already_exists(resource, &target.name));
    }
    if resource.has_status {
        object::as_map(&mut object).remove("status");
    }
    let fields = meta_mut(&mut object);
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields"] {
        fields.remove(field);
    }
    fields.insert("uid".into(), object::new_uid().into());
    fields.insert("creationTimestamp".into(), object::now().into());
    if !resource.is_core() {
        fields.insert("generation".into(), 1.into());
    }
    let mut object = check(&target, object, how)?;
    if resource.kind == "Namespace" {
        let labels = object::entry_map(meta_mut(&mut object), "labels");
        labels.insert("kubernetes.io/metadata.name".into(), target.name.as_str().into());
        object::as_map(&mut object).insert("status".into(), json!({"phase": "Active"}));
    }
    let managers = match record {
        Record::Changes => {
            let mut managers = Vec::new();
            fields::record_update(&mut managers, &Value::Null, &object, &resource.schema, &author(resource, how));
            managers
        }
        Record::Managers(managers) => managers,
    };
    fields::set_entries(&mut object, &managers);
    let created = put(txn, &target, object)?;
    delete::collect_if_orphaned(txn, &target.key());
    Ok(created)
}

/// Replaces an object as a whole (HTTP PUT).
pub(crate) fn update(txn: &mut Txn, target: &Target, mut object: Value, how: &mut Write) -> Result<Arc<Value>> {
    metadata::fit(target, &mut object)?;
    let before = txn.get(&target.key()).cloned().ok_or_else(|| target.absent())?;
    if meta(&object, "resourceVersion").is_empty() && !target.resource.is_core() {
        let cause = Cause {
            reason: "FieldValueInvalid",
            message: "Invalid value: 0: must be specified for an update".into(),
            field: "metadata.resourceVersion".into(),
        };
        return Err(Status::invalid(&target.resource, &target.name, vec![cause]));
    }
    replace(txn, target, &before, object, how, Record::Changes)
}

/// Puts `object` in the place of `before`, as far as the subresource reaches. Returns what is stored then, or the last
/// state of an object whose last finalizer this removed.
pub(crate) fn replace(
    txn: &mut Txn,
    target: &Target,
    before: &Arc<Value>,
    mut object: Value,
    how: &mut Write,
    record: Record,
) -> Result<Arc<Value>> {
    let resource = &target.resource;
    preconditions(target, before, meta(&object, "resourceVersion"), meta(&object, "uid"))?;
    let given_managers = fields::entries(&object);
    if how.status {
        let status = object.get_mut("status").map(Value::take);
        object = Value::clone(before);
        set_or_remove(object::as_map(&mut object), "status", status);
    } else {
        if resource.has_status {
            set_or_remove(object::as_map(&mut object), "status", before.get("status").cloned());
        }
        keep_identity(before, &mut object);
    }
    meta_mut(&mut object).remove("managedFields");
    let going = object::is_deleting(before);
    if going {
        metadata::no_new_finalizers(target, before, &object)?;
    }
    // An object on its way out is not held up by rules that came after it was stored.
    if !going || !same_content(before, &object, true) {
        object = check(target, object, how)?;
        keep_identity(before, &mut object);
    }
    metadata::keep_immutable(target, before, &object)?;
    coffer_api::validate_update(before, &object).map_err(|invalid| refusal(target, invalid))?;
    if !resource.is_core() && !same_content(before, &object, false) {
        let generation = before.pointer("/metadata/generation").and_then(Value::as_u64).unwrap_or_default() + 1;
        meta_mut(&mut object).insert("generation".into(), generation.into());
    }
    let managers = match record {
        Record::Managers(managers) => managers,
        Record::Changes => {
            // None given means: leave them be.
            let mut managers = if given_managers.is_empty() { fields::entries(before) } else { given_managers };
            fields::record_update(&mut managers, before, &object, &resource.schema, &author(resource, how));
            managers
        }
    };
    fields::set_entries(&mut object, &managers);
    if object == **before {
        return Ok(before.clone());
    }
    let stored = put(txn, target, object)?;
    if going && object::finalizers(&stored).next().is_none() {
        return Ok(delete::remove(txn, &target.key()).unwrap_or(stored));
    }
    Ok(stored)
}

/// Stores an object unless patches have made it too large; a deletion that goes on may do so all the same.
fn put(txn: &mut Txn, target: &Target, object: Value) -> Result<Arc<Value>> {
    let stored = txn.put(target.key(), object);
    let bytes = txn.changes.last().map_or(0, |change| change.bytes);
    if bytes > MAX_OBJECT && !object::is_deleting(&stored) {
        return Err(Status::too_large(target, MAX_OBJECT));
    }
    Ok(stored)
}

/// The conditions that a write or a deletion may carry; "" is none.
pub(crate) fn preconditions(target: &Target, before: &Value, resource_version: &str, uid: &str) -> Result<()> {
    if !uid.is_empty() && uid != object::uid(before) {
        let why =
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", object::uid(before));
        return Err(Status::conflict(&target.resource, &target.name, why));
    }
    if !resource_version.is_empty() && resource_version != meta(before, "resourceVersion") {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Status::conflict(&target.resource, &target.name, why));
    }
    Ok(())
}

/// The fields of metadata that no client writes.
fn keep_identity(before: &Value, object: &mut Value) {
    let kept = before.get("metadata");
    let fields = meta_mut(object);
    for field in metadata::SERVER_SET {
        set_or_remove(fields, field, kept.and_then(|kept| kept.get(field)).cloned());
    }
}

fn set_or_remove(map: &mut Map<String, Value>, field: &str, value: Option<Value>) {
    match value {
        Some(value) => map.insert(field.into(), value),
        None => map.remove(field),
    };
}

/// Whether two objects have one content: everything but metadata and, unless asked for, status.
fn same_content(left: &Value, right: &Value, with_status: bool) -> bool {
    let content = |object: &'_ Value| -> Vec<(String, Value)> {
        let fields = object.as_object().into_iter().flatten();
        fields
            .filter(|(field, _)| *field != "metadata" && (with_status || *field != "status"))
            .map(|(field, value)| (field.clone(), value.clone()))
            .collect()
    };
    content(left) == content(right)
}

fn author<'a>(resource: &'a Resource, how: &'a Write) -> Author<'a> {
    Author { manager: &how.manager, subresource: how.subresource(), api_version: resource.api_version() }
}

/// Checks an object against its kind's rules and fills in defaults. Unknown fields are refused or dropped.
fn check(target: &Target, mut object: Value, how: &mut Write) -> Result<Value> {
    let resource = &target.resource;
    if !metadata::is_shallow(&object, MAX_DEPTH) {
        return Err(Status::bad_request(format!("the object is nested more than {MAX_DEPTH} levels deep")));
    }
    if how.validation != FieldValidation::Strict {
        let mut unknown = Fields::new();
        metadata::drop_unknown(&mut object, &resource.schema, &mut Vec::new(), &mut unknown);
        if how.validation == FieldValidation::Warn {
            how.warnings.extend(unknown.iter().map(|path| format!("unknown field \"{}\"", path.join("."))));
        }
    }
    match coffer_api::validate(&mut object) {
        Ok(()) => Ok(object),
        Err(invalid) => Err(refusal(target, invalid)),
    }
}

fn refusal(target: &Target, invalid: coffer_api::Invalid) -> Status {
    Status::invalid(&target.resource, &target.name, invalid.causes.into_iter().map(cause).collect())
}

fn cause(cause: coffer_api::Cause) -> Cause {
    let message = match cause.hint {
        Some(hint) => format!("{} ({hint})", cause.message),
        None => cause.message,
    };
    let reason = if message.starts_with("required") { "FieldValueRequired" } else { "FieldValueInvalid" };
    Cause { reason, message, field: cause.field }
}
