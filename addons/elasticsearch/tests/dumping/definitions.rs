//! Definitions of what no node at hand has: data streams of Elasticsearch's, enrich policies, what is not kept.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::dumping::fake::{Answer, Asked, Fake, refusal};
use super::dumping::{at, dump_from};
use coffer_addon::Error;
use coffer_addon_elasticsearch::layout::{Definition, Definitions};
use serde_json::{Value, json};

fn value(definition: &Option<Definition>) -> Value {
    definition.as_ref().expect("a definition").value().unwrap()
}

/// An Elasticsearch 9.5 with a data stream.
fn streams(asked: &Asked) -> Option<Answer> {
    let path = asked.path.split('?').next().unwrap_or_default();
    let stream = |field: &str, value: Value| {
        let mut stream = json!({ "name": "logs", "effective_settings": { "index": {} } });
        stream[field] = value;
        json!({ "data_streams": [stream, { "name": "bare" }] })
    };
    let answer = match (asked.method.as_str(), path) {
        ("GET", "/_data_stream") => json!({ "data_streams": [
            { "name": "logs", "timestamp_field": { "name": "@timestamp" }, "template": "logs", "hidden": true,
              "indices": [{ "index_name": "orders", "index_uuid": "u" }],
              "failure_store": { "enabled": true, "indices": [{ "index_name": ".fs-logs", "index_uuid": "v" }] } },
            { "name": "bare", "timestamp_field": { "name": "@timestamp" }, "template": "t", "indices": [] },
        ] }),
        ("GET", "/_data_stream/*/_lifecycle") => stream(
            "lifecycle",
            json!({ "enabled": true, "data_retention": "7d",
            "effective_retention": "7d", "retention_determined_by": "data_stream_configuration" }),
        ),
        ("GET", "/_data_stream/*/_options") => stream(
            "options",
            json!({ "failure_store": { "enabled": true,
            "lifecycle": { "enabled": true, "effective_retention": "30d" } } }),
        ),
        ("GET", "/_data_stream/*/_settings") => stream("settings", json!({ "index": { "number_of_shards": "3" } })),
        ("GET", "/_data_stream/*/_mappings") => stream("mappings", json!({})),
        ("GET", "/_alias") => json!({ "logs": { "aliases": { "all-logs": { "filter": { "term": { "a": 1 } } } } } }),
        ("GET", "/_all") => {
            let index = json!({ "aliases": {}, "settings": { "index.number_of_shards": "1" }, "data_stream": "logs" });
            json!({ "orders": index, ".fs-logs": index })
        }
        _ => return None,
    };
    Some(Answer::Json(200, answer))
}

