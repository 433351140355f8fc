//! MongoDB: dumps databases as raw documents into mongodump's files, and restores such a dump.
//!
//! | module | what |
//! |---|---|
//! | [`client`] | the wire protocol: login, commands, cursors |
//! | [`layout`] | what a dump consists of |
//! | [`wait`] | the function that waits for the server |

pub mod client;
pub mod layout;
pub mod wait;

pub use client::Client;

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
}

fn serves(function: Function) -> Function {
    function.serves("mongodb", SUPPORTED, &TESTED)
}

coffer_addon::export!(addon);
