//! The kit on addons of known quality: the tutorial's passes, and each fault of the faulty one fails where it should.
//!
//! The application is the tutorial's too: real sockets, real files, and nothing that a test could not see through.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

#[path = "../../../addon-sdk/examples/notes-server.rs"]
mod notes_server;

use coffer_conformance::{Bound, Compare, Conformance, Settings, Verdict, check};
use coffer_runtime::{Application, Capability, Endpoint, Grants, Linked, Runtime, RuntimeOptions, Tls};
use serde_json::Map;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

const PASSWORD: &str = "correct-horse-7";
/// 8 MB in all.
const NOTES: usize = 80_000;

/// Two servers of notes, one with notes in it.
struct Scene {
    folder: TempDir,
    ports: [u16; 2],
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = ["source", "target"].map(|name| {
            let own = folder.path().join(name);
            std::fs::create_dir(&own).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            std::thread::spawn(move || notes_server::serve(listener, &own, PASSWORD));
            port
        });
        let notes: String = (0..NOTES).map(|i| format!("{i:06}: buy {:<88}\n", "milk, eggs and flour")).collect();
        std::fs::write(folder.path().join("source/notes.txt"), notes).unwrap();
        Self { folder, ports }
    }

    fn bound(&self, which: usize, fault: &str) -> Bound {
        let endpoint = Endpoint { name: "default".into(), host: "127.0.0.1".into(), port: self.ports[which] };
        let application = Application {
            kind: "notes".into(),
            version: None,
            endpoints: vec![endpoint],
            tls: Tls::disabled(),
            parameters: vec![("fault".into(), fault.into())],
            credentials: [("username", "notes"), ("password", PASSWORD)].map(|(k, v)| (k.into(), v.into())).into(),
        };
        Bound { application, parameters: Map::new(), offered: Map::new() }
    }

    fn settings(&self, fault: &str) -> Settings {
        let folder = self.folder.path().display();
        Settings {
            source: Some(self.bound(0, fault)),
            target: Some(self.bound(1, fault)),
            reset: Some(format!("rm -f {folder}/target/notes.txt")),
            leftovers: Some(format!("test ! -e {folder}/source/lock")),
            ..Settings::default()
        }
    }
}

/// The components, built once: the tutorial's addon and the faulty one. None where the target is not installed.
fn components() -> Option<&'static [PathBuf; 2]> {
    static COMPONENTS: OnceLock<Option<[PathBuf; 2]>> = OnceLock::new();
    let build = || {
        let notes = coffer_test_components::build(&["-p", "coffer-addon", "--example", "notes"])?;
        Some([notes, coffer_test_components::build(&["-p", "coffer-test-faulty"])?])
    };
    COMPONENTS.get_or_init(build).as_ref()
}

async fn linked(component: &Path) -> (Vec<Capability>, Linked, TempDir) {
    let cache = tempfile::tempdir().unwrap();
    let runtime = Runtime::new(RuntimeOptions { cache: cache.path().join("cache") }).unwrap();
    let compiled = runtime.compile(&std::fs::read(component).unwrap()).await.unwrap();
    (compiled.imports().to_vec(), compiled.link(&Grants::all()).unwrap(), cache)
}

/// Runs the kit on one of [`components`].
async fn run(which: usize, fault: &str, only: &[&str], skip: &[&str]) -> Option<Conformance> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    run_with(which, |scene| Settings { only: names(only), skip: names(skip), ..scene.settings(fault) }).await
}

async fn run_with(which: usize, settings: impl FnOnce(&Scene) -> Settings) -> Option<Conformance> {
    let component = &components()?[which];
    let (imports, linked, _cache) = linked(component).await;
    let scene = Scene::new();
    Some(check(&imports, &linked, &settings(&scene), |_| ()).await.unwrap())
}

