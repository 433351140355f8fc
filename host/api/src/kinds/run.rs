//! What the status of a run is made of; BackupSession and RestoreSession share it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, Failure, Time};

/// A status tells what became of this spec and no other.
pub(crate) const IMMUTABLE: &str =
    "a session keeps what it was made with: make a new session, or delete this one first";

/// How often to try again, and when. A step or a stream is tried again after a failure of class `Unavailable`, and a
/// BackupSession when the process that ran it ended first. A stream whose sink has read something, and an interrupted
/// RestoreSession, are never tried again: what is written already would be written twice.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// How many times at most, after the first attempt.
    #[schemars(range(min = 1, max = 100))]
    pub max_retries: u32,
    /// How long to wait before the first retry; each later one waits twice as long as the one before, with some jitter.
    /// Default: 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum SessionPhase {
    /// Not started yet.
    #[default]
    Pending,
    /// Under way.
    Running,
    /// Done, and everything it was to store or to restore is.
    Succeeded,
    /// Over without success; `error` says why.
    Failed,
}

impl SessionPhase {
    /// Whether nothing more will happen.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }

    /// The phase as manifests write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum StepPhase {
    /// Not started yet.
    #[default]
    Pending,
    /// Under way.
    Running,
    /// Done.
    Succeeded,
    /// Over without success; `error` says why.
    Failed,
    /// Never started, since a step before it failed.
    Skipped,
}

impl StepPhase {
    /// The phase as manifests write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Skipped => "Skipped",
        }
    }
}

/// One step of a run.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// The step's name in the Task.
    pub name: String,
    /// The Function it runs.
    pub function: String,
    /// Where it stands.
    #[serde(default)]
    pub phase: StepPhase,
    /// When its last attempt started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Which attempt this is, from 1.
    #[serde(default)]
    pub attempt: u32,
    /// How far it got, in the step's own unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Bytes that passed through its artifacts: those it wrote, or, for a sink, those it read.
    #[serde(default)]
    pub bytes: u64,
    /// How many artifacts it wrote whole, or, for a sink, read to their end.
    #[serde(default)]
    pub artifacts: u64,
    /// What it reports: counts, versions, positions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// How far a step got.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all, when the step knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// One artifact of a snapshot.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// Its name: the file's path in the snapshot, without the leading slash.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    /// Its SHA-256, 64 hex digits.
    pub sha256: String,
}
