//! The moment that a dump shows: several sessions that see the same rows, the definitions that belong to them, and the place
//! in the binary log.
//!
//! Writing is stopped, for as long as it takes to begin the workers' transactions, to list what there is and to ask for the position.
//! DDL is held off until the definitions are read as well, where the server can do that without holding up anything else. How, the
//! server and the account's privileges decide:
//!
//! | | writing stopped by | DDL held off by | needs |
//! |---|---|---|---|
//! | MariaDB from 10.4.1 | `BACKUP STAGE BLOCK_COMMIT` | `BACKUP STAGE BLOCK_DDL`, before it | RELOAD |
//! | MySQL 8, 9 | `FLUSH TABLES WITH READ LOCK` | `LOCK INSTANCE FOR BACKUP`, within it | RELOAD; BACKUP_ADMIN |
//! | others | `FLUSH TABLES WITH READ LOCK` | – | RELOAD |
//! | without RELOAD | `LOCK TABLES … READ` of what is dumped | as above, where allowed | LOCK TABLES |
//! | without LOCK TABLES | nothing: one session reads everything in one snapshot | as above, where allowed | – |
//!
//! MySQL's instance lock comes within the global one and not before it: a DDL that waits for the former while we wait for the latter
//! would be a deadlock, which the server ends by failing the DDL.
//!
//! `LOCK TABLES … READ` gives what the global lock gives: it waits for every transaction that has written to one of the tables,
//! lets none write to them, and a snapshot that begins under it has all that was committed before and nothing after. Where
//! nothing holds DDL off, the list of objects is read again after the definitions: if it differs, all of it is done once more. What
//! an ALTER does to a table after that is found out when its rows are read.
//!
//! The locks are this session's, so they go when it goes, however it does: with an error, with the component, or killed when
//! the run is asked to stop.

use crate::catalog::{self, Catalog, Objects, Selection, Storage, Stored, Table};
use crate::client::{Client, Login, ServerError};
use crate::layout::Position;
use crate::session;
use crate::sql::identifier;
use coffer_addon::{Application, Context as _, Error, Result, omitted};
use futures::future::try_join_all;
use std::time::Duration;

/// How often definitions are read again because of DDL in between.
const ATTEMPTS: u32 = 3;

/// A server that is asked for what it has not answers that it does not understand.
const SYNTAX: [u16; 2] = [1064, 1235];

/// Sessions that see one moment.
pub struct Point {
    pub catalog: Catalog,
    /// Each in a transaction with the snapshot.
    pub workers: Vec<Client>,
    /// Holds the lock on tables without transactions, and reads them.
    pub keeper: Option<Client>,
    pub position: Option<Position>,
    /// How writing was stopped, for the report.
    pub by: Freeze,
}

/// What a point is made for.
pub struct Wanted<'a> {
    pub selection: Selection<'a>,
    pub users: bool,
    /// Whether rows are read at all.
    pub rows: bool,
    /// How many workers there should be.
    pub jobs: usize,
    pub lock_timeout: Duration,
    /// Whether tables without transactions may be locked until they were read.
    pub may_lock: bool,
}

/// What stops writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freeze {
    Stage,
    Global,
    Tables,
    Nothing,
}

impl Freeze {
    pub fn name(self) -> &'static str {
        match self {
            Freeze::Stage => "BACKUP STAGE",
            Freeze::Global => "FLUSH TABLES WITH READ LOCK",
            Freeze::Tables => "LOCK TABLES",
            Freeze::Nothing => "one snapshot",
        }
    }
}

