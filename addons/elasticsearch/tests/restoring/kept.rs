//! That documents go where they were, and are kept as they were; and that nothing else is touched for it.

use super::dumping::{Dump, dump};
use super::restoring::{fact, restore};
use coffer_addon::Error;
use coffer_addon::testing::Written;
use coffer_test_servers::search::{Search, SearchOptions, SearchVersion};
use serde_json::{Value, json};

const OVER: &str = r#"{"overwrite": true}"#;

fn ask(server: &Search, method: &str, path: &str, body: Value) -> Value {
    server.client().ask(method, path, &body).expect(path)
}

async fn refused(server: &Search, parameters: &str, files: Vec<Written>, wanted: &[&str]) {
    let refused = restore(server, parameters, files).await;
    let says = |text: &str| wanted.iter().all(|wanted| text.contains(wanted));
    assert!(matches!(&refused, Err(Error::InvalidParameter(text)) if says(text)), "{wanted:?}: {refused:?}");
}

/// How many documents each index of a stream has, oldest first.
fn sizes(server: &Search, stream: &str) -> Vec<u64> {
    ask(server, "POST", &format!("/{stream}/_refresh"), Value::Null);
    let found = ask(server, "GET", &format!("/_data_stream/{stream}"), Value::Null);
    let indices = found["data_streams"][0]["indices"].as_array().expect("indices").clone();
    let count = |index: &Value| {
        let path = format!("/{}/_count", index["index_name"].as_str().expect("a name"));
        ask(server, "GET", &path, Value::Null)["count"].as_u64().expect("a number")
    };
    indices.iter().map(count).collect()
}

