//! One file a command: its arguments and what it does.

pub mod addon;
pub mod apply;
pub mod backup;
pub mod completion;
pub mod copy;
pub mod delete;
pub mod describe;
pub mod docs;
pub mod download;
pub mod get;
pub mod ls;
pub mod plan;
pub mod restore;
pub mod serve;
pub mod snapshots;
pub mod verdict;
pub mod version;

use crate::cli::{Cli, Command};
use crate::connect::Connection;
use crate::failure::Result;
use crate::output::Printer;

pub async fn run(cli: Cli, printer: Printer) -> Result<()> {
    let global = &cli.global;
    match cli.command {
        Command::Serve(args) => serve::run(global, args, printer).await,
        Command::Addon(command) => addon::run(global, command, printer).await,
        Command::Apply(args) => apply::run(global, args, printer).await,
        Command::Get(args) => get::run(&Connection::open(global).await?, args, printer).await,
        Command::Describe(args) => describe::run(&Connection::open(global).await?, args, printer).await,
        Command::Delete(args) => delete::run(&Connection::open(global).await?, args, printer).await,
        Command::Backup(args) => backup::run(&Connection::open(global).await?, args, printer).await,
        Command::Copy(args) => copy::run(&Connection::open(global).await?, args, printer).await,
        Command::Restore(args) => restore::run(&Connection::open(global).await?, args, printer).await,
        Command::Snapshots(args) => snapshots::run(&Connection::open(global).await?, args, printer).await,
        Command::Ls(args) => ls::run(&Connection::open(global).await?, args, printer).await,
        Command::Download(args) => download::run(&Connection::open(global).await?, args, printer).await,
        Command::Plan(args) => plan::run(&Connection::open(global).await?, args, printer).await,
        Command::Completion(args) => {
            completion::run(&args);
            Ok(())
        }
        Command::Version(args) => version::run(args, printer),
        Command::Docs => {
            docs::run(printer);
            Ok(())
        }
    }
}
