//! Timestamps of zeros. A server takes such a field of a document for "now" when the document is inserted, though not when
//! a field is set. So a document that has one is looked at after its insert and, where it is another than it was, put right.

use crate::client::{Client, Version};
use bson::raw::{RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf, cstr};
use bson::rawdoc;
use coffer_addon::{Error, Result};

/// From this version on an update may be a pipeline, in which values can be literal.
const PIPELINES: u32 = 40_200;

/// Sees to it that the server has `document`, which it was just given, as it is. `bytes` begin with it.
pub async fn keep(client: &mut Client, database: &str, collection: &str, bytes: &[u8]) -> Result<()> {
    let unreadable = || Error::Corrupt("a document cannot be read".into());
    let length = super::documents::length(bytes).and_then(|length| usize::try_from(length).ok());
    let document = length.and_then(|length| bytes.get(..length)).ok_or_else(unreadable)?;
    let document = RawDocument::from_bytes(document).map_err(|_| unreadable())?;
    let Ok(Some(id)) = document.get("_id") else {
        return Err(lost("it has no _id by which it could be found again"));
    };
    let query = rawdoc! { "_id": { "$eq": id } };
    if is_there(client, database, collection, &query, document).await? {
        return Ok(());
    }
    let update = update(client.version(), document)?;
    let command = rawdoc! { "update": collection, "updates": [{ "q": query.clone(), "u": update }] };
    let reply = client.run(database, command).await?;
    let refused =
        matches!(reply.get("writeErrors"), Ok(Some(_))) || matches!(reply.get("writeConcernError"), Ok(Some(_)));
    if refused || !is_there(client, database, collection, &query, document).await? {
        return Err(lost("the server changed it, and does not let it be put right"));
    }
    Ok(())
}

fn lost(why: &str) -> Error {
    Error::Unsupported(format!("a document has a timestamp of zeros, which the server takes for \"now\": {why}"))
}

async fn is_there(
    client: &mut Client,
    database: &str,
    collection: &str,
    query: &RawDocumentBuf,
    document: &RawDocument,
) -> Result<bool> {
    let find = rawdoc! { "find": collection, "filter": query.clone(), "limit": 1, "singleBatch": true };
    let mut cursor = client.query(database, find).await?;
    let is_same = cursor.next().await?.is_some_and(|found| found.as_bytes() == document.as_bytes());
    cursor.close().await?;
    Ok(is_same)
}

/// What makes a document that has the same `_id` into this one.
fn update(version: &Version, document: &RawDocument) -> Result<bson::RawBson> {
    if version.is_since(PIPELINES) {
        let mut pipeline = RawArrayBuf::new();
        pipeline.push(rawdoc! { "$replaceRoot": { "newRoot": { "$literal": document.to_owned() } } });
        return Ok(bson::RawBson::Array(pipeline));
    }
    let mut fields = RawDocumentBuf::new();
    for field in document {
        let (name, value) = field.map_err(|_| Error::Corrupt("a document cannot be read".into()))?;
        if !matches!(value, RawBsonRef::Timestamp(timestamp) if (timestamp.time, timestamp.increment) == (0, 0)) {
            continue;
        }
        let text = name.as_str();
        if text.is_empty() || text.contains('.') || text.starts_with('$') {
            return Err(lost("the field's name cannot be addressed on this version of the server"));
        }
        if text != "_id" {
            fields.append(name, value);
        }
    }
    let mut update = RawDocumentBuf::new();
    update.append(cstr!("$set"), fields);
    Ok(bson::RawBson::Document(update))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Engine;
    use bson::Timestamp;

    #[test]
    fn only_the_fields_in_question_are_set_where_there_are_no_pipelines() {
        let version = |number| Version { engine: Engine::MongoDb, number, text: String::new() };
        let zero = Timestamp { time: 0, increment: 0 };
        let document = rawdoc! { "_id": zero, "a": zero, "b": { "c": zero }, "d": 1 };
        let bson::RawBson::Document(old) = update(&version(40_009), &document).expect("possible") else {
            panic!("a document")
        };
        assert_eq!(old, rawdoc! { "$set": { "a": zero } });
        let new = update(&version(40_200), &document).expect("possible");
        assert!(matches!(new, bson::RawBson::Array(_)));
        assert!(matches!(update(&version(30_600), &rawdoc! { "_id": 1, "a.b": zero }), Err(Error::Unsupported(_))));
    }
}
