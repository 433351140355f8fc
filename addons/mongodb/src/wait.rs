//! mongodb-wait-ready: an action that ends when a server that can be read from takes logins and answers.
//!
//! Of a replica set that is the member that a dump would read. A restore needs the primary, and says so itself when there is
//! none: that can be tried again, too.

use crate::client::{Client, Login, Members, ReadPreference};
use bson::rawdoc;
use coffer_addon::parameters::WaitReady;
use coffer_addon::{Application, Report, Result, ready};

pub async fn wait_ready(application: Application, parameters: WaitReady) -> Result<Report> {
    let login = Login::of(&application)?;
    let (version, attempts) = ready::wait_ready(parameters.timeout.0, async || {
        let members = Members::ask(&application, &login).await?;
        let member = members.choose(ReadPreference::SecondaryPreferred)?;
        let mut client = Client::connect(&application, &login, Some(&member.endpoint)).await?;
        client.run("admin", rawdoc! { "ping": 1 }).await?;
        let version = client.version().text.clone();
        client.close().await;
        Ok(version)
    })
    .await?;
    Ok(Report::new().fact("serverVersion", version).fact("attempts", attempts))
}
