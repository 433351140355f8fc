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
    if client.version().oss {
        return Ok(Some(Vec::new()));
    }
    let is_new = client.version().is_since(7, 0);
    let path = if is_new { "/_security/user/_privileges" } else { "/_xpack/security/user/_privileges" };
    match client.try_get(path).await? {
        Ok(answer) => Ok(Some(restricted(&answer, found))),
        // An old one may take it for a user's name, of whom there is none.
        Err(refusal) if !is_new && refusal.status == 404 => Ok(None),
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

/// A pattern between slashes is a regular expression.
fn is_expression(pattern: &str) -> bool {
    pattern.starts_with('/')
}

/// Privileges are for an index's name or that of its data stream.
fn concerns(pattern: &str, found: &Found) -> bool {
    let patterns = Patterns::from_iter([pattern]);
    let stream = found.definition.data_stream.as_deref();
    patterns.matches(found.name()) || stream.is_some_and(|name| patterns.matches(name))
}

/// Patterns of a role that hides something of one of these indices, of which no other role shows all. What a regular expression
/// means is not looked at: it may hide something of any, and shows all of none.
fn restricted(privileges: &Value, found: &[Found]) -> Vec<String> {
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
    let is_whole = |found: &Found| whole.iter().any(|pattern| !is_expression(pattern) && concerns(pattern, found));
    let hides = |pattern: &str, found: &Found| is_expression(pattern) || concerns(pattern, found);
    let part = entries().filter(|entry| is_part(entry)).flat_map(names);
    part.filter(|pattern| found.iter().any(|found| hides(pattern, found) && !is_whole(found))).collect()
}

fn reads(entry: &Value) -> bool {
    let privileges = entry.get("privileges").and_then(Value::as_array).into_iter().flatten();
    privileges.filter_map(Value::as_str).any(|name| matches!(name, "read" | "all"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::IndexDefinition;
    use serde_json::json;

    #[test]
    fn only_what_no_role_shows_whole_is_restricted() {
        let entry = |names: &[&str], query: Value, fields: Value| json!({ "names": names, "privileges": ["read"], "query": query, "field_security": fields });
        let part = entry(&["a", "b"], json!(["{}"]), Value::Null);
        let fields = entry(&["c"], Value::Null, json!([{ "grant": ["x"], "except": [] }]));
        let whole = entry(&["b"], Value::Null, Value::Null);
        let index = |name: &str| Found {
            definition: IndexDefinition { name: name.into(), ..IndexDefinition::default() },
            hidden: false,
            shards: 1,
            bytes: 0,
            documents: 0,
        };
        let all = ["a", "b", "c", "shop-1", "shop-2"].map(index);
        let restricted = |entries: &[&Value]| super::restricted(&json!({ "indices": entries }), &all);
        assert_eq!(restricted(&[&part, &fields, &whole]), ["a", "c"]);
        assert!(super::restricted(&json!({ "indices": [part] }), &[index("x")]).is_empty());
        let everything = entry(&["*"], Value::Null, json!([]));
        assert!(restricted(&[&part, &everything]).is_empty() && restricted(&[]).is_empty());
        // By patterns, of whichever role.
        let one = entry(&["shop-1"], json!(["{}"]), Value::Null);
        let shop = entry(&["shop-*"], Value::Null, Value::Null);
        assert!(restricted(&[&one, &shop]).is_empty());
        let only = entry(&["shop-2"], Value::Null, Value::Null);
        let some = entry(&["shop-*"], json!(["{}"]), Value::Null);
        assert_eq!(restricted(&[&some, &only]), ["shop-*"], "of shop-1");
        assert!(restricted(&[&some, &only, &entry(&["*-1"], Value::Null, Value::Null)]).is_empty());
        // Nobody knows what these mean.
        let expression = entry(&["/shop-.*/"], json!(["{}"]), Value::Null);
        assert_eq!(restricted(&[&expression]), ["/shop-.*/"]);
        assert_eq!(restricted(&[&one, &entry(&["/.*/"], Value::Null, Value::Null)]), ["shop-1"]);
    }
}
