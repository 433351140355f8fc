//! PostgreSQL: dumps a database over the wire protocol into pg_dump's directory format, and restores such a dump.
//!
//! | module | what |
//! |---|---|
//! | [`client`] | the wire protocol: login, queries, COPY |
//! | [`catalog`] | from a live database's catalogs to entries with the statements that make their objects |
//! | [`archive`] | entries to and from `toc.dat` |
//! | [`dump`], [`restore`], [`wait`] | the functions |

pub mod archive;
pub mod catalog;
pub mod client;
pub mod dump;
pub mod entry;
pub mod parameters;
pub mod restore;
mod session;
mod sql;
pub mod wait;

pub use client::Client;

use coffer_addon::descriptor::{Task, TaskStep};
use coffer_addon::{Addon, Function};

/// The addon as it describes itself.
pub fn addon() -> Addon {
    let serves = |function: Function| function.serves("postgresql", &session::supported(), session::TESTED);
    Addon::new("postgres", env!("CARGO_PKG_VERSION"))
        .description("Dumps and restores PostgreSQL databases in pg_dump's directory format")
        .function(serves(
            Function::action("postgres-wait-ready", wait::wait_ready)
                .description("Waits until the server takes logins and answers"),
        ))
        .function(serves(
            Function::source("postgres-dump", dump::dump)
                .description("Dumps a database as it was at one moment: its schema and all rows"),
        ))
        .function(serves(
            Function::sink("postgres-restore", restore::restore)
                .description("Restores a dump in pg_dump's directory format")
                .first(archive::TOC),
        ))
        .task(task("postgres-backup", "Waits for the server, then dumps a database").step(dump()))
        .task(task("postgres-restore", "Waits for the server, then restores a dump").step(restore()))
        .task(
            task("postgres-copy", "Waits for the server, then restores a dump of another").step(dump()).step(restore()),
        )
}

fn task(name: &str, description: &str) -> Task {
    Task::new(name, description).step(TaskStep::new("ready", "postgres-wait-ready").timeout("5m"))
}

fn dump() -> TaskStep {
    TaskStep::new("dump", "postgres-dump")
}

fn restore() -> TaskStep {
    TaskStep::new("restore", "postgres-restore")
}

coffer_addon::export!(addon);
