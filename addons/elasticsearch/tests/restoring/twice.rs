//! A server that says it has no time, and does what it was asked all the same.

use super::looked::dump;
use super::restoring::fake::{Asked, Fake};
use super::restoring::restore_at;
use coffer_addon::Error;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A cluster with the index `x` and the data stream `s`, and without the policy `e`, which does everything that changes those at the first attempt, and says
/// that only at the second. `too_many`: something else rolls the stream over.
async fn late(too_many: bool) -> Fake {
    let mut tried: BTreeMap<String, usize> = BTreeMap::new();
    let (mut indices, mut policies) = (1, 0);
    Fake::with(move |asked: &Asked| {
        let done = |refused: (u16, &str), first: bool| {
            let body = json!({ "error": { "type": refused.1, "reason": "r" } }).to_string();
            Some(if first { (503, "{}".into()) } else { (refused.0, body) })
        };
        let number = tried.entry(format!("{} {}", asked.method, asked.path)).or_default();
        *number += 1;
        let first = *number == 1;
        let exists = (400, "resource_already_exists_exception");
        let gone = (404, "index_not_found_exception");
        let said = match (asked.method.as_str(), asked.path.as_str()) {
            ("PUT", "/x") => return done(exists, first),
            ("DELETE", "/x" | "/_data_stream/s") => return done(gone, first),
            ("PUT", "/_data_stream/s") => {
                indices = 1;
                return done(exists, first);
            }
            ("POST", "/s/_rollover") => {
                indices += if too_many { 2 } else { 1 };
                return Some((503, "{}".into()));
            }
            ("GET", "/_enrich/policy/e") => match policies {
                0 => return Some((404, "{}".into())),
                _ => json!({ "policies": [{ "config": { "match": { "name": "e", "indices": ["x"] } } }] }),
            },
            ("PUT", "/_enrich/policy/e") => {
                policies += 1;
                return Some((if policies == 1 { 503 } else { 400 }, "{}".into()));
            }
            ("GET", "/_all/_alias") => json!({ "x": { "aliases": {} } }),
            ("GET", "/_data_stream") => {
                let of = (0..indices).map(|number| json!({ "index_name": format!(".ds-s-{number}") }));
                let stream = json!({ "name": "s", "timestamp_field": { "name": "@timestamp" },
                    "indices": of.collect::<Vec<Value>>() });
                json!({ "data_streams": if indices == 0 { vec![] } else { vec![stream] } })
            }
            ("GET", "/_index_template") => json!({ "index_templates": [
                { "name": "t", "index_template": { "index_patterns": ["s"], "data_stream": {} } }] }),
            ("GET", "/s/_count") => json!({ "count": 2, "_shards": { "failed": 0 } }),
            ("GET", path) if path.contains("/_settings/") => json!({}),
            _ => return None,
        };
        Some((200, said.to_string()))
    })
    .await
}

async fn restored(fake: &Fake) -> Result<(), Error> {
    let files = dump(
        &[("x", json!({})), (".ds-s-7", json!({ "dataStream": "s" })), (".ds-s-8", json!({ "dataStream": "s" }))],
        json!({ "enrichPolicies": { "e": { "match": { "indices": ["x"] } } }, "dataStreams": [{ "name": "s", "template": "t", "timestampField": "@timestamp",
            "indices": [".ds-s-7", ".ds-s-8"] }] }),
    );
    restore_at(fake.port, r#"{"overwrite": true}"#, files).await.map(drop)
}

#[tokio::test]
async fn nothing_is_done_twice() {
    let fake = late(false).await;
    restored(&fake).await.expect("restored");
    let rolled = fake.asked().iter().filter(|asked| asked.is("POST", "/s/_rollover")).count();
    assert_eq!(rolled, 1);
}

#[tokio::test]
async fn a_stream_that_something_else_rolls_over_is_told() {
    let failed = restored(&late(true).await).await.expect_err("too many");
    assert!(failed.message().contains("s has 3 indices, and should have 2 by now"), "{failed}");
}
