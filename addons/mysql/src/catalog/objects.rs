//! The list of what there is, with what changes when an object does: read twice, it tells whether DDL came between.

use super::{Selection, Storage, lossy, places};
use crate::client::Client;
use crate::sql::literal;
use coffer_addon::{Context as _, Result};
use std::collections::BTreeMap;

/// How many names an error has.
const NAMED: usize = 5;

/// Everything in the selected databases that has a name of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// By database and name.
    relations: BTreeMap<(String, String), Relation>,
    /// By database, kind and name: what changes with it, whatever that is.
    others: BTreeMap<(String, &'static str, String), String>,
    /// Where MySQL keeps tables, by `database/name`.
    places: BTreeMap<String, String>,
}

/// A row of `information_schema.TABLES`: a table, a view, a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// `BASE TABLE`, `VIEW`, …
    pub kind: String,
    pub engine: Option<String>,
    /// When it was made, or made anew by an ALTER or a TRUNCATE.
    pub created: Option<String>,
    pub comment: String,
}

/// A table, as far as locking it is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    pub database: &'a str,
    pub name: &'a str,
    pub engine: &'a str,
    pub storage: Storage,
}

/// Everything else, database by database.
const OTHERS: [(&str, &str); 4] = [
    (
        "view",
        "SELECT TABLE_NAME AS name, CONCAT_WS(' ', DEFINER, VIEW_DEFINITION) AS known FROM information_schema.VIEWS \
         WHERE TABLE_SCHEMA = ",
    ),
    (
        "routine",
        "SELECT ROUTINE_NAME AS name, CONCAT_WS(' ', ROUTINE_TYPE, LAST_ALTERED) AS known \
         FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ",
    ),
    (
        "trigger",
        "SELECT TRIGGER_NAME AS name, CONCAT_WS(' ', EVENT_OBJECT_TABLE, CREATED, ACTION_ORDER, ACTION_STATEMENT) AS known \
         FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ",
    ),
    (
        "event",
        "SELECT EVENT_NAME AS name, CONCAT_WS(' ', LAST_ALTERED, STATUS) AS known FROM information_schema.EVENTS \
         WHERE EVENT_SCHEMA = ",
    ),
];

impl Objects {
    pub async fn read(client: &mut Client, selection: &Selection<'_>) -> Result<Self> {
        let mut objects = Objects::default();
        for database in &selection.databases {
            objects.places.extend(places::of_database(client, database).await?);
            let sql = format!(
                "SELECT TABLE_NAME AS name, TABLE_TYPE AS kind, ENGINE AS engine, CREATE_TIME AS created, \
                 TABLE_COMMENT AS comment FROM information_schema.TABLES WHERE TABLE_SCHEMA = {}",
                literal(database)
            );
            for row in
                client.query(&sql).await.context(|| format!("unable to list the tables of database {database}"))?
            {
                let relation = Relation {
                    kind: row.get("kind")?.into(),
                    engine: row.opt("engine")?.map(Into::into),
                    created: row.opt("created")?.map(Into::into),
                    comment: lossy(&row, "comment")?,
                };
                objects.relations.insert((database.clone(), row.get("name")?.into()), relation);
            }
            for (kind, sql) in OTHERS {
                if !selection.schema {
                    break;
                }
                let rows = client.query(&format!("{sql}{}", literal(database))).await;
                for row in rows.context(|| format!("unable to list the {kind}s of database {database}"))? {
                    let name = row.get("name")?.to_string();
                    // A procedure may have a function's name.
                    let known = objects.others.entry((database.clone(), kind, name)).or_default();
                    // Definitions may hold any bytes; only whether they are the same counts.
                    known.push_str(&lossy(&row, "known")?);
                }
            }
        }
        Ok(objects)
    }

    /// The tables that are selected and have rows of their own.
    pub fn tables<'a>(&'a self, selection: &Selection<'_>) -> Vec<Stored<'a>> {
        let tables = self.relations.iter().filter(|((database, name), relation)| {
            matches!(relation.kind.as_str(), "BASE TABLE" | "SYSTEM VERSIONED") && selection.has(database, name)
        });
        let stored = tables.map(|((database, name), relation)| {
            let engine = relation.engine.as_deref().unwrap_or_default();
            Stored { database, name, engine, storage: Storage::of(engine) }
        });
        stored.filter(|table| table.storage != Storage::Elsewhere).collect()
    }

    /// The relations of a database, by name.
    pub fn relations<'a>(&'a self, database: &'a str) -> impl Iterator<Item = (&'a str, &'a Relation)> {
        let of_database = self.relations.iter().filter(move |((of, _), _)| of == database);
        of_database.map(|((_, name), relation)| (name.as_str(), relation))
    }

    pub fn relation(&self, database: &str, name: &str) -> Option<&Relation> {
        self.relations.get(&(database.to_string(), name.to_string()))
    }

    /// `database.name` of everything.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let relations = self.relations.keys().map(|(database, name)| format!("{database}.{name}"));
        relations.chain(self.others.keys().map(|(database, _, name)| format!("{database}.{name}")))
    }

    /// What differs between two lists, or was being altered while one was made, for people; none when nothing does.
    pub fn difference(&self, other: &Objects) -> Option<String> {
        let mut names: Vec<String> = Vec::new();
        for (one, two) in [(self, other), (other, self)] {
            let changed = one.relations.iter().filter(|(key, relation)| two.relations.get(key) != Some(relation));
            names.extend(changed.map(|((database, name), _)| format!("{database}.{name}")));
            // MySQL says so in the place of the comment.
            let altered =
                one.relations.iter().filter(|(_, of)| of.engine.is_none() && of.comment.contains("concurrent DDL"));
            names.extend(altered.map(|((database, name), _)| format!("{database}.{name}")));
            let moved =
                one.places.iter().filter(|(name, place)| two.places.get(*name).is_some_and(|now| now != *place));
            names.extend(moved.map(|(name, _)| name.clone()));
            let changed = one.others.iter().filter(|(key, known)| two.others.get(key) != Some(known));
            names.extend(changed.map(|((database, kind, name), _)| format!("{kind} {database}.{name}")));
        }
        names.sort();
        names.dedup();
        names.truncate(NAMED);
        (!names.is_empty()).then(|| names.join(", "))
    }
}
