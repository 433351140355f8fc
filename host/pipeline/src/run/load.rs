//! The beginning of a stream in a snapshot: its files, in the order the sink needs, become artifacts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use coffer_repository::{FileEntry, Lock, Repository, Snapshot};
use coffer_runtime::{Artifact, ArtifactReader, ArtifactWriter, artifact};
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    attempt::{Attempt, Passed},
    status::Log,
};
use crate::{
    Error, Manifest,
    manifest::{ManifestArtifact, RESERVED_FOLDER},
};

/// Chunks ahead of the sink, of up to some MiB each. One: the repository reads ahead by itself, and a sink may have many
/// artifacts open at once.
const CHUNKS: usize = 1;

/// A snapshot, checked as far as its lists go.
pub(super) struct Load {
    repository: Repository,
    /// What messages call the repository.
    name: String,
    /// The snapshot's short id.
    snapshot: String,
    entries: Vec<Entry>,
    facts: BTreeMap<String, String>,
    /// Keeps `restic prune` away.
    _lock: Option<Lock>,
}

/// A file, and what the manifest says it must be. Without a manifest there is nothing to compare with, and the repository's own
/// checks have to do.
struct Entry {
    artifact: Artifact,
    file: FileEntry,
    expected: Option<ManifestArtifact>,
}

impl Load {
    /// Lists the snapshot and compares it with its manifest, before the application is touched.
    pub(super) async fn open<'a>(
        name: &str,
        repository: &Repository,
        snapshot: &Snapshot,
        first: impl Iterator<Item = &'a String>,
        log: &Log,
    ) -> Result<Self, Error> {
        let short = snapshot.id.short();
        let read =
            |source| Error::Read { repository: name.to_owned(), snapshot: short.clone(), source: Box::new(source) };
        let lock = match repository.hold().await {
            Ok(lock) => Some(lock),
            // Somebody is pruning: what we read may vanish under us.
            Err(error @ coffer_repository::Error::Locked(_)) => return Err(read(error)),
            // A repository that can only be read has to do.
            Err(error) => {
                log.warn(format!("reading without a lock: {}", error.chain()));
                None
            }
        };
        let files = repository.files(snapshot).await.map_err(read)?;
        let manifest = Manifest::read(repository, name, snapshot, &files).await?;
        if manifest.is_none() {
            log.warn(format!("snapshot {short} has no manifest: its files are taken in the order of their names"));
        }
        let source = manifest.as_ref().and_then(Manifest::source);
        let facts = source.map(|step| step.facts.clone()).unwrap_or_default();
        let mut entries = entries(files, manifest, &short)?;
        if entries.is_empty() {
            return Err(Error::Empty { snapshot: short });
        }
        let rank: BTreeMap<&str, usize> = first.enumerate().map(|(rank, name)| (name.as_str(), rank)).collect();
        // A stable sort: those that are not asked for first stay as they are.
        entries.sort_by_key(|entry| rank.get(entry.artifact.name.as_str()).copied().unwrap_or(usize::MAX));
        Ok(Self { repository: repository.clone(), name: name.to_owned(), snapshot: short, entries, facts, _lock: lock })
    }

    /// What the step reported that read what the snapshot holds, if it is known.
    pub(super) fn facts(&self) -> &BTreeMap<String, String> {
        &self.facts
    }

    /// Hands the artifacts to the first step, each as soon as the one before it was taken. They are read side by side, as the
    /// step reads them, and counted for `counted`. Failures go to the attempt; what the step left unread is given back.
    pub(super) async fn feed(
        self: Arc<Self>,
        inbox: mpsc::Sender<ArtifactReader>,
        attempt: &Attempt,
        counted: Option<usize>,
    ) -> Passed {
        let mut pumps = JoinSet::new();
        for index in 0..self.entries.len() {
            let slot = tokio::select! {
                slot = inbox.reserve() => slot,
                () = attempt.stop.cancelled() => break,
            };
            // The step has ended, or wants no more.
            let (Ok(slot), Some(entry)) = (slot, self.entries.get(index)) else { break };
            let (writer, reader) = artifact(entry.artifact.clone(), CHUNKS);
            slot.send(reader);
            let (load, part) = (Arc::clone(&self), attempt.clone());
            pumps.spawn(async move {
                let entry = load.entries.get(index)?;
                tokio::select! {
                    whole = load.pump(entry, writer, &part) => {
                        if let Some(place) = counted.filter(|_| whole) {
                            part.board.artifact(place);
                        }
                        whole.then_some(index)
                    }
                    () = part.stop.cancelled() => None,
                }
            });
        }
        drop(inbox);
        let mut whole = BTreeSet::new();
        while let Some(ended) = pumps.join_next().await {
            match ended {
                Ok(index) => whole.extend(index),
                Err(error) => attempt.fail(Error::Internal(error.to_string())),
            }
        }
        let entries = self.entries.iter().enumerate();
        let unread = entries.filter(|(index, _)| !whole.contains(index)).map(|(_, entry)| entry.artifact.name.clone());
        Passed { total: self.entries.len(), unread: unread.collect() }
    }

    /// Reads one file; whether the step read it to its end.
    async fn pump(&self, entry: &Entry, mut writer: ArtifactWriter, attempt: &Attempt) -> bool {
        let mut bytes = self.repository.read(&entry.file);
        let mut hash = entry.expected.is_some().then(Sha256::new);
        let mut length = 0_u64;
        while let Some(chunk) = bytes.next().await {
            match chunk {
                Ok(chunk) => {
                    length += chunk.len() as u64;
                    if let Some(hash) = &mut hash {
                        hash.update(&chunk);
                    }
                    if writer.write(chunk).await.is_err() {
                        return false;
                    }
                }
                Err(source) => {
                    attempt.fail(Error::Read {
                        repository: self.name.clone(),
                        snapshot: self.snapshot.clone(),
                        source: Box::new(source),
                    });
                    return false;
                }
            }
        }
        if let (Some(expected), Some(hash)) = (&entry.expected, hash) {
            let found = hex::encode(hash.finalize());
            if (expected.length, &expected.sha256) != (length, &found) {
                let reason = format!("{length} bytes with SHA-256 {found} were read, its manifest says otherwise");
                // Before the trailer, so that the step can not take it for whole.
                attempt.fail(damaged(&self.snapshot, &entry.artifact.name, reason));
                return false;
            }
        }
        writer.finish_read().await.is_ok()
    }
}

