//! elasticsearch-restore into real servers: dumps of ours and of stock elasticdump; and what no server does at will, by a
//! scripted one.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

mod dumping;
#[path = "restoring/kept.rs"]
mod kept;
#[path = "restoring/looked.rs"]
mod looked;
#[path = "restoring/objects.rs"]
mod objects;
#[path = "restoring/replaced.rs"]
mod replaced;
mod restoring;
#[path = "restoring/scripted.rs"]
mod scripted;
#[path = "restoring/six.rs"]
mod six;
mod sixes;
#[path = "restoring/twice.rs"]
mod twice;

use coffer_addon::Error;
use coffer_addon::testing::Written;
use coffer_test_servers::search::compare::{self, Cluster, same_cluster};
use coffer_test_servers::search::{Search, SearchOptions, SearchVersion, sample};
use dumping::{Dump, dump};
use restoring::{fact, multielasticdump, restore};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Everything of one node: it takes longer to start than to do most of this.
async fn all_of(version: SearchVersion) {
    if !version.is_at_hand() {
        return;
    }
    let server = Search::start(version, &SearchOptions::default()).expect("a node");
    sample::create(&server, 2000).expect("the sample");
    create_guarded(&server);
    write_again(&server);
    let sample = Sample {
        before: cluster(&server),
        versions: versions(&server),
        ours: dump(&server, r#"{"hidden": true, "openClosed": true}"#).await.expect("dumped"),
        stock: multielasticdump(&server),
        server,
    };
    sample.what_is_there_is_left_alone().await;
    sample.some_come_back_under_other_names().await;
    sample.a_data_stream_gets_another_name().await;
    sample.what_cannot_be_made_again_is_not_deleted().await;
    sample.a_dump_of_ours_comes_back().await;
    sample.schema_and_documents_come_one_after_the_other().await;
    sample.files_of_stock_multielasticdump_come_back().await;
}

/// Full of settings that are in documents' way.
const GUARDED: &str = "shop-guarded";

fn create_guarded(server: &Search) {
    let client = server.client();
    let ask = |method: &str, path: &str, body: Value| {
        client.ask(method, path, &body).expect(path);
    };
    ask("PUT", "/shop-guarded", json!({ "settings": { "number_of_replicas": 0 } }));
    for number in 0..5 {
        ask("PUT", &format!("/shop-guarded/_doc/{number}?refresh=true"), json!({ "number": number }));
    }
    let settings = json!({ "index.final_pipeline": "shop-stamp", "index.default_pipeline": "not-there",
        "index.write.wait_for_active_shards": "2", "index.number_of_replicas": 1, "index.refresh_interval": "-1",
        "index.blocks.write": true });
    ask("PUT", "/shop-guarded/_settings", settings);
}

/// So that documents have other versions than 1.
fn write_again(server: &Search) {
    let lines: String = (0..60)
        .flat_map(|number| (0..number % 3).map(move |round| (number, round)))
        .map(|(number, round)| format!("{{\"index\":{{\"_id\":\"v{number}\"}}}}\n{{\"number\":{round}}}\n"))
        .collect();
    server.client().bulk(&format!("/{}/_bulk?refresh=true", sample::PRODUCTS), &lines).expect("written");
}

/// By id, of documents that were written more than once.
fn versions(server: &Search) -> BTreeMap<String, u64> {
    let query = json!({ "version": true, "size": 10_000, "_source": false });
    let found = server.client().ask("POST", &format!("/{}/_search", sample::PRODUCTS), &query).expect("found");
    let hits = found["hits"]["hits"].as_array().expect("hits").iter();
    let versions = hits.map(|hit| (hit["_id"].as_str().unwrap().to_owned(), hit["_version"].as_u64().unwrap()));
    let more: BTreeMap<String, u64> = versions.filter(|(_, version)| *version > 1).collect();
    assert!(more.len() >= 20, "{more:?}");
    more
}

fn cluster(server: &Search) -> Cluster {
    compare::cluster(server).expect("what is there")
}

struct Sample {
    server: Search,
    before: Cluster,
    versions: BTreeMap<String, u64>,
    ours: Dump,
    stock: Vec<Written>,
}

impl Sample {
    fn is_as_before(&self) {
        same_cluster(&self.before, &cluster(&self.server)).expect("the same");
    }

    /// Some indices' documents are not in every dump.
    fn is_as_before_but_for(&self, names: &[&str]) {
        let (mut before, mut now) = (self.before.clone(), cluster(&self.server));
        for name in names {
            before.indices.get_mut(*name).expect("an index").documents = Default::default();
            now.indices.get_mut(*name).expect("an index").documents = Default::default();
        }
        same_cluster(&before, &now).expect("the same");
    }

    /// Indices of which elasticdump has not all that documents had.
    fn lost_by_stock(&self) -> Vec<&'static str> {
        let mut names = vec![sample::CLOSED];
        if self.server.version().abilities().hidden_vectors {
            names.push(sample::PRODUCTS);
        }
        names
    }

    async fn what_is_there_is_left_alone(&self) {
        for files in [&self.ours.files, &self.stock] {
            let refused = restore(&self.server, "{}", files.clone()).await;
            let told = |text: &str| text.contains("is there already") && text.contains(sample::PRODUCTS);
            assert!(matches!(&refused, Err(Error::InvalidParameter(text)) if told(text)), "{refused:?}");
        }
        for (parameters, wanted) in [
            (json!({ "include": ["nothing"] }), "include: the dump has no index"),
            (json!({ "rename": { "nothing": "x" } }), "rename: the dump has no index"),
            (json!({ "rename": { (sample::ODD): sample::EMPTY } }), "would become shop-empty"),
            (json!({ "rename": { (sample::ODD): sample::LOGS_ALIAS } }), "shop-logs is an alias"),
            (
                json!({ "overwrite": true, "rename": { "shop-cheap": "shop-not-of-the-dump" } }),
                "there is an index of that name",
            ),
        ] {
            self.server.client().put("/shop-not-of-the-dump", &Value::Null).expect("made");
            let refused = restore(&self.server, &parameters.to_string(), self.ours.files.clone()).await;
            assert!(matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains(wanted)), "{refused:?}");
            self.server.client().delete("/shop-not-of-the-dump", &Value::Null).expect("deleted");
        }
        let client = self.server.client();
        let limit = |limit: Value| {
            let settings = json!({ "persistent": { "cluster.max_shards_per_node": limit } });
            client.ask("PUT", "/_cluster/settings", &settings).expect("set");
        };
        limit(json!("20"));
        let others = json!({ "rename": { "shop-*": "copy-*" }, "exclude": [sample::STREAM] }).to_string();
        let refused = restore(&self.server, &others, self.ours.files.clone()).await;
        limit(Value::Null);
        let told = |text: &str| text.contains("and takes 20 of them");
        assert!(matches!(&refused, Err(Error::InvalidParameter(text)) if told(text)), "{refused:?}");
        self.is_as_before();
    }

    async fn some_come_back_under_other_names(&self) {
        let client = self.server.client();
        // It would change documents that have been through it: it must not be asked.
        let parameters = json!({ "rename": { "shop-*": "copy-*" }, "include": ["shop-p*", "shop-o*", "shop-logs-*"],
            "exclude": ["*.02"], "jobs": 3 });
        for (files, lost) in [(&self.ours.files, &[][..]), (&self.stock, &self.lost_by_stock()[..])] {
            let report = restore(&self.server, &parameters.to_string(), files.clone()).await.expect("restored");
            assert_eq!(fact(&report, "indices"), "4");
            for name in [sample::PRODUCTS, sample::ORDERS, sample::ODD, sample::LOGS[0]] {
                let copy = name.replace("shop-", "copy-");
                let mut found = compare::index(&self.server, &copy).expect("read");
                let aliases = found.aliases.to_string().replace("\"copy-", "\"shop-");
                found.aliases = serde_json::from_str(&aliases).expect("JSON");
                let mut before = self.before.indices[name].clone();
                if lost.contains(&name) {
                    (before.documents, found.documents) = Default::default();
                }
                compare::same_index(&before, &found).expect(&copy);
                client.ask("DELETE", &format!("/{copy}"), &Value::Null).expect("deleted");
            }
        }
        self.is_as_before();
    }

    async fn a_data_stream_gets_another_name(&self) {
        if !self.server.version().abilities().data_streams {
            return;
        }
        let copy = format!("{}-copy", sample::STREAM);
        let to = |name: &str| json!({ "include": [sample::STREAM], "rename": { (sample::STREAM): name } }).to_string();
        let refused = restore(&self.server, &to("no-template"), self.ours.files.clone()).await;
        assert!(
            matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains("no index template")),
            "{refused:?}"
        );
        restore(&self.server, &to(&copy), self.ours.files.clone()).await.expect("restored");
        let streams = cluster(&self.server).data_streams;
        let (before, found) = (&self.before.data_streams[sample::STREAM], &streams[&copy]);
        compare::same_documents(&before.documents, &found.documents).expect("the same");
        assert_eq!((before.indices, &before.settings), (found.indices, &found.settings));
        self.server.client().ask("DELETE", &format!("/_data_stream/{copy}"), &Value::Null).expect("deleted");
        self.is_as_before();
    }

    async fn what_cannot_be_made_again_is_not_deleted(&self) {
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut files = self.ours.files.clone();
            let mut index: Value = serde_json::from_slice(files[0].bytes.as_ref().expect("whole")).expect("an index");
            change(&mut index);
            files[0].bytes = Ok(index.to_string().into_bytes());
            files
        };
        let named = |names: &[&str]| json!({ "overwrite": true, "include": names }).to_string();
        let settings = |index: &mut Value| {
            let indices = index["indices"].as_array_mut().expect("indices");
            let odd = indices.iter_mut().find(|index| index["name"] == sample::ODD).expect("one");
            odd["settings"]["index.routing.allocation.require.box"] = json!("nowhere");
        };
        let refused = restore(&self.server, &named(&[sample::ODD]), changed(&settings)).await;
        let says = |text: &str| text.contains("no node would take its shards") && text.contains("nowhere");
        assert!(matches!(&refused, Err(Error::InvalidParameter(text)) if says(text)), "{refused:?}");
        self.is_as_before();
        let stream = self.server.version().abilities().data_streams;
        let only = named(if stream { &[sample::STREAM] } else { &[sample::ODD] });
        for (kind, name) in [("componentTemplates", "shop-settings"), ("indexTemplates", "shop-logs")] {
            let template = |index: &mut Value| {
                index["componentTemplates"]["shop-mappings"]["version"] = json!(77);
                index[kind][name]["template"]["settings"]["index"]["no_such_setting"] = json!("x");
            };
            let refused = restore(&self.server, &only, changed(&template)).await.expect_err("no such setting");
            let says = ["no index was touched", name, "no_such_setting"];
            assert!(says.iter().all(|wanted| refused.message().contains(wanted)), "{refused}");
            self.is_as_before();
        }
    }

    async fn a_dump_of_ours_comes_back(&self) {
        sample::remove(&self.server).expect("removed");
        let report = restore(&self.server, "{}", self.ours.files.clone()).await.expect("restored");
        self.is_as_before();
        assert_eq!(self.versions, versions(&self.server));
        for total in ["tables", "rows", "bytes"] {
            assert_eq!(fact(&report, total), self.ours.fact(total), "{total}");
        }
        // Once more over what is there, which has changed.
        let client = self.server.client();
        client
            .ask("PUT", "/_ingest/pipeline/shop-nothing", &json!({ "processors": [], "version": 5 }))
            .expect("changed");
        client.ask("PUT", &format!("/{}/_doc/more?refresh=true", sample::EMPTY), &json!({ "more": 1 })).expect("one");
        let refused = restore(&self.server, "{}", self.ours.files.clone()).await;
        let wanted = "ingest pipeline shop-nothing";
        assert!(matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains(wanted)), "{refused:?}");
        let over = r#"{"overwrite": true, "jobs": 4}"#;
        let report = restore(&self.server, over, self.ours.files.clone()).await.expect("restored again");
        assert!(report.facts.iter().all(|(name, _)| name != "differing"), "{report:?}");
        self.is_as_before();
        // Templates have their say when an index is made, also those that are not the dump's.
        let template = json!({ "index_patterns": [sample::ODD], "settings": { "index.max_result_window": 55 } });
        client.ask("PUT", "/_template/standing", &template).expect("a template");
        let only = json!({ "overwrite": true, "include": [sample::ODD] }).to_string();
        let report = restore(&self.server, &only, self.ours.files.clone()).await.expect("restored again");
        assert_eq!(fact(&report, "differing"), "shop-odd (index.max_result_window)");
        client.ask("DELETE", "/_template/standing", &Value::Null).expect("deleted");
        restore(&self.server, &only, self.ours.files.clone()).await.expect("restored again");
        self.is_as_before();
    }

    async fn schema_and_documents_come_one_after_the_other(&self) {
        let schema = dump(&self.server, r#"{"hidden": true, "schemaOnly": true}"#).await.expect("dumped");
        let data = json!({ "hidden": true, "dataOnly": true, "exclude": [sample::CLOSED, GUARDED] });
        let data = dump(&self.server, &data.to_string()).await.expect("dumped");
        let guarded = json!({ "dataOnly": true, "indices": [GUARDED] });
        let guarded = dump(&self.server, &guarded.to_string()).await.expect("dumped");
        sample::remove(&self.server).expect("removed");
        let nowhere = restore(&self.server, "{}", data.files.clone()).await;
        assert!(
            matches!(&nowhere, Err(Error::InvalidParameter(text)) if text.contains("documents alone")),
            "{nowhere:?}"
        );
        restore(&self.server, "{}", schema.files).await.expect("the schema");
        let piped = restore(&self.server, "{}", guarded.files).await;
        assert!(matches!(&piped, Err(Error::InvalidParameter(text)) if text.contains("final pipeline")), "{piped:?}");
        let report = restore(&self.server, "{}", data.files.clone()).await.expect("the documents");
        assert_eq!(fact(&report, "rows"), data.fact("rows"));
        self.is_as_before_but_for(&[sample::CLOSED, GUARDED]);
        let again = restore(&self.server, "{}", data.files).await;
        assert!(matches!(&again, Err(Error::InvalidParameter(text)) if text.contains("is not empty")), "{again:?}");
    }

    async fn files_of_stock_multielasticdump_come_back(&self) {
        let over = r#"{"overwrite": true, "jobs": 4}"#;
        let mut files = self.stock.clone();
        let report = restore(&self.server, over, files.clone()).await.expect("restored");
        self.is_as_before_but_for(&self.lost_by_stock());
        let rows: usize = self.before.indices.values().map(|index| index.documents.0.len()).sum();
        let closed = self.before.indices[sample::CLOSED].documents.0.len();
        let of_streams: usize = self.before.data_streams.values().map(|stream| stream.documents.0.len()).sum();
        assert_eq!(fact(&report, "rows"), (rows - closed + of_streams).to_string());
        // In another order, and from a folder somewhere.
        files.reverse();
        files.iter_mut().for_each(|file| file.artifact.name.insert_str(0, "var/backup/"));
        restore(&self.server, over, files).await.expect("restored again");
        self.is_as_before_but_for(&self.lost_by_stock());
    }
}

