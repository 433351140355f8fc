//! The folder that keeps what was downloaded or built once, and the lock that lets two processes share it.
//!
//! An entry is a folder made by one function. It counts only once its stamp is written, last, so an interrupted or
//! failed one is made anew; the stamp says what the entry was made of, so a changed recipe is made anew as well.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{AtPath, Result};

/// The cache folder: `$COFFER_TEST_CACHE`, else `$XDG_CACHE_HOME/coffer`, else `~/.cache/coffer`.
///
/// Root's home is usually closed to others, and PostgreSQL refuses to run as root; then it is `/var/cache/coffer`.
pub fn root() -> Result<PathBuf> {
    let path = match std::env::var_os("COFFER_TEST_CACHE") {
        Some(path) => PathBuf::from(path),
        None => {
            let own = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
                (Some(cache), _) => PathBuf::from(cache).join("coffer"),
                (None, Some(home)) => Path::new(&home).join(".cache/coffer"),
                (None, None) => std::env::temp_dir().join("coffer"),
            };
            if is_root() && !open_to_all(&own) { PathBuf::from("/var/cache/coffer") } else { own }
        }
    };
    fs::create_dir_all(&path).at(&path)?;
    path.canonicalize().at(path)
}

/// Whether this process runs as root, which servers refuse or should not have.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Whether any user may walk down to `path`: every folder above that exists lets others through.
fn open_to_all(path: &Path) -> bool {
    path.ancestors().all(|folder| fs::metadata(folder).map_or(true, |found| found.permissions().mode() & 0o001 != 0))
}

/// The folder `name` of the cache, made by `make` unless it is there already; `recipe` names what goes into it.
///
/// Waits while another process makes it.
pub(crate) fn entry(name: &str, recipe: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let root = root()?;
    let folder = root.join(name);
    let stamp = root.join(format!("{name}.stamp"));
    let is_made = || fs::read_to_string(&stamp).is_ok_and(|made_of| made_of == recipe) && folder.is_dir();
    if is_made() {
        return Ok(folder);
    }
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).at(parent)?;
    }
    let _lock = lock(&root.join(format!("{name}.lock")))?;
    if is_made() {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).at(&folder)?;
    }
    fs::create_dir_all(&folder).at(&folder)?;
    make(&folder)?;
    fs::write(&stamp, recipe).at(&stamp)?;
    Ok(folder)
}

/// An exclusive lock between processes, held until the file is dropped.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path).at(path)?;
    file.lock().at(path)?;
    Ok(file)
}

/// Says on stderr what is about to be downloaded or built, past the capture of a test harness: it may take a minute.
pub fn say(what: impl std::fmt::Display) {
    // A closed stderr is no reason to fail.
    let _ = writeln!(std::io::stderr(), "test servers: {what}");
}

/// Runs a command to its end and returns what it printed; a failure carries the end of its stderr.
pub fn run(command: &mut Command) -> Result<Vec<u8>> {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| crate::Error::Spawn { program: program.clone(), source })?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        let stderr = tail(&String::from_utf8_lossy(&output.stderr), 2000);
        Err(crate::Error::Failed { program, status: output.status, stderr })
    }
}

/// Runs a command with `input` on its stdin.
pub(crate) fn feed(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source| crate::Error::Spawn { program: program.clone(), source };
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let (output, errors) = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A program that stops reading says on stderr why.
            let _ = stdin.map(|mut stdin| stdin.write_all(input));
        });
        let errors = scope.spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.map(|mut stderr| stderr.read_to_end(&mut text));
            text
        });
        (child.wait_with_output(), errors.join().unwrap_or_default())
    });
    let output = output.map_err(failed)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let stderr = tail(&String::from_utf8_lossy(&errors), 2000);
    Err(crate::Error::Failed { program: program.clone(), status: output.status, stderr })
}

/// The last lines of a text, of about `limit` bytes.
pub(crate) fn tail(text: &str, limit: usize) -> String {
    let mut size = 0;
    let mut lines: Vec<&str> = text
        .lines()
        .rev()
        .take_while(|line| {
            size += line.len() + 1;
            size <= limit.max(line.len() + 1)
        })
        .collect();
    lines.reverse();
    lines.join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_text_is_its_last_whole_lines() {
        assert_eq!(tail("one\ntwo\nthree\n", 10), "two\nthree");
        assert_eq!(tail("", 10), "");
    }

    #[test]
    fn a_closed_folder_above_is_seen() {
        let temp = tempfile::tempdir().unwrap();
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!open_to_all(&temp.path().join("below")), "only its owner may pass");
        assert!(open_to_all(Path::new("/")));
    }
}
