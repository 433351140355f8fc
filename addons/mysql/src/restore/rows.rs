//! The rows: each file goes into its table as it arrives, over whichever session is free.

use super::counts::Counts;
use super::plan::Plan;
use super::session::Session;
use super::statements::{Statement, Statements};
use super::values::Head;
use crate::layout::{self, Database, Table};
use crate::sql::literal;
use coffer_addon::work::Tally;
use coffer_addon::{Context as _, Error, Inbox, Incoming, Result};
use futures::future::try_join_all;
use futures::lock::Mutex;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// What precedes the rows of every statement.
const INSERT: &[u8] = b"INSERT INTO ";

/// Sessions that fill one table side by side may lock each other out; the server undoes one's statement whole.
const TRIES: u32 = 10;

/// The server's number for that.
const DEADLOCK: u16 = 1213;

/// Warnings that are about a statement's words and not about its values: deprecated syntax, replication by statements.
const HARMLESS: [&str; 5] = ["1287", "1592", "1681", "4095", "4096"];

/// A table, by the position of its database and its own in the index.
type Key<'a> = (&'a str, &'a str);

struct Loader<'a> {
    plan: &'a Plan<'a>,
    /// One asks at a time; the others wait for their turn.
    inbox: Mutex<&'a Inbox>,
    seen: RefCell<BTreeSet<String>>,
    /// The rows that the server took.
    rows: RefCell<BTreeMap<Key<'a>, u64>>,
    wanted: RefCell<Option<Counts>>,
    tally: Tally,
}

/// Loads every file with rows. `sessions` work side by side.
pub async fn load(sessions: &mut [Session], plan: &Plan<'_>, inbox: &Inbox) -> Result<Tally> {
    let estimated = plan.tables_with_rows().map(|(_, table)| table.estimated_bytes).sum();
    let loader = Loader {
        plan,
        inbox: Mutex::new(inbox),
        seen: RefCell::default(),
        rows: RefCell::default(),
        wanted: RefCell::default(),
        tally: Tally::new(Some(estimated)),
    };
    try_join_all(sessions.iter_mut().map(|session| loader.run(session))).await?;
    loader.compare()?;
    Ok(loader.tally)
}

impl<'a> Loader<'a> {
    async fn run(&self, session: &mut Session) -> Result<()> {
        loop {
            let incoming = self.inbox.lock().await.next().await;
            let Some(mut incoming) = incoming else { return Ok(()) };
            let file = incoming.artifact.name.clone();
            if !self.seen.borrow_mut().insert(file.clone()) {
                return Err(Error::Corrupt(format!("{file} came twice")));
            }
            if file == layout::METADATA {
                *self.wanted.borrow_mut() = Some(Counts::read(&mut incoming).await?);
            } else if let Some((database, table)) = self.plan.index.rows_of(&file) {
                let failed =
                    || format!("unable to restore the rows of table {} ({file})", self.plan.table(database, table));
                self.file(session, database, table, &mut incoming).await.context(failed)?;
            } else if is_schema(&file) {
                // The index has all of it.
                while incoming.fill().await? > 0 {
                    incoming.consume(usize::MAX);
                }
            } else {
                return Err(Error::Corrupt(format!("{file} belongs to no table of {}", layout::INDEX)));
            }
        }
    }

    async fn file(
        &self,
        session: &mut Session,
        database: &'a Database,
        table: &'a Table,
        incoming: &mut Incoming,
    ) -> Result<()> {
        if !table.rows {
            return Err(Error::Corrupt("the index says that its rows are not in the dump".into()));
        }
        let target = self.plan.target(&database.name);
        session.enter(target).await?;
        let limit = session.client.max_packet();
        let head = Head::of(table);
        let mut statements = Statements::new(incoming, limit);
        while let Some(Statement { sql, length }) = statements.next().await? {
            if sql.starts_with(INSERT) {
                head.check(sql).map_err(|reason| Error::Corrupt(reason.into()))?;
                let rows = insert(session, sql, target, &table.name).await?;
                self.tally.add_rows(rows);
                *self.rows.borrow_mut().entry((&database.name, &table.name)).or_default() += rows;
            } else {
                check_setting(sql)?;
            }
            self.tally.add_bytes(length);
        }
        Ok(())
    }

