//! Where MySQL keeps a table's rows: what tells it from another one of the same definition that was made in the same second.
//!
//! A RENAME leaves a table's time of creation as it is there, so two tables that a script made together can change places without
//! a trace in `information_schema.TABLES`. The number of a table's own tablespace goes with its rows. It is listed by the table's
//! name, to accounts with PROCESS; a table in a tablespace that it shares is not told by it, and neither is one on other
//! servers, where a RENAME changes the time.

use crate::client::Client;
use crate::sql::literal;
use coffer_addon::{Error, Result};

/// A place that is not known is the same as any that is not known.
const NOWHERE: &str = "";

/// All of a database, by name; nothing where the account or the server cannot tell.
pub(super) async fn of_database(client: &mut Client, database: &str) -> Result<Vec<(String, String)>> {
    read(client, &format!("NAME LIKE {}", literal(&format!("{}/%", pattern(database))))).await
}

/// Of a table with its partitions, as of now.
pub async fn of_table(client: &mut Client, database: &str, name: &str) -> Result<String> {
    let table = format!("{}/{}", pattern(database), pattern(name));
    // A version's partitions have a large letter.
    let condition = ["", "#p#%", "#P#%"].map(|part| format!("NAME LIKE {}", literal(&format!("{table}{part}"))));
    let places = read(client, &condition.join(" OR ")).await?;
    let places: Vec<String> = places.into_iter().map(|(name, place)| format!("{name}={place}")).collect();
    Ok(if places.is_empty() { NOWHERE.into() } else { places.join(" ") })
}

async fn read(client: &mut Client, condition: &str) -> Result<Vec<(String, String)>> {
    if !client.version().is_mysql(80_000) {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT NAME AS name, SPACE AS place FROM information_schema.INNODB_TABLESPACES_BRIEF WHERE {condition} ORDER BY NAME"
    );
    match client.query(&sql).await {
        Ok(rows) => rows.iter().map(|row| Ok((row.get("name")?.into(), row.get("place")?.into()))).collect(),
        Err(Error::Unavailable(text)) => Err(Error::Unavailable(text)),
        // Without PROCESS, or on a relative of MySQL that has no such list.
        Err(_) => Ok(Vec::new()),
    }
}

/// A name for LIKE. One that is made like another's partitions tells of these too, which does no harm.
fn pattern(name: &str) -> String {
    let mut pattern = String::new();
    for letter in name.chars() {
        if matches!(letter, '_' | '%' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_themselves() {
        assert_eq!(pattern("A1_b %é\\"), "A1\\_b \\%é\\\\");
    }
}
