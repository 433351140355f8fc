//! Elasticsearch and OpenSearch: dumps indices into multielasticdump's files, and restores such a dump.
//!
//! | module | what |
//! |---|---|
//! | [`client`] | requests, and what refusals mean |
//! | [`catalog`] | what a cluster has |
//! | [`dump`], [`parameters`] | from a server into multielasticdump's files |
//! | [`layout`] | what a dump consists of |
//! | [`restore`] | from multielasticdump's files into a server |
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

/// Versions that can be dumped and restored.
const ELASTICSEARCH: &str = ">=6.5, <10";
const OPENSEARCH: &str = ">=1, <4";

/// Versions that the tests are run with.
const TESTED_ELASTICSEARCH: [&str; 4] = ["7.10", "7.17", "8.19", "9.5"];
const TESTED_OPENSEARCH: [&str; 2] = ["3.4", "3.8"];

/// The addon as it describes itself.
pub fn addon() -> Addon {
    Addon::new("elasticsearch", env!("CARGO_PKG_VERSION"))
        .description("Dumps and restores Elasticsearch and OpenSearch indices in elasticdump's format")
        .function(serves(
            Function::action("elasticsearch-wait-ready", wait::wait_ready)
                .description("Waits until the server takes logins and answers"),
        ))
        .function(serves(
            Function::source("elasticsearch-dump", dump::dump).description(
                "Dumps indices and data streams: documents as they are, definitions, templates, pipelines",
            ),
        ))
        .function(serves(
            Function::sink("elasticsearch-restore", restore::restore)
                .description("Restores a dump of elasticsearch-dump, or files of elasticdump")
                .first(layout::INDEX),
        ))
        .task(task("elasticsearch-backup", "Waits for the server, then dumps its indices").step(dump_step()))
        .task(task("elasticsearch-restore", "Waits for the server, then restores a dump").step(restore_step()))
        .task(
            task("elasticsearch-copy", "Waits for the server, then restores a dump of another")
                .step(dump_step())
                // Behind another address the host cannot see that it is the same cluster.
                .step(restore_step().param("otherCluster", true)),
        )
}

fn task(name: &str, description: &str) -> Task {
    Task::new(name, description).step(TaskStep::new("ready", "elasticsearch-wait-ready").timeout("5m"))
}

fn dump_step() -> TaskStep {
    TaskStep::new("dump", "elasticsearch-dump")
}

fn restore_step() -> TaskStep {
    TaskStep::new("restore", "elasticsearch-restore")
}

fn serves(function: Function) -> Function {
    function.over_http().serves("elasticsearch", ELASTICSEARCH, TESTED_ELASTICSEARCH).serves(
        "opensearch",
        OPENSEARCH,
        TESTED_OPENSEARCH,
    )
}

coffer_addon::export!(addon);
