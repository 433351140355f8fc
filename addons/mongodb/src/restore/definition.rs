//! A collection, view or time series of the dump: what `metadata.json` says of it, and where it is restored to.

use super::extjson::{Json, uuid};
use super::parameters::Restore;
use crate::layout::{self, BUCKETS, Data, Kind};
use bson::raw::{RawBsonRef, RawDocumentBuf};
use coffer_addon::{Error, Result};

#[derive(Clone, Debug)]
pub struct Definition {
    /// In the dump.
    pub database: String,
    pub name: String,
    /// The database on the server.
    pub target: String,
    pub kind: Kind,
    /// None where the dump has documents alone.
    pub made: Option<Made>,
    /// What its documents have to come to, where the dump says it.
    pub expected: Option<Data>,
}

/// How it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    pub options: RawDocumentBuf,
    pub indexes: Vec<RawDocumentBuf>,
    pub uuid: Option<[u8; 16]>,
}

/// The text of `metadata.json`, read.
#[derive(Debug, PartialEq)]
pub struct Metadata {
    /// Older versions of mongodump do not say it.
    pub name: Option<String>,
    pub kind: Kind,
    pub made: Made,
}

impl Metadata {
    pub fn parse(text: &[u8]) -> Result<Metadata> {
        let json = Json::parse(text)?;
        let options = match json.get("options") {
            None | Some(Json::Null) => RawDocumentBuf::new(),
            Some(options) => options.document().map_err(|error| error.context("options"))?,
        };
        let indexes = match json.get("indexes") {
            None | Some(Json::Null) => Vec::new(),
            Some(Json::Array(indexes)) => indexes
                .iter()
                .enumerate()
                .map(|(number, index)| index.document().map_err(|error| error.context(format!("index {number}"))))
                .collect::<Result<_>>()?,
            Some(_) => return Err(Error::Corrupt("indexes: they are no list".into())),
        };
        let uuid = match json.get("uuid").and_then(Json::text) {
            None | Some("") => None,
            Some(text) => Some(uuid(text).ok_or_else(|| Error::Corrupt("uuid: it is none".into()))?),
        };
        let has = |option: &str| matches!(options.get(option), Ok(Some(_)));
        let kind = match json.get("type").and_then(Json::text) {
            Some("view") => Kind::View,
            Some("timeseries") => Kind::Timeseries,
            _ if has("viewOn") => Kind::View,
            _ if has("timeseries") => Kind::Timeseries,
            _ => Kind::Collection,
        };
        let name = json.get("collectionName").and_then(Json::text).filter(|name| !name.is_empty()).map(String::from);
        Ok(Metadata { name, kind, made: Made { options, indexes, uuid } })
    }
}

impl Definition {
    pub fn new(parameters: &Restore, database: &str, name: &str, kind: Kind, made: Option<Made>) -> Definition {
        let target = parameters.target(database).to_string();
        Definition { database: database.into(), name: name.into(), target, kind, made, expected: None }
    }

    /// As errors name it, and as the server knows it.
    pub fn namespace(&self) -> String {
        format!("{}.{}", self.target, self.name)
    }

    /// The collection on the server that has its documents.
    pub fn data(&self) -> String {
        match self.kind {
            Kind::Timeseries => format!("{BUCKETS}{}", self.name),
            _ => self.name.clone(),
        }
    }

    /// The artifact with its documents, in a directory without an index.
    pub fn file(&self) -> String {
        layout::data_name(&self.database, &self.data())
    }

    pub fn option(&self, name: &str) -> Option<RawBsonRef<'_>> {
        self.made.as_ref().and_then(|made| made.options.get(name).ok().flatten())
    }

    /// The server may remove documents by itself, and those that came first have to come first.
    pub fn is_capped(&self) -> bool {
        self.option("capped").is_some_and(is_true)
    }

    /// What is not for whoever may only write documents.
    pub fn is_system(&self) -> bool {
        self.name.starts_with("system.")
    }
}

/// As servers take a flag.
pub fn is_true(value: RawBsonRef<'_>) -> bool {
    match value {
        RawBsonRef::Boolean(value) => value,
        RawBsonRef::Int32(value) => value != 0,
        RawBsonRef::Int64(value) => value != 0,
        RawBsonRef::Double(value) => value != 0.0,
        _ => false,
    }
}

