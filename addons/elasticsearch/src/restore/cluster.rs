//! What belongs to no index: pipelines, scripts, templates, policies and the like.

use super::names;
use super::parameters::Restore;
use super::unfinished::Unfinished;
use super::{enrich, once, target, types};
use crate::catalog::around;
use crate::client::{Body, Client, Flavour, Refusal, what};
use crate::layout::{Definition, Definitions, Index};
use coffer_addon::http::segment;
use coffer_addon::{Context as _, Error, Result, omitted};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    SynonymSet,
    Script,
    SearchPipeline,
    Pipeline,
    ComponentTemplate,
    IndexTemplate,
    LegacyTemplate,
    EnrichPolicy,
    /// A pipeline that looks things up by such a policy.
    EnrichingPipeline,
    Policy,
}

/// Those that apply to nothing by themselves, in the order in which they need each other.
const BEFORE: [Kind; 4] = [Kind::SynonymSet, Kind::Script, Kind::SearchPipeline, Kind::Pipeline];

/// Those that change indices which are made behind them.
const TEMPLATES: [Kind; 3] = [Kind::ComponentTemplate, Kind::IndexTemplate, Kind::LegacyTemplate];

/// Those that need indices with all of their documents; and policies, which might end an index that is being filled: ISM's
/// take every new one whose name they know.
const BEHIND: [Kind; 3] = [Kind::EnrichPolicy, Kind::EnrichingPipeline, Kind::Policy];

/// What a server adds by itself.
const OWN_FIELDS: [&str; 4] = ["created_date", "created_date_millis", "modified_date", "modified_date_millis"];

/// The same of ISM's policies.
const OWN_OF_ISM: [&str; 3] = ["policy_id", "last_updated_time", "schema_version"];

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::SynonymSet => "synonym set",
            Kind::Script => "script",
            Kind::SearchPipeline => "search pipeline",
            Kind::Pipeline | Kind::EnrichingPipeline => "ingest pipeline",
            Kind::EnrichPolicy => "enrich policy",
            Kind::Policy => "lifecycle policy",
            Kind::ComponentTemplate => "component template",
            Kind::IndexTemplate => "index template",
            Kind::LegacyTemplate => "template",
        }
    }

    fn of(self, index: &Index) -> &Definitions {
        match self {
            Kind::SynonymSet => &index.synonym_sets,
            Kind::Script => &index.scripts,
            Kind::SearchPipeline => &index.search_pipelines,
            Kind::Pipeline | Kind::EnrichingPipeline => &index.pipelines,
            Kind::EnrichPolicy => &index.enrich_policies,
            Kind::Policy => &index.policies,
            Kind::ComponentTemplate => &index.component_templates,
            Kind::IndexTemplate => &index.index_templates,
            Kind::LegacyTemplate => &index.legacy_templates,
        }
    }

    /// Of one flavour alone.
    fn flavour(self, index: &Index) -> Option<&str> {
        match self {
            Kind::SearchPipeline => Some(Flavour::OpenSearch.name()),
            Kind::SynonymSet | Kind::EnrichPolicy => Some(Flavour::Elasticsearch.name()),
            Kind::Policy => Some(&index.server.flavour),
            _ => None,
        }
    }

    /// Elasticsearch's version that knows it; every OpenSearch does, where it is of that flavour.
    fn since(self) -> (u32, u32) {
        match self {
            Kind::SynonymSet => (8, 10),
            Kind::EnrichPolicy | Kind::EnrichingPipeline => (7, 5),
            Kind::ComponentTemplate | Kind::IndexTemplate => (7, 8),
            Kind::Policy => (6, 6),
            Kind::Script | Kind::SearchPipeline | Kind::Pipeline | Kind::LegacyTemplate => (0, 0),
        }
    }

    /// Of the dump's pipelines, those that need a policy first are a kind of their own.
    fn has(self, definition: &Definition) -> Result<bool> {
        Ok(match self {
            Kind::Pipeline => !is_enriching(&definition.value()?),
            Kind::EnrichingPipeline => is_enriching(&definition.value()?),
            _ => true,
        })
    }

    pub fn path(self, client: &Client, name: &str) -> String {
        let folder = match self {
            Kind::SynonymSet => "_synonyms",
            Kind::Script => "_scripts",
            Kind::SearchPipeline => "_search/pipeline",
            Kind::Pipeline | Kind::EnrichingPipeline => "_ingest/pipeline",
            Kind::EnrichPolicy => "_enrich/policy",
            Kind::Policy if client.version().is_elasticsearch() => "_ilm/policy",
            Kind::Policy => "_plugins/_ism/policies",
            Kind::ComponentTemplate => "_component_template",
            Kind::IndexTemplate => "_index_template",
            Kind::LegacyTemplate => "_template",
        };
        format!("/{folder}/{}", segment(name))
    }

    /// What the server has of that name, as the dump would have it.
    async fn find(self, client: &Client, name: &str) -> Result<Option<Value>> {
        let found: Option<Value> = client.find(&format!("{}{}", self.path(client, name), self.whole())).await?;
        Ok(found.and_then(|answer| self.there(&answer, name)))
    }

    /// Of a set it shows but some rules unless asked for more, and never more than these.
    fn whole(self) -> &'static str {
        if self == Kind::SynonymSet { "?size=10000" } else { "" }
    }

    /// The same, from an answer.
    fn there(self, answer: &Value, name: &str) -> Option<Value> {
        let listed = |list: &str, item: &str| answer.get(list)?.get(0)?.get(item).cloned();
        match self {
            Kind::Policy => {
                let policy = answer.get(name).unwrap_or(answer).get("policy")?;
                Some(json!({ "policy": policy }))
            }
            Kind::Pipeline | Kind::EnrichingPipeline | Kind::SearchPipeline | Kind::LegacyTemplate => {
                answer.get(name).cloned()
            }
            Kind::SynonymSet => Some(json!({ "synonyms_set": answer.get("synonyms_set")? })),
            Kind::EnrichPolicy => {
                let mut policy = listed("policies", "config")?;
                for kind in policy.as_object_mut()?.values_mut().filter_map(Value::as_object_mut) {
                    kind.remove("name");
                }
                Some(policy)
            }
            Kind::Script => answer.get("script").cloned(),
            Kind::ComponentTemplate => listed("component_templates", "component_template"),
            Kind::IndexTemplate => listed("index_templates", "index_template"),
        }
    }
}

