//! The server that is restored into: what is there already, whether it may stay, must go or stops the restore, and making
//! what is not there.

use super::definition::{Definition, is_true};
use super::load::append_concern;
use super::parameters::Restore;
use super::standing;
use crate::client::{Client, ServerError, code};
use crate::layout::{BUCKETS, Kind};
use bson::raw::{RawDocument, RawDocumentBuf, cstr};
use bson::spec::BinarySubtype;
use bson::{Binary, rawdoc};
use coffer_addon::{Context as _, Error, Result, omitted};
use std::collections::{BTreeMap, BTreeSet};

/// Options that are none of a collection: of storage engines that are gone, or of the command that made it. A collection
/// without an index on `_id`, which is what `autoIndexId` is about, no server makes any more.
const NO_OPTIONS: [&str; 7] = ["create", "autoIndexId", "temp", "flags", "paddingFactor", "usePowerOf2Sizes", "uuid"];

/// From this version on the buckets of time series are in no collection of their own.
const WITHOUT_BUCKETS: u32 = 80_300;

/// A collection on the server.
#[derive(Clone, Debug)]
struct There {
    kind: Kind,
    options: RawDocumentBuf,
}

/// What to do about a collection of the dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Make,
    DropFirst,
    /// Those of the server's collections that cannot be dropped.
    EmptyFirst,
    Use,
}

/// The collections on the server, as they were when they were first asked for.
#[derive(Default)]
pub struct Target {
    databases: BTreeMap<String, BTreeMap<String, There>>,
    /// Those of the dump so far.
    named: BTreeSet<String>,
}

impl Target {
    /// Looks at everything that could stand in the way of these; changes nothing. Then drops what has to go and makes what
    /// is not there, but for views, which need what they read from.
    pub async fn prepare(
        &mut self,
        client: &mut Client,
        parameters: &Restore,
        definitions: impl Iterator<Item = &Definition> + Clone,
    ) -> Result<()> {
        let mut decisions = Vec::new();
        for definition in definitions {
            if !self.named.insert(definition.namespace()) {
                return Err(Error::Corrupt(format!("the dump has {} twice", definition.namespace())));
            }
            decisions.push((definition, self.decide(client, parameters, definition).await?));
        }
        for (definition, decision) in &decisions {
            if *decision == Decision::DropFirst {
                drop_collection(client, definition).await?;
            } else if *decision == Decision::EmptyFirst {
                empty(client, definition).await?;
            }
        }
        let made = decisions.iter().filter(|(definition, decision)| {
            matches!(decision, Decision::Make | Decision::DropFirst) && definition.kind != Kind::View
        });
        let made: Vec<&Definition> = made.map(|(definition, _)| *definition).collect();
        for definition in &made {
            make(client, parameters, definition).await?;
        }
        check_made(client, parameters, &made).await
    }

    /// Views, once all that they may read from is there.
    pub async fn views(
        &mut self,
        client: &mut Client,
        parameters: &Restore,
        definitions: impl Iterator<Item = &Definition>,
    ) -> Result<()> {
        let views: Vec<&Definition> = definitions.filter(|definition| definition.kind == Kind::View).collect();
        for view in &views {
            make(client, parameters, view).await?;
        }
        check_made(client, parameters, &views).await
    }

    async fn decide(&mut self, client: &mut Client, parameters: &Restore, definition: &Definition) -> Result<Decision> {
        let name = definition.namespace();
        let version = client.version();
        if definition.kind == Kind::Timeseries && !version.is_ferretdb() && version.is_since(WITHOUT_BUCKETS) {
            return Err(Error::Unsupported(format!(
                "{name} is a time series, and {version} has no collection {} to put the dump's documents into, as servers before 8.3 \
                 do; leave it out with exclude, or restore into one of those",
                definition.data()
            )));
        }
        if !self.databases.contains_key(&definition.target) {
            let there = look(client, &definition.target).await?;
            self.databases.insert(definition.target.clone(), there);
        }
        let there = self.databases.get(&definition.target).and_then(|database| database.get(&definition.name));
        let Some(there) = there else {
            return match &definition.made {
                Some(_) => Ok(Decision::Make),
                None => Err(Error::InvalidParameter(format!(
                    "{name} is not there, and the dump has documents alone; restore a dump of its schema first"
                ))),
            };
        };
        let Some(made) = &definition.made else {
            if is_filled(client, definition).await? {
                return Err(Error::InvalidParameter(format!(
                    "{name} is not empty, and the dump has documents alone; empty it first, or restore elsewhere with rename"
                )));
            }
            return Ok(Decision::Use);
        };
        if parameters.drop {
            return Ok(if definition.is_system() { Decision::EmptyFirst } else { Decision::DropFirst });
        }
        let remedy = "set drop to replace it, or restore elsewhere with rename";
        if there.kind == Kind::View || there.kind != definition.kind {
            let kind = match there.kind {
                Kind::View => "view",
                Kind::Timeseries => "time series",
                Kind::Collection => "collection",
            };
            return Err(Error::InvalidParameter(format!("there is a {kind} {name} already; {remedy}")));
        }
        if is_filled(client, definition).await? {
            return Err(Error::InvalidParameter(format!("{name} is not empty; {remedy}")));
        }
        let wanted = options(made)?;
        if !is_same(&there.options, &wanted) || parameters.preserve_uuid {
            return Err(Error::InvalidParameter(format!(
                "{name} is there, empty, but not made as the dump's was; {remedy}"
            )));
        }
        // Those of time series refuse and remove no buckets.
        if definition.kind == Kind::Collection {
            let others = standing::other_indexes(client, definition, made).await?;
            if !others.is_empty() {
                return Err(Error::InvalidParameter(format!(
                    "{name} is there, empty, but has indexes that the dump's has not: {}; {remedy}",
                    omitted::line(&others)
                )));
            }
        }
        Ok(Decision::Use)
    }
}

