//! Runs a plan: stages in order, then `finally`, then the one commit that lists the snapshot.

mod attempt;
mod compare;
mod load;
mod pipe;
mod retry;
mod status;
mod step;
mod store;

use std::collections::BTreeMap;

use coffer_api::SnapshotRef;
use coffer_repository::{Repository, Snapshot};
use coffer_runtime::{Application, Limits, Linked, Report};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

pub use status::{Board, Log, LogLine, Status};

use crate::{
    Error,
    manifest::{Manifest, ManifestStep},
    plan::{End, Plan, Stage, Step, Stream},
};
use attempt::Attempt;
use load::Load;
use retry::{Failed, Retries};
use store::Store;

/// How long a step of `finally` may take when it does not say: long enough to undo, short enough not to hang a session that
/// was to end.
const FINALLY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5 * 60);

/// Everything that a plan names, opened.
#[derive(Debug)]
pub struct Inputs {
    /// The components by Function, each linked with its Addon's grants.
    pub components: BTreeMap<String, Linked>,
    /// The application, if any step needs it.
    pub application: Option<Application>,
    /// Where the data comes from or goes to.
    pub data: Data,
    /// The session, as manifests and messages name it: `demo/shop-full-1`.
    pub session: String,
    /// The host's limits for one operation; the plan's steps may change them.
    pub limits: Limits,
}

/// Where the data comes from or goes to.
#[derive(Debug)]
pub enum Data {
    /// The repositories of a backup; never empty.
    Repositories(Vec<Destination>),
    /// The snapshot of a restore.
    Snapshot {
        /// What messages call the repository.
        name: String,
        /// The repository.
        repository: Repository,
        /// The snapshot.
        snapshot: Box<Snapshot>,
    },
    /// The second application of a copy.
    Application(Box<Application>),
    /// Nothing: the Task only acts.
    Nothing,
}

/// A repository that gets a snapshot.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The Repository's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The repository.
    pub repository: Repository,
    /// Tags of the new snapshot, beside those that every snapshot of Coffer's has.
    pub tags: Vec<String>,
}

/// How to watch a run and to stop it.
#[derive(Debug)]
pub struct Controls {
    /// Where statuses go; see [`Status::of`].
    pub status: Board,
    /// Where log lines go.
    pub log: Log,
    /// Stops the run; `finally` still runs.
    pub cancel: CancellationToken,
}

/// What a good run leaves.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The snapshots of a backup, one a repository.
    pub snapshots: Vec<Stored>,
    /// How they were made.
    pub manifest: Option<Manifest>,
}

/// A snapshot that is listed.
#[derive(Clone, Debug)]
pub struct Stored {
    /// As status shows it.
    pub reference: SnapshotRef,
    /// The snapshot itself.
    pub snapshot: Snapshot,
}

/// Runs a plan. Dropping the future stops everything at once, `finally` included, and lists nothing; to stop a run well,
/// cancel it.
pub async fn run(plan: &Plan, inputs: Inputs, controls: Controls) -> Result<Outcome, Error> {
    let board = controls.status.clone();
    board.warn(plan.warnings.iter().cloned());
    let mut run = Run { plan, inputs: &inputs, controls: &controls, reports: BTreeMap::new(), store: None };
    let stages = run.stages().await;
    board.skip_pending(plan.steps().count() - plan.finally.len());
    let finally = run.finally().await;
    let Run { reports, store, .. } = run;
    match (stages.and(finally), store) {
        (Ok(()), None) => Ok(Outcome::default()),
        (Ok(()), Some(store)) => {
            let manifest = manifest(plan, &inputs, &reports);
            let cancelled = controls.cancel.clone();
            store.commit(manifest, &board, &cancelled).await
        }
        (Err(error), None) => Err(error),
        (Err(error), Some(store)) => {
            store.abort().await;
            Err(error)
        }
    }
}

fn manifest(plan: &Plan, inputs: &Inputs, reports: &BTreeMap<usize, Report>) -> Manifest {
    let mut manifest = Manifest::new(&inputs.session, &plan.task, &plan.target);
    manifest.steps = plan
        .steps()
        .enumerate()
        .map(|(index, step)| ManifestStep {
            name: step.name.clone(),
            function: step.function.clone(),
            role: Some(step.role),
            digest: inputs.components.get(&step.function).map(|linked| linked.digest().to_string()).unwrap_or_default(),
            facts: reports.get(&index).map(|report| report.facts.iter().cloned().collect()).unwrap_or_default(),
        })
        .collect();
    manifest
}

struct Run<'a> {
    plan: &'a Plan,
    inputs: &'a Inputs,
    controls: &'a Controls,
    /// By the step's place in the plan.
    reports: BTreeMap<usize, Report>,
    /// The snapshots under way, once a stream into repositories has ended well.
    store: Option<Store>,
}

