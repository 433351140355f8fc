//! elasticsearch-dump of real nodes: what it writes is what they have, and it fails by name where it cannot.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

#[path = "dumping/definitions.rs"]
mod definitions;
mod dumping;
#[path = "dumping/faked.rs"]
mod faked;
#[path = "dumping/live.rs"]
mod live;
#[path = "dumping/saved.rs"]
mod saved;
#[path = "dumping/scrolled.rs"]
mod scrolled;
#[path = "dumping/six.rs"]
mod six;
mod sixes;

use coffer_addon::{Ends, Error, testing};
use coffer_addon_elasticsearch::layout::{Consistency, Count, Definitions};
use coffer_test_servers::search::{Search, SearchOptions, SearchVersion, compare, sample};
use dumping::{Dump, application, dump, open_contexts};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Everything of one node: it takes longer to start than to do all of this.
async fn all_of(version: SearchVersion, consistency: Consistency, documents: u32) {
    if !version.is_at_hand() {
        return;
    }
    let server = Search::start(version, &SearchOptions::default()).expect("a node");
    sample::create(&server, documents).expect("the sample");
    is_ready(&server).await;
    refuses_what_it_cannot_dump(&server).await;
    dumps_everything(&server, consistency).await;
    chooses(&server).await;
    live::is_of_a_moment(&server).await;
    live::is_of_a_moment_while_somebody_writes(&server).await;
    live::keeps_versions(&server).await;
    live::takes_huge_documents(&server).await;
    keeps_what_indices_need(&server).await;
    live::leaves_nothing_behind_when_cancelled(&server).await;
    live::is_loaded_by_stock_programs(&server).await;
    finds_what_is_lossy(&server).await;
    assert_eq!(open_contexts(&server), 0);
    live::is_told_of_a_red_index(&server).await;
    live::is_told_of_a_killed_node(server).await;
}

async fn is_ready(server: &Search) {
    let ends = Ends { application: application(server), inbox: testing::inbox([]), outbox: testing::outbox().0 };
    let report = coffer_addon_elasticsearch::addon().run(ends, "elasticsearch-wait-ready", "{}").await.expect("ready");
    let version = ("serverVersion".to_string(), server.version().number().to_string());
    assert!(report.facts.contains(&version), "{report:?}");
}

