//! The reconcilers: one a kind, against any Kubernetes API, the embedded one or a cluster's.
//!
//! [`run`] starts a controller a kind. [`reconcile`] holds what each does; [`resolve`] turns objects into things that
//! work (an opened repository, a linked addon, an application with its credentials); [`session`] runs backups and
//! restores in this process and writes their status. A run ends in exactly one of three ways: its status says
//! Succeeded, its status says Failed, or its object is deleted. A process that dies leaves `Running` behind, and the next
//! one turns that into Failed or tries again.

mod context;
mod error;
mod mirror;
mod object;
pub mod planning;
mod reconcile;
pub mod resolve;
mod run;
mod session;

pub use error::{Error, Result};
pub use run::{Modules, Options, run};
