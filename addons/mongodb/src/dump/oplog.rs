//! What was written while documents were read: the oplog's entries of that time, as the server has them.

use super::point::{self, OPLOG, namespace, replayed};
use super::sessions::patient;
use crate::catalog;
use crate::client::Client;
use crate::layout::{self, Data, Timestamp};
use bson::raw::{RawBsonRef, RawDocument};
use bson::rawdoc;
use coffer_addon::{ArtifactWriter, Error, Outbox, Result};
use std::collections::BTreeSet;

/// Which collections the entries are about.
#[derive(Debug, Default)]
pub struct Written {
    collections: BTreeSet<String>,
    /// Of some it is not told: transactions, and what is no plain write.
    others: bool,
}

impl Written {
    /// Whether something may have been written to a collection.
    pub fn is_to(&self, namespace: &str) -> bool {
        self.others || self.collections.contains(namespace)
    }

    /// Those that are told.
    pub fn collections(&self) -> impl Iterator<Item = &str> {
        self.collections.iter().map(String::as_str)
    }

    fn add(&mut self, entry: &RawDocument) {
        match entry.get_str("op") {
            Ok("i" | "u" | "d") => {
                let namespace = namespace(entry);
                if !self.collections.contains(namespace) {
                    self.collections.insert(namespace.into());
                }
            }
            Ok("n") => {}
            _ => self.others = true,
        }
    }
}

/// What [`dump`] found.
pub struct Window {
    pub data: Data,
    /// The newest entry's time.
    pub end: Timestamp,
    pub written: Written,
}

/// Writes the entries from `start` on, to the newest one.
pub async fn dump(client: &mut Client, outbox: &Outbox, start: Timestamp) -> Result<Window> {
    // An entry is there before anybody can read what it tells of. Nothing of it may be undone afterwards.
    let end = point::newest(client).await??;
    point::settled(client, end).await?;
    point::check_oplog(client, start).await?;
    let mut writer = outbox.file(layout::OPLOG).label("mediaType", "application/bson").open();
    let (data, written) = match copy(client, &mut writer, (start, end)).await {
        Ok(copied) => copied,
        Err(error) => return Err(writer.fail(error.context("unable to dump the oplog")).await),
    };
    // Before the entries are said to be whole: those that were read first may have gone meanwhile, unread.
    if let Err(error) = point::check_oplog(client, start).await {
        return Err(writer.fail(error).await);
    }
    writer.finish().await?;
    Ok(Window { data, end, written })
}

async fn copy(
    client: &mut Client,
    writer: &mut ArtifactWriter,
    (start, end): (Timestamp, Timestamp),
) -> Result<(Data, Written)> {
    let (mut data, mut written) = (Data::new(layout::OPLOG.into()), Written::default());
    let span = rawdoc! { "$gte": bson::Timestamp::from(start), "$lte": bson::Timestamp::from(end) };
    let mut command = rawdoc! { "find": OPLOG.1, "filter": { "ts": span } };
    patient(client, &mut command);
    replayed(client, &mut command);
    let mut cursor = client.query(OPLOG.0, command).await?;
    while let Some(batch) = cursor.next_batch().await? {
        for bytes in batch.documents() {
            let entry = RawDocument::from_bytes(bytes).map_err(|_| Error::Corrupt("an entry is no document".into()))?;
            refuse(entry)?;
            if belongs(entry) {
                written.add(entry);
                data.add(bytes);
                writer.write(bytes).await?;
            }
        }
    }
    Ok((data, written))
}

/// What no replay can do rightly on documents that were read before, during or after it.
fn refuse(entry: &RawDocument) -> Result<()> {
    let namespace = namespace(entry);
    let Ok(done) = entry.get_document("o") else { return Ok(()) };
    if let Ok(operations) = done.get_array("applyOps") {
        for operation in operations.into_iter().flatten() {
            operation.as_document().map_or(Ok(()), refuse)?;
        }
    }
    let operation = entry.get_str("op").unwrap_or_default();
    if namespace == "admin.system.version" && operation != "n" {
        return Err(refused("the server's feature compatibility or the version of its users was changed"));
    }
    if operation != "c" {
        return Ok(());
    }
    if let Ok(Some(renamed)) = done.get("renameCollection") {
        let (from, to) = (renamed.as_str().unwrap_or(namespace), done.get_str("to").unwrap_or("another name"));
        return Err(refused(&format!(
            "collection {from} was renamed to {to} (by renameCollection, $out or mapReduce)"
        )));
    }
    if let Ok(Some(RawBsonRef::String(imported))) = done.get("importCollection") {
        return Err(refused(&format!("collection {imported} was imported")));
    }
    let created = done.get_str("create").unwrap_or_default();
    if namespace.starts_with("config.")
        && (created == "reshardingOperations" || created.starts_with("localReshardingOperations."))
    {
        return Err(refused("a collection was resharded"));
    }
    Ok(())
}

fn refused(what: &str) -> Error {
    Error::Failed(format!(
        "{what} during the dump, which cannot be replayed from the oplog; run the dump again when nobody does that, or set \
         consistency to `snapshot`"
    ))
}

/// Whether an entry is about what is in the dump: not about the server's own databases. Transactions may be about several at
/// once.
fn belongs(entry: &RawDocument) -> bool {
    let database = namespace(entry).split_once('.').map_or("", |(database, _)| database);
    !catalog::OWN.contains(&database) || is_transaction(entry)
}

fn is_transaction(entry: &RawDocument) -> bool {
    let Ok(done) = entry.get_document("o") else { return false };
    let has = |key: &str| matches!(done.get(key), Ok(Some(_)));
    ["applyOps", "commitTransaction", "abortTransaction"].into_iter().any(has)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::raw::RawDocumentBuf;

    #[test]
    fn what_cannot_be_replayed_is_refused_by_name() {
        let rename = rawdoc! { "op": "c", "ns": "shop.$cmd", "o": { "renameCollection": "shop.a", "to": "shop.b" } };
        let error = refuse(&rename).expect_err("refused");
        assert!(error.message().contains("shop.a was renamed to shop.b"), "{error}");
        let nested = rawdoc! { "op": "c", "ns": "admin.$cmd", "o": { "applyOps": [rename] } };
        assert!(refuse(&nested).is_err());
        let version = rawdoc! { "op": "u", "ns": "admin.system.version", "o": { "version": "8.0" } };
        assert!(refuse(&version).is_err());
        for fine in [
            rawdoc! { "op": "i", "ns": "shop.a", "o": { "renameCollection": "x", "_id": 1 } },
            rawdoc! { "op": "c", "ns": "shop.$cmd", "o": { "drop": "a" } },
            rawdoc! { "op": "n", "ns": "", "o": { "msg": "periodic noop" } },
        ] {
            assert_eq!(refuse(&fine), Ok(()));
        }
    }

    #[test]
    fn entries_of_the_servers_own_databases_stay_out() {
        let about = |namespace: &str, done: RawDocumentBuf| belongs(&rawdoc! { "ns": namespace, "o": done });
        let nothing = || rawdoc! { "_id": 1 };
        assert!(about("shop.orders", nothing()));
        assert!(about("", nothing()));
        assert!(!about("config.system.sessions", nothing()));
        assert!(!about("admin.system.users", nothing()));
        assert!(about("admin.$cmd", rawdoc! { "applyOps": [] }));
    }
}
