//! What an addon's sources wrote and its sinks are given, natively: artifacts with their bytes.

use coffer_addon::testing::{self, Written};
use coffer_addon::{Addon, Application, Artifact, Ends, Error, Report};
use std::path::Path;

/// What was dumped.
pub struct Dump {
    pub report: Report,
    /// In the order that they were begun in.
    pub files: Vec<Written>,
}

impl Dump {
    /// Runs a source.
    pub async fn of(addon: Addon, function: &str, application: Application, parameters: &str) -> Result<Self, Error> {
        let (outbox, written) = testing::outbox();
        let ends = Ends { application, inbox: testing::inbox([]), outbox };
        let report = addon.run(ends, function, parameters).await?;
        Ok(Dump { report, files: written.take() })
    }

    pub fn fact(&self, name: &str) -> &str {
        fact(&self.report, name)
    }

    pub fn has(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.artifact.name == name)
    }

    pub fn bytes(&self, name: &str) -> &[u8] {
        let file = self.files.iter().find(|file| file.artifact.name == name);
        file.unwrap_or_else(|| panic!("no file {name} in {:?}", self.names())).bytes.as_ref().expect("whole")
    }

    pub fn names(&self) -> Vec<&str> {
        self.files.iter().map(|file| file.artifact.name.as_str()).collect()
    }

    /// The files in a folder, as stock programs take them.
    pub fn write(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for file in &self.files {
            let path = folder.path().join(&file.artifact.name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, file.bytes.as_ref().expect("whole")).expect("written");
        }
        folder
    }
}

/// Runs a sink.
pub async fn restore(
    addon: Addon,
    function: &str,
    application: Application,
    parameters: &str,
    files: Vec<Written>,
) -> Result<Report, Error> {
    let ends = Ends { application, inbox: testing::inbox(files), outbox: testing::outbox().0 };
    addon.run(ends, function, parameters).await
}

pub fn fact<'a>(report: &'a Report, name: &str) -> &'a str {
    let found = report.facts.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    found.unwrap_or_else(|| panic!("no fact {name} in {report:?}"))
}

pub fn artifact(name: &str, bytes: impl Into<Vec<u8>>) -> Written {
    Written { artifact: Artifact { name: name.into(), labels: Vec::new() }, bytes: Ok(bytes.into()) }
}

/// A folder's files in the order of their names, as a snapshot without a manifest has them.
pub fn files(folder: &Path) -> Vec<Written> {
    let mut all = Vec::new();
    add_files(folder, "", &mut all);
    all
}

fn add_files(folder: &Path, prefix: &str, files: &mut Vec<Written>) {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut entries: Vec<_> = entries.map(|entry| entry.expect("an entry")).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type().expect("a type").is_dir() {
            true => add_files(&entry.path(), &format!("{name}/"), files),
            false => files.push(artifact(&name, std::fs::read(entry.path()).expect("read"))),
        }
    }
}
