//! Snapshot objects: a mirror of what a repository holds.
//!
//! The repository is the truth. An object whose snapshot is gone is deleted; a snapshot without an object gets one, also
//! when somebody deleted it: deleting a mirror's image deletes no data, and does not pretend to. One whose snapshot is there
//! but cannot be read keeps its object, which says so. So do all of them when the repository cannot be opened and that does
//! not pass by itself: the data may be gone, or only its password. They go with the Repository object, which owns them.

use crate::error::{Error, Result};
use crate::object;
use coffer_api::refs::{LocalRef, TargetKind, TargetRef};
use coffer_api::{Artifact, Repository, Snapshot, SnapshotSpec, Time, labels};
use coffer_pipeline::Manifest;
use coffer_repository::{Error as RepositoryError, SnapshotList};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, Resource, ResourceExt};
use std::collections::{BTreeMap, BTreeSet};

/// Artifacts that an object lists. A dump of a large schema has thousands, and an object has to stay small.
const MAX_ARTIFACTS: usize = 100;

/// The Snapshot objects of a repository at one moment. Taken *before* the repository is listed: an object that another
/// task makes in between is then not taken for one whose snapshot is gone.
pub(crate) struct Mirrored(BTreeMap<String, Snapshot>);

impl Mirrored {
    pub(crate) async fn list(client: &Client, repository: &Repository) -> Result<Self> {
        let name = repository.name_any();
        let listed = api(client, repository).list(&ListParams::default()).await;
        let listed =
            listed.map_err(Error::api("list", format_args!("the Snapshots of {}", object::label(repository))))?;
        // Not by label: a name may be too long for one.
        let own = listed.items.into_iter().filter(|snapshot| snapshot.spec.repository.name.as_str() == name);
        Ok(Self(own.map(|snapshot| (snapshot.name_any(), snapshot)).collect()))
    }

    /// Marks all of them as what cannot be read for now.
    pub(crate) async fn mark(self, client: &Client, repository: &Repository, reason: &str) -> Result<()> {
        let api = api(client, repository);
        for snapshot in self.0.values().filter(|snapshot| !is_marked(snapshot)) {
            object::apply(&api, &marked(snapshot, reason)).await?;
        }
        Ok(())
    }

    /// Makes what is missing, deletes what is gone, and marks what cannot be read.
    pub(crate) async fn sync(
        self,
        client: &Client,
        repository: &Repository,
        opened: &coffer_repository::Repository,
        held: &SnapshotList,
    ) -> Result<()> {
        let api = api(client, repository);
        let mut names: BTreeSet<String> = BTreeSet::new();
        for snapshot in &held.snapshots {
            let name = name(repository, &snapshot.id.short());
            let before = self.0.get(&name);
            names.insert(name);
            if before.is_some_and(|before| !is_marked(before)) {
                continue;
            }
            let image = image(repository, opened, snapshot).await;
            // The reason may be worded differently each time; a write would wake this reconcile again.
            if before.is_none() || !is_marked(&image) {
                object::apply(&api, &image).await?;
            }
        }
        for error in &held.damaged {
            let Some(id) = damaged_id(error) else {
                // Whichever it is: its object must not go.
                return Ok(());
            };
            let name = name(repository, id);
            if let Some(before) = self.0.get(&name).filter(|before| !is_marked(before)) {
                object::apply(&api, &marked(before, &error.chain())).await?;
            }
            names.insert(name);
        }
        for gone in self.0.keys().filter(|name| !names.contains(*name)) {
            match api.delete(gone, &DeleteParams::default()).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(source) => return Err(Error::api("delete", format_args!("Snapshot {gone}"))(source)),
            }
        }
        Ok(())
    }
}

fn api(client: &Client, repository: &Repository) -> Api<Snapshot> {
    Api::namespaced(client.clone(), &repository.namespace().unwrap_or_default())
}

/// restic's short id is unique in any repository of a sane size; should it not be, the two share an object.
fn name(repository: &Repository, short_id: &str) -> String {
    format!("{}-{short_id}", repository.name_any())
}

