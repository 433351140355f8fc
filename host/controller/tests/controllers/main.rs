//! The controllers against the embedded control plane, with real repositories on disk. Runs with real addons are tested
//! end to end; here is what happens around them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod configurations;
mod plane;
mod repositories;
mod sessions;
