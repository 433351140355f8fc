//! postgres-wait-ready: an action that ends when the server takes logins and answers.

use crate::client::{Client, Login};
use crate::parameters::WaitReady;
use coffer_addon::{Application, Error, Report, Result, host};
use futures::future::{Either, select};
use std::pin::pin;
use std::time::{Duration, Instant};

/// Between two attempts. A server that starts is not helped by more.
const PAUSE: Duration = Duration::from_millis(500);

pub async fn wait_ready(application: Application, parameters: WaitReady) -> Result<Report> {
    let login = Login::from_binding(&application, None)?;
    let begin = Instant::now();
    let timeout = parameters.timeout.0;
    let mut attempts = 0u64;
    loop {
        attempts += 1;
        let left = timeout.saturating_sub(begin.elapsed());
        // An attempt may hang as long as it likes; the deadline does not wait for it.
        let outcome = match select(pin!(attempt(&application, &login)), pin!(host::sleep(left))).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Err(Error::Unavailable("the server did not answer".into())),
        };
        match outcome {
            Ok(version) => return Ok(Report::new().fact("serverVersion", version).fact("attempts", attempts)),
            Err(Error::Unavailable(text)) => {
                if begin.elapsed() + PAUSE >= timeout {
                    let seconds = timeout.as_secs_f64();
                    return Err(Error::Unavailable(format!(
                        "not ready after {seconds} s and {attempts} attempts: {text}"
                    )));
                }
                coffer_addon::debug!("not ready yet: {text}");
                host::sleep(PAUSE).await;
            }
            // A wrong password gets no better by waiting.
            Err(error) => return Err(error),
        }
    }
}

async fn attempt(application: &Application, login: &Login) -> Result<String> {
    let mut client = Client::connect(application, login).await?;
    client.execute("SELECT 1").await?;
    let version = client.server_version_text().to_string();
    client.close().await;
    Ok(version)
}
