//! elasticsearch-wait-ready: an action that ends when the server answers and has elected whoever manages the cluster.

use crate::client::Client;
use coffer_addon::parameters::WaitReady;
use coffer_addon::{Application, Error, Report, Result, ready};
use serde_json::Value;

pub async fn wait_ready(application: Application, parameters: WaitReady) -> Result<Report> {
    let http = application.http();
    let (version, attempts) = ready::wait_ready(parameters.timeout.0, async || {
        let client = Client::connect(http.clone()).await?;
        // Red: there are indices that cannot be read. A cluster that a restore is to mend may be that, so it is ready too.
        match client.get::<Value>("/_cluster/health?timeout=1s").await {
            Ok(health) if health.get("number_of_data_nodes").and_then(Value::as_u64) == Some(0) => {
                Err(Error::Unavailable("the cluster has no data node yet".into()))
            }
            // Who may not see the cluster's health may still read its indices.
            Ok(_) | Err(Error::Denied(_)) => Ok(client.version().text.clone()),
            Err(error) => Err(error),
        }
    })
    .await?;
    Ok(Report::new().fact("serverVersion", version).fact("attempts", attempts))
}
