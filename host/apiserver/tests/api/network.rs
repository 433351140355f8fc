//! The listener: who is let in, what lies on disk, how it ends.

use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use coffer_apiserver::{Error, Server};
use futures::StreamExt;
use http::{Request, StatusCode};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams, WatchParams};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use secrecy::SecretString;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::Fixture;

async fn with_token(fixture: &Fixture, token: Option<&str>) -> kube::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut kubeconfig = Kubeconfig::read_from(fixture.listening.kubeconfig()).unwrap();
    kubeconfig.auth_infos[0].auth_info.as_mut().unwrap().token =
        token.map(|token| SecretString::from(token.to_owned()));
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    kube::Client::try_from(config).unwrap()
}

#[tokio::test]
async fn no_token_no_entry() {
    let fixture = Fixture::start().await;
    for token in [None, Some("wrong")] {
        let client = with_token(&fixture, token).await;
        let secrets: Api<Secret> = Api::default_namespaced(client.clone());
        match secrets.list(&ListParams::default()).await {
            Err(kube::Error::Api(status)) => {
                assert_eq!((status.code, status.reason.as_str()), (401, "Unauthorized"));
            }
            other => panic!("{token:?}: {other:?}"),
        }
        let module = Request::get(format!("/coffer/modules/{}", "0".repeat(64))).body(Body::empty()).unwrap();
        let answer = client.send(module).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_stranger_is_not_taken_for_the_server() {
    let fixture = Fixture::start().await;
    let other = Fixture::start().await;
    let mut kubeconfig = Kubeconfig::read_from(fixture.listening.kubeconfig()).unwrap();
    kubeconfig.clusters[0].cluster.as_mut().unwrap().server = Some(format!("https://{}", other.listening.address()));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let error = client.apiserver_version().await.unwrap_err();
    assert!(!matches!(error, kube::Error::Api(_)), "{error:?}");
}

#[tokio::test]
async fn what_lies_on_disk_is_private() {
    let fixture = Fixture::start().await;
    for file in ["control.redb", "token", "authority.key", "kubeconfig"] {
        let mode = std::fs::metadata(fixture.dir.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let mode = std::fs::metadata(fixture.dir.path().join("modules")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn a_kubeconfig_outlives_a_restart() {
    let Fixture { server, listening, dir } = Fixture::start().await;
    let old = std::fs::read_to_string(listening.kubeconfig()).unwrap();
    let address = listening.address();
    listening.shutdown().await;
    drop(server);
    let server = crate::reopen(dir.path()).await;
    let listening = server.listen(address).await.unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let old = Kubeconfig::from_yaml(&old).unwrap();
    let config = kube::Config::from_custom_kubeconfig(old, &KubeConfigOptions::default()).await.unwrap();
    let client = kube::Client::try_from(config).unwrap();
    client.apiserver_version().await.unwrap();
    drop(listening);
}

#[tokio::test]
async fn listens_on_this_machine_only() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::open(dir.path()).unwrap();
    assert!(matches!(server.listen("0.0.0.0:0".parse().unwrap()).await, Err(Error::NotLoopback { .. })));
    let taken = server.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let error = server.listen(taken.address()).await.unwrap_err();
    assert!(matches!(error, Error::Listen { .. }));
    assert!(error.to_string().contains(&taken.address().to_string()));
}

#[tokio::test]
async fn shutdown_ends_watches() {
    let fixture = Fixture::start().await;
    let secrets: Api<Secret> = Api::default_namespaced(fixture.remote().await);
    let mut watch = Box::pin(secrets.watch(&WatchParams::default(), "0").await.unwrap());
    let ended = tokio::spawn(async move { while watch.next().await.is_some_and(|event| event.is_ok()) {} });
    fixture.listening.shutdown().await;
    tokio::time::timeout(std::time::Duration::from_secs(30), ended).await.expect("the watch ends").unwrap();
}

#[tokio::test]
async fn modules_go_in_and_out_by_digest() {
    let fixture = Fixture::start().await;
    let client = fixture.remote().await;
    let content = Bytes::from(vec![7u8; 5 << 20]);
    let digest = hex::encode(Sha256::digest(&content));
    let url = format!("/coffer/modules/sha256:{digest}");
    let put = |url: &str, content: &Bytes| Request::put(url).body(Body::from(content.to_vec())).unwrap();
    let answer = client.send(put(&url, &content)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(fixture.server.modules().get(&digest).await.unwrap(), content);
    let text = client.send(Request::get(&url).body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(text.into_body().collect_bytes().await.unwrap(), content);

    let wrong = format!("/coffer/modules/{}", "0".repeat(64));
    let answer = client.send(put(&wrong, &content)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let answer = client.send(Request::get(&wrong).body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn hostile_requests_are_answered() {
    let fixture = Fixture::start().await;
    let client = fixture.remote().await;
    let secrets = "/api/v1/namespaces/default/secrets";
    let big = format!("{{\"a\": \"{}\"}}", "x".repeat(4 << 20));
    let deep = "[".repeat(100_000);
    for (method, url, media, body, expected) in [
        ("POST", secrets, "application/json", "{", 400),
        ("POST", secrets, "application/json", "", 400),
        ("POST", secrets, "application/json", "[]", 400),
        ("POST", secrets, "application/json", "null", 400),
        ("POST", secrets, "application/json", "{\"apiVersion\": \"v1\", \"kind\": \"Pod\"}", 400),
        ("POST", secrets, "application/json", "{\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"metadata\": 7}", 400),
        (
            "POST",
            secrets,
            "application/json",
            "{\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"metadata\": {\"labels\": 7}}",
            422,
        ),
        ("POST", secrets, "application/vnd.kubernetes.protobuf", "k8s", 415),
        ("POST", secrets, "application/json", &big, 413),
        ("POST", secrets, "application/json", &deep, 400),
        ("PATCH", "/api/v1/namespaces/default", "text/plain", "{}", 415),
        (
            "PATCH",
            "/api/v1/namespaces/default",
            "application/json-patch+json",
            "[{\"op\": \"remove\", \"path\": \"\"}]",
            422,
        ),
        ("PATCH", "/api/v1/namespaces/default", "application/merge-patch+json", "[]", 400),
        ("GET", "/api/v1/namespaces/default/secrets?limit=many", "application/json", "", 400),
        ("GET", "/api/v1/namespaces/default/pods", "application/json", "", 404),
        ("GET", "/apis/nothing.example", "application/json", "", 404),
        ("GET", "/../../etc/passwd", "application/json", "", 404),
        ("PUT", "/api/v1/namespaces", "application/json", "{}", 405),
        ("POST", "/version", "application/json", "{}", 405),
    ] {
        let request = Request::builder().method(method).uri(url).header("content-type", media);
        let answer = client.send(request.body(Body::from(body.as_bytes().to_vec())).unwrap()).await.unwrap();
        let code = answer.status().as_u16();
        let text = answer.into_body().collect_bytes().await.unwrap();
        let what = body.chars().take(60).collect::<String>();
        let status: serde_json::Value =
            serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{method} {url} {what}: {error}: {text:?}"));
        assert_eq!(code, expected, "{method} {url} {what}: {status}");
        assert_eq!((&status["kind"], &status["status"]), (&"Status".into(), &"Failure".into()), "{method} {url}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_named() {
    let fixture = Fixture::start().await;
    let client = fixture.remote().await;
    let storages = "/apis/coffer.dev/v1alpha1/namespaces/default/backupstorages";
    let send = async |method: &str, url: &str, media: &str, body: String| {
        let request = Request::builder().method(method).uri(url).header("content-type", media);
        let answer = client.send(request.body(Body::from(body.into_bytes())).unwrap()).await.unwrap();
        let code = answer.status().as_u16();
        (code, String::from_utf8(answer.into_body().collect_bytes().await.unwrap().to_vec()).unwrap())
    };
    let storage = json!({
        "apiVersion": "coffer.dev/v1alpha1", "kind": "BackupStorage",
        "metadata": {"name": "disk"}, "spec": {"local": {"path": "/backups"}},
    });
    assert_eq!(send("POST", storages, "application/json", storage.to_string()).await.0, 201);
    let disk = format!("{storages}/disk");
    let note = |name: &str, bytes: usize| json!({"metadata": {"annotations": {name: "x".repeat(bytes)}}}).to_string();
    let merge = "application/merge-patch+json";

    let (code, text) = send("PATCH", &format!("{disk}/status"), merge, note("a", 4 << 20)).await;
    assert_eq!(code, 413, "{text}");
    assert!(text.contains("backupstorages.coffer.dev") && text.contains("disk") && text.contains("3 MiB"), "{text}");
    // Nor does an object grow by patches to what no request could hold.
    assert_eq!(send("PATCH", &disk, merge, note("a", 2 << 20)).await.0, 200);
    let (code, text) = send("PATCH", &disk, merge, note("b", 2 << 20)).await;
    assert_eq!(code, 413, "{text}");
    assert!(text.contains("disk") && text.contains("3 MiB"), "{text}");
    assert_eq!(send("DELETE", &disk, "application/json", String::new()).await.0, 200);
}

#[test]
fn a_data_folder_that_others_may_write_to_is_refused_and_a_new_one_is_private() {
    let dir = tempfile::tempdir().unwrap();
    let set = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for mode in [0o777, 0o720, 0o702] {
        set(dir.path(), mode);
        let refused = Server::open(dir.path()).err().unwrap();
        assert!(matches!(refused, Error::Exposed { mode: found, .. } if found == mode), "{refused}");
        let text = refused.to_string();
        assert!(text.contains(dir.path().to_str().unwrap()) && text.contains("chmod 700"), "{text}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was put there");
    }
    set(dir.path(), 0o755);
    let new = dir.path().join("a/b");
    drop(Server::open(&new).unwrap());
    for made in [&new, &dir.path().join("a")] {
        assert_eq!(std::fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700);
    }
    drop(Server::open(dir.path()).unwrap());
}
