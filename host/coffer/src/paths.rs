//! Where things are: the data folder of the embedded control plane and what lies in it.

use crate::cli::Global;
use crate::failure::{Failure, Result};
use std::path::PathBuf;

/// The data folder. Its layout is the embedded server's; what the command line needs of it has a method here.
#[derive(Debug, Clone)]
pub struct DataDir(pub PathBuf);

impl DataDir {
    /// `--data-dir`, else `coffer` in `$XDG_DATA_HOME`, else in `~/.local/share`.
    pub fn find(global: &Global) -> Result<Self> {
        if let Some(dir) = &global.data_dir {
            let dir = std::path::absolute(dir).map_err(|error| {
                Failure::new(format_args!("unable to find the data folder {}", dir.display())).because(&error)
            })?;
            return Ok(Self(dir));
        }
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        absolute("XDG_DATA_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
            .map(|parent| Self(parent.join("coffer")))
            .ok_or_else(|| {
                Failure::new("there is no default data folder: neither XDG_DATA_HOME nor HOME is set")
                    .hint("name one by --data-dir")
            })
    }

    /// Written by `coffer serve`; it outlives the server.
    pub fn kubeconfig(&self) -> PathBuf {
        self.0.join("kubeconfig")
    }

    /// Compiled components. May be deleted at any time.
    pub fn cache(&self) -> PathBuf {
        self.0.join("cache")
    }
}
