//! Collections that were there and stay: their indexes have to be the dump's. A unique one, or one with a time to live, would
//! refuse or remove documents that the dump's collection had.

use super::definition::{Definition, Made, is_true};
use super::there::{logical, look};
use crate::client::{Client, number};
use bson::raw::{RawBsonRef, RawDocument};
use bson::rawdoc;
use coffer_addon::{Error, Result};

/// The names of indexes that the collection has and the dump's has not, but for that on `_id`, which every collection has.
pub async fn other_indexes(client: &mut Client, definition: &Definition, made: &Made) -> Result<Vec<String>> {
    let mut others = Vec::new();
    let list = rawdoc! { "listIndexes": definition.name.as_str(), "cursor": {} };
    let mut cursor = client.query(&definition.target, list).await?;
    while let Some(index) = cursor.next().await? {
        let nameless = |_| Error::Corrupt(format!("{} has an index without a name", definition.namespace()));
        let name = index.get_str("name").map_err(nameless)?;
        if name != "_id_" && !made.indexes.iter().any(|wanted| is_same(index, wanted)) {
            others.push(name.to_string());
        }
    }
    Ok(others)
}

/// Whether the server removes documents of a collection by itself, by what the collection is there: it is capped, or its
/// documents have a time to live, by an option or by an index.
pub async fn may_shrink(client: &mut Client, database: &str, collection: &str) -> Result<bool> {
    let there = look(client, database).await?;
    // Buckets go with their time series' option.
    for there in [collection, logical(collection)].into_iter().filter_map(|name| there.get(name)) {
        let option = |name: &str| there.options.get(name).ok().flatten();
        if option("capped").is_some_and(is_true) || option("expireAfterSeconds").is_some() {
            return Ok(true);
        }
    }
    let mut cursor = client.query(database, rawdoc! { "listIndexes": collection, "cursor": {} }).await?;
    let mut has = false;
    while let Some(index) = cursor.next().await? {
        has |= matches!(index.get("expireAfterSeconds"), Ok(Some(_)));
    }
    Ok(has)
}

fn is_same(there: &RawDocument, wanted: &RawDocument) -> bool {
    let field = |index: &'_ RawDocument, name: &str| index.get(name).ok().flatten().is_some_and(is_true);
    let time_to_live = |index: &RawDocument| {
        let has = matches!(index.get("expireAfterSeconds"), Ok(Some(_)));
        (has, number::<i64>(index, "expireAfterSeconds"))
    };
    // What is no number is another one once it is made.
    let lives_as_long = match (time_to_live(there), time_to_live(wanted)) {
        ((true, _), (true, None)) => true,
        (there, wanted) => there == wanted,
    };
    there.get_str("name").ok() == wanted.get_str("name").ok()
        && is_same_key(there, wanted)
        && field(there, "unique") == field(wanted, "unique")
        && lives_as_long
}

/// The same fields in the same order. Servers write the same number in different types.
fn is_same_key(there: &RawDocument, wanted: &RawDocument) -> bool {
    let (Ok(there), Ok(wanted)) = (there.get_document("key"), wanted.get_document("key")) else { return false };
    let mut wanted = wanted.iter();
    let all = there.iter().all(|field| match (field, wanted.next()) {
        (Ok((name, value)), Some(Ok((other_name, other)))) => {
            name == other_name
                && (value == other || as_float(value).is_some_and(|value| Some(value) == as_float(other)))
        }
        _ => false,
    });
    all && wanted.next().is_none()
}

fn as_float(value: RawBsonRef<'_>) -> Option<f64> {
    match value {
        RawBsonRef::Int32(value) => Some(value.into()),
        // A direction or a version.
        #[expect(clippy::cast_precision_loss)]
        RawBsonRef::Int64(value) => Some(value as f64),
        RawBsonRef::Double(value) => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_compared_by_what_they_do_to_documents() {
        let there = rawdoc! { "v": 2, "key": { "a": 1, "b": "text" }, "name": "x", "unique": true };
        for same in [
            rawdoc! { "key": { "a": 1.0, "b": "text" }, "name": "x", "unique": 1 },
            rawdoc! { "v": 1, "ns": "d.c", "key": { "a": 1_i64, "b": "text" }, "name": "x", "unique": true, "background": true },
        ] {
            assert!(is_same(&there, &same), "{same:?}");
        }
        for other in [
            rawdoc! { "key": { "a": 1, "b": "text" }, "name": "y", "unique": true },
            rawdoc! { "key": { "a": 1, "b": "text" }, "name": "x" },
            rawdoc! { "key": { "b": "text", "a": 1 }, "name": "x", "unique": true },
            rawdoc! { "key": { "a": -1, "b": "text" }, "name": "x", "unique": true },
            rawdoc! { "key": { "a": 1 }, "name": "x", "unique": true },
            rawdoc! { "key": { "a": 1, "b": "text", "c": 1 }, "name": "x", "unique": true },
            rawdoc! { "key": { "a": 1, "b": "text" }, "name": "x", "unique": true, "expireAfterSeconds": 5 },
            rawdoc! { "name": "x" },
        ] {
            assert!(!is_same(&there, &other), "{other:?}");
        }
        let lives =
            |seconds: bson::RawBson| rawdoc! { "key": { "a": 1 }, "name": "a_1", "expireAfterSeconds": seconds };
        assert!(is_same(&lives(5.into()), &lives(5.0.into())) && !is_same(&lives(5.into()), &lives(6.into())));
        assert!(is_same(&lives(i32::MAX.into()), &lives(f64::NAN.into())));
    }
}
