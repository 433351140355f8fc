//! The objects in one redb file: opening it, writing and reading it, and what its errors mean.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use super::{Key, Pending, State};
use crate::{Error, Holder, private};

/// (plural.group, namespace or "", name) → the object as JSON.
const OBJECTS: TableDefinition<(&str, &str, &str), &[u8]> = TableDefinition::new("objects");
/// `format` and `revision`.
const META: TableDefinition<&str, u64> = TableDefinition::new("coffer-control-plane");
const FORMAT: u64 = 1;

/// Opens the file or makes it, mode 0600.
pub(super) fn open_or_make(path: &Path) -> Result<Database, Error> {
    let file = private::open(path)?;
    let length = file.metadata().map_err(|source| Error::Io { action: "open", path: path.into(), source })?.len();
    let opened = open(path, file).and_then(|database| {
        if is_blank(&database).map_err(|error| explain(path, error))? {
            found(&database).map_err(|error| explain(path, error))?;
        }
        Ok(database)
    });
    // Half a file, as a full disk leaves one, would be taken for another program's at the next start.
    if length == 0
        && opened.as_ref().is_err_and(|error| !matches!(error, Error::Locked { .. }))
        && let Err(error) = std::fs::remove_file(path)
    {
        tracing::warn!(path = %path.display(), %error, "unable to remove an unfinished database");
    }
    opened
}

pub(super) fn open(path: &Path, file: File) -> Result<Database, Error> {
    let backend = FileBackend::new(file).map_err(|error| explain_open(path, error))?;
    redb::Builder::new()
        // Everything is read anyway, and without the check redb panics on some damaged files.
        .set_check_integrity_on_open(true)
        .create_with_backend(backend)
        .map_err(|error| explain_open(path, error))
}

/// Whether nobody has written into it: it is new, or the disk was full when it was.
fn is_blank(database: &Database) -> Result<bool, redb::Error> {
    Ok(database.begin_read()?.list_tables()?.next().is_none())
}

/// Makes the tables.
fn found(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert("format", FORMAT)?;
        meta.insert("revision", 1)?;
        transaction.open_table(OBJECTS)?;
    }
    Ok(transaction.commit()?)
}

pub(super) fn persist(database: &Database, pending: &Pending) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut objects = transaction.open_table(OBJECTS)?;
        for (key, value) in &pending.staged {
            let at = (&*key.resource, key.namespace.as_str(), key.name.as_str());
            match value {
                Some((_, encoded)) => objects.insert(at, encoded.as_bytes())?,
                None => objects.remove(at)?,
            };
        }
        transaction.open_table(META)?.insert("revision", pending.revision)?;
    }
    Ok(transaction.commit()?)
}

pub(super) fn load(database: &Database, path: &Path) -> Result<State, Error> {
    let fault = |error: redb::Error| explain(path, error);
    let transaction = database.begin_read().map_err(|error| fault(error.into()))?;
    let foreign = || Error::Foreign { path: path.into(), reason: "a redb file of another program".into() };
    let meta = match transaction.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Err(foreign()),
        meta => meta.map_err(|error| fault(error.into()))?,
    };
    match meta.get("format").map_err(|error| fault(error.into()))?.map(|value| value.value()) {
        Some(FORMAT) => {}
        Some(found) => return Err(Error::Format { path: path.into(), found, supported: FORMAT }),
        None => return Err(foreign()),
    }
    let revision = meta.get("revision").map_err(|error| fault(error.into()))?.map_or(1, |value| value.value());
    let mut objects = BTreeMap::new();
    let mut resources: HashMap<String, Arc<str>> = HashMap::new();
    let table = transaction.open_table(OBJECTS).map_err(|error| fault(error.into()))?;
    for entry in table.iter().map_err(|error| fault(error.into()))? {
        let (key, value) = entry.map_err(|error| fault(error.into()))?;
        let (resource, namespace, name) = key.value();
        let object = serde_json::from_slice(value.value()).map_err(|error| Error::Corrupt {
            path: path.into(),
            reason: format!("{resource} {namespace}/{name}: {error}"),
        })?;
        let resource = resources.entry(resource.into()).or_insert_with(|| resource.into()).clone();
        objects.insert(Key { resource, namespace: namespace.into(), name: name.into() }, Arc::new(object));
    }
    Ok(State::stored(objects, revision))
}

fn explain_open(path: &Path, error: DatabaseError) -> Error {
    match error {
        DatabaseError::DatabaseAlreadyOpen => Error::Locked { holder: Holder::of(path), path: path.into() },
        DatabaseError::UpgradeRequired(version) => {
            Error::Foreign { path: path.into(), reason: format!("redb file format {version}") }
        }
        error => explain(path, error.into()),
    }
}

/// Whether this is the answer of a disk, or of a user's share of it, that has no room left.
pub(crate) fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

pub(super) fn explain(path: &Path, error: redb::Error) -> Error {
    let path = path.to_path_buf();
    match error {
        redb::Error::Io(source) if source.kind() == ErrorKind::InvalidData => {
            Error::Foreign { path, reason: "not a redb file".into() }
        }
        redb::Error::Corrupted(reason) => Error::Corrupt { path, reason },
        redb::Error::Io(source) if source.kind() == ErrorKind::UnexpectedEof => {
            Error::Corrupt { path, reason: "the file is cut short".into() }
        }
        redb::Error::Io(source) if is_full(&source) => {
            Error::Full { folder: path.parent().unwrap_or(&path).into(), path, source }
        }
        redb::Error::TableTypeMismatch { table, .. } => {
            Error::Foreign { path, reason: format!("its table {table} is of another kind") }
        }
        error => Error::Database { path, source: Box::new(error) },
    }
}
