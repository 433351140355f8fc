//! All objects: in memory for reads and watches, in one redb file for durability.
//!
//! The database holds what a laptop's control plane holds (thousands of small objects), so a copy in memory is cheap
//! and makes every list consistent. A write is a [`Txn`] over that copy: it is committed to the file (fsync) first,
//! then becomes visible, then wakes the watchers. Each changed object takes the next number of one revision counter,
//! which is the `resourceVersion` of the API.
//!
//! After an I/O failure (a full disk above all) redb refuses everything until it is opened anew. The objects are in memory,
//! so reads and watches go on; the next write opens the file again, and works as soon as there is room.

mod file;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::Database;
use serde_json::Value;

pub(crate) use file::is_full;
pub(crate) use state::{Change, Key, State};

use crate::Error;
use crate::status::{Result, Status};
use crate::txn::{Staged, Txn};

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
        let database = file::open_or_make(path)?;
        let state = file::load(&database, path)?;
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
        if let Err(error) = file::persist(database, &pending) {
            let status = refusal(&file::explain(&self.path, error));
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
        let database = file::open(&self.path, file)?;
        let stored = file::load(&database, &self.path)?;
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
