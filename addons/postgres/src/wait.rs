//! postgres-wait-ready: an action that ends when the server takes logins and answers.

use crate::client::{Client, Login};
use coffer_addon::parameters::WaitReady;
use coffer_addon::{Application, Report, Result, ready};

pub async fn wait_ready(application: Application, parameters: WaitReady) -> Result<Report> {
    let login = Login::from_binding(&application, None)?;
    let (version, attempts) = ready::wait_ready(parameters.timeout.0, async || {
        let mut client = Client::connect(&application, &login).await?;
        client.execute("SELECT 1").await?;
        let version = client.server_version_text().to_string();
        client.close().await;
        Ok(version)
    })
    .await?;
    Ok(Report::new().fact("serverVersion", version).fact("attempts", attempts))
}
