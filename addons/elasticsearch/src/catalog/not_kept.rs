//! What a server has that no dump has: it is named, so that nobody believes it kept.

use super::is_unknown;
use crate::client::{Body, Client, MAX_ANSWER, Version, what};
use coffer_addon::Result;
use futures::StreamExt;
use futures::stream;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Requests at once.
const AT_ONCE: usize = 4;

/// How a kind of things is found.
struct Kind {
    name: &'static str,
    path: &'static str,
    /// Where the list is, as a JSON pointer; it may be an object, by name.
    list: &'static str,
    /// An entry's name in it, as a JSON pointer.
    entry: &'static str,
    /// Elasticsearch's version that knows the path. An older one takes it for an index's, or does not know its parameters.
    since: (u32, u32),
}

const fn kind(name: &'static str, path: &'static str, list: &'static str, entry: &'static str) -> Kind {
    Kind { name, path, list, entry, since: (0, 0) }
}

const fn since(major: u32, minor: u32, kind: Kind) -> Kind {
    Kind { since: (major, minor), ..kind }
}

const BOTH: [Kind; 1] = [kind("snapshotRepositories", "/_snapshot", "", "")];

const ELASTICSEARCH: [Kind; 15] = [
    since(6, 5, kind("anomalyDetectors", "/_ml/anomaly_detectors", "/jobs", "/job_id")),
    since(6, 5, kind("autoFollowPatterns", "/_ccr/auto_follow", "/patterns", "/name")),
    since(8, 8, kind("connectors", "/_connector?size=1000", "/results", "/id")),
    since(7, 3, kind("dataFrameAnalytics", "/_ml/data_frame/analytics?size=1000", "/data_frame_analytics", "/id")),
    since(6, 5, kind("datafeeds", "/_ml/datafeeds", "/datafeeds", "/datafeed_id")),
    since(8, 11, kind("inferenceEndpoints", "/_inference/_all", "/endpoints", "/inference_id")),
    since(8, 11, kind("inferenceEndpoints", "/_inference/_all", "/models", "/model_id")),
    since(7, 12, kind("logstashPipelines", "/_logstash/pipeline", "", "")),
    since(8, 10, kind("queryRules", "/_query_rules?size=1000", "/results", "/ruleset_id")),
    since(6, 5, kind("rollupJobs", "/_rollup/job/_all", "/jobs", "/config/id")),
    since(8, 8, kind("searchApplications", "/_application/search_application?size=1000", "/results", "/name")),
    since(7, 4, kind("snapshotPolicies", "/_slm/policy", "", "")),
    since(7, 10, kind("trainedModels", "/_ml/trained_models?size=1000", "/trained_model_configs", "/model_id")),
    since(7, 5, kind("transforms", "/_transform?size=1000", "/transforms", "/id")),
    since(7, 11, kind("watches", WATCHES, "/watches", "/_id")),
];

const OPENSEARCH: [Kind; 7] = [
    kind("anomalyDetectors", "/_plugins/_anomaly_detection/detectors/_search", "/hits/hits", "/_id"),
    kind("models", "/_plugins/_ml/models/_search", "/hits/hits", "/_source/name"),
    kind("monitors", "/_plugins/_alerting/monitors/_search", "/hits/hits", "/_id"),
    kind("notificationChannels", "/_plugins/_notifications/configs", "/config_list", "/config_id"),
    kind("rollupJobs", "/_plugins/_rollup/jobs?size=1000", "/rollups", "/_id"),
    kind("snapshotPolicies", "/_plugins/_sm/policies?size=1000", "/policies", "/_id"),
    kind("transforms", "/_plugins/_transform?size=1000", "/transforms", "/_id"),
];

const WATCHES: &str = "/_watcher/_query/watches";

/// In place of names.
pub const UNSEEN: &str = "whatever there is, as the user may not see it";

/// By kind, the names of what is there, or [`UNSEEN`]. Without what has a dot in front, which servers bring along.
pub async fn read(client: &Client) -> Result<BTreeMap<String, Vec<String>>> {
    let kinds: Vec<&Kind> = match (client.version().is_elasticsearch(), client.version().oss) {
        (true, true) => BOTH.iter().collect(),
        (true, false) => BOTH.iter().chain(&ELASTICSEARCH).collect(),
        (false, _) => BOTH.iter().chain(&OPENSEARCH).collect(),
    };
    let kinds = kinds.into_iter().filter(|kind| client.version().has_since(kind.since.0, kind.since.1));
    let found = stream::iter(kinds).map(async |kind| (kind, names(client, kind).await));
    let mut found = std::pin::pin!(found.buffered(AT_ONCE));
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    while let Some((kind, names)) = found.next().await {
        all.entry(kind.name.to_owned()).or_default().extend(names?);
    }
    all.retain(|_, names| !names.is_empty());
    for names in all.values_mut() {
        names.sort();
        names.dedup();
    }
    Ok(all)
}

