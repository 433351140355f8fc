//! Lets so many bytes pass, then none until it is opened: how a case happens in the middle of a stream, exactly there.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

#[derive(Debug)]
pub(crate) struct Gate {
    left: Mutex<u64>,
    reached: CancellationToken,
    opened: CancellationToken,
}

impl Gate {
    pub(crate) fn after(bytes: u64) -> Self {
        Self { left: Mutex::new(bytes), reached: CancellationToken::new(), opened: CancellationToken::new() }
    }

    /// How many of `wanted` bytes may pass now: at least one. Waits at the limit.
    pub(crate) async fn pass(&self, wanted: usize) -> usize {
        if self.opened.is_cancelled() {
            return wanted;
        }
        let granted = {
            let mut left = lock(&self.left);
            let granted = wanted.min(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= granted as u64;
            granted
        };
        if granted > 0 {
            return granted;
        }
        // Only now: somebody wants more, so the stream goes on behind the limit.
        self.reached.cancel();
        self.opened.cancelled().await;
        wanted
    }

    pub(crate) fn is_reached(&self) -> bool {
        self.reached.is_cancelled()
    }

    /// Resolves when something waits at the limit.
    pub(crate) async fn reached(&self) {
        self.reached.cancelled().await;
    }

    pub(crate) fn open(&self) {
        self.opened.cancel();
    }
}

/// A poisoned lock guards plain data here, which is never half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_reached_by_who_wants_more_than_its_limit() {
        let gate = Gate::after(10);
        assert_eq!(gate.pass(7).await, 7);
        assert_eq!(gate.pass(7).await, 3);
        assert!(!gate.is_reached(), "so far nobody waits");
        let waits = async {
            gate.reached().await;
            gate.open();
        };
        assert_eq!(tokio::join!(gate.pass(7), waits).0, 7);
        assert_eq!(gate.pass(100).await, 100);
    }
}
