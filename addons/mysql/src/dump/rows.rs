//! Reading rows: tables cut into pieces, pieces read by workers in their snapshots.

use super::conditions;
use super::writer::Writer;
use crate::catalog::{self, Storage, Table, without_counter};
use crate::client::Client;
use crate::layout::{MAX_STATEMENT, rows_name};
use crate::sql::{identifier, literal};
use coffer_addon::work::{Queue, Tally};
use coffer_addon::{Context as _, Error, Outbox, Result};
use futures::lock::Mutex;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// A table is cut into no more pieces: files have five digits, and a piece costs a file.
const MAX_PIECES: u64 = 10_000;

/// What InnoDB says of a table that somebody altered since the snapshot.
const CHANGED: &str = "(server error 1412)";
/// Not there any more: the table, or a column of it.
const GONE: [&str; 2] = ["(server error 1146)", "(server error 1054)"];
/// Another session had a lock for too long, or won a deadlock.
const LOCKED: [&str; 2] = ["(server error 1205)", "(server error 1213)"];

/// How often keys to cut at are asked for while another session has a lock.
const ATTEMPTS: u32 = 3;

/// The longest row on the wire and the longest statement of one that are dumped for the program `mysql`, in bytes. A row is held
/// as it came, in a buffer that doubles, and as its statement, and the host gives a step 256 MiB.
const MAX_ROW: usize = 48 * 1024 * 1024;
const MAX_ROW_STATEMENT: usize = 96 * 1024 * 1024;

/// A part of a table, or the whole of it.
pub struct Piece<'a> {
    table: &'a Table,
    /// Which rows it has, as a condition.
    condition: Option<String>,
    part: u32,
    bytes: u64,
}

/// What all sessions that read share.
pub struct Rows<'a> {
    pub outbox: &'a Outbox,
    pub tally: &'a Tally,
    /// Conditions of the operator's, by `database.table`, which is no two tables'.
    pub conditions: &'a BTreeMap<String, String>,
    /// Whether rows that only `mysql` restores are dumped all the same.
    pub allow_too_long: bool,
    /// The tables that have some.
    pub too_long: RefCell<BTreeSet<String>>,
    /// A session outside of the snapshot: what tables are now.
    pub witness: Mutex<&'a mut Client>,
    /// Rows of each table by now, by [`layout::Table::file`](crate::layout::Table): a name with a dot in it may be two tables'.
    pub counts: RefCell<BTreeMap<String, u64>>,
}

/// Tables that are not cut.
pub fn whole<'a>(tables: impl Iterator<Item = &'a Table>) -> Vec<Piece<'a>> {
    tables.map(|table| Piece { table, condition: None, part: 0, bytes: table.index.estimated_bytes }).collect()
}

impl Piece<'_> {
    /// By the server's estimate, in bytes.
    pub fn size(&self) -> u64 {
        self.bytes
    }
}

/// Cuts the tables; the smallest and the largest key are asked of the snapshot.
pub async fn pieces<'a>(
    worker: &mut Client,
    tables: impl Iterator<Item = &'a Table>,
    chunk_rows: u64,
) -> Result<Vec<Piece<'a>>> {
    let mut pieces = Vec::new();
    for table in tables {
        let count = table.estimated_rows.checked_div(chunk_rows).map_or(1, |cuts| (cuts + 1).min(MAX_PIECES));
        let bounds = match (&table.key, count, table.index.history) {
            // A version of the past may have any key.
            (Some(key), 2.., false) => bounds(worker, table, &key.column, count).await.context(|| failed(table))?,
            _ => Vec::new(),
        };
        let key = table.key.as_ref().map(|key| identifier(&key.column)).unwrap_or_default();
        let bytes = table.index.estimated_bytes / (bounds.len() as u64 + 1);
        for (part, piece) in (0..).zip(0..=bounds.len()) {
            // The first and the last have no end of their own: whatever is there belongs to one of them.
            let from =
                piece.checked_sub(1).and_then(|before| bounds.get(before)).map(|from| format!("{key} >= {from}"));
            let to = bounds.get(piece).map(|to| format!("{key} < {to}"));
            let condition = [from, to].into_iter().flatten().collect::<Vec<_>>().join(" AND ");
            let condition = (!condition.is_empty()).then_some(condition);
            pieces.push(Piece { table, condition, part, bytes });
        }
    }
    Ok(pieces)
}

