//! mysql-dump: a source that reads databases as they were at one moment.
//!
//! | module | what |
//! |---|---|
//! | [`point`] | the moment: locks, definitions, snapshots, position |
//! | [`rows`] | tables cut into pieces and read |
//! | [`conditions`] | the parameter `where` |
//! | [`writer`] | rows as INSERT statements |
//! | [`files`] | definitions as the files that `myloader` and `mysql` take |

mod conditions;
mod files;
mod point;
mod rows;
mod splitting;
mod writer;

use crate::catalog::{self, Privileges, Selection, Storage, Table};
use crate::client::{Client, Login, stoppable};
use crate::layout::{self, FORMAT, GRANTS, INDEX, Index, MAX_INDEX, METADATA, Server, USERS};
use crate::parameters::{Dump, NonTransactional};
use crate::session;
use coffer_addon::descriptor::COPY_OF;
use coffer_addon::work::{Queue, Tally};
use coffer_addon::{Application, Error, Outbox, Report, Result, omitted};
use futures::future::{try_join, try_join_all};
use futures::lock::Mutex;
use point::{Point, Wanted};
use rows::Rows;
use std::cell::RefCell;

pub async fn dump(application: Application, outbox: Outbox, parameters: Dump) -> Result<Report> {
    if parameters.data_only && parameters.schema_only {
        return Err(Error::InvalidParameter("dataOnly and schemaOnly leave nothing to dump; set one of them".into()));
    }
    let login = Login::from_binding(&application)?;
    stoppable(&application, &login, run(&application, &login, &outbox, parameters)).await
}

async fn run(application: &Application, login: &Login, outbox: &Outbox, mut parameters: Dump) -> Result<Report> {
    let filtered = parameters.filtered();
    if parameters.databases.is_empty() {
        parameters.databases.extend(login.database.clone());
    }
    let mut leader = Client::connect(application, login, None).await?;
    session::check_version(&leader)?;
    session::prepare_dump(&mut leader, parameters.lock_timeout.0).await?;
    catalog::as_is(&mut leader).await?;
    let selection = Selection::new(&mut leader, &parameters).await?;
    let hidden = Privileges::read(&mut leader).await?.missing(leader.version(), &selection);
    omitted::check(&hidden, parameters.allow_unsupported, |names| {
        Error::Denied(format!(
            "the account cannot see all there is, and would leave out: {names}; grant it that, or set allowUnsupported to dump \
             what it sees"
        ))
    })?;

    let started = now(&mut leader).await?;
    let wanted = Wanted {
        selection,
        users: parameters.users,
        rows: !parameters.schema_only,
        jobs: parameters.jobs.up_to(usize::MAX),
        lock_timeout: parameters.lock_timeout.0,
        may_lock: parameters.non_transactional == NonTransactional::Lock,
    };
    let Point { catalog: found, mut workers, keeper, position, by } =
        point::fix(application, login, &mut leader, &wanted).await?;
    omitted::check(&found.unsupported, parameters.allow_unsupported, |names| {
        Error::Unsupported(format!(
            "there are objects that cannot be dumped faithfully: {names}; exclude them, or set allowUnsupported to dump the rest"
        ))
    })?;
    let tables: Vec<&Table> = found.databases.iter().flat_map(|database| &database.tables).collect();
    conditions::check(&mut leader, &parameters, &tables).await?;

    let index = Index {
        format: FORMAT,
        tool: concat!("coffer ", env!("CARGO_PKG_VERSION")).into(),
        server: server(&mut leader).await?,
        schema: !parameters.data_only,
        data: !parameters.schema_only,
        filtered,
        position: position.clone(),
        databases: found.databases.iter().map(|database| indexed(database, !parameters.schema_only)).collect(),
        views: found.views.clone(),
        accounts: found.accounts.clone(),
    };
    outbox.file(INDEX).label("mediaType", "application/json").write_all(&indexed_bytes(&index)?).await?;
    let mut definitions = Vec::new();
    if !index.accounts.is_empty() {
        definitions.push((USERS.to_string(), files::users(&index)));
    }
    if index.schema {
        definitions.extend(files::schema(&index));
    }
    if !index.accounts.is_empty() {
        definitions.push((GRANTS.to_string(), files::grants(&index)));
    }
    for (name, text) in definitions {
        let file = outbox.file(name).label("mediaType", "application/sql").label(COPY_OF, INDEX);
        file.write_all(&text).await?;
    }

    let expected = tables.iter().map(|table| table.index.estimated_bytes).sum();
    let tally = Tally::new(index.data.then_some(expected));
    tables.iter().for_each(|_| tally.add_table());
    coffer_addon::info!(
        "dumping {} tables of {} databases; moment fixed by {}",
        tables.len(),
        index.databases.len(),
        by.name()
    );
    let shared = Rows {
        outbox,
        tally: &tally,
        conditions: &parameters.conditions,
        allow_too_long: parameters.allow_unsupported,
        too_long: RefCell::default(),
        witness: Mutex::new(&mut leader),
        counts: RefCell::default(),
    };
    if index.data {
        let elsewhere: Vec<String> =
            tables.iter().filter(|table| table.storage == Storage::Elsewhere).map(|table| table.name()).collect();
        if !elsewhere.is_empty() {
            coffer_addon::warn!(
                "only the definitions of these are dumped, as their rows are other tables', other servers' or nobody's: {}",
                omitted::line(elsewhere)
            );
        }
        read(&shared, &mut workers, keeper, &tables, parameters.chunk_size).await?;
    }

    let counts = shared.counts.take();
    let mut unsupported = found.unsupported.clone();
    unsupported.extend(shared.too_long.take().iter().map(|table| format!("mysql-restore of the long rows of {table}")));
    let finished = now(&mut leader).await?;
    let metadata = files::metadata(&index, &counts, &started, &finished);
    outbox.file(METADATA).label("mediaType", "text/plain").write_all(&metadata).await?;
    for worker in workers {
        worker.close().await;
    }
    leader.close().await;
    Ok(report(&index, by, &tally, &hidden, &unsupported))
}

