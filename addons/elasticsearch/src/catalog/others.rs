//! What only some servers have and indices or pipelines may need: search pipelines, synonyms, enrich policies.

use super::{Unseen, optional, visible};
use crate::client::Client;
use crate::layout::{Definition, Definitions};
use coffer_addon::http::segment;
use coffer_addon::{Error, Result};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

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

/// The policy of ISM that manages an index. An answer has counts beside indices.
pub async fn ism_policy(client: &Client, index: &str) -> Result<Option<String>> {
    let path = format!("/_plugins/_ism/explain/{}", segment(index));
    let Some(mut found): Option<Map<String, Value>> = optional(client, &path).await? else { return Ok(None) };
    let Some(explained) = found.remove(index) else { return Ok(None) };
    Ok(serde_json::from_value::<Explained>(explained)?.policy)
}
