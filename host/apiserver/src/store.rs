//! All objects: in memory for reads and watches, in one redb file for durability.
//!
//! The database holds what a laptop's control plane holds (thousands of small objects), so a copy in memory is cheap
//! and makes every list consistent. A write is a [`Txn`] over that copy: it is committed to the file (fsync) first,
//! then becomes visible, then wakes the watchers. Each changed object takes the next number of one revision counter,
//! which is the `resourceVersion` of the API.
//!
//! After an I/O failure (a full disk above all) redb refuses everything until it is opened anew. The objects are in memory,
//! so reads and watches go on; the next write opens the file again, and works as soon as there is room.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use serde_json::Value;

use crate::status::{Result, Status};
use crate::txn::{Staged, Txn};
use crate::{Error, Holder, private};

/// (plural.group, namespace or "", name) → the object as JSON.
const OBJECTS: TableDefinition<(&str, &str, &str), &[u8]> = TableDefinition::new("objects");
/// `format` and `revision`.
const META: TableDefinition<&str, u64> = TableDefinition::new("coffer-control-plane");
const FORMAT: u64 = 1;

/// Changes kept for watchers. A watch from further back gets 410 and lists again, which is also what happens after a
/// restart.
const HISTORY: usize = 4096;
/// The same in encoded bytes, since a session's status grows with its artifacts; in memory it is some four times that.
const HISTORY_BYTES: usize = 8 << 20;

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// `plural.group`, or the plural alone for the core group.
    pub(crate) resource: Arc<str>,
    /// "" for cluster-scoped kinds.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// One change of one object.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) key: Key,
    /// As it was before; `None` when this made it.
    pub(crate) before: Option<Arc<Value>>,
    /// As it is now; `None` when this removed it.
    pub(crate) after: Option<Arc<Value>>,
    /// What `after` takes when encoded.
    pub(crate) bytes: usize,
}

/// The objects at one revision, and the changes that led there.
#[derive(Default)]
pub(crate) struct State {
    objects: BTreeMap<Key, Arc<Value>>,
    pub(crate) revision: u64,
    history: VecDeque<Change>,
    history_bytes: usize,
    /// The oldest revision from which `history` is complete.
    history_from: u64,
}

impl State {
    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.objects.keys()
    }

    fn advance(&mut self, revision: u64, staged: Staged, changes: Vec<Change>) {
        for (key, value) in staged {
            match value {
                Some((value, _)) => self.objects.insert(key, value),
                None => self.objects.remove(&key),
            };
        }
        self.history_bytes += changes.iter().map(|change| change.bytes).sum::<usize>();
        self.history.extend(changes);
        while self.history.len() > HISTORY || self.history_bytes > HISTORY_BYTES {
            let Some(oldest) = self.history.pop_front() else { break };
            self.history_bytes -= oldest.bytes;
            self.history_from = oldest.revision;
        }
        self.revision = revision;
    }

    /// The objects of a resource in key order, in one namespace or all, after a given key.
    pub(crate) fn scan<'a>(
        &'a self,
        resource: &'a Arc<str>,
        namespace: Option<&'a str>,
        after: Option<&Key>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        let first =
            Key { resource: resource.clone(), namespace: namespace.unwrap_or_default().into(), name: String::new() };
        let after = after.cloned();
        let from = after.clone().map_or(first.clone(), |after| after.max(first));
        self.objects
            .range(from..)
            .take_while(move |(key, _)| {
                key.resource == *resource && namespace.is_none_or(|namespace| key.namespace == namespace)
            })
            .filter(move |(key, _)| after.as_ref() != Some(*key))
    }

    /// The changes after `revision`, oldest first; `None` when the history does not reach back so far.
    pub(crate) fn since(&self, revision: u64) -> Option<impl Iterator<Item = &Change>> {
        if revision < self.history_from {
            return None;
        }
        let start = self.history.partition_point(|change| change.revision <= revision);
        Some(self.history.range(start..))
    }
}

