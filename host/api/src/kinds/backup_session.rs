//! BackupSession: one run of a backup.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{run::IMMUTABLE, run_status::RunStatus};
use crate::{refs::LocalRef, schema};

/// One run of a backup. Made by `coffer backup`; its status tells everything.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "coffer.dev",
    version = "v1alpha1",
    kind = "BackupSession",
    namespaced,
    status = "BackupSessionStatus",
    shortname = "bsn",
    category = "coffer",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Configuration", type_ = "string", json_path = ".spec.configuration.name"),
    printcolumn(name = "Session", type_ = "string", json_path = ".spec.session"),
    printcolumn(name = "Started", type_ = "date", json_path = ".status.startedAt"),
    printcolumn(name = "Finished", type_ = "date", json_path = ".status.finishedAt"),
    printcolumn(name = "Error", type_ = "string", json_path = ".status.error.message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::immutable(IMMUTABLE)))]
pub struct BackupSessionSpec {
    /// The BackupConfiguration to run.
    pub configuration: LocalRef,
    /// Which of its sessions. Absent: its only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub session: Option<String>,
}

/// What became of a run.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupSessionStatus {
    /// What every run has.
    #[serde(flatten)]
    pub run: RunStatus,
    /// The snapshots it made, one a repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SnapshotRef>,
}

/// A snapshot that a run made.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotRef {
    /// The Repository that holds it.
    pub repository: String,
    /// The Repository's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its id in the repository: 64 hex digits.
    pub id: String,
    /// Bytes of all its files.
    #[serde(default)]
    pub size: u64,
    /// How many files it has.
    #[serde(default)]
    pub files: u64,
    /// Bytes that were new and were uploaded, compressed.
    #[serde(default)]
    pub uploaded: u64,
}
