//! Who else has a file open, so that the message about it can name somebody. Only where `/proc` tells, and only of processes
//! that we may look into.

use std::fmt;
use std::fs;
use std::path::Path;

/// A process that has a file open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub process: u32,
    /// As the kernel knows it, cut after 15 bytes.
    pub program: String,
}

impl Holder {
    /// The first other process that has the file open.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let path = fs::canonicalize(path).ok()?;
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let mut processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let process = processes.find(|process| *process != std::process::id() && has_open(*process, &path))?;
        let program = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
        Some(Self { process, program: program.trim_end().to_owned() })
    }
}

fn has_open(process: u32, path: &Path) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|open| open == path))
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.program.as_str() {
            "" => write!(f, "process {}", self.process),
            program => write!(f, "process {} ({program})", self.process),
        }
    }
}
