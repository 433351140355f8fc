//! What can go wrong, by stage, and what follows from it.
//!
//! A caller decides by [`Class`] alone (retry, fail, ask) and shows the message to people. Messages name the addon, the
//! Function and the remedy; granted secrets are masked before a message leaves this crate.

use std::{fmt, path::PathBuf, time::Duration};

/// The runtime itself could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("unable to set up the WebAssembly engine: {0}")]
    Engine(String),
    #[error("unable to use {path} as the cache of compiled addons")]
    Cache {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "the cache of compiled addons {path} may be written by other users: choose another, or remove it so that it is made anew"
    )]
    CacheIsOpen { path: PathBuf },
}

/// Bytes that are no addon.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    #[error("not a WebAssembly component: it does not begin as one")]
    NotWasm,
    #[error("a core WebAssembly module, not a component: build it for the target wasm32-wasip2")]
    CoreModule,
    #[error("{length} bytes are more than the {limit} an addon may have")]
    TooLarge { length: usize, limit: usize },
    #[error("not an addon: it does not export {0}")]
    NotAnAddon(String),
    #[error("built for {found}, but this Coffer speaks {}", coffer_addon_descriptor::CONTRACT)]
    OtherContract { found: String },
    #[error("unable to compile the component: {0}")]
    Compile(String),
}

/// A component that wants what it was not given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Both lists are complete, so that one look is enough.
    #[error("{}", describe_missing(.addon, .ungranted, .unknown))]
    Missing {
        addon: String,
        /// Contract interfaces the component imports and the operator did not grant.
        ungranted: Vec<coffer_addon_descriptor::Capability>,
        /// Imports that no grant can give, such as `wasi:sockets/tcp@0.2.6`.
        unknown: Vec<String>,
    },
    #[error("addon {addon} does not fit the contract {}: {reason}", coffer_addon_descriptor::CONTRACT)]
    Incompatible { addon: String, reason: String },
}

fn describe_missing(addon: &str, ungranted: &[coffer_addon_descriptor::Capability], unknown: &[String]) -> String {
    let mut text = format!("addon {addon} cannot be linked:");
    if !ungranted.is_empty() {
        let names: Vec<_> = ungranted.iter().map(|c| crate::grants::name(*c)).collect();
        text.push_str(&format!(" it needs grants for {}", names.join(", ")));
    }
    if !unknown.is_empty() {
        let and = if ungranted.is_empty() { "" } else { ";" };
        text.push_str(&format!("{and} it imports what no addon is given: {}", unknown.join(", ")));
    }
    text
}

/// Why a run failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{function} of addon {addon}: {message}")]
pub struct RunError {
    pub class: Class,
    pub addon: String,
    /// The Function, or `describe`.
    pub function: String,
    /// For people; free of granted secrets.
    pub message: String,
    /// The message says what to do about it, in words of the host's.
    pub has_remedy: bool,
}

/// What a caller may decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// The guest's own verdicts, case by case as in the contract.
    InvalidParameter,
    Unavailable,
    Denied,
    Unsupported,
    Corrupt,
    Failed,
    /// The component trapped: a panic, an out-of-bounds access, a misuse of the contract.
    Trap,
    /// The step's deadline passed.
    Timeout,
    /// No sign of life for too long: no byte moved, and neither progress nor a log line came.
    Idle,
    /// The component computed for too long without moving a byte.
    Cpu,
    /// The component wanted more memory than it may have.
    Memory,
    /// `run` returned well, but an artifact had not arrived whole.
    OpenArtifacts,
    /// The caller cancelled.
    Cancelled,
    /// A fault of the host, or of what it was given.
    Host,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidParameter => "InvalidParameter",
            Self::Unavailable => "Unavailable",
            Self::Denied => "Denied",
            Self::Unsupported => "Unsupported",
            Self::Corrupt => "Corrupt",
            Self::Failed => "Failed",
            Self::Trap => "Trap",
            Self::Timeout => "Timeout",
            Self::Idle => "Idle",
            Self::Cpu => "Cpu",
            Self::Memory => "Memory",
            Self::OpenArtifacts => "OpenArtifacts",
            Self::Cancelled => "Cancelled",
            Self::Host => "Host",
        })
    }
}

/// Why the host stopped a run.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Stopped {
    #[error("not done after {0:?}, its timeout")]
    Deadline(Duration),
    #[error("no sign of life for {0:?}, its idle limit: no byte moved, and neither progress nor a log line came")]
    Idle(Duration),
    #[error("computed for {0:?}, its cpu limit, without moving a byte")]
    Cpu(Duration),
    #[error("wanted {wanted} bytes of memory, {limit} are allowed (its memory limit)")]
    Memory { wanted: usize, limit: usize },
    #[error("cancelled")]
    Cancelled,
}

impl Stopped {
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Deadline(_) => Class::Timeout,
            Self::Idle(_) => Class::Idle,
            Self::Cpu(_) => Class::Cpu,
            Self::Memory { .. } => Class::Memory,
            Self::Cancelled => Class::Cancelled,
        }
    }
}
