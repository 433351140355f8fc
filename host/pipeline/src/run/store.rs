//! The end of a stream in repositories: every artifact becomes a file of one snapshot in each of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use coffer_api::SnapshotRef;
use coffer_repository::{FileWriter, Receipt, Snapshot, SnapshotOptions, SnapshotWriter};
use coffer_runtime::{Artifact, ArtifactReader, Report};
use futures::future::{join_all, try_join_all};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Destination, Outcome, Stored, attempt::Attempt, pipe, status::Board};
use crate::{
    Error,
    manifest::{MANIFEST_PATH, Manifest, ManifestArtifact, RESERVED_FOLDER},
};

/// The snapshots under way, one a repository.
pub(super) struct Store {
    writers: Vec<(Destination, SnapshotWriter)>,
    /// In the order in which they began.
    artifacts: Vec<ManifestArtifact>,
}

impl Store {
    /// Begins a snapshot in every repository, or in none.
    pub(super) async fn begin(destinations: &[Destination], tags: &[String]) -> Result<Self, Error> {
        if destinations.is_empty() {
            return Err(Error::Missing("a repository".to_owned()));
        }
        let began: Vec<_> = destinations.iter().map(|destination| begin(destination, tags)).collect();
        let began = join_all(began).await;
        let mut store = Self { writers: Vec::new(), artifacts: Vec::new() };
        let mut error = None;
        for began in began {
            match began {
                Ok(writer) => store.writers.push(writer),
                Err(first) => error = error.or(Some(first)),
            }
        }
        match error {
            None => Ok(store),
            Some(error) => {
                store.abort().await;
                Err(error)
            }
        }
    }

    /// Takes all artifacts of the last step, at `place`. Failures go to the attempt.
    pub(super) async fn receive(
        &mut self,
        mut written: mpsc::Receiver<ArtifactReader>,
        attempt: &Attempt,
        place: usize,
        step: &str,
    ) {
        let mut copies = JoinSet::new();
        let mut count = 0;
        while let Some(reader) = pipe::next(&mut written, attempt).await {
            match self.files(reader.artifact(), step) {
                Ok(files) => {
                    let (part, number) = (attempt.clone(), count);
                    copies.spawn(async move {
                        let copied = tokio::select! {
                            copied = copy(reader, files, &part) => copied,
                            () = part.stop.cancelled() => None,
                        };
                        copied.map(|artifact| {
                            part.board.artifact(place);
                            (number, artifact)
                        })
                    });
                    count += 1;
                }
                Err(error) => {
                    // Before the reader goes, and the step with it.
                    attempt.fail(error);
                    break;
                }
            }
        }
        let mut artifacts = BTreeMap::new();
        while let Some(ended) = copies.join_next().await {
            match ended {
                Ok(copied) => artifacts.extend(copied),
                Err(error) => attempt.fail(Error::Internal(error.to_string())),
            }
        }
        self.artifacts = artifacts.into_values().collect();
    }

    /// A file in every repository.
    fn files(&self, artifact: &Artifact, step: &str) -> Result<Files, Error> {
        let name = &artifact.name;
        let refuse = |reason: String| Error::Artifact { step: step.to_owned(), artifact: name.clone(), reason };
        if name.split('/').next() == Some(RESERVED_FOLDER) {
            return Err(refuse(format!("the folder {RESERVED_FOLDER} belongs to Coffer")));
        }
        let file = |(destination, writer): &(Destination, SnapshotWriter)| {
            writer.file(name).map(|file| (destination.clone(), file)).map_err(|source| match source {
                // A bad or a repeated name is the addon's fault, not the repository's.
                coffer_repository::Error::InvalidPath { reason, .. } => refuse(reason.to_owned()),
                source => failed(destination, source),
            })
        };
        self.writers.iter().map(file).collect()
    }

    /// What the last step was told it had written is what is stored, and it is something.
    pub(super) fn compare(&self, report: &Report, step: &str) -> Result<(), Error> {
        let stored: BTreeMap<_, _> = self.artifacts.iter().map(|artifact| (artifact.name.as_str(), artifact)).collect();
        let differs = |name: &str, reason: &str| Error::Artifact {
            step: step.to_owned(),
            artifact: name.to_owned(),
            reason: reason.to_owned(),
        };
        for written in &report.artifacts {
            let name = written.artifact.name.as_str();
            let Some(stored) = stored.get(name) else { return Err(differs(name, "it was not stored")) };
            if (stored.length, &stored.sha256) != (written.receipt.length, &hex::encode(written.receipt.sha256)) {
                return Err(differs(name, "what was stored differs from what was written"));
            }
        }
        if stored.is_empty() {
            return Err(Error::Nothing { step: step.to_owned() });
        }
        match stored.len() == report.artifacts.len() {
            true => Ok(()),
            false => Err(differs("", "more was stored than was written")),
        }
    }

