//! Reading and writing objects: one way to fetch what a reference names, one way to write a status.

use crate::error::{Error, Result};
use coffer_api::{FailureClass, Time, labels};
use kube::api::{Patch, PatchParams};
use kube::core::{ClusterResourceScope, NamespaceResourceScope};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;

/// What every kind here is.
pub(crate) trait Object: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize {}
impl<K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize> Object for K {}

/// `Repository demo/shop-repo`, as messages name an object.
pub(crate) fn label<K: Object>(object: &K) -> String {
    match object.namespace() {
        Some(namespace) => format!("{} {namespace}/{}", K::kind(&()), object.name_any()),
        None => format!("{} {}", K::kind(&()), object.name_any()),
    }
}

/// The namespaced object of that name. One that is not there is a refusal with a remedy.
pub(crate) async fn get<K>(client: &Client, namespace: &str, name: &str) -> Result<K>
where
    K: Object + Resource<Scope = NamespaceResourceScope>,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    found(api.get_opt(name).await, &format!("{namespace}/{name}"))
}

/// The cluster-wide object of that name.
pub(crate) async fn get_cluster<K>(client: &Client, name: &str) -> Result<K>
where
    K: Object + Resource<Scope = ClusterResourceScope>,
{
    let api: Api<K> = Api::all(client.clone());
    found(api.get_opt(name).await, name)
}

fn found<K: Object>(answer: kube::Result<Option<K>>, name: &str) -> Result<K> {
    let kind = K::kind(&());
    match answer {
        Ok(Some(object)) => Ok(object),
        Ok(None) => {
            let hint = match kind.as_ref() {
                "Task" | "Function" => "install the addon that brings it: `coffer addon install FILE`".to_owned(),
                kind => format!("apply the {kind}, or correct the name that refers to it"),
            };
            Err(Error::refused(FailureClass::NotFound, format!("there is no {kind} {name}")).hint(hint))
        }
        Err(source) => Err(Error::api("read", format_args!("{kind} {name}"))(source)),
    }
}

/// Writes the whole status of `object` by server-side apply, so that a field which is not in it goes away. Nothing is
/// written when nothing changed: a reconcile must not wake itself.
pub(crate) async fn write_status<K: Object>(api: &Api<K>, object: &K, status: &impl Serialize) -> Result<()> {
    let what = format!("the status of {}", label(object));
    let to_json = |value: serde_json::Result<Value>| {
        value.map_err(|error| Error::refused(FailureClass::Host, format!("unable to write {what} as JSON: {error}")))
    };
    let status = to_json(serde_json::to_value(status))?;
    let before = to_json(serde_json::to_value(object))?;
    if before.get("status") == Some(&status) {
        return Ok(());
    }
    patch_status(api, &object.name_any(), status).await.map_err(Error::api("write", what))
}

/// The same for a status that is known to be new.
pub(crate) async fn patch_status<K: Object>(api: &Api<K>, name: &str, status: Value) -> kube::Result<()> {
    let patch = json!({"apiVersion": K::api_version(&()), "kind": K::kind(&()), "status": status});
    let params = PatchParams::apply(labels::MANAGER).force();
    api.patch_status(name, &params, &Patch::Apply(&patch)).await.map(drop)
}

/// Makes `object` or brings it to this shape; fields that others set stay.
pub(crate) async fn apply<K: Object>(api: &Api<K>, object: &K) -> Result<()> {
    let params = PatchParams::apply(labels::MANAGER).force();
    let written = api.patch(&object.name_any(), &params, &Patch::Apply(typed(object)?)).await;
    written.map(drop).map_err(Error::api("write", label(object)))
}

/// The object with `apiVersion` and `kind`, which types of k8s-openapi leave to the reader.
fn typed<K: Object>(object: &K) -> Result<Value> {
    let mut value = serde_json::to_value(object).map_err(|error| {
        Error::refused(FailureClass::Host, format!("unable to write {} as JSON: {error}", label(object)))
    })?;
    if let Some(value) = value.as_object_mut() {
        value.insert("apiVersion".to_owned(), K::api_version(&()).into());
        value.insert("kind".to_owned(), K::kind(&()).into());
    }
    Ok(value)
}

pub(crate) fn now() -> Time {
    Time(jiff::Timestamp::now())
}
