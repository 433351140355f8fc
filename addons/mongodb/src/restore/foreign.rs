//! A directory of stock mongodump. Nothing says what all is in it; `x.bson` comes before the `x.metadata.json` that says how
//! the collection is made, and others may come between the two. So files are held, unread, until both are there, and what is
//! complete is restored in rounds.

use super::definition::{Definition, Fate, Metadata, fate};
use super::run::{AT_ONCE, Run, drain};
use super::target::Target;
use crate::client::Client;
use crate::layout::{self, DATA, Kind, METADATA, OPLOG, PRELUDE};
use coffer_addon::{Context as _, Error, Incoming, Result, omitted};
use futures::{StreamExt, TryStreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};

/// Artifacts that are open at once: the host allows 64.
const HELD: usize = 48;

/// A hundred indexes have a hundredth of that.
const MAX_METADATA: usize = 16 << 20;

/// Its artifact is none where there are no documents: of views.
type Ready = (Definition, Option<Incoming>);

pub async fn restore(run: &Run<'_>, leader: &mut Client, first: Incoming) -> Result<()> {
    coffer_addon::info!("a dump without an index: restored is what there is, and nothing says whether that is all");
    let mut shelf = Shelf::default();
    let mut target = Target::default();
    let (mut next, mut definitions) = (Some(first), Vec::new());
    loop {
        let mut ready: Vec<Ready> = Vec::new();
        let mut is_end = false;
        while ready.len() + shelf.data.len() < HELD {
            let incoming = match next.take() {
                Some(incoming) => Some(incoming),
                None => run.inbox.next().await,
            };
            let Some(incoming) = incoming else {
                is_end = true;
                break;
            };
            ready.extend(shelf.put(run, incoming).await?);
        }
        if is_end {
            shelf.find_oplog();
            shelf.check_pairs()?;
            run.check_names()?;
        } else if ready.is_empty() {
            return Err(shelf.too_many());
        }
        target.prepare(leader, run.parameters, ready.iter().map(|(definition, _)| definition)).await?;
        for (definition, _) in &ready {
            run.note(definition);
            definitions.push(definition.clone());
        }
        let files = ready.into_iter().filter_map(|(definition, incoming)| Some((definition, incoming?)));
        let load = async |(definition, mut incoming): (Definition, Incoming)| {
            let filling = run.loader.fill(&definition, &incoming.artifact.name);
            run.loader.file(&filling, &mut incoming).await
        };
        let work = stream::iter(files.map(load)).buffer_unordered(AT_ONCE);
        work.try_collect::<()>().await?;
        if is_end {
            break;
        }
    }
    run.settle(leader, shelf.oplog.map(|oplog| (oplog, None))).await?;
    run.views(leader, &mut target, &definitions).await
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
    oplog: Option<Incoming>,
}

impl Shelf {
    async fn put(&mut self, run: &Run<'_>, mut incoming: Incoming) -> Result<Option<Ready>> {
        let name = incoming.artifact.name.clone();
        if !self.seen.insert(name.clone()) {
            return Err(Error::Corrupt(format!("{name} came twice")));
        }
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", &name));
        let (prefix, database) = folder.rsplit_once('/').unwrap_or(("", folder));
        if file == PRELUDE {
            drain(&mut incoming).await?;
            return Ok(None);
        }
        if file.ends_with(".gz") {
            return Err(Error::Unsupported(format!(
                "{name} is compressed by mongodump --gzip; unpack the dump with gunzip -r first"
            )));
        }
        if name == OPLOG {
            self.oplog = Some(incoming);
            return Ok(None);
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
                return Ok(None);
            }
            Fate::Own => {
                run.fate(database, &collection);
                drain(&mut incoming).await?;
                return Ok(None);
            }
            Fate::Restored => {}
        }
        let key = format!("{database}/{file}");
        if self.left_out.contains(&key) {
            drain(&mut incoming).await?;
        } else if let Some(definition) = self.definitions.remove(&key) {
            return Ok(Some((definition, Some(incoming))));
        } else {
            self.data.insert(key, incoming);
        }
        Ok(None)
    }

    async fn metadata(
        &mut self,
        run: &Run<'_>,
        database: &str,
        (collection, was_cut): (&str, bool),
        incoming: &mut Incoming,
    ) -> Result<Option<Ready>> {
        let file = incoming.artifact.name.clone();
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
            return Ok(None);
        }
        if kind == Kind::View {
            return Ok(Some((definition, None)));
        }
        if let Some(data) = self.data.remove(&key) {
            return Ok(Some((definition, Some(data))));
        }
        match self.definitions.insert(key, definition) {
            None => Ok(None),
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
    fn find_oplog(&mut self) {
        let folder = self.prefix.as_deref().unwrap_or_default();
        let folder = folder.rsplit('/').next().unwrap_or_default();
        if let Some(oplog) = self.data.remove(&format!("{folder}/{OPLOG}")) {
            self.oplog = Some(oplog);
        }
    }

    /// At the end of the dump.
    fn check_pairs(&self) -> Result<()> {
        if let Some((file, definition)) = self.definitions.first_key_value() {
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
        Error::Corrupt(format!("the metadata of too many files did not come: {names}"))
    }
}
