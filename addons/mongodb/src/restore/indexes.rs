//! Indexes: those of the dump, with what its oplog did to them, made once all documents are there.

use super::concern::{append_concern, check_concern};
use super::definition::{Definition, Made};
use crate::client::Client;
use crate::layout::Kind;
use bson::raw::{RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf, cstr};
use bson::rawdoc;
use coffer_addon::problems::Problems;
use coffer_addon::work::Queue;
use coffer_addon::{Context as _, Error, Result};
use futures::future::try_join_all;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Fields that say how an index was made once, and not what it is. The version is left to the server: it takes no old one.
const NO_OPTIONS: [&str; 7] = ["ns", "v", "background", "dropDups", "safe", "clustered", "unused"];

/// What a time to live that is no number was taken for by servers that let it be one: never.
const NEVER: i32 = i32::MAX;

/// Of one collection.
#[derive(Clone, Debug, Default)]
struct Of {
    indexes: Vec<RawDocumentBuf>,
    /// An index without a collation of its own would get the collection's.
    has_collation: bool,
}

/// By the names on the server: database and collection.
#[derive(Debug, Default)]
pub struct Indexes(RefCell<BTreeMap<(String, String), Of>>);

impl Indexes {
    pub fn add(&self, definition: &Definition) {
        if let (Some(Made { indexes, .. }), false) = (&definition.made, definition.kind == Kind::View) {
            let has_collation = definition.option("collation").is_some();
            let of = Of { indexes: indexes.clone(), has_collation };
            self.0.borrow_mut().insert((definition.target.clone(), definition.name.clone()), of);
        }
    }

    /// A collection is made.
    pub fn begin(&self, database: &str, collection: &str, has_collation: bool) {
        let of = Of { indexes: Vec::new(), has_collation };
        self.0.borrow_mut().insert((database.into(), collection.into()), of);
    }

    pub fn put(&self, database: &str, collection: &str, index: RawDocumentBuf) {
        let mut all = self.0.borrow_mut();
        let of = all.entry((database.into(), collection.into())).or_default();
        let name = index.get_str("name").unwrap_or_default().to_string();
        of.indexes.retain(|other| !is_named(other, &name));
        of.indexes.push(index);
    }

    /// `*` is all.
    pub fn remove(&self, database: &str, collection: &str, name: &str) {
        if let Some(of) = self.0.borrow_mut().get_mut(&(database.into(), collection.into())) {
            of.indexes.retain(|index| name != "*" && !is_named(index, name));
        }
    }

    pub fn remove_collection(&self, database: &str, collection: &str) {
        self.0.borrow_mut().remove(&(database.into(), collection.into()));
    }

    pub fn remove_database(&self, database: &str) {
        self.0.borrow_mut().retain(|(other, _), _| other != database);
    }

    pub fn rename(&self, from: (&str, &str), to: (&str, &str)) {
        let mut all = self.0.borrow_mut();
        if let Some(of) = all.remove(&(from.0.into(), from.1.into())) {
            all.insert((to.0.into(), to.1.into()), of);
        }
    }

    /// Changes options of an index, as `collMod` words it: `{name: …, expireAfterSeconds: …}` or with `keyPattern`.
    pub fn modify(&self, database: &str, collection: &str, change: &RawDocument) {
        let mut all = self.0.borrow_mut();
        let Some(of) = all.get_mut(&(database.into(), collection.into())) else { return };
        let (name, key) = (change.get_str("name").ok(), change.get_document("keyPattern").ok());
        for index in &mut of.indexes {
            let is_it = match name {
                Some(name) => is_named(index, name),
                None => key.is_some() && index.get_document("key").ok() == key,
            };
            if is_it {
                *index = changed(index, change);
            }
        }
    }

