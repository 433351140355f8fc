//! The smallest addon: keeps what the application says until it hangs up.

use coffer_addon::{Addon, Application, Function, Outbox, Report, Result};
use futures::AsyncReadExt;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// The artifact's name.
    #[serde(default = "said")]
    name: String,
}

fn said() -> String {
    "said.txt".into()
}

async fn record(application: Application, outbox: Outbox, parameters: Parameters) -> Result<Report> {
    let mut said = Vec::new();
    application.connect(None).await?.read_to_end(&mut said).await?;
    let receipt = outbox.file(parameters.name).label("mediaType", "text/plain").write_all(&said).await?;
    Ok(Report::new().fact("bytes", receipt.length))
}

pub fn addon() -> Addon {
    Addon::new("recorder", "1.0.0").function(Function::source("record", record))
}

coffer_addon::export!(addon);
