//! Tables: their statements, how their rows are read, and what keeps them from being read as of one moment.

use super::columns::{self, Column, Described};
use super::names::Names;
use super::{Database, Objects, Selection, place_of, worded};
use crate::client::Client;
use crate::layout::{self, Sql};
use crate::sql::{identifier, literal};
use coffer_addon::{Context as _, Error, Result};
use std::collections::BTreeMap;

/// A table of the dump.
#[derive(Clone, Debug)]
pub struct Table {
    pub database: String,
    pub index: layout::Table,
    /// The server's words for it, to be compared with what they are later.
    pub shown: Vec<u8>,
    pub columns: Vec<Column>,
    pub storage: Storage,
    /// What it can be cut by.
    pub key: Option<Key>,
    /// By the server's estimate.
    pub estimated_rows: u64,
    /// As in [`super::Relation`].
    pub created: Option<String>,
    /// As in [`super::place_of`].
    pub place: String,
}

/// The first column of a primary key, an integer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub column: String,
}

/// Whether an engine's rows can be read as of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// By a transaction's snapshot.
    Snapshots,
    /// Only as long as nobody writes.
    Locked,
    /// Its rows are another table's, another server's or nobody's, and are not dumped.
    Elsewhere,
}

/// Engines that have `START TRANSACTION WITH CONSISTENT SNAPSHOT`.
const SNAPSHOTS: [&str; 3] = ["INNODB", "ROCKSDB", "TOKUDB"];

/// As mysqldump has it, and for the same reason.
const ELSEWHERE: [&str; 7] = ["BLACKHOLE", "FEDERATED", "MRG_MYISAM", "MRG_ISAM", "OQGRAPH", "SEQUENCE", "SPIDER"];

impl Storage {
    pub fn of(engine: &str) -> Self {
        let is = |engines: &[&str]| engines.iter().any(|known| known.eq_ignore_ascii_case(engine));
        if is(&SNAPSHOTS) {
            Storage::Snapshots
        } else if is(&ELSEWHERE) {
            Storage::Elsewhere
        } else {
            Storage::Locked
        }
    }
}

/// All tables of the current database that are selected.
pub async fn read(
    client: &mut Client,
    selection: &Selection<'_>,
    objects: &Objects,
    names: &mut Names,
    database: &mut Database,
    unsupported: &mut Vec<String>,
) -> Result<()> {
    let of = database.index.name.clone();
    let mut columns = described(client, &of).await?;
    let mut keys = keys(client, &of).await?;
    let mut sizes = sizes(client, &of).await?;
    let constraints = constraints(client, &of).await?;
    for (name, relation) in objects.relations(&of) {
        let versioned = match relation.kind.as_str() {
            "BASE TABLE" => false,
            "SYSTEM VERSIONED" => true,
            "VIEW" | "SEQUENCE" | "TEMPORARY" | "TEMPORARY SEQUENCE" => continue,
            other => {
                unsupported.push(format!("{} {of}.{name}", other.to_ascii_lowercase()));
                continue;
            }
        };
        if !selection.has(&of, name) {
            continue;
        }
        let described = columns.remove(name).unwrap_or_default();
        let mut checked = described.iter().filter(|column| !column.is_generated());
        if !names.check(unsupported, "table", &format!("{of}.{name}"))
            || !checked.all(|column| {
                names.check(unsupported, "table with the column", &format!("{of}.{name}.{}", column.name))
            })
        {
            continue;
        }
        // What cannot be opened has no engine, and the reason in the place of a comment.
        let engine = relation.engine.clone().ok_or_else(|| {
            Error::Failed(format!(
                "table {of}.{name} cannot be opened: {}; run the dump again if it was altered during the dump, else repair, drop \
                 or exclude it",
                relation.comment
            ))
        })?;
        let shown = show_create(client, &of, name).await?;
        if Storage::of(&engine) != Storage::Elsewhere {
            all_visible(client, &format!("{of}.{name}"), name, &shown, described.len()).await?;
        }
        unsupported.extend(worded::doubts(client, &of, name, &shown).await?);
        let create = requoted(&shown, constraints.get(name).map(Vec::as_slice).unwrap_or_default());
        if let Some(tablespace) = tablespace(&create.text()) {
            unsupported.push(format!("tablespace {tablespace} (of table {of}.{name})"));
        }
        let mut read = Vec::new();
        for column in described.iter().filter(|column| !column.is_generated()) {
            match column.column(client.version()) {
                Some(column) => read.push(column),
                None => unsupported.push(format!("column {of}.{name}.{} of type {}", column.name, column.type_name())),
            }
        }
        let history = versioned && period(client, &format!("{of}.{name}"), &described, &mut read, unsupported);
        let (estimated_rows, estimated_bytes) = sizes.remove(name).unwrap_or_default();
        let storage = Storage::of(&engine);
        let is_integer = |key: &String| described.iter().any(|column| column.name == *key && column.is_integer());
        database.tables.push(Table {
            database: of.clone(),
            index: layout::Table {
                name: name.into(),
                file: format!("{}.{}", database.index.file, names.files.name(name)),
                create,
                engine,
                columns: read.iter().map(|column| column.name.clone()).collect(),
                rows: storage != Storage::Elsewhere,
                estimated_bytes,
                history,
            },
            shown,
            columns: read,
            storage,
            key: keys.remove(name).filter(is_integer).map(|column| Key { column }),
            estimated_rows,
            created: relation.created.clone(),
            place: if storage == Storage::Snapshots { place_of(client, &of, name).await? } else { String::new() },
        });
    }
    Ok(())
}

