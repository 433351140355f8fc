//! BackupConfiguration: whether its sessions could run now, and if not, what is missing.
//!
//! `Valid` speaks of the manifest against the Task and its Functions, `Ready` also of Secrets and repositories.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::{object, planning, resolve};
use coffer_api::condition::{self, Status, types};
use coffer_api::{
    BackupConfiguration, BackupConfigurationStatus, ConfigurationPhase, Failure, FailureClass, Session, StoragePhase,
};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use std::sync::Arc;
use std::time::Duration;

/// Most of what can be missing wakes the reconcile when it comes; this is for the rest.
const RETRY: Duration = Duration::from_secs(30);
const RECHECK: Duration = Duration::from_secs(600);

pub(crate) async fn reconcile(configuration: Arc<BackupConfiguration>, context: Arc<Context>) -> Result<Action> {
    let mut problem = None;
    for session in &configuration.spec.sessions {
        match check(&configuration, session, &context).await {
            Ok(()) => {}
            Err(Error::Refused(failure)) => {
                problem =
                    Some(Failure { message: format!("session {}: {}", session.name, failure.message), ..failure });
                break;
            }
            Err(api) => return Err(api),
        }
    }
    let before = configuration.status.clone().unwrap_or_default();
    let generation = configuration.metadata.generation;
    let phase = phase(problem.as_ref());
    let (valid, ready) = match phase {
        ConfigurationPhase::Ready => (Status::True, Status::True),
        ConfigurationPhase::Invalid => (Status::False, Status::False),
        // Against a Task that is not there nothing can be checked.
        ConfigurationPhase::NotReady | ConfigurationPhase::Pending => (Status::Unknown, Status::False),
    };
    let message = problem.as_ref().map(|failure| failure.message.clone()).unwrap_or_default();
    let mut status = BackupConfigurationStatus {
        phase,
        observed_generation: generation,
        error: problem,
        conditions: before.conditions,
    };
    let reason = match phase {
        ConfigurationPhase::Ready => "Checked",
        ConfigurationPhase::Invalid => "Contradiction",
        ConfigurationPhase::NotReady | ConfigurationPhase::Pending => "Missing",
    };
    let now = object::now();
    condition::set(&mut status.conditions, types::VALID, valid, reason, message.clone(), generation, now.clone());
    condition::set(&mut status.conditions, types::READY, ready, reason, message, generation, now);
    let namespace = configuration.namespace().unwrap_or_default();
    object::write_status(&Api::namespaced(context.client.clone(), &namespace), &*configuration, &status).await?;
    Ok(Action::requeue(if phase == ConfigurationPhase::Ready { RECHECK } else { RETRY }))
}

fn phase(problem: Option<&Failure>) -> ConfigurationPhase {
    match problem.map(|failure| failure.class) {
        None => ConfigurationPhase::Ready,
        Some(FailureClass::Invalid | FailureClass::InvalidParameter | FailureClass::Unsupported) => {
            ConfigurationPhase::Invalid
        }
        Some(_) => ConfigurationPhase::NotReady,
    }
}

async fn check(configuration: &BackupConfiguration, session: &Session, context: &Context) -> Result<()> {
    let client = &context.client;
    let namespace = configuration.namespace().unwrap_or_default();
    let planned = planning::backup(client, configuration, session, None).await?;
    // The credentials are dropped at once; what counts is that every key is there.
    resolve::application::resolve(client, &planned.binding).await?;
    for reference in &session.repositories {
        let repository = resolve::repository::find(client, &namespace, reference).await?;
        let status = repository.status.clone().unwrap_or_default();
        if status.phase != StoragePhase::Ready {
            let label = object::label(&repository);
            return Err(match status.error {
                Some(failure) => Error::Refused(failure),
                None => Error::refused(FailureClass::Unavailable, format!("{label} was not looked at yet")),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_come_by_itself_is_not_ready_and_what_cannot_is_invalid() {
        let of = |class| phase(Some(&Failure::new(class, "")));
        assert_eq!(phase(None), ConfigurationPhase::Ready);
        assert_eq!(of(FailureClass::NotFound), ConfigurationPhase::NotReady);
        assert_eq!(of(FailureClass::Unavailable), ConfigurationPhase::NotReady);
        assert_eq!(of(FailureClass::Denied), ConfigurationPhase::NotReady);
        assert_eq!(of(FailureClass::InvalidParameter), ConfigurationPhase::Invalid);
    }
}
