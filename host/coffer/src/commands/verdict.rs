//! What the server says of BackupConfigurations that were just applied: only it knows the Tasks and the Functions they name,
//! and an unknown parameter should be told to who wrote it, not to who is called at night.

use crate::connect::Connection;
use crate::failure::{Failure, OrFail, Result};
use crate::output::Printer;
use coffer_api::{BackupConfiguration, BackupConfigurationStatus, ConfigurationPhase};
use kube::api::DynamicObject;
use kube::{Api, ResourceExt};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const POLL: Duration = Duration::from_millis(100);
/// A verdict from before what was applied with it is corrected by then.
const SETTLE: Duration = Duration::from_secs(1);
/// What is missing may still be on its way, such as a repository that is being made. Nobody waits longer for an apply.
const PATIENCE: Duration = Duration::from_secs(3);

/// Waits a little for the verdict on each of `written`.
///
/// # Errors
/// When one of them is invalid. What was written stays.
pub async fn wait(connection: &Connection, written: &[DynamicObject], printer: Printer) -> Result<()> {
    let started = Instant::now();
    let mut invalid: Option<Failure> = None;
    for object in written {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let label = format!("BackupConfiguration {namespace}/{name}");
        let api: Api<BackupConfiguration> = Api::namespaced(connection.client.clone(), &namespace);
        let status = loop {
            let now = api.get_opt(&name).await.or_fail(|| format!("unable to read {label}"))?;
            // Deleted meanwhile.
            let Some(now) = now else { break None };
            let status = now.status.unwrap_or_default();
            if is_settled(&status, object.metadata.generation, started.elapsed()) {
                break Some(status);
            }
            sleep(POLL).await;
        };
        let Some(status) = status else { continue };
        if status.observed_generation < object.metadata.generation {
            printer.note(format_args!("{label} is not checked yet: see `coffer describe bc {name} -n {namespace}`"));
            continue;
        }
        let (message, hint) = status.error.map(|error| (error.message, error.hint)).unwrap_or_default();
        match status.phase {
            ConfigurationPhase::Invalid => {
                let failure = invalid.get_or_insert_with(|| Failure::new("what was written cannot work"));
                failure.causes.push(format!("{label}: {message}"));
                failure.hint = failure.hint.take().or(hint);
            }
            ConfigurationPhase::NotReady => {
                let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                printer.warning(format_args!("{label} is not ready: {message}{hint}"));
            }
            ConfigurationPhase::Ready | ConfigurationPhase::Pending => {}
        }
    }
    invalid.map_or(Ok(()), Err)
}

/// Whether there is nothing to wait for any more.
fn is_settled(status: &BackupConfigurationStatus, generation: Option<i64>, waited: Duration) -> bool {
    let observed = status.observed_generation >= generation;
    waited >= PATIENCE
        || match status.phase {
            ConfigurationPhase::Ready => observed,
            ConfigurationPhase::Invalid => observed && waited >= SETTLE,
            ConfigurationPhase::NotReady | ConfigurationPhase::Pending => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_counts_when_it_speaks_of_what_was_written_and_had_time_to_settle() {
        let settled = |phase, observed, seconds| {
            let status = BackupConfigurationStatus {
                phase,
                observed_generation: observed,
                ..BackupConfigurationStatus::default()
            };
            is_settled(&status, Some(2), Duration::from_secs(seconds))
        };
        assert!(settled(ConfigurationPhase::Ready, Some(2), 0));
        assert!(!settled(ConfigurationPhase::Ready, Some(1), 0), "that is what was there before");
        assert!(!settled(ConfigurationPhase::Ready, None, 0));
        assert!(!settled(ConfigurationPhase::Invalid, Some(2), 0));
        assert!(settled(ConfigurationPhase::Invalid, Some(2), 2));
        assert!(!settled(ConfigurationPhase::NotReady, Some(2), 2));
        assert!(settled(ConfigurationPhase::NotReady, Some(2), 3) && settled(ConfigurationPhase::Pending, None, 3));
    }
}
