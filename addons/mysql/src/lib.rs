//! MySQL and MariaDB: dumps databases over the wire protocol into mydumper's files, and restores such a dump.
//!
//! | module | what |
//! |---|---|
//! | [`client`] | the wire protocol: login, statements, rows |
//! | [`catalog`] | what a server has, with the statements that make it |
//! | [`layout`] | what a dump consists of |
//! | [`session`] | what sessions of dumps and restores have set, and the versions they are had with |
//! | [`dump`], [`restore`], [`wait`] | the functions |

pub mod catalog;
pub mod client;
pub mod dump;
pub mod layout;
pub mod parameters;
pub mod restore;
pub mod session;
pub mod sql;
pub mod wait;

pub use client::Client;

use client::Flavor;
use coffer_addon::descriptor::{Task, TaskStep};
use coffer_addon::{Addon, Function};

/// The addon as it describes itself.
pub fn addon() -> Addon {
    Addon::new("mysql", env!("CARGO_PKG_VERSION"))
        .description("Dumps and restores MySQL and MariaDB databases in mydumper's format")
        .function(serves(
            Function::action("mysql-wait-ready", wait::wait_ready)
                .description("Waits until the server takes logins and answers"),
        ))
        .function(serves(
            Function::source("mysql-dump", dump::dump)
                .description("Dumps databases as they were at one moment: their schema and all rows"),
        ))
        .function(serves(
            Function::sink("mysql-restore", restore::restore)
                .description("Restores a dump of mysql-dump, under the databases' own names or others")
                .first(layout::INDEX),
        ))
        .task(task("mysql-backup", "Waits for the server, then dumps its databases").step(dump()))
        .task(task("mysql-restore", "Waits for the server, then restores a dump").step(restore()))
        .task(task("mysql-copy", "Waits for the server, then restores a dump of another").step(dump()).step(restore()))
}

/// One component for both: a binding's type is either.
fn serves(function: Function) -> Function {
    [("mysql", Flavor::MySql), ("mariadb", Flavor::MariaDb)].into_iter().fold(function, |function, (kind, flavor)| {
        function.serves(kind, &session::requirement(flavor), session::tested(flavor).iter())
    })
}

fn task(name: &str, description: &str) -> Task {
    Task::new(name, description).step(TaskStep::new("ready", "mysql-wait-ready").timeout("5m"))
}

fn dump() -> TaskStep {
    TaskStep::new("dump", "mysql-dump")
}

fn restore() -> TaskStep {
    TaskStep::new("restore", "mysql-restore")
}

coffer_addon::export!(addon);
