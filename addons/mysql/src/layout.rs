//! What a dump consists of: mydumper's files, and the index in front of them.
//!
//! | artifact | what |
//! |---|---|
//! | `coffer.json` | [`Index`]: everything but the rows, in the order it is made in. Always the first artifact |
//! | `<db>-schema-create.sql` | CREATE DATABASE |
//! | `<db>.<table>-schema.sql` | CREATE TABLE; for a view, a table with its columns' names |
//! | `<db>.<sequence>-schema-sequence.sql` | MariaDB's sequences |
//! | `<db>.<view>-schema-view.sql` | the view in its placeholder's place |
//! | `<db>.<table>-schema-triggers.sql` | triggers, in the order they act in |
//! | `<db>-schema-post.sql` | routines, packages, events |
//! | `<db>.<table>.<part>.sql` | rows as INSERT statements; parts of one table come in no order |
//! | `coffer/users.sql`, `coffer/grants.sql` | accounts and roles, before all else; what they are granted, after it; where myloader does not look |
//! | `metadata` | GLib's key file that myloader asks for: position, rows of each table. Always the last artifact |
//!
//! `<db>`, `<table>` are [`file_name`]s: a name that is not plain is `mydumper_<n>` there, and its real name is in the statements,
//! in `metadata` and in the index. Coffer's own restore takes the schema from the index, where every statement stands as the
//! server words it. The `.sql` files are for `myloader` and `mysql`, and worded for their splitting of statements.
//!
//! Formats: mydumper's manual ("Files"), and what its Debian package writes.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The first artifact of a dump.
pub const INDEX: &str = "coffer.json";
/// The last artifact of a dump.
pub const METADATA: &str = "metadata";
/// Accounts, out of myloader's sight: it takes every `.sql` beside `metadata` for a table's.
pub const USERS: &str = "coffer/users.sql";
/// What accounts are granted, which names objects.
pub const GRANTS: &str = "coffer/grants.sql";
/// The version of [`Index`] that this crate writes and reads.
pub const FORMAT: u32 = 1;

/// The longest index, in bytes. A restore holds it in memory whole; no dump comes near this.
pub const MAX_INDEX: usize = 64 * 1024 * 1024;

/// The longest statement that a restore holds, in bytes. It comes in buffers that double, with what was read before beside the
/// next, and the host gives a step 256 MiB: one of 38 MiB was too much.
pub const MAX_STATEMENT: usize = 32 * 1024 * 1024;

/// The head of every file with rows, and the session that its INSERT statements need: strings are the columns' own bytes,
/// moments are UTC, zero is a value like any other also where the server would number rows itself, and so is a 31st of February.
pub const ROWS_SESSION: [&str; 5] = [
    "SET NAMES binary",
    "SET FOREIGN_KEY_CHECKS = 0",
    "SET UNIQUE_CHECKS = 0",
    "SET TIME_ZONE = '+00:00'",
    "SET SQL_MODE = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'",
];

/// What MariaDB (from 10.2 on) needs beside it: a row may be older than the CHECK that it breaks, or was let in as we do it here.
pub const CHECKS_SESSION: &str = "SET @@SESSION.check_constraint_checks = 0";

/// What MariaDB (from 10.11 on) needs beside it where [`Table::history`] is set.
pub const HISTORY_SESSION: &str = "SET @@SESSION.system_versioning_insert_history = 1";

/// The whole dump but its rows.
///
/// Facts of a dump that a restore has as well: `tables` counts [`Database::tables`], `rows` their rows, `bytes` the lengths of
/// the files with rows, heads included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Index {
    /// [`FORMAT`].
    pub format: u32,
    /// Who wrote it, with its version.
    pub tool: String,
    pub server: Server,
    /// Whether the statements that make objects are there; not with `dataOnly`.
    pub schema: bool,
    /// Whether rows are there; not with `schemaOnly`.
    pub data: bool,
    /// Where parameters left something out, which ones: not all that the databases had is in the dump then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filtered: Option<String>,
    /// Where the dump stands in the server's binary log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    pub databases: Vec<Database>,
    /// Of all databases, each after those it reads from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<Program>,
    /// Accounts and roles: each statement may be run when those before it were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<Account>,
}

