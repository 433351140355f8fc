//! A server that is none: it speaks OP_MSG on loopback, and answers as its script says. For what no server at hand does.

// Every test binary uses another part of it.
#![allow(dead_code)]
// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bson::raw::{RawDocument, RawDocumentBuf};
use bson::spec::BinarySubtype;
use bson::{RawBinaryRef, RawBsonRef, rawdoc};
use coffer_addon::{Application, Binding, TlsMode, testing};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::compat::TokioAsyncReadCompatExt;

const OP_MSG: i32 = 2013;

/// What a client asked.
#[derive(Clone, Debug)]
pub struct Command {
    /// The first field's name.
    pub name: String,
    pub database: String,
    pub body: RawDocumentBuf,
    /// What came beside the body as `documents`, as it came.
    pub documents: Vec<u8>,
    pub request: i32,
    /// Counted from 0.
    pub connection: usize,
}

impl Command {
    /// The first field's value, of a command that has text there.
    pub fn about(&self) -> &str {
        self.body.get_str(&self.name).unwrap_or_default()
    }

    pub fn session(&self) -> Option<Vec<u8>> {
        Some(self.body.get_document("lsid").ok()?.get_binary("id").ok()?.bytes.to_vec())
    }
}

/// What the peer does about it.
pub enum Say {
    Reply(RawDocumentBuf),
    /// As it is, the header too.
    Bytes(Vec<u8>),
    /// These, and then nothing more.
    BytesAndHangUp(Vec<u8>),
    HangUp,
    /// It goes on waiting for the client.
    Nothing,
}

/// Gone when dropped.
pub struct Peer {
    pub port: u16,
    heard: Arc<Mutex<Vec<Command>>>,
    task: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    /// Answers by `script`, and where that says nothing of a command, as a standalone server without logins.
    pub async fn start(script: impl FnMut(&Command) -> Option<Say> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = listener.local_addr().expect("a port").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (script, hears) = (Arc::new(Mutex::new(script)), heard.clone());
        let task = tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (script, hears) = (script.clone(), hears.clone());
                tokio::spawn(async move {
                    let mut answer = move |command: &Command| (script.lock().unwrap())(command);
                    // A client that hangs up ends it.
                    let _ = converse(stream, connection, &hears, &mut answer).await;
                });
            }
        });
        Peer { port, heard, task }
    }

    /// All commands so far, without hello and buildInfo.
    pub fn heard(&self) -> Vec<Command> {
        let is_known = |command: &&Command| !["isMaster", "buildInfo"].contains(&command.name.as_str());
        self.heard.lock().unwrap().iter().filter(is_known).cloned().collect()
    }

    pub fn names(&self) -> Vec<String> {
        self.heard().into_iter().map(|command| command.name).collect()
    }

    /// The peer as an addon sees it.
    pub fn application(&self, credentials: &[(&str, &str)], parameters: &[(&str, &str)]) -> Application {
        at(&[("default", self.port)], credentials, parameters)
    }
}

/// Ports on loopback as an addon sees them.
pub fn at(endpoints: &[(&str, u16)], credentials: &[(&str, &str)], parameters: &[(&str, &str)]) -> Application {
    let binding = Binding {
        kind: "mongodb".into(),
        tls: TlsMode::Disable,
        endpoints: endpoints.iter().map(|(name, _)| (*name).to_string()).collect(),
        parameters: parameters.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        ..Binding::default()
    };
    let ports: Vec<(String, u16)> = endpoints.iter().map(|(name, port)| ((*name).to_string(), *port)).collect();
    testing::endpoints(binding, credentials, move |endpoint| {
        let port = ports.iter().find(|(name, _)| endpoint.is_none_or(|wanted| wanted == name)).expect("known").1;
        async move { Ok(testing::connection(TcpStream::connect(("127.0.0.1", port)).await?.compat())) }
    })
}

