//! The component in the real host, with its own TLS, connections and credentials: what the native tests cannot see.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

mod copying;
mod dumping;
mod restoring;

use bytes::Bytes;
use coffer_addon::testing::Written;
use coffer_addon_elasticsearch::layout::INDEX;
use coffer_runtime::{
    Application, Artifact, ArtifactWriter, Class, Endpoint, Limits, Linked, Operation, Report, RunError, Tls,
};
use coffer_test_servers::search::compare::{self, same_cluster};
use coffer_test_servers::search::{Search, SearchOptions, SearchVersion, sample};
use dumping::open_contexts;
use restoring::artifact;
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell, mpsc};

/// One node at a time: each wants half a gigabyte.
static ONE: Mutex<()> = Mutex::const_new(());

/// The component, built and compiled once; none where the target is not installed.
async fn component() -> Option<Linked> {
    static COMPONENT: OnceCell<Option<Linked>> = OnceCell::const_new();
    COMPONENT.get_or_init(|| coffer_test_components::addon("coffer-addon-elasticsearch")).await.clone()
}

fn application(server: &Search, password: &str, tls: Tls) -> Application {
    let kind = if server.version().is_opensearch() { "opensearch" } else { "elasticsearch" };
    let credentials = server.user().map(|user| [("username", user), ("password", password)]);
    Application {
        kind: kind.into(),
        version: None,
        endpoints: vec![Endpoint { name: "default".into(), host: "127.0.0.1".into(), port: server.port() }],
        tls,
        parameters: Vec::new(),
        credentials: credentials.into_iter().flatten().map(|(name, value)| (name.into(), value.into())).collect(),
    }
}

/// Who may do everything there, and trusts whom it should.
fn there(server: &Search) -> Application {
    let tls = server.authority().map_or_else(Tls::disabled, |authority| Tls {
        ca_pem: Some(authority.certificate().into_bytes()),
        server_name: Some("localhost".into()),
        ..Tls::default()
    });
    application(server, server.password().unwrap_or_default(), tls)
}

fn operation(application: Application, function: &str, parameters: Value) -> Operation {
    Operation { application: Some(application), ..Operation::new(function, parameters) }
}

async fn run(
    component: &Linked,
    application: Application,
    function: &str,
    parameters: Value,
    given: Vec<Written>,
) -> (Result<Report, RunError>, Vec<Written>) {
    coffer_test_components::run(component, operation(application, function, parameters), given).await
}

fn fact(report: &Report, name: &str) -> String {
    let found = report.facts.iter().find(|(key, _)| key == name);
    found.unwrap_or_else(|| panic!("no fact {name} in {:?}", report.facts)).1.clone()
}

/// Everything of one node goes out and comes back in; what was dumped.
async fn there_and_back(component: &Linked, server: &Search) -> Vec<Written> {
    let before = compare::cluster(server).expect("what is there");
    let mut all = json!({ "hidden": true, "openClosed": true, "jobs": 3 });
    if server.user().is_some() {
        all["exclude"] = json!([".security*"]);
    }
    let (dumped, files) = run(component, there(server), "elasticsearch-dump", all, Vec::new()).await;
    let dumped = dumped.expect("dumped");
    sample::remove(server).expect("removed");
    for parameters in [json!({}), json!({ "overwrite": true, "jobs": 3 })] {
        let (restored, _) = run(component, there(server), "elasticsearch-restore", parameters, files.clone()).await;
        let restored = restored.expect("restored");
        same_cluster(&before, &compare::cluster(server).expect("what is there")).expect("the same");
        for total in ["tables", "rows", "bytes"] {
            assert_eq!(fact(&restored, total), fact(&dumped, total), "{total}");
        }
    }
    assert_eq!(open_contexts(server), 0);
    files
}

/// As a copy does it: many files at once, none of them whole before the other side has read of it.
async fn a_dump_streams_into_a_restore(component: &Linked, server: &Search) {
    let indices = [sample::PRODUCTS, sample::ORDERS, sample::ODD, sample::EMPTY, sample::LOGS[0], sample::LOGS[1]];
    let (outbox, inbox) = mpsc::channel(1);
    let dump = operation(there(server), "elasticsearch-dump", json!({ "indices": indices, "jobs": 5 }));
    let parameters = json!({ "rename": { "shop-*": "copy-*" }, "jobs": 1 });
    let restore = operation(there(server), "elasticsearch-restore", parameters);
    let (dumped, restored) =
        tokio::join!(component.run(Operation { outbox, ..dump }), component.run(Operation { inbox, ..restore }));
    assert_eq!(fact(&dumped.expect("dumped"), "rows"), fact(&restored.expect("restored"), "rows"));
    for name in indices {
        let copy = name.replace("shop-", "copy-");
        let (one, other) = (compare::documents(server, name), compare::documents(server, &copy));
        compare::same_documents(&one.expect("documents"), &other.expect("documents")).expect("the same");
        server.client().ask("DELETE", &format!("/{copy}"), &Value::Null).expect("deleted");
    }
    assert_eq!(open_contexts(server), 0);
}

