//! The promises, end to end.

// Helpers of tests fail by panicking.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod addons;
mod conformance;
mod copy;
mod elasticsearch;
mod faults;
mod input;
mod main_job;
mod memory;
mod mongodb;
mod mysql;
