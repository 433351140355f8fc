//! A client for tests: one connection, commands one after the other, documents as bytes.
//!
//! MongoDB's own driver would do, but it is some twenty crates more to build, among them a second SHA-1, speaks only to
//! asynchronous callers, and adds an `_id` to documents that lack one.

use std::io::{Read, Write};
use std::net::TcpStream;

use bson::{RawBsonRef, RawDocument, RawDocumentBuf, cstr, rawdoc};

use super::scram::Scram;
use crate::error::{Error, Result};

const OP_MSG: u32 = 2013;

/// Well below what every server takes (48 MB, 100,000 documents; FerretDB 25,000).
const BATCH_BYTES: usize = 24 << 20;
const BATCH_DOCUMENTS: usize = 10_000;

/// Who logs in, and the database that knows them.
#[derive(Debug, Clone, PartialEq)]
pub struct Login {
    pub user: String,
    pub password: String,
    pub source: String,
}

pub struct Client {
    stream: TcpStream,
    requests: u32,
}

impl Client {
    /// Connects in the clear and logs in by SCRAM-SHA-256.
    pub fn connect(host: &str, port: u16, login: Option<&Login>) -> Result<Self> {
        let stream = TcpStream::connect((host, port)).map_err(lost)?;
        stream.set_nodelay(true).map_err(lost)?;
        let mut client = Self { stream, requests: 0 };
        client.run("admin", &rawdoc! { "hello": 1 })?;
        if let Some(login) = login {
            client.log_in(login)?;
        }
        Ok(client)
    }

