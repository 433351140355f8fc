//! From what the user calls a kind (`bc`, `backupconfigurations`, `BackupConfiguration`) to the API that serves it.

use crate::failure::{Failure, Result};
use coffer_api::Kind;
use kube::api::DynamicObject;
use kube::discovery::ApiResource;
use kube::{Api, Client};

/// The kind that `name` means.
pub fn kind(name: &str) -> Result<&'static Kind> {
    coffer_api::kinds().iter().find(|kind| kind.is_called(name)).ok_or_else(|| {
        let known: Vec<&str> = coffer_api::kinds().iter().map(|kind| kind.plural.as_str()).collect();
        Failure::new(format_args!("there is no kind {name:?}")).hint(format_args!("kinds: {}", known.join(", ")))
    })
}

pub fn api_resource(kind: &Kind) -> ApiResource {
    ApiResource {
        group: kind.group.clone(),
        version: kind.version.clone(),
        api_version: kind.api_version(),
        kind: kind.kind.clone(),
        plural: kind.plural.clone(),
    }
}

/// The kind's API in one namespace, or in none when the kind has none.
pub fn api(client: &Client, kind: &Kind, namespace: &str) -> Api<DynamicObject> {
    let resource = api_resource(kind);
    if kind.namespaced {
        Api::namespaced_with(client.clone(), namespace, &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    }
}

/// Refuses the name of nothing, before something is made of it that can only fail. Who may not look is not held up by it: whoever
/// does the work looks again.
pub async fn must_exist(client: &Client, name_of_kind: &str, name: &str, namespace: &str) -> Result<()> {
    let kind = kind(name_of_kind)?;
    match api(client, kind, namespace).get_metadata_opt(name).await {
        Ok(None) => Err(not_found(kind, name, namespace)),
        Ok(Some(_)) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
        Err(error) => Err(Failure::api(format_args!("unable to read {}", label(kind, name)), &error)),
    }
}

/// `backupsession/shop-1`, as results name an object.
pub fn label(kind: &Kind, name: &str) -> String {
    format!("{}/{name}", kind.singular)
}

/// An object that is not there, with the way to see those that are.
pub fn not_found(kind: &Kind, name: &str, namespace: &str) -> Failure {
    if kind.namespaced {
        Failure::new(format_args!("there is no {} {name} in namespace {namespace}", kind.kind))
            .hint(format_args!("`coffer get {} -A` lists those of all namespaces", kind.plural))
    } else {
        Failure::new(format_args!("there is no {} {name}", kind.kind))
            .hint(format_args!("`coffer get {}` lists them", kind.plural))
    }
}
