//! Deletion: finalizers, owners, collections, namespaces.

use coffer_api::{BackupStorage, Function, Task};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::{gone, namespace, object, refusal, secret, storage};

pub async fn finalizers_hold_an_object(client: Client, namespace: &str) {
    let storages: Api<BackupStorage> = Api::namespaced(client, namespace);
    let mut held = storage("disk");
    held["metadata"]["finalizers"] = json!(["coffer.dev/cleanup"]);
    storages.create(&PostParams::default(), &object(held)).await.unwrap();
    storages.delete("disk", &DeleteParams::default()).await.unwrap();
    let going = storages.get("disk").await.unwrap();
    let since = going.metadata.deletion_timestamp.clone();
    assert!(since.is_some());
    // Deleting it again changes nothing, and it takes no new finalizers.
    storages.delete("disk", &DeleteParams::default()).await.unwrap();
    assert_eq!(storages.get("disk").await.unwrap().metadata.deletion_timestamp, since);
    let more = json!({"metadata": {"finalizers": ["coffer.dev/cleanup", "coffer.dev/late"]}});
    let (code, _, _) = refusal(storages.patch("disk", &PatchParams::default(), &Patch::Merge(more)).await);
    assert_eq!(code, 422);
    let none = json!({"metadata": {"finalizers": null}});
    storages.patch("disk", &PatchParams::default(), &Patch::Merge(none)).await.unwrap();
    assert!(storages.get_opt("disk").await.unwrap().is_none());
}

/// The dependent's metadata: owned by these, held up by none of them.
fn owned_by(owners: &[Value]) -> Value {
    json!(owners)
}

fn owner<K: kube::Resource<DynamicType = ()>>(object: &K, block: bool) -> Value {
    json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()), "name": object.name_any(), "uid": object.uid(),
        "blockOwnerDeletion": block,
    })
}

pub async fn owners_take_their_dependents_along(client: Client, namespace: &str) {
    let storages: Api<BackupStorage> = Api::namespaced(client.clone(), namespace);
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    let params = PostParams::default();
    let first = storages.create(&params, &object(storage("first"))).await.unwrap();
    let second = storages.create(&params, &object(storage("second"))).await.unwrap();
    let made = |name: &str, owners: &[Value]| {
        object::<Secret>(json!({"metadata": {"name": name, "ownerReferences": owned_by(owners)}}))
    };
    secrets.create(&params, &made("child", &[owner(&first, false)])).await.unwrap();
    let child = secrets.get("child").await.unwrap();
    secrets.create(&params, &made("grandchild", &[owner(&child, false)])).await.unwrap();
    secrets.create(&params, &made("shared", &[owner(&first, false), owner(&second, false)])).await.unwrap();

    storages.delete("first", &DeleteParams::background()).await.unwrap();
    gone(&secrets, "child").await;
    gone(&secrets, "grandchild").await;
    assert!(secrets.get_opt("shared").await.unwrap().is_some());
    storages.delete("second", &DeleteParams::background()).await.unwrap();
    gone(&secrets, "shared").await;
    // Whoever is made for an owner that is gone goes as well.
    secrets.create(&params, &made("late", &[owner(&first, false)])).await.unwrap();
    gone(&secrets, "late").await;
}

pub async fn owners_across_scopes(client: Client, namespace: &str) {
    let functions: Api<Function> = Api::all(client.clone());
    let tasks: Api<Task> = Api::all(client.clone());
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    let params = PostParams::default();
    let name = format!("{namespace}-function");
    let function = json!({
        "apiVersion": "coffer.dev/v1alpha1", "kind": "Function", "metadata": {"name": name},
        "spec": {"addon": "postgres", "entry": "dump", "role": "source", "capabilities": ["application", "outbox"]},
    });
    let function = functions.create(&params, &object(function)).await.unwrap();
    let task = json!({
        "apiVersion": "coffer.dev/v1alpha1", "kind": "Task",
        "metadata": {"name": name, "ownerReferences": [owner(&function, false)]},
        "spec": {"steps": [{"name": "dump", "function": name}]},
    });
    tasks.create(&params, &object(task)).await.unwrap();
    let secret = json!({"metadata": {"name": "owned", "ownerReferences": [owner(&function, false)]}});
    secrets.create(&params, &object(secret)).await.unwrap();
    functions.delete(&name, &DeleteParams::default()).await.unwrap();
    gone(&functions, &name).await;
    gone(&tasks, &name).await;
    gone(&secrets, "owned").await;
}

