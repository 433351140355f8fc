//! Real components under the real engine: what works, and what hostile guests cannot do.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout, clippy::unwrap_used)]

mod artifacts;
mod connections;
mod faults;
mod http;
mod http_server;
mod load;
mod server;
mod support;
mod throughput;
