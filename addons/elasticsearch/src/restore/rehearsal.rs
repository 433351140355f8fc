//! What `overwrite` deletes is gone for good: before that, what is to take its place is tried.

use super::cluster::{Cluster, Kind};
use super::plan::{Plan, Planned};
use super::standing::Found;
use super::{once, target};
use crate::client::{Body, Client, what};
use crate::layout::Definition;
use coffer_addon::{Context as _, Error, Result, omitted};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The index that is made and deleted again, and what templates' names begin with; nobody else has such.
const NAME: &str = "coffer-rehearsal-of-a-restore";

/// For nodes to take an index without documents, in seconds. Whether one would is known at once.
const TO_TAKE: u32 = 5;

/// Of index templates: no other is to apply to what they are rehearsed for, and two of the same the server refuses.
const PRIORITY: u64 = 1_000_000_000;

/// Fails when something could not be deleted, or has the name that is needed to try the rest. Changes nothing.
pub async fn check_possible(client: &Client, plan: &Plan, found: &Found) -> Result<()> {
    check_blocks(client, found).await?;
    let is_named = plan.targets().any(|target| target == NAME);
    if is_named || !found.indices.is_empty() && target::count_if_there(client, NAME).await? > 0 {
        return Err(Error::InvalidParameter(format!(
            "an index {NAME} is made and deleted to try what overwrite replaces: no other may have that name; rename it, or leave \
             it out with exclude"
        )));
    }
    Ok(())
}

/// Fails when something could not be made again.
pub async fn rehearse(client: &Client, plan: &Plan, found: &Found) -> Result<()> {
    if !found.is_empty() {
        rehearse_templates(client, &plan.cluster, &plan.origin).await?;
    }
    let mut replaced = plan.indices.iter().filter(|index| found.indices.contains(&index.target)).peekable();
    if replaced.peek().is_some() {
        // A run that was killed may have left it.
        remove(client).await?;
    }
    let mut allocations = BTreeSet::new();
    for index in replaced {
        let tried = match make(client, index, &plan.origin).await {
            // Those that go to the same nodes are taken by the same.
            Ok(true) if allocations.insert(allocation(index)) => check_taken(client, index).await,
            tried => tried.map(drop),
        };
        remove(client).await?;
        tried?;
    }
    Ok(())
}

/// Blocks that keep an index from being deleted.
async fn check_blocks(client: &Client, found: &Found) -> Result<()> {
    if found.indices.is_empty() {
        return Ok(());
    }
    let path = "/_all/_settings/index.blocks.*?flat_settings=true&expand_wildcards=all";
    let blocks: Value = client.get(path).await?;
    let is_set = |name: &str, block: &str| {
        let setting = blocks.get(name).and_then(|index| index.get("settings")).and_then(|index| index.get(block));
        setting.and_then(Value::as_str) == Some("true")
    };
    let is_blocked = |name: &&String| is_set(name, "index.blocks.read_only") || is_set(name, "index.blocks.metadata");
    let blocked: Vec<&String> = found.indices.iter().filter(is_blocked).collect();
    match blocked.is_empty() {
        true => Ok(()),
        false => Err(Error::InvalidParameter(format!(
            "overwrite: index.blocks.read_only or index.blocks.metadata keep these from being replaced: {}; set them to false first",
            omitted::line(&blocked)
        ))),
    }
}

/// Whether the server has made it.
async fn make(client: &Client, index: &Planned, origin: &str) -> Result<bool> {
    let path = format!("/{NAME}?wait_for_active_shards=0");
    match client.ask("PUT", &path, &target::definition(index)?).await? {
        Ok(_) => Ok(true),
        // The server had no time, and made it all the same.
        Err(refusal) if once::is_there(&refusal) => Ok(true),
        // It makes room when it is deleted, which this does not.
        Err(refusal) if refusal.reason.contains("maximum") && refusal.reason.contains("shards open") => Ok(false),
        Err(refusal) => {
            let refused = format!("no index was touched, as {} could not be made again", index.target);
            let error = refusal.error(&what("PUT", &path)).context(refused);
            let advice = "what this server does not know can be left out with omitSettings, or the index with exclude";
            Err(target::of(origin, error.with(advice)))
        }
    }
}

async fn remove(client: &Client) -> Result<()> {
    target::delete(client, &format!("/{NAME}")).await.context(|| "unable to tidy up")
}

/// What decides which nodes take an index.
fn allocation(index: &Planned) -> String {
    let decides = |name: &str| name.starts_with("index.routing.allocation.") || name == "index.number_of_shards";
    let deciding = index.settings.first.iter().filter(|(name, _)| decides(name));
    Value::Object(deciding.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>()).to_string()
}

#[derive(Deserialize)]
struct Shard {
    shard: String,
    prirep: String,
    state: String,
}

#[derive(Deserialize)]
struct Explained {
    #[serde(default)]
    can_allocate: String,
    #[serde(default)]
    node_allocation_decisions: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    #[serde(default)]
    deciders: Vec<Decider>,
}

