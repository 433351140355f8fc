//! Routines, packages, triggers and events: with each, the server keeps of the session that made it what its text depends on.

use super::Selection;
use super::names::Names;
use crate::client::{Client, Row};
use crate::layout::{Database, Program, ProgramKind, Sql};
use crate::sql::{identifier, literal};
use coffer_addon::{Context as _, Error, Result};

/// What `information_schema` says of a program, in the names that all kinds share.
const ROUTINES: &str = "
    SELECT ROUTINE_NAME AS name, ROUTINE_TYPE AS kind, NULL AS relation, DEFINER AS definer, SQL_MODE AS sql_mode,
           CHARACTER_SET_CLIENT AS client, COLLATION_CONNECTION AS connection, DATABASE_COLLATION AS collation,
           NULL AS time_zone, ROUTINE_COMMENT AS comment
    FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {database} ORDER BY ROUTINE_TYPE, ROUTINE_NAME";

/// The order is the one they act in: creating them in it keeps it.
const TRIGGERS: &str = "
    SELECT TRIGGER_NAME AS name, 'TRIGGER' AS kind, EVENT_OBJECT_TABLE AS relation, DEFINER AS definer,
           SQL_MODE AS sql_mode, CHARACTER_SET_CLIENT AS client, COLLATION_CONNECTION AS connection,
           DATABASE_COLLATION AS collation, NULL AS time_zone, NULL AS comment
    FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {database}
    ORDER BY EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_TIMING, ACTION_ORDER";

const EVENTS: &str = "
    SELECT EVENT_NAME AS name, 'EVENT' AS kind, NULL AS relation, DEFINER AS definer, SQL_MODE AS sql_mode,
           CHARACTER_SET_CLIENT AS client, COLLATION_CONNECTION AS connection, DATABASE_COLLATION AS collation,
           TIME_ZONE AS time_zone, EVENT_COMMENT AS comment
    FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {database} ORDER BY EVENT_NAME";

/// Everything of the current database that is selected. A trigger goes with its table.
pub async fn read(
    client: &mut Client,
    selection: &Selection<'_>,
    names: &mut Names,
    database: &mut Database,
    unsupported: &mut Vec<String>,
) -> Result<()> {
    for sql in [ROUTINES, TRIGGERS, EVENTS] {
        for row in client.query(&sql.replace("{database}", &literal(&database.name))).await? {
            let (name, relation) = (row.get("name")?, row.opt("relation")?);
            if !selection.has(&database.name, relation.unwrap_or(name)) {
                continue;
            }
            let Some(kind) = kind(row.get("kind")?) else {
                unsupported.push(format!("{} {}.{name}", row.get("kind")?.to_ascii_lowercase(), database.name));
                continue;
            };
            let mut program = program(client, &database.name, kind, &row).await?;
            program.file = match relation {
                Some(table) => format!("{}.{}", database.file, names.files.name(table)),
                None => database.file.clone(),
            };
            let list = match kind {
                ProgramKind::Trigger => &mut database.triggers,
                ProgramKind::Event => &mut database.events,
                _ => &mut database.routines,
            };
            // A trigger on several events is listed once for each.
            if !list.iter().any(|known| known.kind == kind && known.name == program.name) {
                list.push(program);
            }
        }
    }
    if client.version().is_mysql(90_200) {
        let sql = format!(
            "SELECT LIBRARY_NAME AS name FROM information_schema.LIBRARIES WHERE LIBRARY_SCHEMA = {} ORDER BY LIBRARY_NAME",
            literal(&database.name)
        );
        for row in client.query(&sql).await? {
            let name = row.get("name")?;
            if selection.has(&database.name, name) {
                unsupported.push(format!("library {}.{name}", database.name));
            }
        }
    }
    // A function may stand in a package's declarations or in another function's defaults, a body only behind its package.
    database.routines.sort_by_key(|routine| match routine.kind {
        ProgramKind::Package => 0,
        ProgramKind::PackageBody => 1,
        ProgramKind::Function => 2,
        _ => 3,
    });
    Ok(())
}

fn kind(word: &str) -> Option<ProgramKind> {
    Some(match word {
        "FUNCTION" => ProgramKind::Function,
        "PROCEDURE" => ProgramKind::Procedure,
        "PACKAGE" => ProgramKind::Package,
        "PACKAGE BODY" => ProgramKind::PackageBody,
        "TRIGGER" => ProgramKind::Trigger,
        "EVENT" => ProgramKind::Event,
        _ => return None,
    })
}