async fn dumps_everything(server: &Search, consistency: Consistency) {
    let dumped =
        dump(server, r#"{"hidden": true, "openClosed": true, "clusterSettings": true}"#).await.expect("dumped");
    assert_eq!(open_contexts(server), 0, "contexts are given back");
    let (index, counts) = (dumped.index(), dumped.counts());
    assert_eq!(index.consistency, consistency);
    assert_eq!(dumped.fact("tables"), index.indices.len().to_string());
    let mut all = Count::default();
    counts.indices.values().for_each(|count| all.merge(count));
    eprintln!("{}: {} documents", server.version().name(), all.documents);
    assert_eq!((dumped.fact("rows"), dumped.fact("bytes")), (&*all.documents.to_string(), &*all.bytes.to_string()));

    let cluster = compare::cluster(server).expect("what is there");
    for (name, found) in &cluster.indices {
        let defined = index.indices.iter().find(|index| index.name == *name);
        let defined = defined.unwrap_or_else(|| panic!("{name} is not in {:?}", index.indices));
        assert_eq!(defined.closed, found.is_closed, "{name}");
        assert_eq!(json!(defined.settings), found.settings, "{name}");
        let mappings = defined.mappings.as_ref().map_or(json!({}), |mappings| mappings.value().unwrap());
        assert_eq!(mappings, found.mappings, "{name}");
        let aliases: serde_json::Map<_, _> =
            defined.aliases.iter().map(|(name, alias)| (name.clone(), alias.value().unwrap())).collect();
        assert_eq!(Value::Object(aliases), found.aliases, "{name}");
        assert_eq!(counts.indices[name].documents, found.documents.0.len() as u64, "{name}");
        compare::same_documents(&found.documents, &read(&dumped, name)).expect(name);
    }
    assert_eq!(cluster.component_templates, of(&index.component_templates));
    assert_eq!(cluster.index_templates, of(&index.index_templates));
    assert_eq!(cluster.legacy_templates, of(&index.legacy_templates));
    assert_eq!(cluster.pipelines, of(&index.pipelines));
    assert_eq!(cluster.scripts, of(&index.scripts));
    let streams: Vec<&String> = cluster.data_streams.keys().collect();
    let names: Vec<&String> = index.data_streams.iter().map(|stream| &stream.name).collect();
    assert_eq!(streams, names);
}

fn of(definitions: &Definitions) -> BTreeMap<String, Value> {
    definitions.iter().map(|(name, definition)| (name.clone(), definition.value().unwrap())).collect()
}

/// The documents of a file. Each line has to be one as `_bulk` and elasticdump take it.
fn read(dumped: &Dump, name: &str) -> compare::Documents {
    let mut documents = compare::Documents::default();
    for line in dumped.lines(&format!("{name}.json")) {
        let document: Value = serde_json::from_str(line).expect("a document");
        assert_eq!(document["_index"], name);
        assert!(document["_version"].is_u64(), "{document}");
        let id = document["_id"].as_str().expect("an id");
        assert!(documents.add(id, document["_routing"].as_str(), &document["_source"]), "{id} is there twice");
    }
    documents
}

/// Definitions that only some servers have.
async fn keeps_what_indices_need(server: &Search) {
    let client = server.client();
    let rules = json!({ "synonyms_set": [{ "id": "1", "synonyms": "boje, buoy" }, { "id": "2", "synonyms": "oar => paddle" }] });
    let pipeline = json!({ "description": "none: ünïcode", "request_processors": [] });
    let (path, body) = match server.version().is_opensearch() {
        true => ("/_search/pipeline/shop-search", &pipeline),
        false => ("/_synonyms/shop-synonyms", &rules),
    };
    let (status, answer) = client.put(path, body).expect("an answer");
    let is_known = status < 300;
    let dumped = dump(server, r#"{"schemaOnly": true, "indices": ["shop-odd"]}"#).await.expect("dumped");
    let index = dumped.index();
    let (found, wanted) = match server.version().is_opensearch() {
        true => (index.search_pipelines.get("shop-search"), pipeline.clone()),
        false => (index.synonym_sets.get("shop-synonyms"), rules.clone()),
    };
    assert_eq!(found.is_some(), is_known, "{path}");
    if let Some(found) = found {
        assert_eq!(found.value().unwrap(), wanted);
        client.delete(path, &Value::Null).expect("deleted");
    } else {
        eprintln!("{} does not know {path}: {answer:.300}", server.version().name());
    }
}

async fn refuses_what_it_cannot_dump(server: &Search) {
    match dump(server, "{}").await.map(|dumped| dumped.report) {
        Err(Error::Unsupported(text)) => {
            assert!(text.contains(sample::CLOSED) && text.contains("openClosed"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    for (parameters, says) in [
        (json!({ "indices": ["nothing"] }), "nothing"),
        (json!({ "include": ["no*"] }), "no*"),
        (json!({ "query": { "nothing": "{}" } }), "nothing"),
        (json!({ "query": { "shop-empty": "[" } }), "shop-empty"),
        (json!({ "schemaOnly": true, "dataOnly": true }), "set one of them"),
    ] {
        match dump(server, &parameters.to_string()).await.map(|dumped| dumped.report) {
            Err(Error::InvalidParameter(text)) => assert!(text.contains(says), "{text}"),
            other => panic!("{parameters}: {other:?}"),
        }
    }
}

async fn chooses(server: &Search) {
    let parameters = json!({ "indices": [sample::ODD, sample::PRODUCTS], "jobs": 3,
        "query": { (sample::PRODUCTS): r#"{"range": {"number": {"lt": 10}}}"# } });
    let dumped = dump(server, &parameters.to_string()).await.expect("dumped");
    assert_eq!(dumped.fact("tables"), "2");
    assert_eq!(dumped.counts().indices[sample::PRODUCTS].documents, 10);
    assert!(dumped.index().filtered.is_some_and(|filtered| filtered.contains(sample::ODD)));
    let dumped = dump(server, r#"{"schemaOnly": true, "exclude": ["shop-logs*"]}"#).await.expect("dumped");
    assert_eq!((dumped.fact("rows"), dumped.counts().indices.len()), ("0", 0));
    let index = dumped.index();
    assert!(index.indices.iter().any(|index| index.name == sample::CLOSED && index.closed));
    assert!(index.filtered.is_some_and(|filtered| filtered.contains(sample::HIDDEN)));
    assert!(dumped.index().indices.iter().all(|index| !index.name.starts_with("shop-logs-")));
    let dumped = dump(server, r#"{"dataOnly": true, "include": ["shop-o*"]}"#).await.expect("dumped");
    let index = dumped.index();
    assert!(index.indices.iter().all(|index| index.settings.is_empty() && index.mappings.is_none()));
    assert!(index.pipelines.is_empty());
}

async fn finds_what_is_lossy(server: &Search) {
    for name in sample::create_lossy(server).expect("created") {
        match dump(server, &json!({ "indices": [name] }).to_string()).await.map(|dumped| dumped.report) {
            Err(Error::Unsupported(text)) => assert!(text.contains(name) && text.contains("_source"), "{text}"),
            other => panic!("{name}: {other:?}"),
        }
        let parameters = json!({ "indices": [name], "allowUnsupported": true });
        let dumped = dump(server, &parameters.to_string()).await.expect(name);
        assert!(dumped.fact("omitted").contains(name));
        assert_eq!(dumped.fact("rows"), if name == "shop-without-source" { "0" } else { "10" }, "{name}");
    }
}

#[tokio::test]
async fn all_of_opensearch_is_dumped() {
    all_of(SearchVersion::OpenSearch38, Consistency::Pit, 105_000).await;
}

#[tokio::test]
async fn all_of_a_new_elasticsearch_is_dumped() {
    all_of(SearchVersion::Elasticsearch95, Consistency::Pit, 3000).await;
}

#[tokio::test]
async fn all_of_an_old_elasticsearch_is_dumped() {
    all_of(SearchVersion::Elasticsearch710, Consistency::Scroll, 3000).await;
}

/// Those that `COFFER_TEST_ALL_SEARCH` asks for.
#[tokio::test]
async fn all_of_others_is_dumped_where_asked_for() {
    let others = [SearchVersion::Elasticsearch717, SearchVersion::Elasticsearch819];
    for version in SearchVersion::tested().into_iter().filter(|version| others.contains(version)) {
        all_of(version, Consistency::Pit, 3000).await;
    }
}
