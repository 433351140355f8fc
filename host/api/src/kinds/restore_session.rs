//! RestoreSession: one run of a restore, or of a copy from one application into another.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    backup_configuration::TaskUse,
    run::{IMMUTABLE, Retry},
    run_status::RunStatus,
};
use crate::{
    Cause, Duration,
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
    printcolumn(name = "Source", type_ = "string", json_path = ".spec.dataSource.application.name"),
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

/// Where the data of a restore comes from: a snapshot of `repository`, or `application`.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DataSource {
    /// The Repository that holds the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<ObjectRef>,
    /// The snapshot's id, at least its first eight digits, or `latest`. Absent: `latest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub snapshot: Option<String>,
    /// With `latest`: the target whose snapshots count, as the snapshot names it. Absent: the one that all snapshots are of;
    /// when the repository holds those of several targets, the restore is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<TargetRef>,
    /// The application that a copy is made of: its data goes into the target at once, and into no repository. The Task begins
    /// with a source, which reads this application, and ends in a sink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<TargetRef>,
}

/// What a [`DataSource`] names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source<'a> {
    /// A snapshot of a Repository.
    Snapshot {
        /// The Repository.
        repository: &'a ObjectRef,
        /// Its id, or [`DataSource::LATEST`].
        snapshot: &'a str,
        /// Whose the latest has to be.
        of: Option<&'a TargetRef>,
    },
    /// Another application.
    Application(&'a TargetRef),
}

impl DataSource {
    /// The snapshot that is chosen by its time.
    pub const LATEST: &str = "latest";

    /// What it names; `None` if that is nothing, or more than one thing.
    pub fn source(&self) -> Option<Source<'_>> {
        match (&self.repository, &self.application) {
            (Some(repository), None) => Some(Source::Snapshot {
                repository,
                snapshot: self.snapshot.as_deref().unwrap_or(Self::LATEST),
                of: self.of.as_ref(),
            }),
            (None, Some(application)) => Some(Source::Application(application)),
            _ => None,
        }
    }
}

impl RestoreSessionSpec {
    pub(crate) fn check(&self, causes: &mut Vec<Cause>) {
        let path = "spec.dataSource";
        let source = &self.data_source;
        crate::validate::exactly_one(
            path,
            [("repository", source.repository.is_some()), ("application", source.application.is_some())],
            causes,
        );
        let Some(Source::Application(application)) = source.source() else { return };
        if *application == self.target {
            causes.push(
                Cause::new(format!("{path}.application"), "is the target itself")
                    .hint("name another AppBinding in one"),
            );
        }
        for (field, set) in [("snapshot", source.snapshot.is_some()), ("of", source.of.is_some())] {
            if set {
                causes
                    .push(Cause::new(format!("{path}.{field}"), "means nothing for an application").hint("remove it"));
            }
        }
    }
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
