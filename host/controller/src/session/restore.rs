//! RestoreSession: one snapshot into its target, or another application.

use super::execute::execute;
use super::lifecycle::{Session, Told};
use super::registry::Target;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::resolve::application;
use crate::resolve::repository::{self, Opened};
use crate::{object, planning};
use coffer_api::refs::TargetRef;
use coffer_api::{DataSource, FailureClass, RestoreSession, RestoreSessionStatus, Retry, RunStatus, Source};
use coffer_pipeline::{Data, manifest};
use coffer_repository::{Snapshot, SnapshotFilter};
use kube::ResourceExt;
use std::collections::BTreeSet;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

impl Session for RestoreSession {
    /// The id of the snapshot, once it is chosen.
    type Extra = Option<String>;

    const INTERRUPTED: &'static str = "the target may hold a part of the data: restore or copy again, into an empty target or one that the restore clears";

    fn run_status(&self) -> RunStatus {
        self.status.as_ref().map(|status| status.run.clone()).unwrap_or_default()
    }

    fn extra(&self) -> Option<String> {
        self.status.as_ref().and_then(|status| status.snapshot.clone())
    }

    fn status(run: RunStatus, snapshot: Option<String>) -> impl serde::Serialize {
        RestoreSessionStatus { run, snapshot }
    }

    async fn claims(&self, _: &Context) -> Result<(Vec<Target>, Option<Retry>)> {
        // What is restored into while it is read would be copied half.
        let source = match self.spec.data_source.source() {
            Some(Source::Application(application)) => Some(application),
            _ => None,
        };
        let of = |reference| Target::new(self.namespace().unwrap_or_default(), reference);
        // Never again once it was interrupted: what the sink has written already would be written twice.
        Ok(([&self.spec.target].into_iter().chain(source).map(of).collect(), None))
    }

    async fn run(
        &self,
        context: &Context,
        tell: &watch::Sender<Told<Option<String>>>,
        cancel: CancellationToken,
    ) -> Result<()> {
        let (namespace, name) = (self.namespace().unwrap_or_default(), self.name_any());
        let (planned, data) = match self.spec.data_source.source() {
            Some(Source::Snapshot { repository, snapshot, of }) => {
                let opened = repository::open(&context.client, &namespace, repository).await?;
                let snapshot = choose(&opened, &namespace, snapshot, of).await?;
                let id = snapshot.id.to_string();
                tell.send_modify(|told| told.extra = Some(id.clone()));
                let (name, repository) = (opened.object.name_any(), opened.repository);
                let data = Data::Snapshot { name, repository, snapshot: Box::new(snapshot) };
                (planning::restore(&context.client, self, Some(&id)).await?, data)
            }
            // A session without a source is refused by the plan.
            Some(Source::Application(_)) | None => {
                let planned = planning::restore(&context.client, self, None).await?;
                let data = match &planned.source {
                    Some(binding) => Data::Application(Box::new(application::resolve(&context.client, binding).await?)),
                    None => Data::Nothing,
                };
                (planned, data)
            }
        };
        let label = format!("{namespace}/{name}");
        execute(context, &planned, data, label, tell, cancel, |_, _| {}).await?;
        Ok(())
    }
}

/// The snapshot of that id, or the latest.
async fn choose(opened: &Opened, namespace: &str, snapshot: &str, of: Option<&TargetRef>) -> Result<Snapshot> {
    if snapshot == DataSource::LATEST && of.is_none() {
        one_target(opened).await?;
    }
    let tag = of.map(|of| manifest::target_tag(of.kind.as_str(), namespace, of.name.as_str()));
    let filter = SnapshotFilter { tags: tag.into_iter().collect(), ..SnapshotFilter::default() };
    let found = opened.repository.snapshot(snapshot, &filter).await;
    let label = object::label(&opened.object);
    found.map_err(|error| match error {
        coffer_repository::Error::NoSnapshot(_) if snapshot == DataSource::LATEST => {
            let of = of.map(|of| format!(" of {} {namespace}/{}", of.kind.as_str(), of.name)).unwrap_or_default();
            Error::refused(FailureClass::NotFound, format!("{label} holds no snapshot{of} yet"))
                .hint("make one with `coffer backup`; `coffer snapshots` lists what there is")
        }
        error => Error::Refused(repository::failure(&label, &error)),
    })
}

/// Refuses when the newest snapshot could be of another target than the one that is meant.
async fn one_target(opened: &Opened) -> Result<()> {
    let label = object::label(&opened.object);
    let list = opened.repository.snapshots().await;
    let list = list.map_err(|error| Error::Refused(repository::failure(&label, &error)))?;
    let targets = targets(&list.snapshots);
    if targets.len() < 2 {
        return Ok(());
    }
    let names = targets.into_iter().collect::<Vec<_>>().join(", ");
    Err(Error::refused(
        FailureClass::Invalid,
        format!("the latest snapshot of {label} may be of any of several targets: {names}"),
    )
    .hint("name the one by spec.dataSource.of, which is `coffer restore --of NAME`, or a snapshot by its id"))
}

/// What the snapshots are of. What restic wrote is of no target, and no other target's either.
fn targets(snapshots: &[Snapshot]) -> BTreeSet<&str> {
    let of = snapshots.iter().map(|snapshot| snapshot.tags.iter().find_map(|tag| tag.strip_prefix("target=")));
    of.map(|target| target.unwrap_or("none (not made by Coffer)")).collect()
}
