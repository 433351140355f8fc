//! Repository: one restic repository in a storage.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Cause, Condition, Failure, Time,
    refs::{LocalRef, ObjectRef},
    usage::{DeletionPolicy, UsagePolicy},
};

/// One restic repository in a storage. Initialised when there is nothing at its path yet.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "coffer.dev",
    version = "v1alpha1",
    kind = "Repository",
    namespaced,
    status = "RepositoryStatus",
    shortname = "repo",
    category = "coffer",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Snapshots", type_ = "integer", json_path = ".status.snapshotCount"),
    printcolumn(name = "Last-Backup", type_ = "date", json_path = ".status.lastBackupTime"),
    printcolumn(name = "Storage", type_ = "string", json_path = ".spec.storage.name", priority = 1),
    printcolumn(name = "Path", type_ = "string", json_path = ".spec.path", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct RepositorySpec {
    /// The BackupStorage that holds it. Absent: the namespace's default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<ObjectRef>,
    /// Where it is in the storage: a relative path, such as `shop`.
    #[schemars(length(min = 1))]
    pub path: String,
    /// The Secret with the repository's password: key RESTIC_PASSWORD. Whoever loses it loses the data.
    pub encryption_secret: LocalRef,
    /// Which namespaces may back up to it and restore from it.
    #[serde(default)]
    pub usage_policy: UsagePolicy,
    /// What happens to the data when this object is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// What became of a repository.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryStatus {
    /// Whether it can be used.
    #[serde(default)]
    pub phase: StoragePhase,
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The id in the repository's own config.
    #[serde(default, rename = "repositoryID", skip_serializing_if = "Option::is_none")]
    pub repository_id: Option<String>,
    /// How many snapshots it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_count: Option<u64>,
    /// When its newest snapshot was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_backup_time: Option<Time>,
    /// Why it cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Condition `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Whether a storage or a repository can be used.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum StoragePhase {
    /// Not looked at yet.
    #[default]
    Pending,
    /// It can.
    Ready,
    /// It cannot; `error` says why.
    NotReady,
}

impl RepositorySpec {
    pub(crate) fn check(&self, causes: &mut Vec<Cause>) {
        let segments = self.path.split('/').collect::<Vec<_>>();
        if segments.iter().any(|segment| segment.is_empty() || *segment == "." || *segment == "..") {
            causes.push(
                Cause::new("spec.path", format!("{:?} is no plain relative path", self.path))
                    .hint("write it like shop or prod/shop: no leading or double slash, no . and no .."),
            );
        }
    }
}
