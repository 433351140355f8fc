//! Sessions: backups and restores that run in this process.
//!
//! The life of a session, whichever kind it is:
//!
//! ```text
//! Pending ──claim the target──▶ Running ──▶ Succeeded
//!    ▲  (taken: wait, and say so)  │  │
//!    │                             │  └────▶ Failed
//!    └── the process was killed or stopped, and the retry policy allows another attempt; else Failed
//! ```
//!
//! One session at a time works on a target: a second one waits. A session that a status calls Running, and that this
//! process does not run, was interrupted. Deleting a session cancels it: a finalizer keeps the object until its run has
//! stopped, put back what it changed and removed its locks.

mod backup;
mod execute;
mod lifecycle;
mod registry;
mod restore;

pub(crate) use lifecycle::reconcile;
pub(crate) use registry::Sessions;
