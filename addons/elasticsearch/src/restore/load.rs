//! Documents into indices: readers make batches of them, and requests that run side by side index the batches.

use super::answer::{self, Outcomes};
use super::batch::{Action, Batch};
use super::lines::{Line, Lines};
use crate::client::waits::{Waits, asked};
use crate::layout::Count;
use coffer_addon::budget::Budget;
use coffer_addon::http::{Http, Request, Response, segment};
use coffer_addon::problems::Problems;
use coffer_addon::work::Tally;
use coffer_addon::{Context as _, Error, Incoming, Result};
use futures::StreamExt;
use futures::channel::mpsc;
use futures::future::try_join_all;
use futures::lock::Mutex;
use serde_json::value::RawValue;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// The bytes of a request, but for a document that has more alone: a hundredth of what servers take at most, and enough that
/// what a request costs by itself is little beside it.
const BATCH: usize = 1 << 20;

/// Documents of a request: what the server answers has a part for each.
const MAX_ITEMS: usize = 20_000;

/// Batches under way for each request that runs: the server has one, and the next is there when it wants it.
const AHEAD: usize = 2;

/// A piece of a request's body.
const PIECE: usize = 256 << 10;

/// More of an error's answer is not read.
const MAX_REFUSAL: usize = 1 << 20;

/// An index or a data stream that documents go into, and what has come of them.
pub struct Filling {
    pub target: String,
    /// What errors call the documents' origin.
    pub file: String,
    pub action: Action,
    pub read: RefCell<Count>,
    /// Of the bytes that were sent.
    under_way: Budget,
    /// Those that the server has said to have.
    pub indexed: Cell<u64>,
}

impl Filling {
    /// Waits until everything that was read is in.
    pub async fn idle(&self) {
        self.under_way.idle().await;
    }

    fn note(&self, line: &Line<'_>) {
        let text = |raw: Option<&RawValue>| raw.and_then(super::lines::text);
        let (id, routing) = (text(line.id), text(line.routing));
        let source = line.source.map(RawValue::get).unwrap_or_default();
        self.read.borrow_mut().add(&id.unwrap_or_default(), routing.as_deref(), source.as_bytes());
    }
}

/// Documents that are indexed together.
struct Job {
    filling: Rc<Filling>,
    batch: Batch,
    size: usize,
}

pub struct Loader<'a> {
    pub problems: &'a Problems,
    /// Of documents that the server has said to have, and of their `_source`.
    pub tally: Tally,
    http: Http,
    patience: Duration,
    budget: Budget,
    sender: RefCell<Option<mpsc::UnboundedSender<Job>>>,
    receiver: Mutex<mpsc::UnboundedReceiver<Job>>,
    fillings: RefCell<Vec<Rc<Filling>>>,
}

