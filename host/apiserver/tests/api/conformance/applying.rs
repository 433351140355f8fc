//! Server-side apply: who owns which field.

use coffer_api::{AppBinding, BackupStorage};
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::{binding, refusal, storage};

fn apply(value: Value) -> Patch<Value> {
    Patch::Apply(value)
}

pub async fn apply_owns_fields(client: Client, namespace: &str) {
    let bindings: Api<AppBinding> = Api::namespaced(client, namespace);
    let (one, two) = (PatchParams::apply("one"), PatchParams::apply("two"));
    let mut config = binding("shop");
    config["metadata"]["labels"] = json!({"a": "1", "b": "2"});
    config["spec"]["version"] = json!("16");
    let made = bindings.patch("shop", &one, &apply(config.clone())).await.unwrap();
    let managers: Vec<String> = made.managed_fields().iter().filter_map(|entry| entry.manager.clone()).collect();
    assert_eq!(managers, ["one"]);
    let again = bindings.patch("shop", &one, &apply(config.clone())).await.unwrap();
    assert_eq!(again.resource_version(), made.resource_version(), "applying the same changes nothing");

    // Another manager may have the same value, but not change it.
    let mut theirs = json!({
        "apiVersion": "coffer.dev/v1alpha1", "kind": "AppBinding",
        "metadata": {"name": "shop"}, "spec": {"version": "16"},
    });
    bindings.patch("shop", &two, &apply(theirs.clone())).await.unwrap();
    theirs["spec"]["version"] = json!("17");
    let (code, reason, message) = refusal(bindings.patch("shop", &two, &apply(theirs.clone())).await);
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert!(message.contains("\"one\"") && message.contains(".spec.version"), "{message}");
    let forced = bindings.patch("shop", &two.clone().force(), &apply(theirs)).await.unwrap();
    assert_eq!(forced.spec.version.as_deref(), Some("17"));
    let (code, _, message) = refusal(bindings.patch("shop", &one, &apply(config.clone())).await);
    assert_eq!(code, 409);
    assert!(message.contains("\"two\""), "{message}");

    // What is no longer applied goes; what another manager owns stays.
    let labels = config["metadata"]["labels"].as_object_mut().unwrap();
    labels.remove("a");
    config["spec"].as_object_mut().unwrap().remove("version");
    let less = bindings.patch("shop", &one, &apply(config)).await.unwrap();
    assert_eq!(less.labels().keys().collect::<Vec<_>>(), ["b"]);
    assert_eq!(less.spec.version.as_deref(), Some("17"));

    // A plain patch takes a field over, which the next apply notices.
    let patch = json!({"spec": {"version": "15"}});
    let editor = PatchParams { field_manager: Some("editor".into()), ..PatchParams::default() };
    bindings.patch("shop", &editor, &Patch::Merge(patch)).await.unwrap();
    let theirs = json!({
        "apiVersion": "coffer.dev/v1alpha1", "kind": "AppBinding",
        "metadata": {"name": "shop"}, "spec": {"version": "17"},
    });
    let (code, _, message) = refusal(bindings.patch("shop", &two, &apply(theirs)).await);
    assert_eq!(code, 409);
    assert!(message.contains("\"editor\""), "{message}");
}

pub async fn apply_to_status(client: Client, namespace: &str) {
    let storages: Api<BackupStorage> = Api::namespaced(client, namespace);
    storages.patch("disk", &PatchParams::apply("user"), &apply(storage("disk"))).await.unwrap();
    let status = json!({
        "apiVersion": "coffer.dev/v1alpha1", "kind": "BackupStorage", "metadata": {"name": "disk"},
        "status": {"phase": "Ready", "provider": "local"},
    });
    let controller = PatchParams::apply("controller").force();
    let with = storages.patch_status("disk", &controller, &apply(status)).await.unwrap();
    assert_eq!(serde_json::to_value(&with).unwrap()["status"]["provider"], "local");
    // The user's next apply knows nothing of the status and leaves it be.
    let mut config = storage("disk");
    config["spec"]["local"]["path"] = json!("/other");
    let spec = storages.patch("disk", &PatchParams::apply("user"), &apply(config)).await.unwrap();
    assert_eq!(serde_json::to_value(&spec).unwrap()["status"]["phase"], "Ready");
    let status = json!({
        "apiVersion": "coffer.dev/v1alpha1", "kind": "BackupStorage", "metadata": {"name": "disk"},
        "status": {"phase": "Ready"},
    });
    let less = storages.patch_status("disk", &controller, &apply(status)).await.unwrap();
    let shown = serde_json::to_value(&less).unwrap();
    assert_eq!((&shown["status"].get("provider"), &shown["spec"]["local"]["path"]), (&None, &json!("/other")));
    let (code, _, _) = refusal(
        storages
            .patch_status(
                "ghost",
                &controller,
                &apply(json!({
                    "apiVersion": "coffer.dev/v1alpha1", "kind": "BackupStorage", "metadata": {"name": "ghost"},
                    "status": {"phase": "Ready"},
                })),
            )
            .await,
    );
    assert_eq!(code, 404);
}

pub async fn apply_keeps_other_owners_lists(client: Client, namespace: &str) {
    let storages: Api<BackupStorage> = Api::namespaced(client, namespace);
    let mut config = storage("disk");
    config["metadata"]["finalizers"] = json!(["coffer.dev/one"]);
    storages.patch("disk", &PatchParams::apply("one"), &apply(config.clone())).await.unwrap();
    config["metadata"]["finalizers"] = json!(["coffer.dev/two"]);
    let both = storages.patch("disk", &PatchParams::apply("two"), &apply(config.clone())).await.unwrap();
    assert_eq!(both.finalizers(), ["coffer.dev/one", "coffer.dev/two"]);
    config["metadata"].as_object_mut().unwrap().remove("finalizers");
    let one = storages.patch("disk", &PatchParams::apply("two"), &apply(config.clone())).await.unwrap();
    assert_eq!(one.finalizers(), ["coffer.dev/one"]);
    storages.patch("disk", &PatchParams::apply("one"), &apply(config)).await.unwrap();
    assert!(storages.get("disk").await.unwrap().finalizers().is_empty());
}
