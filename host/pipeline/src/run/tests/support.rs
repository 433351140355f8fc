//! A runtime, repositories and plans in a line each.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{LazyLock, Mutex},
    time::SystemTime,
};

use coffer_api::{FunctionSpec, Parameters, TaskSpec};
use coffer_repository::{Repository, Snapshot, SnapshotFilter, StoreConfig, open_store};
use coffer_runtime::{Endpoint, Grants, Linked, Runtime, RuntimeOptions, Tls};
use futures::StreamExt;
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use super::super::*;
use crate::plan::{Ends, Request, Target, Variables, plan};

/// Byte i is i modulo 251, as the guests make it.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8).collect()
}

/// A repository in a folder of its own.
pub struct Disk {
    pub folder: TempDir,
    pub repository: Repository,
}

impl Disk {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open_store(&StoreConfig::Local { path: folder.path().join("repo") }).unwrap();
        let repository = Repository::init(store, &SecretString::from("swordfish")).await.unwrap();
        Self { folder, repository }
    }

    pub fn destination(&self, name: &str) -> Destination {
        let repository = self.repository.clone();
        Destination { name: name.to_owned(), namespace: "demo".to_owned(), repository, tags: Vec::new() }
    }

    /// From now on no pack can be stored.
    pub fn break_down(&self) {
        let data = self.folder.path().join("repo/data");
        let _ = std::fs::remove_dir_all(&data);
        std::fs::write(data, "in the way").unwrap();
    }

    pub fn mend(&self) {
        let _ = std::fs::remove_file(self.folder.path().join("repo/data"));
    }

    pub async fn snapshots(&self) -> usize {
        self.repository.snapshots().await.unwrap().snapshots.len()
    }

    /// A snapshot of these files, and of a manifest if there is one.
    pub async fn hold(&self, files: &[(&str, &[u8])], manifest: Option<Value>) -> Snapshot {
        let writer = self.repository.begin(Default::default()).await.unwrap();
        let manifest = manifest.map(|manifest| manifest.to_string().into_bytes());
        let manifest = manifest.as_deref().map(|bytes| (".coffer/manifest.json", bytes));
        for (name, bytes) in files.iter().copied().chain(manifest) {
            let mut file = writer.file(name).unwrap();
            file.write(bytes.to_vec().into()).await.unwrap();
            file.finish().await.unwrap();
        }
        writer.commit().await.unwrap()
    }

    pub async fn latest(&self) -> Snapshot {
        self.repository.snapshot("latest", &SnapshotFilter::default()).await.unwrap()
    }

    pub async fn content(&self, path: &str) -> Vec<u8> {
        let files = self.repository.files(&self.latest().await).await.unwrap();
        let file = files.iter().find(|file| file.path == path).unwrap();
        let chunks: Vec<_> = self.repository.read(file).collect().await;
        chunks.into_iter().flat_map(|chunk| chunk.unwrap().to_vec()).collect()
    }
}

/// A step: its Function (an entry of the guests), its role and its parameters.
pub type StepSpec<'a> = (&'a str, &'a str, Value);

/// A plan of these steps, each named after its Function.
pub fn planned(ends: Ends, steps: &[StepSpec<'_>], finally: &[StepSpec<'_>], change: impl FnOnce(&mut Value)) -> Plan {
    let list = |steps: &[StepSpec<'_>]| -> Vec<Value> {
        steps
            .iter()
            .map(|(function, _, params)| json!({"name": function, "function": function, "params": params}))
            .collect()
    };
    let mut task = json!({"steps": list(steps), "finally": list(finally)});
    change(&mut task);
    let functions: BTreeMap<String, FunctionSpec> = steps
        .iter()
        .chain(finally)
        .map(|(function, role, _)| {
            let spec = json!({
                "addon": "guests", "entry": function, "role": role,
                "parameters": {"type": "object", "additionalProperties": true},
            });
            ((*function).to_owned(), serde_json::from_value(spec).unwrap())
        })
        .collect();
    let target = Target {
        kind: "AppBinding".to_owned(),
        name: "shop".to_owned(),
        namespace: "demo".to_owned(),
        application: "test".to_owned(),
        version: None,
    };
    plan(&Request {
        task: "test",
        spec: &serde_json::from_value::<TaskSpec>(task).unwrap(),
        functions: &functions,
        grants: &[("guests".to_owned(), Default::default())].into(),
        target: &target,
        source: None,
        ends,
        app_parameters: &Parameters::default(),
        session_parameters: &Parameters::default(),
        variables: &Variables::new(),
        timeout: None,
        retry: None,
    })
    .unwrap()
}