async fn converse(
    mut stream: TcpStream,
    connection: usize,
    heard: &Mutex<Vec<Command>>,
    script: &mut (dyn FnMut(&Command) -> Option<Say> + Send),
) -> std::io::Result<()> {
    loop {
        let mut head = [0; 16];
        stream.read_exact(&mut head).await?;
        let field = |at: usize| i32::from_le_bytes(head[at..at + 4].try_into().unwrap());
        assert_eq!(field(12), OP_MSG);
        let mut rest = vec![0; usize::try_from(field(0)).unwrap() - head.len()];
        stream.read_exact(&mut rest).await?;
        let command = read(&rest, field(4), connection);
        heard.lock().unwrap().push(command.clone());
        match script(&command).unwrap_or_else(|| Say::Reply(usual(&command))) {
            Say::Reply(reply) => stream.write_all(&message(command.request, 0, reply.as_bytes())).await?,
            Say::Bytes(bytes) => stream.write_all(&bytes).await?,
            Say::BytesAndHangUp(bytes) => return stream.write_all(&bytes).await,
            Say::HangUp => return Ok(()),
            Say::Nothing => {}
        }
    }
}

/// Flags, then sections.
fn read(rest: &[u8], request: i32, connection: usize) -> Command {
    assert_eq!(rest[..5], [0; 5], "no flags, and the body first");
    let size = |bytes: &[u8]| usize::try_from(i32::from_le_bytes(bytes[..4].try_into().unwrap())).unwrap();
    let (body, sequence) = rest[5..].split_at(size(&rest[5..]));
    let body = RawDocumentBuf::from_bytes(body.to_vec()).expect("a document");
    let documents = match sequence {
        [] => Vec::new(),
        [1, sequence @ ..] => {
            assert_eq!(size(sequence), sequence.len());
            sequence[4..].strip_prefix(b"documents\0").expect("the field's name").to_vec()
        }
        _ => panic!("a section of another kind"),
    };
    let name = body.iter().next().expect("a field").expect("valid").0.as_str().to_string();
    let database = body.get_str("$db").expect("a database").to_string();
    Command { name, database, body, documents, request, connection }
}

/// A message that answers a request.
pub fn message(request: i32, flags: u32, document: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in [i32::try_from(21 + document.len()).unwrap(), 77, request, OP_MSG] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(flags.to_le_bytes());
    bytes.push(0);
    bytes.extend(document);
    bytes
}

/// What a server of 7.0 answers, of no replica set, without logins.
pub fn usual(command: &Command) -> RawDocumentBuf {
    match command.name.as_str() {
        "isMaster" => hello(&rawdoc! { "logicalSessionTimeoutMinutes": 30 }),
        "buildInfo" => rawdoc! { "version": "7.0.12", "ok": 1.0 },
        _ => rawdoc! { "ok": 1.0 },
    }
}

/// A reply to hello, with more fields in front.
pub fn hello(more: &RawDocument) -> RawDocumentBuf {
    let mut reply = RawDocumentBuf::new();
    let rest = rawdoc! {
        "ismaster": true,
        "maxBsonObjectSize": 16 << 20,
        "maxMessageSizeBytes": 48_000_000,
        "maxWriteBatchSize": 100_000,
        "minWireVersion": 0,
        "maxWireVersion": 21,
        "ok": 1.0,
    };
    for part in [more, &rest] {
        for field in part {
            let (name, value) = field.expect("valid");
            if !matches!(reply.get(name), Ok(Some(_))) {
                reply.append(name, value);
            }
        }
    }
    reply
}

/// A reply to hello of a member of `rs0`.
pub fn member(more: &RawDocument) -> RawDocumentBuf {
    let mut fields = more.to_owned();
    fields.append(bson::raw::cstr!("setName"), "rs0");
    fields.append(bson::raw::cstr!("ismaster"), false);
    hello(&fields)
}

/// A server's refusal.
pub fn refusal(code: i32, name: &str, message: &str) -> RawDocumentBuf {
    rawdoc! { "ok": 0.0, "errmsg": message, "code": code, "codeName": name }
}

/// A reply with a batch.
pub fn batch(name: &str, id: i64, namespace: &str, documents: &[RawDocumentBuf]) -> RawDocumentBuf {
    let mut array = bson::raw::RawArrayBuf::new();
    for document in documents {
        array.push(document.clone());
    }
    let mut cursor = RawDocumentBuf::new();
    let name: &bson::raw::CStr = name.try_into().expect("a name");
    cursor.append(name, array);
    cursor.append(bson::raw::cstr!("id"), id);
    cursor.append(bson::raw::cstr!("ns"), namespace);
    rawdoc! { "cursor": cursor, "ok": 1.0 }
}

