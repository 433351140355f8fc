//! Collections that the oplog tells of and the dump does not have: they were made while it was under way. One of that name on
//! the server is somebody else's, and nothing is done to it that would not be done to one in the way of the dump's own.

use super::definition::{Definition, Made};
use super::parameters::Restore;
use super::target::{Becomes, Target};
use super::there::logical;
use crate::client::Client;
use crate::layout::Kind;
use coffer_addon::{Context as _, Error, Result};
use std::collections::BTreeMap;

pub struct Strangers<'a> {
    target: &'a mut Target,
    /// Those of the dump and those that were met, by their names in the dump.
    known: BTreeMap<String, BTreeMap<String, Kind>>,
    /// By their names on the server, those in the dump.
    databases: BTreeMap<String, String>,
}

impl<'a> Strangers<'a> {
    pub fn new(
        target: &'a mut Target,
        parameters: &Restore,
        restored: &BTreeMap<(String, String), Kind>,
    ) -> Strangers<'a> {
        let mut strangers = Strangers { target, known: BTreeMap::new(), databases: BTreeMap::new() };
        for ((database, collection), kind) in restored {
            strangers.databases.insert(parameters.target(database).into(), database.clone());
            strangers.add(database, collection, *kind);
        }
        strangers
    }

    pub fn knows(&self, database: &str, collection: &str) -> bool {
        self.kind(database, collection).is_some()
    }

    /// What it is, where it is known.
    pub fn kind(&self, database: &str, collection: &str) -> Option<Kind> {
        self.known.get(database)?.get(logical(collection)).copied()
    }

    /// One of them, before anything of it is applied.
    pub async fn meet(
        &mut self,
        client: &mut Client,
        parameters: &Restore,
        (database, collection): (&str, &str),
        made: Made,
        becomes: Becomes,
    ) -> Result<()> {
        let target = parameters.target(database);
        let other = self.databases.entry(target.into()).or_insert_with(|| database.into());
        if other != database {
            return Err(Error::InvalidParameter(format!(
                "rename: {other} became {target}, and {database}.{collection} was made in a database of that name during the dump; choose \
                 another name, or leave it out with exclude"
            )));
        }
        let has = |option: &str| matches!(made.options.get(option), Ok(Some(_)));
        let kind = match () {
            () if has("viewOn") => Kind::View,
            () if has("timeseries") => Kind::Timeseries,
            () => Kind::Collection,
        };
        let definition = Definition::new(parameters, database, collection, kind, Some(made));
        let admitted = self.target.admit(client, parameters, &definition, becomes).await;
        admitted.context(|| format!("{database}.{collection}, which is not in the dump and was made during it"))?;
        self.add(database, collection, kind);
        Ok(())
    }

    /// It was dropped.
    pub fn forget(&mut self, database: &str, collection: &str) {
        if let Some(known) = self.known.get_mut(database) {
            known.remove(collection);
        }
    }

    fn add(&mut self, database: &str, collection: &str, kind: Kind) {
        self.known.entry(database.into()).or_default().insert(collection.into(), kind);
    }
}
