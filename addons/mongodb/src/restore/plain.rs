//! Entries of an oplog as ordinary writes, for servers that have no `applyOps`.

use super::concern::{append_concern, check_concern};
use super::entries::{split, unreadable};
use crate::client::{Client, code};
use bson::raw::{RawDocument, RawDocumentBuf};
use bson::rawdoc;
use coffer_addon::{Error, Result};

/// Applies one. As with `applyOps`, what is done already is no error.
pub async fn apply(client: &mut Client, entry: &RawDocument) -> Result<()> {
    let (database, collection) = split(entry.get_str("ns").map_err(unreadable)?)?;
    let mut command = command(entry, collection)?;
    append_concern(&mut command, client.hello());
    let reply = match client.try_run(database, command).await? {
        Ok(reply) => reply,
        // An entry of a time when the collection was not yet, or no longer, as it is in the dump.
        Err(error) if is_done(entry, error.code) => return Ok(()),
        Err(error) => return Err(error.during("a write").context(format!("{database}.{collection}"))),
    };
    if matches!(reply.get("writeErrors"), Ok(Some(_))) {
        return Err(Error::Failed(format!("the server does not take a write to {database}.{collection}")));
    }
    check_concern(&reply)
}

/// Whether the server refuses to make what is there, or to drop what is not.
fn is_done(entry: &RawDocument, code: i32) -> bool {
    let is = |name: &str| entry.get_document("o").is_ok_and(|object| matches!(object.get(name), Ok(Some(_))));
    let is_command = entry.get_str("op").is_ok_and(|op| op == "c");
    is_command
        && ((is("create") && code == code::NAMESPACE_EXISTS) || (is("drop") && code == code::NAMESPACE_NOT_FOUND))
}

fn command(entry: &RawDocument, collection: &str) -> Result<RawDocumentBuf> {
    let namespace = entry.get_str("ns").map_err(unreadable)?;
    let object = entry.get_document("o").map_err(unreadable)?;
    let update = |id: &RawDocument, object: &RawDocument| -> Result<RawDocumentBuf> {
        let id = id.get("_id").ok().flatten().ok_or_else(|| unreadable(()))?;
        Ok(
            rawdoc! { "update": collection, "updates": [{ "q": { "_id": { "$eq": id } }, "u": object.to_owned(), "upsert": true }] },
        )
    };
    match entry.get_str("op").map_err(unreadable)? {
        "i" => update(object, object),
        "u" => {
            if matches!(object.get("diff"), Ok(Some(_))) {
                return Err(Error::Unsupported(format!(
                    "it changes parts of a document of {namespace} in a way that takes applyOps ($v: 2), which the server has not; leave the \
                     oplog out with replayOplog, or restore into a server that has it"
                )));
            }
            let changes: RawDocumentBuf = object.iter().flatten().filter(|(name, _)| name.as_str() != "$v").collect();
            update(entry.get_document("o2").map_err(unreadable)?, &changes)
        }
        "d" => {
            let id = object.get("_id").ok().flatten().ok_or_else(|| unreadable(()))?;
            Ok(rawdoc! { "delete": collection, "deletes": [{ "q": { "_id": { "$eq": id } }, "limit": 1 }] })
        }
        _ => match object.iter().next() {
            Some(Ok((name, _))) if matches!(name.as_str(), "create" | "drop" | "collMod") => {
                Ok(object.iter().flatten().filter(|(name, _)| name.as_str() != "idIndex").collect())
            }
            _ => Err(Error::Unsupported(format!(
                "it is a command on {namespace} that takes applyOps, which the server has not; leave the oplog out with replayOplog, or \
                 restore into a server that has it"
            ))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_write() {
        let id = rawdoc! { "_id": { "$eq": 1 } };
        for (entry, wanted) in [
            (
                rawdoc! { "op": "i", "ns": "d.c", "o": { "_id": 1, "a": 2 } },
                rawdoc! { "update": "c", "updates": [{ "q": id.clone(), "u": { "_id": 1, "a": 2 }, "upsert": true }] },
            ),
            (
                rawdoc! { "op": "u", "ns": "d.c", "o": { "$v": 1, "$set": { "a": 3 } }, "o2": { "_id": 1 } },
                rawdoc! { "update": "c", "updates": [{ "q": id.clone(), "u": { "$set": { "a": 3 } }, "upsert": true }] },
            ),
            (
                rawdoc! { "op": "d", "ns": "d.c", "o": { "_id": 1 } },
                rawdoc! { "delete": "c", "deletes": [{ "q": id.clone(), "limit": 1 }] },
            ),
            (
                rawdoc! { "op": "c", "ns": "d.$cmd", "o": { "create": "c", "idIndex": { "v": 2 } } },
                rawdoc! { "create": "c" },
            ),
        ] {
            assert_eq!(command(&entry, "c"), Ok(wanted));
        }
        for entry in [
            rawdoc! { "op": "u", "ns": "d.c", "o": { "$v": 2, "diff": { "u": { "a": 1 } } }, "o2": { "_id": 1 } },
            rawdoc! { "op": "c", "ns": "d.$cmd", "o": { "convertToCapped": "c" } },
        ] {
            assert!(matches!(command(&entry, "c"), Err(Error::Unsupported(_))));
        }
    }
}