    /// Makes them all. Returns how many there were.
    pub async fn build(self, clients: &mut [Client], problems: &Problems) -> Result<usize> {
        let mut work = Vec::new();
        for ((database, collection), of) in self.0.into_inner() {
            let mut indexes = Vec::new();
            for index in &of.indexes {
                let name = || format!("an index of {database}.{collection}");
                indexes.extend(prepared(index, of.has_collation).context(name)?);
            }
            if !indexes.is_empty() {
                work.push((database, collection, indexes));
            }
        }
        let count = work.iter().map(|(_, _, indexes)| indexes.len()).sum();
        let queue = Queue::new(work, |(_, _, indexes)| indexes.len() as u64);
        let build = async |client: &mut Client| {
            while let Some((database, collection, indexes)) = queue.take() {
                make(client, &database, &collection, &indexes, problems).await?;
            }
            Ok::<(), Error>(())
        };
        try_join_all(clients.iter_mut().map(build)).await?;
        Ok(count)
    }
}

fn is_named(index: &RawDocument, name: &str) -> bool {
    index.get_str("name").is_ok_and(|other| other == name)
}

/// `index` with the fields of `change` in it.
fn changed(index: &RawDocument, change: &RawDocument) -> RawDocumentBuf {
    let mut fields: Vec<_> = index.iter().flatten().collect();
    for (name, value) in change.iter().flatten() {
        if !matches!(name.as_str(), "name" | "keyPattern") {
            fields.retain(|(other, _)| *other != name);
            fields.push((name, value));
        }
    }
    fields.into_iter().collect()
}

/// An index as it is asked for; none for the one on `_id`, which the collection has by itself.
fn prepared(index: &RawDocument, has_collation: bool) -> Result<Option<RawDocumentBuf>> {
    let unreadable = |_| Error::Corrupt("it cannot be read".into());
    let key = index.get_document("key").map_err(unreadable)?;
    let is_clustered = index.get("clustered").ok().flatten().is_some_and(super::definition::is_true);
    if is_on_id(key) || is_clustered {
        return Ok(None);
    }
    let mut prepared = RawDocumentBuf::new();
    for field in index {
        let (name, value) = field.map_err(unreadable)?;
        match (name.as_str(), value) {
            (name, _) if NO_OPTIONS.contains(&name) => {}
            ("key", _) => prepared.append(name, plain_key(key)?),
            ("expireAfterSeconds", RawBsonRef::Double(seconds)) if seconds.is_nan() => {
                coffer_addon::warn!("an index's time to live is no number: its documents will not expire");
                prepared.append(name, NEVER);
            }
            _ => prepared.append(name, value),
        }
    }
    if has_collation && !matches!(index.get("collation"), Ok(Some(_))) {
        prepared.append(cstr!("collation"), rawdoc! { "locale": "simple" });
    }
    Ok(Some(prepared))
}

fn is_on_id(key: &RawDocument) -> bool {
    let mut fields = key.iter();
    // One that descends is another one.
    let is_id = |value: &RawBsonRef<'_>| match value {
        RawBsonRef::String(_) => false,
        RawBsonRef::Int32(value) => *value >= 0,
        RawBsonRef::Int64(value) => *value >= 0,
        RawBsonRef::Double(value) => *value >= 0.0,
        _ => true,
    };
    matches!(fields.next(), Some(Ok((name, value))) if name.as_str() == "_id" && is_id(&value))
        && fields.next().is_none()
}

/// Servers before 3.4 took anything for "ascending" that is neither a negative number nor a text.
fn plain_key(key: &RawDocument) -> Result<RawDocumentBuf> {
    let mut plain = RawDocumentBuf::new();
    for field in key {
        let (name, value) = field.map_err(|_| Error::Corrupt("its key cannot be read".into()))?;
        let is_plain = match value {
            RawBsonRef::Int32(value) => value != 0,
            RawBsonRef::Int64(value) => value != 0,
            RawBsonRef::Double(value) => value != 0.0 && !value.is_nan(),
            RawBsonRef::Decimal128(_) => true,
            RawBsonRef::String(kind) => !kind.is_empty(),
            _ => false,
        };
        if is_plain {
            plain.append(name, value);
        } else {
            plain.append(name, 1_i32);
        }
    }
    Ok(plain)
}

