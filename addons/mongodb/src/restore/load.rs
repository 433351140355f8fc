//! Documents into collections: readers make batches of them, connections take batches and insert them, side by side.

use super::concern::append_concern;
use super::definition::Definition;
use super::documents::{Documents, Scanned};
use super::standing;
use super::timestamps;
use crate::client::{Client, Hello, number};
use crate::layout::{Data, Kind};
use bson::raw::{RawDocumentBuf, cstr};
use bson::rawdoc;
use coffer_addon::budget::Budget;
use coffer_addon::problems::Problems;
use coffer_addon::work::Tally;
use coffer_addon::{Context as _, Error, Incoming, Result};
use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use futures::future::try_join_all;
use futures::lock::Mutex;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The bytes of a batch, but for a document that has more alone: enough that a round trip costs little beside it.
const BATCH: usize = 512 << 10;

/// Batches that may be under way, a connection: the server has one, and the next is there when it wants it.
const AHEAD: usize = 2;

/// What an insert has beside its documents.
const HEAD: usize = 32 << 10;

/// A collection that documents go into, and what has come of them.
pub struct Filling {
    pub database: String,
    pub collection: String,
    /// What errors call the documents' origin.
    pub file: String,
    pub expected: Option<Data>,
    /// Whether the dump says that the server may remove documents by itself.
    may_shrink: bool,
    in_order: bool,
    /// The documents are buckets, which the collection shows only to those who ask for them.
    raw: bool,
    head: RawDocumentBuf,
    pub read: RefCell<Data>,
    pub inserted: Cell<u64>,
    without_id: Cell<u64>,
}

/// Documents that are inserted together.
pub struct Batch {
    filling: Rc<Filling>,
    bytes: Vec<u8>,
    count: usize,
    /// Of the first document in its file, from 0.
    first: u64,
    /// Where documents begin whose timestamps the server would change.
    timestamps: Vec<usize>,
    /// Whoever waits until it is in.
    done: Option<oneshot::Sender<()>>,
}

pub struct Loader<'a> {
    pub problems: &'a Problems,
    pub tally: Tally,
    hello: Hello,
    /// Buckets of time series go into the series itself.
    has_raw_series: bool,
    /// Of the least that a server takes and we want.
    limit: usize,
    budget: Budget,
    sender: RefCell<Option<mpsc::UnboundedSender<Batch>>>,
    receiver: Mutex<mpsc::UnboundedReceiver<Batch>>,
    fillings: RefCell<Vec<Rc<Filling>>>,
}

