//! What Elasticsearch 6.8 knows of what it is asked: the paths that a dump and a restore may use, and their query parameters. As
//! the real one it refuses others. No 6.x runs here; this is by its REST specification.

#![allow(dead_code)]

/// By method and path, whose `*` is a name: the parameters.
const KNOWN: [(&str, &str, &[&str]); 45] = [
    ("GET", "/", &[]),
    ("GET", "/_all", &INDEX),
    ("GET", "/_all/_alias", &["expand_wildcards", "ignore_unavailable", "allow_no_indices", "local"]),
    ("GET", "/_all/_settings/*", &INDEX),
    ("GET", "/_cat/indices", &["format", "h", "bytes", "health", "help", "local", "master_timeout", "pri", "s", "v"]),
    ("GET", "/_ccr/auto_follow", &[]),
    ("GET", "/_cluster/health", &HEALTH),
    ("GET", "/_cluster/health/*", &HEALTH),
    ("GET", "/_cluster/settings", &["flat_settings", "include_defaults", "master_timeout", "timeout"]),
    ("GET", "/_cluster/state/metadata", &["flat_settings", "expand_wildcards", "local", "master_timeout"]),
    ("GET", "/_ilm/policy", &[]),
    ("GET", "/_ilm/policy/*", &[]),
    ("PUT", "/_ilm/policy/*", &[]),
    ("GET", "/_ingest/pipeline", &["master_timeout"]),
    ("GET", "/_ingest/pipeline/*", &["master_timeout"]),
    ("PUT", "/_ingest/pipeline/*", &["master_timeout", "timeout"]),
    ("GET", "/_scripts/*", &[]),
    ("PUT", "/_scripts/*", &["context", "master_timeout", "timeout"]),
    ("DELETE", "/_search/scroll", &[]),
    ("POST", "/_search/scroll", &["scroll"]),
    ("GET", "/_snapshot", &["local", "master_timeout"]),
    ("GET", "/_template", &["flat_settings", "include_type_name", "local", "master_timeout"]),
    ("GET", "/_template/*", &["flat_settings", "include_type_name", "local", "master_timeout"]),
    ("DELETE", "/_template/*", &["master_timeout", "timeout"]),
    ("GET", "/_cat/shards/*", &["format", "h", "bytes", "help", "local", "master_timeout", "s", "v"]),
    ("PUT", "/_template/*", &["create", "include_type_name", "master_timeout", "order", "timeout"]),
    ("GET", "/_xpack/ml/anomaly_detectors", &["allow_no_jobs"]),
    ("GET", "/_xpack/ml/datafeeds", &["allow_no_datafeeds"]),
    ("GET", "/_xpack/rollup/job/_all", &[]),
    ("GET", "/_xpack/security/user/_privileges", &[]),
    ("POST", "/_aliases", &["master_timeout", "timeout"]),
    ("GET", "/*", &INDEX),
    ("PUT", "/*", &["include_type_name", "master_timeout", "timeout", "wait_for_active_shards"]),
    ("DELETE", "/*", &["expand_wildcards", "ignore_unavailable", "master_timeout", "timeout"]),
    ("GET", "/*/_alias", &["expand_wildcards", "ignore_unavailable", "allow_no_indices", "local"]),
    ("POST", "/*/_bulk", &["pipeline", "refresh", "routing", "timeout", "type", "wait_for_active_shards"]),
    ("POST", "/*/_close", &["expand_wildcards", "ignore_unavailable", "master_timeout", "timeout"]),
    ("POST", "/*/_open", &["expand_wildcards", "ignore_unavailable", "master_timeout", "timeout"]),
    ("GET", "/*/_count", &["expand_wildcards", "ignore_throttled", "ignore_unavailable", "routing"]),
    ("POST", "/*/_refresh", &["expand_wildcards", "ignore_unavailable", "allow_no_indices"]),
    ("POST", "/*/_search", &SEARCH),
    ("GET", "/*/_settings", &INDEX),
    ("GET", "/*/_settings/*", &INDEX),
    ("PUT", "/*/_settings", &["flat_settings", "ignore_unavailable", "master_timeout", "preserve_existing", "timeout"]),
    ("POST", "/_cluster/allocation/explain", &["include_disk_info", "include_yes_decisions"]),
];

const INDEX: [&str; 8] = [
    "allow_no_indices",
    "expand_wildcards",
    "flat_settings",
    "ignore_unavailable",
    "include_defaults",
    "include_type_name",
    "local",
    "master_timeout",
];
const HEALTH: [&str; 5] = ["level", "local", "timeout", "wait_for_status", "master_timeout"];
const SEARCH: [&str; 6] =
    ["allow_partial_search_results", "ignore_throttled", "ignore_unavailable", "preference", "routing", "scroll"];

/// Of every request.
const COMMON: [&str; 4] = ["error_trace", "filter_path", "human", "pretty"];

/// Why it refuses what it is asked; none where it does not.
pub fn refusal(method: &str, path: &str, query: &str) -> Option<String> {
    let matching = KNOWN.iter().filter(|(known, pattern, _)| *known == method && matches(pattern, path));
    // One without a name in it comes first, as in the server.
    let Some((_, _, parameters)) = matching.min_by_key(|(_, pattern, _)| pattern.matches('*').count()) else {
        return Some(format!("no handler found for uri [{path}] and method [{method}]"));
    };
    let names = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split('=').next().unwrap_or_default());
    let unknown: Vec<&str> = names.filter(|name| !parameters.contains(name) && !COMMON.contains(name)).collect();
    (!unknown.is_empty()).then(|| format!("request [{path}] contains unrecognized parameter: {unknown:?}"))
}

fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    let is_one = |(pattern, part): (&&str, &&str)| {
        *pattern == *part || *pattern == "*" && (!part.starts_with('_') || *part == "_all")
    };
    pattern.len() == path.len() && pattern.iter().zip(&path).all(is_one)
}
