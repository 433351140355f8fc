//! What the end-to-end tests stand on: the real `coffer` program, used as a user uses it.
//!
//! The tests know no crate of the host. What they see is what anybody sees: commands, exit codes, what is printed, the
//! files that are left, and what `restic`, `kubectl` and PostgreSQL's own tools make of them.

// A test harness fails by panicking: the test that uses it is the only caller there is.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod coffer;
pub mod manifest;
mod programs;
mod scene;

pub use coffer::{Coffer, Output};
pub use programs::{addon, elasticsearch_addon, guests, mongodb_addon, mysql_addon};
pub use scene::{Failure, REPOSITORY_PASSWORD, Scene};
