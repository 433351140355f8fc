//! A restore into Elasticsearch 6.8, which knows less than newer ones and refuses the rest; and what comes from it.

use super::looked::dump;
use super::restoring::fake::{Asked, Fake};
use super::restoring::restore_at;
use super::sixes;
use coffer_addon::Error;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// An Elasticsearch 6.8 with an index `x`, and what it refused.
async fn six() -> (Fake, Arc<Mutex<Vec<String>>>) {
    let refused = Arc::new(Mutex::new(Vec::new()));
    let noted = refused.clone();
    let fake = Fake::with(move |asked| {
        if let Some(why) = sixes::refusal(&asked.method, &asked.path, &asked.query) {
            noted.lock().unwrap().push(why.clone());
            return Some((
                400,
                json!({ "error": { "type": "illegal_argument_exception", "reason": why } }).to_string(),
            ));
        }
        match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/") => Some((200, json!({ "version": { "number": "6.8.23" } }).to_string())),
            ("GET", "/_all/_alias") => Some((200, json!({ "x": {} }).to_string())),
            // It takes more.
            ("GET", "/_cluster/settings") => {
                Some((200, json!({ "defaults": { "cluster.max_shards_per_node": "1" } }).to_string()))
            }
            ("GET", "/_cluster/health") => {
                Some((200, json!({ "number_of_data_nodes": 1, "active_shards": 7 }).to_string()))
            }
            ("GET", "/_template/t" | "/_ingest/pipeline/p" | "/_scripts/s" | "/_ilm/policy/l") => {
                Some((404, "{}".into()))
            }
            _ => None,
        }
    })
    .await;
    (fake, refused)
}

fn body(asked: &[Asked], method: &str, path: &str) -> Value {
    let asked = asked.iter().find(|asked| asked.is(method, path)).unwrap_or_else(|| panic!("no {method} {path}"));
    serde_json::from_str(&asked.body).expect("JSON")
}

#[tokio::test]
async fn an_old_server_is_asked_nothing_that_it_does_not_know() {
    let (fake, refused) = six().await;
    let properties = json!({ "properties": { "n": { "type": "long" } } });
    let index = json!({ "mappings": properties, "aliases": { "a": {} }, "closed": true,
        "settings": { "index.number_of_shards": "3", "index.lifecycle.name": "l" } });
    let around = json!({
        "legacyTemplates": { "t": { "index_patterns": ["x"], "mappings": properties } },
        "pipelines": { "p": { "processors": [] } }, "scripts": { "s": { "lang": "painless", "source": "1" } },
        "policies": { "l": { "policy": { "phases": {} } } }, "clusterSettings": { "a": "b" },
    });
    let files = dump(&[("x", index.clone()), ("y", index)], around);
    restore_at(fake.port, r#"{"overwrite": true}"#, files).await.expect("restored");
    assert_eq!(*refused.lock().unwrap(), [""; 0]);
    let asked = fake.asked();
    assert_eq!(body(&asked, "PUT", "/x")["mappings"], json!({ "_doc": properties }));
    assert_eq!(body(&asked, "PUT", "/_template/t")["mappings"], json!({ "_doc": properties }));
    let bulk = asked.iter().find(|asked| asked.is("POST", "/x/_bulk")).expect("documents");
    assert!(bulk.body.starts_with(r#"{"index":{"_id":"1","_type":"_doc"}}"#), "{}", bulk.body);
}

#[tokio::test]
async fn what_an_old_server_does_not_know_is_told_before_anything_is_changed() {
    for (around, says) in [
        (
            json!({ "indexTemplates": { "t": { "index_patterns": ["x"] } } }),
            "index template t, and Elasticsearch knows such since 7.8",
        ),
        (json!({ "componentTemplates": { "c": { "template": {} } } }), "component template c"),
        (json!({ "synonymSets": { "s": { "synonyms_set": [] } } }), "synonym set s"),
    ] {
        let (fake, refused) = six().await;
        let failed = restore_at(fake.port, r#"{"overwrite": true}"#, dump(&[("x", json!({}))], around)).await;
        assert!(matches!(&failed, Err(Error::Unsupported(text)) if text.contains(says)), "{says}: {failed:?}");
        assert!(fake.changes().is_empty() && refused.lock().unwrap().is_empty(), "{:?}", refused.lock().unwrap());
    }
}

/// A template of 6.x in a newer server.
#[tokio::test]
async fn a_type_does_not_come_along() {
    let fake = Fake::with(|asked| (asked.is("GET", "/_template/t")).then(|| (404, "{}".into()))).await;
    let typed =
        json!({ "index_patterns": ["x"], "mappings": { "order": { "properties": { "n": { "type": "long" } } } } });
    let files = dump(&[("x", json!({}))], json!({ "legacyTemplates": { "t": typed } }));
    restore_at(fake.port, "{}", files).await.expect("restored");
    let put = body(&fake.asked(), "PUT", "/_template/t");
    assert_eq!(put["mappings"], json!({ "properties": { "n": { "type": "long" } } }));
}
