//! Templates, pipelines, scripts, policies, and the cluster's settings: what users made, not what the server brings along.

use super::needed::Needed;
use super::{Unseen, optional, others};
use crate::client::Client;
use crate::layout::{Definition, Definitions};
use coffer_addon::Result;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// What a server adds to what it was given.
const ADDED: [&str; 4] = ["created_date", "created_date_millis", "modified_date", "modified_date_millis"];

/// ISM's of one page.
const POLICIES: usize = 500;

/// Everything around the indices.
#[derive(Debug, Default)]
pub struct Around {
    pub policies: Definitions,
    pub component_templates: Definitions,
    pub index_templates: Definitions,
    pub legacy_templates: Definitions,
    pub pipelines: Definitions,
    pub scripts: Definitions,
    pub search_pipelines: Definitions,
    pub synonym_sets: Definitions,
    pub enrich_policies: Definitions,
    pub cluster_settings: BTreeMap<String, Value>,
    /// Kinds of which the user may not see whether there are any.
    pub unseen: Vec<&'static str>,
    /// By kind, what others than the server manage (Fleet), and nothing that is dumped needs.
    pub left: BTreeMap<&'static str, Vec<String>>,
}

/// `hidden`: also what has a dot in front. `settings`: the cluster's as well. What is needed is there in any case; of what the
/// server brings along nothing else is.
pub async fn read(client: &Client, mut needed: Needed, hidden: bool, settings: bool) -> Result<Around> {
    let mut around = Around {
        policies: policies(client).await?,
        legacy_templates: optional(client, "/_template").await?.unwrap_or_default(),
        pipelines: optional(client, "/_ingest/pipeline").await?.unwrap_or_default(),
        scripts: scripts(client).await?,
        ..Around::default()
    };
    let mut unseen = Vec::new();
    for (kind, into, found) in [
        ("searchPipelines", &mut around.search_pipelines, others::search_pipelines(client).await?),
        ("synonymSets", &mut around.synonym_sets, others::synonym_sets(client).await?),
        ("enrichPolicies", &mut around.enrich_policies, others::enrich_policies(client).await?),
    ] {
        match found {
            Ok(found) => *into = found,
            Err(Unseen) => unseen.push(kind),
        }
    }
    around.unseen = unseen;
    // Where there are none of them, such a request may create an index elsewhere: they are asked only of those that know them.
    if client.version().has_since(7, 8) {
        let found: Option<Components> = optional(client, "/_component_template").await?;
        let named = |entry: Component| (entry.name, entry.component_template);
        around.component_templates = found.into_iter().flat_map(|found| found.component_templates).map(named).collect();
        let found: Option<Templates> = optional(client, "/_index_template").await?;
        let named = |entry: Template| (entry.name, entry.index_template);
        around.index_templates = found.into_iter().flat_map(|found| found.index_templates).map(named).collect();
    }
    needed.follow(&around)?;
    let none = BTreeSet::new();
    let left = &mut around.left;
    for (kind, definitions, needed) in [
        ("policies", &mut around.policies, &needed.policies),
        ("componentTemplates", &mut around.component_templates, &needed.component_templates),
        ("indexTemplates", &mut around.index_templates, &needed.index_templates),
        ("legacyTemplates", &mut around.legacy_templates, &none),
        ("pipelines", &mut around.pipelines, &needed.pipelines),
        ("scripts", &mut around.scripts, &none),
        ("searchPipelines", &mut around.search_pipelines, &none),
        ("synonymSets", &mut around.synonym_sets, &none),
        ("enrichPolicies", &mut around.enrich_policies, &none),
    ] {
        let mut kept = Definitions::new();
        for (name, definition) in std::mem::take(definitions) {
            let is_seen = hidden || !name.starts_with('.');
            let is_kept = match manager(&definition)? {
                Manager::User => is_seen || needed.contains(&name),
                // Somebody may have changed what the server brought along, and it is still marked.
                Manager::Other | Manager::Server => needed.contains(&name),
            };
            if is_kept {
                kept.insert(name, without_added(definition)?);
            } else if is_seen && manager(&definition)? == Manager::Other {
                left.entry(kind).or_default().push(name);
            }
        }
        *definitions = kept;
    }
    if settings {
        let found: ClusterSettings = client.get("/_cluster/settings?flat_settings=true").await?;
        around.cluster_settings = found.persistent;
    }
    Ok(around)
}

#[derive(Deserialize)]
struct Components {
    component_templates: Vec<Component>,
}

#[derive(Deserialize)]
struct Component {
    name: String,
    component_template: Definition,
}

#[derive(Deserialize)]
struct Templates {
    index_templates: Vec<Template>,
}

