//! Replaying what was written during a dump, entry by entry in its order, so that all collections are of its end.
//!
//! Documents by `applyOps`, which takes entries as the oplog has them and does nothing twice. Commands too, but for those on
//! indexes: indexes are made at the end, and the oplog only changes which. Entries of transactions are kept until it is
//! known that the transaction came to something. Names of databases and of what is left out are as for everything else.

use super::concern::{append_concern, check_concern};
use super::definition::{Fate, Made, fate};
use super::entries::{check_applied, id_of, split, unreadable, without_options};
use super::indexes::Indexes;
use super::parameters::Restore;
use super::plain;
use super::strangers::Strangers;
use super::target::{Becomes, Target};
use super::there::logical;
use super::transactions::{self, Transactions};
use crate::client::{Client, code};
use crate::layout::{BUCKETS, Kind};
use bson::raw::{RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf, cstr};
use bson::rawdoc;
use coffer_addon::{Context as _, Error, Result};
use std::collections::BTreeMap;

/// Entries that are sent together, in number and bytes. Together they are one entry of the server's own oplog, of 16 MiB.
const MOST: usize = 500;
const MOST_BYTES: usize = 4 << 20;

pub struct Replay<'a> {
    pub(super) client: &'a mut Client,
    pub(super) parameters: &'a Restore,
    indexes: &'a Indexes,
    pub(super) strangers: Strangers<'a>,
    /// Each with its number in the oplog.
    waiting: Vec<(u64, RawDocumentBuf)>,
    waiting_bytes: usize,
    transactions: Transactions,
    /// The server has no `applyOps`.
    is_plain: bool,
    /// The error under way names the entries that it is about: those that waited.
    is_named: bool,
    pub count: u64,
    pub(super) skipped: u64,
}

