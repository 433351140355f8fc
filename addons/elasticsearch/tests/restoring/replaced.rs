//! What `overwrite` replaces: nothing is deleted that cannot be made again.

use super::looked::dump;
use super::restoring::fake::{Asked, Fake};
use super::restoring::{fact, restore_at};
use coffer_addon::Error;
use coffer_addon::testing::Written;
use serde_json::{Value, json};

const OVER: &str = r#"{"overwrite": true}"#;
const REHEARSED: &str = "coffer-rehearsal-of-a-restore";

/// With a data stream `events`, and an index `x`; what it refuses by method and path, or says instead.
async fn there(instead: impl Fn(&Asked) -> Option<(u16, Value)> + Send + 'static) -> Fake {
    Fake::with(move |asked| {
        if let Some((status, said)) = instead(asked) {
            return Some((status, said.to_string()));
        }
        let said = match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/_all/_alias") => json!({ "x": {} }),
            ("GET", "/_data_stream") => json!({ "data_streams": [{ "name": "events",
                "timestamp_field": { "name": "@timestamp" }, "indices": [{ "index_name": ".ds-events-000001" }] }] }),
            ("GET", "/_index_template") => json!({ "index_templates": [] }),
            ("GET", path) if path.matches('/').count() == 2 && path.contains("_template/") => {
                return Some((404, "{}".into()));
            }
            _ => return None,
        };
        Some((200, said.to_string()))
    })
    .await
}

fn refusal(reason: &str) -> Value {
    json!({ "error": { "type": "illegal_argument_exception", "reason": reason } })
}

/// A stream with a template of two parts, one of which is the server's.
fn stream() -> Vec<Written> {
    let around = json!({
        "dataStreams": [{ "name": "events", "template": "t", "timestampField": "@timestamp", "indices": [] }],
        "componentTemplates": { "c": { "template": { "settings": { "index.odd": 1 } } } },
        "indexTemplates": { "t": { "index_patterns": ["ev*"], "priority": 7, "data_stream": {},
            "composed_of": ["c", "server"] } },
        "legacyTemplates": { "l": { "index_patterns": ["*"], "order": 3 } },
    });
    dump(&[("x", json!({}))], around)
}

fn is_deleted(fake: &Fake, path: &str) -> bool {
    fake.changes().iter().any(|asked| asked.is("DELETE", path))
}

#[tokio::test]
async fn templates_are_tried_before_a_data_stream_is_deleted() {
    let fake = there(|_| None).await;
    restore_at(fake.port, OVER, stream()).await.expect("restored");
    let asked = fake.asked();
    let body = |path: &str| serde_json::from_str::<Value>(&asked[fake.place("PUT", path)].body).expect("JSON");
    let tried = body(&format!("/_index_template/{REHEARSED}-1"));
    assert_eq!(tried["index_patterns"], json!([format!("{REHEARSED}-1")]), "it is for nobody's indices");
    assert_eq!(tried["composed_of"], json!([format!("{REHEARSED}-0"), "server"]));
    assert_eq!(body(&format!("/_template/{REHEARSED}-2"))["index_patterns"], json!([format!("{REHEARSED}-2")]));
    let order = [
        ("PUT", format!("/_component_template/{REHEARSED}-0")),
        ("PUT", format!("/_index_template/{REHEARSED}-1")),
        ("DELETE", "/x".into()),
        ("PUT", "/x".into()),
        ("PUT", "/_component_template/c".into()),
        ("PUT", "/_index_template/t".into()),
        ("DELETE", "/_data_stream/events".into()),
        ("PUT", "/_data_stream/events".into()),
    ];
    let places: Vec<usize> = order.iter().map(|(method, path)| fake.place(method, path)).collect();
    assert!(places.is_sorted(), "{places:?}");
    for kind in ["_index_template", "_component_template", "_template"] {
        let path = format!("/{kind}/{REHEARSED}-*");
        let gone = asked.iter().rposition(|asked| asked.is("DELETE", &path)).expect("tidied up");
        let last = asked.iter().rposition(|asked| asked.method == "PUT" && asked.path.contains(REHEARSED));
        assert!(last.is_some_and(|last| last < fake.place("DELETE", "/x")) && gone < fake.place("DELETE", "/x"));
    }
    // Where nothing is deleted, nothing is tried.
    let fake = Fake::with(|asked| asked.path.contains("_template").then(|| (404, "{}".into()))).await;
    let around = json!({ "legacyTemplates": { "l": { "index_patterns": ["*"] } } });
    let _ = restore_at(fake.port, "{}", dump(&[("x", json!({}))], around)).await;
    assert!(fake.asked().iter().all(|asked| !asked.path.contains(REHEARSED)));
}