/// Keys to cut at, evenly between the smallest and the largest.
async fn bounds(worker: &mut Client, table: &Table, key: &str, count: u64) -> Result<Vec<i128>> {
    let key = identifier(key);
    let sql = format!("SELECT MIN({key}) AS low, MAX({key}) AS high FROM {}", table.quoted());
    let mut attempt = 1;
    let ends = loop {
        let ends = guarded(worker, table, async |worker: &mut Client| worker.query_one(&sql).await).await;
        match ends {
            Err(error) if attempt < ATTEMPTS && is_locked(&error) => {
                // Where the server has ended the transaction, and the snapshot with it, there is no such savepoint.
                worker.execute("ROLLBACK TO SAVEPOINT coffer").await.map_err(|_| error)?;
                attempt += 1;
            }
            ends => break ends?,
        }
    };
    let end = |name| ends.opt(name).map(|text| text.and_then(|text| text.parse::<i128>().ok()));
    let (Some(low), Some(high)) = (end("low")?, end("high")?) else { return Ok(Vec::new()) };
    Ok(cut(low, high, i128::from(count)))
}

fn cut(low: i128, high: i128, count: i128) -> Vec<i128> {
    let mut bounds: Vec<i128> = (1..count).map(|piece| low + (high - low + 1) * piece / count).collect();
    bounds.retain(|bound| *bound > low);
    bounds.dedup();
    bounds
}

impl Rows<'_> {
    /// Reads pieces until none is left.
    pub async fn work(&self, client: &mut Client, queue: &Queue<Piece<'_>>) -> Result<()> {
        while let Some(piece) = queue.take() {
            self.piece(client, &piece).await.context(|| failed(piece.table))?;
        }
        Ok(())
    }

    async fn piece(&self, client: &mut Client, piece: &Piece<'_>) -> Result<()> {
        let table = piece.table;
        guarded(client, table, async |client: &mut Client| {
            self.read(client, piece).await?;
            // Whatever the statement read cannot be altered before it is let go of: this is the definition it read by.
            self.unchanged(client, table).await
        })
        .await
    }

    async fn read(&self, client: &mut Client, piece: &Piece<'_>) -> Result<()> {
        let table = piece.table;
        let condition = self.conditions.get(&table.name());
        let sql = select(piece, condition);
        let blamed = |error: Error| match condition {
            Some(_) => error.context("with its `where`"),
            None => error,
        };
        let rows = match condition {
            Some(_) => client.stream_private(&sql).await,
            None => client.stream(&sql).await,
        };
        let mut rows = rows.map_err(blamed)?;
        let (row_limit, statement_limit) =
            if self.allow_too_long { (MAX_ROW, MAX_ROW_STATEMENT) } else { (MAX_STATEMENT, MAX_STATEMENT) };
        rows.limit(row_limit);
        let mut open = None;
        loop {
            let row = match rows.next().await {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(error) => {
                    let error = match error {
                        Error::Unsupported(_) => self.refused(row_limit),
                        error => blamed(error),
                    };
                    return Err(match open.take() {
                        Some((_, artifact)) => fail(artifact, error).await,
                        None => error,
                    });
                }
            };
            // A table without rows has no file.
            let (writer, artifact) = open.get_or_insert_with(|| {
                let artifact = self.outbox.file(rows_name(&table.index.file, piece.part));
                let artifact = artifact.label("mediaType", "application/sql").label("database", &table.database);
                (Writer::new(table), artifact.label("table", &table.index.name).open())
            });
            // Before it is held twice.
            if writer.length_of(row) > statement_limit {
                return Err(self.refused(statement_limit));
            }
            writer.row(row)?;
            if writer.is_too_long() {
                self.too_long(table)?;
            }
            if writer.is_full() {
                self.tally.add_bytes(writer.take_bytes());
                writer.flush(artifact).await?;
            }
        }
        if let Some((mut writer, artifact)) = open {
            writer.finish(artifact).await?;
            self.tally.add_bytes(writer.take_bytes());
            self.tally.add_rows(writer.rows());
            *self.counts.borrow_mut().entry(table.index.file.clone()).or_default() += writer.rows();
        }
        Ok(())
    }

    /// A row that is longer than a restore could hold, or the dump itself: better to know that now.
    fn refused(&self, limit: usize) -> Error {
        Error::Unsupported(if self.allow_too_long {
            format!("it has a row that is longer than the {limit} bytes that mysql-dump holds; exclude the table")
        } else {
            format!(
                "it has a row whose statement is longer than the {limit} bytes that mysql-restore holds; exclude the table, or \
                 set allowUnsupported to dump it for the program `mysql`"
            )
        })
    }

    fn too_long(&self, table: &Table) -> Result<()> {
        if !self.allow_too_long {
            return Err(self.refused(MAX_STATEMENT));
        }
        if self.too_long.borrow_mut().insert(table.name()) {
            coffer_addon::warn!(
                "table {} has a row whose statement is longer than the {MAX_STATEMENT} bytes that mysql-restore holds: only the \
                 program `mysql` restores this dump",
                table.name()
            );
        }
        Ok(())
    }

    /// Fails when a table's definition is not the one in the index. A TRUNCATE or a RENAME makes a new table of the same
    /// definition, with another time of creation or another place; in the snapshot MySQL would still show the old one's.
    async fn unchanged(&self, client: &mut Client, table: &Table) -> Result<()> {
        let name = &table.index.name;
        let create = catalog::show_create(client, &table.database, name).await?;
        if without_counter(&create) != without_counter(&table.shown) {
            return Err(altered("its definition is another one"));
        }
        let sql = format!(
            "SELECT CREATE_TIME AS created FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            literal(&table.database),
            literal(name)
        );
        let mut witness = self.witness.lock().await;
        let now = witness.query_one(&sql).await?;
        // Not every server says it of every table at any time.
        let made = now.opt("created")?.zip(table.created.as_deref());
        if let Some((now, then)) = made.filter(|(now, then)| now != then) {
            return Err(altered(&format!("it was made at {now} and not at {then}")));
        }
        if !table.place.is_empty() && catalog::place_of(&mut witness, &table.database, name).await? != table.place {
            return Err(altered("another table has its name"));
        }
        Ok(())
    }
}