    /// Writes the manifest everywhere, then lists the snapshots, one repository after the other.
    pub(super) async fn commit(
        mut self,
        mut manifest: Manifest,
        board: &Board,
        cancel: &CancellationToken,
    ) -> Result<Outcome, Error> {
        manifest.artifacts = std::mem::take(&mut self.artifacts);
        let written = tokio::select! {
            written = self.write_manifest(&manifest) => written,
            () = cancel.cancelled() => Err(Error::Cancelled),
        };
        if let Err(error) = written {
            self.abort().await;
            return Err(error);
        }
        let files = manifest.artifacts.len() as u64 + 1;
        let mut outcome = Outcome { snapshots: Vec::new(), manifest: Some(manifest) };
        let mut writers = self.writers.into_iter();
        for (destination, writer) in writers.by_ref() {
            match writer.commit().await {
                Ok(snapshot) => {
                    let reference = reference(&destination, &snapshot, files);
                    board.listed(reference.clone());
                    outcome.snapshots.push(Stored { reference, snapshot });
                }
                Err(source) => {
                    let error = failed(&destination, source);
                    join_all(writers.map(|(_, writer)| writer.abort())).await;
                    let stored: Vec<_> =
                        outcome.snapshots.into_iter().map(|stored| stored.reference.repository).collect();
                    return Err(match stored.is_empty() {
                        true => error,
                        false => Error::Partly { stored, source: Box::new(error) },
                    });
                }
            }
        }
        Ok(outcome)
    }

    async fn write_manifest(&self, manifest: &Manifest) -> Result<(), Error> {
        let bytes = serde_json::to_vec_pretty(manifest).map_err(|error| Error::Internal(error.to_string()))?;
        let bytes = Bytes::from(bytes);
        for (destination, writer) in &self.writers {
            let write = async {
                let mut file = writer.file(MANIFEST_PATH.trim_start_matches('/'))?;
                file.write(bytes.clone()).await?;
                file.finish().await
            };
            write.await.map_err(|source| failed(destination, source))?;
        }
        Ok(())
    }

    /// Gives all of them up; nothing is listed.
    pub(super) async fn abort(self) {
        join_all(self.writers.into_iter().map(|(_, writer)| writer.abort())).await;
    }
}

type Files = Vec<(Destination, FileWriter)>;

/// Copies one artifact into every repository; the slowest sets the pace. `None` when it failed.
async fn copy(mut reader: ArtifactReader, mut files: Files, attempt: &Attempt) -> Option<ManifestArtifact> {
    loop {
        match reader.next().await {
            Ok(Some(chunk)) => {
                let writes: Vec<_> = files.iter_mut().map(|file| write(file, chunk.clone())).collect();
                if let Err(error) = try_join_all(writes).await {
                    attempt.fail(error);
                    return None;
                }
            }
            Ok(None) => break,
            // The step that wrote it is about to say why.
            Err(_) => {
                attempt.stop.cancelled().await;
                return None;
            }
        }
    }
    let finishes: Vec<_> = files.into_iter().map(finish).collect();
    match try_join_all(finishes).await {
        Ok(receipts) => receipts.into_iter().next().map(|receipt| {
            let Artifact { name, labels } = reader.artifact().clone();
            ManifestArtifact { name, length: receipt.length, sha256: receipt.sha256.to_string(), labels }
        }),
        Err(error) => {
            attempt.fail(error);
            None
        }
    }
}

// Functions of their own, for an async closure would make the whole run not `Send`.

async fn begin(destination: &Destination, tags: &[String]) -> Result<(Destination, SnapshotWriter), Error> {
    let options = SnapshotOptions {
        tags: tags.iter().chain(&destination.tags).cloned().collect(),
        program_version: Some(concat!("coffer ", env!("CARGO_PKG_VERSION")).to_owned()),
        ..SnapshotOptions::default()
    };
    let writer = destination.repository.begin(options).await.map_err(|source| failed(destination, source))?;
    Ok((destination.clone(), writer))
}

async fn write((destination, file): &mut (Destination, FileWriter), chunk: Bytes) -> Result<(), Error> {
    file.write(chunk).await.map_err(|source| failed(destination, source))
}

async fn finish((destination, file): (Destination, FileWriter)) -> Result<Receipt, Error> {
    file.finish().await.map_err(|source| failed(&destination, source))
}

fn reference(destination: &Destination, snapshot: &Snapshot, files: u64) -> SnapshotRef {
    let summary = snapshot.summary.as_ref();
    SnapshotRef {
        repository: destination.name.clone(),
        namespace: Some(destination.namespace.clone()),
        id: snapshot.id.to_string(),
        size: summary.map(|summary| summary.total_bytes_processed).unwrap_or_default(),
        files,
        uploaded: summary.map(|summary| summary.data_added_packed).unwrap_or_default(),
    }
}

fn failed(destination: &Destination, source: coffer_repository::Error) -> Error {
    Error::Store { repository: destination.name.clone(), source: Box::new(source) }
}
