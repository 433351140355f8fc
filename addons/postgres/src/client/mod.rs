//! A session with a PostgreSQL server over the wire protocol, version 3.
//!
//! Only what dump and restore need: simple queries with rows as text, and COPY in both directions. The codecs are
//! `postgres-protocol`'s; this module owns the order of messages and what the server's errors mean.

mod cancel;
mod copy;
mod error;
mod row;
mod startup;

pub use cancel::stoppable;
pub use copy::{CopyIn, CopyOut};
pub use error::ServerError;
pub use row::Row;
pub use startup::Login;

use bytes::BytesMut;
pub use coffer_addon::Error;
use coffer_addon::{Connection, Result, summary};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Type byte and length.
const HEADER: usize = 5;

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

    fn private(what: &str) -> Self {
        Running { what: what.into(), private: true }
    }

    fn error(&self, error: &ServerError) -> Error {
        if self.private { error.without_values() } else { error.during(&self.what) }
    }
}

/// One connection, one session, one statement at a time.
pub struct Client {
    connection: Connection,
    /// Messages being encoded.
    outgoing: BytesMut,
    parameters: BTreeMap<String, String>,
    version: u32,
    /// What is under way, as errors name it.
    running: Running,
    /// Known to the login as long as the session is open, for a run that is asked to stop.
    open: Option<cancel::Open>,
}

impl Client {
    /// As `server_version_num`: 150006, 90624.
    pub fn server_version(&self) -> u32 {
        self.version
    }

    /// As the server words it: `15.6 (Debian 15.6-0+deb12u1)`.
    pub fn server_version_text(&self) -> &str {
        self.parameter("server_version").unwrap_or_default()
    }

