//! A collection's definition in mongodump's words.

use super::Found;
use super::extended::{document, text};
use crate::layout::Kind;
use bson::raw::RawDocumentBuf;
use coffer_addon::Result;

/// The text of a collection's `.metadata.json`. `indexes` is always there, and what is empty otherwise is not: mongorestore
/// looks at it so.
pub fn metadata(found: &Found, indexes: &[RawDocumentBuf]) -> Result<String> {
    let mut json = String::from("{");
    if !found.options.is_empty() {
        json.push_str("\"options\":");
        document(&mut json, &found.options)?;
        json.push(',');
    }
    json.push_str("\"indexes\":[");
    for (place, index) in indexes.iter().enumerate() {
        if place > 0 {
            json.push(',');
        }
        document(&mut json, index)?;
    }
    json.push(']');
    if let Some(uuid) = found.uuid {
        json.push_str(",\"uuid\":");
        text(&mut json, &digits(uuid))?;
    }
    json.push_str(",\"collectionName\":");
    text(&mut json, &found.name)?;
    let type_name = match (found.type_name.as_str(), found.kind) {
        ("", Kind::Collection) => None,
        (name, _) => Some(name),
    };
    if let Some(name) = type_name {
        json.push_str(",\"type\":");
        text(&mut json, name)?;
    }
    json.push('}');
    Ok(json)
}

/// 32 hexadecimal digits.
pub fn digits(uuid: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(uuid))
}
