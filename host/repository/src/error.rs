//! What can go wrong with a repository. Four ways of not having one are four variants, for only [`Error::Absent`] may lead to
//! making one. No message holds a secret.

use std::sync::Arc;

use crate::lock::Holder;

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
    #[error("not allowed to {action} {object}: check the credentials and their permissions")]
    Denied { action: &'static str, object: String, source: object_store::Error },
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
    Corrupt { object: String, reason: String },

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

impl Error {
    pub(crate) fn corrupt(object: impl ToString, reason: impl ToString) -> Self {
        Self::Corrupt { object: object.to_string(), reason: reason.to_string() }
    }

    /// Of the first contact with a store.
    pub(crate) fn contact(store: impl ToString) -> impl FnOnce(object_store::Error) -> Self {
        let store = store.to_string();
        move |source| match is_denied(&source) {
            true => Self::Denied { action: "access", object: store, source },
            false => Self::Unreachable { store, source },
        }
    }

    pub(crate) fn store(action: &'static str, object: impl ToString) -> impl FnOnce(object_store::Error) -> Self {
        let object = object.to_string();
        move |source| match is_denied(&source) {
            true => Self::Denied { action, object, source },
            false => Self::Store { action, object, source },
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

/// The refusals of a folder, and of a bucket to be listed, have no name in `object_store`: they lie among the causes.
fn is_denied(error: &object_store::Error) -> bool {
    use std::io::{self, ErrorKind};
    matches!(error, object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. })
        || matches!(http_status(error), Some(401 | 403))
        || causes(error)
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .any(|cause| matches!(cause.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem))
}

/// `object_store` keeps the type private that has it; the tests on a real server notice when its words change.
fn http_status(error: &object_store::Error) -> Option<u16> {
    causes(error).find_map(|cause| {
        let message = cause.to_string();
        message.strip_prefix("Server returned non-2xx status code: ")?.get(..3)?.parse().ok()
    })
}
