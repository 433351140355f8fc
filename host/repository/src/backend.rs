//! The objects of a repository: their names, and how the small ones are sealed, named after their hash, and checked when read.

use std::fmt;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path::Path};

use crate::{
    crypto::Key,
    error::{Error, Part, Result},
    id::Id,
    limits,
    store::OpenStore,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Index,
    Key,
    Lock,
    Pack,
    Snapshot,
}

impl FileKind {
    pub(crate) fn folder(self) -> Path {
        Path::from(match self {
            Self::Index => "index",
            Self::Key => "keys",
            Self::Lock => "locks",
            Self::Pack => "data",
            Self::Snapshot => "snapshots",
        })
    }

    pub(crate) fn path(self, id: &Id) -> Path {
        let name = id.to_string();
        match self {
            Self::Pack => self.folder().join(name.chars().take(2).collect::<String>()).join(name),
            _ => self.folder().join(name),
        }
    }
}

impl From<FileKind> for Part {
    fn from(kind: FileKind) -> Self {
        match kind {
            FileKind::Index => Self::Index,
            FileKind::Key => Self::Key,
            FileKind::Lock => Self::Lock,
            FileKind::Pack => Self::Data,
            FileKind::Snapshot => Self::Snapshot,
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Index => "index",
            Self::Key => "key",
            Self::Lock => "lock",
            Self::Pack => "pack",
            Self::Snapshot => "snapshot",
        })
    }
}

/// What messages call an object.
pub(crate) fn describe(kind: FileKind, id: &Id) -> String {
    format!("{kind} {}", id.short())
}

/// The config is the one object that is not named after its hash.
pub(crate) fn config_path() -> Path {
    Path::from("config")
}

/// A store and the master key.
pub(crate) struct Backend {
    pub(crate) store: OpenStore,
    pub(crate) key: Key,
}

impl Backend {
    /// Seals and stores the body of a file.
    pub(crate) async fn save(&self, kind: FileKind, body: &[u8]) -> Result<Id> {
        let sealed = Bytes::from(self.key.seal(body));
        let id = Id::of(&sealed);
        self.put(kind, &id, sealed.into()).await?;
        Ok(id)
    }

    /// Objects are named by content, so that a PUT may be repeated without harm.
    pub(crate) async fn put(&self, kind: FileKind, id: &Id, payload: PutPayload) -> Result<()> {
        let result = self.store.objects.put(&kind.path(id), payload).await;
        result.map(drop).map_err(Error::store("store", describe(kind, id)))
    }

    /// The body of a file, after its hash and its MAC were checked.
    pub(crate) async fn load(&self, kind: FileKind, id: &Id) -> Result<Vec<u8>> {
        let sealed = read(&*self.store.objects, kind, id).await?;
        self.key.open(&sealed).map_err(|error| Error::corrupt(kind, describe(kind, id), error))
    }

    pub(crate) async fn list(&self, kind: FileKind) -> Result<Vec<Id>> {
        list(&*self.store.objects, kind).await.map_err(Error::store("list", format!("the {kind} files")))
    }

    pub(crate) async fn exists(&self, kind: FileKind, id: &Id) -> Result<bool> {
        match self.store.objects.head(&kind.path(id)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(Error::store("look for", describe(kind, id))(error)),
        }
    }

    pub(crate) async fn delete(&self, kind: FileKind, id: &Id) -> Result<()> {
        match self.store.objects.delete(&kind.path(id)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(Error::store("delete", describe(kind, id))(error)),
        }
    }
}

/// The bytes of an object that is named after their hash.
pub(crate) async fn read(store: &dyn ObjectStore, kind: FileKind, id: &Id) -> Result<Bytes> {
    let unreadable = || Error::store("read", describe(kind, id));
    let object = store.get(&kind.path(id)).await.map_err(unreadable())?;
    if object.meta.size > limits::FILE_MAX {
        return Err(Error::corrupt(kind, describe(kind, id), "it is larger than any such file may be"));
    }
    let bytes = object.bytes().await.map_err(unreadable())?;
    if Id::of(&bytes) != *id {
        return Err(Error::corrupt(kind, describe(kind, id), "its content does not match its name"));
    }
    Ok(bytes)
}

/// Names that are no ids are none of ours: a temporary file of another writer, say.
pub(crate) async fn list(store: &dyn ObjectStore, kind: FileKind) -> object_store::Result<Vec<Id>> {
    let objects = store.list(Some(&kind.folder()));
    objects
        .try_filter_map(async |object| Ok(object.location.filename().and_then(|name| name.parse::<Id>().ok())))
        .try_collect()
        .await
}
