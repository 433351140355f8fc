//! What entries of an oplog say.

use super::definition::Made;
use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};
use coffer_addon::{Error, Result};

/// The `_id` of the document that an entry is about.
pub fn id_of<'a>(entry: &'a RawDocument, object: &'a RawDocument) -> Result<Option<RawBsonRef<'a>>> {
    match entry.get_str("op").map_err(unreadable)? {
        "u" => entry.get_document("o2").map_err(unreadable)?.get("_id").map_err(unreadable),
        _ => object.get("_id").map_err(unreadable),
    }
}

/// How a collection is made of which an entry says nothing but its UUID.
pub fn without_options(entry: &RawDocument) -> Made {
    let uuid = match entry.get("ui") {
        Ok(Some(RawBsonRef::Binary(uuid))) => uuid.bytes.try_into().ok(),
        _ => None,
    };
    Made { options: RawDocumentBuf::new(), indexes: Vec::new(), uuid }
}

/// Each of the entries has its own outcome in the reply.
pub fn check_applied(reply: &RawDocument) -> Result<()> {
    let Ok(results) = reply.get_array("results") else { return Ok(()) };
    let failed = results.into_iter().flatten().filter(|result| !super::definition::is_true(*result)).count();
    if failed > 0 {
        return Err(Error::Failed(format!("the server could not apply {failed} entries")));
    }
    Ok(())
}

pub fn unreadable<E>(_: E) -> Error {
    Error::Corrupt("it cannot be read".into())
}

pub fn split(namespace: &str) -> Result<(&str, &str)> {
    namespace.split_once('.').ok_or_else(|| Error::Corrupt(format!("{namespace:?} is the name of no collection")))
}
