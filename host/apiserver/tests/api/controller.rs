//! A kube-rs controller at work on the embedded server: watcher, finalizer, server-side apply, status.

use std::sync::Arc;
use std::time::Duration;

use coffer_api::{BackupStorage, Snapshot};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{Event as Finalizer, finalizer};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::watcher;
use kube::{Client, Resource, ResourceExt};
use serde_json::json;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Kube(#[from] kube::Error),
    #[error("{0}")]
    Finalizer(String),
}

/// Makes a Secret for every storage and says so in its status.
async fn reconcile(storage: Arc<BackupStorage>, client: Arc<Client>) -> Result<Action, Error> {
    let client = Client::clone(&client);
    let namespace = storage.namespace().unwrap_or_default();
    let storages: Api<BackupStorage> = Api::namespaced(client.clone(), &namespace);
    let handled = finalizer(&storages, "coffer.dev/test", storage, |event| async {
        match event {
            Finalizer::Apply(storage) => {
                let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
                let secret = json!({
                    "apiVersion": "v1", "kind": "Secret",
                    "metadata": {"name": storage.name_any(), "ownerReferences": [storage.controller_owner_ref(&())]},
                    "stringData": {"made": "yes"},
                });
                let params = PatchParams::apply("test-controller").force();
                secrets.patch(&storage.name_any(), &params, &Patch::Apply(secret)).await?;
                let status = json!({
                    "apiVersion": "coffer.dev/v1alpha1", "kind": "BackupStorage",
                    "status": {"phase": "Ready", "observedGeneration": storage.metadata.generation},
                });
                storages.patch_status(&storage.name_any(), &params, &Patch::Apply(status)).await?;
            }
            Finalizer::Cleanup(_) => {}
        }
        Ok::<_, Error>(Action::await_change())
    })
    .await;
    handled.map_err(|error| Error::Finalizer(error.to_string()))
}

#[tokio::test]
async fn a_controller_lives_on_it() {
    let fixture = crate::Fixture::start().await;
    let client = fixture.server.client();
    let storages: Api<BackupStorage> = Api::default_namespaced(client.clone());
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let everywhere: Api<BackupStorage> = Api::all(client.clone());
    // Streaming lists, so that this way of starting a watch is seen to work as well.
    let controller = Controller::new(everywhere, watcher::Config::default().streaming_lists())
        .owns(Api::<Secret>::all(client.clone()), watcher::Config::default())
        .graceful_shutdown_on(async {
            let _ = stopped.await;
        })
        .run(reconcile, |_, error, _| panic!("{error}"), Arc::new(client.clone()))
        .for_each(|result| async {
            result.unwrap();
        });
    let controller = tokio::spawn(controller);

    let storage: BackupStorage = serde_json::from_value(json!({
        "apiVersion": "coffer.dev/v1alpha1", "kind": "BackupStorage",
        "metadata": {"name": "disk"}, "spec": {"local": {"path": "/backups"}},
    }))
    .unwrap();
    let made = storages.create(&PostParams::default(), &storage).await.unwrap();
    let ready = |object: Option<&BackupStorage>| {
        object.is_some_and(|object| serde_json::to_value(object).unwrap()["status"]["phase"] == "Ready")
    };
    within(await_condition(storages.clone(), "disk", ready)).await.unwrap();
    assert_eq!(secrets.get("disk").await.unwrap().data.unwrap()["made"].0, b"yes");

    // What it owns comes back.
    let before = secrets.get("disk").await.unwrap().uid();
    secrets.delete("disk", &DeleteParams::default()).await.unwrap();
    within(async {
        while secrets.get_opt("disk").await.unwrap().is_none_or(|secret| secret.uid() == before) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;

    storages.delete("disk", &DeleteParams::default()).await.unwrap();
    let uid = made.uid().unwrap();
    let gone = conditions::is_deleted(&uid);
    within(await_condition(storages, "disk", gone)).await.unwrap();
    assert!(secrets.get_opt("disk").await.unwrap().is_none());
    let _ = stop.send(());
    within(controller).await.unwrap();
    // A kind without any object lists as well.
    assert!(Api::<Snapshot>::all(client).list(&ListParams::default()).await.unwrap().items.is_empty());
}

/// Long enough for a busy machine; reached only when something never happens.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("did not happen")
}