#[derive(Deserialize)]
struct Template {
    name: String,
    index_template: Definition,
}

#[derive(Deserialize)]
struct ClusterSettings {
    #[serde(default)]
    persistent: BTreeMap<String, Value>,
}

#[derive(Default, Deserialize)]
struct State {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    stored_scripts: Definitions,
}

/// There is no other way to see all of them.
async fn scripts(client: &Client) -> Result<Definitions> {
    let state: State = client.get("/_cluster/state/metadata?filter_path=metadata.stored_scripts").await?;
    Ok(state.metadata.stored_scripts)
}

#[derive(Deserialize)]
struct Ilm {
    policy: Box<RawValue>,
}

#[derive(Deserialize)]
struct Ism {
    policies: Vec<IsmPolicy>,
}

#[derive(Deserialize)]
struct IsmPolicy {
    #[serde(rename = "_id")]
    id: String,
    policy: BTreeMap<String, Value>,
}

/// Each in the form that it is put in.
async fn policies(client: &Client) -> Result<Definitions> {
    let mut policies = Definitions::new();
    if client.version().is_elasticsearch() {
        if !client.version().is_since(6, 6) || client.version().oss {
            return Ok(policies);
        }
        let found: Option<BTreeMap<String, Ilm>> = optional(client, "/_ilm/policy").await?;
        for (name, ilm) in found.unwrap_or_default() {
            let body = BTreeMap::from([("policy", ilm.policy)]);
            policies.insert(name, Definition(serde_json::value::to_raw_value(&body)?));
        }
        return Ok(policies);
    }
    loop {
        let path = format!("/_plugins/_ism/policies?size={POLICIES}&from={}", policies.len());
        let Some(page): Option<Ism> = optional(client, &path).await? else { break };
        let count = page.policies.len();
        for mut ism in page.policies {
            for own in ["policy_id", "last_updated_time", "schema_version"] {
                ism.policy.remove(own);
            }
            let body = BTreeMap::from([("policy", ism.policy)]);
            policies.insert(ism.id, Definition(serde_json::value::to_raw_value(&body)?));
        }
        if count < POLICIES {
            break;
        }
    }
    Ok(policies)
}

#[derive(Default, Deserialize)]
struct Marked {
    #[serde(rename = "_meta")]
    meta: Option<Value>,
    policy: Option<Box<Marked>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    User,
    /// Another program, as Fleet. A new server does not have it.
    Other,
    /// It brings it along.
    Server,
}

/// Whom it says that it is managed by: a server names nobody.
fn manager(definition: &Definition) -> Result<Manager> {
    let marked: Marked = serde_json::from_str(definition.text())?;
    let metas = [marked.meta, marked.policy.and_then(|policy| policy.meta)];
    let managed = metas.iter().flatten().find(|meta| meta.get("managed").and_then(Value::as_bool) == Some(true));
    Ok(match managed.map(|meta| meta.get("managed_by").and_then(Value::as_str).unwrap_or_default()) {
        None => Manager::User,
        Some("") => Manager::Server,
        Some(_) => Manager::Other,
    })
}

/// Whether it is what every server brings along, by its mark.
pub fn is_servers(definition: &Definition) -> Result<bool> {
    Ok(manager(definition)? == Manager::Server)
}

fn without_added(definition: Definition) -> Result<Definition> {
    let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(definition.text())?;
    let before = fields.len();
    fields.retain(|name, _| !ADDED.contains(&name.as_str()));
    if fields.len() == before {
        return Ok(definition);
    }
    Ok(Definition(serde_json::value::to_raw_value(&fields)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_adds_is_left_out_and_the_rest_stays_as_it_is() {
        let with = r#"{"template":{"b":1.0, "a":2},"modified_date_millis":7,"created_date":"x"}"#;
        let definition: Definition = serde_json::from_str(with).expect("readable");
        assert_eq!(without_added(definition).expect("readable").text(), r#"{"template":{"b":1.0, "a":2}}"#);
    }

    #[test]
    fn what_is_managed_by_nobody_is_the_servers() {
        let manager = |text: &str| manager(&serde_json::from_str(text).expect("readable")).expect("readable");
        assert_eq!(manager(r#"{"_meta":{"managed":true}}"#), Manager::Server);
        assert_eq!(manager(r#"{"policy":{"phases":{},"_meta":{"managed":true}}}"#), Manager::Server);
        assert_eq!(manager(r#"{"_meta":{"managed":true,"managed_by":"fleet"}}"#), Manager::Other);
        assert_eq!([manager(r#"{"_meta":{"by":"me"}}"#), manager("{}")], [Manager::User; 2]);
    }
}