/// Opens the sessions and has them see one moment.
pub async fn fix(application: &Application, login: &Login, leader: &mut Client, wanted: &Wanted<'_>) -> Result<Point> {
    let selection = &wanted.selection;
    let staged = stage(leader).await?;
    let (mut workers, mut keeper) = (Vec::new(), None);
    let mut remedy = "";
    for _ in 0..ATTEMPTS {
        let before = Objects::read(leader, selection).await?;
        let early = if staged { Some(catalog::read(leader, selection, &before, wanted.users).await?) } else { None };
        let tables = if wanted.rows { before.tables(selection) } else { Vec::new() };
        let (locked, others): (Vec<Stored<'_>>, Vec<Stored<'_>>) =
            tables.iter().partition(|table| table.storage == Storage::Locked);
        check_locked(&locked, wanted)?;
        // They are open before anybody has to wait for what they do then.
        while workers.len() < wanted.jobs && !others.is_empty() {
            workers.push(open(application, login, wanted.lock_timeout).await?);
        }
        if keeper.is_none() && !locked.is_empty() {
            keeper = Some(open(application, login, wanted.lock_timeout).await?);
        }

        let by = freeze(leader, staged, &tables).await?;
        if by == Freeze::Nothing {
            workers.truncate(1);
        }
        try_join_all(workers.iter_mut().map(begin)).await?;
        let position = match (by, workers.first_mut()) {
            (Freeze::Nothing, Some(worker)) => snapshot_position(worker).await?,
            (Freeze::Nothing, None) => None,
            _ => position(leader).await?,
        };
        if let Some(keeper) = &mut keeper {
            lock(keeper, by, &locked).await?;
        }
        if let Some(mut catalog) = early {
            // They moved on until now, and rows of the snapshot may have their values.
            catalog.move_sequences(leader).await?;
            release(leader, by).await?;
            return Ok(Point { catalog, workers, keeper, position, by });
        }
        let is_held = hold_ddl(leader).await?;
        let objects = Objects::read(leader, selection).await?;
        let settled = match by {
            // It holds DDL off by itself: this is what there is, and nothing was made of what was there before.
            Freeze::Global => same_sessions(&tables, &objects.tables(selection)),
            Freeze::Nothing => !wanted.rows,
            _ => false,
        };
        let mut changed = if settled { None } else { before.difference(&objects) };
        if changed.is_none() {
            release(leader, by).await?;
            let catalog = catalog::read(leader, selection, &objects, wanted.users).await;
            if is_held {
                let catalog = catalog?;
                leader.execute("UNLOCK INSTANCE").await?;
                return Ok(Point { catalog, workers, keeper, position, by });
            }
            // What went wrong because of a change is no reason to give up; a lost connection is.
            changed = match (Objects::read(leader, selection).await, &catalog) {
                (Ok(now), _) => objects.difference(&now),
                (Err(_), Err(first)) => return Err(first.clone()),
                (Err(error), Ok(_)) => return Err(error),
            };
            if changed.is_none() {
                return Ok(Point { catalog: catalog?, workers, keeper, position, by });
            }
            remedy = "; granted BACKUP_ADMIN (MySQL 8) or RELOAD (MariaDB), the account holds that off for a moment";
        } else {
            remedy = match by {
                Freeze::Tables | Freeze::Nothing => "; granted RELOAD, the account holds that off for a moment",
                _ => "",
            };
            if is_held {
                leader.execute("UNLOCK INSTANCE").await?;
            }
            release(leader, by).await?;
        }
        coffer_addon::info!("again, as these changed meanwhile: {}", changed.unwrap_or_default());
        if let Some(keeper) = &mut keeper {
            keeper.execute("UNLOCK TABLES").await?;
        }
    }
    Err(Error::Failed(format!(
        "objects changed while their definitions were read, {ATTEMPTS} times; run the dump when nobody makes or alters any{remedy}"
    )))
}

