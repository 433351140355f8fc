//! The nodes: each starts, takes the sample, keeps it over a kill and goes; stock `multielasticdump` copies documents, as
//! the comparison that judges Coffer's own restores sees it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use coffer_test_servers::search::{Search, SearchOptions, SearchVersion, compare, sample};
use serde_json::{Value, json};

/// One node at a time: each wants half a gigabyte.
static ONE: Mutex<()> = Mutex::new(());

/// The sample's size here.
const DOCUMENTS: u32 = 2000;

/// Those that are copied by the stock program in any case.
const STOCK: [SearchVersion; 2] = [SearchVersion::OpenSearch38, SearchVersion::Elasticsearch95Secured];

/// Starts a version, tests it, and sees that nothing is left; a version that is not tested here says so.
fn with(version: SearchVersion, test: impl Fn(&mut Search)) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    if !SearchVersion::tested().contains(&version) {
        coffer_test_servers::skipped(format_args!("{}: COFFER_TEST_ALL_SEARCH=1 has it tested", version.name()));
        return;
    }
    if !version.is_at_hand() {
        return;
    }
    let mut server = Search::start(version, &SearchOptions::default()).unwrap();
    test(&mut server);
    let (folder, process) = (server.folder().to_owned(), server.process_id().unwrap());
    drop(server);
    assert!(!folder.exists(), "the folder is gone");
    assert!(!Path::new("/proc").join(process.to_string()).exists(), "the process is gone");
}

fn proves_itself(version: SearchVersion) {
    with(version, |server| {
        let (status, root) = server.client().get("/").unwrap();
        assert_eq!((status, root["version"]["number"].as_str()), (200, Some(version.number())), "{root}");
        let (status, answer) = server.anonymous().get("/").unwrap();
        assert_eq!(status, if version.is_secured() { 401 } else { 200 }, "{answer}");

        sample::create(server, DOCUMENTS).unwrap();
        let before = compare::cluster(server).unwrap();
        let can = version.abilities();
        assert_eq!(before.data_streams.len(), usize::from(can.data_streams));
        assert_eq!(before.indices.contains_key(sample::STAMPED), can.set_processor);
        assert!(before.indices[sample::CLOSED].is_closed);
        assert_eq!(before.indices[sample::CLOSED].documents.0.len(), 20);
        let all = before.indices.values().map(|index| index.documents.0.len()).sum::<usize>();
        assert!(all > DOCUMENTS as usize * 9 / 10, "{all}");

        server.kill9();
        server.start_again().unwrap();
        compare::same_cluster(&before, &compare::cluster(server).unwrap()).unwrap();

        let client = server.client();
        let name = &json!({ "doc": { "name": "another" } });
        client.ask("POST", &format!("/{}/_update/p7?refresh=true", sample::PRODUCTS), name).unwrap();
        client
            .ask("PUT", &format!("/{}/_settings", sample::EMPTY), &json!({ "index.refresh_interval": "9s" }))
            .unwrap();
        client.ask("DELETE", "/_component_template/shop-unused", &Value::Null).unwrap();
        let error = compare::same_cluster(&before, &compare::cluster(server).unwrap()).unwrap_err().to_string();
        assert!(error.contains("index shop-products: document \"p7\" has another source (one of 1)"), "{error}");
        assert!(error.contains("index shop-empty.settings.index.refresh_interval: null and \"9s\""), "{error}");
        assert!(error.contains("component template shop-unused: only in the first"), "{error}");
        assert_eq!(error.lines().count(), 4, "{error}");

        // It is slow, and the same for all but for the login.
        if SearchVersion::tested().len() > SearchVersion::DEFAULT.len() || STOCK.contains(&version) {
            stock_copy(server);
        }
        lossy(server);
        sample::remove(server).unwrap();
        let after = compare::cluster(server).unwrap();
        let names = after.indices.keys().chain(after.index_templates.keys()).chain(after.scripts.keys());
        assert_eq!(names.filter(|name| name.starts_with(sample::PREFIX)).count(), 0);
    });
}

/// `multielasticdump` dumps and loads two indices, which have no number that JavaScript lacks.
fn stock_copy(server: &Search) {
    let client = server.client();
    let indices = [sample::ORDERS, sample::ODD];
    let before = indices.map(|name| compare::index(server, name).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let dump = |direction: &str, input: &str, output: &str| {
        let mut command = server.tool("multielasticdump").unwrap();
        command.arg(format!("--direction={direction}")).arg(format!("--match=^({})$", indices.join("|")));
        command.arg(format!("--input={input}")).arg(format!("--output={output}"));
        command.args(["--includeType=data,mapping,index", "--limit=1000", "--interval=10", "--intervalCap=1000"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    };
    let (url, path) = (server.url(), folder.path().display().to_string());
    dump("dump", &url, &path);
    for name in indices {
        client.ask("DELETE", &format!("/{name}"), &Value::Null).unwrap();
    }
    dump("load", &path, &url);
    for (name, before) in indices.iter().zip(&before) {
        client.ask("POST", &format!("/{name}/_refresh"), &Value::Null).unwrap();
        let after = compare::index(server, name).unwrap();
        compare::same_index(before, &after).unwrap();
    }
}

fn lossy(server: &Search) {
    let names = sample::create_lossy(server).unwrap();
    // Synthetic, or derived as OpenSearch calls it.
    let version = server.version();
    let puts_together = version.abilities().synthetic_source || version.is_opensearch();
    assert_eq!(names.len(), if puts_together { 4 } else { 3 });
    for name in names {
        let index = compare::index(server, name).unwrap();
        assert_eq!(index.documents.0.len(), 10, "{name}");
    }
}

#[test]
fn opensearch_38() {
    proves_itself(SearchVersion::OpenSearch38);
}

#[test]
fn opensearch_34_secured() {
    proves_itself(SearchVersion::OpenSearch34Secured);
}

#[test]
fn elasticsearch_710() {
    proves_itself(SearchVersion::Elasticsearch710);
}

#[test]
fn elasticsearch_717() {
    proves_itself(SearchVersion::Elasticsearch717);
}

#[test]
fn elasticsearch_819() {
    proves_itself(SearchVersion::Elasticsearch819);
}

#[test]
fn elasticsearch_95() {
    proves_itself(SearchVersion::Elasticsearch95);
}

#[test]
fn elasticsearch_95_secured() {
    proves_itself(SearchVersion::Elasticsearch95Secured);
}
