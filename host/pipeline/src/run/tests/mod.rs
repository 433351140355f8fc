//! Runs with real components (`tests/guests`) and real repositories in temporary folders.

mod failures;
mod support;
mod whole;