#[tokio::test]
async fn what_is_set_on_data_streams_is_dumped() {
    let fake = Fake::start(streams).await;
    let dumped = dump_from(at(fake.port), r#"{"hidden": true}"#).await.expect("dumped");
    let index = dumped.index();
    let names: Vec<&str> = index.indices.iter().map(|index| index.name.as_str()).collect();
    assert_eq!(names, ["orders"], "a failure store is none of a dump's indices");
    let [logs, bare] = &index.data_streams[..] else { panic!("{:?}", index.data_streams) };
    assert_eq!(logs.aliases["all-logs"].value().unwrap(), json!({ "filter": { "term": { "a": 1 } } }));
    assert_eq!(value(&logs.lifecycle), json!({ "enabled": true, "data_retention": "7d" }));
    assert_eq!(value(&logs.options), json!({ "failure_store": { "enabled": true, "lifecycle": { "enabled": true } } }));
    assert_eq!(value(&logs.settings), json!({ "index": { "number_of_shards": "3" } }));
    assert!(logs.mappings.is_none() && bare.lifecycle.is_none());
    assert_eq!(dumped.fact("notKept"), "failureStores: logs");
}

/// An Elasticsearch 9.5 with what indices and pipelines may need, and with what no dump has.
fn others(asked: &Asked) -> Option<Answer> {
    let path = asked.path.split('?').next().unwrap_or_default();
    let policy = json!({ "name": "users", "indices": ["users"], "match_field": "email", "enrich_fields": ["city"] });
    let answer = match (asked.method.as_str(), path) {
        ("GET", "/_enrich/policy") => json!({ "policies": [{ "config": { "match": policy } }] }),
        ("GET", "/_synonyms") => json!({ "count": 1, "results": [{ "synonyms_set": "my set", "count": 1 }] }),
        ("GET", "/_synonyms/my%20set") => json!({ "count": 1, "synonyms_set": [{ "id": "1", "synonyms": "a => b" }] }),
        ("GET", "/_transform") => json!({ "count": 2, "transforms": [{ "id": "t" }, { "id": ".own" }] }),
        ("POST", "/_watcher/_query/watches") => json!({ "count": 1, "watches": [{ "_id": "w" }] }),
        ("GET", "/_snapshot") => json!({ "nightly": { "type": "fs" } }),
        ("GET", "/_ml/anomaly_detectors") => return Some(Answer::Json(403, refusal("security_exception", "no"))),
        ("GET", "/_ml/datafeeds") => {
            let reason = "current license is non-compliant for [ml]";
            return Some(Answer::Json(403, refusal("security_exception", reason)));
        }
        ("GET", "/_query_rules") => return Some(Answer::Json(400, json!({ "error": "no handler found for uri" }))),
        ("GET", "/_connector") => return Some(Answer::Json(500, refusal("illegal_state_exception", "broken"))),
        _ => return None,
    };
    Some(Answer::Json(200, answer))
}

#[tokio::test]
async fn what_is_needed_is_dumped_and_what_is_not_kept_is_named() {
    let fake = Fake::start(others).await;
    let dumped = dump_from(at(fake.port), "{}").await.expect("dumped");
    let index = dumped.index();
    let policy = json!({ "match": { "indices": ["users"], "match_field": "email", "enrich_fields": ["city"] } });
    assert_eq!(index.enrich_policies["users"].value().unwrap(), policy);
    let rules = json!({ "synonyms_set": [{ "id": "1", "synonyms": "a => b" }] });
    assert_eq!(index.synonym_sets["my set"].value().unwrap(), rules);
    let unseen = "whatever there is, as the user may not see it";
    let wanted = format!(
        "connectors: whatever there is, as the server did not say (status 500); snapshotRepositories: nightly; \
                 transforms: t; watches: w; anomalyDetectors: {unseen}"
    );
    assert_eq!(dumped.fact("notKept"), wanted);
    let names: Vec<&String> = index.not_kept.keys().collect();
    assert_eq!(names, ["anomalyDetectors", "connectors", "snapshotRepositories", "transforms", "watches"]);
    let blind = Fake::start(|asked| match asked.is("GET", "/_enrich/policy") {
        true => Some(Answer::Json(403, refusal("security_exception", "monitor_enrich"))),
        false => others(asked),
    })
    .await;
    let blind = dump_from(at(blind.port), "{}").await.expect("dumped");
    assert!(
        blind
            .fact("notKept")
            .ends_with("anomalyDetectors, enrichPolicies: whatever there is, as the user may not see it")
    );
    let without = dump_from(at(fake.port), r#"{"dataOnly": true}"#).await.expect("dumped");
    assert!(without.index().not_kept.is_empty() && without.index().enrich_policies.is_empty());
}

#[tokio::test]
async fn what_a_role_hides_is_refused_and_what_a_model_fills_is_named() {
    let fake = Fake::start(|asked| {
        let path = asked.path.split('?').next().unwrap_or_default();
        let answer = match (asked.method.as_str(), path) {
            ("GET", "/_security/user/_privileges") => json!({ "cluster": [], "indices": [{ "names": ["ord*", "x"],
                "privileges": ["read"], "query": ["{\"term\":{\"team\":\"a\"}}"] }] }),
            ("GET", "/") => json!({ "version": { "number": "8.19.0", "build_flavor": "default" } }),
            ("GET", "/_all") => json!({ "orders": { "settings": { "index.number_of_shards": "1" }, "mappings": {
                "properties": { "text": { "type": "semantic_text", "inference_id": "mine" } } } } }),
            _ => return None,
        };
        Some(Answer::Json(200, answer))
    })
    .await;
    let refused = dump_from(at(fake.port), "{}").await.map(|dumped| dumped.report);
    assert!(matches!(&refused, Err(Error::Unsupported(text)) if text.contains("role hides of ord*;")), "{refused:?}");
    let dumped = dump_from(at(fake.port), r#"{"allowUnsupported": true}"#).await.expect("dumped");
    assert!(dumped.fact("omitted").contains("role"));
    assert_eq!(dumped.fact("notKept"), "embeddings: orders; inferenceEndpoints: mine");
}

/// What Fleet sets up: a data stream, and what is behind it.
fn fleet(asked: &Asked) -> Option<Answer> {
    let meta = json!({ "managed": true, "managed_by": "fleet" });
    let of_fleet = |mut value: Value| {
        value["_meta"] = meta.clone();
        value
    };
    let own = json!({ "template": {}, "_meta": { "managed": true, "description": "installed by x-pack" } });
    let named = |what: &str, name: &str, value: Value| json!({ "name": name, (what): value });
    let answer = match (asked.method.as_str(), asked.path.split('?').next().unwrap_or_default()) {
        ("GET", "/_data_stream") => {
            json!({ "data_streams": [{ "name": "logs-x", "timestamp_field": { "name": "@timestamp" },
            "template": "logs-nginx", "indices": [{ "index_name": "orders" }] }] })
        }
        ("GET", "/_index_template") => json!({ "index_templates": [
            named("index_template", "logs-nginx", of_fleet(json!({ "index_patterns": ["logs-x"], "data_stream": {},
                "composed_of": ["nginx@package", "logs@mappings", ".fleet_globals-1"] }))),
            named("index_template", "logs-other", of_fleet(json!({ "index_patterns": ["logs-y"] }))),
        ] }),
        ("GET", "/_component_template") => json!({ "component_templates": [
            named("component_template", "nginx@package", of_fleet(json!({ "template": { "settings": { "index": {
                "default_pipeline": "logs-nginx-1.0", "lifecycle": { "name": "fleet-logs" } } } } }))),
            named("component_template", "logs@mappings", own.clone()),
            named("component_template", "metrics@mappings", own.clone()),
            named("component_template", ".fleet_globals-1", of_fleet(json!({ "template": {} }))),
            named("component_template", ".fleet_unused", of_fleet(json!({ "template": {} }))),
        ] }),
        ("GET", "/_ingest/pipeline") => json!({
            "logs-nginx-1.0": of_fleet(json!({ "processors": [{ "pipeline": { "name": "third-party" } }] })),
            "third-party": of_fleet(json!({ "processors": [] })),
            "unused": of_fleet(json!({ "processors": [] })),
        }),
        ("GET", "/_ilm/policy") => {
            let own = json!({ "policy": { "phases": {}, "_meta": { "managed": true } } });
            json!({ "fleet-logs": { "policy": { "phases": {}, "_meta": meta } }, "logs": own, "metrics": own })
        }
        ("GET", "/_all") => {
            let settings = json!({ "index.number_of_shards": "1", "index.lifecycle.name": "logs" });
            json!({ "orders": { "settings": settings } })
        }
        _ => return None,
    };
    Some(Answer::Json(200, answer))
}

#[tokio::test]
async fn what_somebody_manages_is_dumped_where_a_stream_needs_it_and_named_otherwise() {
    let fake = Fake::start(fleet).await;
    let dumped = dump_from(at(fake.port), "{}").await.expect("dumped");
    let index = dumped.index();
    let names = |definitions: &Definitions| definitions.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&index.index_templates), ["logs-nginx"]);
    // Somebody may have changed the server's own that a stream needs; no others are taken along.
    assert_eq!(names(&index.component_templates), [".fleet_globals-1", "logs@mappings", "nginx@package"]);
    assert_eq!(names(&index.pipelines), ["logs-nginx-1.0", "third-party"]);
    assert_eq!(names(&index.policies), ["fleet-logs", "logs"]);
    assert_eq!(dumped.fact("notKept"), "indexTemplates: logs-other; pipelines: unused");
}

/// An API key with a role of its own is not told what that hides.
#[tokio::test]
async fn where_nobody_knows_what_a_role_hides_it_is_said() {
    let reason = "Cannot retrieve privileges for API keys with assigned role descriptors";
    let fake = Fake::start(|asked| {
        asked
            .is("GET", "/_security/user/_privileges")
            .then(|| Answer::Json(400, refusal("illegal_argument_exception", reason)))
    })
    .await;
    let dumped = dump_from(at(fake.port), "{}").await.expect("dumped");
    assert!(dumped.fact("hiddenByRoles").starts_with("not known"));
    // Turned off.
    let fake = Fake::start(|asked| {
        let answer = || Answer::Json(400, json!({ "error": "no handler found for uri" }));
        asked.is("GET", "/_security/user/_privileges").then(answer)
    })
    .await;
    let dumped = dump_from(at(fake.port), "{}").await.expect("dumped");
    assert!(dumped.report.facts.iter().all(|(name, _)| name != "hiddenByRoles"));
}

/// OpenSearch keeps which policy manages an index beside the index.
#[tokio::test]
async fn policies_of_ism_are_dumped_with_what_they_manage() {
    let fake = Fake::start(|asked| {
        let answer = match (asked.method.as_str(), asked.path.split('?').next().unwrap_or_default()) {
            ("GET", "/") => json!({ "version": { "number": "3.8.0", "distribution": "opensearch" } }),
            ("GET", "/_all") => {
                let index = json!({ "settings": { "index.number_of_shards": "1" } });
                json!({ "orders": index, "loose": index })
            }
            ("GET", "/_plugins/_ism/policies") => json!({ "total_policies": 1, "policies": [
                { "_id": "old", "policy": { "policy_id": "old", "schema_version": 21, "states": [] } }] }),
            ("GET", "/_plugins/_ism/explain/loose,orders") => json!({ "total_managed_indices": 1,
                "orders": { "index.plugins.index_state_management.policy_id": "old", "policy_id": "old" },
                "loose": { "index.plugins.index_state_management.policy_id": null } }),
            _ => return None,
        };
        Some(Answer::Json(200, answer))
    })
    .await;
    let index = dump_from(at(fake.port), r#"{"schemaOnly": true}"#).await.expect("dumped").index();
    assert_eq!(index.policies["old"].value().unwrap(), json!({ "policy": { "states": [] } }));
    let managed: Vec<_> = index.indices.iter().map(|index| (&*index.name, index.ism_policy.as_deref())).collect();
    assert_eq!(managed, [("loose", None), ("orders", Some("old"))]);
}
