//! Whose turn it is to hold a long answer: there is room for one, and a copy must not wait for ever.
//!
//! Whoever holds it writes it into a file, and a file need not be read: a restore takes files in the order in which they were
//! begun, a few at a time, and a data stream's one by one. If the others waited for that right to go on with the files that are
//! read, nobody would move again. So it goes to the file that was begun first of those that are not finished: that one is read,
//! whatever becomes of the others.

use futures::lock::{Mutex, MutexGuard};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// The right to a long answer.
pub type Right<'a> = MutexGuard<'a, ()>;

#[derive(Debug, Default)]
pub struct Turns {
    /// Files that are not finished, by name, in the order in which they were begun.
    begun: RefCell<Vec<String>>,
    /// All that were ever begun.
    all: RefCell<BTreeSet<String>>,
    /// Held by the one of the first file's readers whose answer is long.
    long: Mutex<()>,
    waiting: RefCell<Vec<Waker>>,
}

impl Turns {
    pub fn begin(&self, file: &str) {
        self.begun.borrow_mut().push(file.to_owned());
        self.all.borrow_mut().insert(file.to_owned());
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    pub fn has_begun(&self, file: &str) -> bool {
        self.all.borrow().contains(file)
    }

    /// Waits until a file has begun.
    pub async fn begun(&self, file: &str) {
        self.until(|| self.has_begun(file)).await;
    }

    pub fn finish(&self, file: &str) {
        self.begun.borrow_mut().retain(|begun| begun != file);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// Waits for the turn of a file that has begun.
    pub async fn wait(&self, file: &str) -> Right<'_> {
        self.until(|| self.is_first(file)).await;
        self.long.lock().await
    }

    /// The right, where it is to be had at once.
    pub fn take(&self, file: &str) -> Option<Right<'_>> {
        if self.is_first(file) { self.long.try_lock() } else { None }
    }

    /// Looks again whenever a file is begun or finished.
    async fn until(&self, is_so: impl Fn() -> bool) {
        poll_fn(|cx| {
            if is_so() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn is_first(&self, file: &str) -> bool {
        self.begun.borrow().first().is_some_and(|first| first == file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::pin::pin;

    #[test]
    fn a_file_waits_for_those_that_were_begun_before() {
        let turns = Turns::default();
        turns.begin("a");
        turns.begin("b");
        assert!(turns.take("b").is_none() && turns.take("c").is_none() && !turns.has_begun("c"));
        let mut later = pin!(turns.wait("b"));
        assert!(later.as_mut().now_or_never().is_none());
        let right = turns.take("a").expect("its turn");
        assert!(turns.take("a").is_none(), "there is one");
        assert!(turns.wait("a").now_or_never().is_none());
        drop(right);
        turns.finish("a");
        assert!(later.as_mut().now_or_never().is_some());
        assert!(turns.take("b").is_some());
    }

    #[test]
    fn a_file_that_is_finished_has_begun() {
        let turns = Turns::default();
        let mut behind = pin!(turns.begun("a"));
        assert!(behind.as_mut().now_or_never().is_none());
        turns.begin("a");
        turns.finish("a");
        assert!(behind.now_or_never().is_some() && turns.begun("a").now_or_never().is_some());
    }
}
