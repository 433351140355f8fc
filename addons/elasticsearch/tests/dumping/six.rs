//! A dump of Elasticsearch 6.8, which knows less than newer ones and refuses the rest.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::dumping::fake::{Answer, Asked, Fake, refusal};
use super::dumping::{at, dump_from};
use super::sixes;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// What it says; none: it is empty there.
fn six(asked: &Asked) -> Option<Value> {
    let path = asked.path.split('?').next().unwrap_or_default();
    let page = |ids: &[u64]| {
        let hit =
            |id: &u64| json!({ "_index": "orders", "_type": "order", "_id": id.to_string(), "_source": { "n": id } });
        json!({ "_scroll_id": "scroll", "timed_out": false, "_shards": { "total": 1, "successful": 1, "failed": 0 },
            "hits": { "total": 2, "hits": ids.iter().map(hit).collect::<Vec<_>>() } })
    };
    Some(match (asked.method.as_str(), path) {
        ("GET", "/") => json!({ "cluster_name": "c", "version": { "number": "6.8.23", "build_flavor": "default" } }),
        ("GET", "/_all") => {
            json!({ "orders": { "aliases": { "all": {} }, "settings": { "index.number_of_shards": "1" },
            "mappings": { "order": { "properties": { "n": { "type": "long" } } } } } })
        }
        ("GET", "/_cat/indices") => {
            json!([{ "index": "orders", "status": "open", "docs.count": "2", "pri.store.size": "9" }])
        }
        ("GET", "/_snapshot") => json!({ "nightly": { "type": "fs" } }),
        ("GET", "/_xpack/ml/anomaly_detectors") => json!({ "count": 1, "jobs": [{ "job_id": "odd" }] }),
        ("GET", "/_template") => json!({ "t": { "order": 0, "index_patterns": ["o*"], "settings": {},
            "mappings": { "order": {} }, "aliases": {} } }),
        ("POST", "/orders/_search") => page(&[1, 2]),
        ("POST", "/_search/scroll") => page(&[]),
        _ => return None,
    })
}

/// One that refuses what 6.8 refuses, and notes it.
async fn start(instead: impl Fn(&Asked) -> Option<Answer> + Send + 'static) -> (Fake, Arc<Mutex<Vec<String>>>) {
    let refused = Arc::new(Mutex::new(Vec::new()));
    let noted = refused.clone();
    let fake = Fake::start(move |asked| {
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        if let Some(why) = sixes::refusal(&asked.method, path, query) {
            noted.lock().unwrap().push(why.clone());
            return Some(Answer::Json(400, refusal("illegal_argument_exception", &why)));
        }
        instead(asked).or_else(|| six(asked).map(|answer| Answer::Json(200, answer)))
    })
    .await;
    (fake, refused)
}

#[tokio::test]
async fn an_old_server_is_asked_nothing_that_it_does_not_know() {
    let (fake, refused) = start(|_| None).await;
    let dumped = dump_from(at(fake.port), r#"{"hidden": true, "clusterSettings": true}"#).await.expect("dumped");
    assert_eq!(*refused.lock().unwrap(), [""; 0]);
    assert_eq!((dumped.fact("rows"), dumped.fact("consistency")), ("2", "scroll"));
    assert_eq!(dumped.lines("orders.json")[0], r#"{"_index":"orders","_type":"order","_id":"1","_source":{"n":1}}"#);
    let index = dumped.index();
    let mappings = index.indices[0].mappings.as_ref().expect("a mapping").value().unwrap();
    assert_eq!(mappings, json!({ "order": { "properties": { "n": { "type": "long" } } } }));
    assert!(index.legacy_templates.contains_key("t"));
    assert_eq!(dumped.fact("notKept"), "anomalyDetectors: odd; snapshotRepositories: nightly");
}

/// Which privileges a user has was below another path.
#[tokio::test]
async fn what_a_role_hides_is_seen_on_an_old_server_too() {
    let entry = json!({ "indices": [{ "names": ["orders"], "privileges": ["read"], "query": ["{}"] }] });
    let privileges = "/_xpack/security/user/_privileges";
    let (fake, _) = start(move |asked| asked.is("GET", privileges).then(|| Answer::Json(200, entry.clone()))).await;
    let error = dump_from(at(fake.port), "{}").await.map(|dumped| dumped.report).expect_err("a part");
    assert!(error.message().contains("role hides of orders"), "{error}");
    // It knows no such request, and takes it for that of a user.
    let (fake, _) = start(move |asked| asked.is("GET", privileges).then(|| Answer::Json(404, json!({})))).await;
    let dumped = dump_from(at(fake.port), "{}").await.expect("dumped");
    assert!(dumped.fact("hiddenByRoles").starts_with("not known"));
}