#[tokio::test]
async fn everything_comes_back_into_opensearch() {
    all_of(SearchVersion::OpenSearch38).await;
}

#[tokio::test]
async fn everything_comes_back_into_a_new_elasticsearch() {
    all_of(SearchVersion::Elasticsearch95).await;
}

#[tokio::test]
async fn everything_comes_back_into_an_old_elasticsearch() {
    all_of(SearchVersion::Elasticsearch710).await;
}

/// What Elasticsearch had, OpenSearch has.
#[tokio::test]
async fn a_dump_of_another_server_comes_back() {
    if [SearchVersion::Elasticsearch710, SearchVersion::OpenSearch38].iter().any(|version| !version.is_at_hand()) {
        return;
    }
    let old = Search::start(SearchVersion::Elasticsearch710, &SearchOptions::default()).expect("a node");
    sample::create(&old, 1000).expect("the sample");
    let dumped = dump(&old, r#"{"hidden": true, "openClosed": true}"#).await.expect("dumped");
    let before = cluster(&old);
    drop(old);
    // It takes no request as large as a restore's.
    let small = SearchOptions {
        settings: vec![("http.max_content_length".into(), "100kb".into())],
        ..SearchOptions::default()
    };
    let new = Search::start(SearchVersion::OpenSearch38, &small).expect("a node");
    let mut large = dumped.files.clone();
    let document = format!("{{\"_index\":\"l\",\"_id\":\"1\",\"_source\":{{\"a\":\"{}\"}}}}\n", "x".repeat(200_000));
    large.splice(.., [restoring::artifact("l.json", document)]);
    let refused = restore(&new, "{}", large).await;
    assert!(
        matches!(&refused, Err(Error::Unsupported(text)) if text.contains("line 1 has 200") && text.contains("into l")),
        "{refused:?}"
    );
    let report = restore(&new, "{}", dumped.files.clone()).await.expect("restored");
    assert_eq!(fact(&report, "rows"), dumped.fact("rows"));
    let after = cluster(&new);
    for (name, index) in &before.indices {
        compare::same_documents(&index.documents, &after.indices[name].documents).expect(name);
        assert_eq!((&index.aliases, &index.mappings), (&after.indices[name].aliases, &after.indices[name].mappings));
    }
}

#[tokio::test]
async fn a_node_that_dies_is_told() {
    if !SearchVersion::Elasticsearch95.is_at_hand() {
        return;
    }
    let mut server = Search::start(SearchVersion::Elasticsearch95, &SearchOptions::default()).expect("a node");
    sample::create(&server, 20_000).expect("the sample");
    let dumped = dump(&server, r#"{"indices": ["shop-products"]}"#).await.expect("dumped");
    let port = server.port();
    let parameters = r#"{"rename": {"shop-products": "copy"}, "patience": "500ms"}"#;
    let restoring = restoring::restore_at(port, parameters, dumped.files);
    let killing = async {
        let client = restoring::application_at(port).http();
        loop {
            // As soon as the index is there, its documents come.
            let found = client.send(coffer_addon::http::Request::head("/copy")).await;
            if found.is_ok_and(|found| found.is_success()) {
                break server.kill9();
            }
        }
    };
    let (failed, ()) = tokio::join!(restoring, killing);
    assert!(matches!(&failed, Err(Error::Unavailable(_))), "{failed:?}");
}
