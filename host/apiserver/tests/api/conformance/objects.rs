//! Creating, updating, patching, validating.

use coffer_api::{AppBinding, BackupSession, BackupStorage};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::{binding, object, refusal, secret, storage};

pub async fn create_get_list_delete(client: Client, namespace: &str) {
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    let made = secrets.create(&PostParams::default(), &secret("one", json!({}))).await.unwrap();
    assert_eq!(made.namespace().as_deref(), Some(namespace));
    assert!(made.uid().is_some() && made.creation_timestamp().is_some() && made.resource_version().is_some());
    let got = secrets.get("one").await.unwrap();
    assert_eq!(got, made);

    secrets.create(&PostParams::default(), &secret("two", json!({}))).await.unwrap();
    let list = secrets.list(&ListParams::default()).await.unwrap();
    assert_eq!(list.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["one", "two"]);
    assert!(list.metadata.resource_version.is_some());

    secrets.delete("one", &DeleteParams::default()).await.unwrap();
    assert!(secrets.get_opt("one").await.unwrap().is_none());
    // The version goes up with every write of every object, deletions included.
    let after = secrets.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    assert!(after.parse::<u64>().unwrap() > list.metadata.resource_version.unwrap().parse().unwrap());
}

pub async fn refuses_what_exists_and_what_does_not(client: Client, namespace: &str) {
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    let (code, reason, message) = refusal(secrets.get("ghost").await);
    assert_eq!((code, reason.as_str(), message.as_str()), (404, "NotFound", "secrets \"ghost\" not found"));
    secrets.create(&PostParams::default(), &secret("one", json!({}))).await.unwrap();
    let (code, reason, _) = refusal(secrets.create(&PostParams::default(), &secret("one", json!({}))).await);
    assert_eq!((code, reason.as_str()), (409, "AlreadyExists"));
    let (code, _, _) = refusal(secrets.replace("ghost", &PostParams::default(), &secret("ghost", json!({}))).await);
    assert_eq!(code, 404);
    let (code, _, _) = refusal(secrets.delete("ghost", &DeleteParams::default()).await);
    assert_eq!(code, 404);
    let (code, reason, message) =
        refusal(secrets.create(&PostParams::default(), &secret("Wrong_Name", json!({}))).await);
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    assert!(message.contains("metadata.name"), "{message}");
}

pub async fn generates_names(client: Client, namespace: &str) {
    let sessions: Api<BackupSession> = Api::namespaced(client, namespace);
    let session: BackupSession = object(json!({
        "apiVersion": "coffer.dev/v1alpha1", "kind": "BackupSession",
        "metadata": {"generateName": "shop-full-"}, "spec": {"configuration": {"name": "shop"}, "session": "full"},
    }));
    let first = sessions.create(&PostParams::default(), &session).await.unwrap().name_any();
    let second = sessions.create(&PostParams::default(), &session).await.unwrap().name_any();
    assert!(first.starts_with("shop-full-") && first.len() == "shop-full-".len() + 5, "{first}");
    assert_ne!(first, second);
}

pub async fn stale_updates_conflict(client: Client, namespace: &str) {
    let bindings: Api<AppBinding> = Api::namespaced(client, namespace);
    let first = bindings.create(&PostParams::default(), &object(binding("shop"))).await.unwrap();
    assert_eq!(first.metadata.generation, Some(1));
    let mut newer = first.clone();
    newer.spec.version = Some("17".into());
    let newer = bindings.replace("shop", &PostParams::default(), &newer).await.unwrap();
    assert_eq!(newer.metadata.generation, Some(2));

    let mut stale = first;
    stale.spec.version = Some("15".into());
    let (code, reason, message) = refusal(bindings.replace("shop", &PostParams::default(), &stale).await);
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert!(message.contains("modified"), "{message}");

    let mut blind = newer.clone();
    blind.metadata.resource_version = None;
    let (code, _, message) = refusal(bindings.replace("shop", &PostParams::default(), &blind).await);
    assert_eq!(code, 422);
    assert!(message.contains("metadata.resourceVersion"), "{message}");

    // A write that changes nothing is none.
    let same = bindings.replace("shop", &PostParams::default(), &newer).await.unwrap();
    assert_eq!(same.resource_version(), newer.resource_version());
    // Labels are no change of what is wanted.
    let labelled = json!({"metadata": {"labels": {"a": "b"}}});
    let labelled = bindings.patch("shop", &PatchParams::default(), &Patch::Merge(labelled)).await.unwrap();
    assert_eq!(labelled.metadata.generation, Some(2));
    assert_ne!(labelled.resource_version(), newer.resource_version());
}

