//! A control plane whose controllers run, and real repositories on disk.

use bytes::Bytes;
use coffer_api::*;
use coffer_apiserver::Server;
use coffer_controller::{Options, run};
use coffer_repository::{SnapshotOptions, StoreConfig, open_store};
use coffer_runtime::{Runtime, RuntimeOptions};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub const NAMESPACE: &str = "demo";

/// Twentieths of a second. Half a minute was once not enough beside other builds: each look at a repository costs a second of a core.
const PATIENCE: u32 = 20 * 90;

/// A control plane of its own. Its controllers run once they are started, and stop with it.
pub struct Plane {
    pub folder: tempfile::TempDir,
    pub server: Server,
    pub client: Client,
    pub stop: CancellationToken,
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Plane {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::open(folder.path().join("data")).unwrap();
        let plane = Self { client: server.client(), server, folder, stop: CancellationToken::new() };
        std::fs::create_dir(plane.backups()).unwrap();
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(NAMESPACE.to_owned());
        Api::all(plane.client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        plane
    }

    pub fn start(&self) {
        let runtime = Runtime::new(RuntimeOptions { cache: self.folder.path().join("cache") }).unwrap();
        let max_sessions = std::num::NonZeroUsize::new(4).unwrap();
        let options =
            Options { client: self.client.clone(), runtime, modules: self.server.modules().source(), max_sessions };
        tokio::spawn(run(options, self.stop.clone()));
    }

    pub fn backups(&self) -> PathBuf {
        self.folder.path().join("backups")
    }

    pub fn api<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    pub async fn apply<K>(&self, name: &str, content: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let mut object = json!({"apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": {"name": name}});
        object.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
        self.api().patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await.unwrap()
    }

    pub async fn repository(&self, password: &str) {
        self.apply::<Secret>("key", json!({"stringData": {"RESTIC_PASSWORD": password}})).await;
        self.apply::<BackupStorage>("disk", json!({"spec": {"local": {"path": self.backups()}}})).await;
        let spec = json!({"storage": {"name": "disk"}, "path": "shop", "encryptionSecret": {"name": "key"}});
        self.apply::<Repository>("shop", json!({"spec": spec})).await;
    }

    /// Wakes the reconcile of the repository, whose Secret has this password then.
    pub async fn look_again(&self, password: &str) {
        static TIMES: AtomicU32 = AtomicU32::new(0);
        let times = TIMES.fetch_add(1, Relaxed).to_string();
        self.apply::<Secret>("key", json!({"stringData": {"RESTIC_PASSWORD": password, "touched": times}})).await;
    }

    /// Waits until the object of that name, or its absence, is as wanted.
    pub async fn until<K>(&self, name: &str, wanted: impl Fn(Option<&K>) -> bool) -> Option<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let mut last = None;
        for _ in 0..PATIENCE {
            last = self.api::<K>().get_opt(name).await.unwrap();
            if wanted(last.as_ref()) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} {name} did not become as wanted: {last:#?}", K::kind(&()));
    }

    /// Waits until the repository's status has an error of that class, or none.
    pub async fn repository_is(&self, class: Option<FailureClass>) -> RepositoryStatus {
        let wanted = |repository: Option<&Repository>| {
            let status = repository.and_then(|repository| repository.status.clone()).unwrap_or_default();
            status.phase != StoragePhase::Pending && status.error.map(|error| error.class) == class
        };
        self.until("shop", wanted).await.and_then(|repository: Repository| repository.status).unwrap()
    }

    pub async fn ended(&self, session: &str) -> BackupSessionStatus {
        let ended = |session: Option<&BackupSession>| {
            session.and_then(|session| session.status.as_ref()).is_some_and(|status| status.run.phase.is_terminal())
        };
        self.until(session, ended).await.and_then(|session: BackupSession| session.status).unwrap()
    }
}

pub async fn write_snapshot(folder: &Path, password: &str) -> String {
    write_tagged(folder, password, &[]).await
}

pub async fn write_tagged(folder: &Path, password: &str, tags: &[&str]) -> String {
    let store = open_store(&StoreConfig::Local { path: folder.to_owned() }).unwrap();
    let repository = coffer_repository::Repository::open(store, &SecretString::from(password)).await.unwrap();
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    let options = SnapshotOptions { tags, ..SnapshotOptions::default() };
    let writer = repository.begin(options).await.unwrap();
    let mut file = writer.file("a.txt").unwrap();
    file.write(Bytes::from_static(b"hello")).await.unwrap();
    file.finish().await.unwrap();
    writer.commit().await.unwrap().id.to_string()
}
