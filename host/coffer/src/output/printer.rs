//! The one place that writes to stdout and stderr.
//!
//! Colour only underlines what the words already say; it vanishes when the stream is no terminal or `NO_COLOR` is set
//! (`anstream` decides). A closed pipe is no error: whoever reads our output may stop reading.

use crate::cli::Format;
use crate::failure::{Failure, OrFail, Result};
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();
const LABEL: Style = Style::new().bold();

/// The first error of a write to stdout.
static UNWRITTEN: OnceLock<String> = OnceLock::new();

fn remember(written: std::io::Result<()>) {
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        // Only the first one tells why.
        let _ = UNWRITTEN.set(error.to_string());
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Printer {
    quiet: bool,
    interactive: bool,
}

impl Printer {
    pub fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { quiet, interactive: terminal && !quiet }
    }

    /// Whether bars may be drawn on stderr.
    pub fn interactive(self) -> bool {
        self.interactive
    }

    /// Whether a person can be asked.
    pub fn can_ask(self) -> bool {
        self.interactive && std::io::stdin().is_terminal()
    }

    pub fn quiet(self) -> bool {
        self.quiet
    }

    /// A result, to stdout.
    pub fn line(self, text: impl Display) {
        remember(writeln!(anstream::stdout(), "{text}"));
    }

    /// A result that ends without a line break of its own, such as a generated file.
    pub fn text(self, text: impl Display) {
        remember(write!(anstream::stdout(), "{text}"));
    }

    /// Whether every result so far was written. Asked once, at the end: a full disk must not look like a success.
    pub fn finish(self) -> Result<()> {
        remember(std::io::stdout().flush());
        match UNWRITTEN.get() {
            Some(error) => Err(Failure::new(format_args!("unable to write stdout: {error}"))),
            None => Ok(()),
        }
    }

    /// What happens, to stderr; not when quiet.
    pub fn note(self, text: impl Display) {
        if !self.quiet {
            let _ = writeln!(anstream::stderr(), "{text}");
        }
    }

    pub fn warning(self, text: impl Display) {
        let _ = writeln!(anstream::stderr(), "{WARNING}warning{WARNING:#}: {text}");
    }

    pub fn failure(self, failure: &Failure) {
        let mut out = anstream::stderr().lock();
        let _ = writeln!(out, "{ERROR}error{ERROR:#}: {}", failure.error);
        for cause in &failure.causes {
            let _ = writeln!(out, "  {LABEL}cause{LABEL:#}: {}", cause.trim_end().replace('\n', "\n         "));
        }
        if let Some(hint) = &failure.hint {
            let _ = writeln!(out, "  {HINT}hint{HINT:#}: {hint}");
        }
    }

    /// A question on stderr, the answer from stdin. Anything but `y` or `yes` is no.
    pub fn ask(self, question: impl Display) -> bool {
        let mut out = anstream::stderr();
        let _ = write!(out, "{question} [y/N] ");
        let _ = out.flush();
        let mut answer = String::new();
        if std::io::stdin().read_line(&mut answer).is_err() {
            return false;
        }
        matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }

    /// Columns without borders, as kubectl prints them. Never wrapped: a line stays a line for `grep`.
    pub fn table(self, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        self.line(render_table(header, rows));
    }

    /// `value` as JSON or YAML.
    pub fn value<T: Serialize>(self, format: Format, value: &T) -> Result<()> {
        match format {
            Format::Json | Format::Table => {
                self.line(serde_json::to_string_pretty(value).or_fail(|| "unable to write JSON")?);
            }
            Format::Yaml => self.text(serde_saphyr::to_string(value).or_fail(|| "unable to write YAML")?),
        }
        Ok(())
    }

    /// `**heading**` for a section of a description.
    pub fn heading(self, text: impl Display) {
        self.line(format_args!("{LABEL}{text}{LABEL:#}"));
    }
}

fn render_table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(comfy_table::ContentArrangement::Disabled);
    table.set_header(header.iter().map(|name| name.to_uppercase()).collect::<Vec<_>>());
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_aligned_columns_and_no_trailing_blanks() {
        let rows = vec![vec!["shop".to_owned(), "Ready".to_owned()], vec!["a-longer-name".to_owned(), String::new()]];
        let text = render_table(&["name", "status"], rows);
        assert_eq!(text, "NAME            STATUS\nshop            Ready\na-longer-name");
    }
}