/// Whether the sessions that were opened for one list of tables do for the other.
fn same_sessions(one: &[Stored<'_>], other: &[Stored<'_>]) -> bool {
    let locked = |tables: &[Stored<'_>]| -> Vec<String> {
        let locked = tables.iter().filter(|table| table.storage == Storage::Locked);
        locked.map(|table| format!("{}.{}", identifier(table.database), identifier(table.name))).collect()
    };
    let has_others = |tables: &[Stored<'_>]| tables.iter().any(|table| table.storage != Storage::Locked);
    locked(one) == locked(other) && has_others(one) == has_others(other)
}

fn named(tables: &[Stored<'_>]) -> String {
    omitted::line(tables.iter().map(|table| format!("{}.{} ({})", table.database, table.name, table.engine)))
}

fn check_locked(locked: &[Stored<'_>], wanted: &Wanted<'_>) -> Result<()> {
    if wanted.may_lock || locked.is_empty() {
        return Ok(());
    }
    Err(Error::Unsupported(format!(
        "these tables have no transactions, and nonTransactional says to refuse them: {}; convert or exclude them, or set \
         nonTransactional to lock",
        named(locked)
    )))
}

/// Runs a statement that may need a privilege or a version: whether it was done.
async fn allowed(client: &mut Client, sql: &str) -> Result<bool> {
    match client.try_execute(sql).await? {
        Ok(_) => Ok(true),
        Err(ServerError { number, .. }) if SYNTAX.contains(&number) => Ok(false),
        Err(error) => match error.during(sql) {
            Error::Denied(_) => Ok(false),
            error => Err(error),
        },
    }
}

/// MariaDB's way: whether DDL is held off by it.
async fn stage(leader: &mut Client) -> Result<bool> {
    let waited = || "unable to hold off DDL within lockTimeout; somebody alters a table, writes to one without transactions, or makes a backup";
    if !leader.version().is_mariadb(100_401) || !allowed(leader, "BACKUP STAGE START").await.context(waited)? {
        return Ok(false);
    }
    leader.execute("BACKUP STAGE BLOCK_DDL").await.context(waited)?;
    Ok(true)
}

/// MySQL's way: whether DDL is held off by it.
async fn hold_ddl(leader: &mut Client) -> Result<bool> {
    let waited = || "unable to hold off DDL within lockTimeout; somebody alters a table";
    Ok(leader.version().is_mysql(80_000) && allowed(leader, "LOCK INSTANCE FOR BACKUP").await.context(waited)?)
}

async fn freeze(leader: &mut Client, staged: bool, tables: &[Stored<'_>]) -> Result<Freeze> {
    let waited = || "unable to stop writing within lockTimeout; a statement, a transaction or a lock of somebody else takes longer";
    if staged {
        // Also where there is nothing to stop: a stage that was begun is ended in one way.
        leader.execute("BACKUP STAGE BLOCK_COMMIT").await.context(waited)?;
        return Ok(Freeze::Stage);
    }
    if tables.is_empty() {
        return Ok(Freeze::Nothing);
    }
    if allowed(leader, "FLUSH TABLES WITH READ LOCK").await.context(waited)? {
        return Ok(Freeze::Global);
    }
    if allowed(leader, &read_locks(tables)).await.context(waited)? {
        return Ok(Freeze::Tables);
    }
    coffer_addon::warn!(
        "the account has neither RELOAD nor LOCK TABLES on all that is dumped: one connection reads everything, in one snapshot"
    );
    Ok(Freeze::Nothing)
}

async fn release(leader: &mut Client, by: Freeze) -> Result<()> {
    match by {
        Freeze::Stage => leader.execute("BACKUP STAGE END").await?,
        Freeze::Global | Freeze::Tables => leader.execute("UNLOCK TABLES").await?,
        Freeze::Nothing => return Ok(()),
    };
    Ok(())
}

fn read_locks(tables: &[Stored<'_>]) -> String {
    let lock = |table: &Stored<'_>| format!("{}.{} READ", identifier(table.database), identifier(table.name));
    format!("LOCK TABLES {}", tables.iter().map(lock).collect::<Vec<_>>().join(", "))
}

/// A session for rows.
async fn open(application: &Application, login: &Login, lock_timeout: Duration) -> Result<Client> {
    let mut client = Client::connect(application, login, None).await?;
    session::prepare_dump(&mut client, lock_timeout).await?;
    catalog::as_is(&mut client).await?;
    client.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
    Ok(client)
}

/// Has it see what is there now.
async fn begin(worker: &mut Client) -> Result<()> {
    worker.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await?;
    Ok(())
}

/// Locks tables without transactions until they were read.
async fn lock(keeper: &mut Client, by: Freeze, tables: &[Stored<'_>]) -> Result<()> {
    if by == Freeze::Nothing {
        return Err(Error::Denied(format!(
            "tables without transactions can only be dumped under a lock, and the account has neither RELOAD nor LOCK TABLES: \
             {}; grant one of them or exclude the tables",
            named(tables)
        )));
    }
    let outcome = keeper.execute(&read_locks(tables)).await;
    outcome.map(drop).map_err(|error| match error {
        Error::Denied(text) => Error::Denied(format!(
            "{text}; tables without transactions have to be locked while they are read: grant LOCK TABLES or exclude them"
        )),
        error => error.context("unable to lock the tables without transactions within lockTimeout"),
    })
}

/// Where the binary log is, while nobody writes.
async fn position(leader: &mut Client) -> Result<Option<Position>> {
    let version = leader.version().clone();
    let status = if version.is_mysql(80_200) { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
    let mut position = Position::default();
    match leader.query(status).await {
        Ok(rows) => {
            if let Some(row) = rows.first() {
                position.file = row.opt("File")?.map(Into::into);
                position.offset = row.opt("Position")?.and_then(|offset| offset.parse().ok());
            }
        }
        Err(Error::Denied(_)) => coffer_addon::warn!(
            "the position in the binary log is not recorded: the account has not REPLICATION CLIENT (BINLOG MONITOR of MariaDB)"
        ),
        Err(error) => return Err(error),
    }
    let variable = if version.is_mysql(0) { "gtid_executed" } else { "gtid_binlog_pos" };
    let gtid = leader.query_one(&format!("SELECT @@GLOBAL.{variable} AS gtid")).await?;
    // Long sets come with line ends.
    position.gtid = gtid.opt("gtid")?.map(|gtid| gtid.replace('\n', "")).filter(|gtid| !gtid.is_empty());
    Ok((position != Position::default()).then_some(position))
}

/// The same for a snapshot that was taken while others wrote; only MariaDB knows.
async fn snapshot_position(worker: &mut Client) -> Result<Option<Position>> {
    if worker.version().is_mysql(0) {
        return Ok(None);
    }
    let mut position = Position::default();
    for row in worker.query("SHOW STATUS LIKE 'binlog_snapshot_%'").await? {
        let value = row.at(1).filter(|value| !value.is_empty()).map(String::from);
        match row.at(0).map(str::to_ascii_lowercase).as_deref() {
            Some("binlog_snapshot_file") => position.file = value,
            Some("binlog_snapshot_position") => position.offset = value.and_then(|offset| offset.parse().ok()),
            _ => {}
        }
    }
    if let (Some(file), Some(offset)) = (&position.file, position.offset) {
        let sql = format!("SELECT BINLOG_GTID_POS({}, {offset}) AS gtid", crate::sql::literal(file));
        position.gtid = worker.query_one(&sql).await?.opt("gtid")?.filter(|gtid| !gtid.is_empty()).map(Into::into);
    }
    Ok((position != Position::default()).then_some(position))
}

impl Table {
    /// With its database, for people.
    pub fn name(&self) -> String {
        format!("{}.{}", self.database, self.index.name)
    }

    /// With its database, quoted.
    pub fn quoted(&self) -> String {
        format!("{}.{}", identifier(&self.database), identifier(&self.index.name))
    }
}