fn of(conformance: &Conformance, verdict: Verdict) -> Vec<&str> {
    let cases = conformance.cases.iter().filter(|case| case.verdict == verdict);
    cases.map(|case| case.case.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tutorials_addon_conforms() {
    let Some(conformance) = run(0, "", &[], &[]).await else { return };
    assert_eq!(of(&conformance, Verdict::Failed), Vec::<&str>::new(), "{conformance:#?}");
    // It has one artifact, which is not asked for first, and a sink without parameters.
    let skipped = ["notes-restore/wrong-type", "sink/missing", "sink/first-garbled"];
    assert_eq!(of(&conformance, Verdict::Skipped), skipped, "{conformance:#?}");
    assert!(conformance.peak_memory < 8 << 20, "{} bytes for an addon that streams", conformance.peak_memory);
}

/// `docs/authoring.md` shows what is tried here, letter for letter.
#[test]
fn the_manual_shows_this_addon() {
    let manual = include_str!("../../../docs/authoring.md");
    assert!(manual.contains(concat!("```rust\n", include_str!("../../../addon-sdk/examples/notes.rs"), "```\n")));
}

/// The cases that fail are these and no others. Its sink gathers all of a file, which is a fault of its own.
async fn fails(fault: &str, only: &[&str], expected: &[&str]) {
    let Some(conformance) = run(1, fault, only, &["source/throttled", "sink/throttled", "sink/held-back"]).await else {
        return;
    };
    assert_eq!(of(&conformance, Verdict::Failed), expected, "{fault}: {conformance:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_gathers_what_it_cannot_pass_on() {
    let Some(conformance) = run(1, "", &[], &["source/throttled", "sink/throttled"]).await else { return };
    assert_eq!(of(&conformance, Verdict::Failed), ["sink/held-back"], "{conformance:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_gathers_what_it_cannot_pass_on() {
    fails("hoards", &[], &["source/held-back"]).await;
}

/// What begins with an error.
const ERRORS: [&str; 8] = [
    "source/wrong-password",
    "source/unreachable",
    "source/hangs-up",
    "source/nonsense",
    "source/tls",
    "source/cut-10",
    "source/cut-50",
    "source/cut-90",
];

#[tokio::test(flavor = "multi_thread")]
async fn panics_and_successes_where_there_should_be_errors() {
    for fault in ["panics", "says-all-is-well"] {
        fails(fault, &["source/*"], &ERRORS).await;
        let refused = ["sink/wrong-password", "sink/unreachable", "sink/hangs-up", "sink/nonsense", "sink/tls"];
        let cut = ["sink/cut-10", "sink/cut-50", "sink/cut-90"];
        let damaged = ["nothing", "unknown", "half", "half-at-line-end", "tail", "broken", "garbled"];
        let damaged = damaged.map(|name| format!("sink/{name}"));
        let all: Vec<&str> = refused.into_iter().chain(cut).chain(damaged.iter().map(String::as_str)).collect();
        fails(fault, &["sink/*"], &all).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_wrong_case() {
    let wrong = ["wrong-password", "unreachable", "hangs-up", "cut-10", "cut-50", "cut-90"];
    let wrong = ["source", "sink"].iter().flat_map(|end| wrong.map(|name| format!("{end}/{name}"))).collect::<Vec<_>>();
    let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
    fails("calls-everything-failed", &[], &wrong).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_file_called_whole() {
    fails("calls-half-a-file-whole", &[], &["source/cut-10", "source/cut-50", "source/cut-90"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_believes_what_it_is_handed() {
    fails("restores-nothing", &["sink/*"], &["sink/nothing"]).await;
    fails("believes-broken-files", &["sink/*"], &["sink/broken"]).await;
    fails("counts-nothing", &["sink/*"], &["sink/half", "sink/half-at-line-end", "sink/tail"]).await;
    fails("passes-over-others", &["sink/*"], &["sink/unknown"]).await;
}

/// What is for other tools is read, and not restored from: only damage to the rest is damage, and the addon says which is which.
#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_for_other_tools() {
    let damaged = ["sink/missing", "sink/half", "sink/half-at-line-end", "sink/tail", "sink/broken", "sink/garbled"];
    fails("writes-a-copy", &damaged, &[]).await;
    let unnoticed = ["sink/missing", "sink/half", "sink/tail", "sink/garbled"];
    fails("hides-that-it-is-a-copy", &damaged, &unnoticed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_none() {
    fails("loses-a-note", &["round-trip"], &["round-trip"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_of_nothing() {
    let only = vec!["round-trip".to_owned()];
    let settings = |fault, compare| {
        let only = only.clone();
        move |scene: &Scene| Settings { only, compare, ..scene.settings(fault) }
    };
    let Some(uncounted) = run_with(1, settings("reports-nothing", Compare::Facts)).await else { return };
    assert_eq!(of(&uncounted, Verdict::Failed), ["round-trip"], "{uncounted:#?}");
    // With totals there is something to go by; without them the artifacts are.
    for (fault, compare) in [("", Compare::Facts), ("reports-nothing", Compare::Bytes)] {
        let Some(conformance) = run_with(1, settings(fault, compare)).await else { return };
        assert_eq!(conformance.failed, 0, "{conformance:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_for_and_not_tried() {
    let only = vec!["sink/*".to_owned(), "round-trip".to_owned()];
    let settings = |scene: &Scene| Settings { only: only.clone(), target: None, ..scene.settings("") };
    let Some(conformance) = run_with(1, settings).await else { return };
    assert_eq!(of(&conformance, Verdict::Passed), ["source/whole"], "{conformance:#?}");
    let untried = conformance.untried(&only).map(|case| case.found.as_str());
    assert_eq!(untried, Some("needs --restore-binding"));
    assert_eq!(conformance.untried(&[]), None);
    assert_eq!(conformance.untried(&["source/*".to_owned()]), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_in_the_clear() {
    fails("forgets-tls", &[], &["source/tls", "sink/tls"]).await;
    fails("logs-the-password", &["source/whole"], &["source/whole"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_behind() {
    // Found where it is left, and not held against the cases that come after.
    fails("leaves-a-lock", &["source/cancel-50", "source/cancel-90"], &["source/cancel-50"]).await;
    fails("cleans-up-for-ever", &["source/cancel-50"], &["source/cancel-50"]).await;
}
