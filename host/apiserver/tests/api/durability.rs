//! What was acknowledged is there after `kill -9`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use coffer_apiserver::{Error, Server};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, ListParams, PostParams};
use serde_json::json;

const FOLDER: &str = "COFFER_TEST_DURABILITY";

/// Not a test: the process that is killed. Writes without end and names what was acknowledged.
#[tokio::test]
#[ignore = "run by kill_9_loses_nothing_acknowledged"]
async fn writer() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let server = Server::open(folder).unwrap();
    let secrets: Api<Secret> = Api::default_namespaced(server.client());
    for number in 0.. {
        let name = format!("s{number}");
        let secret = serde_json::from_value(json!({"metadata": {"name": name}, "stringData": {"n": name}})).unwrap();
        secrets.create(&PostParams::default(), &secret).await.unwrap();
        println!("ACKNOWLEDGED {name}");
    }
}

#[tokio::test]
async fn kill_9_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "durability::writer", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FOLDER, dir.path())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = crate::Killed(child.unwrap());
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.0.stdout.take().unwrap()).lines() {
        if let Some(name) = line.unwrap().strip_prefix("ACKNOWLEDGED ") {
            acknowledged.push(name.to_owned());
        }
        if acknowledged.len() == 20 {
            // The file is taken while it lives.
            let Err(Error::Locked { holder, .. }) = Server::open(dir.path()) else { panic!("it could be opened") };
            assert_eq!(holder.unwrap().process, child.0.id());
            break;
        }
    }
    // SIGKILL.
    drop(child);
    assert_eq!(acknowledged.len(), 20, "the child ended early");

    let server = Server::open(dir.path()).unwrap();
    let secrets: Api<Secret> = Api::default_namespaced(server.client());
    let found: Vec<String> =
        secrets.list(&ListParams::default()).await.unwrap().items.iter().map(ResourceExt::name_any).collect();
    for name in &acknowledged {
        assert!(found.contains(name), "{name} was acknowledged and is gone");
    }
    // A watcher from before the restart lists again.
    let mut stream = Box::pin(secrets.watch(&kube::api::WatchParams::default(), "3").await.unwrap());
    let first = futures::StreamExt::next(&mut stream).await.unwrap();
    match first {
        Ok(kube::api::WatchEvent::Error(status)) => assert_eq!(status.code, 410),
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 410),
        other => panic!("{other:?}"),
    }
}
