//! The server that is restored into: what is there already, and whether it may stay, must go, or stops the restore.

use super::parameters::Definer;
use super::plan::Plan;
use super::session::Session;
use crate::catalog::Privileges;
use crate::layout::{Database, Program, ProgramKind};
use crate::sql::{identifier, literal};
use coffer_addon::{Context as _, Error, Result, omitted};
use std::collections::{BTreeMap, BTreeSet};

/// Of one database; none where it is not there.
struct There {
    charset: String,
    collation: String,
    /// Type by name, as information_schema.tables has them; by name in small letters where the server folds.
    tables: BTreeMap<String, String>,
    folds: bool,
    /// Routines and events, as an error names them.
    others: Vec<String>,
}

impl There {
    /// The type of what has a table's name.
    fn table(&self, name: &str) -> Option<&str> {
        self.tables.get(&folded(name, self.folds)).map(String::as_str)
    }
}

/// A name as it is compared: where `lower_case_table_names` is not 0, `A` and `a` are one.
fn folded(name: &str, folds: bool) -> String {
    if folds { name.to_lowercase() } else { name.to_string() }
}

/// Looks at everything that could stand in the way. Changes nothing.
pub async fn check(session: &mut Session, plan: &Plan<'_>) -> Result<()> {
    check_names(session, plan).await?;
    for database in &plan.index.databases {
        let target = plan.target(&database.name);
        let Some(there) = look(session, target).await? else {
            if plan.index.schema {
                continue;
            }
            return Err(Error::InvalidParameter(format!(
                "database {target} is not there, and the dump has rows alone; restore its schema first"
            )));
        };
        if !plan.index.schema {
            check_tables(session, plan, database, &there).await?;
        } else if !plan.parameters.overwrite {
            let objects = there.tables.keys().map(|table| format!("table {table}")).chain(there.others);
            let all: Vec<String> = objects.collect();
            if !all.is_empty() {
                let names = omitted::line(&all);
                return Err(Error::InvalidParameter(format!(
                    "database {target} is not empty: it has {names}; restore under another name with rename, or set \
                     overwrite to replace what the dump has too"
                )));
            }
        }
    }
    check_time_zones(session, plan).await?;
    check_definers(session, plan).await
}

/// Named time zones are known only to servers whose tables of them were loaded.
async fn check_time_zones(session: &mut Session, plan: &Plan<'_>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for event in plan.programs().filter(|program| plan.index.schema && program.kind == ProgramKind::Event) {
        let Some(zone) = event.time_zone.as_deref().filter(|zone| *zone != "SYSTEM" && seen.insert(*zone)) else {
            continue;
        };
        let sql = format!("SELECT CONVERT_TZ('2000-01-01 12:00:00', '+00:00', {}) IS NULL AS unknown", literal(zone));
        if session.client.query_one(&sql).await?.get("unknown")? == "1" {
            return Err(Error::InvalidParameter(format!(
                "{} is in the time zone {zone}, which the server does not know; load its time zones with \
                 mysql_tzinfo_to_sql (MariaDB: mariadb-tzinfo-to-sql) first",
                name(event, plan)
            )));
        }
    }
    Ok(())
}

/// Servers disagree on whether `A` and `a` are one name.
async fn check_names(session: &mut Session, plan: &Plan<'_>) -> Result<()> {
    let source = plan.index.server.lower_case_table_names;
    let target = case(session).await?;
    let mut databases = BTreeSet::new();
    for database in plan.index.databases.iter().map(|database| plan.target(&database.name)) {
        if target != 0 && !databases.insert(database.to_lowercase()) {
            return Err(Error::InvalidParameter(format!(
                "two databases would become {database} in other cases, and the server (lower_case_table_names = {target}) \
                 takes both for one"
            )));
        }
    }
    if source == target {
        return Ok(());
    }
    let mut seen = BTreeSet::new();
    let names = plan.index.databases.iter().flat_map(|database| {
        let names = database.tables.iter().map(|table| &table.name);
        let views = plan.index.views.iter().filter(|view| view.database == database.name).map(|view| &view.name);
        names.chain(views).map(move |name| format!("{}.{name}", plan.target(&database.name)))
    });
    for name in names {
        if target != 0 && !seen.insert(name.to_lowercase()) {
            return Err(Error::Unsupported(format!(
                "{name} differs from another name in the dump only by case, and the server (lower_case_table_names = {target}) \
                 takes both for one"
            )));
        }
    }
    coffer_addon::warn!("lower_case_table_names is {target} here and was {source} there: names may be found or not");
    Ok(())
}

/// `lower_case_table_names`.
async fn case(session: &mut Session) -> Result<u32> {
    let row = session.client.query_one("SELECT @@lower_case_table_names AS setting").await?;
    row.parse("setting")
}