pub async fn orphans_stay(client: Client, namespace: &str) {
    let storages: Api<BackupStorage> = Api::namespaced(client.clone(), namespace);
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    let params = PostParams::default();
    let parent = storages.create(&params, &object(storage("parent"))).await.unwrap();
    let secret = json!({"metadata": {"name": "child", "ownerReferences": [owner(&parent, false)]}});
    secrets.create(&params, &object(secret)).await.unwrap();
    storages.delete("parent", &DeleteParams::orphan()).await.unwrap();
    gone(&storages, "parent").await;
    assert!(secrets.get("child").await.unwrap().owner_references().is_empty());
}

pub async fn foreground_waits_for_dependents(client: Client, namespace: &str) {
    let storages: Api<BackupStorage> = Api::namespaced(client.clone(), namespace);
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    let params = PostParams::default();
    let parent = storages.create(&params, &object(storage("parent"))).await.unwrap();
    let secret = json!({"metadata": {
        "name": "child", "finalizers": ["coffer.dev/hold"], "ownerReferences": [owner(&parent, true)],
    }});
    secrets.create(&params, &object(secret)).await.unwrap();
    let foreground =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Foreground), ..DeleteParams::default() };
    storages.delete("parent", &foreground).await.unwrap();
    let going = storages.get("parent").await.unwrap();
    assert!(going.metadata.deletion_timestamp.is_some());
    assert_eq!(going.finalizers(), ["foregroundDeletion"]);
    for _ in 0..600 {
        if secrets.get("child").await.unwrap().metadata.deletion_timestamp.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let free = json!({"metadata": {"finalizers": null}});
    secrets.patch("child", &PatchParams::default(), &Patch::Merge(free)).await.unwrap();
    gone(&secrets, "child").await;
    gone(&storages, "parent").await;
}

pub async fn deletes_collections(client: Client, namespace: &str) {
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    for (name, app) in [("a", "shop"), ("b", "shop"), ("c", "mail")] {
        secrets.create(&PostParams::default(), &secret(name, json!({"app": app}))).await.unwrap();
    }
    let shop = ListParams::default().labels("app=shop");
    secrets.delete_collection(&DeleteParams::default(), &shop).await.unwrap();
    gone(&secrets, "a").await;
    gone(&secrets, "b").await;
    assert!(secrets.get_opt("c").await.unwrap().is_some());
}

pub async fn namespaces_take_their_content_along(client: Client, _: &str) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let name = namespace(&client).await;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &name);
    let storages: Api<BackupStorage> = Api::namespaced(client, &name);
    let mut held = storage("held");
    held["metadata"]["finalizers"] = json!(["coffer.dev/cleanup"]);
    storages.create(&PostParams::default(), &object(held)).await.unwrap();
    secrets.create(&PostParams::default(), &secret("one", json!({}))).await.unwrap();
    namespaces.delete(&name, &DeleteParams::default()).await.unwrap();
    gone(&secrets, "one").await;
    let going = namespaces.get(&name).await.unwrap();
    assert_eq!(going.status.unwrap().phase.as_deref(), Some("Terminating"));
    let (code, _, message) = refusal(secrets.create(&PostParams::default(), &secret("late", json!({}))).await);
    assert_eq!(code, 403, "{message}");
    for _ in 0..600 {
        if storages.get("held").await.unwrap().metadata.deletion_timestamp.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let free = json!({"metadata": {"finalizers": null}});
    storages.patch("held", &PatchParams::default(), &Patch::Merge(free)).await.unwrap();
    gone(&namespaces, &name).await;
    let (code, _, _) = refusal(namespaces.delete("default", &DeleteParams::default()).await);
    assert_eq!(code, 403);
}

pub async fn preconditions_hold(client: Client, namespace: &str) {
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    let made = secrets.create(&PostParams::default(), &secret("one", json!({}))).await.unwrap();
    let with = |uid: Option<String>, resource_version: Option<String>| DeleteParams {
        preconditions: Some(Preconditions { uid, resource_version }),
        ..DeleteParams::default()
    };
    let (code, _, _) = refusal(secrets.delete("one", &with(Some("other".into()), None)).await);
    assert_eq!(code, 409);
    let (code, _, _) = refusal(secrets.delete("one", &with(None, Some("1".into()))).await);
    assert_eq!(code, 409);
    secrets.delete("one", &with(made.uid(), made.resource_version())).await.unwrap();
    gone(&secrets, "one").await;
}
