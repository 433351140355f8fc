//! Programs from Go modules. The `go` command knows by its own configuration where modules come from and who vouches
//! for them; a machine without one gets Debian's, unpacked into the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cache::{self, run, say};
use crate::debian::Wanted;
use crate::error::{AtPath, Error, Result};

/// A program of a module that can be built as it is.
pub(crate) fn install(package: &str, version: &str, into: &Path) -> Result<()> {
    say_building(package, version, into);
    run(go()?.args(["install", &format!("{package}@{version}")]).env("GOBIN", into)).map(drop)
}

/// Builds `packages` of a module, each into its file, as dependencies of a throw-away module with this `go.sum`: the
/// checksum database may not know a version that was never tagged.
pub(crate) fn build_pinned(
    module: &str,
    version: &str,
    sums: &[&str],
    packages: &[(String, PathBuf)],
    into: &Path,
) -> Result<()> {
    say_building(module, version, into);
    let source = into.join("source");
    fs::create_dir_all(&source).at(&source)?;
    let file = |name: &str, text: String| fs::write(source.join(name), text).at(source.join(name));
    file("go.mod", format!("module coffer.test/tools\n\ngo 1.23\n\nrequire {module} {version}\n"))?;
    file("go.sum", sums.iter().map(|sum| format!("{module} {sum}\n")).collect())?;
    for (package, program) in packages {
        let mut command = go()?;
        command.args(["build", "-mod=mod", "-o"]).arg(program).arg(format!("{module}/{package}"));
        run(command.current_dir(&source))?;
    }
    fs::remove_dir_all(&source).at(source)
}

/// Copies a module's source into a folder, to be changed before it is built with [`build_in`].
pub(crate) fn source(module: &str, version: &str, into: &Path) -> Result<()> {
    say_building(module, version, into);
    let downloaded = run(go()?.args(["mod", "download", "-json", &format!("{module}@{version}")]).current_dir("/"))?;
    let downloaded = String::from_utf8_lossy(&downloaded);
    let folder = downloaded.lines().find_map(|line| line.trim().strip_prefix("\"Dir\": \"")?.split('"').next());
    let folder = folder.ok_or_else(|| Error::Layout { package: module.to_owned(), path: "Dir".into() })?;
    // Go keeps modules unwritable.
    run(Command::new("cp").args(["-R", "--no-preserve=mode"]).arg(folder).arg(into)).map(drop)
}

/// Builds a package of the source in a folder.
pub(crate) fn build_in(source: &Path, package: &str, program: &Path) -> Result<()> {
    run(go()?.args(["build", "-o"]).arg(program).arg(package).current_dir(source)).map(drop)
}

fn say_building(what: &str, version: &str, into: &Path) {
    say(format_args!("building {what} {version} into {} (once; a minute or two)", into.display()));
}

fn go() -> Result<Command> {
    let own = Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let program = if own.is_ok_and(|status| status.success()) { "go".into() } else { packaged()? };
    let mut command = Command::new(program);
    // Static programs, which run wherever they are.
    command.env("CGO_ENABLED", "0");
    Ok(command)
}

/// Debian's `go`.
fn packaged() -> Result<PathBuf> {
    let wanted = Wanted::new("sid", &["golang-go"], "PATH");
    let folder = cache::entry("go-sid", &wanted.recipe(), |folder| wanted.unpack(folder))?;
    let program = folder.join("usr/lib/go/bin/go");
    if program.is_file() { Ok(program) } else { Err(Error::Layout { package: "golang-go".into(), path: program }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packaged_go_runs_where_it_was_unpacked() {
        let version = run(Command::new(packaged().unwrap()).arg("version").env_remove("GOROOT")).unwrap();
        assert!(version.starts_with(b"go version go1."), "{}", String::from_utf8_lossy(&version));
    }
}
