//! Locks in restic's protocol (its design document, "Locks"), so that restic and Coffer can share a repository: we take shared
//! ones, refresh them, and heed the exclusive ones of `restic prune` and its like.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::{
    task::AbortHandle,
    time::{sleep, timeout},
};

use crate::{
    backend::{Backend, FileKind, describe},
    codec,
    error::{Error, Part, Result},
    health::Health,
    id::Id,
    identity, limits,
    work::internal,
};

#[derive(Serialize, Deserialize)]
struct LockFile {
    time: Timestamp,
    #[serde(default)]
    exclusive: bool,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    pid: u32,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
}

impl LockFile {
    fn ours() -> Self {
        let identity::Identity { hostname, username, pid, uid, gid } = identity::current();
        Self { time: Timestamp::now(), exclusive: false, hostname, username, pid, uid, gid }
    }

    /// Not refreshed for so long that its holder gave up on it, or a shared one made by a process of this machine that is no more.
    ///
    /// The process is no proof against an exclusive lock: containers have host names in common and process ids of their own, and a
    /// living prune taken for dead would delete what we are writing.
    fn is_dead(&self) -> bool {
        let age = Timestamp::now().duration_since(self.time);
        age > jiff::SignedDuration::try_from(limits::LOCK_STALE).unwrap_or(jiff::SignedDuration::MAX)
            || (!self.exclusive && self.hostname == identity::current().hostname && identity::is_dead(self.pid))
    }
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub hostname: String,
    pub username: String,
    pub pid: u32,
    pub refreshed: Timestamp,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} of {} on {} (refreshed at {:.0})", self.pid, self.username, self.hostname, self.refreshed)
    }
}

/// A shared lock. Dropping it removes it in the background; [`Lock::release`] does so surely.
pub struct Lock {
    backend: Arc<Backend>,
    held: Arc<Mutex<Held>>,
    refresher: AbortHandle,
}

/// The lock files we have: one, or two during a refresh.
struct Held {
    ids: Vec<Id>,
    refreshed: Timestamp,
}

impl Lock {
    /// `health` fails when the lock is lost.
    pub(crate) async fn acquire(backend: Arc<Backend>, health: Arc<Health>) -> Result<Self> {
        heed_others(&backend).await?;
        let refreshed = Timestamp::now();
        let id = save(&backend).await?;
        let held = Arc::new(Mutex::new(Held { ids: vec![id], refreshed }));
        let refresher = tokio::spawn(keep_fresh(Arc::clone(&backend), Arc::clone(&held), health)).abort_handle();
        // From here on a drop removes the lock.
        let lock = Self { backend, held, refresher };
        sleep(limits::LOCK_SETTLE).await;
        match heed_others(&lock.backend).await {
            Ok(()) => Ok(lock),
            Err(error) => {
                lock.release().await;
                Err(error)
            }
        }
    }

    /// Whether others still see the lock: to be asked before anything is published that relies on it.
    pub(crate) async fn verify(&self) -> Result<()> {
        verify(&self.backend, &self.held).await
    }

    /// Removes the lock. Should that fail, it ends by itself half an hour later.
    pub async fn release(mut self) {
        self.refresher.abort();
        let ids = self.take();
        remove(&self.backend, ids).await;
    }

    #[cfg(test)]
    pub(crate) async fn refresh_now(&self) -> Result<()> {
        refresh(&self.backend, &self.held).await
    }

    fn take(&mut self) -> Vec<Id> {
        std::mem::take(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner).ids)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.refresher.abort();
        let ids = self.take();
        if let (false, Ok(runtime)) = (ids.is_empty(), tokio::runtime::Handle::try_current()) {
            let backend = Arc::clone(&self.backend);
            runtime.spawn(async move { remove(&backend, ids).await });
        }
    }
}

async fn remove(backend: &Backend, ids: Vec<Id>) {
    for id in ids {
        let problem = match timeout(limits::LOCK_RELEASE, backend.delete(FileKind::Lock, &id)).await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.chain(),
            Err(elapsed) => elapsed.to_string(),
        };
        tracing::warn!(problem, "unable to remove our lock; it ends by itself in half an hour");
    }
}

async fn save(backend: &Backend) -> Result<Id> {
    let body = codec::encode_file(&LockFile::ours()).map_err(internal)?;
    backend.save(FileKind::Lock, &body).await
}

/// Removes dead locks; fails when a living one is exclusive.
async fn heed_others(backend: &Backend) -> Result<()> {
    let ids = backend.list(FileKind::Lock).await?;
    let mut locks = stream::iter(ids)
        .map(|id| async move { (id, backend.load(FileKind::Lock, &id).await) })
        .buffer_unordered(limits::SMALL_READS);
    while let Some((id, body)) = locks.next().await {
        let body = match body {
            Ok(body) => body,
            // Released since it was listed.
            Err(Error::Store { source: object_store::Error::NotFound { .. }, .. }) => continue,
            Err(Error::Corrupt { object, reason, .. }) => return Err(unreadable(object, reason)),
            Err(error) => return Err(error),
        };
        let lock: LockFile =
            codec::decode_file(&body).map_err(|error| unreadable(describe(FileKind::Lock, &id), error.to_string()))?;
        if lock.is_dead() {
            tracing::info!(lock = %id, hostname = lock.hostname, pid = lock.pid, "removing a dead lock");
            backend.delete(FileKind::Lock, &id).await?;
        } else if lock.exclusive {
            let LockFile { hostname, username, pid, time, .. } = lock;
            return Err(Error::Locked(Holder { hostname, username, pid, refreshed: time }));
        }
    }
    Ok(())
}

/// It may be an exclusive one, so it can not be ignored.
fn unreadable(object: String, reason: String) -> Error {
    Error::Corrupt {
        part: Part::Lock,
        object,
        reason: format!("{reason}; when nothing else uses the repository, `restic unlock --remove-all` removes it"),
    }
}

async fn keep_fresh(backend: Arc<Backend>, held: Arc<Mutex<Held>>, health: Arc<Health>) {
    let mut pause = limits::LOCK_REFRESH;
    loop {
        sleep(pause).await;
        pause = match refresh(&backend, &held).await {
            Ok(()) => limits::LOCK_REFRESH,
            Err(error @ Error::LockLost(_)) => return health.fail(error),
            Err(error) => {
                tracing::warn!(error = error.chain(), "unable to refresh our lock");
                limits::LOCK_RETRY
            }
        };
    }
}

async fn refresh(backend: &Backend, held: &Mutex<Held>) -> Result<()> {
    verify(backend, held).await?;
    let refreshed = Timestamp::now();
    let id = save(backend).await?;
    let old = {
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        held.refreshed = refreshed;
        held.ids.push(id);
        held.ids.clone()
    };
    for old in old.into_iter().filter(|old| *old != id) {
        backend.delete(FileKind::Lock, &old).await?;
        held.lock().unwrap_or_else(PoisonError::into_inner).ids.retain(|id| *id != old);
    }
    Ok(())
}

/// Wall-clock time, for a machine that slept has a lock that aged.
async fn verify(backend: &Backend, held: &Mutex<Held>) -> Result<()> {
    let (id, age) = {
        let held = held.lock().unwrap_or_else(PoisonError::into_inner);
        (held.ids.last().copied(), Timestamp::now().duration_since(held.refreshed))
    };
    if age.unsigned_abs() > limits::LOCK_TRUSTED {
        return Err(Error::LockLost("it could not be refreshed in time".into()));
    }
    match id {
        Some(id) if backend.exists(FileKind::Lock, &id).await? => Ok(()),
        _ => Err(Error::LockLost("someone removed it".into())),
    }
}
