//! BackupSession: one dump into the repositories of its configuration's session, mirrored as Snapshot objects.

use super::execute::execute;
use super::lifecycle::{Session, Told};
use super::registry::Target;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::mirror::Mirrored;
use crate::resolve::repository;
use crate::{object, planning};
use coffer_api::{
    BackupConfiguration, BackupSession, BackupSessionStatus, FailureClass, Retry, RunStatus, Session as Way,
    SnapshotRef,
};
use coffer_pipeline::{Data, Destination};
use kube::ResourceExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

impl Session for BackupSession {
    type Extra = Vec<SnapshotRef>;

    const INTERRUPTED: &'static str =
        "run it again; with a retry policy in its configuration it would be tried again by itself";

    fn run_status(&self) -> RunStatus {
        self.status.as_ref().map(|status| status.run.clone()).unwrap_or_default()
    }

    fn extra(&self) -> Vec<SnapshotRef> {
        self.status.as_ref().map(|status| status.snapshots.clone()).unwrap_or_default()
    }

    fn status(run: RunStatus, snapshots: Vec<SnapshotRef>) -> impl serde::Serialize {
        BackupSessionStatus { run, snapshots }
    }

    async fn claims(&self, context: &Context) -> Result<(Vec<Target>, Option<Retry>)> {
        let (configuration, way) = way(self, context).await?;
        let target = &configuration.spec.target;
        Ok((vec![Target::new(self.namespace().unwrap_or_default(), target)], way.retry))
    }

    /// The snapshots that are listed: a process may die between that and writing it into a status.
    async fn left(&self, context: &Context) -> Result<(Vec<SnapshotRef>, bool)> {
        let namespace = self.namespace().unwrap_or_default();
        let (_, way) = way(self, context).await?;
        let (mut snapshots, mut whole) = (self.extra(), true);
        for reference in &way.repositories {
            let opened = repository::open(&context.client, &namespace, reference).await?;
            let list = opened.repository.snapshots().await;
            let list =
                list.map_err(|error| Error::Refused(repository::failure(&object::label(&opened.object), &error)))?;
            match list.snapshots.iter().rfind(|snapshot| made_by(snapshot, self)) {
                Some(snapshot) if snapshots.iter().any(|known| known.id == snapshot.id.to_string()) => {}
                Some(snapshot) => snapshots.push(reference_to(&opened.object, snapshot)),
                None => whole = false,
            }
        }
        Ok((snapshots, whole))
    }

    async fn run(
        &self,
        context: &Context,
        tell: &watch::Sender<Told<Vec<SnapshotRef>>>,
        cancel: CancellationToken,
    ) -> Result<()> {
        let (namespace, name) = (self.namespace().unwrap_or_default(), self.name_any());
        let (configuration, way) = way(self, context).await?;
        let planned = planning::backup(&context.client, &configuration, &way, Some(&name)).await?;
        let mut repositories = Vec::new();
        for reference in &way.repositories {
            let object = repository::find(&context.client, &namespace, reference).await?;
            let opened = repository::open_or_init(context, &object).await?;
            repositories.push((object, opened));
        }
        let destinations = repositories.iter().map(|(object, opened)| Destination {
            name: object.name_any(),
            namespace: object.namespace().unwrap_or_default(),
            repository: opened.clone(),
            tags: vec![format!("configuration={}", configuration.name_any())],
        });
        let data = Data::Repositories(destinations.collect());
        let label = format!("{namespace}/{name}");
        let outcome = execute(context, &planned, data, label, tell, cancel, |status, snapshots| {
            snapshots.clone_from(&status.snapshots);
        })
        .await?;
        tracing::info!(session = name, snapshots = outcome.snapshots.len(), "snapshots listed");
        for (object, opened) in &repositories {
            // The snapshots are listed: whatever fails here, the backup is good, and the next look mends the mirror.
            if let Err(error) = mirror(context, object, opened).await {
                tracing::warn!(
                    repository = object::label(object),
                    error = crate::error::chain(&error),
                    "not mirrored yet"
                );
            }
        }
        Ok(())
    }
}

/// Whether this session made it, and not one of the same name before it.
fn made_by(snapshot: &coffer_repository::Snapshot, session: &BackupSession) -> bool {
    let tag = format!("session={}/{}", session.namespace().unwrap_or_default(), session.name_any());
    let created = session.metadata.creation_timestamp.as_ref();
    snapshot.tags.contains(&tag) && created.is_none_or(|created| snapshot.time >= created.0)
}

fn reference_to(object: &coffer_api::Repository, snapshot: &coffer_repository::Snapshot) -> SnapshotRef {
    let summary = snapshot.summary.as_ref();
    SnapshotRef {
        repository: object.name_any(),
        namespace: object.namespace(),
        id: snapshot.id.to_string(),
        size: summary.map(|summary| summary.total_bytes_processed).unwrap_or_default(),
        files: summary.map(|summary| summary.total_files_processed).unwrap_or_default(),
        uploaded: summary.map(|summary| summary.data_added_packed).unwrap_or_default(),
    }
}

async fn mirror(
    context: &Context,
    object: &coffer_api::Repository,
    opened: &coffer_repository::Repository,
) -> Result<()> {
    let mirrored = Mirrored::list(&context.client, object).await?;
    let list = opened.snapshots().await;
    let list = list.map_err(|error| Error::Refused(repository::failure(&object::label(object), &error)))?;
    mirrored.sync(&context.client, object, opened, &list).await
}

/// The configuration, and which of its ways to back up this session goes.
async fn way(session: &BackupSession, context: &Context) -> Result<(BackupConfiguration, Way)> {
    let namespace = session.namespace().unwrap_or_default();
    let configuration: BackupConfiguration =
        object::get(&context.client, &namespace, session.spec.configuration.name.as_str()).await?;
    let label = object::label(&configuration);
    if configuration.spec.paused {
        return Err(Error::refused(FailureClass::Invalid, format!("{label} is paused"))
            .hint("set spec.paused: false, then run it again"));
    }
    let names = || configuration.spec.sessions.iter().map(|way| way.name.as_str()).collect::<Vec<_>>().join(", ");
    let way = match (&session.spec.session, configuration.spec.sessions.as_slice()) {
        (Some(name), _) => configuration.spec.session(name).ok_or_else(|| {
            Error::refused(FailureClass::NotFound, format!("{label} has no session {name}"))
                .hint(format!("its sessions: {}", names()))
        })?,
        (None, [only]) => only,
        (None, _) => {
            return Err(Error::refused(FailureClass::Invalid, format!("{label} has several sessions"))
                .hint(format!("name one in spec.session: {}", names())));
        }
    };
    let way = way.clone();
    Ok((configuration, way))
}
