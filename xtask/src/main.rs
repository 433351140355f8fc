//! `cargo xtask`: everything that one does with this repository beyond plain `cargo`, in Rust and with few dependencies,
//! so that it is built in seconds from a fresh clone.

mod addons;
mod bench;
mod demo;
mod generate;
mod measure;
mod shell;
mod stage;
mod test;
mod wasm_target;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of this repository
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Back up, destroy and restore a real PostgreSQL, and prove the copy equal
    Demo(demo::Options),
    /// Everything that CI needs: format, lints, generated files, addons, tests
    Test,
    /// Build the addons and the tests' guests, making the wasm32-wasip2 target available first
    Addons,
    /// Write the generated files: CRDs, the command-line reference
    Generate(generate::Options),
    /// Measure against the database's own dump piped into restic and back, in one run
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Demo(options) => demo::run(&options),
        Task::Test => test::run(),
        Task::Addons => addons::build().map(drop),
        Task::Generate(options) => generate::run(&options),
        Task::Bench(options) => bench::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shell::say(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
