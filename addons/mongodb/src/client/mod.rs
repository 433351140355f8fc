//! A connection to a MongoDB server: commands in OP_MSG, one at a time, and the raw documents of their replies.
//! https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
//!
//! Only what dump and restore need, of our own: the official driver brings its own runtime, pools and monitoring of
//! topologies, decodes what it reads, and does not build for a component.

mod auth;
mod batch;
mod cancel;
mod connect;
mod cursor;
mod error;
mod hello;
mod login;
pub mod members;
mod pulse;
mod scram;
mod version;
mod wire;

pub use batch::Batch;
pub use bson;
pub use cancel::{end_left, stoppable};
pub use cursor::Cursor;
pub use error::{ServerError, code, number};
pub use hello::{Hello, Kind};
pub use login::{Login, Mechanism};
pub use members::{Member, Members, ReadPreference};
pub use version::{Engine, Version};

use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf, cstr};
use bson::spec::BinarySubtype;
use bson::{RawBinaryRef, RawBsonRef as Value};
use coffer_addon::{Context as _, Error, Result};
use cursor::Stream;
use wire::Wire;

/// One connection, one command at a time.
pub struct Client {
    wire: Wire,
    hello: Hello,
    version: Version,
    /// The session's id, where the server has sessions.
    session: Option<[u8; 16]>,
    /// What is under way, as errors name it.
    running: String,
    /// A query that is not at its end.
    stream: Option<Stream>,
    /// Documents that the wire holds of it.
    count: usize,
    /// Known to the login as long as the connection is open, for a run that is asked to stop.
    open: cancel::Open,
}

/// What became of an insert.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inserted {
    /// Documents that are in.
    pub count: u64,
    /// Those that are not, each with its place among the ones given. With `ordered: true` nothing behind the first was tried.
    pub errors: Vec<(usize, ServerError)>,
    /// They are in, but not as safely as was asked for.
    pub concern: Option<ServerError>,
}

impl Client {
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    pub fn version(&self) -> &Version {
        &self.version
    }

    /// `{id: …}` of the session, where the server has sessions: for `refreshSessions` and `killSessions` by another connection.
    pub fn session(&self) -> Option<RawDocumentBuf> {
        self.session.as_ref().map(session_id)
    }

    /// Runs a command, and gives its reply. `$db`, `lsid` and, on a member that is not the primary, `$readPreference` are
    /// added.
    pub async fn run(&mut self, database: &str, command: RawDocumentBuf) -> Result<RawDocumentBuf> {
        let outcome = self.try_run(database, command).await?;
        outcome.map_err(|error| error.during(&self.running))
    }

    /// [`Client::run`], with the server's refusal as the inner result: for the caller to look at its code. The outer one is
    /// a lost connection.
    pub async fn try_run(
        &mut self,
        database: &str,
        command: RawDocumentBuf,
    ) -> Result<Result<RawDocumentBuf, ServerError>> {
        self.begin(database, &command).await?;
        let outcome = async {
            self.send(database, command, None).await?;
            self.wire.document().await
        };
        let outcome = outcome.await;
        let reply = outcome.map_err(|error| self.lost(error))?;
        Ok(if is_ok(&reply) { Ok(reply) } else { Err(ServerError::read(&reply)) })
    }

