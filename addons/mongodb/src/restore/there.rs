//! Collections on the server: looked at, dropped, emptied.

use super::concern::{append_concern, check_concern};
use super::definition::Definition;
use crate::client::{Client, code};
use crate::layout::{BUCKETS, Kind};
use bson::raw::{RawDocument, RawDocumentBuf};
use bson::rawdoc;
use coffer_addon::{Context as _, Error, Result};
use std::collections::BTreeMap;

/// A collection on the server.
#[derive(Clone, Debug)]
pub struct There {
    pub kind: Kind,
    pub options: RawDocumentBuf,
}

/// All of a database, by name.
pub async fn look(client: &mut Client, database: &str) -> Result<BTreeMap<String, There>> {
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

pub async fn is_filled(client: &mut Client, definition: &Definition) -> Result<bool> {
    let find =
        rawdoc! { "find": definition.name.as_str(), "projection": { "_id": 1 }, "limit": 1, "singleBatch": true };
    let mut cursor = client.query(&definition.target, find).await?;
    let is_filled = cursor.next().await?.is_some();
    cursor.close().await?;
    Ok(is_filled)
}

pub async fn drop_collection(client: &mut Client, definition: &Definition) -> Result<()> {
    let mut command = rawdoc! { "drop": definition.name.as_str() };
    append_concern(&mut command, client.hello());
    let failed = || format!("unable to drop {}", definition.namespace());
    match client.try_run(&definition.target, command).await? {
        Err(error) if error.code != code::NAMESPACE_NOT_FOUND => Err(error.during("drop").context(failed())),
        Ok(reply) => check_concern(&reply).context(failed),
        Err(_) => Ok(()),
    }
}

pub async fn empty(client: &mut Client, definition: &Definition) -> Result<()> {
    let mut command = rawdoc! { "delete": definition.name.as_str(), "deletes": [{ "q": {}, "limit": 0 }] };
    append_concern(&mut command, client.hello());
    let failed = || format!("unable to empty {}", definition.namespace());
    let reply = client.run(&definition.target, command).await.context(failed)?;
    if matches!(reply.get("writeErrors"), Ok(Some(_))) {
        return Err(Error::Failed(format!("{}: the server refuses", failed())));
    }
    check_concern(&reply).context(failed)
}

/// The name of the collection that a name in the oplog is about: a time series' buckets are the time series'.
pub fn logical(collection: &str) -> &str {
    collection.strip_prefix(BUCKETS).unwrap_or(collection)
}