async fn look(session: &mut Session, database: &str) -> Result<Option<There>> {
    let folds = case(session).await? != 0;
    // What information_schema compares by is not what the server does.
    let is_it = if folds {
        format!("LOWER(schema_name) = {}", literal(&folded(database, folds)))
    } else {
        format!("schema_name = {}", literal(database))
    };
    let rows = session
        .client
        .query(&format!(
            "SELECT schema_name AS name, default_character_set_name AS charset, default_collation_name AS collation \
             FROM information_schema.schemata WHERE {is_it}"
        ))
        .await?;
    let Some(row) =
        rows.iter().find(|row| row.at(0).is_some_and(|name| folded(name, folds) == folded(database, folds)))
    else {
        return Ok(None);
    };
    let (charset, collation) = (row.get("charset")?.to_string(), row.get("collation")?.to_string());
    let name = literal(row.get("name")?);
    let mut tables = BTreeMap::new();
    let sql = format!(
        "SELECT table_name AS name, table_type AS type FROM information_schema.tables WHERE table_schema = {name}"
    );
    for row in session.client.query(&sql).await? {
        tables.insert(folded(row.get("name")?, folds), row.get("type")?.to_string());
    }
    let mut others = Vec::new();
    let sql = format!(
        "SELECT CONCAT(LOWER(routine_type), ' ', routine_name) AS name FROM information_schema.routines \
         WHERE routine_schema = {name} UNION ALL \
         SELECT CONCAT('event ', event_name) FROM information_schema.events WHERE event_schema = {name}"
    );
    for row in session.client.query(&sql).await? {
        others.push(row.get("name")?.to_string());
    }
    Ok(Some(There { charset, collation, tables, folds, others }))
}

/// Rows alone go into tables that are there, are empty, and do nothing by themselves.
async fn check_tables(session: &mut Session, plan: &Plan<'_>, database: &Database, there: &There) -> Result<()> {
    let target = plan.target(&database.name);
    // The others hold rows of elsewhere, or none.
    let with_rows = || database.tables.iter().filter(|table| table.rows);
    for table in with_rows() {
        let name = plan.table(database, table);
        if there.table(&table.name).is_none() {
            return Err(Error::InvalidParameter(format!(
                "table {name} is not there, and the dump has rows alone; restore its schema first"
            )));
        }
        let all = if table.history { " FOR SYSTEM_TIME ALL" } else { "" };
        let is_filled = !session.client.query(&format!("SELECT 1 FROM {name}{all} LIMIT 1")).await?.is_empty();
        if is_filled && !plan.parameters.overwrite {
            return Err(Error::InvalidParameter(format!(
                "table {name} is not empty; set overwrite to replace its rows, or restore elsewhere with rename"
            )));
        }
    }
    // Without the privilege the server lists none, and they would act.
    if with_rows().next().is_some() && !Privileges::read(&mut session.client).await?.on(target, "TRIGGER") {
        return Err(Error::Denied(format!(
            "the user who restores may not see the triggers of database {target}, which would act on every row; grant it TRIGGER \
             on {}.*",
            identifier(target)
        )));
    }
    let sql = format!(
        "SELECT trigger_name AS name, event_object_table AS tab FROM information_schema.triggers WHERE {}",
        if there.folds {
            format!("LOWER(event_object_schema) = {}", literal(&folded(target, true)))
        } else {
            format!("event_object_schema = {}", literal(target))
        }
    );
    for row in session.client.query(&sql).await? {
        let (trigger, of) = (row.get("name")?, row.get("tab")?);
        if with_rows().any(|table| folded(&table.name, there.folds) == folded(of, there.folds)) {
            return Err(Error::InvalidParameter(format!(
                "table {target}.{of} has the trigger {trigger}, which would act on every row; drop it before rows are restored"
            )));
        }
    }
    Ok(())
}