    /// What the server took against what the dump says it gave.
    fn compare(&self) -> Result<()> {
        let wanted = self.wanted.borrow();
        let wanted = wanted
            .as_ref()
            .ok_or_else(|| Error::Corrupt(format!("{} did not come: the dump is not whole", layout::METADATA)))?;
        let rows = self.rows.borrow();
        for (database, table) in self.plan.tables_with_rows() {
            let given = wanted.rows(&table.file);
            let given = given.ok_or_else(|| {
                let name = self.plan.table(database, table);
                Error::Corrupt(format!("{} does not say how many rows {name} has", layout::METADATA))
            })?;
            let taken = rows.get(&(database.name.as_str(), table.name.as_str())).copied().unwrap_or(0);
            if given != taken {
                return Err(Error::Corrupt(format!(
                    "table {} has {taken} rows after the restore, the dump had {given}: a file with rows did not come or is \
                     not whole",
                    self.plan.table(database, table)
                )));
            }
        }
        // Those without rows of their own count too.
        let tables = self.plan.index.databases.iter().flat_map(|database| &database.tables);
        tables.for_each(|_| self.tally.add_table());
        Ok(())
    }
}

/// The `.sql` files that are for other tools.
fn is_schema(file: &str) -> bool {
    file.starts_with("coffer/") || file.strip_suffix(".sql").is_some_and(|name| name.contains("-schema"))
}

/// The head of a file sets what our sessions have set already. In another character set than theirs, rows would become others.
fn check_setting(sql: &[u8]) -> Result<()> {
    let text = std::str::from_utf8(sql).unwrap_or_default().trim();
    let plain = text
        .strip_prefix("/*!")
        .or_else(|| text.strip_prefix("/*M!"))
        .map_or(text, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()).trim_end_matches("*/").trim());
    match plain.strip_prefix("SET ") {
        Some(setting) if setting == "NAMES binary" || !setting.starts_with("NAMES ") => Ok(()),
        Some(setting) => Err(Error::Unsupported(format!("its rows are written for SET {setting}"))),
        None => Err(Error::Corrupt("it has a statement that is no INSERT".into())),
    }
}

/// The rows that the server took.
async fn insert(session: &mut Session, sql: &[u8], database: &str, table: &str) -> Result<u64> {
    let mut tries = 0;
    let done = loop {
        tries += 1;
        match session.client.try_execute_private(sql).await? {
            Ok(done) => break done,
            Err(error) if error.number == DEADLOCK && tries < TRIES => {}
            Err(error) => return Err(error.without_values()),
        }
    };
    if done.warnings > 0 {
        check_warnings(session, database, table, done.warnings.into()).await?;
    }
    Ok(done.affected)
}

/// A value that the server changed on its way in is lost, and it only warns. All but one of its reasons are errors here: a
/// value of an ENUM or SET that is none of theirs, which such a column may hold, is one that always warns.
async fn check_warnings(session: &mut Session, database: &str, table: &str, count: usize) -> Result<()> {
    const NOT_LISTED: &str = "1265";
    // The protocol counts no further, nor does the server keep more.
    if count >= u16::MAX.into() {
        return Err(Error::Unsupported(format!(
            "the server has more warnings about rows of one statement than the {count} that it can show, so that a value may \
             be changed without a word; dump the table with a chunkSize of less than {count}"
        )));
    }
    let rows = session.client.query("SHOW WARNINGS").await?;
    let mut lists: Option<BTreeSet<String>> = None;
    for row in &rows {
        let (code, message) = (row.at(1).unwrap_or_default(), row.at(2).unwrap_or_default());
        if HARMLESS.contains(&code) {
            coffer_addon::debug!("harmless warning {code} about rows of {database}.{table}");
            continue;
        }
        if code == NOT_LISTED {
            if lists.is_none() {
                lists = Some(columns_with_lists(session, database, table).await?);
            }
            let column = message.split('\'').nth(1).unwrap_or_default();
            if lists.as_ref().is_some_and(|lists| lists.contains(column)) {
                continue;
            }
        }
        // Its text may quote the value.
        return Err(Error::Corrupt(format!("the server would change a value on its way in (its warning {code})")));
    }
    if rows.len() < count {
        let shown = rows.len();
        return Err(Error::Denied(format!(
            "the server has {count} warnings about rows of one statement and shows {shown} of them; grant the user who restores \
             SESSION_VARIABLES_ADMIN, or set the server's max_error_count to 65535"
        )));
    }
    Ok(())
}

/// The columns that are ENUM or SET.
async fn columns_with_lists(session: &mut Session, database: &str, table: &str) -> Result<BTreeSet<String>> {
    let sql = format!(
        "SELECT column_name AS name FROM information_schema.columns WHERE table_schema = {} AND table_name = {} \
         AND data_type IN ('enum', 'set')",
        literal(database),
        literal(table)
    );
    let rows = session.client.query(&sql).await?;
    rows.iter().map(|row| row.get("name").map(String::from)).collect()
}