/// What has to be put, in this order.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    before: Vec<(Kind, String, Definition)>,
    templates: Vec<(Kind, String, Definition)>,
    behind: Vec<(Kind, String, Definition)>,
    /// What stays as it is on the server though the dump has another, for people.
    pub kept: Vec<String>,
}

impl Cluster {
    /// Looks at what is there already; changes nothing. `is_alike`: the server is of the version that was dumped.
    pub async fn look(client: &Client, index: &Index, parameters: &Restore, is_alike: bool) -> Result<Cluster> {
        let mut cluster = Cluster::default();
        if !parameters.templates {
            return Ok(cluster);
        }
        let own = client.version().flavour.name();
        let (mut differing, mut kept) = (Vec::new(), Vec::new());
        for (kinds, to_put) in [
            (&BEFORE[..], &mut cluster.before),
            (&TEMPLATES[..], &mut cluster.templates),
            (&BEHIND[..], &mut cluster.behind),
        ] {
            for &kind in kinds {
                let definitions = kind.of(index);
                if let Some(flavour) = kind.flavour(index).filter(|flavour| *flavour != own && !definitions.is_empty())
                {
                    return Err(Error::Unsupported(format!(
                        "the dump has a {} of {flavour}, which {own} does not know: {}; set templates to false, or dump without it",
                        kind.name(),
                        omitted::line(definitions.keys())
                    )));
                }
                let (major, minor) = kind.since();
                let is_known = client.version().has_since(major, minor);
                for (name, definition) in definitions {
                    names::check_definition(kind.name(), name)?;
                    if !kind.has(definition)? {
                        continue;
                    }
                    // An old server takes its path for an index's.
                    if !is_known {
                        return Err(Error::Unsupported(format!(
                            "the dump has the {} {name}, and {own} knows such since {major}.{minor}; set templates to false, or \
                             dump without it",
                            kind.name()
                        )));
                    }
                    let definition = &renamed(kind, definition, parameters)?;
                    let definition = match kind {
                        Kind::LegacyTemplate => &types::template(definition, client.version().has_types())
                            .context(|| format!("the mapping of the template {name}"))?,
                        _ => definition,
                    };
                    let found = kind.find(client, name).await?;
                    let is_same = found.as_ref().is_some_and(|found| is_same(found, definition));
                    // Each version brings its own along: neither is an old one put over a new one, nor does it end a restore.
                    let is_settled = is_same || is_alike && parameters.overwrite;
                    if let Some(found) = found.as_ref().filter(|_| !is_settled)
                        && around::is_servers(definition)?
                        && around::is_servers(&Definition::new(found)?)?
                    {
                        kept.push(format!("{} {name} (the server's own)", kind.name()));
                        continue;
                    }
                    if found.is_some() && !is_same && !parameters.overwrite {
                        differing.push(format!("{} {name}", kind.name()));
                    }
                    if !is_same {
                        to_put.push((kind, name.clone(), definition.clone()));
                    }
                }
            }
        }
        if differing.is_empty() {
            if !kept.is_empty() {
                coffer_addon::warn!(
                    "NOT AS IN THE DUMP: {}; where somebody has changed these, that is to be done again, or restored with overwrite \
                     into a server of the version that was dumped",
                    omitted::line(&kept)
                );
            }
            cluster.kept = kept;
            return Ok(cluster);
        }
        Err(Error::InvalidParameter(format!(
            "there is another {}; set overwrite to replace what is there, or templates to false to leave it as it is",
            omitted::line(&differing)
        )))
    }