/// The database. One process at a time.
pub(crate) struct Store {
    path: PathBuf,
    state: RwLock<State>,
    /// Held from the first look of a write to its last, so that writes are strictly one after another.
    writer: Mutex<Writer>,
    revision: tokio::sync::watch::Sender<u64>,
}

enum Writer {
    Open(Database),
    /// Writing this failed, and redb is of no use until the file is opened again. Whether it is in the file is only known
    /// then: what fails last may be the confirmation.
    Failed(Pending),
}

/// A write on its way into the file.
struct Pending {
    revision: u64,
    staged: Staged,
    changes: Vec<Change>,
}

impl Store {
    /// Opens or makes the database file, mode 0600.
    pub(crate) fn open(path: &Path) -> std::result::Result<Store, Error> {
        let file = private::open(path)?;
        let length = file.metadata().map_err(|source| Error::Io { action: "open", path: path.into(), source })?.len();
        let opened = open_database(path, file).and_then(|database| {
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
        let database = opened?;
        let state = load(&database, path)?;
        let revision = tokio::sync::watch::Sender::new(state.revision);
        let writer = Mutex::new(Writer::Open(database));
        Ok(Store { path: path.into(), state: RwLock::new(state), writer, revision })
    }

    /// Looks at the objects as of now. Keep it short: writers wait.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        // A panic elsewhere cannot leave a half-made state: it is replaced only by the infallible part of `write`.
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The newest revision, and a wake-up at each later one.
    pub(crate) fn follow(&self) -> tokio::sync::watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Runs one write: all of its changes become durable and visible together, or, on an error, none. Blocks on the
    /// disk, so async callers go through [`crate::registry::Registry::write`].
    pub(crate) fn write<T>(&self, change: impl FnOnce(&mut Txn) -> Result<T>) -> Result<T> {
        self.run(change, false)
    }

    /// What [`Self::write`] would answer, without doing it.
    pub(crate) fn rehearse<T>(&self, change: impl FnOnce(&mut Txn) -> Result<T>) -> Result<T> {
        self.run(change, true)
    }

    fn run<T>(&self, change: impl FnOnce(&mut Txn) -> Result<T>, rehearsal: bool) -> Result<T> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Writer::Failed(pending) = &*writer
            && !rehearsal
        {
            *writer = Writer::Open(self.reopen(pending).map_err(|error| refusal(&error))?);
        }
        let (result, pending) = self.read(|state| {
            let mut txn = Txn::new(state);
            let result = change(&mut txn)?;
            let Txn { revision, staged, changes, .. } = txn;
            Ok::<_, Status>((result, Pending { revision, staged, changes }))
        })?;
        if pending.changes.is_empty() || rehearsal {
            return Ok(result);
        }
        let Writer::Open(database) = &*writer else {
            return Err(Status::internal("the control-plane database is not open"));
        };
        if let Err(error) = persist(database, &pending) {
            let status = refusal(&explain(&self.path, error));
            // This closes the file.
            *writer = Writer::Failed(pending);
            return Err(status);
        }
        self.advance(pending);
        Ok(result)
    }

    /// Makes visible what is durable.
    fn advance(&self, Pending { revision, staged, changes }: Pending) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).advance(revision, staged, changes);
        self.revision.send_replace(revision);
    }

    /// Opens the file again after a failure, if it still holds what memory does, with the write that failed or without.
    fn reopen(&self, pending: &Pending) -> std::result::Result<Database, Error> {
        // Not made anew when it is gone: an empty file would pass for an empty control plane at the next start.
        let file = File::options().read(true).write(true).open(&self.path);
        let file = file.map_err(|source| Error::Io { action: "open", path: self.path.clone(), source })?;
        let database = open_database(&self.path, file)?;
        let stored = load(&database, &self.path)?;
        let holds = |revision: u64, expected: &BTreeMap<Key, Arc<Value>>| {
            stored.revision == revision && stored.objects == *expected
        };
        if self.read(|state| holds(state.revision, &state.objects)) {
            return Ok(database);
        }
        let mut expected = self.read(|state| state.objects.clone());
        for (key, value) in &pending.staged {
            match value {
                Some((value, _)) => expected.insert(key.clone(), value.clone()),
                None => expected.remove(key),
            };
        }
        if !holds(pending.revision, &expected) {
            return Err(Error::Changed { path: self.path.clone() });
        }
        self.advance(Pending {
            revision: pending.revision,
            staged: pending.staged.clone(),
            changes: pending.changes.clone(),
        });
        Ok(database)
    }
}