/// The largest index is not the first, and an id comes in all of them, as it may in a data stream.
async fn each_index_of_a_stream_gets_its_own(server: &Search) {
    let template = json!({ "index_patterns": ["kept-events"], "data_stream": {}, "priority": 500 });
    ask(server, "PUT", "/_index_template/kept", template);
    for (generation, size) in [50, 200, 1000, 0, 10].into_iter().enumerate() {
        if generation > 0 {
            ask(server, "POST", "/kept-events/_rollover", Value::Null);
        } else {
            ask(server, "PUT", "/_data_stream/kept-events", Value::Null);
        }
        let line = |number| {
            format!(
                "{{\"create\":{{\"_id\":\"i{number}\"}}}}\n{{\"@timestamp\":{number},\"generation\":{generation}}}\n"
            )
        };
        let lines: String = (0..size).map(line).collect();
        if size > 0 {
            server.client().bulk("/kept-events/_bulk", &lines).expect("created");
        }
    }
    let before = sizes(server, "kept-events");
    assert_eq!(before, [50, 200, 1000, 0, 10]);
    // The outbox of tests has files in the order in which they were finished: with one job, that in which they were begun.
    let mut dumped = dump(server, r#"{"include": ["kept-events"], "jobs": 1}"#).await.expect("dumped");
    restore(server, OVER, dumped.files.clone()).await.expect("restored");
    assert_eq!(sizes(server, "kept-events"), before);

    // In another order they cannot be: that is told.
    let is_first = |file: &Written| file.artifact.name.contains("kept-events-000001.json");
    let first = dumped.files.iter().position(is_first).expect("the first index's");
    let first = dumped.files.remove(first);
    dumped.files.retain(|file| !file.artifact.name.contains("kept-events-000003.json"));
    let last = dumped.files.len() - 1;
    dumped.files.insert(last, first);
    let missing = restore(server, OVER, dumped.files).await.expect_err("one is missing, and ids came twice");
    assert!(matches!(&missing, Error::Failed(_) | Error::Corrupt(_)), "{missing:?}");
    ask(server, "DELETE", "/_data_stream/kept-events", Value::Null);
}

async fn of_one_document(server: &Search, parameters: &str) -> Dump {
    ask(server, "PUT", "/kept/_doc/1?refresh=true", json!({ "a": 1, "secret": 2 }));
    dump(server, parameters).await.expect("dumped")
}

async fn documents_that_would_lose_something_are_refused(server: &Search) {
    let all = of_one_document(server, r#"{"indices": ["kept"]}"#).await;
    let data = of_one_document(server, r#"{"indices": ["kept"], "dataOnly": true}"#).await;
    for (source, why) in [
        (json!({ "enabled": false }), "_source is disabled"),
        (json!({ "excludes": ["secret"] }), "_source leaves fields out"),
    ] {
        ask(server, "DELETE", "/kept", Value::Null);
        ask(server, "PUT", "/kept", json!({ "mappings": { "_source": source } }));
        refused(server, "{}", data.files.clone(), &["kept", why]).await;
        let template = json!({ "index_patterns": ["ke*"], "mappings": { "_source": source } });
        ask(server, "PUT", "/_template/kept", template);
        refused(server, OVER, all.files.clone(), &["kept", why, "template"]).await;
        ask(server, "DELETE", "/_template/kept", Value::Null);
    }
    restore(server, OVER, all.files).await.expect("restored");
    let found = ask(server, "GET", "/kept/_doc/1", Value::Null);
    assert_eq!(found["_source"], json!({ "a": 1, "secret": 2 }));
}

async fn an_index_of_the_rehearsals_name_is_left_alone(server: &Search) {
    let all = of_one_document(server, r#"{"indices": ["kept"]}"#).await;
    let name = "coffer-rehearsal-of-a-restore";
    ask(server, "PUT", &format!("/{name}/_doc/1"), json!({ "mine": true }));
    refused(server, OVER, all.files.clone(), &[name]).await;
    assert_eq!(ask(server, "GET", &format!("/{name}/_doc/1"), Value::Null)["_source"]["mine"], true);
    ask(server, "DELETE", &format!("/{name}"), Value::Null);
    // One that a killed run has left.
    ask(server, "PUT", &format!("/{name}"), Value::Null);
    restore(server, OVER, all.files.clone()).await.expect("restored");
    refused(server, &json!({ "rename": { "kept": name } }).to_string(), all.files, &[name]).await;
}

async fn a_refused_restore_has_put_nothing(server: &Search) {
    ask(server, "PUT", "/_ingest/pipeline/kept", json!({ "processors": [] }));
    let all = of_one_document(server, r#"{"indices": ["kept"]}"#).await;
    ask(server, "DELETE", "/_ingest/pipeline/kept", Value::Null);
    ask(server, "PUT", "/kept/_settings", json!({ "index.blocks.read_only": true }));
    refused(server, OVER, all.files, &["kept", "index.blocks.read_only"]).await;
    let (status, _) = server.client().get("/_ingest/pipeline/kept").expect("an answer");
    assert_eq!(status, 404);
    ask(server, "PUT", "/kept/_settings", json!({ "index.blocks.read_only": false }));
}

async fn what_makes_room_may_be_replaced(server: &Search) {
    let all = of_one_document(server, r#"{"indices": ["kept"]}"#).await;
    let health = ask(server, "GET", "/_cluster/health", Value::Null);
    let there: u64 = ["active_shards", "unassigned_shards"].iter().filter_map(|number| health[number].as_u64()).sum();
    let limit = |limit: Value| {
        ask(server, "PUT", "/_cluster/settings", json!({ "persistent": { "cluster.max_shards_per_node": limit } }))
    };
    limit(json!(there.to_string()));
    let report = restore(server, OVER, all.files).await.expect("restored");
    limit(Value::Null);
    assert_eq!(fact(&report, "rows"), "1");
}

async fn a_copy_does_not_go_where_it_comes_from(server: &Search) {
    let all = of_one_document(server, r#"{"indices": ["kept"]}"#).await;
    let copy = r#"{"overwrite": true, "otherCluster": true}"#;
    refused(server, copy, all.files, &["the cluster that the dump is made of", "cluster_uuid"]).await;
    let addon = coffer_addon_elasticsearch::addon().descriptor().expect("described");
    let task = addon.tasks.iter().find(|task| task.name == "elasticsearch-copy").expect("a Task");
    assert!(task.steps.iter().any(|step| step.params.get("otherCluster") == Some(&Value::Bool(true))));
}

/// OpenSearch takes comments in JSON, and gives them back.
async fn a_document_that_is_no_json_is_named(server: &Search) {
    for number in 0..300 {
        ask(server, "PUT", &format!("/kept/_doc/more-{number}"), json!({ "number": number }));
    }
    let body = b"{\"a\": 1, /* one */ \"b\": 2}";
    let (status, said) = server.client().request("PUT", "/kept/_doc/odd", "application/json", body).expect("an answer");
    assert_eq!(status, 201, "{said}");
    let failed = dump(server, r#"{"indices": ["kept"]}"#).await.err().expect("no JSON");
    let wanted = ["kept", "\"odd\"", "query"];
    assert!(
        matches!(&failed, Error::Unsupported(text) if wanted.iter().all(|wanted| text.contains(wanted))),
        "{failed:?}"
    );
    let without =
        json!({ "indices": ["kept"], "query": { "kept": r#"{"bool": {"must_not": {"ids": {"values": ["odd"]}}}}"# } });
    let dumped = dump(server, &without.to_string()).await.expect("dumped");
    assert_eq!(dumped.fact("rows"), "301");
}

#[tokio::test]
async fn what_comes_back_is_kept_as_it_was() {
    let version = SearchVersion::OpenSearch38;
    if !version.is_at_hand() {
        return;
    }
    let server = Search::start(version, &SearchOptions::default()).expect("a node");
    each_index_of_a_stream_gets_its_own(&server).await;
    documents_that_would_lose_something_are_refused(&server).await;
    an_index_of_the_rehearsals_name_is_left_alone(&server).await;
    a_refused_restore_has_put_nothing(&server).await;
    what_makes_room_may_be_replaced(&server).await;
    a_copy_does_not_go_where_it_comes_from(&server).await;
    a_document_that_is_no_json_is_named(&server).await;
}
