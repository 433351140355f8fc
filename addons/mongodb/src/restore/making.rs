//! Making collections and views, and seeing that the server made what it was told to.

use super::concern::{append_concern, check_concern};
use super::definition::{Definition, Made, is_true};
use super::parameters::Restore;
use super::there::{There, drop_collection, look};
use crate::client::Client;
use crate::layout::Kind;
use bson::raw::{RawDocumentBuf, cstr};
use bson::spec::BinarySubtype;
use bson::{Binary, rawdoc};
use coffer_addon::{Context as _, Error, Result, omitted};
use std::collections::BTreeMap;

/// Options that are none of a collection: of storage engines that are gone, or of the command that made it. A collection
/// without an index on `_id`, which is what `autoIndexId` is about, no server makes any more.
pub const NO_OPTIONS: [&str; 7] =
    ["create", "autoIndexId", "temp", "flags", "paddingFactor", "usePowerOf2Sizes", "uuid"];

/// Makes all of these, in their order. Where one cannot be made, or the server makes it otherwise, those that were made go
/// again: they are empty, and would be in the way of the next attempt.
pub async fn make_all(client: &mut Client, parameters: &Restore, definitions: &[&Definition]) -> Result<()> {
    let mut made = Vec::new();
    let outcome = async {
        for definition in definitions {
            make(client, parameters, definition).await?;
            made.push(definition);
        }
        accept(parameters, ignored(client, definitions).await?)
    };
    let outcome = outcome.await;
    if outcome.is_err() {
        for definition in made.iter().rev() {
            if let Err(error) = drop_collection(client, definition).await {
                coffer_addon::warn!("{} was made and is left behind, empty: {error}", definition.namespace());
                break;
            }
        }
    }
    outcome
}

/// The options that the collection is made with.
pub fn options(made: &Made) -> Result<RawDocumentBuf> {
    let mut options = RawDocumentBuf::new();
    for field in &made.options {
        let (name, value) = field.map_err(|_| Error::Corrupt("an option cannot be read".into()))?;
        if !NO_OPTIONS.contains(&name.as_str()) {
            options.append(name, value);
        }
    }
    Ok(options)
}

pub async fn make(client: &mut Client, parameters: &Restore, definition: &Definition) -> Result<()> {
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
            super::entries::check_applied(&reply).context(failed)?;
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

/// An option that the server did not take, and whose it is.
pub struct Ignored {
    pub option: String,
    pub namespace: String,
}

/// What the server made otherwise than it was told to: it may take an option for one that it does not know, and say nothing.
pub async fn ignored(client: &mut Client, definitions: &[&Definition]) -> Result<Vec<Ignored>> {
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
                ignored.push(Ignored { option: name.as_str().into(), namespace: definition.namespace() });
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
    Ok(ignored)
}

/// Whether the restore may go on without these.
pub fn accept(parameters: &Restore, ignored: Vec<Ignored>) -> Result<()> {
    if ignored.is_empty() {
        return Ok(());
    }
    let names = omitted::line(ignored.iter().map(|Ignored { option, namespace }| format!("{option} of {namespace}")));
    if !parameters.allow_unsupported {
        return Err(Error::Unsupported(format!(
            "the server ignores options: {names}; restore into one that knows them, leave them out with exclude, or set allowUnsupported"
        )));
    }
    coffer_addon::warn!("NOT RESTORED: {names}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
