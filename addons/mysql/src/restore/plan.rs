//! What is to be restored, under which names: the index, checked before anything is touched.

use super::parameters::Restore;
use super::rewrite::Renames;
use super::shape;
use crate::catalog;
use crate::layout::{Database, FORMAT, INDEX, Index, MAX_INDEX, Program, Table};
use crate::sql::identifier;
use coffer_addon::{Error, Inbox, Result, index};
use std::collections::{BTreeMap, BTreeSet};

/// The index, which has to be the first artifact.
pub async fn read(inbox: &Inbox) -> Result<Index> {
    let Some(mut first) = inbox.next().await else {
        return Err(Error::Corrupt(format!("there is nothing to restore: {INDEX} did not come")));
    };
    let name = first.artifact.name.clone();
    if name != INDEX {
        return Err(Error::Corrupt(format!(
            "{INDEX} has to come first, not {name}; is this a dump of the mysql addon? Those of mydumper and mysqldump are \
             restored by myloader and mysql"
        )));
    }
    index::parse(&first.read_all(MAX_INDEX).await?, INDEX, FORMAT)
}

/// The index and the names that its databases get.
pub struct Plan<'a> {
    pub index: &'a Index,
    pub renames: Renames<'a>,
    pub parameters: &'a Restore,
}

impl<'a> Plan<'a> {
    pub fn new(index: &'a Index, parameters: &'a Restore) -> Result<Plan<'a>> {
        shape::check(index)?;
        let there: BTreeSet<&str> = index.databases.iter().map(|database| database.name.as_str()).collect();
        let mut renames = BTreeMap::new();
        for (old, new) in &parameters.rename {
            if !there.contains(old.as_str()) {
                let names: Vec<&str> = there.iter().copied().collect();
                return Err(Error::InvalidParameter(format!(
                    "rename: the dump has no database {old}, only {}",
                    names.join(", ")
                )));
            }
            if new.is_empty() || new.chars().count() > 64 {
                return Err(Error::InvalidParameter(format!("rename: {new:?} cannot be the name of a database")));
            }
            if old != new {
                renames.insert(old.as_str(), new.as_str());
            }
        }
        let folds = index.server.lower_case_table_names != 0;
        let plan = Plan { index, renames: Renames::new(renames, folds), parameters };
        let mut targets = BTreeSet::new();
        for database in &index.databases {
            let target = plan.target(&database.name);
            if catalog::is_own(target) {
                return Err(Error::InvalidParameter(format!(
                    "{target} is the server's own and cannot be restored into"
                )));
            }
            if !targets.insert(target) {
                return Err(Error::InvalidParameter(format!("rename: two databases would become {target}")));
            }
        }
        if parameters.users && index.accounts.is_empty() {
            return Err(Error::InvalidParameter(
                "users: the dump has no users; make it with users set, or restore without".into(),
            ));
        }
        Ok(plan)
    }

    /// What a database is called on the server.
    pub fn target<'b>(&'b self, database: &'b str) -> &'b str {
        self.renames.of(database)
    }

    /// Quoted, as errors name it too.
    pub fn table(&self, database: &Database, table: &Table) -> String {
        format!("{}.{}", identifier(self.target(&database.name)), identifier(&table.name))
    }

    /// Views, triggers, routines and events.
    pub fn programs(&self) -> impl Iterator<Item = &'a Program> {
        let within =
            |database: &'a Database| database.routines.iter().chain(&database.triggers).chain(&database.events);
        self.index.databases.iter().flat_map(within).chain(&self.index.views)
    }

    /// Whether the dump has something of that name, which is all that a grant says.
    pub fn has(&self, database: &str, object: &str) -> bool {
        // Names may be written in other cases; too many found is no harm.
        let is = |one: &str, other: &str| one.to_lowercase() == other.to_lowercase();
        let of_database = self.index.databases.iter().filter(|candidate| is(&candidate.name, database));
        let mut tables = of_database.flat_map(|database| {
            let sequences = database.sequences.iter().map(|sequence| &sequence.name);
            database.tables.iter().map(|table| &table.name).chain(sequences)
        });
        tables.any(|name| is(name, object))
            || self.programs().any(|program| is(&program.database, database) && is(&program.name, object))
    }

    /// Files with rows.
    pub fn tables_with_rows(&self) -> impl Iterator<Item = (&'a Database, &'a Table)> {
        let databases = self.index.databases.iter();
        databases
            .flat_map(|database| database.tables.iter().map(move |table| (database, table)))
            .filter(|(_, t)| t.rows)
    }
}