/// Whether the account sees all columns: the server does not list those that it may not read.
async fn all_visible(client: &mut Client, table: &str, name: &str, shown: &[u8], described: usize) -> Result<()> {
    let denied = |why: &str| {
        Error::Denied(format!(
            "the account may not read all columns of table {table} and would leave them out ({why}); grant it SELECT on the table, or \
             exclude it"
        ))
    };
    let selected = client.query(&format!("SELECT * FROM {} LIMIT 0", identifier(name))).await;
    match selected {
        Ok(_) => {}
        Err(Error::Denied(text)) => return Err(denied(&text)),
        Err(error) => return Err(error.context(format!("unable to read table {table}"))),
    }
    // `*` goes without those that are invisible. No name but a most unlikely one has a line that looks like a column's.
    let shown = String::from_utf8_lossy(shown);
    let columns = shown.lines().skip(1).filter(|line| line.starts_with("  `")).count();
    if shown.contains("INVISIBLE") && columns > described {
        return Err(denied(&format!("{described} of {columns} are listed")));
    }
    Ok(())
}

/// The server's words for a table of the current database or another.
pub async fn show_create(client: &mut Client, database: &str, name: &str) -> Result<Vec<u8>> {
    let sql = format!("SHOW CREATE TABLE {}.{}", identifier(database), identifier(name));
    let row = client.query_one(&sql).await.context(|| format!("unable to read table {database}.{name}"))?;
    Ok(row.bytes("Create Table")?.unwrap_or_default().to_vec())
}

/// Adds the columns of a system-versioned table's period, so that its history is dumped too; says whether it is.
fn period(
    client: &Client,
    table: &str,
    described: &[Described],
    read: &mut Vec<Column>,
    unsupported: &mut Vec<String>,
) -> bool {
    if !client.version().is_mariadb(101_100) {
        unsupported
            .push(format!("history of the system-versioned table {table} (MariaDB before 10.11 cannot restore one)"));
        return false;
    }
    let named = |what: &str| described.iter().find(|column| column.expression.eq_ignore_ascii_case(what));
    let (start, end) = (named("ROW START"), named("ROW END"));
    // A period of transactions instead of moments is of numbers that mean nothing on another server.
    if start.is_some_and(Described::is_integer) {
        unsupported.push(format!("history of the system-versioned table {table} (by transactions)"));
        return false;
    }
    for (column, unnamed) in [(start, "row_start"), (end, "row_end")] {
        let name = column.map_or(unnamed, |column| column.name.as_str());
        read.push(Column { name: name.into(), select: identifier(name), form: columns::Form::Text });
    }
    true
}

/// All columns of a database, by table.
async fn described(client: &mut Client, database: &str) -> Result<BTreeMap<String, Vec<Described>>> {
    let sql = format!(
        "SELECT TABLE_NAME AS relation, {} FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} \
         ORDER BY TABLE_NAME, ORDINAL_POSITION",
        columns::selected(client.version()),
        literal(database)
    );
    let mut described: BTreeMap<String, Vec<Described>> = BTreeMap::new();
    for row in client.query(&sql).await? {
        described.entry(row.get("relation")?.into()).or_default().push(Described::read(&row)?);
    }
    Ok(described)
}

