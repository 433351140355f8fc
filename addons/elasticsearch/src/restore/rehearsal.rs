//! What `overwrite` deletes is gone for good: before that, what is to take its place is tried.

use super::plan::{Plan, Planned};
use super::standing::Found;
use super::{once, target};
use crate::client::{Client, what};
use coffer_addon::{Context as _, Error, Result, omitted};
use serde_json::Value;

/// The index that is made and deleted again; nobody else's has this name.
const NAME: &str = "coffer-rehearsal-of-a-restore";

/// Fails when something could not be deleted, or not be made again.
pub async fn rehearse(client: &Client, plan: &Plan, found: &Found) -> Result<()> {
    check_blocks(client, found).await?;
    let mut replaced = plan.indices.iter().filter(|index| found.indices.contains(&index.target)).peekable();
    if replaced.peek().is_some() {
        // A run that was killed may have left it.
        remove(client).await?;
    }
    for index in replaced {
        let tried = make(client, index, &plan.origin).await;
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

async fn make(client: &Client, index: &Planned, origin: &str) -> Result<()> {
    let path = format!("/{NAME}?wait_for_active_shards=0");
    match client.ask("PUT", &path, &target::definition(index)?).await? {
        Ok(_) => Ok(()),
        // The server had no time, and made it all the same.
        Err(refusal) if once::is_there(&refusal) => Ok(()),
        // It makes room when it is deleted, which this does not.
        Err(refusal) if refusal.reason.contains("maximum shards open") => Ok(()),
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