impl<'a> Loader<'a> {
    pub fn new(http: Http, problems: &'a Problems, tally: Tally, jobs: usize, patience: Duration) -> Loader<'a> {
        let (sender, receiver) = mpsc::unbounded();
        Loader {
            problems,
            tally,
            http,
            patience,
            budget: Budget::new(AHEAD * BATCH * jobs.max(1)),
            sender: RefCell::new(Some(sender)),
            receiver: Mutex::new(receiver),
            fillings: RefCell::default(),
        }
    }

    /// Begins to fill an index from a file.
    pub fn fill(&self, target: &str, file: &str, action: Action) -> Rc<Filling> {
        let filling = Rc::new(Filling {
            target: target.into(),
            file: file.into(),
            action,
            read: RefCell::default(),
            under_way: Budget::new(usize::MAX),
            indexed: Cell::new(0),
        });
        self.fillings.borrow_mut().push(filling.clone());
        filling
    }

    /// All of an artifact's documents, each to where `fill` says.
    pub async fn file(
        &self,
        incoming: &mut Incoming,
        mut fill: impl FnMut(&Line<'_>) -> Result<Rc<Filling>>,
    ) -> Result<()> {
        let file = incoming.artifact.name.clone();
        let mut lines = Lines::new(incoming);
        let mut open: Option<(Rc<Filling>, Batch)> = None;
        let mut number = 0;
        while let Some(bytes) = lines.next().await? {
            number += 1;
            let line = Line::parse(bytes, &file, number)?;
            let filling = fill(&line)?;
            let is_other = |(open, batch): &(Rc<Filling>, Batch)| {
                !Rc::ptr_eq(open, &filling)
                    || batch.items.len() >= MAX_ITEMS
                    || !batch.is_empty() && batch.bytes.len() + Batch::size(&line) > BATCH
            };
            if open.as_ref().is_some_and(is_other)
                && let Some((filling, batch)) = open.take()
            {
                self.send(filling, batch).await;
            }
            filling.note(&line);
            let (filling, batch) = open.get_or_insert_with(|| (filling.clone(), Batch::default()));
            batch.add(&filling.action, &line, number).context(|| file.clone())?;
        }
        if let Some((filling, batch)) = open {
            self.send(filling, batch).await;
        }
        Ok(())
    }

    /// Hands a batch to whichever request is done.
    async fn send(&self, filling: Rc<Filling>, batch: Batch) {
        let size = batch.bytes.len();
        self.budget.take(size).await;
        filling.under_way.take(size).await;
        if let Some(sender) = &*self.sender.borrow() {
            // The other end lives as long as this does.
            let _ = sender.unbounded_send(Job { filling, batch, size });
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

    pub fn fillings(&self) -> Vec<Rc<Filling>> {
        self.fillings.borrow().clone()
    }

    /// Indexes what comes with so many requests at once, until [`Loader::close`].
    pub async fn run(&self, jobs: usize) -> Result<()> {
        try_join_all((0..jobs.max(1)).map(|_| self.index_all())).await?;
        Ok(())
    }

    async fn index_all(&self) -> Result<()> {
        loop {
            let job = self.receiver.lock().await.next().await;
            let Some(Job { filling, batch, size }) = job else { return Ok(()) };
            let failed = || format!("unable to restore {} into {}", filling.file, filling.target);
            self.index(&filling, batch).await.context(failed)?;
            filling.under_way.give(size);
            self.budget.give(size);
        }
    }

    /// Repeats what the server had no time for, in smaller parts where it takes no large ones.
    async fn index(&self, filling: &Filling, batch: Batch) -> Result<()> {
        let mut waits = Waits::new(self.patience);
        let mut left = vec![batch];
        while let Some(mut batch) = left.pop() {
            match self.request(filling, &batch).await {
                Ok(Sent::Answered(outcomes)) => {
                    let got_on = outcomes.again.len() < batch.items.len();
                    let why = outcomes.why_again.clone().unwrap_or_default();
                    let again = self.take(filling, &batch, outcomes)?;
                    if got_on {
                        waits.reset(self.patience);
                    }
                    if !again.is_empty() {
                        self.wait(&mut waits, &again, None, &why).await?;
                        left.push(again);
                    }
                }
                Ok(Sent::Busy(why, asked)) => {
                    self.wait(&mut waits, &batch, asked, &why).await?;
                    batch.was_sent = true;
                    left.push(batch);
                }
                Ok(Sent::TooLarge) if batch.items.len() > 1 => left.extend(batch.split()),
                Ok(Sent::TooLarge) => {
                    return Err(Error::Unsupported(format!(
                        "{} has {} bytes, more than the server takes in a request (http.max_content_length)",
                        batch.lines(),
                        batch.bytes.len()
                    )));
                }
                Err(Error::Unavailable(text)) => {
                    if !waits.wait_lost().await {
                        return Err(Error::Unavailable(text).context(batch.lines()));
                    }
                    batch.was_sent = true;
                    left.push(batch);
                }
                Err(error) => return Err(error.context(batch.lines())),
            }
        }
        Ok(())
    }

    async fn wait(&self, waits: &mut Waits, batch: &Batch, asked: Option<Duration>, why: &str) -> Result<()> {
        if waits.wait(asked).await {
            return Ok(());
        }
        Err(Error::Unavailable(format!(
            "{}: the server has had no time for {:?} ({why}); set a longer patience or fewer jobs",
            batch.lines(),
            self.patience
        )))
    }

    /// Counts what was indexed and tells what was refused; returns what is to be sent again.
    fn take(&self, filling: &Filling, batch: &Batch, outcomes: Outcomes) -> Result<Batch> {
        // One that it had no time to copy to the replicas may be there all the same.
        let again = Batch { was_sent: true, ..batch.only(outcomes.again) };
        let count = outcomes.indexed + outcomes.known;
        filling.indexed.set(filling.indexed.get() + count);
        self.tally.add_rows(count);
        let refused = batch.only(outcomes.refused.iter().map(|(place, _)| *place));
        self.tally.add_bytes(batch.source() - again.source() - refused.source());
        for (item, (_, why)) in refused.items.iter().zip(outcomes.refused) {
            let id = refused.id(item).map(|id| format!(" (document {id:?})")).unwrap_or_default();
            let (Filling { file, target, .. }, number) = (filling, item.number);
            self.problems.add(Error::Failed(format!("line {number} of {file}{id} was refused by {target}: {why}")))?;
        }
        Ok(again)
    }

    async fn request(&self, filling: &Filling, batch: &Batch) -> Result<Sent> {
        // An index's default pipeline would change documents that have been through it already.
        let request = Request::post(format!("/{}/_bulk", segment(&filling.target)))
            .query("pipeline", "_none")
            .query("filter_path", answer::WANTED)
            .header("content-type", "application/x-ndjson")
            .length(batch.bytes.len() as u64);
        let mut upload = self.http.open(request);
        for piece in batch.bytes.chunks(PIECE) {
            if upload.is_refused() {
                break;
            }
            upload.write(piece).await?;
        }
        let mut response = upload.finish().await?;
        if response.is_success() {
            let bytes = response.read_all(answer::limit(batch)).await?;
            return answer::read(&bytes, batch).map(Sent::Answered);
        }
        refused(&mut response).await
    }
}

enum Sent {
    Answered(Outcomes),
    /// Why, and for how long the server wants to be left alone.
    Busy(String, Option<Duration>),
    TooLarge,
}

async fn refused(response: &mut Response) -> Result<Sent> {
    let status = response.status;
    if status == 413 {
        return Ok(Sent::TooLarge);
    }
    let told = response.read_all(MAX_REFUSAL).await.unwrap_or_default();
    let why = answer::refusal(status, &told);
    match status {
        _ if answer::is_busy(status) => Ok(Sent::Busy(why, asked(response.header("retry-after")))),
        401 | 403 => Err(Error::Denied(format!("the server does not take documents from this user: {why}"))),
        _ => Err(Error::Failed(format!("the server does not take the documents: {why}"))),
    }
}
