//! Makes unpacked programs run from where they are: each gets the loader and the libraries of its own suite.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{self, run};
use crate::debian::Wanted;
use crate::error::{AtPath, Error, Result};

/// Points every ELF program in `programs` (a folder or one file) at the loader and libraries unpacked under `root`.
/// Static programs stay as they are.
pub(crate) fn relocate(root: &Path, programs: &Path) -> Result<()> {
    let libraries = library_folders(root)?;
    let patchelf = patchelf()?;
    for program in files(programs)? {
        if !is_elf(&program)? {
            continue;
        }
        // A static program has no interpreter, and nothing to relocate.
        let Ok(interpreter) = run(patchelf_command(&patchelf)?.arg("--print-interpreter").arg(&program)) else {
            continue;
        };
        let interpreter = PathBuf::from(String::from_utf8_lossy(&interpreter).trim());
        let loader = find_loader(&libraries, &interpreter)
            .ok_or_else(|| Error::Layout { package: root.display().to_string(), path: interpreter.clone() })?;
        // RPATH rather than RUNPATH: it also holds for the libraries' own dependencies.
        run(patchelf_command(&patchelf)?
            .arg("--set-interpreter")
            .arg(loader)
            .args(["--force-rpath", "--set-rpath", &search_path(&libraries)])
            .arg(&program))?;
    }
    Ok(())
}

/// Points every library in `plugins`, a program's folder, at each other and at the libraries unpacked under `root`: those
/// that say where to look on an ordinary machine look nowhere else.
pub(crate) fn relocate_plugins(root: &Path, plugins: &Path) -> Result<()> {
    let mut libraries = library_folders(root)?;
    libraries.push(plugins.to_owned());
    let patchelf = patchelf()?;
    for plugin in files(plugins)?.iter().filter(|file| file.extension().is_some_and(|extension| extension == "so")) {
        run(patchelf_command(&patchelf)?.args(["--force-rpath", "--set-rpath", &search_path(&libraries)]).arg(plugin))?;
    }
    Ok(())
}

fn patchelf() -> Result<PathBuf> {
    let wanted = Wanted::new("bookworm", &["patchelf"], "COFFER_PG_BIN_17");
    cache::entry("patchelf", &wanted.recipe(), |folder| wanted.unpack(folder))
}

/// patchelf, run through its own suite's loader: it cannot patch itself.
fn patchelf_command(root: &Path) -> Result<Command> {
    let libraries = library_folders(root)?;
    let loader = libraries
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|file| Some(file.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-linux")))
        .ok_or_else(|| Error::Layout { package: "libc6".into(), path: root.join("lib") })?;
    let mut command = Command::new(loader);
    command.arg("--library-path").arg(search_path(&libraries)).arg(root.join("usr/bin/patchelf"));
    Ok(command)
}

/// `lib/<machine>-linux-gnu` and `usr/lib/<machine>-linux-gnu` under `root`, as far as they exist.
fn library_folders(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for part in ["usr/lib", "lib"] {
        let folder = root.join(part);
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder).at(&folder)? {
            let path = entry.at(&folder)?.path();
            if path.is_dir() && path.to_string_lossy().contains("-linux-gnu") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn search_path(libraries: &[PathBuf]) -> String {
    let folders: Vec<String> = libraries.iter().map(|folder| folder.display().to_string()).collect();
    folders.join(":")
}

fn find_loader(libraries: &[PathBuf], interpreter: &Path) -> Option<PathBuf> {
    let name = interpreter.file_name()?;
    libraries.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).at(path)?;
    entries
        .map(|entry| Ok(entry.at(path)?.path()))
        .filter(|path| path.as_ref().map_or(true, |path| path.is_file()))
        .collect()
}

fn is_elf(path: &Path) -> Result<bool> {
    let mut magic = [0; 4];
    let mut file = fs::File::open(path).at(path)?;
    Ok(file.read_exact(&mut magic).is_ok() && &magic == b"\x7fELF")
}
