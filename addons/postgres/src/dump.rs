//! postgres-dump: a source that reads a whole database as it was at one moment.
//!
//! The leader's transaction fixes the moment and exports its snapshot; workers read tables in it, the largest first. The
//! leader stays in its transaction until they are done: it holds the locks, and the snapshot lives as long as it does.

use crate::archive::{self, Archive, Created, Version};
use crate::catalog;
use crate::client::{Client, Login, stoppable};
use crate::entry::{DataSource, Entry};
use crate::parameters::Dump;
use crate::session;
use crate::sql::identifier;
use coffer_addon::work::{Queue, Tally};
use coffer_addon::{Application, Context as _, Error, Outbox, Report, Result, omitted};
use futures::future::try_join_all;
use std::time::Duration;

/// What pg_dump ends the rows of a data file with: COPY's own mark and an empty line or two.
const END_OF_ROWS: &[u8] = b"\\.\n\n\n";

pub async fn dump(application: Application, outbox: Outbox, parameters: Dump) -> Result<Report> {
    let login = Login::from_binding(&application, parameters.database.as_deref())?;
    stoppable(&application, &login, run(&application, &login, &outbox, &parameters)).await
}

async fn run(application: &Application, login: &Login, outbox: &Outbox, parameters: &Dump) -> Result<Report> {
    let mut leader = Client::connect(application, login).await?;
    session::check_version(&leader)?;
    session::begin_dump(&mut leader, None, parameters.lock_timeout.0).await?;
    let snapshot = export_snapshot(&mut leader, parameters.jobs.0).await?;
    let catalog::Dump { entries, unsupported } = catalog::read(&mut leader).await?;
    let unsupported: Vec<String> =
        unsupported.iter().map(|object| format!("{} {}", object.kind, object.name)).collect();
    omitted::check(&unsupported, parameters.allow_unsupported, |names| {
        Error::Unsupported(format!(
            "the database has objects that cannot be dumped faithfully yet: {names}; set allowUnsupported to dump the rest without \
             them"
        ))
    })?;

    let archive = describe(&mut leader, entries).await?;
    outbox
        .file(archive::TOC)
        .label("mediaType", "application/vnd.postgresql.dump-toc")
        .write_all(&archive.to_bytes())
        .await?;

    let work = Work::new(&archive.entries);
    let tables = work.queue.len();
    coffer_addon::info!(
        "dumping {} objects and the rows of {tables} tables of {}",
        archive.entries.len(),
        archive.database
    );
    let jobs = parameters.jobs.up_to(tables);
    match &snapshot {
        Some(snapshot) if jobs > 1 => {
            let workers = (0..jobs).map(|_| worker(application, login, snapshot, &work, outbox));
            try_join_all(workers).await?;
        }
        _ => work.run(&mut leader, outbox).await?,
    }
    leader.execute("COMMIT").await?;
    let server_version = leader.server_version_text().to_string();
    leader.close().await;

    let report = Report::new()
        .fact("database", &archive.database)
        .fact("serverVersion", server_version)
        .fact("objects", archive.entries.len());
    let mut report = work.tally.report(report);
    if let Some(snapshot) = snapshot {
        report = report.fact("snapshot", snapshot);
    }
    if !unsupported.is_empty() {
        report = report.fact("unsupported", unsupported.join(", "));
    }
    Ok(report)
}

/// The snapshot that workers join. A standby before version 10 cannot export one, and one connection needs none there.
async fn export_snapshot(leader: &mut Client, jobs: u32) -> Result<Option<String>> {
    if leader.server_version() < 100_000
        && leader.query_one("SELECT pg_catalog.pg_is_in_recovery()").await?.at(0) == Some("t")
    {
        return if jobs == 1 {
            Ok(None)
        } else {
            Err(Error::Unsupported(
                "a standby of this version cannot be dumped by several connections; set jobs to 1".into(),
            ))
        };
    }
    let row = leader.query_one("SELECT pg_catalog.pg_export_snapshot()").await?;
    Ok(row.at(0).map(String::from))
}