/// Whoever is named as a definer has to be there, or the objects cannot be used.
async fn check_definers(session: &mut Session, plan: &Plan<'_>) -> Result<()> {
    if plan.parameters.definer == Definer::Current {
        return Ok(());
    }
    let mut definers: BTreeMap<&str, &Program> = BTreeMap::new();
    for program in plan.programs() {
        if let Some(definer) = &program.definer {
            definers.entry(definer).or_insert(program);
        }
    }
    let coming: Vec<String> = match plan.parameters.users {
        true => plan.index.accounts.iter().map(|account| super::accounts::plain(&account.name)).collect(),
        false => Vec::new(),
    };
    check_may_set(session, &definers, plan).await?;
    for (definer, program) in definers {
        if coming.iter().any(|account| account == definer) {
            continue;
        }
        let (user, host) = definer.rsplit_once('@').unwrap_or((definer, ""));
        let sql = format!("SELECT 1 FROM mysql.user WHERE user = {} AND host = {}", literal(user), literal(host));
        match session.client.query(&sql).await {
            Ok(rows) if rows.is_empty() => {
                return Err(Error::InvalidParameter(format!(
                    "{} belongs to {definer}, who is not there; make that user first, set users if the dump has it, or set \
                     definer to current so that all belongs to the user who restores",
                    name(program, plan)
                )));
            }
            Ok(_) => {}
            Err(Error::Denied(text)) => {
                coffer_addon::debug!("definers are not looked up: {text}");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// To make what belongs to another takes a privilege, which may come by a role as well: then the server has to say.
async fn check_may_set(session: &mut Session, definers: &BTreeMap<&str, &Program>, plan: &Plan<'_>) -> Result<()> {
    const MAY: [&str; 4] = ["SUPER", "SET_USER_ID", "SET_ANY_DEFINER", "SET USER"];
    let row = session.client.query_one("SELECT CURRENT_USER() AS own").await?;
    let own = row.get("own")?.to_string();
    let Some((definer, program)) = definers.iter().find(|(definer, _)| **definer != own) else { return Ok(()) };
    let (user, host) = own.rsplit_once('@').unwrap_or((&own, ""));
    let grantee = literal(&format!("'{user}'@'{host}'"));
    let sql =
        format!("SELECT privilege_type AS name FROM information_schema.user_privileges WHERE grantee = {grantee}");
    for row in session.client.query(&sql).await? {
        if MAY.contains(&row.get("name")?) {
            return Ok(());
        }
    }
    // Versions without roles do not know the function.
    if let Ok(row) = session.client.query_one("SELECT CURRENT_ROLE() AS roles").await
        && row.opt("roles")?.is_some_and(|roles| roles != "NONE")
    {
        return Ok(());
    }
    Err(may_not_set(&name(program, plan), definer))
}

/// What to do about an object that belongs to somebody else.
pub fn may_not_set(object: &str, definer: &str) -> Error {
    Error::Denied(format!(
        "{object} belongs to {definer}, and the user who restores may not make what belongs to another; grant it \
         SET_ANY_DEFINER (MySQL before 8.2: SET_USER_ID, 5.7: SUPER; MariaDB: SET USER), or set definer to current so that all \
         belongs to the user who restores"
    ))
}

/// A program as an error names it.
pub fn name(program: &Program, plan: &Plan<'_>) -> String {
    let database = identifier(plan.target(&program.database));
    format!("{} {database}.{}", program.kind.keyword().to_lowercase(), identifier(&program.name))
}

/// Drops what the dump has too, and makes the databases that are not there.
pub async fn prepare(session: &mut Session, plan: &Plan<'_>) -> Result<()> {
    for database in &plan.index.databases {
        let target = plan.target(&database.name);
        let there = look(session, target).await?;
        match there {
            Some(there) if plan.index.schema => {
                if plan.parameters.overwrite {
                    clear(session, plan, database, &there).await?;
                }
                if (&there.charset, &there.collation) != (&database.charset, &database.collation) {
                    let (charset, collation) = (&database.charset, &database.collation);
                    let (charset, collation) = (literal(charset), literal(collation));
                    let sql =
                        format!("ALTER DATABASE {} CHARACTER SET {charset} COLLATE {collation}", identifier(target));
                    session.client.execute(&sql).await.context(|| format!("unable to change database {target}"))?;
                }
            }
            Some(_) if plan.parameters.overwrite => {
                // To empty one whose rows are elsewhere would empty that.
                for table in database.tables.iter().filter(|table| table.rows) {
                    let name = plan.table(database, table);
                    let emptied = session.client.execute(&format!("DELETE FROM {name}")).await;
                    emptied.context(|| format!("unable to empty table {name}"))?;
                    if table.history {
                        let forgotten = session.client.execute(&format!("DELETE HISTORY FROM {name}")).await;
                        forgotten.context(|| format!("unable to empty the history of table {name}"))?;
                    }
                }
            }
            Some(_) => {}
            None => {
                let sql = plan.renames.apply_to_database(&database.create.text());
                let made = session.client.execute_private(sql.as_bytes()).await;
                made.context(|| format!("unable to make database {target}"))?;
            }
        }
    }
    Ok(())
}

/// Drops what has a name that something in the dump has.
async fn clear(session: &mut Session, plan: &Plan<'_>, database: &Database, there: &There) -> Result<()> {
    let target = identifier(plan.target(&database.name));
    let of_database = |program: &&Program| program.database == database.name;
    for program in plan.programs().filter(of_database).filter(|program| program.kind != ProgramKind::View) {
        let (kind, name) = (program.kind.keyword(), identifier(&program.name));
        let dropped = session.client.execute(&format!("DROP {kind} IF EXISTS {target}.{name}")).await;
        dropped.context(|| format!("unable to drop {} {target}.{name}", kind.to_lowercase()))?;
    }
    let tables = database.tables.iter().map(|table| &table.name);
    let sequences = database.sequences.iter().map(|sequence| &sequence.name);
    let views = plan.index.views.iter().filter(of_database).map(|view| &view.name);
    for name in views.chain(tables).chain(sequences) {
        let kind = match there.table(name) {
            None => continue,
            Some("VIEW") => "VIEW",
            Some("SEQUENCE") => "SEQUENCE",
            Some(_) => "TABLE",
        };
        let name = identifier(name);
        let dropped = session.client.execute(&format!("DROP {kind} IF EXISTS {target}.{name}")).await;
        dropped.context(|| format!("unable to drop {} {target}.{name}", kind.to_lowercase()))?;
    }
    Ok(())
}