impl<'a> Replay<'a> {
    /// `indexes` is what is made at the end. Entries on collections that are not `known` may be those of others.
    pub fn new(
        client: &'a mut Client,
        target: &'a mut Target,
        parameters: &'a Restore,
        indexes: &'a Indexes,
        known: &BTreeMap<(String, String), Kind>,
    ) -> Replay<'a> {
        Replay {
            client,
            parameters,
            indexes,
            strangers: Strangers::new(target, parameters, known),
            waiting: Vec::new(),
            waiting_bytes: 0,
            transactions: Transactions::default(),
            is_plain: false,
            is_named: false,
            count: 0,
            skipped: 0,
        }
    }

    /// One entry.
    pub async fn entry(&mut self, entry: &[u8]) -> Result<()> {
        self.count += 1;
        let number = self.count;
        let entry = RawDocument::from_bytes(entry).map_err(unreadable)?;
        self.apply(entry).await.map_err(|error| match self.is_named {
            true => error,
            false => error.context(format!("entry {number} of the oplog")),
        })
    }

    /// After the last entry.
    pub async fn finish(mut self) -> Result<()> {
        self.flush().await?;
        self.transactions.finish();
        if self.skipped > 0 {
            coffer_addon::info!("{} entries are of what is not restored: not replayed", self.skipped);
        }
        Ok(())
    }

    async fn apply(&mut self, entry: &RawDocument) -> Result<()> {
        let object = entry.get_document("o").map_err(unreadable)?;
        match entry.get_str("op").map_err(unreadable)? {
            "n" => Ok(()),
            "i" | "u" | "d" => self.document(entry, object).await,
            "c" => self.command(entry, object).await,
            other => Err(Error::Unsupported(format!("it is of a kind ({other}) that this addon does not know"))),
        }
    }

    /// Of a document: waits for more to go together.
    async fn document(&mut self, entry: &RawDocument, object: &RawDocument) -> Result<()> {
        let (database, collection) = split(entry.get_str("ns").map_err(unreadable)?)?;
        if collection == "system.indexes" {
            // How servers up to 3.x made them.
            let (database, collection) = split(object.get_str("ns").map_err(unreadable)?)?;
            if self.is_wanted(database, collection) {
                self.meet((database, collection), without_options(entry), Becomes::MadeHere).await?;
                self.indexes.put(self.parameters.target(database), collection, object.to_owned());
            }
            return Ok(());
        }
        if collection == "system.views" {
            return self.view(database, entry, object).await;
        }
        if !self.is_wanted(database, collection) {
            return Ok(());
        }
        if !matches!(id_of(entry, object), Ok(Some(_))) {
            return Err(Error::Corrupt(format!(
                "it does not say which document of {database}.{collection} it is about: it has no _id"
            )));
        }
        let is_buckets = collection.starts_with(BUCKETS);
        match self.strangers.kind(database, collection) {
            // Servers before 8.3 and those since keep the buckets in different places, and neither knows the other's entries.
            Some(Kind::Timeseries) if !is_buckets || self.client.version().has_raw_series() => {
                return Err(Error::Unsupported(format!(
                    "it was written to time series {database}.{} during the dump, which can be replayed from servers before MongoDB 8.3 \
                     and into such only; leave it out with exclude, or leave the oplog out with replayOplog",
                    logical(collection)
                )));
            }
            // It had gone when the dump listed the collections.
            None if is_buckets => {
                self.skipped += 1;
                return Ok(());
            }
            _ => {}
        }
        self.meet((database, collection), without_options(entry), Becomes::MadeHere).await?;
        let namespace = format!("{}.{collection}", self.parameters.target(database));
        let entry = self.rewritten(entry, &namespace, object)?;
        let size = entry.as_bytes().len();
        if self.waiting.len() >= MOST || self.waiting_bytes + size > MOST_BYTES {
            self.flush().await?;
        }
        self.waiting_bytes += size;
        self.waiting.push((self.count, entry));
        Ok(())
    }

    /// What an entry says to do, without when, where and by whom it was done.
    fn rewritten(&self, entry: &RawDocument, namespace: &str, object: &RawDocument) -> Result<RawDocumentBuf> {
        let mut rewritten = rawdoc! { "op": entry.get_str("op").map_err(unreadable)?, "ns": namespace };
        // Collections have other UUIDs than they had, unless that was asked for.
        if let (true, Ok(Some(uuid))) = (self.parameters.preserve_uuid, entry.get("ui")) {
            rewritten.append(cstr!("ui"), uuid);
        }
        rewritten.append(cstr!("o"), object);
        for (name, value) in entry.iter().flatten() {
            if matches!(name.as_str(), "o2" | "b") {
                rewritten.append(name, value);
            }
        }
        Ok(rewritten)
    }

    async fn command(&mut self, entry: &RawDocument, object: &RawDocument) -> Result<()> {
        let Some(Ok((name, value))) = object.iter().next() else { return Err(unreadable(())) };
        let (database, _) = split(entry.get_str("ns").map_err(unreadable)?)?;
        let command = name.as_str();
        match command {
            "applyOps" | "commitTransaction" | "abortTransaction" => {
                return self.transaction(entry, object, command).await;
            }
            "renameCollection" => return self.rename(entry, object).await,
            // Nothing was made yet, or nothing came of it, or nothing was to be changed.
            "startIndexBuild" | "abortIndexBuild" | "dbCheck" => return Ok(()),
            "dropDatabase" => {
                // Its collections were dropped one by one before.
                if !self.parameters.is_filtered() && fate(database, "") == Fate::Restored {
                    self.indexes.remove_database(self.parameters.target(database));
                }
                return Ok(());
            }
            _ => {}
        }
        let RawBsonRef::String(collection) = value else { return Err(unreadable(())) };
        if !self.is_wanted(database, collection) {
            return Ok(());
        }
        let target = self.parameters.target(database).to_string();
        match command {
            "createIndexes" => {
                self.meet((database, collection), without_options(entry), Becomes::MadeHere).await?;
                let index = object.iter().flatten().skip(1).collect();
                self.indexes.put(&target, logical(collection), index);
                return Ok(());
            }
            "commitIndexBuild" => {
                self.meet((database, collection), without_options(entry), Becomes::MadeHere).await?;
                for index in object.get_array("indexes").map_err(unreadable)? {
                    let RawBsonRef::Document(index) = index.map_err(unreadable)? else { return Err(unreadable(())) };
                    self.indexes.put(&target, logical(collection), index.to_owned());
                }
                return Ok(());
            }
            "dropIndexes" | "dropIndex" | "deleteIndexes" | "deleteIndex" => {
                let index = object.get_str("index").map_err(unreadable)?;
                self.indexes.remove(&target, logical(collection), index);
                return Ok(());
            }
            // Of a collection that had gone when the dump listed them, and may be another one's here.
            "collMod" | "drop" | "convertToCapped" | "emptycapped" if !self.strangers.knows(database, collection) => {
                self.skipped += 1;
                return Ok(());
            }
            "collMod" => {
                if let Ok(change) = object.get_document("index") {
                    self.indexes.modify(&target, logical(collection), change);
                }
                let rest: RawDocumentBuf =
                    object.iter().flatten().filter(|(name, _)| name.as_str() != "index").collect();
                if rest.iter().count() > 1 {
                    self.alone(entry, &target, &rest).await?;
                }
                return Ok(());
            }
            "create" => {
                if collection.starts_with(BUCKETS) && !self.strangers.knows(database, collection) {
                    return Err(Error::Unsupported(format!(
                        "time series {database}.{} was made during the dump, which cannot be replayed; leave it out with exclude, or leave \
                         the oplog out with replayOplog",
                        logical(collection)
                    )));
                }
                let options =
                    object.iter().flatten().filter(|(name, _)| !matches!(name.as_str(), "create" | "idIndex"));
                let made = Made { options: options.collect(), ..without_options(entry) };
                self.meet((database, collection), made, Becomes::Created).await?;
                let has_collation = matches!(object.get("collation"), Ok(Some(_)));
                self.indexes.begin(&target, logical(collection), has_collation);
            }
            "drop" => self.indexes.remove_collection(&target, logical(collection)),
            "convertToCapped" | "emptycapped" => {}
            other => {
                return Err(Error::Unsupported(format!(
                    "it is the command {other} on {database}.{collection}, which cannot be replayed"
                )));
            }
        }
        self.alone(entry, &target, object).await
    }

    /// A command, behind all that waits.
    async fn alone(&mut self, entry: &RawDocument, target: &str, object: &RawDocument) -> Result<()> {
        let entry = self.rewritten(entry, &format!("{target}.$cmd"), object)?;
        self.flush().await?;
        self.waiting.push((self.count, entry));
        self.flush().await
    }

    async fn rename(&mut self, entry: &RawDocument, object: &RawDocument) -> Result<()> {
        let from = split(object.get_str("renameCollection").map_err(unreadable)?)?;
        let to = split(object.get_str("to").map_err(unreadable)?)?;
        match (self.is_wanted(from.0, from.1), self.is_wanted(to.0, to.1)) {
            (true, true) => {}
            (false, false) => return Ok(()),
            _ => {
                return Err(Error::Unsupported(format!(
                    "{}.{} became {}.{}, and only one of them is restored; restore both, or leave the oplog out with replayOplog",
                    from.0, from.1, to.0, to.1
                )));
            }
        }
        if !self.strangers.knows(from.0, from.1) {
            return Err(Error::Unsupported(format!(
                "{}.{} became {}.{}, and the dump does not have it; leave both out with exclude, or leave the oplog out with replayOplog",
                from.0, from.1, to.0, to.1
            )));
        }
        self.meet(to, without_options(entry), Becomes::Renamed).await?;
        let (old, new) = (self.parameters.target(from.0).to_string(), self.parameters.target(to.0).to_string());
        let mut renamed = rawdoc! { "renameCollection": format!("{old}.{}", from.1), "to": format!("{new}.{}", to.1) };
        for (name, value) in object.iter().flatten() {
            match name.as_str() {
                "stayTemp" => renamed.append(name, value),
                // The UUID of what it replaced, which is another here.
                "dropTarget" => renamed.append(name, !matches!(value, RawBsonRef::Boolean(false))),
                _ => {}
            }
        }
        self.indexes.rename((&old, from.1), (&new, to.1));
        self.alone(entry, &old, &renamed).await
    }

    async fn transaction(&mut self, entry: &RawDocument, object: &RawDocument, command: &str) -> Result<()> {
        let is_true = |name: &str| object.get(name).ok().flatten().is_some_and(super::definition::is_true);
        let key = transactions::key(entry);
        let Some(key) = key else {
            return if command == "applyOps" { self.nested(object).await } else { Err(unreadable(())) };
        };
        if command == "abortTransaction" {
            self.transactions.release(&key);
            return Ok(());
        }
        if command == "applyOps" {
            self.transactions.check_begin(entry, &key)?;
            if is_true("partialTxn") || is_true("prepare") {
                self.transactions.hold(key, object)?;
                return Ok(());
            }
        }
        for held in self.transactions.release(&key) {
            self.nested(&held).await?;
        }
        if command == "applyOps" { self.nested(object).await } else { Ok(()) }
    }

    async fn nested(&mut self, object: &RawDocument) -> Result<()> {
        for inner in object.get_array("applyOps").map_err(unreadable)? {
            let RawBsonRef::Document(inner) = inner.map_err(unreadable)? else { return Err(unreadable(())) };
            Box::pin(self.apply(inner)).await?;
        }
        Ok(())
    }

    pub(super) fn is_wanted(&mut self, database: &str, collection: &str) -> bool {
        let is_wanted =
            fate(database, collection) == Fate::Restored && self.parameters.selects(database, logical(collection));
        self.skipped += u64::from(!is_wanted);
        is_wanted
    }

    /// Before anything of a collection is applied that the dump may not have.
    pub(super) async fn meet(&mut self, name: (&str, &str), made: Made, becomes: Becomes) -> Result<()> {
        let name = (name.0, logical(name.1));
        if self.strangers.knows(name.0, name.1) {
            return Ok(());
        }
        self.strangers.meet(self.client, self.parameters, name, made, becomes).await
    }

    /// Applies what waits.
    pub(super) async fn flush(&mut self) -> Result<()> {
        let entries = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let (Some((first, _)), Some((last, _))) = (entries.first(), entries.last()) else { return Ok(()) };
        let numbers = match last - first {
            0 => format!("entry {first} of the oplog"),
            _ => format!("entries {first} to {last} of the oplog"),
        };
        let outcome = self.send(&entries).await;
        self.is_named = outcome.is_err();
        outcome.context(|| numbers)
    }

    async fn send(&mut self, entries: &[(u64, RawDocumentBuf)]) -> Result<()> {
        if !self.is_plain {
            let array: RawArrayBuf = entries.iter().map(|(_, entry)| entry.as_ref() as &RawDocument).collect();
            let mut command = rawdoc! { "applyOps": array };
            append_concern(&mut command, self.client.hello());
            match self.client.try_run("admin", command).await? {
                Ok(reply) => {
                    check_applied(&reply)?;
                    return check_concern(&reply);
                }
                Err(error) if matches!(error.code, code::COMMAND_NOT_FOUND | code::COMMAND_NOT_SUPPORTED) => {
                    coffer_addon::info!("the server has no applyOps: the oplog is replayed by ordinary writes");
                    self.is_plain = true;
                }
                Err(error) => return Err(error.during("applyOps")),
            }
        }
        for (number, entry) in entries {
            plain::apply(self.client, entry).await.context(|| format!("entry {number}"))?;
        }
        Ok(())
    }
}