#[tokio::test]
async fn a_template_that_is_refused_costs_nothing() {
    // At the rehearsal.
    for refused in [format!("/_component_template/{REHEARSED}-0"), format!("/_index_template/{REHEARSED}-1")] {
        let fake =
            there(move |asked| asked.is("PUT", &refused).then(|| (400, refusal("unknown setting [index.odd]")))).await;
        let failed = restore_at(fake.port, OVER, stream()).await.expect_err("refused");
        for wanted in ["no index was touched", "template", "unknown setting [index.odd]", "the dump is of"] {
            assert!(failed.message().contains(wanted), "{wanted}: {failed}");
        }
        assert!(!is_deleted(&fake, "/x") && !is_deleted(&fake, "/_data_stream/events"), "{:?}", fake.changes());
        assert!(is_deleted(&fake, &format!("/_component_template/{REHEARSED}-*")));
    }
    // Because of its name or its patterns, which are others then.
    let fake = there(|asked| asked.is("PUT", "/_index_template/t").then(|| (400, refusal("same priority")))).await;
    let failed = restore_at(fake.port, OVER, stream()).await.expect_err("refused");
    assert!(failed.message().contains("same priority"), "{failed}");
    assert!(!is_deleted(&fake, "/_data_stream/events"), "{:?}", fake.changes());
}

/// No node takes the rehearsal's index, for that reason.
fn nowhere(decider: &'static str, explanation: &'static str) -> impl Fn(&Asked) -> Option<(u16, Value)> {
    move |asked| {
        let said = match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/_cluster/health/coffer-rehearsal-of-a-restore") => {
                return Some((408, json!({ "status": "red", "timed_out": true })));
            }
            ("GET", "/_cat/shards/coffer-rehearsal-of-a-restore") => json!([
                { "shard": "0", "prirep": "p", "state": "STARTED" },
                { "shard": "1", "prirep": "p", "state": "UNASSIGNED" }]),
            ("POST", "/_cluster/allocation/explain") => json!({ "can_allocate": "no", "node_allocation_decisions": [
                { "deciders": [{ "decider": decider, "decision": "NO", "explanation": explanation }] }] }),
            _ => return None,
        };
        Some((200, said))
    }
}

#[tokio::test]
async fn an_index_that_no_node_would_take_replaces_none() {
    let why = "node does not match index setting [index.routing.allocation.require] filters [box:\"hot\"]";
    let fake = there(nowhere("filter", why)).await;
    let index = || json!({ "settings": { "index.routing.allocation.require.box": "hot" } });
    let failed = restore_at(fake.port, OVER, dump(&[("x", index())], json!({}))).await;
    let says =
        |text: &str| text.contains("x could not be made again") && text.contains(why) && text.contains("omitSettings");
    assert!(matches!(&failed, Err(Error::InvalidParameter(text)) if says(text)), "{failed:?}");
    assert!(!is_deleted(&fake, "/x") && is_deleted(&fake, &format!("/{REHEARSED}")));
    let asked = fake.asked();
    let explained: Value =
        serde_json::from_str(&asked[fake.place("POST", "/_cluster/allocation/explain")].body).expect("JSON");
    assert_eq!(explained, json!({ "index": REHEARSED, "shard": 1, "primary": true }));
    // What is deleted makes room.
    for (decider, why) in [("disk_threshold", "the node is full"), ("shards_limit", "too many, by cluster setting [x]")]
    {
        let fake = there(nowhere(decider, why)).await;
        restore_at(fake.port, OVER, dump(&[("x", index())], json!({}))).await.expect("restored");
        assert!(is_deleted(&fake, "/x"));
    }
}

