//! `coffer docs`: the command line as Markdown, for `docs/cli.md`. Made from the same types as `--help`, and checked by
//! `cargo xtask generate --check`, so it cannot be out of date.

use crate::cli::Cli;
use crate::output::Printer;
use clap::{Arg, Command, CommandFactory};
use std::fmt::Write;

pub fn run(printer: Printer) {
    printer.text(render());
}

fn render() -> String {
    let mut command = Cli::command();
    // Propagates the global options and the commands' full names.
    command.build();
    let mut text =
        String::from("# Command line\n\nWritten by `cargo xtask generate`. Every command understands `--help`.\n");
    section(&command, "coffer", 2, &mut text);
    text
}

fn section(command: &Command, name: &str, depth: usize, text: &mut String) {
    let heading = "#".repeat(depth.min(4));
    let _ = write!(text, "\n{heading} {name}\n\n");
    if let Some(about) = command.get_long_about().or_else(|| command.get_about()) {
        let _ = writeln!(text, "{about}\n");
    }
    let usage = command.clone().render_usage().to_string();
    let _ = writeln!(text, "```text\n{}\n```", usage.trim());
    let is_root = depth == 2;
    let shown = |arg: &&Arg| !arg.is_hide_set() && (is_root || !arg.is_global_set()) && arg.get_id() != "help";
    for (title, positional) in [("Arguments", true), ("Options", false)] {
        let args: Vec<&Arg> =
            command.get_arguments().filter(shown).filter(|arg| arg.is_positional() == positional).collect();
        if args.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n{title}:\n");
        for arg in args {
            argument(arg, text);
        }
    }
    if let Some(examples) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        let _ = writeln!(text, "\n```text\n{examples}\n```");
    }
    for child in command.get_subcommands().filter(|child| !child.is_hide_set() && child.get_name() != "help") {
        section(child, &format!("{name} {}", child.get_name()), depth + 1, text);
    }
}

fn argument(arg: &Arg, text: &mut String) {
    let value = arg.get_num_args().is_some_and(|range| range.takes_values()).then(|| {
        let names = arg.get_value_names().unwrap_or_default();
        names.iter().map(|name| format!("<{name}>")).collect::<Vec<_>>().join(" ")
    });
    let mut names = Vec::new();
    names.extend(arg.get_short().map(|short| format!("-{short}")));
    names.extend(arg.get_long().map(|long| format!("--{long}")));
    let mut usage = names.join(", ");
    if let Some(value) = value {
        usage = format!("{usage} {value}").trim().to_owned();
    }
    let _ = write!(text, "- `{usage}`");
    if let Some(help) = arg.get_long_help().or_else(|| arg.get_help()) {
        let _ = write!(text, ": {}", help.to_string().replace('\n', " "));
    }
    if let Some(env) = arg.get_env() {
        let _ = write!(text, " (environment: `{}`)", env.display());
    }
    let values: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    let takes_value = arg.get_action().takes_values();
    if takes_value && !values.is_empty() && values.len() < 10 {
        let _ = write!(text, " (one of {})", values.join(", "));
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_command_and_its_options_are_in_the_reference() {
        let text = super::render();
        for expected in ["### coffer backup", "#### coffer addon install", "`--data-dir <DIR>`", "COFFER_KUBECONFIG"] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        assert!(!text.contains("coffer docs"), "hidden commands stay hidden");
    }
}
