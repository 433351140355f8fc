//! A dump with its index: of elasticsearch-dump.

use super::batch::Action;
use super::cluster::Cluster;
use super::lines::Line;
use super::load::{Filling, Loader};
use super::parameters::Restore;
use super::plan::{Plan, Stream};
use super::saved::Saved;
use super::unfinished::Unfinished;
use super::{compared, rehearsal, sources, standing, streams, target};
use crate::client::{Client, Version};
use crate::layout::{
    ALIAS, ANALYZER, COUNTS, Count, Counts, Definitions, FORMAT, INDEX, Index, MAPPING, MAX_INDEX, SETTINGS, Server,
    Space, TEMPLATE, WHOLE,
};
use coffer_addon::{Context as _, Error, Inbox, Incoming, Result, index, omitted};
use futures::future::try_join_all;
use futures::lock::{Mutex, MutexGuard};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Artifacts that are read side by side: each has buffers of its own. What keeps the server busy is their batches.
const AT_ONCE: usize = 2;

pub async fn read(incoming: &mut Incoming) -> Result<Index> {
    index::parse(&incoming.read_all(MAX_INDEX).await?, INDEX, FORMAT)
}

/// What an artifact of the dump is for.
enum File<'a> {
    /// The documents of an index, by its name in the dump, and where they go.
    Index(&'a str, &'a str),
    /// The documents of a data stream's index, and which of its indices that is.
    Stream(&'a StreamFill<'a>, usize),
    Objects(&'a Space),
    LeftOut,
}

struct StreamFill<'a> {
    stream: &'a Stream,
    /// How many of its indices were begun; the last of them is written to. Held by whoever writes: one index is filled at a
    /// time, so that each has what it had, as far as files come in that order.
    begun: Mutex<usize>,
}

pub async fn restore(
    client: &Client,
    inbox: &Inbox,
    parameters: &Restore,
    loader: &Loader<'_>,
    index: &Index,
    unfinished: &Unfinished,
) -> Result<Plan> {
    announce(index);
    check_cluster(client.version(), &index.server, parameters)?;
    let saved = Saved::look(client, index.dashboards.as_ref(), parameters, unfinished).await?;
    let mut plan = prepare(client, parameters, index, true, unfinished).await?;
    let read = read_all(client, inbox, loader, index, &plan, saved).await?;
    plan.saved_objects = read.saved_objects;
    if !read.misplaced.is_empty() {
        let names = omitted::line(&read.misplaced);
        coffer_addon::warn!(
            "NOT AS IN THE DUMP: documents of {names} are in a later index of their data stream, as the dump has its files in \
             another order"
        );
        plan.differing.push(format!("{names} (its documents are in a later index of its data stream)"));
    }
    Ok(plan)
}

/// A copy deletes what stands in its way while its source is still read.
fn check_cluster(version: &Version, dumped: &Server, parameters: &Restore) -> Result<()> {
    if parameters.other_cluster && !dumped.cluster_uuid.is_empty() && dumped.cluster_uuid == version.cluster_uuid {
        return Err(Error::InvalidParameter(format!(
            "the target is the cluster that the dump is made of, {} (cluster_uuid {}), by another address: a copy goes to another \
             cluster",
            version.cluster, version.cluster_uuid
        )));
    }
    Ok(())
}

/// What was read, beside documents.
struct Read {
    /// How many saved objects there were, where they are restored.
    saved_objects: Option<u64>,
    /// Indices of data streams whose documents came behind those of later ones.
    misplaced: BTreeSet<String>,
}

async fn read_all(
    client: &Client,
    inbox: &Inbox,
    loader: &Loader<'_>,
    index: &Index,
    plan: &Plan,
    saved: Option<Saved<'_>>,
) -> Result<Read> {
    let streams: Vec<StreamFill> =
        plan.streams.iter().map(|stream| StreamFill { stream, begun: Mutex::new(0) }).collect();
    let reading = Reading {
        client,
        inbox,
        loader,
        makes: plan.makes,
        files: files(index, plan, &streams)?,
        saved,
        objects: RefCell::default(),
        types: client.version().has_types(),
        seen: RefCell::default(),
        filled: RefCell::default(),
        counts: RefCell::default(),
        misplaced: RefCell::default(),
        turn: Mutex::new(()),
    };
    try_join_all((0..AT_ONCE).map(|_| reading.read())).await?;
    reading.check(index, plan)?;
    loader.idle().await;
    for fill in streams.iter().filter(|fill| index.data && !fill.stream.indices.is_empty()) {
        let last = fill.stream.indices.len() - 1;
        reading.reach(fill, last, &mut *fill.begun.lock().await).await?;
    }
    let objects = reading.objects.borrow().values().sum();
    let saved_objects = reading.saved.as_ref().map(|_| objects);
    Ok(Read { saved_objects, misplaced: reading.misplaced.take() })
}

