//! Compiled components on disk, so that an addon is compiled once for a version of Coffer and a machine.
//!
//! Compiled code is trusted like our own code. Only files that this process's user wrote into a folder that nobody else can
//! write are taken, after their checksum; a component brought from outside is always compiled here.

use crate::Error;
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    hash::{Hash, Hasher},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};
use wasmtime::{Engine, component::Component};

/// Writable by the group or by others.
const FOREIGN_WRITE: u32 = 0o022;

#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    /// Who owns what we write.
    user: u32,
    /// Stands for the engine: its version, its settings and this CPU's features.
    engine_hash: String,
}

impl Cache {
    pub(crate) fn open(folder: PathBuf, engine: &Engine) -> Result<Self, Error> {
        let failed = |source| Error::Cache { path: folder.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        // The owner of a file made now is this process's user; the standard library has no other way to ask.
        let user = tempfile::NamedTempFile::new_in(&folder)
            .and_then(|probe| probe.as_file().metadata())
            .map_err(failed)?
            .uid();
        let metadata = fs::metadata(&folder).map_err(failed)?;
        if metadata.uid() != user || metadata.mode() & FOREIGN_WRITE != 0 {
            return Err(Error::CacheIsOpen { path: folder });
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;

        let mut hasher = StableHasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let engine_hash = hex::encode(hasher.0.finalize().get(..16).unwrap_or_default());
        Ok(Self { folder, user, engine_hash })
    }

    /// A component compiled before. Anything wrong with the entry makes it absent: it is then compiled anew and replaced.
    pub(crate) fn get(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let path = self.path(digest);
        let code = match self.read(&path) {
            Ok(Some(code)) => code,
            Ok(None) => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a cached component is unusable and will be compiled anew");
                return None;
            }
        };
        match deserialize(engine, &code) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a cached component does not load and will be compiled anew");
                None
            }
        }
    }

    pub(crate) fn put(&self, digest: &str, component: &Component) {
        if let Err(error) = self.write(digest, component) {
            tracing::warn!(folder = %self.folder.display(), %error, "a compiled component was not cached: it will be compiled again");
        }
    }

    fn write(&self, digest: &str, component: &Component) -> io::Result<()> {
        let code = component.serialize().map_err(|error| io::Error::other(format!("{error:#}")))?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        io::Write::write_all(&mut file, &Sha256::digest(&code))?;
        io::Write::write_all(&mut file, &code)?;
        file.as_file().sync_all()?;
        file.persist(self.path(digest))?;
        Ok(())
    }

    /// The code of an entry that is ours and whole. Entry: SHA-256 of the code, then the code.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let metadata = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata?,
        };
        if !metadata.is_file() || metadata.uid() != self.user || metadata.mode() & FOREIGN_WRITE != 0 {
            return Err(io::Error::other("it is not a private file of this user"));
        }
        let mut entry = fs::read(path)?;
        let code = entry.split_off(entry.len().min(<Sha256 as sha2::Digest>::output_size()));
        if Sha256::digest(&code).as_slice() != entry {
            return Err(io::Error::other("its checksum differs"));
        }
        Ok(Some(code))
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}-{}.compiled", self.engine_hash))
    }
}

/// The one place where compiled code enters.
#[allow(unsafe_code)]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` must be what `Component::serialize` gave. It comes from `Cache::read` alone: a file of this user, in a
    // folder nobody else can write, written by `Cache::write`, whole by its checksum, for an engine of the same hash.
    unsafe { Component::deserialize(engine, code) }
}

/// The engine's hash must be the same in the next process; the standard library promises that for no hasher of its own.
struct StableHasher(Sha256);

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    }
}
