//! The store of addon modules: one file a component, named by the SHA-256 of its content, in `data-dir/modules`.
//!
//! A file appears under its name only after its content was checked and made durable, so a name that exists is whole.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use coffer_api::{Failure, FailureClass};
use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use crate::{Error, private};

/// As much as the runtime compiles: no more need be stored.
pub const MAX_MODULE_BYTES: u64 = 64 << 20;

/// Content-addressed files of addon modules. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ModuleStore {
    folder: PathBuf,
}

/// Brings a module by its digest, checked against it.
pub type ModuleSource = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Bytes, Failure>> + Send + Sync>;

/// Why a module could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    #[error("{0:?} is not a SHA-256 digest: give 64 lowercase hexadecimal digits, with or without \"sha256:\"")]
    Digest(String),
    #[error("the module sha256:{0} is not stored here: install the addon again")]
    Absent(String),
    #[error("the content has digest sha256:{actual}, not sha256:{expected} as announced: nothing was stored")]
    Mismatch { expected: String, actual: String },
    #[error(
        "the file of module sha256:{expected} is damaged, its content has digest sha256:{actual}: install the addon again"
    )]
    Damaged { expected: String, actual: String },
    #[error("the module is larger than {} MiB, the limit", MAX_MODULE_BYTES >> 20)]
    TooLarge,
    #[error("the upload broke off: {0}")]
    Interrupted(String),
    #[error("unable to {action} the module file {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
}

impl From<ModuleError> for Failure {
    fn from(error: ModuleError) -> Failure {
        let class = match &error {
            ModuleError::Digest(_) => FailureClass::InvalidParameter,
            ModuleError::Absent(_) => FailureClass::NotFound,
            ModuleError::Damaged { .. } | ModuleError::Mismatch { .. } => FailureClass::Corrupt,
            ModuleError::TooLarge | ModuleError::Interrupted(_) | ModuleError::Io { .. } => FailureClass::Host,
        };
        let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        Failure::new(class, format!("{error}{cause}"))
    }
}

impl ModuleStore {
    pub(crate) fn open(data_dir: &Path) -> Result<ModuleStore, Error> {
        let folder = data_dir.join("modules");
        private::create_dir(&folder)?;
        Ok(ModuleStore { folder })
    }

    /// Where the module of a digest (64 hex digits, `sha256:` before them or not) is or would be.
    ///
    /// # Errors
    /// [`ModuleError::Digest`] for anything else, so that no digest can name a file outside the folder.
    fn path(&self, digest: &str) -> Result<PathBuf, ModuleError> {
        Ok(self.folder.join(format!("{}.wasm", bare(digest)?)))
    }

    /// The whole module, with the digest asked for.
    ///
    /// # Errors
    /// [`ModuleError::Absent`] when no such module was stored, [`ModuleError::Damaged`] when its file has changed since.
    pub async fn get(&self, digest: &str) -> Result<Bytes, ModuleError> {
        let path = self.path(digest)?;
        let expected = bare(digest)?.to_owned();
        let content = match tokio::fs::read(&path).await {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(ModuleError::Absent(expected)),
            Err(source) => return Err(ModuleError::Io { action: "read", path, source }),
        };
        let actual = hex::encode(Sha256::digest(&content));
        if actual != expected {
            return Err(ModuleError::Damaged { expected, actual });
        }
        Ok(content.into())
    }

    /// [`Self::get`] as a function, for those that are to know nothing of files.
    pub fn source(&self) -> ModuleSource {
        let store = self.clone();
        Arc::new(move |digest| {
            let store = store.clone();
            Box::pin(async move { Ok(store.get(&digest).await?) })
        })
    }

    /// Stores a module that is in memory and returns its digest as `sha256:…`.
    ///
    /// # Errors
    /// Those of [`Self::put`].
    pub async fn add(&self, content: Bytes) -> Result<String, ModuleError> {
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&content)));
        self.put(&digest, futures::stream::iter([Ok::<_, std::io::Error>(content)])).await?;
        Ok(digest)
    }

    /// Stores what the stream brings, if it has the announced digest.
    ///
    /// # Errors
    /// [`ModuleError::Mismatch`], [`ModuleError::TooLarge`] and [`ModuleError::Interrupted`] leave nothing behind.
    pub async fn put<E: std::fmt::Display>(
        &self,
        digest: &str,
        content: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<(), ModuleError> {
        let expected = bare(digest)?;
        let path = self.path(digest)?;
        // A name of its own, so that two uploads of one module cannot write into each other's file.
        let temporary = self.folder.join(format!(".{expected}.{:016x}", rand::random::<u64>()));
        let cleanup = RemoveOnDrop(Some(temporary.clone()));
        let io = |action| {
            let path = path.clone();
            move |source| ModuleError::Io { action, path, source }
        };
        let mut file = tokio::fs::File::create_new(&temporary).await.map_err(io("create"))?;
        let (mut hash, mut length) = (Sha256::new(), 0u64);
        let mut content = std::pin::pin!(content);
        while let Some(chunk) = content.next().await {
            let chunk = chunk.map_err(|error| ModuleError::Interrupted(error.to_string()))?;
            length += chunk.len() as u64;
            if length > MAX_MODULE_BYTES {
                return Err(ModuleError::TooLarge);
            }
            hash.update(&chunk);
            file.write_all(&chunk).await.map_err(io("write"))?;
        }
        let actual = hex::encode(hash.finalize());
        if actual != expected {
            return Err(ModuleError::Mismatch { expected: expected.into(), actual });
        }
        file.sync_all().await.map_err(io("write"))?;
        drop(file);
        tokio::fs::rename(&temporary, &path).await.map_err(io("name"))?;
        cleanup.disarm();
        // The name itself is durable only when the folder is.
        let folder = tokio::fs::File::open(&self.folder).await.map_err(io("name"))?;
        folder.sync_all().await.map_err(io("name"))
    }
}

/// The 64 hex digits of a digest.
fn bare(digest: &str) -> Result<&str, ModuleError> {
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    let valid = digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if valid { Ok(digits) } else { Err(ModuleError::Digest(digest.into())) }
}

struct RemoveOnDrop(Option<PathBuf>);

impl RemoveOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(path = %path.display(), %error, "unable to remove an unfinished module");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stores_by_content_and_refuses_a_wrong_digest() {
        let dir = tempfile::tempdir().unwrap();
        let store = ModuleStore::open(dir.path()).unwrap();
        let digest = store.add(Bytes::from_static(b"\0asm")).await.unwrap();
        assert_eq!(store.get(&digest).await.unwrap(), "\0asm");

        let other = "0".repeat(64);
        let chunks = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"else"))]);
        assert!(matches!(store.put(&other, chunks).await, Err(ModuleError::Mismatch { .. })));
        let broken =
            futures::stream::iter([Ok(Bytes::from_static(b"a")), Err(std::io::Error::other("connection reset"))]);
        assert!(matches!(store.put(&other, broken).await, Err(ModuleError::Interrupted(_))));
        assert!(matches!(store.get(&other).await, Err(ModuleError::Absent(_))));
        assert!(matches!(store.path("../../etc/passwd"), Err(ModuleError::Digest(_))));
        let files: Vec<_> = std::fs::read_dir(dir.path().join("modules")).unwrap().collect();
        assert_eq!(files.len(), 1, "nothing unfinished stays behind: {files:?}");

        std::fs::write(store.path(&digest).unwrap(), "changed").unwrap();
        assert!(matches!(store.get(&digest).await, Err(ModuleError::Damaged { .. })));
    }
}
