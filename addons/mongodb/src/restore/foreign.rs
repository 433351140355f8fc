//! A dump whose index does not come first: a directory of stock mongodump, which has none, or a dump of ours on its way from one
//! server into another, which ends with it.
//!
//! In a directory `x.bson` comes before the `x.metadata.json` that says how the collection is made, and others may come
//! between the two. So files are held, unread, until both are there; as long as that is possible, nothing is written before
//! everything was looked at. A dump that is being made begins with all metadata, and waits for whoever does not read: of that
//! every file is read as it comes.

use super::definition::{Definition, Fate, Metadata, fate};
use super::indexed;
use super::run::{AT_ONCE, Run, drain};
use super::target::Target;
use crate::client::Client;
use crate::layout::{self, BUCKETS, DATA, INDEX, Index, Kind, METADATA, OPLOG, PRELUDE};
use coffer_addon::{Context as _, Error, Incoming, Result, omitted};
use futures::future::{Either, FutureExt as _, LocalBoxFuture, select};
use futures::stream::{FuturesUnordered, StreamExt as _};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::pin;

/// Artifacts that are open at once: the host allows 64.
const HELD: usize = 48;

/// A hundred indexes have a hundredth of that.
const MAX_METADATA: usize = 16 << 20;

/// The versions of the tools that made a dump.
const MAX_PRELUDE: usize = 64 << 10;

type Loads<'a> = FuturesUnordered<LocalBoxFuture<'a, Result<()>>>;

/// What an artifact completed.
enum Put {
    Nothing,
    View(Definition),
    Documents(Definition, Incoming),
    Oplog(Incoming),
}

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

/// What came and waits for its other half, by the name that its documents' file has or should have.
#[derive(Default)]
struct Shelf {
    /// What stands before the databases' folders in names, once one has told it.
    prefix: Option<String>,
    data: BTreeMap<String, Incoming>,
    definitions: BTreeMap<String, Definition>,
    /// Files with documents that are not wanted.
    left_out: BTreeSet<String>,
    seen: BTreeSet<String>,
    index: Option<Index>,
    /// It is a dump of ours, which has an index.
    was_ours: bool,
    /// It comes from a dump of ours, which may be under way, and ends with its index.
    is_ours: bool,
    /// Metadata comes before any documents, or there is none: documents are read as they come.
    is_live: bool,
    /// Whether there was any metadata.
    has_schema: bool,
}

impl Shelf {
    async fn put(&mut self, run: &Run<'_>, mut incoming: Incoming) -> Result<Put> {
        let name = incoming.artifact.name.clone();
        let is_first = self.seen.is_empty();
        if !self.seen.insert(name.clone()) {
            return Err(Error::Corrupt(format!("{name} came twice")));
        }
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", &name));
        let (prefix, database) = folder.rsplit_once('/').unwrap_or(("", folder));
        if file == PRELUDE {
            let text = incoming.read_all(MAX_PRELUDE).await?;
            self.was_ours = is_ours(&text);
            self.is_ours = is_first && self.was_ours;
            return Ok(Put::Nothing);
        }
        if file == INDEX {
            self.index = Some(indexed::read(&mut incoming).await?);
            return Ok(Put::Nothing);
        }
        if file.ends_with(".gz") {
            return Err(Error::Unsupported(format!(
                "{name} is compressed by mongodump --gzip; unpack the dump with gunzip -r first"
            )));
        }
        if name == OPLOG {
            return Ok(Put::Oplog(incoming));
        }
        let is_metadata = file.ends_with(METADATA);
        let Some(stem) = file.strip_suffix(METADATA).or_else(|| file.strip_suffix(DATA)) else {
            return Err(Error::Corrupt(format!("{name} is no part of a dump by mongodump")));
        };
        if database.is_empty() {
            return Err(Error::Corrupt(format!("{name} is in no database's folder")));
        }
        let unnamed = || Error::Corrupt(format!("{name}: that is no name of a collection"));
        let (collection, was_cut) = layout::collection_name(stem).ok_or_else(unnamed)?;
        if is_metadata {
            self.check_prefix(prefix, &name)?;
            return self.metadata(run, database, (&collection, was_cut), &mut incoming).await;
        }
        // Those come without metadata.
        match fate(database, &collection) {
            Fate::Accounts(of) => {
                run.fate(database, &collection);
                run.accounts(of, &mut incoming).await.context(|| name.clone())?;
                return Ok(Put::Nothing);
            }
            Fate::Own => {
                run.fate(database, &collection);
                drain(&mut incoming).await?;
                return Ok(Put::Nothing);
            }
            Fate::Restored => {}
        }
        let key = format!("{database}/{file}");
        if self.left_out.contains(&key) {
            drain(&mut incoming).await?;
        } else if let Some(definition) = self.definition_of(&key, database, &collection) {
            // All metadata comes first: whoever waits for more may wait for ever.
            self.is_live |= self.data.is_empty();
            return Ok(Put::Documents(definition, incoming));
        } else if self.is_ours && !self.has_schema {
            // Documents alone, into what is there.
            self.is_live = true;
            let collection = if was_cut { whole_name(&incoming, stem)? } else { collection };
            return self.documents_alone(run, database, &collection, incoming).await;
        } else {
            self.data.insert(key, incoming);
        }
        Ok(Put::Nothing)
    }

    /// Of a file with documents, by its name.
    fn definition_of(&mut self, key: &str, database: &str, collection: &str) -> Option<Definition> {
        let buckets = layout::data_name(database, &format!("{BUCKETS}{collection}"));
        self.definitions.remove(key).or_else(|| self.definitions.remove(&buckets))
    }

