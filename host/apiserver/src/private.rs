//! Files and folders that only their owner may read: keys, the token, the kubeconfig, the database with its Secrets.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::Error;

/// Makes `path` and its parents, mode 0700. An existing folder keeps its mode.
pub(crate) fn create_dir(path: &Path) -> Result<(), Error> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| Error::Io {
        action: "create the folder",
        path: path.into(),
        source,
    })
}

/// The data folder: made as [`create_dir`] does, and refused when others could put their own files there. That others can
/// look into it is theirs to know who made it so: what is secret in it has modes of its own.
pub(crate) fn data_dir(path: &Path) -> Result<(), Error> {
    create_dir(path)?;
    let metadata =
        std::fs::metadata(path).map_err(|source| Error::Io { action: "look at", path: path.into(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(Error::Exposed { path: path.into(), mode });
    }
    if mode & 0o055 != 0 {
        let path = path.display();
        tracing::warn!("other users may look into the data folder {path} (mode {mode:03o}): chmod 700 {path}");
    }
    Ok(())
}

/// Opens a file for reading and writing, making it with mode 0600. One that others could read is tightened.
pub(crate) fn open(path: &Path) -> Result<File, Error> {
    let io = |action| move |source| Error::Io { action, path: path.into(), source };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(io("open"))?;
    let mode = file.metadata().map_err(io("open"))?.permissions().mode();
    if mode & 0o077 != 0 {
        file.set_permissions(PermissionsExt::from_mode(0o600)).map_err(io("restrict the permissions of"))?;
    }
    Ok(file)
}

/// Reads a file; `None` when it is absent.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { action: "read", path: path.into(), source }),
    }
}

/// Replaces a file as one step (a reader sees the old content or the new), mode 0600.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        // A leftover of a crash may have another mode: make it anew.
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|source| Error::Io { action: "write", path: path.into(), source })
}
