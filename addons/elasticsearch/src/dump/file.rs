//! An index's file, and the pieces of the index that go into it.

use crate::catalog::Found;
use crate::layout::Count;
use coffer_addon::{ArtifactWriter, Error};
use futures::lock::{Mutex, MutexGuard};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;

/// About how long an answer should be, in bytes.
pub const WANTED: u64 = 2 << 20;
/// More documents no server gives in one answer, unless the index's max_result_window is set.
const MOST: u64 = 10_000;

/// One piece of the work.
pub struct Piece<'a> {
    pub file: &'a File<'a>,
    /// Of how many, from 0.
    pub slice: u32,
}

impl Piece<'_> {
    /// About how many bytes it has.
    pub fn size(&self) -> u64 {
        self.file.found.bytes / u64::from(self.file.slices.max(1))
    }
}

/// An index's file, written by whoever reads one of its slices.
pub struct File<'a> {
    pub found: &'a Found,
    pub query: Value,
    /// By point in time: as many as the server is to cut it into. By scroll: a shard each, or 1.
    pub slices: u32,
    pub pit: Cell<Option<u64>>,
    writer: Mutex<Option<ArtifactWriter>>,
    pub count: RefCell<Count>,
    /// Slices that were not read to their end.
    pub left: Cell<u32>,
    is_broken: Cell<bool>,
}

impl<'a> File<'a> {
    pub fn new(found: &'a Found, query: Option<Value>, slices: u32, pit: Option<u64>) -> Self {
        File {
            found,
            query: query.unwrap_or_else(|| json!({ "match_all": {} })),
            slices,
            pit: Cell::new(pit),
            writer: Mutex::new(None),
            count: RefCell::default(),
            left: Cell::new(slices),
            is_broken: Cell::new(false),
        }
    }

    pub fn pieces(&'a self) -> impl Iterator<Item = Piece<'a>> {
        (0..self.slices).map(move |slice| Piece { file: self, slice })
    }

    pub fn count(&self) -> Count {
        *self.count.borrow()
    }

    /// The right to write whole lines. Nobody gets it any more when the file is broken: the run ends with that error.
    pub async fn writer(&self) -> MutexGuard<'_, Option<ArtifactWriter>> {
        let writer = self.writer.lock().await;
        if self.is_broken.get() {
            // Whoever broke it has to get the lock, to say so.
            drop(writer);
            match futures::future::pending::<Infallible>().await {}
        }
        writer
    }

    /// Nothing comes after this; gives the error back.
    pub async fn break_off(&self, error: Error) -> Error {
        self.is_broken.set(true);
        match self.writer.lock().await.take() {
            Some(writer) => writer.fail(error).await,
            None => error,
        }
    }

    /// How many documents a first answer should have.
    pub fn first_size(&self) -> u64 {
        // Compressed on the disk to a fifth, say.
        let each = self.found.bytes.saturating_mul(5) / self.found.documents.max(1);
        (WANTED / each.max(64)).clamp(1, self.most().min(1000))
    }

    pub fn most(&self) -> u64 {
        let set = self.found.setting("index.max_result_window").and_then(|window| window.parse().ok());
        set.unwrap_or(MOST).clamp(1, MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::IndexDefinition;
    use futures::FutureExt;
    use std::pin::pin;

    #[test]
    fn who_waits_to_write_into_a_broken_file_keeps_nobody_from_saying_so() {
        let definition = IndexDefinition { name: "i".into(), ..IndexDefinition::default() };
        let found = Found { definition, hidden: false, shards: 2, bytes: 0, documents: 0 };
        let (outbox, written) = coffer_addon::testing::outbox();
        let file = File::new(&found, None, 2, None);
        let mut writing = file.writer().now_or_never().expect("nobody else does");
        *writing = Some(outbox.file("i.json").open());
        let (mut waiting, mut broken) = (pin!(file.writer()), pin!(file.break_off(Error::Failed("lost".into()))));
        assert!(waiting.as_mut().now_or_never().is_none() && broken.as_mut().now_or_never().is_none());
        drop(writing);
        // As it is woken: who waited longer comes first.
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(broken.as_mut().now_or_never(), Some(Error::Failed("lost".into())));
        assert!(written.borrow().iter().all(|file| file.bytes.is_err()) && written.borrow().len() == 1);
    }
}