async fn look(client: &mut Client, database: &str) -> Result<BTreeMap<String, There>> {
    let mut there = BTreeMap::new();
    let mut cursor = client.query(database, rawdoc! { "listCollections": 1 }).await?;
    while let Some(collection) = cursor.next().await? {
        let name = collection.get_str("name").map_err(|_| Error::Corrupt("a collection without a name".into()))?;
        let kind = match collection.get_str("type") {
            Ok("view") => Kind::View,
            Ok("timeseries") => Kind::Timeseries,
            _ => Kind::Collection,
        };
        let options = collection.get_document("options").map(RawDocument::to_owned).unwrap_or_default();
        there.insert(name.to_string(), There { kind, options });
    }
    Ok(there)
}

async fn is_filled(client: &mut Client, definition: &Definition) -> Result<bool> {
    let find =
        rawdoc! { "find": definition.name.as_str(), "projection": { "_id": 1 }, "limit": 1, "singleBatch": true };
    let mut cursor = client.query(&definition.target, find).await?;
    let is_filled = cursor.next().await?.is_some();
    cursor.close().await?;
    Ok(is_filled)
}

/// Whether both have the same fields. An option that was never given may stand there with its empty value.
fn is_same(there: &RawDocument, wanted: &RawDocument) -> bool {
    let within = |one: &RawDocument, other: &RawDocument| {
        one.iter().all(|field| {
            let Ok((name, value)) = field else { return false };
            NO_OPTIONS.contains(&name.as_str()) || other.get(name.as_str()).is_ok_and(|found| found == Some(value))
        })
    };
    within(there, wanted) && within(wanted, there)
}

async fn drop_collection(client: &mut Client, definition: &Definition) -> Result<()> {
    let mut command = rawdoc! { "drop": definition.name.as_str() };
    append_concern(&mut command, client.hello());
    let failed = || format!("unable to drop {}", definition.namespace());
    match client.try_run(&definition.target, command).await? {
        Err(error) if error.code != code::NAMESPACE_NOT_FOUND => Err(error.during("drop").context(failed())),
        Ok(reply) => check_concern(&reply).context(failed),
        Err(_) => Ok(()),
    }
}

async fn empty(client: &mut Client, definition: &Definition) -> Result<()> {
    let mut command = rawdoc! { "delete": definition.name.as_str(), "deletes": [{ "q": {}, "limit": 0 }] };
    append_concern(&mut command, client.hello());
    let failed = || format!("unable to empty {}", definition.namespace());
    let reply = client.run(&definition.target, command).await.context(failed)?;
    if matches!(reply.get("writeErrors"), Ok(Some(_))) {
        return Err(Error::Failed(format!("{}: the server refuses", failed())));
    }
    check_concern(&reply).context(failed)
}

/// A reply may say that a thing was done, but not as safely as was asked for.
pub fn check_concern(reply: &RawDocument) -> Result<()> {
    match reply.get_document("writeConcernError") {
        Ok(error) => Err(ServerError::read(error)
            .during("a command")
            .context("it is done, but not acknowledged by a majority of the members")),
        Err(_) => Ok(()),
    }
}

/// The options that the collection is made with.
fn options(made: &super::definition::Made) -> Result<RawDocumentBuf> {
    let mut options = RawDocumentBuf::new();
    for field in &made.options {
        let (name, value) = field.map_err(|_| Error::Corrupt("an option cannot be read".into()))?;
        if !NO_OPTIONS.contains(&name.as_str()) {
            options.append(name, value);
        }
    }
    Ok(options)
}

