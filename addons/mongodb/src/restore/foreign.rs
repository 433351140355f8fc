//! A dump whose index does not come first: a directory of stock mongodump, which has none, or a dump of ours on its way from one
//! server into another, which ends with it.
//!
//! In a directory `x.bson` comes before the `x.metadata.json` that says how the collection is made, and others may come
//! between the two. So files are held, unread, until both are there; as long as that is possible, nothing is written before
//! everything was looked at. A dump that is being made begins with all metadata, and waits for whoever does not read: of that
//! every file is read as it comes.

use super::definition::{Definition, Fate};
use super::indexed;
use super::run::{AT_ONCE, Run};
use super::shelf::{HELD, Put, Shelf};
use super::target::Target;
use crate::client::Client;
use crate::layout::INDEX;
use coffer_addon::{Error, Incoming, Result};
use futures::future::{Either, FutureExt as _, LocalBoxFuture, select};
use futures::stream::{FuturesUnordered, StreamExt as _};
use std::collections::{BTreeSet, VecDeque};
use std::pin::pin;

type Loads<'a> = FuturesUnordered<LocalBoxFuture<'a, Result<()>>>;

pub async fn restore<'a>(run: &'a Run<'a>, leader: &mut Client, first: Incoming) -> Result<()> {
    let mut foreign = Foreign::default();
    let mut loads = Loads::new();
    let mut next = Some(first);
    let mut oplog = None;
    loop {
        foreign.start(run, &mut loads);
        let held = foreign.shelf.data.len() + foreign.waiting.len() + loads.len();
        if held >= HELD {
            if !foreign.has_begun {
                foreign.begin(run, leader).await?;
            } else if let Some(done) = loads.next().await {
                done?;
            } else {
                return Err(foreign.shelf.too_many());
            }
            continue;
        }
        let incoming = match next.take() {
            Some(incoming) => Some(incoming),
            None => foreign.next(run, &mut loads).await?,
        };
        let Some(incoming) = incoming else { break };
        match foreign.shelf.put(run, incoming).await? {
            Put::Nothing => continue,
            Put::View(definition) => foreign.views.push(definition),
            Put::Documents(definition, incoming) => foreign.waiting.push_back((definition, incoming)),
            // A dump that is being made has had all documents, and waits for this to be read.
            Put::Oplog(incoming) if foreign.shelf.is_ours && foreign.shelf.definitions.is_empty() => {
                foreign.finish_loads(run, leader, &mut loads).await?;
                run.settle(leader, &mut foreign.target, Some((incoming, None))).await?;
            }
            Put::Oplog(incoming) => oplog = Some((incoming, None)),
        }
        if foreign.has_begun || foreign.shelf.is_live {
            foreign.begin(run, leader).await?;
        }
    }
    oplog = oplog.or(foreign.shelf.found_oplog().map(|oplog| (oplog, None)));
    if foreign.shelf.was_ours && foreign.shelf.index.is_none() {
        return Err(Error::Corrupt(format!(
            "{INDEX} did not come, which dumps of mongodb-dump have: this one is not whole; take all of its files"
        )));
    }
    foreign.shelf.check_pairs()?;
    run.check_names()?;
    foreign.finish_loads(run, leader, &mut loads).await?;
    run.settle(leader, &mut foreign.target, oplog).await?;
    foreign.check_index(run)
}

#[derive(Default)]
struct Foreign {
    shelf: Shelf,
    target: Target,
    /// Looked at, and made where they were not there.
    definitions: Vec<Definition>,
    prepared: BTreeSet<String>,
    views: Vec<Definition>,
    waiting: VecDeque<(Definition, Incoming)>,
    /// Whether documents may be written.
    has_begun: bool,
}

impl Foreign {
    /// Looks at all that is known, and lets documents be written.
    async fn begin(&mut self, run: &Run<'_>, leader: &mut Client) -> Result<()> {
        // Of documents alone the names come one by one.
        if self.shelf.is_live && self.shelf.has_schema && !self.has_begun {
            run.check_names()?;
        }
        self.has_begun = true;
        let waiting = self.waiting.iter().map(|(definition, _)| definition);
        let known = waiting.chain(&self.views).chain(self.shelf.definitions.values());
        let new: Vec<Definition> =
            known.filter(|definition| !self.prepared.contains(&definition.namespace())).cloned().collect();
        self.target.prepare(leader, run.parameters, new.iter()).await?;
        for definition in new {
            run.note(&definition);
            self.prepared.insert(definition.namespace());
            self.definitions.push(definition);
        }
        Ok(())
    }

    /// The next artifact, while what is being read goes on.
    async fn next<'a>(&mut self, run: &'a Run<'a>, loads: &mut Loads<'a>) -> Result<Option<Incoming>> {
        let mut coming = pin!(run.inbox.next());
        while !loads.is_empty() {
            match select(coming.as_mut(), loads.next()).await {
                Either::Left((incoming, _)) => return Ok(incoming),
                Either::Right((done, _)) => done.unwrap_or(Ok(()))?,
            }
            // Whoever gives artifacts may wait for one that waits here.
            self.start(run, loads);
        }
        Ok(coming.await)
    }

    fn start<'a>(&mut self, run: &'a Run<'a>, loads: &mut Loads<'a>) {
        while self.has_begun && loads.len() < AT_ONCE {
            let Some((definition, mut incoming)) = self.waiting.pop_front() else { return };
            let load = async move {
                let filling = run.loader.fill(&definition, &incoming.artifact.name);
                run.loader.file(&filling, &mut incoming).await
            };
            loads.push(load.boxed_local());
        }
    }

    /// Everything that waits.
    async fn finish_loads<'a>(&mut self, run: &'a Run<'a>, leader: &mut Client, loads: &mut Loads<'a>) -> Result<()> {
        self.begin(run, leader).await?;
        loop {
            self.start(run, loads);
            match loads.next().await {
                Some(done) => done?,
                None => return Ok(()),
            }
        }
    }

    /// What the index says, where there is one, though it came late.
    fn check_index(&self, run: &Run<'_>) -> Result<()> {
        let Some(index) = &self.shelf.index else {
            coffer_addon::info!("the dump has no {INDEX}: nothing says whether what was restored is all of it");
            return Ok(());
        };
        indexed::announce(index);
        for collection in &index.collections {
            let (database, name) = (&collection.database, &collection.name);
            if run.fate(database, name) != Some(Fate::Restored) || collection.is_nothing(index.schema) {
                continue;
            }
            let is_it = |other: &&Definition| other.database == *database && other.name == *name;
            let found = self.definitions.iter().find(is_it);
            let missing = || Error::Corrupt(format!("{database}.{name} did not come: the dump is not whole"));
            let definition = found.ok_or_else(missing)?;
            if let Some(data) = &collection.data {
                run.loader.check_against(definition, data)?;
            }
        }
        run.check_oplog(index.oplog.as_ref())
    }
}
