//! What can go wrong when a server is brought up.

use std::path::PathBuf;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: std::io::Error },

    #[error("unable to run {program}: {source}")]
    Spawn { program: String, source: std::io::Error },

    #[error("{program} failed ({status}): {stderr}")]
    Failed { program: String, status: std::process::ExitStatus, stderr: String },

    #[error(
        "no Debian mirror with component main among this machine's apt sources; set {variable} to use your own {what}"
    )]
    NoDebian { what: String, variable: &'static str },

    #[error("{variable} is set to {path}, where there is no {program}", path = path.display())]
    Override { variable: &'static str, path: PathBuf, program: String },

    #[error("{what} did not come up: {log}")]
    NotReady { what: String, log: String },

    #[error("{package} has no {path}: the package has changed its layout", path = path.display())]
    Layout { package: String, path: PathBuf },

    #[error("unable to make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),

    #[error("{command} has no answer: {source}; {server}")]
    Lost { command: String, source: std::io::Error, server: String },

    #[error("{command} was refused: {message} (code {code})")]
    Refused { command: String, code: i32, message: String },

    #[error("unable to read a document: {0}")]
    Bson(#[from] bson::error::Error),

    #[error("{0}")]
    Different(String),
}

/// Names the file in an I/O error.
pub(crate) trait AtPath<T> {
    fn at(self, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T> AtPath<T> for std::io::Result<T> {
    fn at(self, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|source| Error::File { path: path.into(), source })
    }
}
