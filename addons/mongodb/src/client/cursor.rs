//! The documents of a query, as they come in: a batch is handed out before all of it is there, and the next one is asked for
//! when it is empty. What is in memory is what the read buffer has, or one document that is larger.

use super::batch::{self, Batch, Element, Found, LIMIT, Place, corrupt, element};
use super::{Client, ServerError, is_ok};
use bson::raw::{RawDocument, RawDocumentBuf, cstr};
use bson::rawdoc;
use coffer_addon::{Error, Result};

/// A query whose documents were not all taken. The client has it, so that it knows what is left behind.
pub(super) struct Stream {
    /// Of the server's cursor, as far as a reply has said; 0 once it is at its end.
    id: i64,
    /// Where the server has its cursor: database and collection.
    database: String,
    collection: String,
    /// The batch under way.
    batch: Option<Under>,
    /// How many documents to ask for next; none leaves that to the server.
    wanted: Option<i32>,
}

struct Under {
    place: Place,
    /// Bytes of the array that were not consumed.
    left: usize,
    /// Documents that were taken out of it.
    taken: usize,
}

/// How much to ask for at once of a server that gives a number of documents however long they are. It holds its answer as a
/// whole, several times over: what is longer than its clients take may be more than it has memory for.
mod paced {
    /// Two of the longest documents are less than the longest message.
    pub const LEAST: i32 = 2;
    /// What the server gives unasked.
    const MOST: i32 = 101;
    const BYTES: usize = 4 << 20;

    /// By what the last ones had.
    pub fn after(documents: usize, bytes: usize) -> i32 {
        let each = bytes.div_ceil(documents.max(1)).max(1);
        i32::try_from(BYTES / each).unwrap_or(MOST).clamp(LEAST, MOST)
    }
}

/// The documents of a query. Dropped before its end, what is left is passed over by the client's next command.
pub struct Cursor<'a> {
    client: &'a mut Client,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(client: &'a mut Client) -> Self {
        Cursor { client }
    }

    /// The next document, until the next call; none after the last.
    pub async fn next(&mut self) -> Result<Option<&RawDocument>> {
        if !self.client.batch(1).await? {
            return Ok(None);
        }
        let Ok(Some(Element::Document { front, .. })) = element(self.client.wire.held(), usize::MAX) else {
            return Err(corrupt());
        };
        let document = self.client.wire.held().get(front..).unwrap_or_default();
        RawDocument::from_bytes(document).map(Some).map_err(|_| corrupt())
    }

    /// The next documents that are there, as many as are; at least one, none after the last. They lie in the read buffer
    /// until the next call.
    pub async fn next_batch(&mut self) -> Result<Option<Batch<'_>>> {
        if !self.client.batch(usize::MAX).await? {
            return Ok(None);
        }
        Ok(Some(Batch::new(self.client.wire.held(), self.client.count)))
    }

    /// Ends it, also on the server when it is not at its end.
    pub async fn close(self) -> Result<()> {
        self.client.settle().await
    }
}

impl Client {
    /// Sends a query, and reads how its answer begins.
    pub(super) async fn open(
        &mut self,
        database: &str,
        mut command: RawDocumentBuf,
    ) -> Result<Result<(), ServerError>> {
        let is_find = command.iter().next().is_some_and(|first| first.is_ok_and(|(name, _)| name == "find"));
        let says = |name: &str| matches!(command.get(name), Ok(Some(_)));
        if is_find && self.version.has_long_batches() && !says("singleBatch") && !says("batchSize") {
            command.append(cstr!("batchSize"), paced::LEAST);
        }
        self.send(database, command, None).await?;
        let found = self.begin_batch(None).await?;
        if found.is_err() {
            self.stream = None;
        }
        Ok(found)
    }

    /// The reply to a query or to a request for more. What is known of the cursor is `known`: its id, database, collection.
    async fn begin_batch(&mut self, known: Option<(i64, String, String)>) -> Result<Result<(), ServerError>> {
        let total = self.wire.reply().await?;
        loop {
            match batch::find(self.wire.ready(), total)? {
                Found::More if self.wire.ready().len() > LIMIT => return Err(too_much()),
                Found::More => self.wire.more().await?,
                Found::Nothing => {
                    let reply = self.wire.take(total).await?;
                    let reply = RawDocument::from_bytes(reply).map_err(|_| corrupt())?;
                    if !is_ok(reply) {
                        return Ok(Err(ServerError::read(reply)));
                    }
                    return Err(Error::Corrupt(format!("the server's reply has no documents to {}", self.running)));
                }
                Found::Batch(place) => {
                    self.wire.take(place.front).await?;
                    let left = place.array;
                    let (id, database, collection) = known.unwrap_or_default();
                    let batch = Some(Under { place, left, taken: 0 });
                    self.stream = Some(Stream { id, database, collection, batch, wanted: None });
                    return Ok(Ok(()));
                }
            }
        }
    }

