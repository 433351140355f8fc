//! The sessions that run in this process: which targets they hold, and how to stop them.

use coffer_api::refs::TargetRef;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// An application that a session works on. Two sessions of one would restore into what the other reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) namespace: String,
    pub(crate) kind: &'static str,
    pub(crate) name: String,
}

impl Target {
    pub(crate) fn new(namespace: String, reference: &TargetRef) -> Self {
        Self { namespace, kind: reference.kind.as_str(), name: reference.name.to_string() }
    }
}

/// A session that waits asks every two seconds. One that does not was deleted, and must not keep others from starting.
const FORGET: Duration = Duration::from_secs(20);

/// A session that came before the ones behind it.
struct Waiting {
    uid: String,
    label: String,
    targets: Vec<Target>,
    asked: Instant,
}

#[derive(Default)]
struct Table {
    /// By the object's uid: a session that was deleted and made again under its name is another one.
    running: HashMap<String, Running>,
    /// First come, first served.
    waiting: Vec<Waiting>,
}

struct Running {
    label: String,
    targets: Vec<Target>,
    cancel: CancellationToken,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sessions {
    /// How many may run at once: each takes memory, connections and the disk for itself.
    most: NonZeroUsize,
    table: Arc<Mutex<Table>>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// Why a session cannot start now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Busy {
    /// The session that holds one of the targets, or waits for it longer.
    Target(String),
    /// As many sessions run as may, or are before it.
    Full(NonZeroUsize),
    Stopping,
}

/// The right to work on some targets, for as long as it is held.
pub(crate) struct Claim {
    sessions: Sessions,
    uid: String,
    /// Cancelled when the session is deleted, and when the process stops.
    pub(crate) cancel: CancellationToken,
}

impl Sessions {
    pub(crate) fn new(most: NonZeroUsize) -> Self {
        Self { most, table: Arc::default(), tasks: TaskTracker::new(), shutdown: CancellationToken::new() }
    }

    /// Takes all the targets, or none, for the session `uid`, which messages call `label`.
    pub(crate) fn claim(&self, uid: &str, label: String, targets: Vec<Target>) -> Result<Claim, Busy> {
        let mut table = self.lock();
        let Table { running, waiting } = &mut *table;
        if self.shutdown.is_cancelled() {
            return Err(Busy::Stopping);
        }
        let now = Instant::now();
        match waiting.iter_mut().find(|other| other.uid == uid) {
            Some(own) => (own.asked, own.targets) = (now, targets.clone()),
            None => waiting.push(Waiting {
                uid: uid.to_owned(),
                label: label.clone(),
                targets: targets.clone(),
                asked: now,
            }),
        }
        waiting.retain(|other| now.duration_since(other.asked) < FORGET);
        let place = waiting.iter().take_while(|other| other.uid != uid).count();
        let before = || waiting.iter().take(place);

        let holder = running.values().find(|other| overlap(&other.targets, &targets)).map(|other| &other.label);
        let earlier = || before().find(|other| overlap(&other.targets, &targets)).map(|other| &other.label);
        let holder = holder.or_else(earlier);
        if let Some(label) = holder {
            return Err(Busy::Target(label.clone()));
        }
        // Those that wait for a target would not start if they were asked.
        let is_free = |other: &&Waiting| !running.values().any(|running| overlap(&running.targets, &other.targets));
        let ready = before().filter(is_free).count();
        if running.len() + ready >= self.most.get() {
            return Err(Busy::Full(self.most));
        }
        waiting.remove(place);
        let cancel = self.shutdown.child_token();
        running.insert(uid.to_owned(), Running { label, targets, cancel: cancel.clone() });
        Ok(Claim { sessions: self.clone(), uid: uid.to_owned(), cancel })
    }

    pub(crate) fn is_running(&self, uid: &str) -> bool {
        self.lock().running.contains_key(uid)
    }

    /// Asks the session to stop. False when it does not run here (any more).
    pub(crate) fn cancel(&self, uid: &str) -> bool {
        let mut table = self.lock();
        table.waiting.retain(|waiting| waiting.uid != uid);
        match table.running.get(uid) {
            Some(running) => {
                running.cancel.cancel();
                true
            }
            None => false,
        }
    }

