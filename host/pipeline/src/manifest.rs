//! `/.coffer/manifest.json`: what a snapshot says about how it was made, and what a restore checks it against.

use std::collections::BTreeMap;

use bytes::Bytes;
use coffer_api::Role;
use coffer_repository::{FileEntry, Repository, Snapshot};
use futures::StreamExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Error, plan::Target};

/// Where the manifest stands in a snapshot.
pub const MANIFEST_PATH: &str = "/.coffer/manifest.json";

/// The folder of a snapshot that belongs to Coffer; no artifact may be in it.
pub(crate) const RESERVED_FOLDER: &str = ".coffer";

/// Larger than any manifest: a million artifacts take 200 MiB. Keeps a hostile one from exhausting memory.
const MAX_SIZE: u64 = 512 << 20;

/// The format's version; a reader refuses a later one.
const FORMAT: u32 = 1;

/// How a snapshot was made.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Version of this format.
    pub format: u32,
    /// When it was written, just before the snapshot was listed.
    pub time: Timestamp,
    /// The session that made it.
    pub session: String,
    /// The Task.
    pub task: String,
    /// What was backed up.
    pub target: ManifestTarget,
    /// The steps, with the components that ran them and what they reported.
    pub steps: Vec<ManifestStep>,
    /// The artifacts in the order in which they began.
    pub artifacts: Vec<ManifestArtifact>,
}

/// What was backed up.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestTarget {
    /// Kind of the object that stood for it.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The application's type.
    pub application: String,
    /// The application's version, as the AppBinding had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A step that ran.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestStep {
    /// Its name in the Task.
    pub name: String,
    /// The Function.
    pub function: String,
    /// What it read and wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The component that ran it: `sha256:` and 64 hex digits.
    pub digest: String,
    /// What it reported.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, String>,
}

/// An artifact, stored as the file of the same name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestArtifact {
    /// Its name: the file's path without the leading slash.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    /// Its SHA-256, 64 hex digits.
    pub sha256: String,
    /// Its labels, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<(String, String)>,
}

impl From<&Target> for ManifestTarget {
    fn from(target: &Target) -> Self {
        Self {
            kind: target.kind.clone(),
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            application: target.application.clone(),
            version: target.version.clone(),
        }
    }
}

/// The tag of every snapshot of a target, by which `latest` and retention find them.
pub fn target_tag(kind: &str, namespace: &str, name: &str) -> String {
    format!("target={kind}/{namespace}/{name}")
}

impl Manifest {
    pub(crate) fn new(session: &str, task: &str, target: &Target) -> Self {
        Self {
            format: FORMAT,
            time: Timestamp::now(),
            session: session.to_owned(),
            task: task.to_owned(),
            target: target.into(),
            steps: Vec::new(),
            artifacts: Vec::new(),
        }
    }

    /// The step that read what the artifacts hold as it is; `None` when a transform stood behind it, which may have left
    /// something out.
    pub(crate) fn source(&self) -> Option<&ManifestStep> {
        let with = |role| self.steps.iter().find(move |step| step.role == Some(role));
        with(Role::Source).filter(|_| with(Role::Transform).is_none())
    }

    /// Bytes of all artifacts.
    pub fn size(&self) -> u64 {
        self.artifacts.iter().map(|artifact| artifact.length).sum()
    }

    /// Reads the manifest of a snapshot whose files are `files`; `None` when there is none, as in a snapshot of restic's.
    /// `name` is what messages call the repository.
    pub async fn read(
        repository: &Repository,
        name: &str,
        snapshot: &Snapshot,
        files: &[FileEntry],
    ) -> Result<Option<Self>, Error> {
        let short = snapshot.id.short();
        let Some(file) = files.iter().find(|file| file.path == MANIFEST_PATH) else { return Ok(None) };
        let unusable = |reason: String| Error::Manifest { snapshot: short.clone(), reason };
        if file.size > MAX_SIZE {
            return Err(unusable(format!("{} bytes are more than it may have", file.size)));
        }
        let unread =
            |source| Error::Read { repository: name.to_owned(), snapshot: short.clone(), source: Box::new(source) };
        let mut bytes = Vec::new();
        let mut stream = repository.read(file);
        while let Some(chunk) = stream.next().await {
            let chunk: Bytes = chunk.map_err(unread)?;
            bytes.extend_from_slice(&chunk);
        }
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
        if manifest.format > FORMAT {
            return Err(Error::LaterManifest { snapshot: short, format: manifest.format });
        }
        Ok(Some(manifest))
    }
}
