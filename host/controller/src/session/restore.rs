//! RestoreSession: one snapshot into its target.

use super::execute::execute;
use super::lifecycle::{Session, Told};
use super::registry::Target;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::resolve::repository::{self, Opened};
use crate::{object, planning};
use coffer_api::{FailureClass, RestoreSession, RestoreSessionStatus, Retry, RunStatus};
use coffer_pipeline::{Data, manifest};
use coffer_repository::{Snapshot, SnapshotFilter};
use kube::ResourceExt;
use std::collections::BTreeSet;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The snapshot that is chosen by its time.
const LATEST: &str = "latest";

impl Session for RestoreSession {
    /// The id of the snapshot, once it is chosen.
    type Extra = Option<String>;

    const INTERRUPTED: &'static str = "the target may hold a part of the snapshot: restore again, into an empty target or one that the restore clears";

    fn run_status(&self) -> RunStatus {
        self.status.as_ref().map(|status| status.run.clone()).unwrap_or_default()
    }

    fn extra(&self) -> Option<String> {
        self.status.as_ref().and_then(|status| status.snapshot.clone())
    }

    fn status(run: RunStatus, snapshot: Option<String>) -> impl serde::Serialize {
        RestoreSessionStatus { run, snapshot }
    }

    async fn claims(&self, _: &Context) -> Result<(Target, Option<Retry>)> {
        let target = &self.spec.target;
        let namespace = self.namespace().unwrap_or_default();
        // Never again once it was interrupted: what the sink has written already would be written twice.
        Ok((Target { namespace, kind: target.kind.as_str(), name: target.name.to_string() }, None))
    }

    async fn run(
        &self,
        context: &Context,
        tell: &watch::Sender<Told<Option<String>>>,
        cancel: CancellationToken,
    ) -> Result<()> {
        let (namespace, name) = (self.namespace().unwrap_or_default(), self.name_any());
        let source = &self.spec.data_source;
        let opened = repository::open(&context.client, &namespace, &source.repository).await?;
        if source.snapshot == LATEST && source.of.is_none() {
            one_target(&opened).await?;
        }
        let tag = source.of.as_ref().map(|of| manifest::target_tag(of.kind.as_str(), &namespace, of.name.as_str()));
        let filter = SnapshotFilter { tags: tag.into_iter().collect(), ..SnapshotFilter::default() };
        let snapshot = opened.repository.snapshot(&source.snapshot, &filter).await;
        let snapshot =
            snapshot.map_err(|error| Error::Refused(repository::failure(&object::label(&opened.object), &error)))?;
        let id = snapshot.id.to_string();
        tell.send_modify(|told| told.extra = Some(id.clone()));
        let planned = planning::restore(&context.client, self, Some(&id)).await?;
        let data = Data::Snapshot {
            name: opened.object.name_any(),
            repository: opened.repository,
            snapshot: Box::new(snapshot),
        };
        let label = format!("{namespace}/{name}");
        execute(context, &planned, data, label, tell, cancel, |_, _| {}).await?;
        Ok(())
    }
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
