//! Files of a directory, each held until its other half has come: documents and the metadata that say how their collection is
//! made.

use super::definition::{Definition, Fate, Metadata, fate};
use super::indexed;
use super::run::{Run, drain};
use crate::layout::{self, BUCKETS, DATA, INDEX, Index, Kind, METADATA, OPLOG, PRELUDE};
use coffer_addon::{Context as _, Error, Incoming, Result, omitted};
use std::collections::{BTreeMap, BTreeSet};

/// Artifacts that are open at once: the host allows 64.
pub const HELD: usize = 48;

/// A hundred indexes have a hundredth of that.
const MAX_METADATA: usize = 16 << 20;

/// The versions of the tools that made a dump.
const MAX_PRELUDE: usize = 64 << 10;

/// What an artifact completed.
pub enum Put {
    Nothing,
    View(Definition),
    Documents(Definition, Incoming),
    Oplog(Incoming),
}

/// What came and waits for its other half, by the name that its documents' file has or should have.
#[derive(Default)]
pub struct Shelf {
    /// What stands before the databases' folders in names, once one has told it.
    prefix: Option<String>,
    pub data: BTreeMap<String, Incoming>,
    pub definitions: BTreeMap<String, Definition>,
    /// Files with documents that are not wanted.
    left_out: BTreeSet<String>,
    seen: BTreeSet<String>,
    pub index: Option<Index>,
    /// It is a dump of ours, which has an index.
    pub was_ours: bool,
    /// It comes from a dump of ours, which may be under way, and ends with its index.
    pub is_ours: bool,
    /// Metadata comes before any documents, or there is none: documents are read as they come.
    pub is_live: bool,
    /// Whether there was any metadata.
    pub has_schema: bool,
}

impl Shelf {
    pub async fn put(&mut self, run: &Run<'_>, mut incoming: Incoming) -> Result<Put> {
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
        } else if let Some(other) = self.data.insert(key, incoming) {
            // One is the dump's oplog, and the other of a collection of that name in a database of the folder's.
            return Err(Error::Corrupt(format!(
                "{name} and {} cannot be told apart; restore the dump from another folder",
                other.artifact.name
            )));
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
    pub fn found_oplog(&mut self) -> Option<Incoming> {
        let folder = self.prefix.as_deref().unwrap_or_default();
        let folder = folder.rsplit('/').next().unwrap_or_default();
        self.data.remove(&format!("{folder}/{OPLOG}"))
    }

    /// At the end of the dump.
    pub fn check_pairs(&self) -> Result<()> {
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

    pub fn too_many(&self) -> Error {
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
