//! The command line as types: clap reads it from here, and so do the completions and the generated reference.
//! A command's own arguments stand beside the command that uses them.

use crate::commands::{
    addon, apply, backup, completion, copy, delete, describe, download, get, ls, plan, restore, serve, snapshots,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  coffer serve                            run the embedded control plane (leave it running)
  coffer addon install postgres.wasm      load an addon and the Functions and Tasks it brings
  coffer apply -f shop.yaml               write manifests
  coffer backup shop -n demo              back up now, with live progress
  coffer snapshots -n demo                list what is stored
  coffer restore -n demo --config shop --target copy --task postgres-restore";

/// Back up and restore applications with addons that run confined
///
/// A Function is one step of a backup or a restore, implemented by a WebAssembly component. A Task puts Functions in
/// order. An Addon is the module that brings them for one kind of application. Coffer runs them against the application
/// that an AppBinding describes, and keeps what comes out as encrypted, deduplicated snapshots that stock `restic` opens.
#[derive(Debug, Parser)]
#[command(name = "coffer", version, after_help = EXAMPLES, disable_help_subcommand = true, max_term_width = 120)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Folder of the embedded control plane [default: coffer in the user's data folder]
    #[arg(long, global = true, env = "COFFER_DATA_DIR", hide_env_values = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Kubeconfig of the server to talk to [default: the file that `coffer serve` wrote into the data folder]
    #[arg(long, global = true, env = "COFFER_KUBECONFIG", hide_env_values = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Log more, to stderr; repeat for more still (RUST_LOG overrides it)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// Say nothing but results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// How a command that returns data prints it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    Json,
    Yaml,
}

/// `--output`, for the commands that return data.
#[derive(Debug, Clone, Copy, Args)]
pub struct OutputArgs {
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `--namespace`, for the commands about namespaced objects.
#[derive(Debug, Clone, Args)]
pub struct NamespaceArgs {
    /// Namespace [default: the one of the kubeconfig, else `default`]
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the embedded control plane and its controllers
    Serve(serve::ServeArgs),
    /// Install, list, inspect, test and remove addons
    #[command(subcommand)]
    Addon(addon::AddonCommand),
    /// Check manifests and write them to the server
    Apply(apply::ApplyArgs),
    /// List objects of a kind
    Get(get::GetArgs),
    /// Show one object with its conditions and status
    Describe(describe::DescribeArgs),
    /// Delete objects; deleting a session cancels it
    Delete(delete::DeleteArgs),
    /// Run a session of a BackupConfiguration now and follow it
    Backup(backup::BackupArgs),
    /// Copy an application's data into another application and follow it
    Copy(copy::CopyArgs),
    /// Restore a snapshot into an application and follow it
    Restore(restore::RestoreArgs),
    /// List the snapshots that the repositories hold
    Snapshots(snapshots::SnapshotsArgs),
    /// List the files of a snapshot
    Ls(ls::LsArgs),
    /// Read one file out of a snapshot
    Download(download::DownloadArgs),
    /// Show what a backup would run, without running it
    Plan(plan::PlanArgs),
    /// Print a completion script for a shell
    Completion(completion::CompletionArgs),
    /// Print the version
    Version(OutputArgs),
    /// Print the reference of the command line as Markdown
    #[command(hide = true)]
    Docs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
