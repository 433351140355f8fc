//! A point in time of an index: what was in it when it was opened, however long that is read.

use super::contexts::{Context, Contexts};
use crate::catalog::Found;
use crate::client::error::SHARDS;
use crate::client::{Body, Client, Refusal};
use coffer_addon::http::segment;
use coffer_addon::{Error, Result};
use serde::Deserialize;

#[derive(Deserialize)]
struct Opened {
    /// Elasticsearch's.
    id: Option<String>,
    /// OpenSearch's.
    pit_id: Option<String>,
    #[serde(rename = "_shards")]
    shards: Option<Shards>,
}

#[derive(Deserialize)]
struct Shards {
    failed: u64,
}

/// Opens a point in time. The server's refusal is for the caller: some do not know what that is.
pub async fn open(client: &Client, contexts: &Contexts, found: &Found) -> Result<Result<u64, Refusal>> {
    let index = segment(found.name());
    let keep_alive = contexts.pit_keep_alive();
    let path = match client.version().is_elasticsearch() {
        true => format!("/{index}/_pit?keep_alive={keep_alive}{}", frozen(client, found)),
        false => format!("/{index}/_search/point_in_time?keep_alive={keep_alive}&allow_partial_pit_creation=false"),
    };
    let _opening = contexts.opening().await;
    let mut answer = match client.ask("POST", &path, &Body::None).await? {
        Ok(answer) => answer,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let opened: Opened = answer.json(1 << 20).await?;
    let Some(id) = opened.id.or(opened.pit_id) else {
        return Err(Error::Corrupt("the server opened a point in time and gave no id of it".into()));
    };
    let key = contexts.add(Context::Pit(id));
    if opened.shards.is_some_and(|shards| shards.failed > 0) {
        return Err(Error::Unavailable(format!("not all shards have opened a point in time; {SHARDS}")));
    }
    Ok(Ok(key))
}

/// Frozen indices are passed over in silence unless one says so. Since Elasticsearch 8 there are none.
pub fn frozen(client: &Client, found: &Found) -> &'static str {
    let is_frozen = found.setting("index.frozen") == Some("true");
    if is_frozen && client.version().major < 8 { "&ignore_throttled=false" } else { "" }
}
