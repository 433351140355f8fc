//! Builds every addon and every guest of the tests for WebAssembly.

use std::fs;
use std::path::{Path, PathBuf};

use crate::shell::{AtPath, Error, Result, cargo, heading, run, say, target_folder, workspace};
use crate::wasm_target;

const FOLDERS: [&str; 2] = ["addons", "tests/guests"];

/// Builds all of them; returns the folder of the `.wasm` files.
pub fn build() -> Result<PathBuf> {
    heading("addons");
    wasm_target::make_available()?;
    let mut build = cargo();
    build.args(["build", "--target", wasm_target::TARGET, "--profile", "addon"]);
    for package in packages()? {
        build.args(["--package", &package]);
    }
    run(&mut build)?;
    let folder = target_folder()?.join(wasm_target::TARGET).join("addon");
    for entry in fs::read_dir(&folder).at(&folder)? {
        let path = entry.at(&folder)?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            say(format_args!("{} ({} KB)", path.display(), fs::metadata(&path).at(&path)?.len() / 1000));
        }
    }
    Ok(folder)
}

/// The packages in our folders of guests, by the names in their manifests.
fn packages() -> Result<Vec<String>> {
    let mut packages = Vec::new();
    for folder in FOLDERS.map(|folder| workspace().join(folder)) {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder).at(&folder)? {
            let manifest = entry.at(&folder)?.path().join("Cargo.toml");
            if manifest.is_file() {
                packages.push(package_name(&manifest)?);
            }
        }
        // The folder can be one package itself.
        let manifest = folder.join("Cargo.toml");
        if manifest.is_file() {
            packages.push(package_name(&manifest)?);
        }
    }
    packages.sort();
    Ok(packages)
}

fn package_name(manifest: &Path) -> Result<String> {
    let text = fs::read_to_string(manifest).at(manifest)?;
    let name = text.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    name.map(str::to_owned).ok_or_else(|| Error::Other(format!("{} names no package", manifest.display())))
}