    async fn documents_alone(
        &mut self,
        run: &Run<'_>,
        database: &str,
        collection: &str,
        mut incoming: Incoming,
    ) -> Result<Put> {
        let (kind, name) = match collection.strip_prefix(BUCKETS) {
            Some(name) => (Kind::Timeseries, name),
            None => (Kind::Collection, collection),
        };
        if run.fate(database, name) != Some(Fate::Restored) {
            drain(&mut incoming).await?;
            return Ok(Put::Nothing);
        }
        Ok(Put::Documents(Definition::new(run.parameters, database, name, kind, None), incoming))
    }

    async fn metadata(
        &mut self,
        run: &Run<'_>,
        database: &str,
        (collection, was_cut): (&str, bool),
        incoming: &mut Incoming,
    ) -> Result<Put> {
        let file = incoming.artifact.name.clone();
        if self.is_live && !self.has_schema {
            return Err(Error::Corrupt(format!("{file} comes behind documents that were taken for all there is")));
        }
        self.has_schema = true;
        let bytes = incoming.read_all(MAX_METADATA).await?;
        let Metadata { name, kind, made } = Metadata::parse(&bytes).context(|| file.clone())?;
        if was_cut && name.is_none() {
            return Err(Error::Corrupt(format!("{file} does not say the collection's whole name")));
        }
        let name = name.unwrap_or_else(|| collection.into());
        let definition = Definition::new(run.parameters, database, &name, kind, Some(made));
        let key = definition.file();
        if run.fate(database, &name) != Some(Fate::Restored) {
            if let Some(mut data) = self.data.remove(&key) {
                drain(&mut data).await?;
            }
            self.left_out.insert(key);
            return Ok(Put::Nothing);
        }
        if kind == Kind::View {
            // mongodump --viewsAsCollections: the view has them of what it reads.
            if let Some(mut data) = self.data.remove(&key) {
                drain(&mut data).await?;
                coffer_addon::info!("{key} is not restored: {} is a view", definition.namespace());
            }
            self.left_out.insert(key);
            return Ok(Put::View(definition));
        }
        // Servers from 8.3 on have no collection for the buckets, and mongodump names their file like the series.
        let plain = layout::data_name(database, &name);
        if kind == Kind::Timeseries
            && let Some(data) = self.data.remove(&plain)
        {
            return Ok(Put::Documents(definition, data));
        }
        if let Some(data) = self.data.remove(&key) {
            return Ok(Put::Documents(definition, data));
        }
        match self.definitions.insert(key, definition) {
            None => Ok(Put::Nothing),
            Some(twice) => Err(Error::Corrupt(format!("{file}: there is another {}", twice.namespace()))),
        }
    }

    /// One dump has one folder.
    fn check_prefix(&mut self, prefix: &str, name: &str) -> Result<()> {
        let known = self.prefix.get_or_insert_with(|| prefix.into());
        if known != prefix {
            return Err(Error::Corrupt(format!(
                "{name} is of another dump than those in {known:?}; restore one at a time"
            )));
        }
        Ok(())
    }

    /// Beside the databases' folders, and without metadata.
    fn found_oplog(&mut self) -> Option<Incoming> {
        let folder = self.prefix.as_deref().unwrap_or_default();
        let folder = folder.rsplit('/').next().unwrap_or_default();
        self.data.remove(&format!("{folder}/{OPLOG}"))
    }

    /// At the end of the dump.
    fn check_pairs(&self) -> Result<()> {
        // The index knows of those without documents.
        let is_schema_only = self.index.as_ref().is_some_and(|index| !index.data);
        if let Some((file, definition)) = self.definitions.first_key_value().filter(|_| !is_schema_only) {
            return Err(Error::Corrupt(format!("{} has no documents: {file} did not come", definition.namespace())));
        }
        if let Some(file) = self.data.keys().next() {
            let name = file.strip_suffix(DATA).unwrap_or(file);
            return Err(Error::Corrupt(format!(
                "{name}{METADATA} did not come, and without it {file} would have neither options nor indexes"
            )));
        }
        Ok(())
    }

    fn too_many(&self) -> Error {
        let names = omitted::line(self.data.keys());
        Error::Unsupported(format!(
            "the {METADATA} of more than {HELD} files did not come, and no more can be open: is the dump whole? Where names lie within \
             each other (a, a.c, a.c.c and so on), it may come behind all of theirs; make an archive of it then (mongodump --archive): {names}"
        ))
    }
}

/// The name of the collection whose documents have a file of a name that was cut: nothing else in a dump that is under way says
/// it. That of a time series' buckets is the series'.
fn whole_name(incoming: &Incoming, stem: &str) -> Result<String> {
    let said = incoming.artifact.label("collection").map(|name| [name.into(), format!("{BUCKETS}{name}")]);
    let found = said.into_iter().flatten().find(|name| layout::file_name(name) == stem);
    found.ok_or_else(|| {
        Error::Unsupported(format!(
            "{}: nothing says the collection's whole name, which is too long for a file's; leave the collection out with exclude, or \
             restore from a snapshot",
            incoming.artifact.name
        ))
    })
}

/// Whether the prelude is one of mongodb-dump.
fn is_ours(prelude: &[u8]) -> bool {
    let prelude: Option<serde_json::Value> = serde_json::from_slice(prelude).ok();
    let tool = prelude.as_ref().and_then(|prelude| prelude.get("ToolVersion")?.as_str());
    tool.is_some_and(|tool| tool.starts_with("coffer "))
}