impl<'a> Loader<'a> {
    pub fn new(leader: &Client, problems: &'a Problems, expected: Option<u64>, jobs: usize) -> Loader<'a> {
        let (sender, receiver) = mpsc::unbounded();
        let hello = leader.hello();
        Loader {
            problems,
            has_raw_series: leader.version().has_raw_series(),
            tally: Tally::new(expected),
            hello: hello.clone(),
            limit: BATCH.min(hello.max_message.saturating_sub(HEAD)),
            budget: Budget::new(AHEAD * BATCH * jobs.max(1)),
            sender: RefCell::new(Some(sender)),
            receiver: Mutex::new(receiver),
            fillings: RefCell::default(),
        }
    }

    /// The collection on the server that has its documents.
    fn collection(&self, definition: &Definition) -> String {
        if self.has_raw_series { definition.name.clone() } else { definition.data() }
    }

    /// Begins to fill a collection from a file.
    pub fn fill(&self, definition: &Definition, file: &str) -> Rc<Filling> {
        let has = |option: &str| definition.option(option).is_some();
        let in_order = definition.is_capped();
        let collection = self.collection(definition);
        let mut head = rawdoc! { "insert": collection.as_str(), "ordered": in_order || !self.problems.collects() };
        // Documents may be older than the rule that they break. It takes a privilege, so it is asked for only where there is one.
        if definition.kind != Kind::Timeseries && (has("validator") || has("encryptedFields")) {
            head.append(cstr!("bypassDocumentValidation"), true);
        }
        let raw = definition.kind == Kind::Timeseries && self.has_raw_series;
        if raw {
            head.append(cstr!("rawData"), true);
        }
        append_concern(&mut head, &self.hello);
        let filling = Rc::new(Filling {
            database: definition.target.clone(),
            collection,
            raw,
            file: file.into(),
            expected: definition.expected.clone(),
            may_shrink: in_order || has("expireAfterSeconds"),
            in_order,
            head,
            read: RefCell::new(Data::new(file.into())),
            inserted: Cell::new(0),
            without_id: Cell::new(0),
        });
        self.fillings.borrow_mut().push(filling.clone());
        filling
    }

    /// All of an artifact's documents.
    pub async fn file(&self, filling: &Rc<Filling>, incoming: &mut Incoming) -> Result<()> {
        let mut documents = Documents::new(incoming);
        let mut batch = Batch::new(filling);
        while let Some((document, scanned)) = documents.next().await? {
            self.add(&mut batch, document, scanned).await?;
        }
        self.send(batch).await;
        self.check_read(filling)
    }

    /// Adds a document; where there is no room beside those in the batch, they are sent first: two large ones are not held.
    pub async fn add(&self, batch: &mut Batch, document: &[u8], scanned: Scanned) -> Result<()> {
        let filling = batch.filling.clone();
        let is_full = batch.count >= self.hello.max_batch || batch.bytes.len() + document.len() > self.limit;
        if is_full && batch.count > 0 {
            self.send(std::mem::replace(batch, Batch::new(&filling))).await;
        }
        let mut read = filling.read.borrow_mut();
        // The server would not name the file.
        if document.len() > self.hello.max_bson {
            return Err(Error::Unsupported(format!(
                "{}: document {} has {} bytes, and the server takes {}",
                filling.file,
                read.documents + 1,
                document.len(),
                self.hello.max_bson
            )));
        }
        if batch.count == 0 {
            batch.first = read.documents;
        }
        if scanned.has_empty_timestamp {
            batch.timestamps.push(batch.bytes.len());
        }
        if !scanned.has_id_first {
            filling.without_id.set(filling.without_id.get() + 1);
        }
        read.add(document);
        batch.bytes.extend_from_slice(document);
        batch.count += 1;
        Ok(())
    }

    /// Hands a batch to whichever connection is free. Of a collection whose order counts, it is in when this returns.
    pub async fn send(&self, mut batch: Batch) {
        if batch.count == 0 {
            return;
        }
        self.budget.take(batch.bytes.len()).await;
        let mut done = None;
        if batch.filling.in_order {
            let (sender, receiver) = oneshot::channel();
            batch.done = Some(sender);
            done = Some(receiver);
        }
        if let Some(sender) = &*self.sender.borrow() {
            // The other end lives as long as this does.
            let _ = sender.unbounded_send(batch);
        }
        if let Some(done) = done {
            // Where it is not, the restore has failed by that.
            let _ = done.await;
        }
    }

    /// Waits until everything that was sent is in.
    pub async fn idle(&self) {
        self.budget.idle().await;
    }

    /// No more batches will come.
    pub fn close(&self) {
        self.sender.borrow_mut().take();
    }

    /// Inserts what comes, until [`Loader::close`].
    pub async fn run(&self, clients: &mut [Client]) -> Result<()> {
        try_join_all(clients.iter_mut().map(|client| self.insert_all(client))).await?;
        Ok(())
    }

    async fn insert_all(&self, client: &mut Client) -> Result<()> {
        loop {
            let batch = self.receiver.lock().await.next().await;
            let Some(mut batch) = batch else { return Ok(()) };
            self.insert(client, &batch).await?;
            self.tally.add_bytes(batch.bytes.len() as u64);
            self.budget.give(batch.bytes.len());
            if let Some(done) = batch.done.take() {
                let _ = done.send(());
            }
        }
    }

    async fn insert(&self, client: &mut Client, batch: &Batch) -> Result<()> {
        let filling = &batch.filling;
        let failed = || format!("unable to restore {} into {}.{}", filling.file, filling.database, filling.collection);
        let done = client.insert(&filling.database, filling.head.clone(), &batch.bytes).await.context(failed)?;
        filling.inserted.set(filling.inserted.get() + done.count);
        self.tally.add_rows(done.count);
        for (index, error) in &done.errors {
            let number = batch.first + *index as u64 + 1;
            self.problems.add(error.during("insert").context(format!("document {number}")).context(failed()))?;
        }
        if let Some(concern) = &done.concern {
            let error = concern.during("insert");
            return Err(error.context("the documents are in, but not on a majority of the members").context(failed()));
        }
        let taken = usize::try_from(done.count).unwrap_or(usize::MAX).saturating_add(done.errors.len());
        if taken != batch.count {
            return Err(Error::Failed(format!(
                "{}: of {} documents from the {}th on the server took {} and says nothing of the others",
                failed(),
                batch.count,
                batch.first + 1,
                done.count
            )));
        }
        for place in &batch.timestamps {
            let refused = done.errors.iter().any(|(index, _)| batch.place(*index) == Some(*place));
            if let Some(document) = batch.bytes.get(*place..).filter(|_| !refused) {
                timestamps::keep(client, &filling.database, &filling.collection, document).await.context(failed)?;
            }
        }
        Ok(())
    }

    /// What was read against what the dump says of it.
    pub fn check_read(&self, filling: &Filling) -> Result<()> {
        let (read, file) = (filling.read.borrow(), &filling.file);
        let without_id = filling.without_id.get();
        if without_id > 0 {
            coffer_addon::warn!("{file}: {without_id} documents do not begin with _id; the server makes it so");
        }
        let Some(expected) = &filling.expected else { return Ok(()) };
        compare(file, &read, expected)
    }

    /// What was read of a collection against what the dump's index says, which came later.
    pub fn check_against(&self, definition: &Definition, expected: &Data) -> Result<()> {
        let (database, collection) = (&definition.target, self.collection(definition));
        let fillings = self.fillings.borrow();
        let found = fillings.iter().find(|filling| filling.database == *database && filling.collection == collection);
        let missing = || Error::Corrupt(format!("{} did not come: the dump is not whole", expected.file));
        let filling = found.ok_or_else(missing)?;
        compare(&filling.file, &filling.read.borrow(), expected)
    }

    /// What the server has against what was inserted. To be asked before anything else writes or removes documents.
    pub async fn check_counts(&self, client: &mut Client) -> Result<()> {
        let fillings = self.fillings.borrow().clone();
        for filling in &fillings {
            let (name, inserted) = (format!("{}.{}", filling.database, filling.collection), filling.inserted.get());
            let count = count(client, filling, inserted).await?;
            if count < inserted
                && (filling.may_shrink || standing::may_shrink(client, &filling.database, &filling.collection).await?)
            {
                coffer_addon::warn!("{name} has {count} of {inserted} documents: the server removes them by itself");
            } else if count != inserted {
                // Documents that were refused say more.
                self.problems.check()?;
                return Err(Error::Failed(format!(
                    "{name} has {count} documents after {inserted} were inserted: something else writes there"
                )));
            }
        }
        Ok(())
    }
}

impl Batch {
    pub fn new(filling: &Rc<Filling>) -> Batch {
        Batch { filling: filling.clone(), bytes: Vec::new(), count: 0, first: 0, timestamps: Vec::new(), done: None }
    }