    /// Takes the next documents, at most `most`, which the wire then holds; false after the last. Their number is `count`.
    async fn batch(&mut self, most: usize) -> Result<bool> {
        let outcome = self.try_batch(most).await;
        outcome.map_err(|error| self.lost(error))
    }

    async fn try_batch(&mut self, most: usize) -> Result<bool> {
        loop {
            let Some(stream) = &mut self.stream else { return Ok(false) };
            let Some(under) = &mut stream.batch else {
                if stream.id == 0 {
                    self.stream = None;
                    return Ok(false);
                }
                self.get_more().await?;
                continue;
            };
            // Those that are there as a whole.
            let ready = self.wire.ready();
            let (mut size, mut count) = (0, 0);
            let next = loop {
                let rest = ready.get(size..).unwrap_or_default();
                let next = element(rest, under.left - size)?;
                match next {
                    Some(Element::Document { front, size: document })
                        if rest.len() >= front + document && count < most =>
                    {
                        size += front + document;
                        if ready.get(size - 1) != Some(&0) {
                            return Err(corrupt());
                        }
                        count += 1;
                    }
                    _ => break next,
                }
            };
            if count > 0 {
                self.wire.hold(size);
                under.left -= size;
                under.taken += count;
                self.count = count;
                return Ok(true);
            }
            match next {
                None => self.wire.more().await?,
                Some(Element::Document { front, size }) => {
                    under.left -= front + size;
                    under.taken += 1;
                    let document = self.wire.take(front + size).await?;
                    if document.last() != Some(&0) {
                        return Err(corrupt());
                    }
                    self.count = 1;
                    return Ok(true);
                }
                Some(Element::End) => self.end_batch().await?,
            }
        }
    }

    /// What comes behind the documents: the cursor's id, and whether all went well.
    async fn end_batch(&mut self) -> Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let Some(under) = stream.batch.take() else { return Ok(()) };
        // The array's end.
        self.wire.take(1).await?;
        let left = self.wire.left();
        if left > LIMIT {
            return Err(too_much());
        }
        let reply = under.place.without_batch(self.wire.take(left).await?).ok_or_else(corrupt)?;
        let reply = RawDocumentBuf::from_bytes(reply).map_err(|_| corrupt())?;
        if !is_ok(&reply) {
            self.stream = None;
            return Err(ServerError::read(&reply).during(&self.running));
        }
        let cursor = reply.get_document("cursor").map_err(|_| corrupt())?;
        stream.id = super::error::number(cursor, "id").ok_or_else(corrupt)?;
        if let Some((database, collection)) = cursor.get_str("ns").ok().and_then(|name| name.split_once('.')) {
            (stream.database, stream.collection) = (database.into(), collection.into());
        }
        let is_long = self.version.has_long_batches();
        stream.wanted = is_long.then(|| paced::after(under.taken, under.place.array));
        let kept = (stream.id != 0).then(|| (stream.database.clone(), stream.collection.clone(), stream.id));
        self.open.note_cursor(kept);
        Ok(())
    }

    async fn get_more(&mut self) -> Result<()> {
        let Some(Stream { id, database, collection, wanted, .. }) = self.stream.take() else { return Ok(()) };
        let mut command = rawdoc! { "getMore": id, "collection": collection.as_str() };
        if let Some(wanted) = wanted {
            command.append(cstr!("batchSize"), wanted);
        }
        self.send_raw(&database, command, None).await?;
        match self.begin_batch(Some((id, database, collection))).await? {
            Ok(()) => Ok(()),
            Err(error) => {
                self.open.note_cursor(None);
                Err(error.during(&self.running))
            }
        }
    }

    /// Makes the connection ready for the next command: what is left of a query is passed over, and its cursor ended.
    pub(super) async fn settle(&mut self) -> Result<()> {
        while self.stream.as_ref().is_some_and(|stream| stream.batch.is_some()) {
            let outcome = self.pass_over().await;
            if outcome.is_err() {
                self.stream = None;
            }
            outcome.map_err(|error| self.lost(error))?;
        }
        if let Some(Stream { id, database, collection, .. }) = self.stream.take()
            && id != 0
        {
            self.open.note_cursor(None);
            let kill = rawdoc! { "killCursors": collection.as_str(), "cursors": [id] };
            // It is no more than tidy: the server ends cursors that nobody asks for.
            self.send_raw(&database, kill, None).await?;
            self.wire.document().await?;
        }
        self.wire.skip().await
    }

    async fn pass_over(&mut self) -> Result<()> {
        let under = self.stream.as_mut().and_then(|stream| stream.batch.as_mut());
        let Some(Under { left, .. }) = under else { return Ok(()) };
        // But for the array's end.
        while *left > 1 {
            if self.wire.ready().is_empty() {
                self.wire.more().await?;
            }
            let piece = self.wire.ready().len().min(*left - 1);
            self.wire.hold(piece);
            *left -= piece;
        }
        self.end_batch().await
    }
}

fn too_much() -> Error {
    Error::Corrupt("the server's reply is longer than it can be beside its documents".into())
}