async fn make(client: &mut Client, parameters: &Restore, definition: &Definition) -> Result<()> {
    let Some(made) = &definition.made else { return Ok(()) };
    let failed = || format!("unable to make {}", definition.namespace());
    let mut create = rawdoc! { "create": definition.name.as_str() };
    for field in &options(made)? {
        let (name, value) = field.map_err(|_| Error::Corrupt("an option cannot be read".into()))?;
        create.append(name, value);
    }
    let uuid = made.uuid.filter(|_| parameters.preserve_uuid && definition.kind == Kind::Collection);
    let reply = match uuid {
        None => {
            append_concern(&mut create, client.hello());
            client.run(&definition.target, create).await.context(failed)?
        }
        Some(uuid) => {
            let is_clustered = definition
                .option("clusteredIndex")
                .is_some_and(|index| index.as_document().is_some() || is_true(index));
            if !is_clustered {
                create.append(cstr!("idIndex"), id_index(&made.indexes));
            }
            let ui = Binary { subtype: BinarySubtype::Uuid, bytes: uuid.to_vec() };
            let namespace = format!("{}.$cmd", definition.target);
            let mut command = rawdoc! { "applyOps": [{ "op": "c", "ns": namespace, "ui": ui, "o": create }] };
            append_concern(&mut command, client.hello());
            let reply =
                client.run("admin", command).await.context(failed).context(
                    || "preserveUuid takes a server that has applyOps (no mongos) and a user who may run it",
                )?;
            super::oplog::check_applied(&reply).context(failed)?;
            reply
        }
    };
    check_concern(&reply).context(failed)
}

/// An entry of the oplog says how the index on `_id` is made, unlike a command.
fn id_index(indexes: &[RawDocumentBuf]) -> RawDocumentBuf {
    let found = indexes.iter().find(|index| index.get_str("name").is_ok_and(|name| name == "_id_"));
    let Some(found) = found else { return rawdoc! { "v": 2, "key": { "_id": 1 }, "name": "_id_" } };
    let mut index = RawDocumentBuf::new();
    for (name, value) in found.iter().flatten().filter(|(name, _)| name.as_str() != "ns") {
        index.append(name, value);
    }
    index
}

/// A server may take an option for one that it does not know, and say nothing.
async fn check_made(client: &mut Client, parameters: &Restore, definitions: &[&Definition]) -> Result<()> {
    let mut there: BTreeMap<&str, BTreeMap<String, There>> = BTreeMap::new();
    let mut ignored = Vec::new();
    for definition in definitions {
        let Some(made) = &definition.made else { continue };
        if !there.contains_key(definition.target.as_str()) {
            there.insert(&definition.target, look(client, &definition.target).await?);
        }
        let found = there.get(definition.target.as_str()).and_then(|database| database.get(&definition.name));
        let Some(found) = found else {
            return Err(Error::Failed(format!("{} is not there after it was made", definition.namespace())));
        };
        for (name, value) in options(made)?.iter().flatten() {
            let is_default = !is_true(value) && value.as_bool().is_some();
            if !is_default && !matches!(found.options.get(name.as_str()), Ok(Some(_))) {
                ignored.push(format!("{} of {}", name.as_str(), definition.namespace()));
            }
        }
        if definition.kind == Kind::View && found.kind != Kind::View {
            // It would be a collection in a view's place.
            drop_collection(client, definition).await?;
        }
        if definition.kind == Kind::Timeseries && found.kind != Kind::Timeseries {
            return Err(Error::Unsupported(format!(
                "{} is a time series, which this server does not make; leave it out with exclude",
                definition.namespace()
            )));
        }
    }
    if ignored.is_empty() {
        return Ok(());
    }
    let names = omitted::line(&ignored);
    if !parameters.allow_unsupported {
        return Err(Error::Unsupported(format!(
            "the server ignores options: {names}; restore into one that knows them, leave them out with exclude, or set allowUnsupported"
        )));
    }
    coffer_addon::warn!("NOT RESTORED: {names}");
    Ok(())
}

/// The name of the collection that a name in the oplog is about: a time series' buckets are the time series'.
pub fn logical(collection: &str) -> &str {
    collection.strip_prefix(BUCKETS).unwrap_or(collection)
}

#[cfg(test)]
mod tests {
    use super::super::definition::Made;
    use super::*;

    #[test]
    fn options_that_mean_nothing_are_left_out() {
        let made = Made {
            options: rawdoc! { "create": "c", "capped": true, "size": 4096, "autoIndexId": false, "flags": 1 },
            indexes: Vec::new(),
            uuid: None,
        };
        let kept = options(&made).expect("readable");
        assert_eq!(kept, rawdoc! { "capped": true, "size": 4096 });
        assert!(is_same(&rawdoc! { "size": 4096, "capped": true, "uuid": "x" }, &kept));
        assert!(!is_same(&rawdoc! { "capped": true }, &kept) && !is_same(&kept, &rawdoc! {}));
    }

    #[test]
    fn the_index_on_id_is_the_dumps() {
        let plain = rawdoc! { "v": 2, "key": { "_id": 1 }, "name": "_id_" };
        assert_eq!(id_index(&[]), plain);
        let other =
            rawdoc! { "v": 1, "key": { "_id": 1 }, "name": "_id_", "ns": "a.b", "collation": { "locale": "fr" } };
        let wanted = rawdoc! { "v": 1, "key": { "_id": 1 }, "name": "_id_", "collation": { "locale": "fr" } };
        assert_eq!(id_index(&[rawdoc! { "name": "x" }, other]), wanted);
    }
}