    /// Where a document begins.
    fn place(&self, index: usize) -> Option<usize> {
        let mut place = 0;
        for _ in 0..index {
            let length = super::documents::length(self.bytes.get(place..)?)?;
            place += usize::try_from(length).ok()?;
        }
        Some(place)
    }
}

/// How many documents a collection has. What the server knows without looking is right in a collection that is new, but not
/// with FerretDB, where it is an estimate.
async fn count(client: &mut Client, filling: &Filling, expected: u64) -> Result<u64> {
    let (database, collection) = (filling.database.as_str(), filling.collection.as_str());
    if !client.version().is_ferretdb() && !filling.raw {
        let reply = client.run(database, rawdoc! { "count": collection }).await?;
        if number(&reply, "n") == Some(expected) {
            return Ok(expected);
        }
    }
    let pipeline = [rawdoc! { "$group": { "_id": 1, "n": { "$sum": 1_i64 } } }];
    let pipeline: bson::raw::RawArrayBuf = pipeline.into_iter().collect();
    let mut command = rawdoc! { "aggregate": collection, "pipeline": pipeline, "cursor": {} };
    if filling.raw {
        command.append(cstr!("rawData"), true);
    }
    let mut cursor = client.query(database, command).await?;
    let count = cursor.next().await?.and_then(|reply| number(reply, "n")).unwrap_or_default();
    cursor.close().await?;
    Ok(count)
}

/// What was read of a file against what the dump says of it.
fn compare(file: &str, read: &Data, expected: &Data) -> Result<()> {
    if read.documents != expected.documents || read.bytes != expected.bytes {
        return Err(Error::Corrupt(format!(
            "{file} has {} documents of {} bytes, and the dump had {} of {}: it is not whole",
            read.documents, read.bytes, expected.documents, expected.bytes
        )));
    }
    if read.hash != expected.hash {
        return Err(Error::Corrupt(format!("{file}: its documents are not those of the dump (by their hash)")));
    }
    Ok(())
}
