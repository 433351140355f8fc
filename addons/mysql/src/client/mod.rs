//! A session with a MySQL or MariaDB server over the classic protocol, version 10.
//! https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html
//!
//! Only what dump and restore need: statements in the text protocol, one at a time, with rows that are collected or borrowed
//! from the read buffer. The codec is our own, of some two hundred lines: `mysql_common`, the crate there is, brings regular
//! expressions, big numbers and compression into the component, and panics on a malformed key that a server sends.

mod auth;
mod cancel;
mod error;
mod handshake;
mod login;
mod packets;
mod read;
mod row;
mod rows;
mod version;

pub use cancel::stoppable;
pub use error::ServerError;
pub use login::Login;
pub use row::Row;
pub use rows::{Column, RawRow, Rows};
pub use version::{Flavor, Version};

pub use coffer_addon::Error;
use coffer_addon::{Result, summary};
use packets::Packets;
use read::Reader;
use std::rc::Rc;

/// The commands of the protocol.
const QUIT: u8 = 1;
const QUERY: u8 = 3;

/// What a session is doing.
struct Running {
    /// Fit for errors: a statement of our own in a line, or what it is that runs.
    what: String,
    /// Whether it is about things that are nobody else's business: rows, passwords in a dump's statements.
    private: bool,
}

impl Running {
    fn own(what: impl Into<String>) -> Self {
        Running { what: what.into(), private: false }
    }

    fn private() -> Self {
        Running { what: "a statement of the dump".into(), private: true }
    }
}

/// What a statement without rows did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Rows that it inserted, changed or removed.
    pub affected: u64,
    /// How many `SHOW WARNINGS` would show.
    pub warnings: u16,
}

/// How a statement's answer begins.
enum Answer {
    Done(Done),
    Rows(Vec<Column>),
}

/// One connection, one session, one statement at a time.
pub struct Client {
    packets: Packets,
    version: Version,
    id: u32,
    max_packet: usize,
    /// Whether the server marks the end of columns and rows in the old way.
    has_eof: bool,
    /// What is under way, as errors name it.
    running: Running,
    /// An answer has not been read to its end.
    is_busy: bool,
    /// What the connection was lost by: whatever is asked next is told that, and not what was left unread by it.
    lost: Option<Error>,
    /// Known to the login as long as the session is open, for a run that is asked to stop.
    _open: Option<cancel::Open>,
}

impl Client {
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The connection's id, for `KILL`.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// `max_allowed_packet`: the longest statement that the server takes, in bytes.
    pub fn max_packet(&self) -> usize {
        self.max_packet
    }

