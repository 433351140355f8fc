//! An index's file, and the pieces of the index that go into it.

use crate::catalog::Found;
use crate::layout::{Count, DataStream};
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
    /// About how many bytes it has, with those that wait for it.
    pub fn size(&self) -> u64 {
        if let Some(stream) = &self.file.stream {
            return stream.size;
        }
        self.file.found.bytes / u64::from(self.file.slices.max(1))
    }
}

/// Of a data stream's indices: a server fills them one after the other, so their files are begun in that order.
#[derive(Debug, PartialEq, Eq)]
pub struct InStream {
    /// The index before it, where there is one in the dump.
    pub before: Option<String>,
    /// In bytes, with all that come behind it.
    pub size: u64,
}

/// Gives the files of data streams their places.
pub fn place(files: &mut [File<'_>], streams: &[DataStream]) {
    for stream in streams {
        let mut before = None;
        let mut placed = Vec::new();
        for name in &stream.indices {
            if let Some(at) = files.iter().position(|file| file.found.name() == name) {
                placed.push((at, before.replace(name.clone())));
            }
        }
        let mut size = 0_u64;
        for (at, before) in placed.into_iter().rev() {
            if let Some(file) = files.get_mut(at) {
                // One more each: who waits for another comes behind it, also where both are empty.
                size = size.saturating_add(file.found.bytes).saturating_add(1);
                file.stream = Some(InStream { before, size });
            }
        }
    }
}

/// An index's file, written by whoever reads one of its slices.
pub struct File<'a> {
    pub found: &'a Found,
    pub query: Value,
    /// By point in time: as many as the server is to cut it into. By scroll: a shard each, or 1.
    pub slices: u32,
    /// Its place among those of a data stream.
    pub stream: Option<InStream>,
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
            stream: None,
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
    fn indices_of_a_stream_come_one_behind_the_other_whatever_their_sizes() {
        let found = |name: &str, bytes| {
            let definition = IndexDefinition { name: name.into(), ..IndexDefinition::default() };
            Found { definition, hidden: false, shards: 1, bytes, documents: 0 }
        };
        let all = [found("s-3", 900), found("other", 500), found("s-1", 0), found("s-2", 0)];
        let mut files: Vec<_> = all.iter().map(|found| File::new(found, None, 2, None)).collect();
        let stream =
            DataStream { indices: ["s-1", "s-2", "gone", "s-3"].map(Into::into).into(), ..DataStream::default() };
        place(&mut files, &[stream]);
        let queue = coffer_addon::work::Queue::new(files.iter().flat_map(File::pieces), Piece::size);
        let order: Vec<_> = std::iter::from_fn(|| queue.take()).map(|piece| piece.file).collect();
        let names: Vec<_> = order.iter().map(|file| file.found.name()).collect();
        assert_eq!(names, ["s-1", "s-1", "s-2", "s-2", "s-3", "s-3", "other", "other"]);
        let before: Vec<_> = order.iter().map(|file| file.stream.as_ref()?.before.as_deref()).collect();
        assert_eq!(before.into_iter().step_by(2).collect::<Vec<_>>(), [None, Some("s-1"), Some("s-2"), None]);
    }

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
