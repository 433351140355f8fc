//! Everything the user sees leaves through here: results to stdout, notes and errors to stderr.

mod printer;
pub mod progress;
mod units;

pub use printer::Printer;
pub use units::{age, bytes, duration, rate};