/// A server's side of SCRAM.
#[derive(Clone)]
pub struct Scram {
    pub mechanism: &'static str,
    pub user: String,
    pub password: String,
    pub iterations: u32,
    /// Whether it knows `skipEmptyExchange`.
    pub skips: bool,
    /// Whether it knows the password, as a server does.
    pub knows: bool,
    /// Of the conversation under way, what goes into the proofs.
    pub said: String,
}

impl Scram {
    pub fn new(mechanism: &'static str, user: &str, password: &str) -> Self {
        let (user, password, said) = (user.into(), password.into(), String::new());
        Scram { mechanism, user, password, iterations: 4096, skips: true, knows: true, said }
    }

    /// Answers the commands of a login.
    pub fn answer(&mut self, command: &Command) -> Option<RawDocumentBuf> {
        let payload = command.body.get_binary("payload").ok()?;
        let payload = std::str::from_utf8(payload.bytes).expect("text").to_string();
        match command.name.as_str() {
            "saslStart" if command.body.get_str("mechanism").ok() != Some(self.mechanism) => {
                Some(refusal(334, "MechanismUnavailable", "Unable to use that mechanism"))
            }
            "saslStart" => {
                let bare = payload.strip_prefix("n,,").expect("no channel binding");
                let (user, nonce) = bare.strip_prefix("n=").and_then(|rest| rest.split_once(",r=")).expect("a user");
                if user != self.user.replace('=', "=3D").replace(',', "=2C") {
                    return Some(refusal(18, "AuthenticationFailed", "Authentication failed."));
                }
                let challenge =
                    format!("r={nonce}SERVER,s={},i={}", BASE64.encode("saltsaltsaltsalt"), self.iterations);
                self.said = format!("{bare},{challenge}");
                Some(part(&challenge, false))
            }
            "saslContinue" if payload.is_empty() => Some(part("", true)),
            "saslContinue" => {
                let (without, proof) = payload.rsplit_once(",p=").expect("a proof");
                let signed = format!("{},{without}", self.said);
                let salted = self.salted();
                let key = self.hmac(&salted, b"Client Key");
                let mut expected = self.hmac(&self.hash(&key), signed.as_bytes());
                expected.iter_mut().zip(&key).for_each(|(to, from)| *to ^= from);
                if BASE64.encode(expected) != proof {
                    return Some(refusal(18, "AuthenticationFailed", "Authentication failed."));
                }
                let mut server = self.hmac(&self.hmac(&salted, b"Server Key"), signed.as_bytes());
                if !self.knows {
                    server[0] ^= 1;
                }
                Some(part(&format!("v={}", BASE64.encode(server)), self.skips))
            }
            _ => None,
        }
    }

    fn hash(&self, bytes: &[u8]) -> Vec<u8> {
        match self.mechanism {
            "SCRAM-SHA-1" => <Sha1 as sha1::Digest>::digest(bytes).to_vec(),
            _ => Sha256::digest(bytes).to_vec(),
        }
    }

    fn hmac(&self, key: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut block = key.to_vec();
        block.resize(64, 0);
        let pad = |by: u8| block.iter().map(|byte| byte ^ by).collect::<Vec<u8>>();
        self.hash(&[pad(0x5c), self.hash(&[pad(0x36), bytes.to_vec()].concat())].concat())
    }

    fn salted(&self) -> Vec<u8> {
        let password = match self.mechanism {
            "SCRAM-SHA-1" => hex(&Md5::digest(format!("{}:mongo:{}", self.user, self.password))),
            _ => self.password.clone(),
        };
        let mut last = self.hmac(password.as_bytes(), b"saltsaltsaltsalt\0\0\0\x01");
        let mut sum = last.clone();
        for _ in 1..self.iterations {
            last = self.hmac(password.as_bytes(), &last);
            sum.iter_mut().zip(&last).for_each(|(to, from)| *to ^= from);
        }
        sum
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn part(payload: &str, done: bool) -> RawDocumentBuf {
    let payload = RawBsonRef::Binary(RawBinaryRef { subtype: BinarySubtype::Generic, bytes: payload.as_bytes() });
    rawdoc! { "conversationId": 1, "done": done, "payload": payload, "ok": 1.0 }
}
