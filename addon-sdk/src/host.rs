//! What every addon may do: log, say how far it is, wait, hear that it should stop.

use crate::sys;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// A line for the run's log, with fields. The macros [`info!`](crate::info) and kin format the message.
pub fn log(level: Level, message: &str, fields: &[(&str, String)]) {
    sys::log(level, message, fields);
}

/// How far the run is, in a unit of its own; `total` when it is known.
pub fn progress(done: u64, total: Option<u64>) {
    sys::progress(done, total);
}

/// Resolves when the run is asked to stop: by a cancel, a failure beside it, its timeout or its idle limit.
pub async fn cancelled() {
    sys::cancelled().await;
}

/// The only way to wait: the standard library's sleep stops every other task of the step.
pub async fn sleep(duration: Duration) {
    sys::sleep(duration).await;
}

/// Logs what helps to understand a run afterwards.
#[macro_export]
macro_rules! debug {
    ($($message:tt)*) => { $crate::host::log($crate::host::Level::Debug, &::std::format!($($message)*), &[]) };
}

/// Logs what an operator wants to see of a run that goes well.
#[macro_export]
macro_rules! info {
    ($($message:tt)*) => { $crate::host::log($crate::host::Level::Info, &::std::format!($($message)*), &[]) };
}

/// Logs what an operator should look at though the run goes on.
#[macro_export]
macro_rules! warn {
    ($($message:tt)*) => { $crate::host::log($crate::host::Level::Warn, &::std::format!($($message)*), &[]) };
}
