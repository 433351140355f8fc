//! Proof that two databases hold the same: collections with their options, indexes, and every document byte for byte.

use std::collections::BTreeMap;
use std::hash::Hasher;

use bson::{RawBsonRef, RawDocument, RawDocumentBuf, rawdoc};

use super::{Client, Mongodb};
use crate::error::{Error, Result};

/// One database on one server.
#[derive(Clone, Copy)]
pub struct Database<'a> {
    pub server: &'a Mongodb,
    pub name: &'a str,
}

/// What a collection or view is, without its name and without what is new every time (its UUID).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collection {
    pub documents: u64,
    pub bytes: u64,
    /// The sum of a 128-bit hash of each document: their order is not the collection's.
    pub sum: u128,
    /// `collection`, `view`, `timeseries`.
    pub kind: String,
    /// The options' and indexes' fields as text, sorted.
    pub options: Vec<String>,
    pub indexes: Vec<Vec<String>>,
}

/// Where an index is and how FerretDB stores it: no business of whoever made it.
const INDEX_INTERNALS: [&str; 2] = ["ns", "storageEngine"];

/// All collections and views of a database, by name; the server's own (`system.`) only where they are the user's
/// business.
pub fn collections(database: Database) -> Result<BTreeMap<String, Collection>> {
    let mut client = database.server.client()?;
    let mut found = BTreeMap::new();
    for listed in client.collections(database.name)? {
        let name = listed.get_str("name").unwrap_or_default().to_owned();
        if name.starts_with("system.") && name != "system.js" {
            continue;
        }
        let mut collection =
            Collection { kind: listed.get_str("type").unwrap_or_default().to_owned(), ..Collection::default() };
        if let Ok(options) = listed.get_document("options") {
            collection.options = fields(options, &["uuid"]);
        }
        if collection.kind == "collection" {
            let indexes = client.indexes(database.name, &name)?;
            collection.indexes = indexes.iter().map(|index| fields(index, &INDEX_INTERNALS)).collect();
        }
        client.for_each(database.name, &rawdoc! { "find": name.as_str() }, |document| {
            let bytes = document.as_bytes();
            collection.documents += 1;
            collection.bytes += bytes.len() as u64;
            collection.sum = collection.sum.wrapping_add(hash(bytes));
        })?;
        found.insert(name, collection);
    }
    Ok(found)
}

/// Fails unless both databases have the same collections, options, indexes and documents; returns them.
pub fn same_database(one: Database, other: Database) -> Result<BTreeMap<String, Collection>> {
    same(one, other, |collection| collection)
}

/// Fails unless both databases have collections of the same names with the same documents; returns them.
pub fn same_documents(one: Database, other: Database) -> Result<BTreeMap<String, Collection>> {
    same(one, other, |Collection { documents, bytes, sum, .. }| Collection {
        documents,
        bytes,
        sum,
        ..Collection::default()
    })
}

/// Compares what `of` leaves of each collection.
fn same(one: Database, other: Database, of: impl Fn(Collection) -> Collection) -> Result<BTreeMap<String, Collection>> {
    let read = |database| -> Result<BTreeMap<String, Collection>> {
        Ok(collections(database)?.into_iter().map(|(name, collection)| (name, of(collection))).collect())
    };
    let (ours, theirs) = (read(one)?, read(other)?);
    if ours == theirs {
        return Ok(ours);
    }
    let mut differences = Vec::new();
    for name in ours.keys().chain(theirs.keys().filter(|name| !ours.contains_key(*name))) {
        match (ours.get(name), theirs.get(name)) {
            (Some(our), Some(their)) if our == their => {}
            (Some(our), Some(their)) => {
                differences.push(format!("{}.{name}: {our:?}\n{}.{name}: {their:?}", one.name, other.name));
                if our.sum != their.sum {
                    differences.extend(different_documents(one, other, name)?);
                }
            }
            (Some(_), None) => differences.push(format!("only {} has {name}", one.name)),
            (None, _) => differences.push(format!("only {} has {name}", other.name)),
        }
    }
    Err(Error::Different(format!("the databases differ:\n{}", differences.join("\n"))))
}

/// The first few documents that only one of the two has.
fn different_documents(one: Database, other: Database, collection: &str) -> Result<Vec<String>> {
    let all = |database: Database| database.server.client()?.documents(database.name, collection);
    let (ours, theirs) = (all(one)?, all(other)?);
    let only = |these: &[RawDocumentBuf], those: &[RawDocumentBuf], name: &str| -> Vec<String> {
        let mut counts: BTreeMap<&[u8], usize> = BTreeMap::new();
        those.iter().for_each(|document| *counts.entry(document.as_bytes()).or_default() += 1);
        let extra = these.iter().filter(|document| match counts.get_mut(document.as_bytes()) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        });
        extra.take(3).map(|document| format!("only {name}: {:.400}", show(document))).collect()
    };
    Ok([only(&ours, &theirs, one.name), only(&theirs, &ours, other.name)].concat())
}

/// A document as text if it can be, else its bytes.
fn show(document: &RawDocument) -> String {
    match bson::Document::try_from(document) {
        Ok(document) => document.to_string(),
        Err(_) => format!("{:02x?}", document.as_bytes()),
    }
}

/// Each field as text, sorted: servers give them in any order. Numbers of different types are the same: what an
/// option's number is stored as is the server's choice.
fn fields(document: &RawDocument, without: &[&str]) -> Vec<String> {
    let fields = document.iter().flatten().filter(|(name, _)| !without.contains(&name.as_str()));
    let mut texts: Vec<String> = fields
        .map(|(name, value)| match value {
            // In the order of the server's choice, too.
            RawBsonRef::Document(weights) if name == "weights" => {
                format!("{name}: {}", self::fields(weights, &[]).join(", "))
            }
            _ => format!("{name}: {}", text(value)),
        })
        .collect();
    texts.sort();
    texts
}

fn text(value: RawBsonRef) -> String {
    match value {
        RawBsonRef::Document(document) => {
            let fields = document.iter().flatten().map(|(name, value)| format!("{name}: {}", text(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        RawBsonRef::Array(array) => {
            format!("[{}]", array.into_iter().flatten().map(text).collect::<Vec<_>>().join(", "))
        }
        RawBsonRef::Int32(number) => number.to_string(),
        RawBsonRef::Int64(number) => number.to_string(),
        RawBsonRef::Double(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

/// Two hashes of 64 bits that have nothing to do with each other.
#[expect(deprecated, reason = "the same for every process, and good enough to tell documents apart")]
fn hash(bytes: &[u8]) -> u128 {
    let half = |seed: u8| {
        let mut hasher = std::hash::SipHasher::new_with_keys(seed.into(), u64::from(seed) << 32);
        hasher.write(bytes);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

impl Client {
    /// How many documents a collection has.
    pub fn count(&mut self, database: &str, collection: &str) -> Result<u64> {
        let mut count = 0;
        self.for_each(database, &rawdoc! { "find": collection, "projection": { "_id": 1 } }, |_| count += 1)?;
        Ok(count)
    }
}
