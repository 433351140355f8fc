//! What belongs to no index: policies, pipelines, scripts and templates.

use super::parameters::Restore;
use super::unfinished::Unfinished;
use crate::client::{Body, Client};
use crate::layout::{Definition, Definitions, Index};
use coffer_addon::http::segment;
use coffer_addon::{Context as _, Error, Result, omitted};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Policy,
    Pipeline,
    Script,
    ComponentTemplate,
    IndexTemplate,
    LegacyTemplate,
}

/// Those that apply to nothing by themselves, in the order in which they need each other.
const BEFORE: [Kind; 3] = [Kind::Policy, Kind::Pipeline, Kind::Script];

/// Those that change indices which are made behind them.
const TEMPLATES: [Kind; 3] = [Kind::ComponentTemplate, Kind::IndexTemplate, Kind::LegacyTemplate];

/// What a server adds by itself.
const OWN_FIELDS: [&str; 4] = ["created_date", "created_date_millis", "modified_date", "modified_date_millis"];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Policy => "lifecycle policy",
            Kind::Pipeline => "ingest pipeline",
            Kind::Script => "script",
            Kind::ComponentTemplate => "component template",
            Kind::IndexTemplate => "index template",
            Kind::LegacyTemplate => "template",
        }
    }

    fn of(self, index: &Index) -> &Definitions {
        match self {
            Kind::Policy => &index.policies,
            Kind::Pipeline => &index.pipelines,
            Kind::Script => &index.scripts,
            Kind::ComponentTemplate => &index.component_templates,
            Kind::IndexTemplate => &index.index_templates,
            Kind::LegacyTemplate => &index.legacy_templates,
        }
    }

    fn path(self, client: &Client, name: &str) -> String {
        let folder = match self {
            Kind::Policy if client.version().is_elasticsearch() => "_ilm/policy",
            Kind::Policy => "_plugins/_ism/policies",
            Kind::Pipeline => "_ingest/pipeline",
            Kind::Script => "_scripts",
            Kind::ComponentTemplate => "_component_template",
            Kind::IndexTemplate => "_index_template",
            Kind::LegacyTemplate => "_template",
        };
        format!("/{folder}/{}", segment(name))
    }

    /// What the server has of that name, as the dump would have it.
    fn there(self, answer: &Value, name: &str) -> Option<Value> {
        let listed = |list: &str, item: &str| answer.get(list)?.get(0)?.get(item).cloned();
        match self {
            Kind::Policy => {
                let policy = answer.get(name).unwrap_or(answer).get("policy")?;
                Some(json!({ "policy": policy }))
            }
            Kind::Pipeline | Kind::LegacyTemplate => answer.get(name).cloned(),
            Kind::Script => answer.get("script").cloned(),
            Kind::ComponentTemplate => listed("component_templates", "component_template"),
            Kind::IndexTemplate => listed("index_templates", "index_template"),
        }
    }
}

/// What has to be put, in this order.
#[derive(Debug, Default)]
pub struct Cluster {
    before: Vec<(Kind, String, Definition)>,
    templates: Vec<(Kind, String, Definition)>,
}

impl Cluster {
    /// Looks at what is there already; changes nothing.
    pub async fn look(client: &Client, index: &Index, parameters: &Restore) -> Result<Cluster> {
        let mut cluster = Cluster::default();
        if !parameters.templates {
            return Ok(cluster);
        }
        if !index.policies.is_empty() && (index.server.flavour == "OpenSearch") == client.version().is_elasticsearch() {
            return Err(Error::Unsupported(format!(
                "the dump has lifecycle policies of {}, which {} does not know: {}; set templates to false, or dump without them",
                index.server.flavour,
                client.version().flavour.name(),
                omitted::line(index.policies.keys())
            )));
        }
        let mut differing = Vec::new();
        for (kinds, to_put) in [(BEFORE, &mut cluster.before), (TEMPLATES, &mut cluster.templates)] {
            for kind in kinds {
                for (name, definition) in kind.of(index) {
                    let found: Option<Value> = client.find(&kind.path(client, name)).await?;
                    let found = found.and_then(|answer| kind.there(&answer, name));
                    let is_same = found.as_ref().is_some_and(|found| is_same(found, definition));
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
            return Ok(cluster);
        }
        Err(Error::InvalidParameter(format!(
            "there is another {}; set overwrite to replace what is there, or templates to false to leave it as it is",
            omitted::line(&differing)
        )))
    }

    pub async fn put_before(&self, client: &Client, unfinished: &Unfinished) -> Result<()> {
        put(client, &self.before, unfinished).await
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
        client.send("PUT", &path, &Body::Json(body.into_bytes())).await.context(failed)?;
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

fn is_same(found: &Value, definition: &Definition) -> bool {
    let clean = |value: &Value| {
        let mut value = value.clone();
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|name, _| !OWN_FIELDS.contains(&name.as_str()));
        }
        value
    };
    definition.value().is_ok_and(|value| clean(&value) == clean(found))
}