pub async fn names_are_strings(client: Client, namespace: &str) {
    for method in ["POST", "PATCH"] {
        let path = format!("/api/v1/namespaces/{namespace}/secrets");
        let (path, media_type) = match method {
            "POST" => (path, "application/json"),
            _ => (format!("{path}/five?fieldManager=test"), "application/apply-patch+yaml"),
        };
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": 5}});
        let request = http::Request::builder().method(method).uri(path).header("content-type", media_type);
        let request = request.body(secret.to_string().into_bytes()).unwrap();
        let (code, _, message) = refusal(client.request::<Value>(request).await);
        assert!((400..500).contains(&code), "{method}: {code} {message}");
        assert!(message.contains("name") && message.contains("string"), "{method}: {message}");
    }
}

pub async fn sessions_keep_their_spec(client: Client, namespace: &str) {
    let sessions: Api<BackupSession> = Api::namespaced(client, namespace);
    let spec = json!({"configuration": {"name": "shop"}});
    let session = json!({
        "apiVersion": "coffer.dev/v1alpha1", "kind": "BackupSession", "metadata": {"name": "one"}, "spec": spec,
    });
    let made = sessions.create(&PostParams::default(), &object(session.clone())).await.unwrap();
    let refused = |result| {
        let (code, reason, message) = refusal::<BackupSession>(result);
        assert_eq!((code, reason.as_str()), (422, "Invalid"), "{message}");
        assert!(message.contains("spec") && message.contains("make a new session"), "{message}");
    };
    let mut changed = made.clone();
    changed.spec.session = Some("full".into());
    refused(sessions.replace("one", &PostParams::default(), &changed).await);
    let patch = json!({"spec": {"configuration": {"name": "other"}}});
    refused(sessions.patch("one", &PatchParams::default(), &Patch::Merge(&patch)).await);
    let mut applied = session.clone();
    applied["spec"]["session"] = json!("full");
    let force = PatchParams::apply("test").force();
    refused(sessions.patch("one", &force, &Patch::Apply(&applied)).await);

    // The same again is no change, and neither are labels and the status.
    sessions.patch("one", &force, &Patch::Apply(&session)).await.unwrap();
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    sessions.patch("one", &PatchParams::default(), &Patch::Merge(labels)).await.unwrap();
    let status = json!({"status": {"phase": "Running"}});
    let running = sessions.patch_status("one", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    assert_eq!(running.spec, made.spec);
}

pub async fn status_and_spec_are_apart(client: Client, namespace: &str) {
    let storages: Api<BackupStorage> = Api::namespaced(client, namespace);
    let mut with_status = storage("disk");
    with_status["status"] = json!({"phase": "Ready"});
    let made = storages.create(&PostParams::default(), &object(with_status)).await.unwrap();
    let shown = serde_json::to_value(&made).unwrap();
    assert_ne!(shown["status"]["phase"], "Ready", "a client does not create a status");

    let mut changed = serde_json::to_value(&made).unwrap();
    changed["status"] = json!({"phase": "Ready"});
    changed["spec"]["local"]["path"] = json!("/elsewhere");
    let by_status: BackupStorage =
        storages.replace_status("disk", &PostParams::default(), &object(changed.clone())).await.unwrap();
    let shown = serde_json::to_value(&by_status).unwrap();
    assert_eq!(shown["status"]["phase"], "Ready");
    assert_eq!(shown["spec"]["local"]["path"], "/backups");
    assert_eq!(by_status.metadata.generation, Some(1));

    changed["metadata"]["resourceVersion"] = json!(by_status.resource_version());
    changed["status"] = json!({"phase": "NotReady"});
    let by_spec = storages.replace("disk", &PostParams::default(), &object(changed)).await.unwrap();
    let shown = serde_json::to_value(&by_spec).unwrap();
    assert_eq!(shown["status"]["phase"], "Ready");
    assert_eq!(shown["spec"]["local"]["path"], "/elsewhere");
    assert_eq!(by_spec.metadata.generation, Some(2));
    let patch = json!({"status": {"phase": "NotReady"}, "spec": {"local": {"path": "/nowhere"}}});
    let patched = storages.patch_status("disk", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    let shown = serde_json::to_value(&patched).unwrap();
    assert_eq!(
        (&shown["status"]["phase"], &shown["spec"]["local"]["path"]),
        (&json!("NotReady"), &json!("/elsewhere"))
    );
}

pub async fn merge_and_json_patches(client: Client, namespace: &str) {
    let bindings: Api<AppBinding> = Api::namespaced(client, namespace);
    bindings.create(&PostParams::default(), &object(binding("shop"))).await.unwrap();
    let params = PatchParams::default();
    let patch = json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"version": "17"}});
    bindings.patch("shop", &params, &Patch::Merge(patch)).await.unwrap();
    let patch = json!({"metadata": {"labels": {"a": null}}, "spec": {"version": null}});
    let merged = bindings.patch("shop", &params, &Patch::Merge(patch)).await.unwrap();
    assert_eq!(merged.labels().clone().into_iter().collect::<Vec<_>>(), [("b".to_owned(), "2".to_owned())]);
    assert_eq!(merged.spec.version, None);

    let patch = |operations: Value| Patch::<AppBinding>::Json(object(operations));
    let operations = json!([
        {"op": "test", "path": "/metadata/labels/b", "value": "2"},
        {"op": "replace", "path": "/metadata/labels/b", "value": "3"},
        {"op": "add", "path": "/spec/version", "value": "16"},
    ]);
    let patched = bindings.patch("shop", &params, &patch(operations)).await.unwrap();
    assert_eq!((patched.labels()["b"].as_str(), patched.spec.version.as_deref()), ("3", Some("16")));
    let operations = json!([{"op": "test", "path": "/spec/version", "value": "9"}]);
    let (code, _, _) = refusal(bindings.patch("shop", &params, &patch(operations)).await);
    assert_eq!(code, 422);
    // A version in a patch is a precondition.
    let stale = json!({"metadata": {"resourceVersion": "1"}, "spec": {"version": "15"}});
    let (code, _, _) = refusal(bindings.patch("shop", &params, &Patch::Merge(stale)).await);
    assert_eq!(code, 409);
    let (code, _, _) = refusal(bindings.patch("ghost", &params, &Patch::Merge(json!({"spec": {}}))).await);
    assert_eq!(code, 404);
}