/// The short id of a snapshot that could not be read: its error names it as `snapshot 1a2b3c4d`.
fn damaged_id(error: &RepositoryError) -> Option<&str> {
    let RepositoryError::Corrupt { object, .. } = error else { return None };
    let id = object.strip_prefix("snapshot ")?;
    (id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

fn is_marked(snapshot: &Snapshot) -> bool {
    snapshot.annotations().contains_key(labels::UNREADABLE)
}

/// The same object as one that cannot be read.
fn marked(before: &Snapshot, reason: &str) -> Snapshot {
    let mut object = Snapshot::new(&before.name_any(), before.spec.clone());
    object.metadata.namespace = before.metadata.namespace.clone();
    object.metadata.labels = before.metadata.labels.clone();
    object.metadata.owner_references = before.metadata.owner_references.clone();
    object.metadata.annotations = Some(BTreeMap::from([(labels::UNREADABLE.to_owned(), reason.to_owned())]));
    object
}

async fn image(
    repository: &Repository,
    opened: &coffer_repository::Repository,
    snapshot: &coffer_repository::Snapshot,
) -> Snapshot {
    let (manifest, unread) = match read_manifest(repository, opened, snapshot).await {
        Ok(manifest) => (manifest, None),
        Err(reason) => (None, Some(reason)),
    };
    let summary = snapshot.summary.as_ref();
    let target = tag(snapshot, "target").and_then(target);
    let session = tag(snapshot, "session").and_then(|session| session.rsplit('/').next()).map(str::to_owned);
    let spec = SnapshotSpec {
        repository: LocalRef::new(repository.name_any()),
        id: snapshot.id.to_string(),
        time: Time(snapshot.time),
        host: snapshot.hostname.clone(),
        tags: snapshot.tags.clone(),
        target: target.clone(),
        task: tag(snapshot, "task").map(str::to_owned),
        backup_session: session.clone(),
        size: summary.map_or(0, |summary| summary.total_bytes_processed),
        files: summary.map_or(0, |summary| summary.total_files_processed),
        artifacts: manifest
            .iter()
            .flat_map(|manifest| &manifest.artifacts)
            .take(MAX_ARTIFACTS)
            .map(Artifact::from)
            .collect(),
    };
    let mut object = Snapshot::new(&name(repository, &snapshot.id.short()), spec);
    let mut labelled = BTreeMap::from([
        (labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned()),
        (labels::REPOSITORY.to_owned(), repository.name_any()),
    ]);
    if let Some(target) = target {
        labelled.insert(labels::TARGET_KIND.to_owned(), target.kind.as_str().to_owned());
        labelled.insert(labels::TARGET_NAME.to_owned(), target.name.to_string());
    }
    labelled.extend(session.map(|session| (labels::BACKUP_SESSION.to_owned(), session)));
    // A label has 63 characters at most; a longer name is in the spec alone.
    labelled.retain(|_, value| value.len() <= 63);
    object.metadata.labels = Some(labelled);
    object.metadata.namespace = repository.namespace();
    object.metadata.owner_references = repository.controller_owner_ref(&()).map(|owner| vec![owner]);
    object.metadata.annotations = unread.map(|reason| BTreeMap::from([(labels::UNREADABLE.to_owned(), reason)]));
    object
}

/// What only the manifest tells; a snapshot without one, or with a broken one, is still a snapshot. A failure may pass: the
/// object is then marked and made again at the next look.
async fn read_manifest(
    repository: &Repository,
    opened: &coffer_repository::Repository,
    snapshot: &coffer_repository::Snapshot,
) -> Result<Option<Manifest>, String> {
    if tag(snapshot, "task").is_none() {
        return Ok(None);
    }
    let read = async {
        let files = opened.files(snapshot).await.map_err(|error| error.chain())?;
        Manifest::read(opened, &repository.name_any(), snapshot, &files).await.map_err(|error| error.chain())
    };
    read.await.inspect_err(|error: &String| {
        tracing::warn!(snapshot = snapshot.id.short(), error, "unable to read the manifest");
    })
}

fn tag<'a>(snapshot: &'a coffer_repository::Snapshot, key: &str) -> Option<&'a str> {
    snapshot.tags.iter().find_map(|tag| tag.strip_prefix(key)?.strip_prefix('='))
}

/// `AppBinding/demo/shop`. Of the kinds that there are, and in whatever namespace it was.
fn target(tag: &str) -> Option<TargetRef> {
    let mut parts = tag.splitn(3, '/');
    let (kind, _namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
    (kind == TargetKind::AppBinding.as_str()).then(|| TargetRef { kind: TargetKind::AppBinding, name: name.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_from_its_tag() {
        let tag = coffer_pipeline::manifest::target_tag("AppBinding", "demo", "shop");
        let value = tag.strip_prefix("target=").unwrap();
        assert_eq!(target(value).unwrap().name.as_str(), "shop");
        assert_eq!(target("Other/demo/shop"), None);
        assert_eq!(target("shop"), None);
    }
}
