//! What is made besides rows: tables, sequences and routines in front of them; views, triggers and events behind.

use super::keys::Late;
use super::parameters::Definer;
use super::plan::Plan;
use super::rewrite::{Wording, to_current_user};
use super::session::{Remarks, Session};
use super::target;
use crate::layout::{Database, Program, Sql};
use crate::sql::{identifier, literal};
use coffer_addon::host::{self, Level};
use coffer_addon::{Context as _, Error, Result};

/// The server's number for a missing privilege that is not one on an object.
const NOT_PRIVILEGED: u16 = 1227;

/// Remarks by which an object is not what the dump has: a key that was cut, a column that became another type.
const CHANGED: [u16; 2] = [1071, 1246];

/// Remarks that a way to say something is going to be dropped: the object is what it was.
const DEPRECATED: [u16; 5] = [1287, 1681, 3719, 3778, 4079];

/// Everything that rows need, and what views may call.
pub async fn tables_and_routines(session: &mut Session, plan: &Plan<'_>, late: &Late<'_>) -> Result<()> {
    // A table's default may come from another database's sequence.
    for database in &plan.index.databases {
        for sequence in &database.sequences {
            run(session, plan, database, &sequence.create, "sequence", &sequence.name).await?;
        }
    }
    for database in &plan.index.databases {
        for table in &database.tables {
            run(session, plan, database, &late.create(table), "table", &table.name).await?;
        }
    }
    for database in &plan.index.databases {
        programs(session, plan, database, &database.routines).await?;
    }
    Ok(())
}

/// What only looks at rows.
pub async fn views(session: &mut Session, plan: &Plan<'_>) -> Result<()> {
    for view in &plan.index.views {
        program(session, plan, view, None).await?;
    }
    Ok(())
}

/// Where sequences stood.
pub async fn set_sequences(session: &mut Session, plan: &Plan<'_>) -> Result<()> {
    for database in &plan.index.databases {
        for sequence in &database.sequences {
            run(session, plan, database, &sequence.set, "sequence", &sequence.name).await?;
        }
    }
    Ok(())
}

/// What would act on every row.
pub async fn triggers(session: &mut Session, plan: &Plan<'_>) -> Result<()> {
    for database in &plan.index.databases {
        programs(session, plan, database, &database.triggers).await?;
    }
    Ok(())
}

/// What acts by itself.
pub async fn events(session: &mut Session, plan: &Plan<'_>) -> Result<()> {
    for database in &plan.index.databases {
        programs(session, plan, database, &database.events).await?;
    }
    Ok(())
}

async fn run(
    session: &mut Session,
    plan: &Plan<'_>,
    database: &Database,
    sql: &Sql,
    kind: &str,
    name: &str,
) -> Result<()> {
    let target = plan.target(&database.name);
    let object = format!("{kind} {}.{}", identifier(target), identifier(name));
    let failed = || format!("unable to restore {object}");
    let renamed = plan.renames.apply_to(sql, "utf8mb4", Wording::default()).context(failed)?;
    session.enter(target).await.context(failed)?;
    let done = session.client.execute_private(renamed.bytes()).await.context(failed)?;
    let remarks = session.remarks(done).await.context(failed)?;
    pass_on(&object, &remarks)
}

/// The server took the statement, and has remarks: not to be lost, and some of them say that it made something else.
pub fn pass_on(object: &str, remarks: &Remarks) -> Result<()> {
    for remark in remarks {
        let text = remark.without_values().message().to_string();
        if CHANGED.contains(&remark.number) {
            return Err(Error::Unsupported(format!(
                "the server would make another {object} than the dump has: {text}"
            )));
        }
        let level = if DEPRECATED.contains(&remark.number) { Level::Debug } else { Level::Warn };
        host::log(level, &format!("{object} was made, and the server remarks: {text}"), &[]);
    }
    Ok(())
}

/// Servers keep the database's collation of the moment with each program. Where it was another then, it is that for a moment.
async fn programs(session: &mut Session, plan: &Plan<'_>, database: &Database, programs: &[Program]) -> Result<()> {
    for one in programs {
        let collation = one.database_collation.as_deref().filter(|collation| *collation != database.collation);
        program(session, plan, one, collation.map(|collation| (collation, database.collation.as_str()))).await?;
    }
    Ok(())
}

/// `collation`: what the database's is while the program is made, and what it is otherwise.
async fn program(
    session: &mut Session,
    plan: &Plan<'_>,
    program: &Program,
    collation: Option<(&str, &str)>,
) -> Result<()> {
    let failed = || format!("unable to restore {}", target::name(program, plan));
    let mut sql = plan.renames.apply_to_program(program).context(failed)?;
    if plan.parameters.definer == Definer::Current {
        sql = to_current_user(&sql, program.sql_mode.as_deref().unwrap_or_default());
    }
    let database = plan.target(&program.database);
    session.enter(database).await.context(failed)?;
    let collate = |collation: &str| format!("ALTER DATABASE {} COLLATE {}", identifier(database), literal(collation));
    if let Some((then, _)) = collation {
        session.client.execute(&collate(then)).await.context(failed)?;
    }
    let outcome = session.make(program, &sql).await.context(failed)?;
    if let Some((_, now)) = collation {
        session.client.execute(&collate(now)).await.context(failed)?;
    }
    match (outcome, &program.definer) {
        (Err(error), Some(definer)) if error.number == NOT_PRIVILEGED && plan.parameters.definer == Definer::Keep => {
            Err(target::may_not_set(&target::name(program, plan), definer))
        }
        (Err(error), _) => Err(error.without_values().context(failed())),
        (Ok(remarks), _) => pass_on(&target::name(program, plan), &remarks),
    }
}