pub async fn strategic_patches_for_core_kinds_only(client: Client, namespace: &str) {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let mut made = secret("one", json!({}));
    made.metadata.finalizers = Some(vec!["coffer.dev/a".into()]);
    secrets.create(&PostParams::default(), &made).await.unwrap();
    let patch = json!({"metadata": {"finalizers": ["coffer.dev/b"]}, "data": {"more": "eA=="}});
    let patched = secrets.patch("one", &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
    let mut finalizers = patched.finalizers().to_vec();
    finalizers.sort();
    assert_eq!(finalizers, ["coffer.dev/a", "coffer.dev/b"]);
    assert_eq!(patched.data.unwrap().len(), 2);
    let none = json!({"metadata": {"finalizers": null}});
    secrets.patch("one", &PatchParams::default(), &Patch::Merge(none)).await.unwrap();

    let bindings: Api<AppBinding> = Api::namespaced(client, namespace);
    bindings.create(&PostParams::default(), &object(binding("shop"))).await.unwrap();
    let patch = json!({"spec": {"version": "17"}});
    let (code, reason, _) = refusal(bindings.patch("shop", &PatchParams::default(), &Patch::Strategic(patch)).await);
    assert_eq!((code, reason.as_str()), (415, "UnsupportedMediaType"));
}

pub async fn names_the_misspelt_field(client: Client, namespace: &str) {
    let bindings: Api<kube::api::DynamicObject> =
        Api::namespaced_with(client, namespace, &kube::api::ApiResource::erase::<AppBinding>(&()));
    let mut wrong = binding("shop");
    wrong["spec"]["clientConfg"] = json!({});
    let params = PostParams::default();
    let strict = PatchParams::apply("test").validation_strict();
    let result =
        bindings.patch("shop", &strict, &Patch::Apply(object::<kube::api::DynamicObject>(wrong.clone()))).await;
    let (code, _, message) = refusal(result);
    assert!(matches!(code, 400 | 422), "{code} {message}");
    assert!(message.contains("spec.clientConfg") || message.contains(".spec.clientConfg"), "{message}");
    let mut ill_typed = binding("shop");
    ill_typed["spec"]["type"] = json!(7);
    let (code, reason, message) = refusal(bindings.create(&params, &object(ill_typed)).await);
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    assert!(message.contains("spec.type"), "{message}");
}

pub async fn unknown_fields_can_be_dropped(client: Client, namespace: &str) {
    let storages: Api<BackupStorage> = Api::namespaced(client, namespace);
    let mut wrong = storage("disk");
    wrong["spec"]["lcoal"] = json!({"path": "/other"});
    for params in [PatchParams::apply("test").validation_ignore(), PatchParams::apply("test").validation_warn()] {
        let made = storages.patch("disk", &params.force(), &Patch::Apply(&wrong)).await.unwrap();
        assert_eq!(serde_json::to_value(&made).unwrap()["spec"]["local"]["path"], "/backups");
    }
}

pub async fn secrets_take_plain_text(client: Client, namespace: &str) {
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    let made = secrets.create(&PostParams::default(), &secret("one", json!({}))).await.unwrap();
    assert_eq!(made.string_data, None);
    assert_eq!(made.data.unwrap()["key"].0, b"value");
    assert_eq!(made.type_.as_deref(), Some("Opaque"));
    let broken = json!({"data": {"key": "not base64!"}});
    let (code, _, message) = refusal(secrets.patch("one", &PatchParams::default(), &Patch::Merge(broken)).await);
    assert!(matches!(code, 400 | 422), "{code}");
    assert!(!message.contains("not base64!"), "a Secret's value is not repeated: {message}");
    let ill_typed = json!({"stringData": {"key": 31_415_926}});
    let (code, _, message) = refusal(secrets.patch("one", &PatchParams::default(), &Patch::Merge(ill_typed)).await);
    assert!(matches!(code, 400 | 422), "{code}");
    assert!(!message.contains("31415926"), "a Secret's value is not repeated: {message}");
    let sealed = json!({"immutable": true});
    secrets.patch("one", &PatchParams::default(), &Patch::Merge(sealed)).await.unwrap();
    let change = json!({"stringData": {"key": "other"}});
    let (code, _, _) = refusal(secrets.patch("one", &PatchParams::default(), &Patch::Merge(change)).await);
    assert_eq!(code, 422);
}

pub async fn absent_namespaces_are_refused(client: Client, _: &str) {
    let secrets: Api<Secret> = Api::namespaced(client, "nowhere");
    let (code, _, message) = refusal(secrets.create(&PostParams::default(), &secret("one", json!({}))).await);
    assert_eq!(code, 404);
    assert!(message.contains("namespaces \"nowhere\" not found"), "{message}");
}

pub async fn dry_runs_change_nothing(client: Client, namespace: &str) {
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let would = secrets.create(&dry, &secret("one", json!({}))).await.unwrap();
    assert!(would.uid().is_some());
    assert!(secrets.get_opt("one").await.unwrap().is_none());
    secrets.create(&PostParams::default(), &secret("one", json!({}))).await.unwrap();
    secrets.delete("one", &DeleteParams { dry_run: true, ..DeleteParams::default() }).await.unwrap();
    assert!(secrets.get_opt("one").await.unwrap().is_some());
}
