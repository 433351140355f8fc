//! Repository: opens it, or makes it where there is nothing yet; counts and mirrors what it holds.
//!
//! Deleting the object keeps the data: `deletionPolicy` knows nothing else yet, so there is no finalizer.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::resolve::repository as resolve;
use crate::{mirror, object};
use coffer_api::condition::{self, types};
use coffer_api::{Repository, RepositoryStatus, StoragePhase, Time};
use coffer_repository::Error as RepositoryError;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use std::sync::Arc;
use std::time::Duration;

/// What is missing or down may come; what others did to the repository is seen by then.
const RETRY: Duration = Duration::from_secs(30);
const RECHECK: Duration = Duration::from_secs(600);

pub(crate) async fn reconcile(repository: Arc<Repository>, context: Arc<Context>) -> Result<Action> {
    if repository.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let before = repository.status.clone().unwrap_or_default();
    let generation = repository.metadata.generation;
    let mut status = RepositoryStatus {
        observed_generation: generation,
        conditions: before.conditions,
        ..RepositoryStatus::default()
    };
    let outcome = match look(&repository, &context, &mut status).await {
        Ok(message) => Ok(message),
        Err(Error::Refused(failure)) => Err(failure),
        Err(api) => return Err(api),
    };
    if let Err(failure) = &outcome
        && !failure.class.is_transient()
    {
        mirror::Mirrored::list(&context.client, &repository)
            .await?
            .mark(&context.client, &repository, &failure.message)
            .await?;
    }
    let ready = outcome.is_ok();
    let (reason, message) = match &outcome {
        Ok(message) => ("Open", message.clone()),
        Err(failure) => ("NotOpen", failure.message.clone()),
    };
    condition::set(&mut status.conditions, types::READY, ready.into(), reason, message, generation, object::now());
    status.phase = if ready { StoragePhase::Ready } else { StoragePhase::NotReady };
    if !ready {
        // What was last known stays useful while the storage is away.
        status.repository_id = before.repository_id;
        status.snapshot_count = before.snapshot_count;
        status.last_backup_time = before.last_backup_time;
    }
    status.error = outcome.err();
    let namespace = repository.namespace().unwrap_or_default();
    object::write_status(&Api::namespaced(context.client.clone(), &namespace), &*repository, &status).await?;
    Ok(Action::requeue(if ready { RECHECK } else { RETRY }))
}

/// Opens or makes the repository and fills in what it holds. Returns what else is to be said.
async fn look(object: &Repository, context: &Context, status: &mut RepositoryStatus) -> Result<String> {
    let refuse = |error: RepositoryError| Error::Refused(resolve::failure(&object::label(object), &error));
    let opened = resolve::open_or_init(context, object).await?;
    let mirrored = mirror::Mirrored::list(&context.client, object).await?;
    let list = opened.snapshots().await.map_err(refuse)?;
    status.repository_id = Some(opened.id().to_owned());
    status.snapshot_count = Some(list.snapshots.len() as u64);
    status.last_backup_time = list.snapshots.last().map(|snapshot| Time(snapshot.time));
    mirrored.sync(&context.client, object, &opened, &list).await?;
    Ok(match list.damaged.first() {
        None => String::new(),
        Some(first) => format!("{} snapshots cannot be read; the first: {}", list.damaged.len(), first.chain()),
    })
}
