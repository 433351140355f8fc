//! Documents, from the read buffer into their files.

use super::counts::Counts;
use super::point::has_gone;
use super::sessions::patient;
use super::splitting::Range;
use crate::catalog::{self, Found};
use crate::client::{Client, Cursor};
use crate::layout::{Data, Kind, Timestamp};
use bson::raw::{RawDocumentBuf, cstr};
use bson::rawdoc;
use coffer_addon::work::{Queue, Tally};
use coffer_addon::{ArtifactWriter, Error, Outbox, Result};
use futures::lock::{Mutex, MutexGuard};
use std::cell::{Cell, RefCell};

/// Of a large document: as much as the host takes at once.
const PIECE: usize = 256 << 10;

/// One piece of the work.
pub struct Piece<'a> {
    pub file: &'a File<'a>,
    pub range: Range,
    pub size: u64,
}

/// A collection's file, written by whoever reads one of its ranges.
pub struct File<'a> {
    pub found: &'a Found,
    filter: Option<&'a RawDocumentBuf>,
    writer: Mutex<Option<ArtifactWriter>>,
    data: RefCell<Data>,
    /// Ranges that were not read to their end.
    left: Cell<usize>,
    /// A range could not be read: whoever reads another one has nothing to write into.
    is_broken: Cell<bool>,
}

impl<'a> File<'a> {
    pub fn new(found: &'a Found, name: String, filter: Option<&'a RawDocumentBuf>) -> Self {
        let data = RefCell::new(Data::new(name));
        File { found, filter, writer: Mutex::new(None), data, left: Cell::new(0), is_broken: Cell::new(false) }
    }

    pub fn cut(&'a self, ranges: Vec<Range>) -> impl Iterator<Item = Piece<'a>> {
        let count = ranges.len();
        self.left.set(count);
        let size = self.found.bytes / u64::try_from(count).unwrap_or(1).max(1);
        ranges.into_iter().map(move |range| Piece { file: self, range, size })
    }

    pub fn data(&self) -> Data {
        self.data.borrow().clone()
    }

    /// The file, begun with the first range. The lock is for whole documents.
    async fn writer(&self, outbox: &Outbox) -> MutexGuard<'_, Option<ArtifactWriter>> {
        let mut writer = self.writer.lock().await;
        if self.is_broken.get() {
            // The run ends with the other one's error, which it can only tell when it has the file.
            drop(writer);
            return futures::future::pending().await;
        }
        if writer.is_none() {
            let file = outbox.file(self.data.borrow().file.clone()).label("mediaType", "application/bson");
            *writer = Some(file.label("database", &self.found.database).label("collection", &self.found.name).open());
        }
        writer
    }

    /// Ends the file, where it was begun, with the error of one of its ranges.
    async fn fail(&self, error: Error) -> Error {
        self.is_broken.set(true);
        let writer = self.writer.lock().await.take();
        match writer {
            Some(writer) => writer.fail(error).await,
            None => error,
        }
    }
}

/// What all connections that read documents share.
pub struct Documents<'a> {
    pub outbox: &'a Outbox,
    pub tally: &'a Tally,
    /// The moment to read them of.
    pub snapshot: Option<Timestamp>,
    pub counts: &'a Counts,
}

