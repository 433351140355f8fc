//! Snapshot: mirrors what a repository holds.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run::Artifact;
use crate::{
    Time,
    refs::{LocalRef, TargetRef},
};

/// A snapshot that a repository holds. The repository is the truth; this object mirrors it.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "coffer.dev",
    version = "v1alpha1",
    kind = "Snapshot",
    namespaced,
    shortname = "snap",
    category = "coffer",
    printcolumn(name = "Repository", type_ = "string", json_path = ".spec.repository.name"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.target.name"),
    printcolumn(name = "Time", type_ = "date", json_path = ".spec.time"),
    printcolumn(name = "Files", type_ = "integer", json_path = ".spec.files"),
    printcolumn(name = "Size", type_ = "integer", json_path = ".spec.size"),
    printcolumn(name = "ID", type_ = "string", json_path = ".spec.id", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotSpec {
    /// The Repository that holds it, in this namespace.
    pub repository: LocalRef,
    /// Its id in the repository: 64 hex digits.
    #[schemars(length(min = 1))]
    pub id: String,
    /// When it was made.
    pub time: Time,
    /// The host name it carries.
    #[serde(default)]
    pub host: String,
    /// The tags it carries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What was backed up, when Coffer made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetRef>,
    /// The Task that made it, when Coffer did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The BackupSession that made it, when Coffer did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_session: Option<String>,
    /// Bytes of all its files.
    #[serde(default)]
    pub size: u64,
    /// How many files it has.
    #[serde(default)]
    pub files: u64,
    /// Its artifacts in the order in which they began. A long list is cut; the snapshot's manifest has it whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
}
