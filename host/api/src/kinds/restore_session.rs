//! RestoreSession: one run of a restore.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    backup_configuration::TaskUse,
    run::{IMMUTABLE, Retry},
    run_status::RunStatus,
};
use crate::{
    Duration,
    refs::{ObjectRef, TargetRef},
    schema,
};

/// One run of a restore. Made by `coffer restore` or applied; it runs once.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "coffer.dev",
    version = "v1alpha1",
    kind = "RestoreSession",
    namespaced,
    status = "RestoreSessionStatus",
    shortname = "restore",
    category = "coffer",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.target.name"),
    printcolumn(name = "Repository", type_ = "string", json_path = ".spec.dataSource.repository.name"),
    printcolumn(name = "Snapshot", type_ = "string", json_path = ".spec.dataSource.snapshot"),
    printcolumn(name = "Started", type_ = "date", json_path = ".status.startedAt"),
    printcolumn(name = "Finished", type_ = "date", json_path = ".status.finishedAt"),
    printcolumn(name = "Error", type_ = "string", json_path = ".status.error.message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::immutable(IMMUTABLE)))]
pub struct RestoreSessionSpec {
    /// The application to restore into.
    pub target: TargetRef,
    /// Where the data comes from.
    pub data_source: DataSource,
    /// The Task to run.
    pub task: TaskUse,
    /// How long all steps before `finally` may take together. Absent: no limit; a run without a sign of life is ended all the
    /// same, see `limits.idle` of the Addon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How often a step is tried again when something is unavailable. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

/// Where the data of a restore comes from.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DataSource {
    /// The Repository that holds the snapshot.
    pub repository: ObjectRef,
    /// The snapshot's id, at least its first eight digits, or `latest`.
    #[serde(default = "latest")]
    #[schemars(length(min = 1))]
    pub snapshot: String,
    /// With `latest`: the target whose snapshots count, as the snapshot names it. Absent: the one that all snapshots are of;
    /// when the repository holds those of several targets, the restore is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<TargetRef>,
}

fn latest() -> String {
    "latest".to_owned()
}

/// What became of a run.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreSessionStatus {
    /// What every run has.
    #[serde(flatten)]
    pub run: RunStatus,
    /// The id of the snapshot that is restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
}
