//! Lists and watches.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Client, Error, ResourceExt};
use serde_json::json;

use super::{refusal, secret};

pub async fn selectors(client: Client, namespace: &str) {
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    for (name, labels) in
        [("a", json!({"app": "shop", "tier": "db"})), ("b", json!({"app": "shop"})), ("c", json!({"app": "mail"}))]
    {
        secrets.create(&PostParams::default(), &secret(name, labels)).await.unwrap();
    }
    let names = async |params: ListParams| {
        secrets.list(&params).await.unwrap().items.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
    };
    assert_eq!(names(ListParams::default().labels("app=shop")).await, ["a", "b"]);
    assert_eq!(names(ListParams::default().labels("app in (shop,mail),!tier")).await, ["b", "c"]);
    assert_eq!(names(ListParams::default().labels("tier notin (db)")).await, ["b", "c"]);
    assert_eq!(names(ListParams::default().fields("metadata.name=c")).await, ["c"]);
    let (code, _, message) = refusal(secrets.list(&ListParams::default().fields("data.key=x")).await);
    assert_eq!(code, 400, "{message}");
    let (code, _, _) = refusal(secrets.list(&ListParams::default().labels("a b")).await);
    assert_eq!(code, 400);
}

pub async fn pages(client: Client, namespace: &str) {
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    let wanted: Vec<String> = (0..5).map(|number| format!("s{number}")).collect();
    for name in &wanted {
        secrets.create(&PostParams::default(), &secret(name, json!({}))).await.unwrap();
    }
    let mut params = ListParams::default().limit(2);
    let mut seen = Vec::new();
    let mut versions = Vec::new();
    loop {
        let page = secrets.list(&params).await.unwrap();
        assert!(page.items.len() <= 2);
        seen.extend(page.items.iter().map(ResourceExt::name_any));
        versions.push(page.metadata.resource_version.clone());
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = ListParams::default().limit(2).continue_token(&token),
            None => break,
        }
    }
    assert_eq!(seen, wanted);
    versions.dedup();
    assert_eq!(versions.len(), 1, "all pages are of one version: {versions:?}");
    let (code, _, _) = refusal(secrets.list(&ListParams::default().continue_token("nonsense")).await);
    assert_eq!(code, 400);
}

/// Event type and object name, of the next events but bookmarks.
async fn next_events(
    stream: &mut (impl futures::Stream<Item = Result<WatchEvent<Secret>, Error>> + Unpin),
    count: usize,
) -> Vec<(&'static str, String)> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let event = tokio::time::timeout(std::time::Duration::from_secs(30), stream.next()).await;
        seen.push(match event.expect("an event").expect("no end").unwrap() {
            WatchEvent::Added(object) => ("ADDED", object.name_any()),
            WatchEvent::Modified(object) => ("MODIFIED", object.name_any()),
            WatchEvent::Deleted(object) => ("DELETED", object.name_any()),
            WatchEvent::Bookmark(_) => continue,
            WatchEvent::Error(status) => panic!("{status:?}"),
        });
    }
    seen
}

fn event(kind: &'static str, name: &str) -> (&'static str, String) {
    (kind, name.to_owned())
}

pub async fn watches_from_the_start(client: Client, namespace: &str) {
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    secrets.create(&PostParams::default(), &secret("one", json!({}))).await.unwrap();
    let mut stream = secrets.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    assert_eq!(next_events(&mut stream, 1).await, [event("ADDED", "one")]);
    secrets.create(&PostParams::default(), &secret("two", json!({}))).await.unwrap();
    secrets.delete("one", &DeleteParams::default()).await.unwrap();
    assert_eq!(next_events(&mut stream, 2).await, [event("ADDED", "two"), event("DELETED", "one")]);

    // The stream ends when the time is up.
    let short = WatchParams::default().timeout(1);
    let events: Vec<_> = secrets.watch(&short, "0").await.unwrap().try_collect().await.unwrap();
    assert!(events.iter().any(|event| matches!(event, WatchEvent::Added(object) if object.name_any() == "two")));
}

pub async fn watches_go_on_from_a_version(client: Client, namespace: &str) {
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    secrets.create(&PostParams::default(), &secret("one", json!({}))).await.unwrap();
    let version = secrets.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let patch = json!({"metadata": {"labels": {"a": "b"}}});
    secrets.patch("one", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    secrets.delete("one", &DeleteParams::default()).await.unwrap();
    let mut stream = secrets.watch(&WatchParams::default(), &version).await.unwrap().boxed();
    assert_eq!(next_events(&mut stream, 2).await, [event("MODIFIED", "one"), event("DELETED", "one")]);
}

pub async fn a_label_that_changes_enters_and_leaves_a_watch(client: Client, namespace: &str) {
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    secrets.create(&PostParams::default(), &secret("one", json!({"app": "mail"}))).await.unwrap();
    let version = secrets.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let params = WatchParams::default().labels("app=shop");
    let mut stream = secrets.watch(&params, &version).await.unwrap().boxed();
    for app in ["shop", "mail"] {
        let patch = json!({"metadata": {"labels": {"app": app}}});
        secrets.patch("one", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
    assert_eq!(next_events(&mut stream, 2).await, [event("ADDED", "one"), event("DELETED", "one")]);
}
