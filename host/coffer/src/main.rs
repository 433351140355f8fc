//! `coffer`: the command line, and the server that it starts.
//!
//! Commands are clients of a Kubernetes API: the embedded one of `coffer serve`, or a cluster's. Only `serve` wires the
//! crates together. Results go to stdout, everything else to stderr.

mod cli;
mod commands;
mod connect;
mod failure;
mod follow;
mod manifest;
mod output;
mod paths;
mod resource;
mod session;

use crate::cli::{Cli, Command};
use crate::output::Printer;
use clap::Parser;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    // First of all: two crates below could each bring a provider, and rustls then refuses to choose.
    let installed = rustls::crypto::ring::default_provider().install_default();
    debug_assert!(installed.is_ok(), "nothing installs a provider before main");

    let cli = Cli::parse();
    let printer = Printer::new(cli.global.quiet);
    init_logs(cli.global.verbose, matches!(cli.command, Command::Serve(_)));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            printer.failure(&failure::Failure::new("unable to start").because(&error));
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(commands::run(cli, printer));
    // A blocked thread (reading stdin, say) must not hold up the end of the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result.and_then(|()| printer.finish()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            printer.failure(&failure);
            ExitCode::FAILURE
        }
    }
}

/// Logs go to stderr. A command is silent unless asked; a server says what it does.
fn init_logs(verbose: u8, serving: bool) {
    let level = match (verbose, serving) {
        (0, false) => "error,kube_client=off",
        (0, true) => "warn,coffer=info",
        (1, _) => "warn,coffer=debug",
        (2, _) => "info,coffer=trace",
        _ => "debug,coffer=trace",
    };
    // A target filter matches by prefix, so `coffer` covers every crate of ours.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none())
        .init();
}