impl Run<'_> {
    /// All stages, within the time they have together.
    async fn stages(&mut self) -> Result<(), Error> {
        let stop = self.controls.cancel.child_token();
        let Some(timeout) = self.plan.timeout else { return self.stages_until(&stop).await };
        let over = stop.clone();
        // Stopping by the token, not by dropping, gives the steps their time to undo what they did.
        let timer = async {
            tokio::time::sleep(timeout.into()).await;
            over.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            result = self.stages_until(&stop) => match result {
                Err(error) if stop.is_cancelled() && !self.controls.cancel.is_cancelled() => {
                    tracing::debug!(error = error.chain(), "stopped by the session's timeout");
                    Err(Error::Timeout(timeout))
                }
                result => result,
            },
            () = timer => Err(Error::Timeout(timeout)),
        }
    }

    async fn stages_until(&mut self, stop: &CancellationToken) -> Result<(), Error> {
        let plan = self.plan;
        let mut place = 0;
        for stage in &plan.stages {
            if stop.is_cancelled() {
                return Err(Error::Cancelled);
            }
            match stage {
                Stage::Action(step) => {
                    self.action(place, step, None, stop).await?;
                    place += 1;
                }
                Stage::Stream(stream) => {
                    self.stream(place, stream, stop).await?;
                    place += stream.steps.len();
                }
            }
        }
        Ok(())
    }

    /// Every step of `finally`, whatever becomes of the others; the first failure.
    async fn finally(&mut self) -> Result<(), Error> {
        let plan = self.plan;
        let first = plan.steps().count() - plan.finally.len();
        let mut result = Ok(());
        for (offset, step) in plan.finally.iter().enumerate() {
            // A cancel of the run is no reason to leave it half undone.
            let ended = self.action(first + offset, step, Some(FINALLY_TIMEOUT), &CancellationToken::new()).await;
            result = result.and(ended);
        }
        result
    }

    async fn action(
        &mut self,
        place: usize,
        step: &Step,
        timeout: Option<std::time::Duration>,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let mut limits = step::limits(&self.inputs.limits, step);
        if let (None, Some(timeout)) = (step.timeout, timeout) {
            limits.deadline = Some(timeout);
        }
        let mut retries = Retries::new(step.retry, stop, &self.controls.log);
        let report = loop {
            let attempt = Attempt::new(stop, &self.controls.status, &self.controls.log, retries.number);
            let job = step::Job {
                place,
                step: step.clone(),
                linked: component(self.inputs, step)?,
                application: self.inputs.application.clone(),
                inbox: None,
                outbox: None,
                limits: limits.clone(),
            };
            match job.run(&attempt).await {
                Some(report) => break report,
                None => retries.wait(attempt.cause().into()).await?,
            }
        };
        self.reports.insert(place, report);
        Ok(())
    }

    async fn stream(&mut self, place: usize, stream: &Stream, stop: &CancellationToken) -> Result<(), Error> {
        let mut retries = Retries::new(stream.retry, stop, &self.controls.log);
        let done = loop {
            let attempt = Attempt::new(stop, &self.controls.status, &self.controls.log, retries.number);
            let tried = async {
                let (load, store) = tokio::select! {
                    ends = self.ends(stream) => ends?,
                    () = stop.cancelled() => return Err(Error::Cancelled.into()),
                };
                attempt::stream(&attempt, self.inputs, place, stream, load, store).await
            };
            match tried.await {
                Ok(done) => break done,
                Err(failed) => retries.wait(failed).await?,
            }
        };
        self.reports.extend(done.reports);
        self.store = done.store;
        Ok(())
    }

    /// Opens the snapshot that the stream begins with, or the ones that it ends in.
    async fn ends(&self, stream: &Stream) -> Result<(Option<Load>, Option<Store>), Failed> {
        match (&self.inputs.data, stream.from, stream.into) {
            (Data::Snapshot { name, repository, snapshot }, End::Snapshot, _) => {
                let first = stream.steps.iter().flat_map(|step| &step.first);
                let load = Load::open(name, repository, snapshot, first, &self.controls.log).await?;
                Ok((Some(load), None))
            }
            (Data::Repositories(destinations), _, End::Repositories) => {
                Ok((None, Some(Store::begin(destinations, &self.tags()).await?)))
            }
            (_, End::Snapshot, _) => Err(Error::Missing("a snapshot".to_owned()).into()),
            (_, _, End::Repositories) => Err(Error::Missing("a repository".to_owned()).into()),
            _ => Ok((None, None)),
        }
    }

    /// What finds the snapshot again.
    fn tags(&self) -> Vec<String> {
        let target = &self.plan.target;
        vec![
            "coffer".to_owned(),
            crate::manifest::target_tag(&target.kind, &target.namespace, &target.name),
            format!("task={}", self.plan.task),
            format!("session={}", self.inputs.session),
        ]
    }
}

fn component(inputs: &Inputs, step: &Step) -> Result<Linked, Error> {
    let missing = || Error::Missing(format!("the component of Function {}", step.function));
    inputs.components.get(&step.function).cloned().ok_or_else(missing)
}

fn now() -> coffer_api::Time {
    coffer_api::Time(Timestamp::now())
}

#[cfg(test)]
mod tests;