/// The first columns of primary keys, by table.
async fn keys(client: &mut Client, database: &str) -> Result<BTreeMap<String, String>> {
    let sql = format!(
        "SELECT TABLE_NAME AS relation, COLUMN_NAME AS name FROM information_schema.STATISTICS \
         WHERE TABLE_SCHEMA = {} AND INDEX_NAME = 'PRIMARY' AND SEQ_IN_INDEX = 1 AND COLUMN_NAME IS NOT NULL",
        literal(database)
    );
    let mut keys = BTreeMap::new();
    for row in client.query(&sql).await? {
        keys.insert(row.get("relation")?.to_string(), row.get("name")?.to_string());
    }
    Ok(keys)
}

/// Foreign keys with a backtick in their name, by table.
async fn constraints(client: &mut Client, database: &str) -> Result<BTreeMap<String, Vec<String>>> {
    let sql = format!(
        "SELECT TABLE_NAME AS relation, CONSTRAINT_NAME AS name FROM information_schema.TABLE_CONSTRAINTS \
         WHERE TABLE_SCHEMA = {} AND CONSTRAINT_TYPE = 'FOREIGN KEY' AND CONSTRAINT_NAME LIKE '%`%'",
        literal(database)
    );
    let mut constraints: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in client.query(&sql).await? {
        constraints.entry(row.get("relation")?.into()).or_default().push(row.get("name")?.into());
    }
    Ok(constraints)
}

/// Servers do not double the backticks in such a name (MariaDB to 11.8 at least).
fn requoted(create: &[u8], constraints: &[String]) -> Sql {
    // There are few of them, and none where the text is not UTF-8.
    let (Ok(text), false) = (std::str::from_utf8(create), constraints.is_empty()) else { return Sql(create.to_vec()) };
    let requoted = constraints.iter().fold(text.to_string(), |create, name| {
        let right = format!("CONSTRAINT {} FOREIGN KEY", identifier(name));
        create.replace(&format!("CONSTRAINT `{name}` FOREIGN KEY"), &right)
    });
    requoted.into()
}

/// Estimated rows and bytes, by table.
async fn sizes(client: &mut Client, database: &str) -> Result<BTreeMap<String, (u64, u64)>> {
    let sql = format!(
        "SELECT TABLE_NAME AS relation, TABLE_ROWS AS row_count, DATA_LENGTH AS byte_count \
         FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_TYPE <> 'VIEW'",
        literal(database)
    );
    let mut sizes = BTreeMap::new();
    for row in client.query(&sql).await? {
        let number = |name| row.opt(name).map(|text| text.and_then(|text| text.parse().ok()).unwrap_or(0));
        sizes.insert(row.get("relation")?.to_string(), (number("row_count")?, number("byte_count")?));
    }
    Ok(sizes)
}

/// A tablespace that somebody made, which a CREATE TABLE needs to be there. Comments of a column come before the options.
fn tablespace(create: &str) -> Option<&str> {
    let options = create.rsplit_once("\n)")?.1;
    let name = options.split_once("TABLESPACE `")?.1.split('`').next()?;
    (!name.starts_with("innodb_")).then_some(name)
}

/// A CREATE TABLE without the counter that every INSERT moves on.
pub fn without_counter(create: &[u8]) -> String {
    const COUNTER: &str = " AUTO_INCREMENT=";
    let create = String::from_utf8_lossy(create);
    let options = create.rfind("\n)").unwrap_or(0);
    let Some(found) = create.get(options..).and_then(|options| options.find(COUNTER)) else { return create.into() };
    let (before, after) = create.split_at(options + found);
    let rest = after.get(COUNTER.len()..).unwrap_or_default().trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{before}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_no_part_of_a_definition() {
        let create = "CREATE TABLE `t` (\n  `a` int COMMENT ' AUTO_INCREMENT=5'\n) ENGINE=InnoDB AUTO_INCREMENT=42 DEFAULT CHARSET=utf8mb4";
        let without =
            "CREATE TABLE `t` (\n  `a` int COMMENT ' AUTO_INCREMENT=5'\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4";
        assert_eq!(without_counter(create.as_bytes()), without);
        assert_eq!(without_counter(without.as_bytes()), without);
    }

    #[test]
    fn only_tablespaces_of_somebody_are_named() {
        assert_eq!(
            tablespace("CREATE TABLE `t` (\n  `a` int\n) /*!50100 TABLESPACE `big` */ ENGINE=InnoDB"),
            Some("big")
        );
        assert_eq!(
            tablespace("CREATE TABLE `t` (\n  `a` int\n) /*!50100 TABLESPACE `innodb_system` */ ENGINE=InnoDB"),
            None
        );
    }
}