/// The first artifact is out, nobody takes the next: everything is open.
async fn a_cancelled_dump_leaves_nothing_open(component: &Linked, server: &Search) {
    let (outbox, mut from) = mpsc::channel(1);
    let parameters = json!({ "openClosed": true, "jobs": 3 });
    let dump = Operation { outbox, ..operation(there(server), "elasticsearch-dump", parameters) };
    let cancel = dump.cancel.clone();
    let asked_to_stop = async {
        from.recv().await.expect("an index");
        assert!(open_contexts(server) > 0);
        cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(component.run(dump), asked_to_stop);
    assert_eq!(outcome.expect_err("cancelled").class, Class::Cancelled);
    assert_eq!(open_contexts(server), 0);
    assert!(compare::index(server, sample::CLOSED).expect("an index").is_closed);
}

/// A restore whose largest file has not come whole.
struct Half {
    into: mpsc::Sender<coffer_runtime::ArtifactReader>,
    operation: Operation,
}

impl Half {
    fn new(server: &Search, parameters: Value) -> Half {
        let (into, inbox) = mpsc::channel(1);
        Half { into, operation: Operation { inbox, ..operation(there(server), "elasticsearch-restore", parameters) } }
    }

    /// The index and half of the documents; until the server has some of them.
    async fn give(
        into: &mpsc::Sender<coffer_runtime::ArtifactReader>,
        files: &[Written],
        server: &Search,
        target: &str,
    ) -> ArtifactWriter {
        let file =
            |name: &str| files.iter().find(|file| file.artifact.name == name).expect(name).bytes.clone().unwrap();
        let open = async |name: &str| {
            let artifact = Artifact { name: name.into(), labels: Vec::new() };
            let (writer, reader) = coffer_runtime::artifact(artifact, 1);
            into.send(reader).await.expect("wanted");
            writer
        };
        let mut index = open("coffer.json").await;
        index.write(Bytes::from(file("coffer.json"))).await.expect("wanted");
        index.finish().await.expect("wanted");
        let mut data = open(&format!("{}.json", sample::PRODUCTS)).await;
        let bytes = file(&format!("{}.json", sample::PRODUCTS));
        data.write(Bytes::copy_from_slice(&bytes[..bytes.len() / 2])).await.expect("wanted");
        while server.client().get(&format!("/{target}")).is_ok_and(|(status, _)| status != 200) {
            tokio::task::yield_now().await;
        }
        data
    }
}

/// What was being made is no slow index for ever, and can be made again.
async fn a_cancelled_restore_leaves_nothing_hanging(component: &Linked, server: &Search, files: &[Written]) {
    let parameters =
        json!({ "include": [sample::PRODUCTS], "rename": { (sample::PRODUCTS): "half" }, "aliases": false });
    let Half { into, operation } = Half::new(server, parameters.clone());
    let cancel = operation.cancel.clone();
    let asked_to_stop = async {
        let data = Half::give(&into, files, server, "half").await;
        cancel.cancel();
        data
    };
    let (outcome, _data) = tokio::join!(component.run(operation), asked_to_stop);
    assert_eq!(outcome.expect_err("cancelled").class, Class::Cancelled);
    let path = "/half/_settings?flat_settings=true";
    let settings = server.client().ask("GET", path, &Value::Null).expect("settings");
    assert_eq!(settings["half"]["settings"]["index.refresh_interval"], "7s", "{settings}");
    let (refused, _) = run(component, there(server), "elasticsearch-restore", parameters.clone(), files.to_vec()).await;
    assert_eq!(refused.expect_err("it is there").class, Class::InvalidParameter);
    let mut over = parameters;
    over["overwrite"] = true.into();
    let (restored, _) = run(component, there(server), "elasticsearch-restore", over, files.to_vec()).await;
    restored.expect("restored");
    let (whole, half) = (compare::documents(server, sample::PRODUCTS), compare::documents(server, "half"));
    compare::same_documents(&whole.expect("documents"), &half.expect("documents")).expect("the same");
    server.client().ask("DELETE", "/half", &Value::Null).expect("deleted");
}

/// The last of all.
async fn a_killed_node_is_told(component: &Linked, mut server: Search, files: &[Written]) {
    let parameters = json!({ "include": [sample::PRODUCTS], "rename": { (sample::PRODUCTS): "half" }, "aliases": false,
        "patience": "500ms" });
    let Half { into, operation } = Half::new(&server, parameters);
    let killed = async {
        let data = Half::give(&into, files, &server, "half").await;
        server.kill9();
        // Now it may go on.
        data.finish().await.ok();
    };
    let (outcome, ()) = tokio::join!(component.run(operation), killed);
    let error = outcome.expect_err("killed");
    assert_eq!(error.class, Class::Unavailable, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_describes_itself_as_the_addon_does() {
    let Some(component) = component().await else { return };
    let descriptor = component.describe().await.expect("described");
    assert_eq!(descriptor, coffer_addon_elasticsearch::addon().descriptor().expect("valid"));
}

/// An error and no trap, behind which nothing would be made what it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_there_is_no_memory_for_is_told_and_its_index_finished() {
    let Some(component) = component().await else { return };
    let index = json!({ "format": 1, "tool": "a test", "consistency": "pit", "schema": true, "data": true,
        "server": { "flavour": "Elasticsearch", "version": "8.19.0", "cluster": "c" },
        "indices": [{ "name": "x", "settings": { "index.refresh_interval": "7s" }, "mappings": { "properties": {} },
            "file": "x.json" }] });
    let line = format!("{{\"_index\":\"x\",\"_id\":\"1\",\"_source\":{{\"text\":\"{}\"}}}}\n", "x".repeat(40 << 20));
    let files = vec![artifact(INDEX, index.to_string()), artifact("x.json", line)];
    let fake = restoring::fake::Fake::with(|_| None).await;
    let limits = Limits { memory: 64 << 20, ..Limits::default() };
    let operation = operation(copying::at(fake.port), "elasticsearch-restore", json!({}));
    let (restored, _) = coffer_test_components::run(&component, Operation { limits, ..operation }, files).await;
    let error = restored.expect_err("no room");
    assert_eq!(error.class, Class::Unsupported, "{error}");
    assert!(error.message.contains("x.json") && error.message.contains("spec.limits.memory"), "{error}");
    let settings = &fake.asked()[fake.place("PUT", "/x/_settings")].body;
    assert!(settings.contains(r#""7s""#), "{settings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_out_of_opensearch_and_comes_back_in() {
    let Some(component) = component().await else { return };
    let _one = ONE.lock().await;
    if !SearchVersion::OpenSearch38.is_at_hand() {
        return;
    }
    let server = Search::start(SearchVersion::OpenSearch38, &SearchOptions::default()).expect("a node");
    sample::create(&server, 3000).expect("the sample");
    let files = there_and_back(&component, &server).await;
    a_dump_streams_into_a_restore(&component, &server).await;
    a_cancelled_dump_leaves_nothing_open(&component, &server).await;
    a_cancelled_restore_leaves_nothing_hanging(&component, &server, &files).await;
    a_killed_node_is_told(&component, server, &files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secured_node_is_served_by_who_may() {
    let Some(component) = component().await else { return };
    let _one = ONE.lock().await;
    if !SearchVersion::Elasticsearch95Secured.is_at_hand() {
        return;
    }
    let server = Search::start(SearchVersion::Elasticsearch95Secured, &SearchOptions::default()).expect("a node");
    sample::create(&server, 1000).expect("the sample");
    let files = there_and_back(&component, &server).await;
    a_cancelled_dump_leaves_nothing_open(&component, &server).await;

    let tls = there(&server).tls;
    let ready = async |password: &str, tls: Tls| {
        let application = application(&server, password, tls);
        run(&component, application, "elasticsearch-wait-ready", json!({ "timeout": "5s" }), Vec::new()).await.0
    };
    ready(server.password().expect("one"), tls.clone()).await.expect("ready");
    for function in ["elasticsearch-wait-ready", "elasticsearch-dump", "elasticsearch-restore"] {
        let wrong = application(&server, "guess", tls.clone());
        let given = if function.ends_with("restore") { files.clone() } else { Vec::new() };
        let (denied, _) = run(&component, wrong, function, json!({}), given).await;
        let denied = denied.expect_err("a wrong password");
        assert_eq!(denied.class, Class::Denied, "{denied}");
        assert!(!denied.to_string().contains("guess"), "{denied}");
    }
    // Somebody else's name, nobody who vouches for it, and no TLS at all.
    let other = Tls { server_name: Some("example.org".into()), ..tls.clone() };
    let unknown = Tls { ca_pem: None, ..tls };
    for tls in [other, unknown, Tls::disabled()] {
        ready(server.password().expect("one"), tls).await.expect_err("not the one");
    }
}
