//! Why a run failed: whose fault, which step, repository or artifact, and what to do about it.

use coffer_api::{Failure, FailureClass, Role};
use coffer_runtime::{Class, RunError};

use crate::{failure::failure, manifest::MANIFEST_PATH};

/// Why a run failed. Sources are kept; no message holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A step's own failure.
    #[error("step {step} failed")]
    Step {
        /// The step.
        step: String,
        /// What it reads and writes.
        role: Role,
        /// What the runtime says.
        source: RunError,
    },
    /// A repository did not take what was to be stored.
    #[error("unable to store the snapshot in repository {repository}")]
    Store {
        /// The Repository.
        repository: String,
        /// What it says.
        source: Box<coffer_repository::Error>,
    },
    /// A repository did not give back what is stored.
    #[error("unable to read snapshot {snapshot} from repository {repository}")]
    Read {
        /// The Repository.
        repository: String,
        /// The snapshot's short id.
        snapshot: String,
        /// What it says.
        source: Box<coffer_repository::Error>,
    },
    /// Some repositories list the snapshot, and then one failed.
    #[error("stored in {}, but not in all repositories", .stored.join(", "))]
    Partly {
        /// The Repositories that list it.
        stored: Vec<String>,
        /// What went wrong in the next one.
        source: Box<Error>,
    },
    /// A step handed on what cannot be stored.
    #[error("step {step} wrote artifact {artifact:?}: {reason}")]
    Artifact {
        /// The step.
        step: String,
        /// The artifact's name.
        artifact: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A backup of nothing.
    #[error("step {step} wrote no artifact, so there is nothing to store")]
    Nothing {
        /// The step.
        step: String,
    },
    /// What is stored is not what was stored.
    #[error("artifact {artifact} of snapshot {snapshot} is damaged: {reason}")]
    Damaged {
        /// The snapshot's short id.
        snapshot: String,
        /// The artifact's name.
        artifact: String,
        /// How it differs.
        reason: String,
    },
    /// A snapshot's manifest cannot be used.
    #[error("{MANIFEST_PATH} of snapshot {snapshot} cannot be used: {reason}")]
    Manifest {
        /// The snapshot's short id.
        snapshot: String,
        /// Why.
        reason: String,
    },
    /// A snapshot of a Coffer that is newer than this one.
    #[error("snapshot {snapshot} was made by a later Coffer: its {MANIFEST_PATH} has format {format}")]
    LaterManifest {
        /// The snapshot's short id.
        snapshot: String,
        /// What its manifest says.
        format: u32,
    },
    /// A restore from nothing.
    #[error("snapshot {snapshot} holds no file")]
    Empty {
        /// The snapshot's short id.
        snapshot: String,
    },
    /// A restore of less than all.
    #[error("step {step} read {} of {total} artifacts to their end, and not {}", total - unread.len(), shown(.unread))]
    Unread {
        /// The sink.
        step: String,
        /// The artifacts it left.
        unread: Vec<String>,
        /// How many there were.
        total: usize,
    },
    /// What a sink says it wrote is not what its source says it read.
    #[error("step {step} reports {fact} {found}, but {expected} was backed up")]
    Differs {
        /// The sink.
        step: String,
        /// The fact that differs.
        fact: &'static str,
        /// The source's value.
        expected: String,
        /// The sink's value.
        found: String,
    },
    /// The whole run took too long.
    #[error("not done after {0}, the session's timeout")]
    Timeout(coffer_api::Duration),
    /// Somebody asked for it.
    #[error("cancelled")]
    Cancelled,
    /// The caller left out something that the plan names.
    #[error("the plan needs {0}, which it was not given")]
    Missing(String),
    /// A task of this process died.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    /// What the failure means for a retry and for the operator.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Step { source, .. } => class_of_run(source.class),
            Self::Store { source, .. } | Self::Read { source, .. } => failure(source).class,
            Self::Partly { source, .. } => source.class(),
            Self::Artifact { .. } | Self::Nothing { .. } | Self::Unread { .. } | Self::Differs { .. } => {
                FailureClass::Failed
            }
            Self::Damaged { .. } | Self::Manifest { .. } => FailureClass::Corrupt,
            Self::LaterManifest { .. } => FailureClass::Unsupported,
            Self::Empty { .. } => FailureClass::NotFound,
            Self::Timeout(_) => FailureClass::Timeout,
            Self::Cancelled => FailureClass::Cancelled,
            Self::Missing(_) | Self::Internal(_) => FailureClass::Host,
        }
    }

    /// What to do about it, when there is something to say that the message does not.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Step { source, .. } if source.has_remedy => return None,
            Self::Step { source, role, .. } => hint_of_run(source.class, *role)?,
            Self::Store { source, .. } | Self::Read { source, .. } => return failure(source).hint,
            Self::Timeout(_) => "if the work really needs longer, raise the timeout of the session",
            Self::Partly { source, .. } => return source.hint(),
            Self::Damaged { .. } | Self::Manifest { .. } => {
                "the repository gave back what it was given, so `restic check` finds nothing: the snapshot was changed after \
                 its backup, as `restic rewrite` does, or badly made; restore another one"
            }
            Self::LaterManifest { .. } => "restore it with the Coffer that made it, or a newer one",
            Self::Nothing { .. } => {
                "there may be nothing to back up; if there is, this is a fault of the addon: report it to its author"
            }
            Self::Unread { .. } => {
                "what was restored is not all that was backed up: use the Task that belongs to the one that made the \
                 snapshot, and if it is, report this to the addon's author"
            }
            Self::Differs { .. } => {
                "the target does not hold what was backed up: restore it anew into an empty one, and if that ends the \
                 same way, report it to the addon's author"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// The message with its causes.
    pub fn chain(&self) -> String {
        coffer_repository::chain(self)
    }

    /// As status shows it.
    pub fn failure(&self) -> Failure {
        Failure { class: self.class(), message: self.chain(), hint: self.hint() }
    }
}