/// What every server brings along, in the version that was dumped and in another.
#[tokio::test]
async fn an_old_one_of_the_servers_own_replaces_no_new_one() {
    let policy =
        |days: &str| json!({ "policy": { "_meta": { "managed": true }, "phases": { "delete": { "min_age": days } } } });
    let start = async |version: &'static str| {
        there(move |asked| match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/") => Some((200, json!({ "version": { "number": version } }))),
            ("GET", "/_ilm/policy/logs") => Some((200, json!({ "logs": policy("30d") }))),
            _ => None,
        })
        .await
    };
    let files = || dump(&[("y", json!({}))], json!({ "policies": { "logs": policy("7d") } }));
    let puts = |fake: &Fake| fake.changes().iter().filter(|asked| asked.is("PUT", "/_ilm/policy/logs")).count();
    for (version, parameters, is_put) in
        [("9.5.3", "{}", 0), ("9.5.3", OVER, 1), ("9.6.0", "{}", 0), ("9.6.0", OVER, 0)]
    {
        let fake = start(version).await;
        let report = restore_at(fake.port, parameters, files()).await.expect("restored");
        assert_eq!(puts(&fake), is_put, "{version} {parameters}");
        if is_put == 0 {
            assert_eq!(fact(&report, "differing"), "lifecycle policy logs (the server's own)");
        }
    }
    // One that a user has made is none of the server's.
    let fake = start("9.5.3").await;
    let files = dump(&[("y", json!({}))], json!({ "policies": { "logs": { "policy": { "phases": {} } } } }));
    let failed = restore_at(fake.port, "{}", files).await;
    assert!(matches!(&failed, Err(Error::InvalidParameter(text)) if text.contains("another lifecycle policy logs")));
}

/// Running an enrich policy takes as long as its indices are large.
#[tokio::test]
async fn an_enrich_policy_is_run_in_the_background() {
    let around = json!({ "enrichPolicies": { "e": { "match": { "indices": ["y"] } } } });
    for (is_made, phases) in [(true, &["RUNNING", "RUNNING", "gone"][..]), (true, &["COMPLETE"]), (false, &["gone"])] {
        let looks = std::sync::atomic::AtomicUsize::new(0);
        let fake = there(move |asked| match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/_enrich/policy/e") => Some((404, json!({}))),
            ("POST", "/_enrich/policy/e/_execute") => {
                let is_background = asked.query == "wait_for_completion=false";
                Some(if is_background { (200, json!({ "task": "n:7" })) } else { (400, json!({})) })
            }
            ("GET", path) if path.starts_with("/_tasks/n") => {
                let look = looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Some(match phases[look] {
                    "gone" => (404, refusal("task isn't running and hasn't stored its results")),
                    phase => (200, json!({ "completed": false, "task": { "status": { "phase": phase } } })),
                })
            }
            ("GET", "/.enrich-e/_alias") => Some(if is_made { (200, json!({})) } else { (404, json!({})) }),
            _ => None,
        })
        .await;
        let restored = restore_at(fake.port, "{}", dump(&[("y", json!({}))], around.clone())).await;
        assert_eq!(fake.asked().iter().filter(|asked| asked.path.starts_with("/_tasks/")).count(), phases.len());
        match is_made {
            true => drop(restored.expect("restored")),
            false => assert!(
                matches!(&restored, Err(Error::Failed(text)) if text.contains("enrich policy e") && text.contains("log")),
                "{restored:?}"
            ),
        }
    }
}
