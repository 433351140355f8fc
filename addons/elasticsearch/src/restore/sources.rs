//! Whether an index that documents go into keeps them as they are: a template of the server's, or whoever made the index, may
//! have said otherwise, and no request is refused for that.

use super::plan::Plan;
use crate::catalog::Found;
use crate::catalog::lossy::lossy;
use crate::client::Client;
use crate::layout::{Definition, Index, IndexDefinition};
use coffer_addon::http::segment;
use coffer_addon::{Error, Result};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct There {
    #[serde(default)]
    settings: BTreeMap<String, Value>,
    mappings: Option<Definition>,
}

/// Fails for an index that would lose of its documents what the dump has of them.
pub async fn check(client: &Client, plan: &Plan, dump: &Index) -> Result<()> {
    for index in plan.indices.iter().filter(|index| index.file.is_some()) {
        let path = format!("/{}?flat_settings=true", segment(&index.target));
        let there: BTreeMap<String, Value> = client.get(&path).await?;
        // One that cannot be read is nothing to be told of here: its documents will be refused.
        let there = there.get(&index.target).and_then(|there| There::deserialize(there).ok());
        let dumped = dump.indices.iter().find(|dumped| dumped.name == index.name);
        let Some(There { settings, mappings }) = there else { continue };
        let Some(lossy) = why(IndexDefinition { settings, mappings, ..IndexDefinition::default() })? else { continue };
        // What is in the dump has been through that already.
        if dumped.cloned().map(why).transpose()?.flatten() == Some(lossy) {
            continue;
        }
        let by = if plan.makes { ", by a template of the server's" } else { "" };
        return Err(Error::InvalidParameter(format!(
            "{} would not keep its documents as they are in the dump: {lossy}{by}; change that, and restore it again",
            index.target
        )));
    }
    Ok(())
}

fn why(definition: IndexDefinition) -> Result<Option<&'static str>> {
    let found = Found { definition, hidden: false, shards: 1, bytes: 0, documents: 0 };
    Ok(lossy(&found)?.map(|lossy| lossy.why))
}