/// All rows: what has transactions by the workers, what has none by the session that holds its lock.
async fn read(
    shared: &Rows<'_>,
    workers: &mut [Client],
    keeper: Option<Client>,
    tables: &[&Table],
    chunk_rows: u64,
) -> Result<()> {
    let stored = |storage| tables.iter().copied().filter(move |table| table.storage == storage);
    let pieces = match workers.first_mut() {
        Some(worker) => rows::pieces(worker, stored(Storage::Snapshots), chunk_rows).await?,
        None => Vec::new(),
    };
    let queue = Queue::new(pieces, rows::Piece::size);
    let work = try_join_all(workers.iter_mut().map(|worker| shared.work(worker, &queue)));
    let locked = async {
        let Some(mut keeper) = keeper else { return Ok(()) };
        let queue = Queue::new(rows::whole(stored(Storage::Locked)), rows::Piece::size);
        shared.work(&mut keeper, &queue).await?;
        // Others write to them again.
        keeper.execute("UNLOCK TABLES").await?;
        keeper.close().await;
        Ok(())
    };
    try_join(work, locked).await.map(drop)
}

/// A restore takes no longer one.
fn indexed_bytes(index: &Index) -> Result<Vec<u8>> {
    let bytes = index.to_bytes()?;
    check_length(bytes.len())?;
    Ok(bytes)
}

fn check_length(length: usize) -> Result<()> {
    if length > MAX_INDEX {
        return Err(Error::Unsupported(format!(
            "the definitions come to {length} bytes, and mysql-restore holds up to {MAX_INDEX}; dump in several parts, by databases or \
             include"
        )));
    }
    Ok(())
}

fn indexed(database: &crate::catalog::Database, rows: bool) -> layout::Database {
    let mut index = database.index.clone();
    index.tables = database.tables.iter().map(|table| table.index.clone()).collect();
    for table in &mut index.tables {
        table.rows &= rows;
    }
    index
}

async fn server(leader: &mut Client) -> Result<Server> {
    let version = leader.version().clone();
    let row = leader.query_one("SELECT @@GLOBAL.lower_case_table_names AS lower_case").await?;
    Ok(Server {
        flavor: version.flavor.name().to_ascii_lowercase(),
        version: version.text,
        number: version.number,
        lower_case_table_names: row.parse("lower_case")?,
    })
}

async fn now(leader: &mut Client) -> Result<String> {
    let row = leader.query_one("SELECT UTC_TIMESTAMP() AS now").await?;
    Ok(row.get("now")?.into())
}

fn report(index: &Index, by: point::Freeze, tally: &Tally, hidden: &[String], unsupported: &[String]) -> Report {
    let databases: Vec<&str> = index.databases.iter().map(|database| database.name.as_str()).collect();
    let mut report = Report::new()
        .fact("databases", databases.join(", "))
        .fact("serverVersion", &index.server.version)
        .fact("moment", by.name());
    if let Some(filtered) = &index.filtered {
        report = report.fact("filtered", filtered);
    }
    let position = index.position.clone().unwrap_or_default();
    let facts = [
        ("gtid", position.gtid),
        ("binlogFile", position.file),
        ("binlogPosition", position.offset.map(|offset| offset.to_string())),
    ];
    for (name, value) in facts {
        if let Some(value) = value {
            report = report.fact(name, value);
        }
    }
    let missing: Vec<&str> = hidden.iter().chain(unsupported).map(String::as_str).collect();
    if !missing.is_empty() {
        report = report.fact("unsupported", missing.join(", "));
    }
    tally.report(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_restore_takes_is_not_dumped() {
        assert_eq!(check_length(MAX_INDEX), Ok(()));
        assert!(matches!(check_length(MAX_INDEX + 1), Err(Error::Unsupported(_))));
    }
}
