//! MongoDB: dumps databases as raw documents into mongodump's files, and restores such a dump.
//!
//! | module | what |
//! |---|---|
//! | [`client`] | the wire protocol: login, commands, cursors |
//! | [`catalog`] | what a server has |
//! | [`dump`], [`parameters`] | from a server into mongodump's files |
//! | [`layout`] | what a dump consists of |
//! | [`restore`] | from mongodump's files, or its archive, into a server |
//! | [`wait`] | the function that waits for the server |

pub mod catalog;
pub mod client;
pub mod dump;
pub mod layout;
pub mod parameters;
pub mod restore;
pub mod wait;

pub use client::Client;

use coffer_addon::descriptor::{Task, TaskStep};
use coffer_addon::{Addon, Function};

/// Versions of MongoDB, or of what claims to be like it, that can be dumped and restored.
const SUPPORTED: &str = ">=3.6, <9";

/// Versions that the tests are run with: what FerretDB says it is like.
const TESTED: [&str; 1] = ["7.0"];

/// The addon as it describes itself.
pub fn addon() -> Addon {
    Addon::new("mongodb", env!("CARGO_PKG_VERSION"))
        .description("Dumps and restores MongoDB databases in mongodump's format, their documents as they are")
        .function(serves(
            Function::action("mongodb-wait-ready", wait::wait_ready)
                .description("Waits until the server takes logins and answers"),
        ))
        .function(serves(
            Function::source("mongodb-dump", dump::dump)
                .description("Dumps databases: documents as they are, options, indexes, users and roles"),
        ))
        .function(serves(
            Function::sink("mongodb-restore", restore::restore)
                .description("Restores a dump of mongodb-dump, a directory of mongodump or its archive")
                .first(layout::INDEX),
        ))
        .task(task("mongodb-backup", "Waits for the server, then dumps its databases").step(dump()))
        .task(task("mongodb-restore", "Waits for the server, then restores a dump").step(restore()))
        .task(
            task("mongodb-copy", "Waits for the server, then restores a dump of another").step(dump()).step(restore()),
        )
}

fn task(name: &str, description: &str) -> Task {
    Task::new(name, description).step(TaskStep::new("ready", "mongodb-wait-ready").timeout("5m"))
}

fn dump() -> TaskStep {
    TaskStep::new("dump", "mongodb-dump")
}

fn restore() -> TaskStep {
    TaskStep::new("restore", "mongodb-restore")
}

fn serves(function: Function) -> Function {
    function.serves("mongodb", SUPPORTED, TESTED)
}

coffer_addon::export!(addon);
