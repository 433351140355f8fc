//! `coffer completion`.

use crate::cli::Cli;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Print a completion script for a shell
///
/// For bash: `coffer completion bash > ~/.local/share/bash-completion/completions/coffer`
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(args: &CompletionArgs) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "coffer", &mut script);
    let _ = std::io::Write::write_all(&mut std::io::stdout(), &script);
}
