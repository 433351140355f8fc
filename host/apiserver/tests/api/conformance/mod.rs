//! The conventions of the Kubernetes API, asked of a `kube::Client`. Each check runs in process and over the network;
//! with `COFFER_CONFORMANCE_KUBECONFIG` (a cluster where Coffer's CRDs are installed) against a real API server too.

mod applying;
mod deleting;
mod objects;
mod watching;

use applying::*;
use deleting::*;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, PostParams};
use kube::{Client, Error, ResourceExt};
use objects::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use watching::*;

macro_rules! conformance {
    ($($name:ident),* $(,)?) => {
        mod in_process {
            $(#[tokio::test]
            async fn $name() {
                let fixture = crate::Fixture::start().await;
                let client = fixture.server.client();
                let namespace = super::namespace(&client).await;
                super::$name(client, &namespace).await;
            })*
        }
        mod over_the_network {
            $(#[tokio::test]
            async fn $name() {
                let fixture = crate::Fixture::start().await;
                let client = fixture.remote().await;
                let namespace = super::namespace(&client).await;
                super::$name(client, &namespace).await;
            })*
        }
        mod in_a_cluster {
            $(#[tokio::test]
            async fn $name() {
                let Some(client) = super::cluster().await else { return };
                let namespace = super::namespace(&client).await;
                super::$name(client.clone(), &namespace).await;
                let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(client);
                namespaces.delete(&namespace, &Default::default()).await.unwrap();
            })*
        }
    };
}

conformance!(
    create_get_list_delete,
    refuses_what_exists_and_what_does_not,
    generates_names,
    stale_updates_conflict,
    status_and_spec_are_apart,
    merge_and_json_patches,
    strategic_patches_for_core_kinds_only,
    names_the_misspelt_field,
    names_are_strings,
    sessions_keep_their_spec,
    unknown_fields_can_be_dropped,
    secrets_take_plain_text,
    apply_owns_fields,
    apply_to_status,
    apply_keeps_other_owners_lists,
    finalizers_hold_an_object,
    owners_take_their_dependents_along,
    owners_across_scopes,
    orphans_stay,
    foreground_waits_for_dependents,
    selectors,
    pages,
    watches_from_the_start,
    watches_go_on_from_a_version,
    a_label_that_changes_enters_and_leaves_a_watch,
    deletes_collections,
    namespaces_take_their_content_along,
    absent_namespaces_are_refused,
    dry_runs_change_nothing,
    preconditions_hold,
);

async fn cluster() -> Option<Client> {
    static SKIPPED: std::sync::Once = std::sync::Once::new();
    let Some(path) = std::env::var_os("COFFER_CONFORMANCE_KUBECONFIG") else {
        SKIPPED
            .call_once(|| coffer_test_servers::skipped("conformance in a cluster: set COFFER_CONFORMANCE_KUBECONFIG"));
        return None;
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = kube::config::Kubeconfig::read_from(path).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
    Some(Client::try_from(config).unwrap())
}

async fn namespace(client: &Client) -> String {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = object(json!({"metadata": {"generateName": "conformance-"}}));
    namespaces.create(&PostParams::default(), &namespace).await.unwrap().name_any()
}

/// A typed object from JSON.
fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn secret(name: &str, labels: Value) -> Secret {
    object(json!({"metadata": {"name": name, "labels": labels}, "stringData": {"key": "value"}}))
}

fn storage(name: &str) -> Value {
    json!({
        "apiVersion": "coffer.dev/v1alpha1", "kind": "BackupStorage",
        "metadata": {"name": name}, "spec": {"local": {"path": "/backups"}},
    })
}

fn binding(name: &str) -> Value {
    json!({
        "apiVersion": "coffer.dev/v1alpha1", "kind": "AppBinding", "metadata": {"name": name},
        "spec": {"type": "postgresql", "clientConfig": {"url": "postgresql://127.0.0.1:5432/shop"}},
    })
}

/// The status of a refusal: code, reason, message.
#[track_caller]
fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> (u16, String, String) {
    match result {
        Err(Error::Api(status)) => (status.code, status.reason.clone(), status.message.clone()),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Clusters collect garbage behind the API server, so what must happen is waited for.
async fn gone<K>(api: &Api<K>, name: &str)
where
    K: Clone + std::fmt::Debug + DeserializeOwned + kube::Resource,
{
    for _ in 0..600 {
        if api.get_opt(name).await.unwrap().is_none() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{name} is still there");
}
