//! Command-line programs that judge what Coffer writes: stock `restic`, `mydumper`, `elasticdump`, `kubectl`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// unzip, or `$COFFER_UNZIP`.
pub(crate) fn unzip() -> Result<PathBuf> {
    program("unzip", &Wanted::new("bookworm", &["unzip"], "COFFER_UNZIP"), "usr/bin/unzip")
}

/// The folder of stock `mydumper` and `myloader`: `$COFFER_MYDUMPER`, else the newest that Debian has (0.10.1, of 2020).
pub fn mydumper_programs() -> Result<PathBuf> {
    let wanted = Wanted::new("sid", &["mydumper"], "COFFER_MYDUMPER");
    if let Some(own) = overridden(wanted.variable, "myloader")? {
        return Ok(own);
    }
    let folder = cache::entry("mydumper-sid", &wanted.recipe(), |folder| {
        wanted.unpack(folder)?;
        ["mydumper", "myloader"].iter().try_for_each(|name| relocate(folder, &folder.join("usr/bin").join(name)))
    })?;
    Ok(folder.join("usr/bin"))
}

/// `mydumper` or `myloader`, which find the plugins of MariaDB's client library, the sha2 logins, where they were unpacked.
pub fn mydumper(program: &str) -> Result<Command> {
    let programs = mydumper_programs()?;
    let mut command = Command::new(programs.join(program));
    if let Some(plugins) = programs.parent().and_then(mariadb_client_plugins) {
        command.env("MARIADB_PLUGIN_DIR", plugins);
    }
    command.env("LC_ALL", "C.UTF-8");
    Ok(command)
}

/// Where a package's `usr` has the plugins by which MariaDB's client library logs in; the library looks in `/usr`.
pub(crate) fn mariadb_client_plugins(usr: &Path) -> Option<PathBuf> {
    let folders = fs::read_dir(usr.join("lib")).ok()?.flatten();
    folders.map(|folder| folder.path().join("libmariadb3/plugin")).find(|path| path.is_dir())
}

/// What npm is asked for.
const ELASTICDUMP: &str = "elasticdump@6.125.1";

/// The folder of stock `elasticdump` and `multielasticdump`: `$COFFER_ELASTICDUMP`, else what npm gets.
pub fn elasticdump_programs() -> Result<PathBuf> {
    if let Some(own) = overridden("COFFER_ELASTICDUMP", "multielasticdump")? {
        return Ok(own);
    }
    let folder = cache::entry("elasticdump", &format!("1 {ELASTICDUMP}"), |folder| {
        cache::say(format_args!("fetching {ELASTICDUMP} with npm into {}", folder.display()));
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(folder).arg(ELASTICDUMP);
        cache::run(npm.current_dir(folder)).map(drop)
    })?;
    Ok(folder.join("node_modules/.bin"))
}

/// `elasticdump` or `multielasticdump`.
pub fn elasticdump(program: &str) -> Result<Command> {
    Ok(Command::new(elasticdump_programs()?.join(program)))
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