/// The archive around the entries: the moment is the server's.
async fn describe(leader: &mut Client, entries: Vec<Entry>) -> Result<Archive> {
    let row = leader
        .query_one(
            "SELECT pg_catalog.current_database() AS database, pg_catalog.date_part('year', t) AS year, \
             pg_catalog.date_part('month', t) AS month, pg_catalog.date_part('day', t) AS day, \
             pg_catalog.date_part('hour', t) AS hour, pg_catalog.date_part('minute', t) AS minute, \
             pg_catalog.trunc(pg_catalog.date_part('second', t)) AS second \
             FROM (SELECT pg_catalog.now() AT TIME ZONE 'UTC' AS t) AS at",
        )
        .await?;
    Ok(Archive {
        version: Version::WRITTEN,
        created: Created {
            year: row.parse("year")?,
            month: row.parse("month")?,
            day: row.parse("day")?,
            hour: row.parse("hour")?,
            minute: row.parse("minute")?,
            second: row.parse("second")?,
        },
        database: row.get("database")?.into(),
        server_version: leader.server_version_text().into(),
        dump_version: concat!("coffer ", env!("CARGO_PKG_VERSION")).into(),
        compressed: false,
        entries,
    })
}

/// A session of its own in the leader's snapshot, working until nothing is left.
async fn worker(
    application: &Application,
    login: &Login,
    snapshot: &str,
    work: &Work<'_>,
    outbox: &Outbox,
) -> Result<()> {
    let mut client = Client::connect(application, login).await?;
    // A worker must not wait for locks: the leader has one of the same kind on every table, so that whoever is in the way
    // waits for the leader, and the leader for the worker.
    session::begin_dump(&mut client, Some(snapshot), Duration::ZERO).await?;
    work.run(&mut client, outbox).await?;
    client.execute("COMMIT").await?;
    client.close().await;
    Ok(())
}

/// The tables left to read, and what was read so far.
struct Work<'a> {
    queue: Queue<(&'a Entry, &'a DataSource)>,
    tally: Tally,
}

impl<'a> Work<'a> {
    fn new(entries: &'a [Entry]) -> Self {
        let tables: Vec<_> = entries.iter().filter_map(|entry| Some((entry, entry.data.as_ref()?))).collect();
        let estimated = tables.iter().map(|(_, data)| data.estimated_bytes).sum();
        Work { queue: Queue::new(tables, |(_, data)| data.estimated_bytes), tally: Tally::new(Some(estimated)) }
    }

    async fn run(&self, client: &mut Client, outbox: &Outbox) -> Result<()> {
        while let Some((entry, data)) = self.queue.take() {
            let table = format!("{}.{}", identifier(&data.schema), identifier(&data.name));
            self.table(client, outbox, entry, data, &table)
                .await
                .context(|| format!("unable to dump table {table}"))?;
        }
        Ok(())
    }

    async fn table(
        &self,
        client: &mut Client,
        outbox: &Outbox,
        entry: &Entry,
        data: &DataSource,
        table: &str,
    ) -> Result<()> {
        client.execute(&format!("LOCK TABLE {table} IN ACCESS SHARE MODE NOWAIT")).await?;
        let mut copy = client.copy_out(&data.copy_out).await?;
        let file = archive::file(entry).ok_or_else(|| Error::Failed(format!("{} has no data file", entry.kind)))?;
        let mut artifact = outbox
            .file(file)
            .label("mediaType", "text/vnd.postgresql.copy")
            .label("schema", &data.schema)
            .label("table", &data.name)
            .open();
        let mut buffer = Vec::new();
        loop {
            match copy.next(buffer).await {
                Ok(Some(rows)) => {
                    self.tally.add_bytes(rows.len() as u64);
                    buffer = artifact.write_buffer(rows).await?;
                }
                Ok(None) => break,
                Err(error) => return Err(artifact.fail(error).await),
            }
        }
        let rows = copy.rows();
        artifact.write(END_OF_ROWS).await?;
        artifact.finish().await?;
        self.tally.add_rows(rows);
        self.tally.add_table();
        Ok(())
    }
}
