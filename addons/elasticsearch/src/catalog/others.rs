//! What only some servers have and indices or pipelines may need: search pipelines, synonyms, enrich policies.

use super::{Unseen, optional, visible};
use crate::client::Client;
use crate::layout::{Definition, Definitions};
use coffer_addon::http::segment;
use coffer_addon::{Error, Result};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// None of those that the user may not see.
pub type Seen = std::result::Result<Definitions, Unseen>;

/// Of a page: more no server gives.
const PAGE: usize = 10_000;

/// OpenSearch's, by name.
pub async fn search_pipelines(client: &Client) -> Result<Seen> {
    if client.version().is_elasticsearch() || !client.version().is_since(2, 7) {
        return Ok(Ok(Definitions::new()));
    }
    Ok(visible(client, "/_search/pipeline").await?.map(Option::unwrap_or_default))
}

#[derive(Deserialize)]
struct Sets {
    #[serde(default)]
    results: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    synonyms_set: String,
}

#[derive(Deserialize)]
struct Rules {
    #[serde(default)]
    count: usize,
    #[serde(default)]
    synonyms_set: Vec<Box<RawValue>>,
}

/// Elasticsearch's, by name, each as it is put in.
pub async fn synonym_sets(client: &Client) -> Result<Seen> {
    let mut found = Definitions::new();
    if !client.version().is_elasticsearch() || !client.version().is_since(8, 10) {
        return Ok(Ok(found));
    }
    let sets: Option<Sets> = match visible(client, &format!("/_synonyms?size={PAGE}")).await? {
        Ok(sets) => sets,
        Err(unseen) => return Ok(Err(unseen)),
    };
    for Named { synonyms_set: name } in sets.into_iter().flat_map(|found| found.results) {
        let rules: Rules = client.get(&format!("/_synonyms/{}?size={PAGE}", segment(&name))).await?;
        if rules.synonyms_set.len() != rules.count {
            return Err(Error::Unsupported(format!(
                "the set of synonyms {name} has {} rules, of which the server gave {}: {PAGE} is the most that it gives",
                rules.count,
                rules.synonyms_set.len()
            )));
        }
        let body = serde_json::value::to_raw_value(&json!({ "synonyms_set": rules.synonyms_set }))?;
        found.insert(name, Definition(body));
    }
    Ok(Ok(found))
}

#[derive(Deserialize)]
struct Policies {
    #[serde(default)]
    policies: Vec<Policy>,
}

#[derive(Deserialize)]
struct Policy {
    /// By the policy's kind: `match`, `range`, `geo_match`.
    config: Map<String, Value>,
}

/// Elasticsearch's, by name, each as it is put in.
pub async fn enrich_policies(client: &Client) -> Result<Seen> {
    let mut found = Definitions::new();
    if !client.version().is_elasticsearch() || !client.version().is_since(7, 5) || client.version().oss {
        return Ok(Ok(found));
    }
    let policies: Option<Policies> = match visible(client, "/_enrich/policy").await? {
        Ok(policies) => policies,
        Err(unseen) => return Ok(Err(unseen)),
    };
    for Policy { mut config } in policies.into_iter().flat_map(|found| found.policies) {
        let mut name = None;
        for policy in config.values_mut().filter_map(Value::as_object_mut) {
            name = policy.remove("name").and_then(|name| name.as_str().map(str::to_owned));
            policy.remove("elasticsearch_version");
        }
        let name = name.ok_or_else(|| Error::Corrupt("an enrich policy of the server's has no name".into()))?;
        found.insert(name, Definition::new(&Value::Object(config))?);
    }
    Ok(Ok(found))
}

#[derive(Deserialize)]
struct Explained {
    #[serde(rename = "index.plugins.index_state_management.policy_id")]
    policy: Option<String>,
}

/// Names of indices in a path, in bytes: servers take first lines of 4096.
const NAMES: usize = 3000;

/// The policies of ISM that manage these indices, by index; many are asked about at once.
pub async fn ism_policies(client: &Client, indices: &[&str]) -> Result<BTreeMap<String, String>> {
    let mut managed = BTreeMap::new();
    for names in together(indices) {
        if let Some(found) = explain(client, names).await? {
            managed.extend(found);
            continue;
        }
        // One of them may have been deleted meanwhile.
        for name in names {
            managed.extend(explain(client, std::slice::from_ref(name)).await?.into_iter().flatten());
        }
    }
    Ok(managed)
}

/// As many as a path has room for, each time.
fn together<'a, 'b>(mut names: &'b [&'a str]) -> impl Iterator<Item = &'b [&'a str]> {
    std::iter::from_fn(move || {
        let mut length = 0;
        let fits = |name: &&&str| {
            length += segment(name).len() + 1;
            length <= NAMES
        };
        let count = names.iter().take_while(fits).count().max(1);
        let (some, left) = names.split_at_checked(count)?;
        names = left;
        Some(some)
    })
}

/// None where there is no such index.
async fn explain(client: &Client, indices: &[&str]) -> Result<Option<BTreeMap<String, String>>> {
    let names: Vec<String> = indices.iter().map(|name| segment(name)).collect();
    let found: Option<Map<String, Value>> =
        optional(client, &format!("/_plugins/_ism/explain/{}", names.join(","))).await?;
    let Some(mut found) = found else { return Ok(None) };
    let mut managed = BTreeMap::new();
    // An answer has counts beside indices.
    for name in indices {
        let Some(explained) = found.remove(*name) else { continue };
        if let Some(policy) = serde_json::from_value::<Explained>(explained)?.policy {
            managed.insert((*name).to_owned(), policy);
        }
    }
    Ok(Some(managed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_names_go_together_as_fit() {
        let (long, short) = ("l".repeat(NAMES), "s".repeat(NAMES / 3 - 1));
        let names = [long.as_str(), &short, &short, &short, &short, "a"];
        let counts: Vec<usize> = together(&names).map(<[&str]>::len).collect();
        assert_eq!(counts, [1, 3, 2]);
        assert_eq!(together(&[]).count(), 0);
    }
}
