//! BackupStorage: whether it can be reached with the credentials it names.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::resolve;
use crate::{object, resolve::repository};
use coffer_api::backup_storage::Provider;
use coffer_api::condition::{self, types};
use coffer_api::{BackupStorage, BackupStorageStatus, StoragePhase};
use coffer_repository::open_store;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use std::sync::Arc;
use std::time::Duration;

/// What is down may come back; what is up is looked at now and then, so that the status stays true.
const RETRY: Duration = Duration::from_secs(30);
const RECHECK: Duration = Duration::from_secs(600);

pub(crate) async fn reconcile(storage: Arc<BackupStorage>, context: Arc<Context>) -> Result<Action> {
    let failure = match probe(&storage, &context).await {
        Ok(()) => None,
        Err(Error::Refused(failure)) => Some(failure),
        Err(api) => return Err(api),
    };
    let before = storage.status.clone().unwrap_or_default();
    let mut status = BackupStorageStatus {
        phase: if failure.is_none() { StoragePhase::Ready } else { StoragePhase::NotReady },
        observed_generation: storage.metadata.generation,
        provider: storage.spec.provider().map(|provider| match provider {
            Provider::Local(_) => "local".to_owned(),
            Provider::S3(_) => "s3".to_owned(),
        }),
        conditions: before.conditions,
        error: None,
    };
    let (reason, message) = match &failure {
        None => ("Reachable", String::new()),
        Some(failure) => ("NotReachable", failure.message.clone()),
    };
    let ready = failure.is_none();
    let generation = storage.metadata.generation;
    condition::set(&mut status.conditions, types::READY, ready.into(), reason, message, generation, object::now());
    status.error = failure;
    let namespace = storage.namespace().unwrap_or_default();
    object::write_status(&Api::namespaced(context.client.clone(), &namespace), &*storage, &status).await?;
    Ok(Action::requeue(if ready { RECHECK } else { RETRY }))
}

/// Whether the storage is there and can be read and written. Makes nothing: a folder that is not there may be a disk that
/// is not mounted.
async fn probe(storage: &BackupStorage, context: &Context) -> Result<()> {
    let config = resolve::storage::config(&context.client, storage, None).await?;
    let refuse = |error| Error::Refused(repository::failure(&object::label(storage), &error));
    open_store(&config).map_err(refuse)?.check().await.map_err(refuse)
}
