//! MariaDB's sequences.

use super::names::Names;
use super::{Objects, Selection};
use crate::client::Client;
use crate::layout::{Database, Sequence, Sql};
use crate::sql::identifier;
use coffer_addon::{Context as _, Result};

/// All sequences of the current database that are selected.
pub async fn read(
    client: &mut Client,
    selection: &Selection<'_>,
    objects: &Objects,
    names: &mut Names,
    database: &mut Database,
) -> Result<()> {
    let of = database.name.clone();
    for (name, relation) in objects.relations(&of) {
        if relation.kind != "SEQUENCE" || !selection.has(&of, name) {
            continue;
        }
        let quoted = identifier(name);
        let failed = || format!("unable to read sequence {of}.{name}");
        let shown = client.query_one(&format!("SHOW CREATE SEQUENCE {quoted}")).await.context(failed)?;
        let create = shown.get("Create Table")?.to_string();
        let set = set(client, &of, name).await.context(failed)?;
        let file = format!("{}.{}", database.file, names.files.name(name));
        database.sequences.push(Sequence { name: name.into(), file, create: create.into(), set });
    }
    Ok(())
}

/// What puts a sequence where it is now.
pub async fn set(client: &mut Client, database: &str, name: &str) -> Result<Sql> {
    let quoted = identifier(name);
    // Values that a session has reserved for itself may never be used. Not to give one twice counts for more.
    let sql = format!("SELECT next_not_cached_value AS next FROM {}.{quoted}", identifier(database));
    let row = client.query_one(&sql).await?;
    Ok(format!("DO SETVAL({quoted}, {}, 0)", row.get("next")?).into())
}