/// A run under way, seen from outside.
pub struct Running {
    pub watch: watch::Receiver<Status>,
    pub cancel: CancellationToken,
    pub task: tokio::task::JoinHandle<Result<Outcome, Error>>,
}

/// An application on a port of this machine.
pub fn application(port: u16) -> Application {
    Application {
        kind: "test".to_owned(),
        version: None,
        endpoints: vec![Endpoint { name: "main".to_owned(), host: "127.0.0.1".to_owned(), port }],
        tls: Tls::disabled(),
        parameters: Vec::new(),
        credentials: Default::default(),
    }
}

/// Starts a plan; every Function is the guests' component.
pub async fn start(plan: Plan, data: Data) -> Running {
    start_on(plan, data, None).await
}

/// The same, bound to an application.
pub async fn start_on(plan: Plan, data: Data, application: Option<Application>) -> Running {
    let linked = guests().await;
    let components = plan.functions().into_iter().map(|name| (name.to_owned(), linked.clone())).collect();
    let inputs = Inputs { components, application, data, session: "demo/test-1".to_owned(), limits: Limits::default() };
    let (status, watch) = Status::of(&plan);
    let cancel = CancellationToken::new();
    let controls = Controls { status, log: Log::none(), cancel: cancel.clone() };
    // A run is spawned by its callers, so it has to be `Send`.
    let task = tokio::spawn(async move { run(&plan, inputs, controls).await });
    Running { watch, cancel, task }
}

/// Runs a plan to its end.
pub async fn ended(plan: Plan, data: Data) -> (Result<Outcome, Error>, Status) {
    let running = start(plan, data).await;
    let result = running.task.await.unwrap();
    (result, running.watch.borrow().clone())
}

/// The component of `tests/guests`, compiled once for all tests.
async fn guests() -> Linked {
    // The cache outlives the tests by nothing: the folder goes with the first test that ends, which the engine survives.
    static LINKED: LazyLock<tokio::sync::OnceCell<(Linked, TempDir)>> = LazyLock::new(Default::default);
    let (linked, _) = LINKED
        .get_or_init(async || {
            let folder = tempfile::tempdir().unwrap();
            let runtime = Runtime::new(RuntimeOptions { cache: folder.path().join("compiled") }).unwrap();
            let linked = runtime.compile(&component()).await.unwrap().link(&Grants::all()).unwrap();
            (linked, folder)
        })
        .await;
    linked.clone()
}

/// Builds the guests when they are absent or older than their sources.
fn component() -> Vec<u8> {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = BUILDING.lock();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let path = target.join("wasm32-wasip2/addon/coffer_test_guests.wasm");
    let newest = ["tests/guests/src", "tests/guests/Cargo.toml", "wit/0.1.0"].map(|part| changed(&root.join(part)));
    if !path.exists() || newest.into_iter().any(|newer| newer > changed(&path)) {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--target", "wasm32-wasip2", "--profile", "addon", "-p", "coffer-test-guests"])
            .current_dir(root)
            .status()
            .unwrap();
        assert!(built.success(), "building the test guests failed");
    }
    std::fs::read(path).unwrap()
}

/// When a file, or anything directly in a folder, was last changed.
fn changed(path: &Path) -> SystemTime {
    let own = path.metadata().unwrap().modified().unwrap();
    let inside = std::fs::read_dir(path).into_iter().flatten().map(|entry| changed(&entry.unwrap().path()));
    inside.max().map_or(own, |newest| newest.max(own))
}