    /// Runs a statement of our own, which errors may show, and gives its rows.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Row>> {
        self.begin(Running::own(summary(sql)))?;
        let columns = match self.ask(sql.as_bytes()).await? {
            Ok(Answer::Rows(columns)) => columns,
            Ok(Answer::Done(_)) => return Ok(Vec::new()),
            Err(error) => return Err(self.error(&error)),
        };
        let names: Rc<[String]> = columns.into_iter().map(|column| column.name).collect();
        let mut rows = Vec::new();
        loop {
            match self.next_row().await? {
                Ok(true) => rows.push(Row::new(names.clone(), RawRow::new(self.payload(), names.len())?)),
                Ok(false) => return Ok(rows),
                Err(error) => return Err(self.error(&error)),
            }
        }
    }

    /// [`Client::query`] for exactly one row.
    pub async fn query_one(&mut self, sql: &str) -> Result<Row> {
        let mut rows = self.query(sql).await?;
        match (rows.pop(), rows.len()) {
            (Some(row), 0) => Ok(row),
            (row, left) => {
                let count = left + usize::from(row.is_some());
                Err(Error::Failed(format!("one row was expected, not {count}, of: {}", summary(sql))))
            }
        }
    }

    /// Runs a statement of our own for its effect.
    pub async fn execute(&mut self, sql: &str) -> Result<Done> {
        let outcome = self.try_execute(sql).await?;
        outcome.map_err(|error| self.error(&error))
    }

    /// [`Client::execute`], with the server's refusal as the inner result: for the caller to look at its number. The outer
    /// one is a lost connection.
    pub async fn try_execute(&mut self, sql: &str) -> Result<Result<Done, ServerError>> {
        self.run(Running::own(summary(sql)), sql.as_bytes()).await
    }

    /// Runs a dump's statement for its effect. It may hold passwords and values: none of that gets into errors, which the
    /// caller has to tell what it is about.
    pub async fn execute_private(&mut self, sql: &[u8]) -> Result<Done> {
        let outcome = self.try_execute_private(sql).await?;
        outcome.map_err(|error| self.error(&error))
    }

    /// [`Client::execute_private`], with the server's refusal as the inner result. Show it by
    /// [`ServerError::without_values`].
    pub async fn try_execute_private(&mut self, sql: &[u8]) -> Result<Result<Done, ServerError>> {
        self.run(Running::private(), sql).await
    }

    /// Runs a statement of our own, and gives its rows as they come.
    pub async fn stream(&mut self, sql: &str) -> Result<Rows<'_>> {
        self.rows_of(Running::own(summary(sql)), sql).await
    }

    /// [`Client::stream`] for a statement with a part of the operator's: errors do not show it, nor the values in it.
    pub async fn stream_private(&mut self, sql: &str) -> Result<Rows<'_>> {
        self.rows_of(Running::private(), sql).await
    }

    async fn rows_of(&mut self, running: Running, sql: &str) -> Result<Rows<'_>> {
        self.begin(running)?;
        match self.ask(sql.as_bytes()).await? {
            Ok(Answer::Rows(columns)) => Ok(Rows::new(self, columns)),
            Ok(Answer::Done(_)) => {
                Err(Error::Failed(format!("a statement that should give rows gives none: {}", self.running.what)))
            }
            Err(error) => Err(self.error(&error)),
        }
    }

    /// Runs a statement; rows that it gives are passed over.
    async fn run(&mut self, running: Running, sql: &[u8]) -> Result<Result<Done, ServerError>> {
        self.begin(running)?;
        match self.ask(sql).await? {
            Ok(Answer::Done(done)) => Ok(Ok(done)),
            Ok(Answer::Rows(_)) => loop {
                match self.next_row().await? {
                    Ok(true) => {}
                    Ok(false) => return Ok(Ok(Done::default())),
                    Err(error) => return Ok(Err(error)),
                }
            },
            Err(error) => Ok(Err(error)),
        }
    }

    fn begin(&mut self, running: Running) -> Result<()> {
        if let Some(lost) = &self.lost {
            return Err(lost.clone());
        }
        if self.is_busy {
            let before = &self.running.what;
            return Err(Error::Failed(format!(
                "the session is still busy with {before}, whose rows were not all read"
            )));
        }
        self.running = running;
        Ok(())
    }

    /// Sends a statement and reads how its answer begins.
    async fn ask(&mut self, sql: &[u8]) -> Result<Result<Answer, ServerError>> {
        // The command's byte counts too.
        if sql.len() >= self.max_packet {
            return Err(Error::Failed(format!(
                "{} has {} bytes, and the server takes {}; raise max_allowed_packet in the server's configuration",
                self.running.what,
                sql.len(),
                self.max_packet
            )));
        }
        self.is_busy = true;
        self.packets.restart();
        if let Err(lost) = self.packets.send(&[QUERY], sql).await {
            // A server that ends the session has said why, mostly.
            let said = self.packets.receive().await.ok().and_then(|()| ServerError::read(self.payload()));
            let lost = self.lost(lost);
            return Err(said.map_or(lost, |error| self.error(&error)));
        }
        self.receive().await?;
        let count = match self.payload().first() {
            Some(0) => return self.end().map(|done| Ok(Answer::Done(done))),
            Some(0xff) => return self.refusal().map(Err),
            _ => Reader(self.payload()).length_encoded().and_then(|count| u16::try_from(count).ok()),
        };
        // Among the others is LOCAL INFILE, which this client has not offered.
        let count = count.filter(|count| *count > 0).ok_or_else(|| self.unexpected())?;
        let mut columns = Vec::with_capacity(count.into());
        for _ in 0..count {
            self.receive().await?;
            columns.push(Column::read(self.payload()).ok_or_else(|| self.unexpected())?);
        }
        if self.has_eof {
            self.receive().await?;
            if self.payload().first() == Some(&0xff) {
                return self.refusal().map(Err);
            }
        }
        Ok(Ok(Answer::Rows(columns)))
    }

    /// Receives the next row, as the payload; false after the last.
    async fn next_row(&mut self) -> Result<Result<bool, ServerError>> {
        self.receive().await?;
        match self.payload() {
            [0xff, ..] => self.refusal().map(Err),
            // A row that begins like this has a value of 16 MiB and more in front, and is as long.
            end @ [0xfe, ..] if end.len() < packets::FULL => self.end().map(|_| Ok(false)),
            _ => Ok(Ok(true)),
        }
    }

    /// The answer is over: the payload is what says so.
    fn end(&mut self) -> Result<Done> {
        let (done, status) = End::read(self.payload(), self.has_eof).ok_or_else(|| self.unexpected())?;
        if status & End::MORE_RESULTS != 0 {
            let what = &self.running.what;
            return Err(Error::Unsupported(format!("more than one result was not expected of {what}")));
        }
        self.is_busy = false;
        Ok(done)
    }

    /// The answer is over, as the server refused.
    fn refusal(&mut self) -> Result<ServerError> {
        let error = ServerError::read(self.payload()).ok_or_else(|| self.unexpected())?;
        self.is_busy = false;
        Ok(error)
    }

    fn payload(&self) -> &[u8] {
        self.packets.payload()
    }

    async fn receive(&mut self) -> Result<()> {
        match self.packets.receive().await {
            Ok(()) => Ok(()),
            // The server did nothing wrong, and the rest of the answer is still to come.
            Err(error @ Error::Unsupported(_)) => Err(error),
            Err(error) => Err(self.lost(error)),
        }
    }

    /// The contract's error for what the server said of the statement under way.
    fn error(&self, error: &ServerError) -> Error {
        if self.running.private { error.without_values() } else { error.during(&self.running.what) }
    }

    fn lost(&mut self, error: Error) -> Error {
        let error = error.context(format!("connection to the server lost while running {}", self.running.what));
        self.lost = Some(error.clone());
        error
    }

    fn unexpected(&self) -> Error {
        Error::Corrupt(format!("the server sent a packet that makes no sense while running {}", self.running.what))
    }

    /// Says goodbye, so that the server's log has no complaint.
    pub async fn close(mut self) {
        self.packets.restart();
        // The session is over either way.
        let _ = self.packets.send(&[QUIT], &[]).await;
    }
}