/// Looks at everything, then makes what documents go into.
pub async fn prepare(
    client: &Client,
    parameters: &Restore,
    index: &Index,
    is_whole: bool,
    unfinished: &Unfinished,
) -> Result<Plan> {
    let mut plan = Plan::new(index, parameters, client.version(), is_whole)?;
    let is_alike = is_alike(client.version(), &index.server);
    plan.cluster = Cluster::look(client, index, parameters, is_alike).await?;
    plan.differing.extend(plan.cluster.kept.iter().cloned());
    let none = Definitions::new();
    let templates = if parameters.templates { &index.index_templates } else { &none };
    let found = standing::look(client, &plan, parameters, templates).await?;
    if plan.makes {
        rehearsal::check_possible(client, &plan, &found).await?;
        plan.cluster.put_before(client, unfinished).await?;
        rehearsal::rehearse(client, &plan, &found).await?;
        let (of_indices, of_streams) = found.parted(&plan);
        standing::clear(client, &of_indices, unfinished).await?;
        for index in &plan.indices {
            target::make(client, index, &plan.origin, unfinished).await?;
        }
        sources::check(client, &plan, index).await?;
        if is_alike {
            plan.differing.extend(compared::differing(client, &plan).await?);
        }
        plan.cluster.put_templates(client, unfinished).await?;
        // By these a stream is made: it is there until they are.
        standing::clear(client, &of_streams, unfinished).await?;
        for stream in &plan.streams {
            streams::make(client, stream, unfinished).await?;
        }
    } else {
        sources::check(client, &plan, index).await?;
        unfinished.filled(plan.targets());
    }
    Ok(plan)
}

/// Whether it says the same of an index that is the same: others have settings of their own, and other words for a mapping.
fn is_alike(version: &Version, dumped: &Server) -> bool {
    dumped.flavour == version.flavour.name() && dumped.version == version.text
}

fn announce(index: &Index) {
    if let Some(filtered) = &index.filtered {
        coffer_addon::info!("the dump has not all that the server had: {filtered}");
    }
    for (kind, names) in &index.not_kept {
        coffer_addon::info!("no dump keeps {kind}; the server had {}", omitted::line(names));
    }
    if !index.omitted.is_empty() {
        coffer_addon::warn!("the dump lacks {}", omitted::line(&index.omitted));
    }
}

fn files<'a>(index: &'a Index, plan: &'a Plan, streams: &'a [StreamFill<'a>]) -> Result<BTreeMap<&'a str, File<'a>>> {
    let indices = plan.indices.iter().filter_map(|index| {
        index.file.as_deref().map(|file| (file, File::Index(index.name.as_str(), index.target.as_str())))
    });
    let of_streams = streams.iter().flat_map(|fill| {
        let indices = fill.stream.indices.iter().enumerate();
        indices.filter_map(move |(place, index)| index.file().map(|file| (file, File::Stream(fill, place))))
    });
    let left_out = plan.left_out.values().flatten().map(|file| (file.as_str(), File::LeftOut));
    let spaces = index.dashboards.iter().flat_map(|dashboards| &dashboards.spaces);
    let objects = spaces.map(|space| (space.file.as_str(), File::Objects(space)));
    let mut files = BTreeMap::new();
    for (name, file) in indices.chain(of_streams).chain(left_out).chain(objects) {
        if files.insert(name, file).is_some() {
            return Err(Error::Corrupt(format!("{INDEX} has {name} twice")));
        }
    }
    Ok(files)
}

struct Reading<'a> {
    client: &'a Client,
    inbox: &'a Inbox,
    loader: &'a Loader<'a>,
    /// Whether what documents go into was made for them.
    makes: bool,
    files: BTreeMap<&'a str, File<'a>>,
    /// None: they are passed over.
    saved: Option<Saved<'a>>,
    /// How many saved objects were imported, by file.
    objects: RefCell<BTreeMap<String, u64>>,
    types: bool,
    seen: RefCell<BTreeSet<String>>,
    /// What was read, by the index's name in the dump.
    filled: RefCell<BTreeMap<String, Count>>,
    counts: RefCell<Option<Counts>>,
    misplaced: RefCell<BTreeSet<String>>,
    /// One asks for an artifact at a time.
    turn: Mutex<()>,
}

