//! Enrich policies, which are run when they are made: what pipelines look things up in is copied from the indices then.

use crate::client::Client;
use coffer_addon::http::segment;
use coffer_addon::{Error, Result, host};
use serde_json::Value;
use std::time::Duration;

/// Between two looks at whether an enrich policy still runs: at first, and at most.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What an enrich policy's run says of itself when it is over.
const ENDS: [&str; 3] = ["COMPLETE", "FAILED", "CANCELLED"];

/// Runs an enrich policy, however long that takes: no request is waited for as long as that may be.
pub async fn execute(client: &Client, name: &str, path: &str) -> Result<()> {
    let begun: Value = client.post(&format!("{path}/_execute?wait_for_completion=false"), &()).await?;
    let Some(task) = begun.get("task").and_then(Value::as_str) else { return Ok(()) };
    let task = format!("/_tasks/{}", segment(task));
    let mut pause = FIRST_LOOK;
    // One that has come to its end the server forgets.
    while let Some(found) = client.find::<Value>(&task).await? {
        let phase = found.pointer("/task/status/phase").and_then(Value::as_str).unwrap_or_default();
        if found.get("completed").and_then(Value::as_bool) == Some(true) || ENDS.contains(&phase) {
            break;
        }
        host::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    // It says nowhere what has come of it, but by what it makes.
    match client.try_get::<Value>(&format!("/{}/_alias", segment(&format!(".enrich-{name}")))).await? {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.status == 404 => Err(Error::Failed(format!(
            "it was put, and running it has come to nothing: the server's log says why, and POST {path}/_execute runs it again"
        ))),
        Err(refusal) => {
            coffer_addon::warn!("whether the enrich policy {name} has run is not known: {}", refusal.reason);
            Ok(())
        }
    }
}