fn class_of_run(class: Class) -> FailureClass {
    match class {
        Class::InvalidParameter => FailureClass::InvalidParameter,
        Class::Unavailable => FailureClass::Unavailable,
        Class::Denied => FailureClass::Denied,
        Class::Unsupported => FailureClass::Unsupported,
        Class::Corrupt => FailureClass::Corrupt,
        Class::Failed => FailureClass::Failed,
        Class::Trap => FailureClass::Trap,
        Class::Timeout => FailureClass::Timeout,
        Class::Idle => FailureClass::Idle,
        Class::Cpu => FailureClass::Cpu,
        Class::Memory => FailureClass::Memory,
        Class::OpenArtifacts => FailureClass::OpenArtifacts,
        Class::Cancelled => FailureClass::Cancelled,
        _ => FailureClass::Host,
    }
}

/// What to do about a step's failure whose message does not say it.
fn hint_of_run(class: Class, role: Role) -> Option<&'static str> {
    Some(match class {
        Class::Unavailable => "check that the application is up and that the address in its AppBinding is right",
        // Only the application knows which of the two it was, and the message is in its words.
        Class::Denied => {
            "if the login was refused, correct the user or the password in the Secret that the AppBinding names; if it was \
             accepted, grant that user what it may not do yet"
        }
        Class::Memory => "if the work really needs more, raise spec.limits.memory of the Addon",
        Class::Cpu => "if it really computes for so long at once, raise spec.limits.cpu of the Addon",
        Class::Idle => "if the work really is silent for so long, raise spec.limits.idle of the Addon",
        Class::Timeout => {
            "if the work really needs longer, raise the step's timeout in the Task; of a Task that an addon brought, make \
             a copy for it"
        }
        // What comes out of a repository was checked before the addon saw it.
        Class::Corrupt if matches!(role, Role::Sink | Role::Transform) => {
            "what was stored was read back unchanged, so the repository is not damaged: use the Task that belongs to the one \
             that wrote it, or another snapshot"
        }
        Class::Corrupt => "what the application answered is damaged or cut short: look into its log, then run it again",
        Class::Trap | Class::OpenArtifacts => {
            "this is a fault of the addon: report it to its author with the message above"
        }
        _ => return None,
    })
}

/// The first few of many names.
pub(crate) fn shown(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let first: Vec<_> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = names.len().saturating_sub(SHOWN);
    match more {
        0 => first.join(", "),
        _ => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(class: Class, role: Role, has_remedy: bool) -> Error {
        let (addon, function) = ("a 1".to_owned(), "f".to_owned());
        let source = RunError { class, addon, function, message: "no".to_owned(), has_remedy };
        Error::Step { step: "s".to_owned(), role, source }
    }

    #[test]
    fn a_message_with_its_remedy_gets_no_hint() {
        let denied = step(Class::Denied, Role::Source, false).hint().unwrap();
        assert!(denied.contains("if the login was refused") && denied.contains("Secret"), "{denied}");
        assert!(denied.contains("if it was accepted, grant"), "a missing privilege is not in the Secret: {denied}");
        assert_eq!(step(Class::Denied, Role::Source, true).hint(), None);
        assert!(step(Class::Idle, Role::Source, false).hint().unwrap().contains("spec.limits.idle"));
    }

    #[test]
    fn what_an_addon_refuses_is_no_damage_of_the_repository() {
        for (role, word) in
            [(Role::Sink, "not damaged"), (Role::Transform, "not damaged"), (Role::Source, "application")]
        {
            let hint = step(Class::Corrupt, role, false).hint().unwrap();
            assert!(hint.contains(word) && !hint.contains("restic"), "{role}: {hint}");
        }
    }

    #[test]
    fn few_of_many_unread_artifacts_are_named() {
        let unread = (0..7).map(|i| format!("{i}.dat")).collect();
        let error = Error::Unread { step: "restore".to_owned(), unread, total: 9 };
        assert_eq!(
            error.to_string(),
            "step restore read 2 of 9 artifacts to their end, and not 0.dat, 1.dat, 2.dat, 3.dat, 4.dat and 2 more"
        );
    }
}