impl Documents<'_> {
    /// Reads pieces until none is left.
    pub async fn work(&self, client: &mut Client, queue: &Queue<Piece<'_>>) -> Result<()> {
        while let Some(piece) = queue.take() {
            let outcome = self.piece(client, &piece).await;
            if let Err(error) = outcome {
                let error =
                    explain(error).context(format!("unable to dump collection {}", piece.file.found.namespace()));
                return Err(piece.file.fail(error).await);
            }
        }
        Ok(())
    }

    async fn piece(&self, client: &mut Client, piece: &Piece<'_>) -> Result<()> {
        let file = piece.file;
        let mut cursor = client.query(&file.found.database, self.command(client, piece)).await?;
        self.copy(&mut cursor, piece).await?;
        cursor.close().await?;
        unchanged(client, file.found).await?;
        file.left.set(file.left.get().saturating_sub(1));
        if file.left.get() == 0
            && let Some(writer) = file.writer(self.outbox).await.take()
        {
            let read = file.data.borrow().documents;
            // Of the server's own databases there are no snapshots to count in.
            if file.filter.is_none() && (self.snapshot.is_none() || !is_own(file.found)) {
                self.counts.look(client, file.found, read).await?;
            }
            writer.finish().await?;
        }
        Ok(())
    }

    async fn copy(&self, cursor: &mut Cursor<'_>, piece: &Piece<'_>) -> Result<()> {
        let file = piece.file;
        while let Some(batch) = cursor.next_batch().await? {
            let mut writer = file.writer(self.outbox).await;
            let Some(writer) = writer.as_mut() else { continue };
            let (mut documents, mut bytes) = (0, 0);
            for document in batch.documents() {
                if piece.range.ends_before(document) {
                    return Err(Error::Unsupported(
                        "the server does not keep to ranges of an index; set splitSize to 0".into(),
                    ));
                }
                file.data.borrow_mut().add(document);
                // A large one in pieces: whole, it would be in the writer's memory as well as in the reader's.
                for piece in document.chunks(PIECE) {
                    writer.write(piece).await?;
                }
                documents += 1;
                bytes += u64::try_from(document.len()).unwrap_or(u64::MAX);
            }
            self.tally.add_rows(documents);
            self.tally.add_bytes(bytes);
        }
        Ok(())
    }

    fn command(&self, client: &Client, piece: &Piece<'_>) -> RawDocumentBuf {
        let found = piece.file.found;
        let mut command = rawdoc! { "find": found.stored.name.as_str() };
        if let Some(filter) = piece.file.filter {
            command.append(cstr!("filter"), filter.clone());
        }
        let Range { from, to } = &piece.range;
        if from.is_some() || to.is_some() {
            command.append(cstr!("hint"), rawdoc! { "_id": 1 });
        } else if piece.file.filter.is_none() && !client.version().is_ferretdb() {
            // In the order that they lie in on the disk, and whatever indexes there are.
            command.append(cstr!("hint"), rawdoc! { "$natural": 1 });
        }
        if let Some(from) = from {
            command.append(cstr!("min"), from.clone());
        }
        if let Some(to) = to {
            command.append(cstr!("max"), to.clone());
        }
        if found.stored.raw {
            command.append(cstr!("rawData"), true);
        }
        // Users and roles are of when they are read: there are no snapshots of the server's own databases.
        if let Some(at) = self.snapshot.filter(|_| !is_own(found)) {
            let at = bson::Timestamp::from(at);
            command.append(cstr!("readConcern"), rawdoc! { "level": "snapshot", "atClusterTime": at });
        }
        patient(client, &mut command);
        command
    }
}

/// Fails when the collection is not the one that was listed. A query of one that is not there gives no documents and no error.
async fn unchanged(client: &mut Client, found: &Found) -> Result<()> {
    let why = match catalog::again(client, found).await? {
        None => "it was dropped or renamed",
        Some(now) if now.uuid != found.stored.uuid => "another collection has taken its name",
        Some(_) => return Ok(()),
    };
    Err(Error::Failed(format!("{why} during the dump; run the dump again when nobody does that")))
}

fn is_own(found: &Found) -> bool {
    catalog::OWN.contains(&found.database.as_str())
}

/// What the server's words mean here.
fn explain(error: Error) -> Error {
    if has_gone(&error) {
        let text = error.message();
        return Error::Failed(format!(
            "the server no longer has the snapshot that the dump reads from: it keeps them for 5 minutes, or as long as \
             minSnapshotHistoryWindowInSeconds says, and the dump took longer, or the collection's definition was changed; make \
             that longer, use more jobs, or dump the whole server with consistency `oplog` ({text})"
        ));
    }
    error
}

/// Whether there are documents to dump.
pub fn has_documents(found: &Found) -> bool {
    found.kind != Kind::View
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffer_addon::testing;
    use futures::{FutureExt, poll};
    use std::pin::pin;

    #[tokio::test]
    async fn a_range_that_fails_gets_the_file_whoever_else_waits_for_it() {
        let found = Found {
            database: "shop".into(),
            name: "orders".into(),
            kind: Kind::Collection,
            type_name: "collection".into(),
            options: rawdoc! {},
            uuid: None,
            stored: catalog::Stored::default(),
            metadata: String::new(),
            has_id_index: true,
            documents: 0,
            bytes: 0,
        };
        let file = File::new(&found, "shop/orders.bson".into(), None);
        let (outbox, written) = testing::outbox();
        // One writes, one waits for the file, and then a third one's range fails.
        let writing = file.writer(&outbox).await;
        let mut waiting = pin!(file.writer(&outbox));
        assert!(poll!(waiting.as_mut()).is_pending());
        let mut failing = pin!(file.fail(Error::Failed("too old".into())));
        assert!(poll!(failing.as_mut()).is_pending());
        drop(writing);
        assert!(poll!(waiting.as_mut()).is_pending());
        assert_eq!(failing.now_or_never(), Some(Error::Failed("too old".into())));
        assert_eq!(written.borrow()[0].bytes, Err(Error::Failed("too old".into())));
    }
}
