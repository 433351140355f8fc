//! How many bytes are between a file and the application: read but not taken yet.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

#[derive(Debug)]
pub struct Budget {
    most: usize,
    used: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
}

impl Budget {
    /// Room for `most` bytes.
    pub fn new(most: usize) -> Budget {
        Budget { most, used: Cell::new(0), waiting: RefCell::default() }
    }

    /// Waits until there is room. What is larger than all of it waits until it is alone.
    pub async fn take(&self, size: usize) {
        self.until(|used| used == 0 || used + size <= self.most).await;
        self.used.set(self.used.get() + size);
    }

    pub fn give(&self, size: usize) {
        self.used.set(self.used.get().saturating_sub(size));
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// Waits until nothing is under way.
    pub async fn idle(&self) {
        self.until(|used| used == 0).await;
    }

    async fn until(&self, is_so: impl Fn(usize) -> bool) {
        poll_fn(|cx| {
            if is_so(self.used.get()) {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn who_asks_for_too_much_waits() {
        const MOST: usize = 1000;
        let budget = Budget::new(MOST);
        budget.take(2 * MOST).await;
        assert!(budget.take(1).now_or_never().is_none() && budget.idle().now_or_never().is_none());
        let next = async {
            budget.take(MOST).await;
            budget.give(MOST);
        };
        futures::join!(next, async { budget.give(2 * MOST) });
        assert_eq!(budget.idle().now_or_never(), Some(()));
    }
}
