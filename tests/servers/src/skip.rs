//! What is not tested here, and why: told past the test harness's capture, so that `cargo xtask test` can count it.

use std::fmt::Display;
use std::io::Write;

/// Says that something is not tested, and what it would take.
pub fn skipped(what: impl Display) {
    // Nobody is left to tell when that fails.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}
