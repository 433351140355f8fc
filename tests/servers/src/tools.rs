//! Command-line programs that judge what Coffer writes: stock `restic`, `kubectl`.

use std::path::{Path, PathBuf};

use crate::cache;
use crate::debian::Wanted;
use crate::error::{Error, Result};
use crate::relocate::relocate;

/// The newest restic that Debian has (0.19 at the time of writing), or `$COFFER_RESTIC`.
pub fn restic() -> Result<PathBuf> {
    program("restic-sid", &Wanted::new("sid", &["restic"], "COFFER_RESTIC"), "usr/bin/restic")
}

/// restic 0.14, the first that knows repository format 2, or `$COFFER_RESTIC_OLD`.
pub fn restic_old() -> Result<PathBuf> {
    program("restic-bookworm", &Wanted::new("bookworm", &["restic"], "COFFER_RESTIC_OLD"), "usr/bin/restic")
}

/// kubectl, or `$COFFER_KUBECTL`.
pub fn kubectl() -> Result<PathBuf> {
    program("kubectl", &Wanted::new("sid", &["kubernetes-client"], "COFFER_KUBECTL"), "usr/bin/kubectl")
}

fn program(entry: &str, wanted: &Wanted, path: &str) -> Result<PathBuf> {
    if let Some(own) = overridden(wanted.variable, "")? {
        return Ok(own);
    }
    let folder = cache::entry(entry, &wanted.recipe(), |folder| {
        wanted.unpack(folder)?;
        let program = folder.join(path);
        if !program.is_file() {
            return Err(Error::Layout { package: wanted.packages.join(", "), path: program });
        }
        relocate(folder, &program)
    })?;
    Ok(folder.join(path))
}

/// What the variable names, checked to hold `program` (empty: to be a file itself).
pub(crate) fn overridden(variable: &'static str, program: &str) -> Result<Option<PathBuf>> {
    let Some(path) = std::env::var_os(variable).map(PathBuf::from).filter(|path| !path.as_os_str().is_empty()) else {
        return Ok(None);
    };
    let file = if program.is_empty() { path.clone() } else { path.join(program) };
    if file.is_file() {
        Ok(Some(path))
    } else {
        let name = if program.is_empty() { "program" } else { program };
        Err(Error::Override { variable, path: Path::new(&path).to_owned(), program: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::run;
    use std::process::Command;

    fn first_line(program: PathBuf, argument: &[&str]) -> String {
        let text = run(Command::new(program).args(argument)).unwrap();
        String::from_utf8(text).unwrap().lines().next().unwrap().to_owned()
    }

    #[test]
    fn both_restics_and_kubectl_run() {
        assert!(first_line(restic_old().unwrap(), &["version"]).starts_with("restic 0.14."));
        assert!(first_line(restic().unwrap(), &["version"]).starts_with("restic 0."));
        assert!(first_line(kubectl().unwrap(), &["version", "--client"]).starts_with("Client Version: v1."));
    }
}
