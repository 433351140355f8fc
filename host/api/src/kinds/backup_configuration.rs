//! BackupConfiguration: what to back up, how, and to where.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run::Retry;
use crate::{
    Cause, Condition, Duration, Failure, Parameters,
    refs::{Name, ObjectRef, TargetRef},
};

/// What to back up, how, and to where. Each entry of `sessions` is a way to do it.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "coffer.dev",
    version = "v1alpha1",
    kind = "BackupConfiguration",
    namespaced,
    status = "BackupConfigurationStatus",
    shortname = "bc",
    category = "coffer",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.target.name"),
    printcolumn(name = "Sessions", type_ = "string", json_path = ".spec.sessions[*].name"),
    printcolumn(name = "Paused", type_ = "boolean", json_path = ".spec.paused"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct BackupConfigurationSpec {
    /// The application to back up.
    pub target: TargetRef,
    /// The ways to back it up.
    #[schemars(length(min = 1))]
    pub sessions: Vec<Session>,
    /// Whether to start no session of it for now.
    #[serde(default)]
    pub paused: bool,
}

/// One way to back up a target.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Its name, unique in the configuration.
    #[schemars(extend("format" = "k8s-short-name", "minLength" = 1, "maxLength" = 63))]
    pub name: String,
    /// The Task to run.
    pub task: TaskUse,
    /// The repositories that get the data: one dump, written to all of them.
    #[schemars(length(min = 1))]
    pub repositories: Vec<ObjectRef>,
    /// How long all steps before `finally` may take together. Absent: no limit; a run without a sign of life is ended all the
    /// same, see `limits.idle` of the Addon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How often it is tried again when something is unavailable or `coffer serve` ends meanwhile. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

/// A Task and the parameters for its steps.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskUse {
    /// The Task's name.
    pub name: Name,
    /// Parameters: each goes to every step whose Function declares it.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub params: Parameters,
}

/// What became of a configuration.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupConfigurationStatus {
    /// Whether its sessions can run.
    #[serde(default)]
    pub phase: ConfigurationPhase,
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Why its sessions cannot run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Conditions `Valid` and `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Whether a configuration's sessions can run.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ConfigurationPhase {
    /// Not looked at yet.
    #[default]
    Pending,
    /// They can.
    Ready,
    /// Something it needs is missing or not ready.
    NotReady,
    /// It contradicts the Task or the Functions it names.
    Invalid,
}

impl BackupConfigurationSpec {
    /// The session of that name.
    pub fn session(&self, name: &str) -> Option<&Session> {
        self.sessions.iter().find(|session| session.name == name)
    }

    pub(crate) fn check(&self, causes: &mut Vec<Cause>) {
        let names = self
            .sessions
            .iter()
            .enumerate()
            .map(|(index, session)| (format!("spec.sessions[{index}].name"), session.name.as_str()));
        crate::validate::unique(names, "sessions", causes);
        for (index, session) in self.sessions.iter().enumerate() {
            let repositories = session
                .repositories
                .iter()
                .map(|reference| match &reference.namespace {
                    Some(namespace) => format!("{namespace}/{}", reference.name),
                    None => reference.name.to_string(),
                })
                .collect::<Vec<_>>();
            let named = repositories
                .iter()
                .enumerate()
                .map(|(at, name)| (format!("spec.sessions[{index}].repositories[{at}]"), name.as_str()));
            crate::validate::unique(named, "repositories", causes);
        }
    }
}
