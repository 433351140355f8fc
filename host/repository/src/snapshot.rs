//! Snapshots: what a repository lists (restic's design document, "Snapshots").

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{error::Error, id::Id};

/// What a new snapshot says about itself.
#[derive(Debug, Clone, Default)]
pub struct SnapshotOptions {
    /// The machine, or whatever stands for it; this machine's name when not given. restic groups by it.
    pub hostname: Option<String>,
    pub tags: Vec<String>,
    /// What was backed up, as absolute paths; `/` when empty. restic groups by them too.
    pub paths: Vec<String>,
    /// Name and version of the program, as in `coffer 0.1.0`.
    pub program_version: Option<String>,
}

/// A snapshot: it is listed, so it is complete.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub id: Id,
    /// When it was begun.
    pub time: Timestamp,
    pub hostname: String,
    pub username: String,
    pub tags: Vec<String>,
    pub paths: Vec<String>,
    pub program_version: String,
    /// Snapshots of restic before 0.17 have none.
    pub summary: Option<Summary>,
    pub(crate) tree: Id,
}

/// Figures of a backup, under restic's names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub backup_start: Timestamp,
    pub backup_end: Timestamp,
    #[serde(default)]
    pub files_new: u64,
    #[serde(default)]
    pub files_changed: u64,
    #[serde(default)]
    pub files_unmodified: u64,
    #[serde(default)]
    pub dirs_new: u64,
    #[serde(default)]
    pub dirs_changed: u64,
    #[serde(default)]
    pub dirs_unmodified: u64,
    #[serde(default)]
    pub data_blobs: u64,
    #[serde(default)]
    pub tree_blobs: u64,
    /// Plain bytes that the repository did not have.
    #[serde(default)]
    pub data_added: u64,
    /// The same as stored: compressed and sealed.
    #[serde(default)]
    pub data_added_packed: u64,
    #[serde(default)]
    pub total_files_processed: u64,
    #[serde(default)]
    pub total_bytes_processed: u64,
}

/// All that a repository lists.
#[derive(Debug, Default)]
pub struct SnapshotList {
    /// Oldest first.
    pub snapshots: Vec<Snapshot>,
    /// Snapshot files that could not be read: they hide none of the others.
    pub damaged: Vec<Error>,
}

/// Which snapshots are meant. Empty fields match all.
#[derive(Debug, Clone, Default)]
pub struct SnapshotFilter {
    pub hostname: Option<String>,
    /// All of these.
    pub tags: Vec<String>,
    /// All of these.
    pub paths: Vec<String>,
}

impl SnapshotFilter {
    #[must_use]
    pub fn matches(&self, snapshot: &Snapshot) -> bool {
        self.hostname.as_ref().is_none_or(|hostname| *hostname == snapshot.hostname)
            && self.tags.iter().all(|tag| snapshot.tags.contains(tag))
            && self.paths.iter().all(|path| snapshot.paths.contains(path))
    }
}

/// The file, fields in restic's order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotFile {
    pub(crate) time: Timestamp,
    pub(crate) tree: Id,
    #[serde(default)]
    pub(crate) paths: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) hostname: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) username: String,
    #[serde(default)]
    pub(crate) uid: u32,
    #[serde(default)]
    pub(crate) gid: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) program_version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) summary: Option<Summary>,
}

impl SnapshotFile {
    pub(crate) fn named(self, id: Id) -> Snapshot {
        let Self { time, tree, paths, hostname, username, tags, program_version, summary, .. } = self;
        Snapshot { id, time, hostname, username, tags, paths, program_version, summary, tree }
    }
}