/// The files as artifacts: in the manifest's order when there is one, else by name.
fn entries(files: Vec<FileEntry>, manifest: Option<Manifest>, snapshot: &str) -> Result<Vec<Entry>, Error> {
    let named = files.into_iter().filter_map(|file| {
        let name = file.path.trim_start_matches('/').to_owned();
        (name.split('/').next() != Some(RESERVED_FOLDER)).then_some((name, file))
    });
    let Some(manifest) = manifest else {
        return Ok(named
            .map(|(name, file)| Entry { artifact: Artifact { name, labels: Vec::new() }, file, expected: None })
            .collect());
    };
    let mut files: BTreeMap<String, FileEntry> = named.collect();
    let listed = manifest.artifacts.into_iter().map(|expected| {
        let file = files
            .remove(&expected.name)
            .ok_or_else(|| damaged(snapshot, &expected.name, "the snapshot does not hold it".to_owned()))?;
        if file.size != expected.length {
            let reason = format!("it has {} bytes, its manifest says {}", file.size, expected.length);
            return Err(damaged(snapshot, &expected.name, reason));
        }
        let artifact = Artifact { name: expected.name.clone(), labels: expected.labels.clone() };
        Ok(Entry { artifact, file, expected: Some(expected) })
    });
    let entries = listed.collect::<Result<Vec<_>, _>>()?;
    match files.into_keys().next() {
        None => Ok(entries),
        Some(name) => Err(damaged(snapshot, &name, "its manifest does not list it".to_owned())),
    }
}

fn damaged(snapshot: &str, artifact: &str, reason: String) -> Error {
    Error::Damaged { snapshot: snapshot.to_owned(), artifact: artifact.to_owned(), reason }
}