    /// Runs a command that answers with a cursor: find, aggregate, listCollections, listIndexes.
    pub async fn query(&mut self, database: &str, command: RawDocumentBuf) -> Result<Cursor<'_>> {
        self.begin(database, &command).await?;
        match self.query_begun(database, command).await? {
            Ok(()) => Ok(Cursor::new(self)),
            Err(error) => Err(error.during(&self.running)),
        }
    }

    /// [`Client::query`], with the server's refusal as the inner result.
    pub async fn try_query(
        &mut self,
        database: &str,
        command: RawDocumentBuf,
    ) -> Result<Result<Cursor<'_>, ServerError>> {
        self.begin(database, &command).await?;
        Ok(self.query_begun(database, command).await?.map(|()| Cursor::new(self)))
    }

    async fn query_begun(&mut self, database: &str, command: RawDocumentBuf) -> Result<Result<(), ServerError>> {
        self.open(database, command).await.map_err(|error| self.lost(error))
    }

    /// Inserts documents that lie one after the other in `documents`. `head` is the command without them:
    /// `{insert: "orders", ordered: true}`.
    pub async fn insert(&mut self, database: &str, head: RawDocumentBuf, documents: &[u8]) -> Result<Inserted> {
        self.begin(database, &head).await?;
        self.check(documents).context(|| format!("unable to run {}", self.running))?;
        let outcome = async {
            self.send(database, head, Some(documents)).await?;
            self.wire.document().await
        };
        let outcome = outcome.await;
        let reply = outcome.map_err(|error| self.lost(error))?;
        if !is_ok(&reply) {
            return Err(ServerError::read(&reply).during(&self.running));
        }
        Inserted::read(&reply).ok_or_else(|| {
            Error::Corrupt(format!("the server's reply to {} does not say what became of it", self.running))
        })
    }

    /// Checks what the server would refuse less clearly, if at all.
    fn check(&self, documents: &[u8]) -> Result<()> {
        let Hello { max_bson, max_batch, max_message, .. } = &self.hello;
        let (mut rest, mut count) = (documents, 0_usize);
        while !rest.is_empty() {
            let size = rest.first_chunk().and_then(|size| usize::try_from(i32::from_le_bytes(*size)).ok());
            let split = size.filter(|size| *size >= 5).and_then(|size| rest.split_at_checked(size));
            let Some((document, behind)) = split else {
                return Err(Error::Corrupt(format!("document {count} of the batch has a length that cannot be")));
            };
            if document.len() > *max_bson {
                return Err(Error::Failed(format!(
                    "document {count} of the batch has {} bytes, and the server takes {max_bson}",
                    document.len()
                )));
            }
            count += 1;
            rest = behind;
        }
        // The command itself needs some room, too.
        if count > *max_batch || documents.len() > max_message.saturating_sub(16 << 10) {
            let size = documents.len();
            return Err(Error::Failed(format!(
                "{count} documents of {size} bytes are more than the server takes at once: {max_batch}, in {max_message} bytes"
            )));
        }
        Ok(())
    }

    /// Notes what runs next, and makes the connection ready for it.
    async fn begin(&mut self, database: &str, command: &RawDocument) -> Result<()> {
        if self.wire.is_torn() {
            let before = &self.running;
            return Err(Error::Failed(format!("the connection is of no more use: {before} was given up, or failed")));
        }
        self.settle().await?;
        self.running = describe(database, command);
        Ok(())
    }

    async fn send(&mut self, database: &str, mut command: RawDocumentBuf, documents: Option<&[u8]>) -> Result<()> {
        // A direct connection to such a member: without this, it reads for nobody.
        let reads = documents.is_none() && self.hello.is_member() && self.hello.kind != Kind::Primary;
        if reads && !matches!(command.get("$readPreference"), Ok(Some(_))) {
            command.append(cstr!("$readPreference"), bson::rawdoc! { "mode": "primaryPreferred" });
        }
        self.send_raw(database, command, documents).await
    }

    async fn send_raw(&mut self, database: &str, mut command: RawDocumentBuf, documents: Option<&[u8]>) -> Result<()> {
        if let Some(id) = &self.session {
            command.append(cstr!("lsid"), session_id(id));
        }
        command.append(cstr!("$db"), database);
        self.wire.send(command.as_bytes(), documents.map(|documents| ("documents", documents))).await
    }

    /// What became of the connection, which is of no more use; or what the server said, with which it still is.
    fn lost(&mut self, error: Error) -> Error {
        if error.message().contains("; while running ") {
            return error;
        }
        self.wire.tear();
        match error {
            Error::Unavailable(_) => {
                error.context(format!("connection to the server lost while running {}", self.running))
            }
            error => error.context(format!("unable to run {}", self.running)),
        }
    }

    /// Says goodbye. The connection is over either way.
    pub async fn close(mut self) {
        if self.wire.is_torn() || self.settle().await.is_err() {
            return;
        }
        if let Some(id) = self.session.take() {
            let end = bson::rawdoc! { "endSessions": [session_id(&id)] };
            let said = async {
                self.send_raw("admin", end, None).await?;
                self.wire.document().await
            };
            if said.await.is_err() {
                return;
            }
        }
        self.open.note_goodbye();
    }

    /// A collection that has to go, even when the run ends before it does that: by [`stoppable`].
    pub fn note_temporary(&self, database: &str, name: &str) {
        self.open.note_temporary(database, name);
    }

    /// It has gone.
    pub fn forget_temporary(&self, database: &str, name: &str) {
        self.open.forget_temporary(database, name);
    }
}

impl Inserted {
    fn read(reply: &RawDocument) -> Option<Self> {
        let mut inserted = Inserted { count: error::number(reply, "n")?, ..Inserted::default() };
        if let Ok(errors) = reply.get_array("writeErrors") {
            for error in errors {
                let RawBsonRef::Document(error) = error.ok()? else { return None };
                inserted.errors.push((error::number(error, "index")?, ServerError::read(error)));
            }
        }
        inserted.concern = reply.get_document("writeConcernError").ok().map(ServerError::read);
        Some(inserted)
    }
}

/// `{id: UUID}`.
fn session_id(id: &[u8; 16]) -> RawDocumentBuf {
    bson::rawdoc! { "id": Value::Binary(RawBinaryRef { subtype: BinarySubtype::Uuid, bytes: id }) }
}

fn is_ok(reply: &RawDocument) -> bool {
    error::number::<i64>(reply, "ok") == Some(1)
}

/// A command for errors: its name and what it is about, without any values.
fn describe(database: &str, command: &RawDocument) -> String {
    match command.iter().next() {
        Some(Ok((name, RawBsonRef::String(about)))) => format!("{name} {database}.{about}"),
        Some(Ok((name, _))) => format!("{name} in {database}"),
        _ => format!("a command in {database}"),
    }
}
