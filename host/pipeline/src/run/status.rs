//! What a run shows while it runs: a status that anyone can watch, and its log.

use std::{fmt, sync::Arc};

use coffer_api::{Artifact, Failure, Progress, SnapshotRef, StepPhase, StepStatus};
use coffer_runtime::{Level, Report};
use tokio::sync::watch;

use super::now;
use crate::plan::Plan;

/// Warnings of one run, and the bytes of one: all of them have to fit into a status beside the steps. The log has the rest.
const WARNINGS: usize = 50;
const WARNING_BYTES: usize = 4 << 10;

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// The steps in the plan's order.
    pub steps: Vec<StepStatus>,
    /// The snapshots that are listed by now.
    pub snapshots: Vec<SnapshotRef>,
    /// What an operator should know although the run went on.
    pub warnings: Vec<String>,
}

impl Status {
    /// The status of a plan that has not begun, the board to give to the run, and where to watch it.
    pub fn of(plan: &Plan) -> (Board, watch::Receiver<Self>) {
        let steps = plan
            .steps()
            .map(|step| StepStatus {
                name: step.name.clone(),
                function: step.function.clone(),
                ..StepStatus::default()
            })
            .collect();
        let (sender, receiver) = watch::channel(Self { steps, ..Self::default() });
        (Board(Arc::new(sender)), receiver)
    }
}

/// Where a run writes its status.
#[derive(Clone, Debug)]
pub struct Board(Arc<watch::Sender<Status>>);

impl Board {
    pub(crate) fn warn(&self, warnings: impl IntoIterator<Item = String>) {
        self.0.send_if_modified(|status| {
            let before = status.warnings.len();
            for warning in warnings {
                let warning = match before_end(&warning, WARNING_BYTES) {
                    cut if cut.len() < warning.len() => format!("{cut}… (the rest is in the log)"),
                    _ => warning,
                };
                if status.warnings.contains(&warning) {
                    continue;
                }
                match status.warnings.len() {
                    0..WARNINGS => status.warnings.push(warning),
                    WARNINGS => status.warnings.push("there are more warnings in the log".to_owned()),
                    _ => {}
                }
            }
            status.warnings.len() > before
        });
    }

    pub(crate) fn listed(&self, snapshot: SnapshotRef) {
        self.0.send_modify(|status| status.snapshots.push(snapshot));
    }

    /// Steps before `end` that never began never will.
    pub(crate) fn skip_pending(&self, end: usize) {
        self.0.send_modify(|status| {
            for step in status.steps.iter_mut().take(end).filter(|step| step.phase == StepPhase::Pending) {
                step.phase = StepPhase::Skipped;
            }
        });
    }

    /// A new attempt forgets what the one before it reached.
    pub(crate) fn started(&self, place: usize, attempt: u32) {
        self.change(place, |step| {
            *step = StepStatus {
                name: std::mem::take(&mut step.name),
                function: std::mem::take(&mut step.function),
                phase: StepPhase::Running,
                started_at: Some(now()),
                attempt,
                ..StepStatus::default()
            };
        });
    }

    pub(crate) fn progress(&self, place: usize, done: u64, total: Option<u64>) {
        self.change(place, |step| step.progress = Some(Progress { done, total }));
    }

    pub(crate) fn bytes(&self, place: usize, bytes: u64) {
        self.0.send_if_modified(|status| match status.steps.get_mut(place) {
            Some(step) if step.bytes != bytes => {
                step.bytes = bytes;
                true
            }
            _ => false,
        });
    }

    /// One more artifact passed whole.
    pub(crate) fn artifact(&self, place: usize) {
        self.change(place, |step| step.artifacts += 1);
    }

    pub(crate) fn succeeded(&self, place: usize, report: &Report) {
        self.change(place, |step| {
            step.phase = StepPhase::Succeeded;
            step.finished_at = Some(now());
            step.facts = report.facts.iter().cloned().collect();
        });
    }

    pub(crate) fn failed(&self, place: usize, failure: Failure) {
        self.change(place, |step| {
            step.phase = StepPhase::Failed;
            step.finished_at = Some(now());
            step.error = Some(failure);
        });
    }

    fn change(&self, place: usize, change: impl FnOnce(&mut StepStatus)) {
        self.0.send_modify(|status| {
            if let Some(step) = status.steps.get_mut(place) {
                change(step);
            }
        });
    }
}

/// At most `bytes` of a text, whole characters.
fn before_end(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// Hears the log of a run, on the run's own tasks: it must be quick and must not block.
#[derive(Clone)]
pub struct Log(Arc<dyn Fn(LogLine) + Send + Sync>);

/// A line of a step's log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogLine {
    /// The step; empty when it is the run itself that speaks.
    pub step: String,
    /// How much it matters.
    pub level: Level,
    /// The text, with granted secrets masked.
    pub message: String,
    /// What belongs to it.
    pub fields: Vec<(String, String)>,
}

impl Log {
    /// A log that `hear` hears.
    pub fn new(hear: impl Fn(LogLine) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    /// A log that nobody hears.
    pub fn none() -> Self {
        Self::new(drop)
    }

    pub(crate) fn say(&self, line: LogLine) {
        (self.0)(line);
    }

    pub(crate) fn warn(&self, message: String) {
        self.say(LogLine { step: String::new(), level: Level::Warn, message, fields: Vec::new() });
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

impl From<&crate::manifest::ManifestArtifact> for Artifact {
    fn from(artifact: &crate::manifest::ManifestArtifact) -> Self {
        Self { name: artifact.name.clone(), length: artifact.length, sha256: artifact.sha256.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_bounded_in_number_and_length() {
        let (sender, watch) = watch::channel(Status::default());
        let board = Board(Arc::new(sender));
        board.warn(["ä".repeat(WARNING_BYTES)]);
        for i in 0..1_000 {
            board.warn([format!("warning {i}"), "the same again".to_owned()]);
        }
        let warnings = &watch.borrow().warnings;
        assert_eq!(warnings.len(), WARNINGS + 1);
        assert!(warnings[0].len() < WARNING_BYTES + 50 && warnings[0].ends_with("in the log)"));
        assert_eq!(warnings[WARNINGS], "there are more warnings in the log");
    }
}
