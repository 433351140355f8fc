//! What a user's role hides of documents and fields: the server leaves it out of its answers without a word.

use super::security::Security;
use super::{Found, is_unknown};
use crate::client::Client;
use coffer_addon::Result;
use coffer_addon::parameters::Patterns;
use serde_json::Value;

/// Patterns of those of these indices of which the user is shown a part only. None where the server does not say: most users of
/// OpenSearch, API keys.
pub async fn indices(client: &Client, security: &Security, found: &[Found]) -> Result<Option<Vec<String>>> {
    if !client.version().is_elasticsearch() {
        return Ok(security.shows_whole().then(Vec::new));
    }
    if client.version().oss || !client.version().is_since(6, 6) {
        return Ok(Some(Vec::new()));
    }
    match client.try_get("/_security/user/_privileges").await? {
        Ok(answer) => {
            let mut patterns = restricted(&answer);
            patterns.retain(|pattern| found.iter().any(|found| concerns(pattern, found)));
            Ok(Some(patterns))
        }
        // It is turned off.
        Err(refusal) if is_unknown(&refusal) || refusal.reason.contains("ecurity must be explicitly enabled") => {
            Ok(Some(Vec::new()))
        }
        Err(refusal) => {
            coffer_addon::debug!("whether the user's role hides something is not known: {}", refusal.reason);
            Ok(None)
        }
    }
}

/// Privileges are for an index's name or that of its data stream. A pattern between slashes is a regular expression, which may
/// mean any.
fn concerns(pattern: &str, found: &Found) -> bool {
    let patterns = Patterns::from_iter([pattern]);
    let stream = found.definition.data_stream.as_deref();
    pattern.starts_with('/') || patterns.matches(found.name()) || stream.is_some_and(|name| patterns.matches(name))
}

fn restricted(privileges: &Value) -> Vec<String> {
    let entries = || privileges.get("indices").and_then(Value::as_array).into_iter().flatten();
    let is_set = |entry: &Value, name: &str| {
        entry
            .get(name)
            .is_some_and(|value| !matches!(value, Value::Null) && value.as_array().is_none_or(|list| !list.is_empty()))
    };
    let names = |entry: &Value| -> Vec<String> {
        let names = entry.get("names").and_then(Value::as_array).into_iter().flatten();
        names.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let is_part = |entry: &Value| is_set(entry, "field_security") || is_set(entry, "query");
    // Who may see all by another role sees all.
    let whole: Vec<String> = entries().filter(|entry| !is_part(entry) && reads(entry)).flat_map(names).collect();
    let part = entries().filter(|entry| is_part(entry)).flat_map(names);
    part.filter(|name| !whole.contains(name) && !whole.iter().any(|name| name == "*")).collect()
}

fn reads(entry: &Value) -> bool {
    let privileges = entry.get("privileges").and_then(Value::as_array).into_iter().flatten();
    privileges.filter_map(Value::as_str).any(|name| matches!(name, "read" | "all"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_no_role_shows_whole_is_restricted() {
        let entry = |names: &[&str], query: Value, fields: Value| json!({ "names": names, "privileges": ["read"], "query": query, "field_security": fields });
        let part = entry(&["a", "b"], json!(["{}"]), Value::Null);
        let fields = entry(&["c"], Value::Null, json!([{ "grant": ["x"], "except": [] }]));
        let whole = entry(&["b"], Value::Null, Value::Null);
        assert_eq!(restricted(&json!({ "indices": [part, fields, whole] })), ["a", "c"]);
        let all = entry(&["*"], Value::Null, json!([]));
        assert!(restricted(&json!({ "indices": [part, all] })).is_empty() && restricted(&json!({})).is_empty());
    }
}
