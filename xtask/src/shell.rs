//! Running programs and printing, for every task.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Server(#[from] coffer_test_servers::Error),

    #[error("unable to run {program}: {source}")]
    Spawn { program: String, source: std::io::Error },

    #[error("{program} ended with {status}")]
    Failed { program: String, status: std::process::ExitStatus },

    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: std::io::Error },

    #[error("{0}")]
    Other(String),
}

/// Names the file in an I/O error.
pub trait AtPath<T> {
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> AtPath<T> for std::io::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|source| Error::File { path: path.to_owned(), source })
    }
}

/// Prints a line.
pub fn say(line: impl Display) {
    // Whoever closed stdout does not want to know more.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints a heading above what a part of a task prints.
pub fn heading(line: impl Display) {
    say(format_args!("\n=== {line}"));
}

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// cargo's target folder: this program lies in `<target>/<profile>/`.
pub fn target_folder() -> Result<PathBuf> {
    let own = std::env::current_exe().at(Path::new("xtask"))?;
    match own.parent().and_then(Path::parent) {
        Some(folder) => Ok(folder.to_owned()),
        None => Err(Error::Other(format!("{} lies in no target folder", own.display()))),
    }
}

/// The cargo that runs this task, in the workspace.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(workspace());
    // What the outer cargo says of xtask. ring's build script looks at these names, so that ring and all that stands on
    // it would be built again whenever cargo is called the other way.
    let inherited = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(inherited)) {
        command.env_remove(name);
    }
    command
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    match command.get_args().next() {
        Some(first) if !first.to_string_lossy().starts_with('-') => format!("{program} {}", first.to_string_lossy()),
        _ => program,
    }
}

/// Runs a command to its end, what it prints going where ours goes.
pub fn run(command: &mut Command) -> Result<()> {
    let program = name(command);
    let status = command.status().map_err(|source| Error::Spawn { program: program.clone(), source })?;
    if status.success() { Ok(()) } else { Err(Error::Failed { program, status }) }
}

/// Runs a command and returns what it printed to stdout; its stderr goes where ours goes.
pub fn output(command: &mut Command) -> Result<String> {
    let program = name(command);
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|source| Error::Spawn { program: program.clone(), source })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Error::Failed { program, status: output.status })
    }
}

/// The bytes of all files under a folder.
pub fn size_of(folder: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in std::fs::read_dir(folder).at(folder)? {
        let entry = entry.at(folder)?;
        let data = entry.metadata().at(&entry.path())?;
        size += if data.is_dir() { size_of(&entry.path())? } else { data.len() };
    }
    Ok(size)
}

/// `338.2 MB`.
pub fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

/// Prints rows in columns, the first row being the headings.
pub fn table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        say(cells.join("  ").trim_end());
        if number == 0 {
            say(widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join("  "));
        }
    }
}