fn failed(table: &Table) -> String {
    format!("unable to dump table {}", table.name())
}

async fn fail(artifact: coffer_addon::ArtifactWriter, error: Error) -> Error {
    artifact.fail(error).await
}

fn select(piece: &Piece<'_>, condition: Option<&String>) -> String {
    let table = piece.table;
    let columns: Vec<&str> = table.columns.iter().map(|column| column.select.as_str()).collect();
    // A table may have no columns that are not generated; its rows count all the same.
    let columns = if columns.is_empty() { "1".to_string() } else { columns.join(", ") };
    // Neither what others read next to it nor what somebody found in the query cache is of use.
    let mut sql = format!("SELECT /*!40001 SQL_NO_CACHE */ {columns} FROM {}", table.quoted());
    if table.index.history {
        sql.push_str(" FOR SYSTEM_TIME ALL");
    }
    let conditions: Vec<String> =
        piece.condition.iter().chain(condition).map(|one| conditions::bracketed(one)).collect();
    if !conditions.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&conditions.join(" AND "));
    }
    sql
}

/// Does `work` on a table and lets go of its definition afterwards, so that it can be altered while others are read.
async fn guarded<T>(client: &mut Client, table: &Table, work: impl AsyncFnOnce(&mut Client) -> Result<T>) -> Result<T> {
    let in_snapshot = table.storage == Storage::Snapshots;
    if in_snapshot {
        client.execute("SAVEPOINT coffer").await?;
    }
    let outcome = work(client).await.map_err(explain)?;
    if in_snapshot {
        client.execute("ROLLBACK TO SAVEPOINT coffer").await?;
    }
    Ok(outcome)
}

/// What the server's words mean here.
fn explain(error: Error) -> Error {
    let is = |code: &&str| error.message().contains(*code);
    if is(&CHANGED) {
        return altered(error.message());
    }
    if is_locked(&error) {
        return error.context(
            "another session has a lock on it for longer than lockTimeout, or altered it and won a deadlock; run the dump again when \
             nobody does that",
        );
    }
    if GONE.iter().any(is) {
        return altered(&format!("{}, and it was there when the dump began", error.message()));
    }
    error
}

fn is_locked(error: &Error) -> bool {
    LOCKED.iter().any(|code| error.message().contains(code))
}

fn altered(why: &str) -> Error {
    Error::Failed(format!(
        "it was altered, emptied, renamed or dropped during the dump, whose moment its rows cannot be read of any more ({why}); \
         run the dump again when nobody does that"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_cut_evenly_and_each_belongs_to_one_piece() {
        assert_eq!(cut(1, 10, 2), [6]);
        assert_eq!(cut(1, 9, 3), [4, 7]);
        assert_eq!(cut(5, 5, 4), [] as [i128; 0]);
        assert_eq!(cut(1, 2, 10), [2]);
        assert_eq!(cut(i128::from(i64::MIN), i128::from(u64::MAX), 3).len(), 2);
    }
}
