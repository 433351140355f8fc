//! The machine's Javas: which one a server runs on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::run;
use crate::error::{AtPath, Error, Result};
use crate::tools::overridden;

/// Where packages put Javas, each in a folder with a file `release`.
const HOMES: &str = "/usr/lib/jvm";

/// The Javas that a server runs on, and the variable that names the home of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Java {
    pub oldest: u32,
    pub newest: u32,
    pub variable: &'static str,
}

impl Java {
    /// Elasticsearch 7 wants a security manager, which Java 24 has no more.
    pub(super) const OLD: Self = Self { oldest: 17, newest: 23, variable: "COFFER_JAVA_17" };
    pub(super) const NEW: Self = Self { oldest: 21, newest: u32::MAX, variable: "COFFER_JAVA_21" };

    /// The home of the oldest fitting Java that can also compile.
    pub(super) fn home(self) -> Result<PathBuf> {
        if let Some(own) = overridden(self.variable, "bin/javac")? {
            return Ok(own);
        }
        let homes = fs::read_dir(HOMES).into_iter().flatten().flatten().map(|entry| entry.path());
        let fitting = homes.filter(|home| home.join("bin/javac").is_file()).filter_map(|home| {
            let version = version(&fs::read_to_string(home.join("release")).ok()?)?;
            (self.oldest..=self.newest).contains(&version).then_some((version, home))
        });
        fitting.min().map(|(_, home)| home).ok_or_else(|| Error::NotReady {
            what: format!("Java {}", self.oldest),
            log: format!("there is no JDK of {self} in {HOMES}; install one, or set {} to its folder", self.variable),
        })
    }

    /// Compiles `source`, a class's text, against jars; the class goes into `into`.
    pub(super) fn compile(self, name: &str, source: &str, jars: &Path, into: &Path) -> Result<()> {
        let file = into.join(format!("{name}.java"));
        fs::create_dir_all(into).at(into)?;
        fs::write(&file, source).at(&file)?;
        run(Command::new(self.home()?.join("bin/javac"))
            .args(["-proc:none", "-nowarn", "--release", &self.oldest.to_string(), "-cp"])
            .arg(jars.join("*"))
            .arg("-d")
            .args([into, &file]))?;
        fs::remove_file(&file).at(file)
    }
}

impl std::fmt::Display for Java {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self.newest {
            u32::MAX => write!(out, "version {} or later", self.oldest),
            newest => write!(out, "versions {} to {newest}", self.oldest),
        }
    }
}

/// From a home's file `release`, 17 of `JAVA_VERSION="17.0.15"`.
fn version(release: &str) -> Option<u32> {
    let line = release.lines().find_map(|line| line.strip_prefix("JAVA_VERSION=\""))?;
    line.split(['.', '"', '-', '+']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_java_says_how_old_it_is() {
        assert_eq!(version("IMPLEMENTOR=\"x\"\nJAVA_VERSION=\"17.0.15\"\n"), Some(17));
        assert_eq!(version("JAVA_VERSION=\"25\"\n"), Some(25));
        assert_eq!(version("JAVA_VERSION_DATE=\"2025-04-15\"\n"), None);
    }
}
