//! What can go wrong with a repository. Four ways of not having one are four variants, for only [`Error::Absent`] may lead to
//! making one. No message holds a secret.

use std::{
    fmt,
    io::{self, ErrorKind},
    sync::Arc,
};

use crate::lock::Holder;

/// What `object_store` calls its folders in errors.
pub(crate) const FOLDER: &str = "LocalFileSystem";

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("there is no repository at {store}: nothing is stored there yet")]
    Absent { store: String },
    #[error("the password opens no key of the repository at {store}")]
    WrongPassword { store: String },
    #[error("unable to reach {store}")]
    Unreachable { store: String, source: object_store::Error },
    /// At the first contact or later: a key may be allowed to read and not to write.
    #[error("not allowed to {action} {object}: {refusal}")]
    Denied { action: &'static str, object: String, refusal: Refusal, source: object_store::Error },
    #[error("{store} holds no restic repository: {reason}")]
    NotARepository { store: String, reason: String },
    #[error(
        "the repository at {store} has format version {version}, only version 2 is supported (`restic migrate upgrade_repo_v2` upgrades it)"
    )]
    Version { store: String, version: u32 },
    #[error("{store} already holds a repository")]
    AlreadyExists { store: String },
    #[error("invalid storage configuration: {0}")]
    Configuration(String),

    #[error("unable to {action} {object}")]
    Store { action: &'static str, object: String, source: object_store::Error },
    #[error("{object} is damaged: {reason}")]
    Corrupt { part: Part, object: String, reason: String },

    #[error(
        "the repository is locked exclusively by {0}; wait until it ends, or, if it is dead, remove its lock with `restic unlock`"
    )]
    Locked(Holder),
    #[error("the lock on the repository was lost: {0}; run the backup again")]
    LockLost(String),

    #[error("there is no snapshot {0}")]
    NoSnapshot(String),
    #[error("the snapshot id {0} is ambiguous: give more digits")]
    AmbiguousSnapshot(String),

    #[error("invalid path {path:?}: {reason}")]
    InvalidPath { path: String, reason: &'static str },
    #[error("{path} was not written to its end")]
    Unfinished { path: String },
    #[error("the snapshot was abandoned")]
    Abandoned,
    /// The snapshot failed earlier, perhaps in another stream; nothing of it is listed.
    #[error("the snapshot failed and can not be completed: {0}")]
    Failed(#[source] Arc<Error>),

    #[error("internal error: {0}")]
    Internal(String),
}

/// Who does not let us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A server that asks for credentials.
    Credentials,
    /// A folder's or a file's mode.
    Permissions,
    /// A file system that nobody may write to.
    ReadOnly,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Credentials => "the credentials or their permissions are not enough",
            Self::Permissions => "the user that Coffer runs as lacks the permission",
            Self::ReadOnly => "its file system is mounted read-only",
        })
    }
}

/// What of a repository is damaged: each needs another remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Packs, and the blobs and trees in them.
    Data,
    Index,
    Snapshot,
    Key,
    Config,
    Lock,
}

impl Error {
    pub(crate) fn corrupt(part: impl Into<Part>, object: impl ToString, reason: impl ToString) -> Self {
        Self::Corrupt { part: part.into(), object: object.to_string(), reason: reason.to_string() }
    }

    /// Of the first contact with a store.
    pub(crate) fn contact(store: impl ToString) -> impl FnOnce(object_store::Error) -> Self {
        let store = store.to_string();
        move |source| match refusal(&source) {
            Some(refusal) => Self::Denied { action: "access", object: store, refusal, source },
            None => Self::Unreachable { store, source },
        }
    }

    pub(crate) fn store(action: &'static str, object: impl ToString) -> impl FnOnce(object_store::Error) -> Self {
        let object = object.to_string();
        move |source| match refusal(&source) {
            Some(refusal) => Self::Denied { action, object, refusal, source },
            None => Self::Store { action, object, source },
        }
    }

    /// Whether the same call may succeed later without anyone changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            // What a store has a name for, such as a bucket that does not exist, stays as it is.
            Self::Unreachable { source, .. } | Self::Store { source, .. } => {
                matches!(source, object_store::Error::Generic { .. }) && http_status(source) != Some(404)
            }
            Self::Locked(_) | Self::LockLost(_) => true,
            Self::Failed(cause) => cause.is_transient(),
            _ => false,
        }
    }

    /// Whether it is a folder that could not be reached, rather than a server.
    #[must_use]
    pub fn is_of_folder(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } | Self::Store { source, .. } => is_of_folder(source),
            Self::Failed(cause) => cause.is_of_folder(),
            _ => false,
        }
    }

    /// The message with all its causes, for logs and status.
    #[must_use]
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// An error's message with those of all its causes; what only repeats another is left out.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error).map(ToString::to_string).fold(error.to_string(), |text, message| match text.contains(&message) {
        true => text,
        false => format!("{text}: {message}"),
    })
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |cause| cause.source())
}

/// The refusals of a folder, and of a bucket to be listed, have no name in `object_store`: they lie among the causes. A firewall
/// may refuse a connection in the words of a file system; that is no refusal of the storage.
fn refusal(error: &object_store::Error) -> Option<Refusal> {
    if is_of_folder(error) {
        let mut causes = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
        return causes.find_map(|cause| match cause.kind() {
            ErrorKind::PermissionDenied => Some(Refusal::Permissions),
            ErrorKind::ReadOnlyFilesystem => Some(Refusal::ReadOnly),
            _ => None,
        });
    }
    let denied =
        matches!(error, object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. });
    (denied || matches!(http_status(error), Some(401 | 403))).then_some(Refusal::Credentials)
}

fn is_of_folder(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::Generic { store: FOLDER, .. })
}

/// `object_store` keeps the type private that has it; the tests on a real server notice when its words change.
fn http_status(error: &object_store::Error) -> Option<u16> {
    causes(error).find_map(|cause| {
        let message = cause.to_string();
        message.strip_prefix("Server returned non-2xx status code: ")?.get(..3)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_refuses_is_told_apart() {
        let error =
            |store, kind: ErrorKind| object_store::Error::Generic { store, source: io::Error::from(kind).into() };
        assert_eq!(refusal(&error(FOLDER, ErrorKind::PermissionDenied)), Some(Refusal::Permissions));
        assert_eq!(refusal(&error(FOLDER, ErrorKind::ReadOnlyFilesystem)), Some(Refusal::ReadOnly));
        assert_eq!(refusal(&error(FOLDER, ErrorKind::StorageFull)), None);
        assert_eq!(refusal(&error("S3", ErrorKind::PermissionDenied)), None, "a firewall, not a storage");
        let denied = object_store::Error::PermissionDenied { path: "a".to_owned(), source: "403".into() };
        assert_eq!(refusal(&denied), Some(Refusal::Credentials));
    }
}
