//! What a repository's error means for whoever uses the repository: the one place that decides its class and its remedy.

use coffer_api::{Failure, FailureClass};
use coffer_repository::Error;

/// An error of a repository as status shows it. There is no hint where the message itself has the remedy.
pub fn failure(error: &Error) -> Failure {
    let (class, hint) = judge(error);
    Failure { class, message: error.chain(), hint: hint.map(str::to_owned) }
}

fn judge(error: &Error) -> (FailureClass, Option<&'static str>) {
    use FailureClass as Class;
    match error {
        Error::Absent { .. } => (
            Class::NotFound,
            Some("it is made when its Repository object is reconciled; see `coffer describe repository`"),
        ),
        Error::WrongPassword { .. } => (
            Class::Denied,
            Some(
                "the Secret holds another password than the one the repository was made with: restore it in RESTIC_PASSWORD",
            ),
        ),
        Error::Unreachable { .. } if error.is_transient() => {
            (Class::Unavailable, Some("check that the storage is up and that the BackupStorage has the right address"))
        }
        // The storage has a name for what is wrong, such as a bucket that does not exist.
        Error::Unreachable { .. } => {
            (Class::Invalid, Some("check the address, the bucket and the path that the BackupStorage has"))
        }
        Error::Denied { .. } => {
            (Class::Denied, Some("the credentials are in the Secret that the BackupStorage names in spec.secret"))
        }
        Error::NotARepository { .. } => {
            (Class::Invalid, Some("choose an empty place by spec.path, or the path of a restic repository"))
        }
        Error::AlreadyExists { .. } | Error::Configuration(_) | Error::InvalidPath { .. } => (Class::Invalid, None),
        Error::Version { .. } => (Class::Unsupported, None),
        Error::Store { .. } if error.is_transient() => {
            (Class::Unavailable, Some("check that the storage is reachable and has space, then run it again"))
        }
        Error::Store { .. } => (
            Class::Failed,
            Some("trying again will not change it: check that what the BackupStorage points to is still there"),
        ),
        Error::Corrupt { .. } => (
            Class::Corrupt,
            Some("see what else is damaged with `restic check --read-data`, and restore another snapshot meanwhile"),
        ),
        // Their messages say what to do.
        Error::Locked(_) | Error::LockLost(_) => (Class::Unavailable, None),
        Error::NoSnapshot(_) | Error::AmbiguousSnapshot(_) => {
            (Class::NotFound, Some("`coffer snapshots` lists what there is"))
        }
        Error::Failed(cause) => judge(cause),
        error if error.is_transient() => (Class::Unavailable, None),
        // A fault of ours.
        _ => (Class::Host, None),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn class_and_remedy_follow_from_the_variant() {
        let lost = || Error::LockLost("gone".to_owned());
        let damaged = || Error::Corrupt { object: "pack 1".to_owned(), reason: "short".to_owned() };
        for (error, class, has_hint) in [
            (Error::Absent { store: "s".to_owned() }, FailureClass::NotFound, true),
            (Error::WrongPassword { store: "s".to_owned() }, FailureClass::Denied, true),
            (Error::Version { store: "s".to_owned(), version: 1 }, FailureClass::Unsupported, false),
            (Error::Configuration("c".to_owned()), FailureClass::Invalid, false),
            (Error::NoSnapshot("n".to_owned()), FailureClass::NotFound, true),
            (lost(), FailureClass::Unavailable, false),
            (damaged(), FailureClass::Corrupt, true),
            (Error::Failed(Arc::new(damaged())), FailureClass::Corrupt, true),
            (Error::Failed(Arc::new(lost())), FailureClass::Unavailable, false),
            (Error::Abandoned, FailureClass::Host, false),
        ] {
            let failure = failure(&error);
            assert_eq!((failure.class, failure.hint.is_some()), (class, has_hint), "{error:?}");
            assert_eq!(failure.class.is_transient(), error.is_transient(), "{error:?}");
        }
    }
}