    /// Whether the process is stopping, which is another reason to be cancelled than being deleted.
    pub(crate) fn is_stopping(&self) -> bool {
        self.shutdown.is_cancelled()
    }

    pub(crate) fn spawn(&self, run: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(run);
    }

    /// Lets no session start, cancels all, and waits until each has written how it ended.
    pub(crate) async fn stop(&self) {
        {
            // Under the lock: a claim is either seen here or refused.
            let _table = self.lock();
            self.shutdown.cancel();
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // A panic between two single inserts or removes leaves a whole table.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.sessions.lock().running.remove(&self.uid);
    }
}

fn overlap(one: &[Target], other: &[Target]) -> bool {
    one.iter().any(|target| other.contains(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> Vec<Target> {
        targets(&[name])
    }

    fn targets(names: &[&str]) -> Vec<Target> {
        let target = |name: &&str| Target { namespace: "demo".into(), kind: "AppBinding", name: (*name).into() };
        names.iter().map(target).collect()
    }

    fn sessions(most: usize) -> Sessions {
        Sessions::new(NonZeroUsize::new(most).unwrap())
    }

    #[test]
    fn more_than_may_run_wait_in_the_order_they_came() {
        let sessions = sessions(1);
        let claim = |uid: &str, name: &str| sessions.claim(uid, format!("BackupSession demo/{name}"), target(name));
        let full = Some(Busy::Full(NonZeroUsize::MIN));
        let first = claim("1", "a").unwrap();
        assert_eq!(claim("2", "b").err(), full);
        assert_eq!(claim("3", "c").err(), full);
        drop(first);
        assert_eq!(claim("3", "c").err(), full, "another one was before it");
        let second = claim("2", "b").unwrap();
        assert_eq!(claim("3", "c").err(), full);
        assert_eq!(claim("4", "d").err(), full);
        drop(second);
        sessions.cancel("3");
        assert!(claim("4", "d").is_ok(), "the one before it was deleted");
    }

    #[test]
    fn who_waits_for_a_target_holds_up_no_other_target() {
        let sessions = sessions(2);
        let claim = |uid: &str, name: &str| sessions.claim(uid, uid.to_owned(), target(name));
        let _first = claim("1", "a").unwrap();
        assert_eq!(claim("2", "a").err(), Some(Busy::Target("1".to_owned())));
        assert!(claim("3", "b").is_ok());
    }

    #[test]
    fn a_target_has_one_session_at_a_time() {
        let sessions = sessions(4);
        let first = sessions.claim("1", "BackupSession demo/a".to_owned(), target("shop")).unwrap();
        let busy = sessions.claim("2", "BackupSession demo/b".to_owned(), target("shop")).err();
        assert_eq!(busy, Some(Busy::Target("BackupSession demo/a".to_owned())));
        assert!(sessions.claim("3", "BackupSession demo/c".to_owned(), target("copy")).is_ok());
        drop(first);
        assert!(sessions.claim("2", "BackupSession demo/b".to_owned(), target("shop")).is_ok());
    }

    #[test]
    fn a_copy_holds_its_source_as_well() {
        let sessions = sessions(4);
        let claim = |uid: &str, names: &[&str]| sessions.claim(uid, uid.to_owned(), targets(names));
        let busy = |uid: &str| Some(Busy::Target(uid.to_owned()));
        let copy = claim("copy", &["staging", "shop"]).unwrap();
        assert_eq!(claim("back", &["shop", "staging"]).err(), busy("copy"));
        assert_eq!(claim("restore", &["shop"]).err(), busy("copy"));
        drop(copy);
        assert_eq!(claim("restore", &["shop"]).err(), busy("back"), "it was before it");
        assert!(claim("back", &["shop", "staging"]).is_ok());
    }

    #[tokio::test]
    async fn stopping_cancels_what_runs_and_lets_nothing_start() {
        let sessions = sessions(4);
        let claim = sessions.claim("1", "BackupSession demo/a".to_owned(), target("shop")).unwrap();
        let cancel = claim.cancel.clone();
        sessions.spawn(async move {
            claim.cancel.cancelled().await;
            drop(claim);
        });
        sessions.stop().await;
        assert!(cancel.is_cancelled());
        assert!(!sessions.is_running("1"));
        assert_eq!(sessions.claim("2", String::new(), target("shop")).err(), Some(Busy::Stopping));
    }
}
