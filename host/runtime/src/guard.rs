//! Watches a run from outside: bytes moved, time computed, deadline, cancel.
//!
//! A `select!` inside a store's event loop is unreliable (a guest's call may hold the store), so everything here wraps the
//! whole loop, and stopping means dropping the loop together with its store.

use crate::{Limits, error::Stopped};
use rustix::time::{ClockId, clock_gettime};
use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};
use tokio::time::Instant as Timer;
use tokio_util::sync::CancellationToken;

/// A run's bytes, counted where they pass between guest and host.
#[derive(Debug, Default)]
pub struct Traffic {
    read: AtomicU64,
    written: AtomicU64,
    /// Bytes from and to the application, and moves without bytes.
    others: AtomicU64,
    signs: AtomicU64,
    memory: AtomicU64,
}

impl Traffic {
    /// From the inbox's artifacts.
    pub fn read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// To the outbox's artifacts.
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// From and to the application, as the guest has taken and given it; a connection counts as a byte or two more.
    pub fn exchanged(&self) -> u64 {
        self.others.load(Relaxed)
    }

    /// The most linear memory that the component has had so far, in bytes.
    pub fn memory(&self) -> u64 {
        self.memory.load(Relaxed)
    }

    pub(crate) fn set_memory(&self, bytes: usize) {
        self.memory.fetch_max(bytes as u64, Relaxed);
    }

    pub(crate) fn add_read(&self, count: usize) {
        self.read.fetch_add(count as u64, Relaxed);
    }

    pub(crate) fn add_written(&self, count: usize) {
        self.written.fetch_add(count as u64, Relaxed);
    }

    /// Bytes from or to the application.
    pub(crate) fn add_exchanged(&self, count: usize) {
        self.others.fetch_add(count as u64, Relaxed);
    }

    /// A move without bytes: an artifact began or ended, a connection was tried.
    pub(crate) fn add_event(&self) {
        self.others.fetch_add(1, Relaxed);
    }

    /// The guest spoke: it lives, although nothing may move.
    pub(crate) fn add_sign(&self) {
        self.signs.fetch_add(1, Relaxed);
    }

    /// Changes with every move.
    fn moves(&self) -> u64 {
        [&self.read, &self.written, &self.others]
            .into_iter()
            .fold(0, |sum, counter| sum.wrapping_add(counter.load(Relaxed)))
    }

    /// Changes with every sign of life.
    fn life(&self) -> u64 {
        self.moves().wrapping_add(self.signs.load(Relaxed))
    }
}

/// How a run is asked to stop before it is made to.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    /// The caller's.
    pub(crate) cancel: CancellationToken,
    /// What the guest hears of it; also when its time is over.
    pub(crate) told: CancellationToken,
    /// The guest waits for `cancelled`.
    pub(crate) listens: Arc<AtomicBool>,
}

impl Stop {
    pub(crate) fn new(cancel: CancellationToken) -> Self {
        Self { told: cancel.child_token(), cancel, listens: Arc::default() }
    }
}

/// Runs `work` until it is done or has to be stopped; when stopped, `work` has been dropped.
pub(crate) async fn guard<T>(
    work: impl Future<Output = T>,
    limits: &Limits,
    traffic: &Traffic,
    stop: &Stop,
) -> Result<T, Stopped> {
    let mut work = pin!(metered(work, limits.cpu, traffic));
    let stopped = tokio::select! {
        biased;
        outcome = &mut work => return outcome,
        () = stop.cancel.cancelled() => Stopped::Cancelled,
        limit = passed(limits.deadline) => Stopped::Deadline(limit),
        () = idle(limits.idle, traffic) => Stopped::Idle(limits.idle),
    };
    stop.told.cancel();
    // Grace is only for a guest that waits for `cancelled`: to any other it would be lost time.
    if stop.listens.load(Relaxed) {
        // However it ends now, it was stopped.
        let _ = tokio::time::timeout(limits.grace, work).await;
    }
    Err(stopped)
}

/// Resolves with the deadline when it has passed; never without one.
async fn passed(deadline: Option<Duration>) -> Duration {
    match deadline {
        Some(limit) => {
            tokio::time::sleep(limit).await;
            limit
        }
        None => std::future::pending().await,
    }
}

/// Resolves when there was no sign of life for `limit`.
async fn idle(limit: Duration, traffic: &Traffic) {
    let mut mark = traffic.life();
    let mut since = Timer::now();
    loop {
        // Four looks a limit: a stall is seen after at most a quarter more.
        tokio::time::sleep((limit / 4).max(Duration::from_millis(1))).await;
        let now = traffic.life();
        if now != mark {
            mark = now;
            since = Timer::now();
        } else if since.elapsed() >= limit {
            return;
        }
    }
}

/// Adds up how long `work` computes between two moves. Epochs make a busy guest yield, so no poll lasts much longer than one.
async fn metered<T>(work: impl Future<Output = T>, limit: Duration, traffic: &Traffic) -> Result<T, Stopped> {
    let mut work = pin!(work);
    let mut mark = traffic.moves();
    let mut spent = Duration::ZERO;
    poll_fn(|cx| {
        let begun = computed();
        if let Poll::Ready(outcome) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(outcome));
        }
        spent += computed().saturating_sub(begun);
        let now = traffic.moves();
        if now != mark {
            mark = now;
            spent = Duration::ZERO;
        }
        if spent > limit { Poll::Ready(Err(Stopped::Cpu(limit))) } else { Poll::Pending }
    })
    .await
}

/// What this thread has computed: on a machine that is busy with other things, far less than has passed.
fn computed() -> Duration {
    // A clock of the process's own, which nobody sets: it does not go below zero.
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Polled five times, each of which takes `how` for at least 20 ms.
    async fn polled(how: fn(Duration)) -> Result<(), Stopped> {
        let mut polls = 0;
        let work = poll_fn(|cx| {
            how(Duration::from_millis(20));
            polls += 1;
            if polls == 5 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        metered(work, Duration::from_millis(30), &Traffic::default()).await
    }

    #[tokio::test]
    async fn computing_is_limited_and_time_that_others_have_is_not_counted() {
        let busy = |limit| {
            let begun = Instant::now();
            // As long by both clocks.
            let own = computed();
            while begun.elapsed() < limit || computed().saturating_sub(own) < limit {}
        };
        assert!(matches!(polled(busy).await, Err(Stopped::Cpu(_))));
        polled(std::thread::sleep).await.unwrap();
    }
}
