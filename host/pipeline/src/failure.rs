//! What a repository's error means for whoever uses the repository: the one place that decides its class and its remedy.

use coffer_api::{Failure, FailureClass};
use coffer_repository::{Error, Part, Refusal};

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
        // The message says what is wrong with it.
        Error::Unreachable { .. } if error.is_of_folder() => (
            Class::Unavailable,
            Some("check spec.local.path of the BackupStorage, and that what it lies on is mounted"),
        ),
        Error::Unreachable { .. } if error.is_transient() => {
            (Class::Unavailable, Some("check that the storage is up and that the BackupStorage has the right address"))
        }
        // The storage has a name for what is wrong, such as a bucket that does not exist.
        Error::Unreachable { .. } => {
            (Class::Invalid, Some("check the address, the bucket and the path that the BackupStorage has"))
        }
        Error::Denied { refusal, .. } => (Class::Denied, Some(remedy_of_refusal(*refusal))),
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
        Error::Corrupt { part, .. } => (Class::Corrupt, remedy_of_damage(*part)),
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

fn remedy_of_refusal(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Credentials => "the credentials are in the Secret that the BackupStorage names in spec.secret",
        Refusal::Permissions => {
            "give the user that runs `coffer serve` the folder that the BackupStorage names, with all that is in it, by \
             chown or chmod"
        }
        Refusal::ReadOnly => {
            "mount the file system of the folder that the BackupStorage names so that it can be written, or name another \
             folder"
        }
    }
}

fn remedy_of_damage(part: Part) -> Option<&'static str> {
    match part {
        Part::Data => {
            Some("see what else is damaged with `restic check --read-data`, and restore another snapshot meanwhile")
        }
        Part::Index => Some("the packs may well be whole: `restic repair index` makes the index anew from them"),
        Part::Snapshot => {
            Some("only what this snapshot holds depends on it: restore another one, which `coffer snapshots` lists")
        }
        Part::Key => Some(
            "bring the file back from a copy of the repository, or give the password of another of its keys in \
             RESTIC_PASSWORD",
        ),
        Part::Config => Some("bring the file `config` back from a copy of the repository"),
        // The message says it.
        Part::Lock => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn class_and_remedy_follow_from_the_variant() {
        let lost = || Error::LockLost("gone".to_owned());
        let damaged = || Error::Corrupt { part: Part::Data, object: "pack 1".to_owned(), reason: "short".to_owned() };
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

    #[test]
    fn a_folder_has_no_credentials_and_each_part_a_remedy_of_its_own() {
        let hints: Vec<_> =
            [Refusal::Credentials, Refusal::Permissions, Refusal::ReadOnly].map(remedy_of_refusal).into();
        assert!(hints[0].contains("Secret") && hints[1].contains("chown") && hints[2].contains("mount"), "{hints:?}");
        let parts = [Part::Data, Part::Index, Part::Snapshot, Part::Key, Part::Config];
        let hints: std::collections::BTreeSet<_> = parts.into_iter().filter_map(remedy_of_damage).collect();
        assert_eq!(hints.len(), parts.len(), "{hints:?}");
    }
}
