//! What is found before anything is written, and in which order things are made.

use super::restoring::fake::{Asked, Fake};
use super::restoring::{artifact, restore_at};
use coffer_addon::Error;
use coffer_addon::testing::Written;
use coffer_addon_elasticsearch::layout::{COUNTS, Count, INDEX};
use serde_json::{Value, json};

/// A dump of ours: these indices, with one document each, and what `more` adds to its `coffer.json`.
pub fn dump(indices: &[(&str, Value)], more: Value) -> Vec<Written> {
    let mut count = Count::default();
    count.add("1", None, b"{}");
    let counts = indices.iter().map(|(name, _)| ((*name).to_owned(), json!(count)));
    let counts = json!({ "format": 1, "indices": Value::Object(counts.collect()) });
    let defined = indices.iter().enumerate().map(|(number, (name, fields))| {
        let mut index = json!({ "name": name, "file": format!("{number}.json") });
        index.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        index
    });
    let mut index = json!({ "format": 1, "tool": "a test", "consistency": "pit", "schema": true, "data": true,
        "server": { "flavour": "Elasticsearch", "version": "9.5.3", "cluster": "c" },
        "indices": defined.collect::<Vec<_>>() });
    index.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut files = vec![artifact(INDEX, index.to_string())];
    let line = |name: &str| format!("{}\n", json!({ "_index": name, "_id": "1", "_source": {} }));
    files.extend(indices.iter().enumerate().map(|(number, (name, _))| artifact(&format!("{number}.json"), line(name))));
    files.push(artifact(COUNTS, counts.to_string()));
    files
}

fn one(fields: Value) -> Vec<Written> {
    dump(&[("x", fields)], json!({}))
}

async fn is_refused(fake: &Fake, parameters: Value, files: Vec<Written>, wanted: &str) {
    let refused = restore_at(fake.port, &parameters.to_string(), files).await.expect_err(wanted);
    assert!(refused.message().contains(wanted), "{wanted}: {refused}");
    assert!(fake.changes().is_empty(), "{wanted}: {:?}", fake.changes());
}

#[tokio::test]
async fn names_from_elsewhere_reach_nothing_else() {
    let names =
        ["_all", "*", "a,b", "..", "../_security/user/x", "x/_doc/1", "a/../b", "", "<x-{now}>", "-x", "X", "a?b"];
    for name in names {
        let fake = Fake::with(|_| None).await;
        is_refused(&fake, json!({}), dump(&[(name, json!({}))], json!({})), "can be no name").await;
        let to = json!({ "rename": { "x*": format!("{name}*") } });
        if let Err(refused) = restore_at(fake.port, &to.to_string(), one(json!({}))).await {
            assert!(matches!(refused, Error::InvalidParameter(_)), "{refused}");
            assert!(fake.changes().is_empty());
        }
    }
    let fake = Fake::with(|_| None).await;
    let streams =
        json!({ "dataStreams": [{ "name": "a*", "template": "t", "timestampField": "@timestamp", "indices": [] }] });
    is_refused(&fake, json!({}), dump(&[], streams), "can be no name").await;
    is_refused(&fake, json!({}), one(json!({ "aliases": { "a*": {} } })), "can be no name").await;
    is_refused(&fake, json!({}), dump(&[], json!({ "scripts": { "..": {} } })), "can be no name").await;
    // What may be in a name stays in it.
    let odd = json!({ "pipelines": { "a/../../_cluster/settings?x=": { "processors": [] } } });
    restore_at(fake.port, "{}", dump(&[], odd)).await.expect("restored");
    let paths: Vec<String> = fake.changes().into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths, ["/_ingest/pipeline/a%2F..%2F..%2F_cluster%2Fsettings%3Fx%3D"]);
}