async fn names(client: &Client, kind: &Kind) -> Result<Vec<String>> {
    let (method, body) = match kind.path {
        WATCHES => ("POST", json!({ "size": 1000 })),
        path if path.ends_with("/_search") => ("POST", json!({ "size": 1000, "query": { "match_all": {} } })),
        _ => ("GET", Value::Null),
    };
    let path = kind.path(client.version());
    match client.ask(method, &path, &Body::json(&body)?).await? {
        Ok(mut answer) => Ok(kind.names(&answer.json::<Value>(MAX_ANSWER).await?)),
        // Plugins that were never used have no index to search.
        Err(refusal) if is_unknown(&refusal) => Ok(Vec::new()),
        // Of what the licence does not cover nothing runs.
        Err(refusal) if refusal.reason.contains("license is non-compliant") => Ok(Vec::new()),
        Err(refusal) => {
            let status = refusal.status;
            let refused = refusal.error(&what(method, &path));
            coffer_addon::debug!("whether the server has {} is not known: {refused}", kind.name);
            Ok(vec![match status {
                401 | 403 => UNSEEN.to_owned(),
                status => format!("whatever there is, as the server did not say (status {status})"),
            }])
        }
    }
}

impl Kind {
    /// Before Elasticsearch 7 what has a licence of its own is below a path of its own.
    fn path(&self, version: &Version) -> Cow<'static, str> {
        let is_below = ["/_ml/", "/_rollup/"].iter().any(|folder| self.path.starts_with(folder));
        match version.is_elasticsearch() && version.major < 7 && is_below {
            true => Cow::Owned(self.path.replacen("/_", "/_xpack/", 1)),
            false => Cow::Borrowed(self.path),
        }
    }

    fn names(&self, answer: &Value) -> Vec<String> {
        let named = |entry: &Value| entry.pointer(self.entry).and_then(Value::as_str).map(str::to_owned);
        let names: Vec<String> = match answer.pointer(self.list) {
            Some(Value::Array(list)) => list.iter().filter_map(named).collect(),
            Some(Value::Object(by_name)) if self.entry.is_empty() => by_name.keys().cloned().collect(),
            _ => Vec::new(),
        };
        // The model that comes with every server.
        names.into_iter().filter(|name| !name.starts_with('.') && name != "lang_ident_model_1").collect()
    }
}

/// In a line, for people: what there is, and then the kinds of which that is not known.
pub fn line(not_kept: &BTreeMap<String, Vec<String>>) -> String {
    let is_unseen = |names: &Vec<String>| names.len() == 1 && names.iter().all(|name| name == UNSEEN);
    let seen = not_kept.iter().filter(|(_, names)| !is_unseen(names));
    let mut kinds: Vec<String> =
        seen.map(|(kind, names)| format!("{kind}: {}", coffer_addon::omitted::line(names))).collect();
    let unseen: Vec<&str> = not_kept.iter().filter(|(_, names)| is_unseen(names)).map(|(kind, _)| &**kind).collect();
    if !unseen.is_empty() {
        kinds.push(format!("{}: {UNSEEN}", unseen.join(", ")));
    }
    kinds.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_wherever_a_server_has_them() {
        let names = |name: &str, answer: Value| {
            let kinds = BOTH.iter().chain(&ELASTICSEARCH).chain(&OPENSEARCH);
            kinds.filter(|kind| kind.name == name).flat_map(|kind| kind.names(&answer)).collect::<Vec<_>>()
        };
        assert_eq!(names("snapshotRepositories", json!({ "nightly": { "type": "fs" }, ".own": {} })), ["nightly"]);
        assert_eq!(names("rollupJobs", json!({ "jobs": [{ "config": { "id": "r" } }] })), ["r"]);
        assert_eq!(names("monitors", json!({ "hits": { "hits": [{ "_id": "m" }] } })), ["m"]);
        assert_eq!(names("inferenceEndpoints", json!({ "models": [{ "model_id": "e" }] })), ["e"]);
        assert_eq!(names("watches", json!({ "count": 0 })), [""; 0]);
        let all = [("a", "x"), ("b", UNSEEN), ("c", "y"), ("d", UNSEEN)];
        let all = all.map(|(kind, name)| (kind.to_owned(), vec![name.to_owned()])).into();
        assert_eq!(line(&all), format!("a: x; c: y; b, d: {UNSEEN}"));
        // What a proxy or a server's stand-in may say.
        assert_eq!(names("transforms", json!([1])), [""; 0]);
    }
}
