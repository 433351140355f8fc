//! What a run has open in the application, and ending it when the run is asked to stop.
//!
//! A server in the middle of a statement does not notice that its client is gone: it would build an index to the end, wait
//! for a lock for ever, and keep those it has. So whoever opens a session notes its key here, and a stop asks the server to
//! end each of them.

use crate::{Error, Result, host};
use futures::StreamExt;
use futures::future::{Either, select};
use futures::stream;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// For all of them together. The host's grace is 5 s.
const TIME: Duration = Duration::from_secs(4);

/// Requests at once: the sessions' own connections are still open beside them, and the host allows 64 of all.
const AT_ONCE: usize = 8;

/// The sessions that are open for one run, by whatever the server knows them by. Clones share them.
#[derive(Clone, Debug)]
pub struct Sessions<K>(Rc<RefCell<BTreeSet<K>>>);

/// Membership among the [`Sessions`], for as long as it lives.
#[derive(Debug)]
pub struct Open<K: Ord> {
    sessions: Sessions<K>,
    key: K,
}

impl<K> Default for Sessions<K> {
    fn default() -> Self {
        Sessions(Rc::default())
    }
}

impl<K: Ord + Copy> Sessions<K> {
    pub fn open(&self, key: K) -> Open<K> {
        self.0.borrow_mut().insert(key);
        Open { sessions: self.clone(), key }
    }

    /// Does `work`. When the run is asked to stop before it is done, `end` ends the sessions that are open then.
    pub async fn end_when_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T>>,
        end: impl AsyncFn(K) -> Result<()>,
    ) -> Result<T> {
        self.end_when(host::cancelled(), work, end).await
    }

    async fn end_when<T>(
        &self,
        stop: impl Future<Output = ()>,
        work: impl Future<Output = Result<T>>,
        end: impl AsyncFn(K) -> Result<()>,
    ) -> Result<T> {
        match select(pin!(work), pin!(stop)).await {
            Either::Left((outcome, _)) => outcome,
            // The work is let go of only after that: an artifact left in the middle would end the run at once.
            Either::Right(((), _work)) => {
                let keys = self.0.borrow().clone();
                let count = keys.len();
                let requests = stream::iter(keys).for_each_concurrent(AT_ONCE, async |key| {
                    if let Err(error) = end(key).await {
                        crate::warn!("unable to stop a statement on the server: {error}");
                    }
                });
                if let Either::Right(_) = select(pin!(requests), pin!(host::sleep(TIME))).await {
                    crate::warn!("statements of {count} sessions may still be running on the server");
                }
                Err(Error::Failed("cancelled".into()))
            }
        }
    }
}

impl<K: Ord> Open<K> {
    pub fn key(&self) -> &K {
        &self.key
    }
}

impl<K: Ord> Drop for Open<K> {
    fn drop(&mut self) {
        self.sessions.0.borrow_mut().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    #[tokio::test]
    async fn a_stop_ends_what_is_open_then() {
        let sessions = Sessions::default();
        let (_first, second, _third) = (sessions.open(1), sessions.open(2), sessions.open(3));
        drop(second);
        let ended = RefCell::new(Vec::new());
        let end = async |key| {
            ended.borrow_mut().push(key);
            if key == 1 { Err(Error::Unavailable("gone".into())) } else { Ok(()) }
        };
        let outcome = sessions.end_when(ready(()), pending::<Result<()>>(), end).await;
        assert_eq!(outcome, Err(Error::Failed("cancelled".into())));
        assert_eq!(ended.take(), [1, 3]);
    }

    #[tokio::test]
    async fn work_that_is_done_ends_nothing() {
        let sessions = Sessions::default();
        let _open = sessions.open(1);
        let asked = async |_| Err(Error::Failed("asked".into()));
        let outcome = sessions.end_when(pending(), ready(Ok(5)), asked).await;
        assert_eq!(outcome, Ok(5));
    }
}