/// What becomes of a collection of the dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Restored,
    /// Kept apart, for `usersAndRoles`.
    Accounts(Accounts),
    /// It is the server's own, and no restore can or should write it.
    Own,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Accounts {
    Users,
    Roles,
    Version,
}

/// By the names in the dump.
pub fn fate(database: &str, collection: &str) -> Fate {
    let accounts = match collection.strip_prefix("$admin.") {
        // Those of one database, which mongodump puts beside its collections.
        Some(name) => Some(name),
        None if database == "admin" => Some(collection),
        None => None,
    };
    match accounts {
        Some("system.users") => return Fate::Accounts(Accounts::Users),
        Some("system.roles") => return Fate::Accounts(Accounts::Roles),
        Some("system.version") => return Fate::Accounts(Accounts::Version),
        _ => {}
    }
    let is_own = match database {
        "local" | "config" => true,
        _ => collection.starts_with("system.") && collection != "system.js" && !collection.starts_with(BUCKETS),
    };
    if is_own { Fate::Own } else { Fate::Restored }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_of_old_and_new_makes_are_read() {
        let new = r#"{"options":{"capped":true,"size":{"$numberInt":"4096"}},"indexes":[{"v":{"$numberInt":"2"},"key":{"b":{"$numberInt":"1"},"a":{"$numberInt":"-1"}},"name":"b_1_a_-1"}],"uuid":"00112233445566778899aabbccddeeff","collectionName":"x y","type":"collection"}"#;
        let metadata = Metadata::parse(new.as_bytes()).expect("read");
        assert_eq!((metadata.name.as_deref(), metadata.kind), (Some("x y"), Kind::Collection));
        assert_eq!(metadata.made.uuid.map(|uuid| uuid[1]), Some(0x11));
        let key = metadata.made.indexes[0].get_document("key").expect("a key");
        assert_eq!(key.iter().next().expect("a field").expect("whole").0.as_str(), "b");
        let definition = Definition::new(&Restore::default(), "d", "x y", metadata.kind, Some(metadata.made));
        assert!(definition.is_capped() && definition.file() == "d/x+y.bson");

        let old = r#"{"indexes":[{"v":1,"key":{"_id":1},"name":"_id_","ns":"d.v"}]}"#;
        let metadata = Metadata::parse(old.as_bytes()).expect("read");
        assert_eq!((metadata.name, metadata.made.indexes.len(), metadata.made.uuid), (None, 1, None));

        for (text, kind) in [
            (r#"{"options":{"viewOn":"c","pipeline":[]},"indexes":[]}"#, Kind::View),
            (r#"{"options":{"timeseries":{"timeField":"t"}},"indexes":[]}"#, Kind::Timeseries),
            (r#"{"options":{},"indexes":[],"type":"timeseries"}"#, Kind::Timeseries),
            (r#"{"options":null,"indexes":null}"#, Kind::Collection),
        ] {
            assert_eq!(Metadata::parse(text.as_bytes()).expect("read").kind, kind, "{text}");
        }
        for wrong in [r#"{"indexes": 5}"#, r#"{"options": []}"#, r#"{"uuid": "5"}"#, r#"{"indexes": [5]}"#, "", "{"] {
            assert!(Metadata::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_the_servers_own_is_left_to_it() {
        for (database, collection, wanted) in [
            ("shop", "orders", Fate::Restored),
            ("shop", "system.js", Fate::Restored),
            ("shop", "system.buckets.t", Fate::Restored),
            ("shop", "system.profile", Fate::Own),
            ("shop", "system.users", Fate::Own),
            ("shop", "$admin.system.users", Fate::Accounts(Accounts::Users)),
            ("admin", "system.roles", Fate::Accounts(Accounts::Roles)),
            ("admin", "system.version", Fate::Accounts(Accounts::Version)),
            ("admin", "system.keys", Fate::Own),
            ("admin", "mine", Fate::Restored),
            ("config", "chunks", Fate::Own),
            ("local", "x", Fate::Own),
        ] {
            assert_eq!(fate(database, collection), wanted, "{database}.{collection}");
        }
    }
}
