//! Definitions as mydumper's files, for `myloader` and `mysql`. Coffer's own restore takes them from the index.

use super::splitting::{Grammar, in_file};
use crate::layout::{Database, Index, Program, Sequence, Table};
use crate::sql::{identifier, literal};
use std::collections::BTreeMap;

/// The session of every file with definitions.
const HEAD: &str = "\
/*!40101 SET NAMES utf8mb4 */;
/*!40014 SET FOREIGN_KEY_CHECKS=0 */;
/*!40103 SET TIME_ZONE='+00:00' */;
/*!40101 SET SQL_MODE='NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES' */;
";

/// All files with definitions, in an order in which they can be run.
pub fn schema(index: &Index) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for database in &index.databases {
        let create = database.create.text().replacen("CREATE DATABASE ", "CREATE DATABASE IF NOT EXISTS ", 1);
        files.push((format!("{}-schema-create.sql", database.file), format!("{HEAD}{create};\n").into_bytes()));
        for sequence in &database.sequences {
            files.push((format!("{}-schema-sequence.sql", sequence.file), sequence_file(sequence)));
        }
        for table in &database.tables {
            let text = [HEAD.as_bytes(), table.create.bytes(), b";\n"].concat();
            files.push((format!("{}-schema.sql", table.file), text));
        }
    }
    // Whatever is read from is there before the first view is, if only by its name.
    for view in &index.views {
        files.push((format!("{}-schema.sql", view.file), placeholder(view)));
    }
    for database in &index.databases {
        let post: Vec<&Program> = database.routines.iter().chain(&database.events).collect();
        if !post.is_empty() {
            files.push((format!("{}-schema-post.sql", database.file), programs(database, &post)));
        }
    }
    for view in &index.views {
        files.push((format!("{}-schema-view.sql", view.file), view_file(view)));
    }
    for database in &index.databases {
        for table in &database.tables {
            let own: Vec<&Program> =
                database.triggers.iter().filter(|trigger| trigger.table.as_deref() == Some(&table.name)).collect();
            if !own.is_empty() {
                files.push((format!("{}-schema-triggers.sql", table.file), programs(database, &own)));
            }
        }
    }
    files
}

fn sequence_file(sequence: &Sequence) -> Vec<u8> {
    [HEAD.as_bytes(), sequence.create.bytes(), b";\n", sequence.set.bytes(), b";\n"].concat()
}

/// A table in a view's place, for those that are made before it and read from it.
fn placeholder(view: &Program) -> Vec<u8> {
    let columns: Vec<String> = view.columns.iter().map(|column| format!("{} int", identifier(column))).collect();
    let columns = columns.join(",\n");
    format!("{HEAD}CREATE TABLE IF NOT EXISTS {}(\n{columns}\n) ENGINE=MEMORY;\n", identifier(&view.name)).into_bytes()
}

fn view_file(view: &Program) -> Vec<u8> {
    let name = identifier(&view.name);
    let mut text = format!("{HEAD}DROP TABLE IF EXISTS {name};\nDROP VIEW IF EXISTS {name};\n").into_bytes();
    text.extend_from_slice(session(view).join(";\n").as_bytes());
    text.extend_from_slice(b";\n");
    text.extend_from_slice(view.create.bytes());
    text.extend_from_slice(b";\n");
    text
}

/// The session that a program was made in.
fn session(program: &Program) -> Vec<String> {
    let mut session = vec![
        format!("/*!50001 SET character_set_client = {} */", program.character_set_client),
        format!("/*!50001 SET collation_connection = {} */", program.collation_connection),
    ];
    if let Some(mode) = &program.sql_mode {
        session.push(format!("/*!50003 SET sql_mode = {} */", literal(mode)));
    }
    if let Some(zone) = &program.time_zone {
        session.push(format!("/*!50106 SET time_zone = {} */", literal(zone)));
    }
    session
}

