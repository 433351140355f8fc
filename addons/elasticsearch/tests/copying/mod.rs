//! A dump that is piped into a restore, as a copy does it, where both are in each other's way.

use super::dumping::fake::{Answer, Asked, Fake};
use super::restoring::fake;
use super::{component, fact, operation};
use coffer_runtime::{Application, Endpoint, Limits, Operation, Tls};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// More than the dump holds of two.
const LONG: usize = 33 << 20;

/// How long what cannot hang may take on a slow machine.
const AT_MOST: Duration = Duration::from_secs(180);

pub fn at(port: u16) -> Application {
    Application {
        kind: "elasticsearch".into(),
        version: None,
        endpoints: vec![Endpoint { name: "default".into(), host: "127.0.0.1".into(), port }],
        tls: Tls::disabled(),
        parameters: Vec::new(),
        credentials: Vec::new().into_iter().collect(),
    }
}

fn page(index: &str, id: u64, length: usize) -> Value {
    json!({
        "pit_id": index, "timed_out": false, "_shards": { "total": 1, "successful": 1, "failed": 0 },
        "hits": { "total": { "value": 2, "relation": "eq" }, "hits": [
            { "_index": index, "_id": id.to_string(), "_source": { "text": "x".repeat(length) }, "sort": [id] }] },
    })
}

fn nothing(index: &str) -> Value {
    let mut page = page(index, 0, 0);
    page["hits"]["hits"] = json!([]);
    page
}

/// The last of three indices has a long document at once; those of the others come when it has, which are then read alone.
struct Source {
    behind: Vec<(&'static str, Arc<Notify>)>,
    /// Those of them that were let go.
    gone: Mutex<Vec<String>>,
}

impl Source {
    fn answer(&self, asked: &Asked) -> Option<Answer> {
        let definition = |_: &str| {
            json!({ "aliases": {}, "mappings": { "properties": {} },
            "settings": { "index.number_of_shards": "1" } })
        };
        let path = asked.path.split('?').next().unwrap_or_default();
        let names = ["a", "b", "c"];
        Some(Answer::Json(
            200,
            match (asked.method.as_str(), path) {
                ("GET", "/_all") => names.iter().map(|name| (name.to_string(), definition(name))).collect(),
                ("GET", "/_cat/indices") => {
                    let row =
                        |name| json!({ "index": name, "status": "open", "docs.count": "2", "pri.store.size": "300" });
                    names.iter().map(row).collect()
                }
                ("POST", path) if path.ends_with("/_pit") => {
                    let name = path.trim_start_matches('/').trim_end_matches("/_pit");
                    json!({ "id": name, "_shards": { "total": 1, "successful": 1, "failed": 0 } })
                }
                ("POST", "/_search") if asked.reads() => return Some(self.page(asked)),
                _ => return None,
            },
        ))
    }

    fn page(&self, asked: &Asked) -> Answer {
        let index = asked.body["pit"]["id"].as_str().expect("an id");
        let (after, size) = (asked.body["search_after"][0].as_u64().unwrap_or(0), asked.body["size"].as_u64());
        let waits = self.behind.iter().find(|(name, _)| *name == index).map(|(_, arrives)| arrives.clone());
        match (after, waits) {
            (2.., _) => Answer::Json(200, nothing(index)),
            // Begun by a short document.
            (0, Some(_)) => Answer::Json(200, page(index, 1, 1)),
            // Given up, it is asked for again.
            (_, Some(arrives)) if size == Some(1) && !self.gone.lock().unwrap().contains(&index.to_owned()) => {
                self.gone.lock().unwrap().push(index.to_owned());
                Answer::Later(arrives, page(index, 2, LONG))
            }
            (_, None) if size == Some(1) => {
                let told = self.behind.iter().map(|(_, arrives)| arrives.clone()).collect();
                Answer::Told(told, page(index, after + 1, LONG))
            }
            // Whoever asks for several is to ask for fewer.
            _ => Answer::Json(200, page(index, after + 1, LONG)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_several_indices_with_long_documents_ends() {
    let Some(component) = component().await else { return };
    let behind = ["a", "b"].map(|name| (name, Arc::new(Notify::new()))).into();
    let source = Source { behind, gone: Mutex::default() };
    let from = Fake::start(move |asked| source.answer(asked)).await;
    let into = fake::Fake::with(|_| None).await;
    let (outbox, inbox) = mpsc::channel(1);
    let limits = Limits { memory: 1 << 30, ..Limits::default() };
    let dump = operation(at(from.port), "elasticsearch-dump", json!({ "jobs": 4 }));
    let restore = operation(at(into.port), "elasticsearch-restore", json!({}));
    let dump = Operation { outbox, limits: limits.clone(), ..dump };
    let restore = Operation { inbox, limits, ..restore };
    let both = async { tokio::join!(component.run(dump), component.run(restore)) };
    let (dumped, restored) = tokio::time::timeout(AT_MOST, both).await.expect("each waits for the other");
    assert_eq!(fact(&dumped.expect("dumped"), "rows"), "6");
    assert_eq!(fact(&restored.expect("restored"), "rows"), "6");
    assert!(from.is_clean());
}