async fn make(
    client: &mut Client,
    database: &str,
    collection: &str,
    indexes: &[RawDocumentBuf],
    problems: &Problems,
) -> Result<()> {
    let names: Vec<&str> = indexes.iter().map(|index| index.get_str("name").unwrap_or("without a name")).collect();
    coffer_addon::debug!("making {} of {database}.{collection}", names.join(", "));
    let Err(error) = create(client, database, collection, indexes).await? else { return Ok(()) };
    let failed = |names: &str| format!("unable to make the index {names} of {database}.{collection}");
    if !problems.collects() || indexes.len() == 1 {
        return problems.add(error.context(failed(&names.join(", "))));
    }
    // All or nothing is what the server does: those that can be made are to be there.
    for (index, name) in indexes.iter().zip(names) {
        if let Err(error) = create(client, database, collection, std::slice::from_ref(index)).await? {
            problems.add(error.context(failed(name)))?;
        }
    }
    Ok(())
}

/// The inner error is about the indexes.
async fn create(
    client: &mut Client,
    database: &str,
    collection: &str,
    indexes: &[RawDocumentBuf],
) -> Result<Result<()>> {
    let array: RawArrayBuf = indexes.iter().map(|index| index.as_ref() as &RawDocument).collect();
    let mut command = rawdoc! { "createIndexes": collection, "indexes": array };
    append_concern(&mut command, client.hello());
    Ok(match client.try_run(database, command).await? {
        Ok(reply) => check_concern(&reply),
        Err(error) => Err(error.during(&format!("createIndexes {database}.{collection}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_indexes_are_asked_for_in_todays_words() {
        let old = rawdoc! {
            "v": 0, "unique": true, "key": { "a": true, "b": -1, "c": 0, "d": "text", "e": "" }, "name": "old", "ns": "d.c",
            "background": true, "dropDups": true, "expireAfterSeconds": f64::NAN,
        };
        let wanted = rawdoc! {
            "unique": true, "key": { "a": 1, "b": -1, "c": 1, "d": "text", "e": 1 }, "name": "old", "expireAfterSeconds": NEVER,
        };
        assert_eq!(prepared(&old, false), Ok(Some(wanted)));
        for own in [
            rawdoc! { "v": 2, "key": { "_id": 1 }, "name": "_id_" },
            rawdoc! { "v": 2, "key": { "_id": 1 }, "name": "by_id", "unique": true, "clustered": true },
        ] {
            assert_eq!(prepared(&own, true), Ok(None));
        }
        let hashed = rawdoc! { "key": { "_id": "hashed" }, "name": "h" };
        assert_eq!(prepared(&hashed, false), Ok(Some(hashed.clone())));
        assert!(prepared(&rawdoc! { "name": "x" }, false).is_err());
    }

    #[test]
    fn an_index_without_a_collation_keeps_having_none() {
        let plain = rawdoc! { "key": { "a": 1 }, "name": "a" };
        let collated = rawdoc! { "key": { "a": 1 }, "name": "a", "collation": { "locale": "simple" } };
        assert_eq!(prepared(&plain, true), Ok(Some(collated.clone())));
        assert_eq!(prepared(&collated, true), Ok(Some(collated)));
        assert_eq!(prepared(&plain, false), Ok(Some(plain.clone())));
    }

    #[test]
    fn the_oplog_changes_what_is_made() {
        let indexes = Indexes::default();
        indexes.begin("d", "c", false);
        let index = |name: &str, field: i32| rawdoc! { "key": { "a": field }, "name": name, "sparse": true };
        indexes.put("d", "c", index("x", 1));
        indexes.put("d", "c", index("x", 1));
        indexes.put("d", "c", index("y", -1));
        indexes.modify("d", "c", &rawdoc! { "name": "x", "hidden": true });
        indexes.modify("d", "c", &rawdoc! { "keyPattern": { "a": -1 }, "sparse": false });
        indexes.rename(("d", "c"), ("e", "f"));
        let key = ("e".to_string(), "f".to_string());
        let of = indexes.0.borrow()[&key].indexes.clone();
        let changed = [
            rawdoc! { "key": { "a": 1 }, "name": "x", "sparse": true, "hidden": true },
            rawdoc! { "key": { "a": -1 }, "name": "y", "sparse": false },
        ];
        assert_eq!(of, changed);
        indexes.remove("e", "f", "x");
        assert_eq!(indexes.0.borrow()[&key].indexes.len(), 1);
        indexes.remove("e", "f", "*");
        assert!(indexes.0.borrow()[&key].indexes.is_empty());
        indexes.remove_database("e");
        assert!(indexes.0.borrow().is_empty());
    }
}