    pub fn templates(&self) -> &[(Kind, String, Definition)] {
        &self.templates
    }

    pub async fn put_before(&self, client: &Client, unfinished: &Unfinished) -> Result<()> {
        put(client, &self.before, unfinished).await
    }

    /// What another part of the dump comes to, as far as it is not put yet.
    pub fn extend(&mut self, other: Cluster) {
        self.behind.extend(other.behind);
    }

    /// Needs the indices, and their documents found.
    pub async fn put_behind(&self, client: &Client, unfinished: &Unfinished) -> Result<()> {
        put(client, &self.behind, unfinished).await
    }

    /// Indices are made before that: a template is not to change them.
    pub async fn put_templates(&self, client: &Client, unfinished: &Unfinished) -> Result<()> {
        put(client, &self.templates, unfinished).await
    }
}

async fn put(client: &Client, definitions: &[(Kind, String, Definition)], unfinished: &Unfinished) -> Result<()> {
    for (kind, name, definition) in definitions {
        let body = match kind {
            Kind::Script => format!(r#"{{"script":{}}}"#, definition.text()),
            _ => definition.text().to_owned(),
        };
        let mut path = kind.path(client, name);
        if *kind == Kind::Policy && !client.version().is_elasticsearch() {
            path = replacing(client, &path).await?;
        }
        let failed = || format!("unable to make the {} {name}", kind.name());
        if *kind == Kind::EnrichPolicy && kind.find(client, name).await?.is_some() {
            // It cannot be put over another.
            target::delete(client, &path).await.context(failed)?;
        }
        // Some cannot be put over themselves.
        let is_put =
            async |_: &Refusal| Ok(kind.find(client, name).await?.is_some_and(|found| is_same(&found, definition)));
        let put = once::ask(client, "PUT", &path, Some(body.as_bytes()), is_put).await.context(failed)?;
        put.map_err(|refusal| refusal.error(&what("PUT", &path)).context(failed()))?;
        if *kind == Kind::EnrichPolicy {
            // What pipelines look things up in.
            enrich::execute(client, name, &path).await.context(failed)?;
        }
        unfinished.made(format!("{} {name}", kind.name()));
    }
    Ok(())
}

/// Persistent ones, which the dump has flat.
pub async fn put_settings(client: &Client, settings: &BTreeMap<String, Value>) -> Result<()> {
    let body = Body::json(&json!({ "persistent": settings }))?;
    let failed = || "the indices are restored, but the cluster's settings are not";
    client.send("PUT", "/_cluster/settings", &body).await.map(drop).context(failed)
}

/// A policy of ISM is replaced only by who says which one.
async fn replacing(client: &Client, path: &str) -> Result<String> {
    let found: Option<Value> = client.find(path).await?;
    let number = |name: &str| found.as_ref().and_then(|found| found.get(name)).and_then(Value::as_u64);
    Ok(match (number("_seq_no"), number("_primary_term")) {
        (Some(number), Some(term)) => format!("{path}?if_seq_no={number}&if_primary_term={term}"),
        _ => path.to_owned(),
    })
}

/// A policy for lookups says which indices it looks into.
fn renamed(kind: Kind, definition: &Definition, parameters: &Restore) -> Result<Definition> {
    if kind != Kind::EnrichPolicy || parameters.rename.is_empty() {
        return Ok(definition.clone());
    }
    let rename = |name: &mut Value| {
        if let Value::String(text) = name {
            *text = parameters.rename.of(text).into_owned();
        }
    };
    let mut policy = definition.value()?;
    for indices in policy.as_object_mut().into_iter().flat_map(Map::values_mut).filter_map(|of| of.get_mut("indices")) {
        match indices {
            Value::Array(names) => names.iter_mut().for_each(rename),
            name => rename(name),
        }
    }
    Ok(Definition::new(&policy)?)
}

/// Whether there is a processor in it, however deep, that looks things up.
fn is_enriching(value: &Value) -> bool {
    match value {
        Value::Object(fields) => {
            let is_one = |(name, value): (&String, &Value)| {
                name == "enrich" && value.get("policy_name").is_some() || is_enriching(value)
            };
            fields.iter().any(is_one)
        }
        Value::Array(values) => values.iter().any(is_enriching),
        _ => false,
    }
}

fn is_same(found: &Value, definition: &Definition) -> bool {
    let without = |value: &mut Value, own: &[&str]| {
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|name, _| !own.contains(&name.as_str()));
        }
    };
    let clean = |value: &Value| {
        let mut value = value.clone();
        without(&mut value, &OWN_FIELDS);
        if let Some(policy) = value.get_mut("policy") {
            without(policy, &OWN_OF_ISM);
            let patterns = policy.get_mut("ism_template").and_then(Value::as_array_mut);
            patterns.into_iter().flatten().for_each(|pattern| without(pattern, &OWN_OF_ISM));
        }
        value
    };
    definition.value().is_ok_and(|value| clean(&value) == clean(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_adds_makes_no_other() {
        let same = |found: Value, dumped: Value| is_same(&found, &Definition::new(&dumped).expect("JSON"));
        let template = |more: Value| json!([{ "index_patterns": ["a"], "last_updated_time": more }]);
        let found = json!({ "policy": { "policy_id": "p", "states": [], "schema_version": 21, "ism_template": template(json!(7)) } });
        assert!(same(found.clone(), json!({ "policy": { "states": [], "ism_template": template(json!(5)) } })));
        assert!(!same(found, json!({ "policy": { "states": [1] } })));
        assert!(same(json!({ "processors": [], "modified_date": "x" }), json!({ "processors": [] })));
    }

    #[test]
    fn lookups_are_found_however_deep_and_look_into_what_is_there() {
        let deep = json!({ "processors": [{ "foreach": { "processor": { "enrich": { "policy_name": "e" } } } }] });
        assert!(is_enriching(&deep) && !is_enriching(&json!({ "processors": [{ "set": { "field": "enrich" } }] })));
        let parameters = serde_json::from_str(r#"{"rename": {"a-*": "b-*"}}"#).expect("parameters");
        let policy = Definition::new(&json!({ "match": { "indices": ["a-1", "c"] } })).expect("JSON");
        let renamed = renamed(Kind::EnrichPolicy, &policy, &parameters).expect("renamed");
        assert_eq!(renamed.text(), r#"{"match":{"indices":["b-1","c"]}}"#);
    }
}