/// The end of an answer: an OK packet, or the older EOF packet behind columns and rows.
struct End;

impl End {
    /// In the status: another result follows.
    const MORE_RESULTS: u16 = 8;

    /// What was done, and the status.
    fn read(payload: &[u8], has_eof: bool) -> Option<(Done, u16)> {
        let mut reader = Reader(payload);
        if reader.u8()? == 0xfe && has_eof {
            let warnings = reader.u16()?;
            return Some((Done { affected: 0, warnings }, reader.u16()?));
        }
        let affected = reader.length_encoded()?;
        // The last AUTO_INCREMENT.
        reader.length_encoded()?;
        let status = reader.u16()?;
        Some((Done { affected, warnings: reader.u16()? }, status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_end_are_read() {
        let done = |affected, warnings| Done { affected, warnings };
        assert_eq!(End::read(&[0, 5, 0, 2, 0, 1, 0], true), Some((done(5, 1), 2)));
        assert_eq!(End::read(&[0xfe, 0, 0, 2, 0, 3, 0], false), Some((done(0, 3), 2)));
        assert_eq!(End::read(&[0xfe, 3, 0, 8, 0], true), Some((done(0, 3), End::MORE_RESULTS)));
        assert_eq!(End::read(&[0, 5, 0, 2], true), None);
    }
}
