//! A Task and its parameters → a checked plan → a run.
//!
//! ```text
//! Request ──plan()──▶ Plan ──run()──▶ Outcome
//!  Task, Functions,    pure, serialisable:   snapshots, or what went wrong;
//!  grants, target,     what `coffer plan`    a status anyone can watch meanwhile
//!  parameters          prints
//! ```
//!
//! [`plan`](plan::plan) decides and does no I/O. It binds every parameter (and remembers which layer gave it), expands
//! `${VARIABLES}` in strings, and refuses what could not work: an unknown Function or parameter, a role out of place, a
//! capability that was not granted, an application that is not served.
//!
//! [`run`](run::run) gets the plan and everything it names as opened things ([`run::Inputs`]): components by Function,
//! repositories, the application. It knows nothing of Kubernetes. Actions run one after the other; the sources,
//! transforms and sinks between them run side by side, joined by bounded streams. A snapshot is committed as the very
//! last thing, after `finally` too; after any failure nothing is listed.
//!
//! ```ignore
//! let plan = coffer_pipeline::plan(&request)?;
//! let (status, watch) = coffer_pipeline::Status::of(&plan);      // watch: tokio::sync::watch::Receiver<Status>
//! let controls = Controls { status, log: Log::new(|line| …), cancel };
//! let outcome = coffer_pipeline::run(&plan, inputs, controls).await;   // Err(error) => error.failure() for the status
//! ```

mod error;
mod failure;
pub mod manifest;
pub mod plan;
pub mod run;

pub use error::Error;
pub use failure::failure;
pub use manifest::Manifest;
pub use plan::{Ends, Plan, PlanError, Request, Source, Target, plan};
pub use run::{Controls, Data, Destination, Inputs, Log, LogLine, Outcome, Status, run};
