//! What went wrong: the first problem ends the restore, or all are collected and end it at its end.

use crate::error::{Error, Result};
use std::cell::{Cell, RefCell};

/// How many of those that were collected an error names.
const NAMED: usize = 10;

#[derive(Debug)]
pub struct Problems {
    collects: bool,
    count: Cell<u64>,
    first: RefCell<Vec<Error>>,
}

impl Problems {
    pub fn new(collects: bool) -> Problems {
        Problems { collects, count: Cell::new(0), first: RefCell::default() }
    }

    pub fn collects(&self) -> bool {
        self.collects
    }

    /// One of them: an error at once unless they are collected.
    pub fn add(&self, error: Error) -> Result<()> {
        if !self.collects {
            return Err(error);
        }
        self.count.set(self.count.get() + 1);
        let mut first = self.first.borrow_mut();
        if first.len() < NAMED {
            first.push(error);
        }
        Ok(())
    }

    /// The error that they all make.
    pub fn check(&self) -> Result<()> {
        let (count, first) = (self.count.get(), self.first.borrow());
        if count == 0 {
            return Ok(());
        }
        let mut text: Vec<&str> = first.iter().map(Error::message).collect();
        let more = count - first.len() as u64;
        let rest = format!("and {more} more");
        if more > 0 {
            text.push(&rest);
        }
        Err(Error::Failed(format!("{count} things could not be restored, all others were: {}", text.join("; "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_end_the_restore_now_or_later() {
        let one = || Error::Failed("document 7".into());
        assert_eq!(Problems::new(false).add(one()), Err(one()));
        let problems = Problems::new(true);
        assert_eq!(problems.check(), Ok(()));
        for _ in 0..12 {
            assert_eq!(problems.add(one()), Ok(()));
        }
        let error = problems.check().expect_err("some");
        assert!(error.message().starts_with("12 things") && error.message().ends_with("document 7; and 2 more"));
    }
}
