//! Runs with real components (`tests/guests`) and real repositories in temporary folders.

mod failures;
pub mod support;
mod whole;