    fn log_in(&mut self, login: &Login) -> Result<()> {
        let strange = || refused("saslStart", 0, "the server's answer is no SCRAM-SHA-256");
        let scram = Scram::new(&login.user, &login.password);
        let payload = |bytes| bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes };
        let start = rawdoc! { "saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": payload(scram.first()) };
        let answer = self.run(&login.source, &start)?;
        let conversation = integer(&answer, "conversationId").ok_or_else(strange)?;
        let challenge = answer.get_binary("payload").map_err(|_| strange())?;
        let mut next = scram.proof(challenge.bytes).ok_or_else(strange)?;
        loop {
            let command = rawdoc! { "saslContinue": 1, "conversationId": conversation, "payload": payload(next) };
            let answer = self.run(&login.source, &command)?;
            if answer.get_bool("done").unwrap_or(false) {
                return Ok(());
            }
            next = Vec::new();
        }
    }

    /// Runs a command in a database; an answer that is not `ok` is an error with its code.
    pub fn run(&mut self, database: &str, command: &RawDocument) -> Result<RawDocumentBuf> {
        self.send(database, command, None)
    }

    /// Inserts documents as they are, in their order.
    pub fn insert<D: AsRef<RawDocument>>(&mut self, database: &str, collection: &str, documents: &[D]) -> Result<()> {
        let mut rest = documents;
        while !rest.is_empty() {
            let mut size = 0;
            let fits = rest.iter().take(BATCH_DOCUMENTS).take_while(|document| {
                size += document.as_ref().as_bytes().len();
                size <= BATCH_BYTES
            });
            let (batch, others) = rest.split_at(fits.count().max(1));
            let bytes: Vec<&[u8]> = batch.iter().map(|document| document.as_ref().as_bytes()).collect();
            let answer = self.send(database, &rawdoc! { "insert": collection }, Some(("documents", &bytes)))?;
            if let Ok(errors) = answer.get_array("writeErrors") {
                return Err(refused("insert", 0, &format!("{database}.{collection}: {errors:?}")));
            }
            rest = others;
        }
        Ok(())
    }

    /// Every document that a command with a cursor (`find`, `aggregate`, `listIndexes`, …) has, byte for byte.
    pub fn query(&mut self, database: &str, command: &RawDocument) -> Result<Vec<RawDocumentBuf>> {
        let mut documents = Vec::new();
        self.for_each(database, command, |document| documents.push(document.to_owned()))?;
        Ok(documents)
    }

    /// The same, one after the other.
    pub fn for_each(&mut self, database: &str, command: &RawDocument, mut see: impl FnMut(&RawDocument)) -> Result<()> {
        let strange = |what: &str| refused("cursor", 0, what);
        let mut answer = self.run(database, command)?;
        loop {
            let cursor = answer.get_document("cursor").map_err(|_| strange("no cursor in the answer"))?;
            let batch = cursor.get_array("firstBatch").or_else(|_| cursor.get_array("nextBatch"));
            for document in batch.map_err(|_| strange("no batch in the answer"))? {
                match document {
                    Ok(RawBsonRef::Document(document)) => see(document),
                    _ => return Err(strange("a batch with something else than documents")),
                }
            }
            let id = cursor.get_i64("id").map_err(|_| strange("no id in the answer"))?;
            if id == 0 {
                return Ok(());
            }
            let namespace = cursor.get_str("ns").map_err(|_| strange("no name in the answer"))?;
            let (database, collection) = namespace.split_once('.').ok_or_else(|| strange(namespace))?;
            let more = rawdoc! { "getMore": id, "collection": collection };
            answer = self.run(database, &more)?;
        }
    }

    /// All documents of a collection, byte for byte, sorted by the bytes of their `_id`s.
    pub fn documents(&mut self, database: &str, collection: &str) -> Result<Vec<RawDocumentBuf>> {
        let mut documents = self.query(database, &rawdoc! { "find": collection })?;
        documents.sort_by(|one, other| (id(one), one.as_bytes()).cmp(&(id(other), other.as_bytes())));
        Ok(documents)
    }

    /// What `listIndexes` says of a collection, sorted by name; nothing for a view.
    pub fn indexes(&mut self, database: &str, collection: &str) -> Result<Vec<RawDocumentBuf>> {
        let mut indexes = self.query(database, &rawdoc! { "listIndexes": collection })?;
        indexes.sort_by_key(|index| index.get_str("name").unwrap_or_default().to_owned());
        Ok(indexes)
    }

    /// What `listCollections` says of a database, sorted by name.
    pub fn collections(&mut self, database: &str) -> Result<Vec<RawDocumentBuf>> {
        let mut collections = self.query(database, &rawdoc! { "listCollections": 1 })?;
        collections.sort_by_key(|collection| collection.get_str("name").unwrap_or_default().to_owned());
        Ok(collections)
    }

    /// Removes a database with all that it has.
    pub fn drop_database(&mut self, database: &str) -> Result<()> {
        self.run(database, &rawdoc! { "dropDatabase": 1 }).map(drop)
    }

    /// FerretDB 1 writes an oplog once there is the collection for it.
    pub(super) fn create_oplog(&mut self) -> Result<()> {
        self.run("local", &rawdoc! { "create": "oplog.rs", "capped": true, "size": 512_i64 << 20 }).map(drop)
    }

    fn send(
        &mut self,
        database: &str,
        command: &RawDocument,
        documents: Option<(&str, &[&[u8]])>,
    ) -> Result<RawDocumentBuf> {
        let mut body = command.to_owned();
        body.append(cstr!("$db"), database);
        let mut sections = vec![0];
        sections.extend(body.as_bytes());
        if let Some((name, documents)) = documents {
            sections.push(1);
            let size = documents.iter().map(|document| document.len()).sum::<usize>() + name.len() + 5;
            sections.extend(u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
            sections.extend(name.as_bytes());
            sections.push(0);
            documents.iter().for_each(|document| sections.extend(*document));
        }
        self.requests += 1;
        let size = u32::try_from(sections.len() + 20).unwrap_or(u32::MAX);
        let head: Vec<u8> = [size, self.requests, 0, OP_MSG, 0].into_iter().flat_map(u32::to_le_bytes).collect();
        self.stream.write_all(&head).and_then(|()| self.stream.write_all(&sections)).map_err(lost)?;
        let answer = self.receive()?;
        let is_ok = answer.get("ok").ok().flatten().is_some_and(|ok| match ok {
            RawBsonRef::Double(ok) => ok == 1.0,
            RawBsonRef::Int32(ok) => ok == 1,
            RawBsonRef::Int64(ok) => ok == 1,
            RawBsonRef::Boolean(ok) => ok,
            _ => false,
        });
        if is_ok {
            return Ok(answer);
        }
        let name = command.iter().next().and_then(Result::ok).map(|(name, _)| name.as_str().to_owned());
        let code = integer(&answer, "code").unwrap_or_default();
        Err(refused(&name.unwrap_or_default(), code, answer.get_str("errmsg").unwrap_or("no reason given")))
    }

    fn receive(&mut self) -> Result<RawDocumentBuf> {
        let mut head = [0; 16];
        self.stream.read_exact(&mut head).map_err(lost)?;
        let [a, b, c, d, ..] = head;
        let size = u32::from_le_bytes([a, b, c, d]) as usize;
        let mut body = vec![0; size.saturating_sub(head.len())];
        self.stream.read_exact(&mut body).map_err(lost)?;
        // Flags, of which this client asks for none, and one section of kind 0.
        let document = body.get(5..).map(<[u8]>::to_vec).unwrap_or_default();
        RawDocumentBuf::from_bytes(document).map_err(|error| refused("answer", 0, &error.to_string()))
    }
}

/// The bytes of a document's `_id` with its type before them; nothing if it has none.
pub(super) fn id(document: &RawDocument) -> Option<Vec<u8>> {
    let id = document.get("_id").ok().flatten()?;
    let mut wrapped = RawDocumentBuf::new();
    wrapped.append(cstr!(""), id);
    wrapped.as_bytes().get(4..).map(<[u8]>::to_vec)
}

fn integer(document: &RawDocument, key: &str) -> Option<i32> {
    match document.get(key).ok().flatten()? {
        RawBsonRef::Int32(number) => Some(number),
        RawBsonRef::Int64(number) => i32::try_from(number).ok(),
        RawBsonRef::Double(number) => Some(number as i32),
        _ => None,
    }
}

fn lost(source: std::io::Error) -> Error {
    Error::Spawn { program: "a command of MongoDB".into(), source }
}

fn refused(command: &str, code: i32, message: &str) -> Error {
    Error::Refused { command: command.to_owned(), code, message: message.to_owned() }
}
