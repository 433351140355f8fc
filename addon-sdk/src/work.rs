//! Several connections working off one list, and the count of what they did.

use crate::host;
use crate::types::Report;
use std::cell::{Cell, RefCell};

/// Pieces of work, the largest first, so that no large one is left to a single connection at the end.
#[derive(Debug)]
pub struct Queue<T> {
    /// The smallest first: taken from the end.
    left: RefCell<Vec<T>>,
}

impl<T> Queue<T> {
    pub fn new(pieces: impl IntoIterator<Item = T>, size: impl Fn(&T) -> u64) -> Self {
        let mut left: Vec<T> = pieces.into_iter().collect();
        left.sort_by_key(|piece| size(piece));
        Queue { left: RefCell::new(left) }
    }

    /// The largest piece that nobody has taken.
    pub fn take(&self) -> Option<T> {
        self.left.borrow_mut().pop()
    }

    pub fn len(&self) -> usize {
        self.left.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.left.borrow().is_empty()
    }
}

/// How much was done, told to the host as it grows. Its three facts are those that a restore is held to.
#[derive(Debug, Default)]
pub struct Tally {
    tables: Cell<u64>,
    rows: Cell<u64>,
    bytes: Cell<u64>,
    expected_bytes: Option<u64>,
}

impl Tally {
    /// `expected_bytes` may be an estimate: progress never shows less than what is done.
    pub fn new(expected_bytes: Option<u64>) -> Self {
        Tally { expected_bytes, ..Tally::default() }
    }

    /// Rows' data went by.
    pub fn add_bytes(&self, bytes: u64) {
        self.bytes.set(self.bytes.get() + bytes);
        host::progress(self.bytes.get(), self.expected_bytes.map(|expected| expected.max(self.bytes.get())));
    }

    /// Some of it was none: an end mark, a frame.
    pub fn take_back_bytes(&self, bytes: u64) {
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
    }

    pub fn add_rows(&self, rows: u64) {
        self.rows.set(self.rows.get() + rows);
    }

    pub fn add_table(&self) {
        self.tables.set(self.tables.get() + 1);
    }

    pub fn tables(&self) -> u64 {
        self.tables.get()
    }

    pub fn rows(&self) -> u64 {
        self.rows.get()
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// `report` with the facts `tables`, `rows` and `bytes`.
    pub fn report(&self, report: Report) -> Report {
        report.fact("tables", self.tables()).fact("rows", self.rows()).fact("bytes", self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_comes_first() {
        let queue = Queue::new([3, 9, 1], |piece| *piece);
        let taken: Vec<u64> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(taken, [9, 3, 1]);
    }

    #[test]
    fn the_facts_are_what_was_counted() {
        let tally = Tally::new(Some(10));
        tally.add_bytes(7);
        tally.take_back_bytes(3);
        tally.add_rows(2);
        tally.add_table();
        let facts: Vec<_> = tally.report(Report::new()).facts;
        let text = |name: &str, value: &str| (name.to_string(), value.to_string());
        assert_eq!(facts, [text("tables", "1"), text("rows", "2"), text("bytes", "4")]);
    }
}