/// A write that failed, as its client is told.
fn refusal(error: &Error) -> Status {
    match error {
        Error::Full { .. } => Status::storage_full(error),
        error => match std::error::Error::source(error) {
            Some(source) => Status::internal(format_args!("{error}: {source}")),
            None => Status::internal(error),
        },
    }
}

fn open_database(path: &Path, file: File) -> std::result::Result<Database, Error> {
    let backend = FileBackend::new(file).map_err(|error| explain_open(path, error))?;
    redb::Builder::new()
        // Everything is read anyway, and without the check redb panics on some damaged files.
        .set_check_integrity_on_open(true)
        .create_with_backend(backend)
        .map_err(|error| explain_open(path, error))
}

/// Whether nobody has written into it: it is new, or the disk was full when it was.
fn is_blank(database: &Database) -> std::result::Result<bool, redb::Error> {
    Ok(database.begin_read()?.list_tables()?.next().is_none())
}

/// Makes the tables.
fn found(database: &Database) -> std::result::Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert("format", FORMAT)?;
        meta.insert("revision", 1)?;
        transaction.open_table(OBJECTS)?;
    }
    Ok(transaction.commit()?)
}

fn persist(database: &Database, pending: &Pending) -> std::result::Result<(), redb::Error> {
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

fn load(database: &Database, path: &Path) -> std::result::Result<State, Error> {
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
    let mut state = State { revision, history_from: revision, ..State::default() };
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
        state.objects.insert(Key { resource, namespace: namespace.into(), name: name.into() }, Arc::new(object));
    }
    Ok(state)
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

fn explain(path: &Path, error: redb::Error) -> Error {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(name: &str) -> Key {
        Key { resource: "things.test".into(), namespace: "default".into(), name: name.into() }
    }

    #[test]
    fn a_write_is_all_or_nothing_and_outlives_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.redb");
        let store = Store::open(&path).unwrap();
        store.write(|txn| Ok(txn.put(key("kept"), json!({"metadata": {"name": "kept"}})))).unwrap();
        let refused: Result<()> = store.write(|txn| {
            txn.put(key("lost"), json!({}));
            Err(Status::bad_request("no"))
        });
        refused.unwrap_err();
        let revision = store.read(|state| state.revision);
        drop(store);

        let store = Store::open(&path).unwrap();
        assert_eq!(store.read(|state| state.revision), revision);
        assert!(store.read(|state| state.get(&key("kept")).is_some()));
        assert!(store.read(|state| state.get(&key("lost")).is_none()));
    }

    /// A write as it was when the disk failed, in the file or not.
    fn failed(store: &Store, name: &str, in_the_file: bool) {
        let pending = store.read(|state| {
            let mut txn = Txn::new(state);
            txn.put(key(name), json!({"metadata": {"name": name}}));
            let Txn { revision, staged, changes, .. } = txn;
            Pending { revision, staged, changes }
        });
        let mut writer = store.writer.lock().unwrap();
        let Writer::Open(database) = &*writer else { panic!("not open") };
        if in_the_file {
            persist(database, &pending).unwrap();
        }
        *writer = Writer::Failed(pending);
    }

    #[test]
    fn a_failed_write_is_seen_if_the_file_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.redb");
        let store = Store::open(&path).unwrap();
        let write = |name: &str| store.write(|txn| Ok(txn.put(key(name), json!({"metadata": {"name": name}}))));
        let start = store.read(|state| state.revision);
        failed(&store, "lost", false);
        write("first").unwrap();
        failed(&store, "durable", true);
        write("second").unwrap();
        let names = || store.read(|state| state.keys().map(|key| key.name.clone()).collect::<Vec<_>>());
        assert_eq!(names(), ["durable", "first", "second"]);
        let told =
            store.read(|state| state.since(start).unwrap().map(|change| change.key.name.clone()).collect::<Vec<_>>());
        assert_eq!(told, ["first", "durable", "second"]);

        failed(&store, "lost", false);
        Store::open(&path).unwrap().write(|txn| Ok(txn.put(key("foreign"), json!({})))).unwrap();
        let refused = write("third").unwrap_err();
        assert!(refused.message().contains("no longer what this server wrote"), "{refused:?}");
        std::fs::remove_file(&path).unwrap();
        write("third").unwrap_err();
        assert!(!path.exists(), "no empty control plane is left for the next start");
        assert_eq!(names(), ["durable", "first", "second"]);
    }

    #[test]
    fn names_the_file_that_cannot_be_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.redb");
        let first = Store::open(&path).unwrap();
        assert!(matches!(Store::open(&path), Err(Error::Locked { .. })));
        drop(first);

        let foreign = dir.path().join("foreign.redb");
        std::fs::write(&foreign, "a diary, not a database\n".repeat(1000)).unwrap();
        let error = Store::open(&foreign).err().unwrap();
        assert!(matches!(error, Error::Foreign { .. }), "{error:?}");
        assert!(error.to_string().contains("foreign.redb"));

        let other = dir.path().join("other.redb");
        let foreign = Database::create(&other).unwrap();
        let transaction = foreign.begin_write().unwrap();
        transaction.open_table(TableDefinition::<u64, u64>::new("theirs")).unwrap();
        transaction.commit().unwrap();
        drop(foreign);
        assert!(matches!(Store::open(&other), Err(Error::Foreign { .. })));

        let mut bytes = std::fs::read(&path).unwrap();
        let half = bytes.len() / 2;
        bytes.truncate(half);
        std::fs::write(&path, bytes).unwrap();
        let error = Store::open(&path).err().unwrap();
        assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    }

    #[test]
    fn damage_is_found_or_harmless() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.redb");
        let store = Store::open(&path).unwrap();
        let value = json!({"value": "x".repeat(500)});
        for number in 0..20 {
            store.write(|txn| Ok(txn.put(key(&number.to_string()), value.clone()))).unwrap();
        }
        drop(store);
        let whole = std::fs::read(&path).unwrap();
        let mut found = 0;
        for at in (0..whole.len()).step_by(whole.len() / 64) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            std::fs::write(&path, damaged).unwrap();
            match Store::open(&path) {
                Ok(store) => store.read(|state| {
                    assert!(state.objects.values().all(|object| object["value"] == value["value"]), "byte {at}");
                }),
                Err(error) => {
                    assert!(matches!(error, Error::Corrupt { .. } | Error::Foreign { .. }), "byte {at}: {error:?}");
                    found += 1;
                }
            }
        }
        assert!(found > 0);
    }

    #[test]
    fn the_history_ends_where_it_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("control.redb")).unwrap();
        let start = store.read(|state| state.revision);
        store
            .write(|txn| {
                for number in 0..HISTORY + 10 {
                    txn.put(key(&format!("{number}")), json!({}));
                }
                Ok(())
            })
            .unwrap();
        store.read(|state| {
            assert!(state.since(start).is_none());
            assert_eq!(state.since(start + 10).unwrap().count(), HISTORY);
            assert_eq!(state.since(state.revision).unwrap().count(), 0);
        });
        let large = "x".repeat(HISTORY_BYTES / 2);
        for _ in 0..3 {
            store.write(|txn| Ok(txn.put(key("large"), json!({"value": large})))).unwrap();
        }
        store.read(|state| assert_eq!(state.since(state.revision - 1).unwrap().count(), 1));
        store.read(|state| assert!(state.since(state.revision - 2).is_none()));
    }
}