#[derive(Deserialize)]
struct Decider {
    #[serde(default)]
    decider: String,
    #[serde(default)]
    decision: String,
    #[serde(default)]
    explanation: String,
}

impl Node {
    fn refusals(&self) -> impl Iterator<Item = &Decider> {
        self.deciders.iter().filter(|decider| decider.decision == "NO")
    }

    /// What is deleted makes room.
    fn is_full(&self) -> bool {
        let is_room = |decider: &Decider| match decider.decider.as_str() {
            "disk_threshold" => true,
            "shards_limit" => decider.explanation.contains("cluster setting"),
            _ => false,
        };
        self.refusals().next().is_some() && self.refusals().all(is_room)
    }
}

/// Fails when no node would take the index, however much room there were.
async fn check_taken(client: &Client, index: &Planned) -> Result<()> {
    if target::is_taken(client, NAME, TO_TAKE).await? {
        return Ok(());
    }
    let shards: Vec<Shard> = client.get(&format!("/_cat/shards/{NAME}?format=json&h=shard,prirep,state")).await?;
    let waiting = shards.iter().find(|shard| shard.prirep == "p" && shard.state == "UNASSIGNED");
    let Some(number) = waiting.and_then(|shard| shard.shard.parse::<u32>().ok()) else { return Ok(()) };
    let path = "/_cluster/allocation/explain";
    let asked = json!({ "index": NAME, "shard": number, "primary": true });
    let explained: Explained = match client.ask("POST", path, &Body::json(&asked)?).await? {
        Ok(mut answer) => answer.json(16 << 20).await?,
        // It has been taken meanwhile.
        Err(refusal) if refusal.status == 400 => return Ok(()),
        Err(refusal) => return Err(refusal.error(&what("POST", path))),
    };
    let nodes = &explained.node_allocation_decisions;
    if explained.can_allocate != "no" || nodes.iter().any(Node::is_full) {
        return Ok(());
    }
    let why = nodes.iter().flat_map(Node::refusals).map(|decider| decider.explanation.as_str());
    let why: BTreeSet<&str> = why.collect();
    Err(Error::InvalidParameter(format!(
        "no index was touched, as {} could not be made again: no node would take its shards ({}); its index.routing.allocation \
         settings can be left out with omitSettings, or the index with exclude",
        index.target,
        omitted::line(&why)
    )))
}

/// Puts the dump's templates under other names, for indices that there are not.
async fn rehearse_templates(client: &Client, cluster: &Cluster, origin: &str) -> Result<()> {
    let templates = cluster.templates();
    if templates.is_empty() {
        return Ok(());
    }
    // A run that was killed may have left some.
    remove_templates(client, templates).await?;
    let tried = put_templates(client, templates, origin).await;
    remove_templates(client, templates).await?;
    tried
}

async fn put_templates(client: &Client, templates: &[(Kind, String, Definition)], origin: &str) -> Result<()> {
    let named = |number: usize| format!("{NAME}-{number}");
    let parts = templates.iter().enumerate().filter(|(_, (kind, ..))| *kind == Kind::ComponentTemplate);
    let parts: BTreeMap<&str, String> = parts.map(|(number, (_, name, _))| (name.as_str(), named(number))).collect();
    for (number, (kind, name, definition)) in templates.iter().enumerate() {
        let path = kind.path(client, &named(number));
        let mut body = definition.value()?;
        if let Some(fields) = body.as_object_mut().filter(|_| *kind != Kind::ComponentTemplate) {
            fields.insert("index_patterns".into(), json!([named(number)]));
            if *kind == Kind::IndexTemplate {
                fields.insert("priority".into(), json!(PRIORITY));
            }
            for list in ["composed_of", "ignore_missing_component_templates"] {
                let names = fields.get_mut(list).and_then(Value::as_array_mut);
                for name in names.into_iter().flatten() {
                    if let Some(part) = name.as_str().and_then(|name| parts.get(name)) {
                        *name = part.as_str().into();
                    }
                }
            }
        }
        if let Err(refusal) = client.ask("PUT", &path, &Body::json(&body)?).await? {
            let refused = format!("no index was touched, as the {} {name} could not be put", kind.name());
            let error = refusal.error(&what("PUT", &path)).context(refused);
            return Err(target::of(origin, error.with("templates are left out where templates is set to false")));
        }
    }
    Ok(())
}

/// Those that are made of others first.
async fn remove_templates(client: &Client, templates: &[(Kind, String, Definition)]) -> Result<()> {
    let kinds = [
        (Kind::IndexTemplate, "/_index_template"),
        (Kind::ComponentTemplate, "/_component_template"),
        (Kind::LegacyTemplate, "/_template"),
    ];
    for (_, folder) in kinds.iter().filter(|(kind, _)| templates.iter().any(|(other, ..)| other == kind)) {
        target::delete(client, &format!("{folder}/{NAME}-*")).await.context(|| "unable to tidy up")?;
    }
    Ok(())
}
