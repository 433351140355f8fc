//! Writes the files that are made from code, and checks that those in the repository are up to date.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::shell::{AtPath, Error, Result, cargo, heading, output, run as run_command, say, target_folder, workspace};

/// The custom resource definitions.
const CRDS: &str = "deploy/crds";
const CLI_REFERENCE: &str = "docs/cli.md";
/// Written by hand; checked to be manifests that `coffer apply` takes.
const EXAMPLES: &str = "deploy/examples";

#[derive(clap::Args)]
pub struct Options {
    /// Write nothing; fail when a file in the repository is not what would be written
    #[arg(long)]
    pub check: bool,
}

pub fn run(options: &Options) -> Result<()> {
    heading(if options.check { "generated files" } else { "generate" });
    run_command(cargo().args(["build", "--package", "coffer", "--package", "coffer-generate"]))?;
    let programs = target_folder()?.join("debug");
    let fresh = target_folder()?.join("generated");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).at(&fresh)?;
    }
    for folder in [fresh.join("deploy"), fresh.join("docs")] {
        fs::create_dir_all(&folder).at(&folder)?;
    }
    run_command(Command::new(programs.join("coffer-generate")).arg(fresh.join(CRDS)))?;
    let reference = output(Command::new(programs.join("coffer")).arg("docs"))?;
    fs::write(fresh.join(CLI_REFERENCE), reference).at(&fresh)?;

    let mut stale = Vec::new();
    update(&fresh, &workspace(), options.check, &mut stale)?;
    // What is no longer generated must go as well.
    let crds = workspace().join(CRDS);
    for name in names(&crds)? {
        if !fresh.join(CRDS).join(&name).exists() {
            stale.push(format!("{CRDS}/{name}"));
            if !options.check {
                fs::remove_file(crds.join(&name)).at(&crds)?;
            }
        }
    }
    let examples = workspace().join(EXAMPLES);
    if examples.is_dir() {
        run_command(Command::new(programs.join("coffer")).args(["apply", "--check", "-f"]).arg(&examples))?;
    }
    match (stale.is_empty(), options.check) {
        (true, _) => say("generated files are up to date"),
        (false, true) => {
            let files = stale.join(", ");
            return Err(Error::Other(format!("out of date: {files}; run `cargo xtask generate` and commit them")));
        }
        (false, false) => say(format_args!("written: {}", stale.join(", "))),
    }
    Ok(())
}

/// Brings the files under `to` in line with those under `from`; notes which were not.
fn update(from: &Path, to: &Path, check: bool, stale: &mut Vec<String>) -> Result<()> {
    for name in names(from)? {
        let (source, destination) = (from.join(&name), to.join(&name));
        if source.is_dir() {
            update(&source, &destination, check, stale)?;
            continue;
        }
        let text = fs::read(&source).at(&source)?;
        if fs::read(&destination).is_ok_and(|there| there == text) {
            continue;
        }
        stale.push(destination.strip_prefix(workspace()).unwrap_or(&destination).display().to_string());
        if !check {
            fs::create_dir_all(to).at(to)?;
            fs::write(&destination, text).at(&destination)?;
        }
    }
    Ok(())
}

/// The names in a folder, in order; none when there is no such folder.
fn names(folder: &Path) -> Result<Vec<String>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).at(folder)?;
    let mut names = entries
        .map(|entry| Ok(entry.at(folder)?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}