/// The server that was dumped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Server {
    /// `mysql` or `mariadb`.
    pub flavor: String,
    /// As the server says it.
    pub version: String,
    /// 80036, 101106.
    pub number: u32,
    /// `lower_case_table_names`: with another value than the target's, names may clash or not be found.
    pub lower_case_table_names: u32,
}

/// A place in the binary log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Position {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// `gtid_executed` of MySQL, `gtid_binlog_pos` of MariaDB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtid: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Database {
    pub name: String,
    /// [`file_name`] of it.
    pub file: String,
    /// CREATE DATABASE with character set, collation, encryption and comment.
    pub create: Sql,
    /// The default for what is made within.
    pub charset: String,
    pub collation: String,
    /// MariaDB's; before the tables, whose columns may take their defaults from one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sequences: Vec<Sequence>,
    pub tables: Vec<Table>,
    /// Functions, procedures, packages; after the tables and before the views.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routines: Vec<Program>,
    /// In the order they act in, table by table; after the rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Program>,
    /// Last of all: they begin to act when they are made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Program>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Table {
    pub name: String,
    /// What the names of its files begin with: `<db>.<table>`.
    pub file: String,
    /// CREATE TABLE, with its keys and foreign keys; to be run with its database as the current one.
    pub create: Sql,
    pub engine: String,
    /// The columns of every INSERT, in their order: all but those that the server computes.
    pub columns: Vec<String>,
    /// Whether files with its rows belong to the dump; an empty table has none all the same.
    pub rows: bool,
    /// By the server's estimate, in bytes.
    pub estimated_bytes: u64,
    /// The rows hold their system versions' period; see [`HISTORY_SESSION`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub history: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sequence {
    pub name: String,
    pub file: String,
    pub create: Sql,
    /// Puts it where it stood.
    pub set: Sql,
}

/// A view, a routine, a trigger or an event: what a server keeps with its statement of the session that made it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Program {
    pub kind: ProgramKind,
    pub database: String,
    pub name: String,
    /// What the name of its file begins with: `<db>.<view>`, `<db>.<table>` of a trigger, `<db>` of all others.
    pub file: String,
    /// A trigger's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// In the bytes of `character_set_client`; to be run with its database as the current one.
    pub create: Sql,
    /// `user@host`, as the server lists it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definer: Option<String>,
    /// None for views, which keep none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql_mode: Option<String>,
    pub character_set_client: String,
    pub collation_connection: String,
    /// The database's collation when it was made. The server keeps it with triggers, routines and events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_collation: Option<String>,
    /// An event's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// A view's columns, for a table in its place until it can be made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProgramKind {
    View,
    Function,
    Procedure,
    Package,
    PackageBody,
    Trigger,
    Event,
}

impl ProgramKind {
    /// As in `DROP <keyword>`, `SHOW CREATE <keyword>`.
    pub fn keyword(self) -> &'static str {
        match self {
            ProgramKind::View => "VIEW",
            ProgramKind::Function => "FUNCTION",
            ProgramKind::Procedure => "PROCEDURE",
            ProgramKind::Package => "PACKAGE",
            ProgramKind::PackageBody => "PACKAGE BODY",
            ProgramKind::Trigger => "TRIGGER",
            ProgramKind::Event => "EVENT",
        }
    }
}

/// The role that everybody has, in MariaDB; as [`Account::name`], too.
pub const EVERYBODY: &str = "PUBLIC";

/// An account or a role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Account {
    /// Quoted, as in `GRANT … TO`.
    pub name: String,
    pub role: bool,
    /// CREATE USER or CREATE ROLE. It holds the password's hash: never in a log or an error.
    pub create: Sql,
    /// After all accounts and all objects were made; grants name both. Default roles stand last.
    pub grants: Vec<Sql>,
}

/// A statement without its `;`: text, or bytes in another character set than UTF-8.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Sql(pub Vec<u8>);

/// How [`Sql`] stands in JSON.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Text(String),
    Bytes { hex: String },
}

