//! What went wrong, as status shows it: a class that decides, a message for people, and what to do about it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a step, a session or an object failed.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// What kind of failure this is. It alone decides whether a retry makes sense.
    pub class: FailureClass,
    /// What happened and to which object, with its causes. Holds no secret.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with no remedy to offer yet.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), hint: None }
    }

    /// The same failure with a remedy.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The class of a failure.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum FailureClass {
    /// A manifest says something that cannot be.
    Invalid,
    /// A parameter is unknown, missing or of the wrong type.
    InvalidParameter,
    /// An object, a key of a Secret or a snapshot is not there.
    NotFound,
    /// The application or the storage cannot be reached now. The only class that is retried.
    Unavailable,
    /// The application, the storage or a grant refuses.
    Denied,
    /// The application, its version or one of its objects is not served.
    Unsupported,
    /// Data is damaged or incomplete.
    Corrupt,
    /// The step failed for a reason of its own.
    Failed,
    /// The component crashed.
    Trap,
    /// The time allowed for the step or the session is over.
    Timeout,
    /// Nothing moved for too long.
    Idle,
    /// The component used more processor time than it may.
    Cpu,
    /// The component wanted more memory than it may have.
    Memory,
    /// The step returned while an artifact was still open.
    OpenArtifacts,
    /// Somebody asked for it.
    Cancelled,
    /// The process that ran the session ended before the session did.
    Interrupted,
    /// Coffer itself failed.
    Host,
}

impl FailureClass {
    /// Whether the same attempt may succeed later with nothing changed.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Unavailable)
    }
}
