//! Databases, and which of them are the server's own.

use crate::client::Client;
use crate::layout::Database;
use crate::sql::{identifier, literal};
use coffer_addon::{Context as _, Error, Result};

/// What every server has by itself.
const OWN: [&str; 5] = ["information_schema", "mysql", "ndbinfo", "performance_schema", "sys"];

/// Whether a database is the server's own: in no dump, and nothing to restore into.
pub fn is_own(name: &str) -> bool {
    OWN.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// The databases that were asked for, all of the users' when none was.
pub async fn names(client: &mut Client, wanted: &[String]) -> Result<Vec<String>> {
    let rows = client.query("SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA ORDER BY SCHEMA_NAME").await?;
    let mut names = Vec::new();
    for row in &rows {
        names.push(row.get("name")?.to_string());
    }
    if wanted.is_empty() {
        names.retain(|name| !is_own(name));
        return Ok(names);
    }
    let mut chosen: Vec<String> = Vec::new();
    for name in wanted {
        if is_own(name) {
            return Err(Error::InvalidParameter(format!(
                "databases: {name} is the server's own and is not dumped; its accounts are, by the parameter users"
            )));
        }
        if !names.contains(name) {
            return Err(Error::InvalidParameter(format!(
                "databases: there is no {name}, or the account has no privilege on it"
            )));
        }
        if !chosen.contains(name) {
            chosen.push(name.clone());
        }
    }
    Ok(chosen)
}

/// One database, nothing in it yet.
pub async fn read(client: &mut Client, name: &str, file: String) -> Result<Database> {
    let sql = format!(
        "SELECT DEFAULT_CHARACTER_SET_NAME AS charset, DEFAULT_COLLATION_NAME AS collation \
         FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
        literal(name)
    );
    let of = || format!("unable to read database {name}");
    let defaults = client.query_one(&sql).await.context(of)?;
    let (charset, collation) = (defaults.get("charset")?.to_string(), defaults.get("collation")?.to_string());
    let shown = client.query_one(&format!("SHOW CREATE DATABASE {}", identifier(name))).await.context(of)?;
    Ok(Database {
        name: name.into(),
        file,
        create: shown.get("Create Database")?.into(),
        charset,
        collation,
        sequences: Vec::new(),
        tables: Vec::new(),
        routines: Vec::new(),
        triggers: Vec::new(),
        events: Vec::new(),
    })
}