    /// What the server last reported of a setting it reports, e.g. `server_encoding`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// Runs one or several statements of our own, which errors may show, and gives the rows of all of them.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Row>> {
        let rows = self.query_unchecked(sql).await?;
        match rows.iter().find_map(Row::broken) {
            None => Ok(rows),
            Some(column) => Err(Error::Unsupported(format!(
                "column {column} holds bytes that are no UTF-8, as a database with encoding {} may; while running {}",
                self.parameter("server_encoding").unwrap_or_default(),
                self.running.what
            ))),
        }
    }

    /// [`Client::query`] for a caller that has better words for a row that is [`Row::broken`].
    pub async fn query_unchecked(&mut self, sql: &str) -> Result<Vec<Row>> {
        Ok(self.simple(sql).await?.0)
    }

    /// [`Client::query`] for exactly one row.
    pub async fn query_one(&mut self, sql: &str) -> Result<Row> {
        let mut rows = self.query(sql).await?;
        match (rows.pop(), rows.len()) {
            (Some(row), 0) => Ok(row),
            (_, left) => {
                let what = summary(sql);
                Err(Error::Failed(format!(
                    "one row was expected, not {}, of: {what}",
                    if left == 0 { 0 } else { left + 1 }
                )))
            }
        }
    }

    /// Runs one or several statements of our own for their effect. Gives the last one's command tag, e.g. `INSERT 0 1`.
    pub async fn execute(&mut self, sql: &str) -> Result<String> {
        Ok(self.simple(sql).await?.1)
    }

    /// Runs a dump's statements for their effect. They may hold passwords and values: none of that gets into errors, which
    /// the caller has to tell what it is about.
    pub async fn execute_private(&mut self, sql: &str) -> Result<()> {
        self.execute_unless(sql, &[]).await.map(drop)
    }

    /// [`Client::execute_private`], unless the server refuses with one of these SQLSTATEs: then gives false.
    pub async fn execute_unless(&mut self, sql: &str, codes: &[&str]) -> Result<bool> {
        self.running = Running::private("its statements");
        match self.attempt(sql).await? {
            Ok(_) => Ok(true),
            Err(error) if codes.contains(&error.code.as_str()) => Ok(false),
            Err(error) => Err(self.running.error(&error)),
        }
    }

    async fn simple(&mut self, sql: &str) -> Result<(Vec<Row>, String)> {
        self.running = Running::own(summary(sql));
        let outcome = self.attempt(sql).await?;
        outcome.map_err(|error| self.running.error(&error))
    }

    /// Runs statements to the end. The server's refusal is the inner result; the outer one is a lost connection.
    async fn attempt(&mut self, sql: &str) -> Result<Result<(Vec<Row>, String), ServerError>> {
        self.begin(sql).await?;
        let mut rows = Vec::new();
        let mut columns: Rc<[String]> = Rc::from([]);
        let mut tag = String::new();
        let mut failure = None;
        loop {
            match self.receive().await {
                Ok(Message::RowDescription(body)) => columns = row::columns(&body)?,
                Ok(Message::DataRow(body)) => rows.push(Row::new(columns.clone(), &body)?),
                Ok(Message::CommandComplete(body)) => tag = body.tag().map_err(unreadable)?.to_string(),
                Ok(Message::EmptyQueryResponse) => {}
                Ok(Message::ErrorResponse(body)) => failure = Some(ServerError::read(&body)?),
                Ok(Message::CopyInResponse(_)) => {
                    // A statement that wants rows where there are none to give must end as an error.
                    frontend::copy_fail("no rows come with this statement", &mut self.outgoing).map_err(unreadable)?;
                    self.flush().await?;
                }
                Ok(Message::CopyOutResponse(_) | Message::CopyData(_) | Message::CopyDone) => {}
                Ok(Message::ReadyForQuery(_)) => break,
                Ok(_) => return Err(self.unexpected()),
                // A fatal error is followed by the end of the connection: the reason is the better answer.
                Err(closed) => return Err(failure.map_or(closed, |failure| self.running.error(&failure))),
            }
        }
        Ok(failure.map_or(Ok((rows, tag)), Err))
    }

    /// Sends a simple query.
    async fn begin(&mut self, sql: &str) -> Result<()> {
        if sql.contains('\0') {
            return Err(Error::InvalidParameter(format!("there is a NUL character in {}", self.running.what)));
        }
        frontend::query(sql, &mut self.outgoing).map_err(unreadable)?;
        self.flush().await
    }

    async fn flush(&mut self) -> Result<()> {
        let outcome = async {
            self.connection.write(&self.outgoing).await?;
            self.connection.send().await
        };
        let outcome = outcome.await;
        self.outgoing.clear();
        outcome.map_err(|error| self.lost(error))
    }

    /// The next message that is an answer.
    async fn receive(&mut self) -> Result<Message> {
        loop {
            if let Some(message) = self.receive_any().await? {
                return Ok(message);
            }
        }
    }

    /// The next message; nothing if it was one that may come at any time (notices, settings), which is dealt with here.
    async fn receive_any(&mut self) -> Result<Option<Message>> {
        let length = loop {
            match header(self.connection.buffer())? {
                Some((_, length)) if self.connection.buffer().len() >= length => break length,
                _ => self.fill().await?,
            }
        };
        self.take(length)
    }

    /// [`Client::receive_any`] for a message that is in the buffer whole.
    fn take(&mut self, length: usize) -> Result<Option<Message>> {
        let mut frame = BytesMut::from(self.connection.buffer().get(..length).unwrap_or_default());
        self.connection.consume(length);
        match Message::parse(&mut frame).map_err(unreadable)? {
            Some(Message::NoticeResponse(body)) => error::log_notice(&body, self.running.private),
            Some(Message::ParameterStatus(body)) => {
                let (name, value) = (body.name().map_err(unreadable)?, body.value().map_err(unreadable)?);
                self.parameters.insert(name.into(), value.into());
            }
            Some(Message::NotificationResponse(_)) => {}
            Some(message) => return Ok(Some(message)),
            None => return Err(self.unexpected()),
        }
        Ok(None)
    }

    async fn fill(&mut self) -> Result<()> {
        match self.connection.fill().await {
            Ok(0) => Err(self.lost(Error::Unavailable("the server closed the connection".into()))),
            Ok(_) => Ok(()),
            Err(error) => Err(self.lost(error)),
        }
    }

    fn lost(&self, error: Error) -> Error {
        error.context(format!("connection to the server lost while running {}", self.running.what))
    }

    fn unexpected(&self) -> Error {
        Error::Corrupt(format!("the server sent a message that makes no sense while running {}", self.running.what))
    }

    fn server_error(&self, body: &postgres_protocol::message::backend::ErrorResponseBody) -> Error {
        match ServerError::read(body) {
            Ok(error) => self.running.error(&error),
            Err(error) => error,
        }
    }

    /// Says goodbye, so that the server's log has no complaint.
    pub async fn close(mut self) {
        frontend::terminate(&mut self.outgoing);
        // The session is over either way.
        let _ = self.flush().await;
    }
}

/// Type and whole length of the message at the front of `buffer`, if its header is there.
fn header(buffer: &[u8]) -> Result<Option<(u8, usize)>> {
    let Some(([kind, length @ ..], _)) = buffer.split_first_chunk::<HEADER>() else { return Ok(None) };
    match usize::try_from(i32::from_be_bytes(*length)) {
        Ok(length) if length >= 4 => Ok(Some((*kind, length + 1))),
        _ => Err(Error::Corrupt("the server sent a message of impossible length; is it PostgreSQL?".into())),
    }
}

fn unreadable(error: std::io::Error) -> Error {
    Error::Corrupt(format!("unreadable message: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_is_not_postgresql_is_refused() {
        assert!(matches!(header(b"HTTP/1.1 400"), Ok(Some((b'H', _)))));
        assert!(header(b"d\0\0\0\x03").is_err());
        assert!(header(b"d\xff\xff\xff\xff").is_err());
        assert_eq!(header(b"d\0\0\0"), Ok(None));
        assert_eq!(header(b"d\0\0\0\x04"), Ok(Some((b'd', 5))));
    }
}