impl Sql {
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// For people and for parsing that needs ASCII alone.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl From<&str> for Sql {
    fn from(text: &str) -> Self {
        Sql(text.as_bytes().to_vec())
    }
}

impl From<String> for Sql {
    fn from(text: String) -> Self {
        Sql(text.into_bytes())
    }
}

impl std::fmt::Debug for Sql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.text())
    }
}

impl From<Sql> for Stored {
    fn from(sql: Sql) -> Self {
        match String::from_utf8(sql.0) {
            Ok(text) => Stored::Text(text),
            Err(error) => {
                let hex = error.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                Stored::Bytes { hex }
            }
        }
    }
}

impl From<Stored> for Sql {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Text(text) => text.into(),
            // What is no hexadecimal number becomes a statement that no server takes.
            Stored::Bytes { hex } => Sql(hex
                .as_bytes()
                .chunks(2)
                .map(|pair| {
                    std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or(0)
                })
                .collect()),
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Index {
    /// The artifact's bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// The database and table whose rows an artifact holds; none for any other.
    pub fn rows_of(&self, artifact: &str) -> Option<(&Database, &Table)> {
        let (file, _) = rows_file(artifact)?;
        let (database, _) = file.split_once('.')?;
        let database = self.databases.iter().find(|candidate| candidate.file == database)?;
        let table = database.tables.iter().find(|table| table.file == file)?;
        Some((database, table))
    }
}

/// The name of a file with rows: the table's `file` and the part's number.
pub fn rows_name(file: &str, part: u32) -> String {
    format!("{file}.{part:05}.sql")
}

/// [`rows_name`]'s way back.
pub fn rows_file(artifact: &str) -> Option<(&str, u32)> {
    let (file, part) = artifact.strip_suffix(".sql")?.rsplit_once('.')?;
    (file.contains('.') && part.len() >= 5).then_some(())?;
    Some((file, part.parse().ok()?))
}

/// Names as they stand in names of files.
///
/// mydumper's rule: a name of ASCII letters, digits, `_`, `-` and blanks stands for itself, another one is `mydumper_<n>`. One
/// with `-schema` in it would be taken apart in the wrong place and is treated as another one too.
#[derive(Debug, Default)]
pub struct FileNames {
    given: BTreeMap<String, String>,
}

impl FileNames {
    /// The same name gets the same answer, in whichever database it is.
    pub fn name(&mut self, name: &str) -> String {
        let plain = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b' '))
            && !name.starts_with("mydumper_")
            && !name.contains("-schema");
        if plain {
            return name.into();
        }
        let next = self.given.len();
        self.given.entry(name.into()).or_insert_with(|| format!("mydumper_{next}")).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_plain_are_numbered() {
        let mut names = FileNames::default();
        let given: Vec<_> = ["orders", "my-shop", "a b", "a.b", "é", "a.b", "mydumper_0", "x-schema"]
            .map(|name| names.name(name))
            .into();
        let numbered = ["mydumper_0", "mydumper_1", "mydumper_0", "mydumper_2", "mydumper_3"];
        assert_eq!(given, [&["orders", "my-shop", "a b"][..], &numbered].concat());
    }

    #[test]
    fn files_with_rows_are_told_from_others() {
        assert_eq!(rows_name("shop.orders", 7), "shop.orders.00007.sql");
        assert_eq!(rows_file("shop.orders.00007.sql"), Some(("shop.orders", 7)));
        assert_eq!(rows_file("shop.orders.123456.sql"), Some(("shop.orders", 123_456)));
        for other in
            ["shop.orders-schema.sql", "shop-schema-create.sql", "shop-schema-post.sql", "metadata", "coffer.json"]
        {
            assert_eq!(rows_file(other), None, "{other}");
        }
    }

    #[test]
    fn statements_survive_json_in_any_character_set() {
        for sql in [Sql::from("SELECT 'é'"), Sql(b"SELECT '\xe9'".to_vec())] {
            let json = serde_json::to_string(&sql).expect("serializable");
            assert_eq!(serde_json::from_str::<Sql>(&json).expect("readable"), sql, "{json}");
        }
    }
}