#[tokio::test]
async fn users_do_not_come_by_the_way() {
    let fake = Fake::with(|_| None).await;
    let files = dump(&[(".security-7", json!({})), ("x", json!({}))], json!({}));
    restore_at(fake.port, r#"{"overwrite": true}"#, files.clone()).await.expect("restored");
    assert!(fake.asked().iter().all(|asked| !asked.path.contains("security")), "{:?}", fake.asked());
    let to = json!({ "rename": { "x": ".security-7", ".security-7": "looked-at" } });
    restore_at(fake.port, &to.to_string(), files).await.expect("restored");
    fake.place("PUT", "/looked-at");
    assert!(fake.changes().iter().all(|asked| !asked.path.contains("security")), "{:?}", fake.changes());
}

#[tokio::test]
async fn filters_that_leave_nothing_are_refused() {
    let fake = Fake::with(|_| None).await;
    let around = json!({ "scripts": { "c": { "lang": "painless", "source": "1" } } });
    let files = || dump(&[("x", json!({})), (".security-7", json!({}))], around.clone());
    for parameters in [json!({ "exclude": ["*"] }), json!({ "include": ["x"], "exclude": ["x"] })] {
        is_refused(&fake, parameters, files(), "exclude: it leaves nothing of the dump to restore").await;
    }
    is_refused(&fake, json!({ "include": [".security*"] }), files(), "include: it leaves nothing").await;
    // A dump of definitions alone has nothing that could be left out.
    restore_at(fake.port, r#"{"exclude": ["y"]}"#, dump(&[], around)).await.expect("restored");
}

/// A cluster with these aliases, data streams and templates.
fn having(aliases: Value, streams: Value, templates: Value) -> impl FnMut(&Asked) -> Option<(u16, String)> {
    move |asked| {
        let said = match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/_all/_alias") => &aliases,
            ("GET", "/_data_stream") => &streams,
            ("GET", "/_index_template") => &templates,
            _ => return None,
        };
        Some((200, said.to_string()))
    }
}

#[tokio::test]
async fn aliases_that_cannot_be_made_are_told_first() {
    let streams = json!({ "data_streams": [{ "name": "events", "timestamp_field": { "name": "@timestamp" },
        "indices": [{ "index_name": ".ds-events-000001" }] }] });
    let there = json!({ "other": { "aliases": { "logs": { "is_write_index": true }, "both": {} } }, "taken": {} });
    let fake = Fake::with(having(there, streams, json!({ "index_templates": [] }))).await;
    let writing = || json!({ "aliases": { "logs": { "is_write_index": true } } });
    for (files, wanted) in [
        (one(writing()), "the alias logs would be written to x and to other"),
        (dump(&[("x", writing()), ("other", writing())], json!({})), "the alias logs would be written to"),
        (one(json!({ "aliases": { "taken": {} } })), "has an alias taken, and there is an index of that name"),
        (one(json!({ "aliases": { "events": {} } })), "has an alias events, and there is an index of that name"),
        (dump(&[("x", json!({ "aliases": { "y": {} } })), ("y", json!({}))], json!({})), "has an alias y"),
        (dump(&[(".ds-events-000001", json!({}))], json!({})), "is an index of the data stream events"),
        (dump(&[("both", json!({}))], json!({})), "both is an alias"),
    ] {
        is_refused(&fake, json!({ "overwrite": true }), files, wanted).await;
    }
    // What goes is in nobody's way.
    let mine = dump(&[("other", writing())], json!({}));
    restore_at(fake.port, r#"{"overwrite": true}"#, mine).await.expect("restored");
    restore_at(fake.port, r#"{"aliases": false}"#, one(writing())).await.expect("restored");
}

#[tokio::test]
async fn a_stream_needs_a_template() {
    let patterns = |patterns: Value| json!({ "index_patterns": patterns, "data_stream": {} });
    let listed = json!({ "index_templates": [{ "name": "t", "index_template": patterns(json!(["logs-*"])) },
        { "name": "p", "index_template": { "index_patterns": ["*"] } }] });
    let fake = Fake::with(having(json!({}), json!({ "data_streams": [] }), listed)).await;
    let stream = |more: Value| {
        let mut fields = json!({ "dataStreams": [{ "name": "events", "template": "t", "timestampField": "@timestamp",
            "indices": [] }] });
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        dump(&[], fields)
    };
    is_refused(&fake, json!({}), stream(json!({})), "no index template for a data stream events").await;
    let own = json!({ "indexTemplates": { "e": patterns(json!("ev*")) } });
    is_refused(&fake, json!({ "templates": false }), stream(own), "no index template for a data stream events").await;
}

#[tokio::test]
async fn a_cluster_that_is_full_is_told_first() {
    let fake = Fake::with(|asked| {
        let said = match asked.path.as_str() {
            "/_cluster/settings" => json!({ "defaults": { "cluster.max_shards_per_node": "10" } }),
            "/_cluster/health" => json!({ "number_of_data_nodes": 1, "active_shards": 5, "unassigned_shards": 1 }),
            _ => return None,
        };
        Some((200, said.to_string()))
    })
    .await;
    let shards = |shards: &str, replicas: &str| {
        one(json!({ "settings": { "index.number_of_shards": shards, "index.number_of_replicas": replicas } }))
    };
    is_refused(
        &fake,
        json!({}),
        shards("1", "4"),
        "have 5 shards with their replicas, the cluster has 6, and takes 10",
    )
    .await;
    restore_at(fake.port, "{}", shards("2", "1")).await.expect("restored");
}

/// What needs documents comes behind them; what documents need, before.
#[tokio::test]
async fn everything_is_made_after_what_it_needs() {
    let fake = Fake::with(|asked| {
        let is_none = asked.method == "GET" && asked.path.matches('/').count() > 1 && !asked.path.ends_with("/_count");
        let is_own = asked.path.ends_with("_alias") || asked.path.starts_with("/_cluster");
        (is_none && !is_own).then(|| (404, "{}".into()))
    })
    .await;
    let enriching = json!({ "processors": [{ "foreach": { "processor": { "enrich": { "policy_name": "e" } } } }] });
    let around = json!({
        "synonymSets": { "s": { "synonyms_set": [] } }, "scripts": { "c": { "lang": "painless", "source": "1" } },
        "pipelines": { "a": enriching, "b": { "processors": [] } }, "policies": { "p": { "policy": {} } },
        "enrichPolicies": { "e": { "match": { "indices": ["x"], "match_field": "f", "enrich_fields": [] } } },
    });
    let settings = json!({ "settings": { "index.lifecycle.name": "p" }, "aliases": { "w": {} } });
    let files = dump(&[("x", settings)], around);
    restore_at(fake.port, r#"{"rename": {"x": "y"}}"#, files.clone()).await.expect("restored");
    let order = [
        ("PUT", "/_synonyms/s"),
        ("PUT", "/_scripts/c"),
        ("PUT", "/_ingest/pipeline/b"),
        ("PUT", "/y"),
        ("POST", "/y/_bulk"),
        ("POST", "/y/_refresh"),
        ("PUT", "/_enrich/policy/e"),
        ("POST", "/_enrich/policy/e/_execute"),
        ("PUT", "/_ingest/pipeline/a"),
        ("PUT", "/_ilm/policy/p"),
        ("POST", "/_aliases"),
    ];
    let places: Vec<usize> = order.iter().map(|(method, path)| fake.place(method, path)).collect();
    assert!(places.is_sorted(), "{places:?}");
    let asked = fake.asked();
    assert!(asked[places[6]].body.contains(r#""indices":["y"]"#), "{}", asked[places[6]].body);
    // Nothing ends an index before it is whole and has its aliases.
    let told = asked.iter().position(|asked| asked.body.contains("index.lifecycle.name")).expect("told");
    assert!(places.last().is_some_and(|aliases| told > *aliases));

    // Of another kind of server there is nothing to put them to.
    let open = Fake::with(|asked| {
        let version = json!({ "version": { "number": "3.8.0", "distribution": "opensearch" } });
        (asked.path == "/").then(|| (200, version.to_string()))
    })
    .await;
    is_refused(&open, json!({}), files, "a synonym set of Elasticsearch, which OpenSearch does not know: s").await;
}

#[tokio::test]
async fn nothing_is_deleted_that_cannot_be_made_again() {
    let fake = async |method: &'static str, path: &'static str, status: u16, said: Value| {
        Fake::with(move |asked| match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/_all/_alias") => Some((200, json!({ "x": {} }).to_string())),
            at if at == (method, path) => Some((status, said.to_string())),
            _ => None,
        })
        .await
    };
    let over = json!({ "overwrite": true });
    let unknown = json!({ "error": { "type": "illegal_argument_exception", "reason": "unknown setting [index.odd]" } });
    let refusing = fake("PUT", "/coffer-rehearsal-of-a-restore", 400, unknown).await;
    let failed = restore_at(refusing.port, &over.to_string(), one(json!({}))).await.expect_err("refused");
    for wanted in ["no index was touched, as x could not be made again", "unknown setting [index.odd]", "omitSettings"]
    {
        assert!(failed.message().contains(wanted), "{wanted}: {failed}");
    }
    assert!(refusing.changes().iter().all(|asked| asked.path != "/x"), "{:?}", refusing.changes());
    let blocks = json!({ "x": { "settings": { "index.blocks.read_only": "true" } } });
    let blocked = fake("GET", "/_all/_settings/index.blocks.*", 200, blocks).await;
    is_refused(&blocked, over.clone(), one(json!({})), "keep these from being replaced: x;").await;
    let willing = fake("GET", "/nothing", 200, json!({})).await;
    restore_at(willing.port, &over.to_string(), one(json!({}))).await.expect("restored");
    assert!(willing.place("DELETE", "/coffer-rehearsal-of-a-restore") < willing.place("DELETE", "/x"));
}

#[tokio::test]
async fn what_a_policy_of_ism_managed_it_manages_again() {
    let policy = json!({ "policies": { "old": { "policy": { "states": [] } } },
        "server": { "flavour": "OpenSearch", "version": "3.8.0", "cluster": "c" } });
    let files = || dump(&[("x", json!({ "ismPolicy": "old" })), ("y", json!({}))], policy.clone());
    let open = async |failed: Value| {
        Fake::with(move |asked| {
            let said = match asked.path.as_str() {
                "/" => json!({ "version": { "number": "3.8.0", "distribution": "opensearch" } }),
                path if path.starts_with("/_plugins/_ism/policies") && asked.method == "GET" => {
                    return Some((404, "{}".into()));
                }
                "/_plugins/_ism/add/x" => json!({ "updated_indices": 0, "failures": true, "failed_indices": failed }),
                _ => return None,
            };
            Some((200, said.to_string()))
        })
        .await
    };
    for there in [json!([]), json!([{ "index_name": "x", "reason": "This index already has a policy, use …" }])] {
        let fake = open(there).await;
        restore_at(fake.port, "{}", files()).await.expect("restored");
        let asked = fake.asked();
        let added = fake.place("POST", "/_plugins/_ism/add/x");
        assert_eq!(asked[added].body, r#"{"policy_id":"old"}"#);
        assert!(fake.place("PUT", "/_plugins/_ism/policies/old") < added && fake.place("POST", "/x/_bulk") < added);
        assert_eq!(asked.iter().filter(|asked| asked.path.starts_with("/_plugins/_ism/add")).count(), 1);
    }
    let fake = open(json!([{ "index_name": "x", "reason": "no such policy" }])).await;
    let failed = restore_at(fake.port, "{}", files()).await.expect_err("not managed");
    assert!(failed.message().contains("the policy old manage x: no such policy"), "{failed}");
    let fake = open(json!([{ "reason": "must not be asked" }])).await;
    restore_at(fake.port, r#"{"templates": false}"#, files()).await.expect("restored");
}

#[tokio::test]
async fn an_index_that_no_node_takes_is_told() {
    // By version.
    for status in [200, 408] {
        let fake = Fake::with(move |asked| match (asked.method.as_str(), asked.path.as_str()) {
            ("PUT", "/x") => Some((200, json!({ "acknowledged": true, "shards_acknowledged": false }).to_string())),
            ("GET", "/_cluster/health/x") => Some((status, json!({ "status": "red", "timed_out": true }).to_string())),
            _ => None,
        })
        .await;
        let failed = restore_at(fake.port, "{}", one(json!({}))).await.expect_err("no node");
        assert!(failed.message().contains("no node takes its shards") && fake.bulks().is_empty(), "{failed}");
    }
}

#[tokio::test]
async fn compressed_files_are_to_be_unpacked_first() {
    let fake = Fake::with(|_| None).await;
    let files = vec![artifact("x.mapping.json.gz", [0x1f, 0x8b, 8, 0])];
    is_refused(&fake, json!({}), files, "unpack it with gunzip first").await;
}

#[tokio::test]
async fn documents_in_what_was_there_before_are_told() {
    let fake = Fake::saying(
        |_, _| Some((400, "{}".into())),
        |asked| (asked.path == "/_all/_alias").then(|| (200, json!({ "x": {} }).to_string())),
    )
    .await;
    let failed = restore_at(fake.port, "{}", dump(&[("x", json!({}))], json!({ "schema": false }))).await;
    assert!(
        matches!(&failed, Err(Error::Failed(text)) if text.ends_with("empty them first to try again: x")),
        "{failed:?}"
    );
}

/// A restore that fails says what it leaves.
#[tokio::test]
async fn what_is_left_is_told() {
    let mut made = 0;
    let fake = Fake::with(move |asked| {
        if asked.path == "/_all/_alias" {
            return Some((200, json!({ "x": {}, "y": {} }).to_string()));
        }
        made += usize::from(asked.method == "PUT" && ["/x", "/y"].contains(&asked.path.as_str()));
        let said = json!({ "error": { "type": "mapper_parsing_exception", "reason": "No handler for type [z]" } });
        (made == 2).then(|| (400, said.to_string()))
    })
    .await;
    let files = dump(&[("x", json!({})), ("y", json!({}))], json!({ "scripts": { "c": {} } }));
    let failed = restore_at(fake.port, r#"{"overwrite": true}"#, files).await.expect_err("no such type");
    for wanted in [
        "unable to make y",
        "No handler for type [z]",
        "the dump is of Elasticsearch 9.5.3",
        "restored by half: x; removed, and not made again: y; made already: script c; overwrite replaces them",
    ] {
        assert!(failed.message().contains(wanted), "{wanted}: {failed}");
    }
}