async fn program(client: &mut Client, database: &str, kind: ProgramKind, row: &Row) -> Result<Program> {
    let name = row.get("name")?;
    let mut create = show_create(client, database, kind, name).await?;
    let is_plain = |mode: &str| mode.split(',').any(|mode| mode == "NO_BACKSLASH_ESCAPES");
    if let Some(comment) = row.bytes("comment")?.filter(|comment| !comment.is_empty())
        && row.opt("sql_mode")?.is_some_and(is_plain)
    {
        create.0 = with_plain_comment(&create.0, comment);
    }
    Ok(Program {
        kind,
        database: database.into(),
        name: name.into(),
        file: String::new(),
        table: row.opt("relation")?.map(Into::into),
        create,
        definer: row.opt("definer")?.map(Into::into),
        sql_mode: row.opt("sql_mode")?.map(Into::into),
        character_set_client: row.get("client")?.into(),
        collation_connection: row.get("connection")?.into(),
        database_collation: row.opt("collation")?.map(Into::into),
        time_zone: row.opt("time_zone")?.map(Into::into),
        columns: Vec::new(),
    })
}

/// A program's own statement, in the bytes it was made with.
pub(super) async fn show_create(client: &mut Client, database: &str, kind: ProgramKind, name: &str) -> Result<Sql> {
    let column = match kind {
        ProgramKind::View => "Create View",
        ProgramKind::Function => "Create Function",
        ProgramKind::Procedure => "Create Procedure",
        ProgramKind::Package => "Create Package",
        ProgramKind::PackageBody => "Create Package Body",
        ProgramKind::Trigger => "SQL Original Statement",
        ProgramKind::Event => "Create Event",
    };
    let word = kind.keyword();
    let failed = || format!("unable to read {} {database}.{name}", word.to_ascii_lowercase());
    let shown = client.query_one(&format!("SHOW CREATE {word} {}", identifier(name))).await.context(failed)?;
    let create = shown.bytes(column)?.ok_or_else(|| {
        Error::Denied(format!(
            "{} {database}.{name}: the account may not see its text; grant it SHOW_ROUTINE (MySQL), SHOW CREATE ROUTINE \
             (MariaDB from 11.3), or SELECT on mysql.proc",
            word.to_ascii_lowercase()
        ))
    })?;
    Ok(Sql(create.to_vec()))
}

/// With its comment as it is read where a backslash is a letter like any other: servers show it with escapes in any mode, and the
/// rest of the statement as it was written.
fn with_plain_comment(create: &[u8], comment: &[u8]) -> Vec<u8> {
    let clause = |escape: fn(u8) -> Option<&'static [u8]>| {
        let mut clause = b"COMMENT '".to_vec();
        for byte in comment {
            match escape(*byte) {
                Some(escaped) => clause.extend_from_slice(escaped),
                None => clause.push(*byte),
            }
        }
        clause.push(b'\'');
        clause
    };
    let shown = clause(|byte| match byte {
        0 => Some(b"\\0"),
        b'\n' => Some(b"\\n"),
        b'\r' => Some(b"\\r"),
        b'\\' => Some(b"\\\\"),
        b'\'' => Some(b"''"),
        _ => None,
    });
    let plain = clause(|byte| (byte == b'\'').then_some(b"''"));
    // In front of the body, which may have one of its own.
    let Some(begin) = create.windows(shown.len()).position(|window| window == shown) else { return create.to_vec() };
    let (before, rest) = create.split_at(begin);
    [before, &plain, rest.get(shown.len()..).unwrap_or_default()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_worded_for_the_mode() {
        let create = br"CREATE PROCEDURE `p`() COMMENT 'a\\b''c\n' SELECT 'COMMENT ''a\\b'";
        let plain = b"CREATE PROCEDURE `p`() COMMENT 'a\\b''c\n' SELECT 'COMMENT ''a\\\\b'";
        assert_eq!(String::from_utf8_lossy(&with_plain_comment(create, b"a\\b'c\n")), String::from_utf8_lossy(plain));
        assert_eq!(with_plain_comment(b"CREATE PROCEDURE", b"x"), b"CREATE PROCEDURE");
    }
}