impl Reading<'_> {
    async fn read(&self) -> Result<()> {
        loop {
            let turn = self.turn.lock().await;
            let Some(incoming) = self.inbox.next().await else { return Ok(()) };
            let name = incoming.artifact.name.clone();
            if !self.seen.borrow_mut().insert(name.clone()) {
                return Err(Error::Corrupt(format!("{name} came twice")));
            }
            let file = self.files.get(name.as_str());
            // Whoever asked first: a lock knows no order of those that wait for it.
            let begun = match file {
                Some(File::Stream(fill, _)) => Some(fill.begun.lock().await),
                _ => None,
            };
            drop(turn);
            self.file(&name, file, begun, incoming).await?;
        }
    }

    async fn file(
        &self,
        name: &str,
        file: Option<&File<'_>>,
        begun: Option<MutexGuard<'_, usize>>,
        mut incoming: Incoming,
    ) -> Result<()> {
        match (file, begun) {
            (Some(File::Index(index, target)), _) => {
                let action = Action { has_type: self.types, keeps_versions: true, is_create: false };
                let filling = self.fill(target, index, name, action, &mut incoming).await?;
                self.filled.borrow_mut().insert((*index).into(), *filling.read.borrow());
            }
            (Some(File::Stream(fill, place)), Some(mut begun)) => {
                self.reach(fill, *place, &mut begun).await?;
                let action = Action { is_create: true, ..Action::default() };
                let index = fill.stream.indices.get(*place).map(|index| index.name.as_str()).unwrap_or_default();
                let filling = self.fill(&fill.stream.target, index, name, action, &mut incoming).await?;
                // What comes next may be another index's.
                filling.idle().await;
                // The server takes documents for a stream's last index only.
                if place + 1 < *begun && self.makes && filling.read.borrow().documents > 0 {
                    self.misplaced.borrow_mut().insert(index.into());
                }
                self.filled.borrow_mut().insert(index.into(), *filling.read.borrow());
            }
            (Some(File::Objects(space)), _) => match &self.saved {
                Some(saved) => {
                    let count = saved.import(space, &mut incoming).await?;
                    self.objects.borrow_mut().insert(name.into(), count);
                }
                None => drain(&mut incoming).await?,
            },
            (Some(File::LeftOut), _) => drain(&mut incoming).await?,
            (None, _) if name == COUNTS => {
                let counts = index::parse(&incoming.read_all(MAX_INDEX).await?, COUNTS, FORMAT)?;
                self.counts.replace(Some(counts));
            }
            // The index has all that they have.
            (None, _)
                if [MAPPING, SETTINGS, ANALYZER, ALIAS, TEMPLATE, WHOLE].iter().any(|end| name.ends_with(end)) =>
            {
                drain(&mut incoming).await?;
            }
            _ => return Err(Error::Corrupt(format!("{name} is nothing that {INDEX} knows of"))),
        }
        Ok(())
    }

    async fn fill(
        &self,
        target: &str,
        index: &str,
        file: &str,
        action: Action,
        incoming: &mut Incoming,
    ) -> Result<std::rc::Rc<Filling>> {
        let filling = self.loader.fill(target, file, action);
        let of_index = |line: &Line<'_>| match &line.index {
            Some(other) if other != index => {
                Err(Error::Corrupt(format!("{file} has documents of {other}, and should have those of {index}")))
            }
            _ => Ok(filling.clone()),
        };
        self.loader.file(incoming, of_index).await?;
        Ok(filling)
    }

    /// Begins a stream's indices until the one at this place is written to.
    async fn reach(&self, fill: &StreamFill<'_>, place: usize, begun: &mut usize) -> Result<()> {
        while *begun <= place {
            streams::begin(self.client, fill.stream, *begun, self.makes).await?;
            *begun += 1;
        }
        Ok(())
    }

    /// Whether everything came, and is what it was.
    fn check(&self, index: &Index, plan: &Plan) -> Result<()> {
        let seen = self.seen.borrow();
        let wanted = self.files.iter().filter(|(_, file)| !matches!(file, File::LeftOut));
        let missing: Vec<&str> = wanted.map(|(name, _)| *name).filter(|name| !seen.contains(*name)).collect();
        if !missing.is_empty() {
            return Err(Error::Corrupt(format!("{} did not come: the dump is not whole", omitted::line(missing))));
        }
        let counts = self.counts.borrow();
        let Some(counts) = &*counts else {
            if !index.data {
                return Ok(());
            }
            return Err(Error::Corrupt(format!("{COUNTS} did not come: the dump is not whole")));
        };
        for (name, read) in &*self.filled.borrow() {
            let Some(expected) = counts.indices.get(name) else {
                return Err(Error::Corrupt(format!("{COUNTS} says nothing of {name}")));
            };
            compare(name, read, expected).context(|| INDEX)?;
        }
        for (name, read) in &*self.objects.borrow() {
            let expected = counts.saved_objects.get(name).copied().unwrap_or_default();
            if *read != expected {
                return Err(Error::Corrupt(format!("{name} has {read} saved objects, and the dump had {expected}")));
            }
        }
        let unread = counts
            .indices
            .keys()
            .find(|name| !self.filled.borrow().contains_key(*name) && !plan.left_out.contains_key(*name));
        match unread {
            None => Ok(()),
            Some(name) => Err(Error::Corrupt(format!("{COUNTS} has {name}, and {INDEX} does not"))),
        }
    }
}

/// What was read of an index against what the dump says of it.
fn compare(name: &str, read: &Count, expected: &Count) -> Result<()> {
    if read.documents != expected.documents || read.bytes != expected.bytes {
        return Err(Error::Corrupt(format!(
            "{name} has {} documents of {} bytes, and the dump had {} of {}: it is not whole",
            read.documents, read.bytes, expected.documents, expected.bytes
        )));
    }
    if read.hash != expected.hash {
        return Err(Error::Corrupt(format!("{name}: its documents are not those of the dump (by their hash)")));
    }
    Ok(())
}

/// What is not wanted.
pub async fn drain(incoming: &mut Incoming) -> Result<()> {
    while incoming.fill().await? > 0 {
        incoming.consume(usize::MAX);
    }
    Ok(())
}
