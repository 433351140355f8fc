//! mongodb-wait-ready: an action that ends when the server takes logins and answers.

use crate::client::{Client, Login};
use bson::rawdoc;
use coffer_addon::parameters::WaitReady;
use coffer_addon::{Application, Report, Result, ready};

pub async fn wait_ready(application: Application, parameters: WaitReady) -> Result<Report> {
    let login = Login::of(&application)?;
    let (version, attempts) = ready::wait_ready(parameters.timeout.0, async || {
        let mut client = Client::connect(&application, &login, None).await?;
        client.run("admin", rawdoc! { "ping": 1 }).await?;
        let version = client.version().text.clone();
        client.close().await;
        Ok(version)
    })
    .await?;
    Ok(Report::new().fact("serverVersion", version).fact("attempts", attempts))
}
