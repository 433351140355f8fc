//! The conformance kit: what every addon has to get right, tried on one with its application.
//!
//! [`check`] takes a linked component and what its author gives ([`Settings`]): a binding to an application with data, one
//! to an application to restore into, a command that empties that, a command that finds what was left behind. It runs the
//! addon's Functions as the pipeline does, with a proxy of its own in between, and tries what goes wrong in real life: wrong
//! passwords, servers that vanish or stand still, cancels in the middle, streams that nobody reads, artifacts that are
//! damaged. Each case says what was expected and what was found; a case that could not be done is left out and says why.
//!
//! The library prints nothing and knows no manifests: `coffer addon test` does both.

mod artifacts;
mod case;
mod check;
mod command;
mod descriptor;
mod gate;
mod judge;
mod limits;
mod outcome;
mod proxy;
mod refusals;
mod step;
mod streams;

pub use check::{Event, check};
pub use limits::{MEMORY, RUN};
pub use outcome::{Conformance, Outcome, Verdict};

use coffer_runtime::Application;
use serde_json::{Map, Value};
use std::time::Duration;

/// What the author of an addon gives.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the data is. Cases with an application are left out without it.
    pub source: Option<Bound>,
    /// What it is restored into. Cases that restore are left out without it.
    pub target: Option<Bound>,
    /// The source to test, where the addon has several for the application.
    pub source_function: Option<String>,
    /// The sink to test, likewise.
    pub sink_function: Option<String>,
    pub compare: Compare,
    /// Artifacts whose bytes may differ: they hold a time, say.
    pub volatile: Vec<String>,
    /// A line of shell that brings the target back to what it was. Runs before every restore.
    pub reset: Option<String>,
    /// A line of shell that fails while something of a run is left in an application. Runs after every case.
    pub leftovers: Option<String>,
    /// What a component may have, in bytes.
    pub memory: usize,
    /// What one run may take.
    pub timeout: Duration,
    /// Only these cases, and those they stand on. Empty: all.
    pub only: Vec<String>,
    /// Not these cases.
    pub skip: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            source: None,
            target: None,
            source_function: None,
            sink_function: None,
            compare: Compare::default(),
            volatile: Vec::new(),
            reset: None,
            leftovers: None,
            memory: MEMORY,
            timeout: RUN,
            only: Vec::new(),
            skip: Vec::new(),
        }
    }
}

/// An application, and what is set for the Functions that work on it.
#[derive(Debug, Clone)]
pub struct Bound {
    pub application: Application,
    /// Parameters of the source, or of the sink.
    pub parameters: Map<String, Value>,
    /// The binding's own parameters: each goes to the Functions that declare it.
    pub offered: Map<String, Value>,
}

/// When two dumps are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compare {
    /// The totals (`tables`, `rows`, `bytes`) are.
    Facts,
    /// And so are the artifacts' bytes, whatever their names: those may be numbers that shift.
    Contents,
    /// And so are their names.
    #[default]
    Bytes,
}

/// Why nothing could be tried at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What the author gives does not fit the addon.
    #[error("{0}")]
    Settings(String),
    #[error("the addon does not say what it is")]
    Describe(#[source] Box<coffer_runtime::RunError>),
    /// The kit's own files and sockets.
    #[error("the kit cannot work here")]
    Io(#[from] std::io::Error),
}