/// Routines and events of a database, or triggers of a table.
fn programs(database: &Database, programs: &[&Program]) -> Vec<u8> {
    let mut text = HEAD.as_bytes().to_vec();
    let mut add = |statement: &[u8]| {
        text.extend_from_slice(statement);
        text.extend_from_slice(b";\n");
    };
    for program in programs {
        session(program).iter().for_each(|setting| add(setting.as_bytes()));
        // The server keeps the database's collation of that day with a program.
        let then = program.database_collation.as_deref().filter(|collation| *collation != database.collation);
        if let Some(then) = then {
            add(format!("ALTER DATABASE COLLATE {then}").as_bytes());
        }
        let grammar = Grammar::of(program.sql_mode.as_deref().unwrap_or_default());
        add(&in_file(program.create.bytes(), grammar));
        if then.is_some() {
            add(format!("ALTER DATABASE COLLATE {}", database.collation).as_bytes());
        }
    }
    text
}

/// Accounts and roles. One that is there is left as it is.
pub fn users(index: &Index) -> Vec<u8> {
    let mut text = HEAD.as_bytes().to_vec();
    for account in &index.accounts {
        let kind = if account.role { "CREATE ROLE " } else { "CREATE USER " };
        let create = account.create.text().replacen(kind, &format!("{kind}IF NOT EXISTS "), 1);
        text.extend_from_slice(format!("{create};\n").as_bytes());
    }
    text
}

/// What they are granted.
pub fn grants(index: &Index) -> Vec<u8> {
    let mut text = HEAD.as_bytes().to_vec();
    for grant in index.accounts.iter().flat_map(|account| &account.grants) {
        // MariaDB before 11 knows that word in one mode only.
        let mode = if grant.text().contains(" ON PACKAGE ") { "ORACLE" } else { "" };
        text.extend_from_slice(format!("/*!40101 SET SQL_MODE='{mode}' */;\n").as_bytes());
        text.extend_from_slice(grant.bytes());
        text.extend_from_slice(b";\n");
    }
    text
}

/// The key file that `myloader` reads first. `counts` are the rows by [`Table::file`], times are the server's, in UTC.
pub fn metadata(index: &Index, counts: &BTreeMap<String, u64>, started: &str, finished: &str) -> Vec<u8> {
    let mut text = format!(
        "# Started dump at: {started}\n[config]\nquote-character = BACKTICK\n\n\
         [myloader_session_variables]\nSQL_MODE='NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES' /*!40101\n\n"
    );
    if let Some(position) = &index.position {
        text.push_str("[source]\n");
        for (name, value) in [
            ("SOURCE_LOG_FILE", position.file.clone()),
            ("SOURCE_LOG_POS", position.offset.map(|offset| offset.to_string())),
            ("executed_gtid_set", position.gtid.clone()),
        ] {
            if let Some(value) = value {
                // For whoever reads it: `myloader` would set up replication by what is no comment.
                text.push_str(&format!("# {name} = \"{value}\"\n"));
            }
        }
        text.push('\n');
    }
    let mut section = |file: &str, name: &str, more: &str| {
        let file = file.replacen('.', "`.`", 1);
        // A line's end has no place in such a file; `myloader` finds that name in the statements too.
        let real = if name.contains('\n') { String::new() } else { format!("real_table_name={name}\n") };
        text.push_str(&format!("[`{file}`]\n{real}{more}\n"));
    };
    for database in &index.databases {
        for sequence in &database.sequences {
            section(&sequence.file, &sequence.name, "is_sequence = 1\n");
        }
        for Table { file, name, .. } in &database.tables {
            let rows = counts.get(file).copied().unwrap_or(0);
            section(file, name, &format!("rows = {rows}\n"));
        }
    }
    for view in &index.views {
        section(&view.file, &view.name, "is_view = 1\n");
    }
    text.push_str(&format!("# Finished dump at: {finished}\n"));
    text.into_bytes()
}
