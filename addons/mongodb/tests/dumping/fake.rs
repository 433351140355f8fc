//! A server that is none: what no server at hand can do (snapshots, transactions, secondaries, time series, indexes of mixed
//! types), said as MongoDB's documentation has it. It answers from a model, and a test may have it answer otherwise.

use bson::raw::cstr;
use bson::{Binary, RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf, Timestamp, rawdoc, spec::BinarySubtype};
use coffer_addon::{Application, Binding, testing};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::compat::TokioAsyncReadCompatExt;

/// A collection, its documents in the order of its index on `_id`.
#[derive(Clone)]
pub struct Collection {
    pub name: &'static str,
    pub kind: &'static str,
    pub options: RawDocumentBuf,
    pub uuid: u8,
    pub documents: Vec<RawDocumentBuf>,
}

impl Collection {
    pub fn new(name: &'static str, documents: Vec<RawDocumentBuf>) -> Self {
        Collection { name, kind: "collection", options: rawdoc! {}, uuid: 1, documents }
    }
}

/// What it answers in place of the model, given the command's name and the command.
type Instead = Box<dyn FnMut(&str, &RawDocument) -> Option<RawDocumentBuf> + Send>;

/// What it has.
pub struct Model {
    pub version: &'static str,
    pub hello: RawDocumentBuf,
    /// By database.
    pub databases: BTreeMap<&'static str, Vec<Collection>>,
    pub instead: Instead,
    /// All commands that it heard.
    pub heard: Vec<RawDocumentBuf>,
    /// Documents of a reply.
    pub batch: usize,
    cursors: BTreeMap<i64, (String, Vec<RawDocumentBuf>)>,
}

/// A model that connections share.
#[derive(Clone)]
pub struct Fake(pub Arc<Mutex<Model>>);

pub fn at(time: u32) -> Timestamp {
    Timestamp { time, increment: 1 }
}

/// A member of a replica set whose newest write is of this moment, and the majority's of that.
pub fn primary(newest: u32, majority: u32) -> RawDocumentBuf {
    rawdoc! {
        "ok": 1, "isWritablePrimary": true, "ismaster": true, "setName": "rs0", "hosts": ["a:1"], "me": "a:1",
        "minWireVersion": 0, "maxWireVersion": 25, "logicalSessionTimeoutMinutes": 30,
        "lastWrite": { "opTime": { "ts": at(newest), "t": 1_i64 }, "majorityOpTime": { "ts": at(majority), "t": 1_i64 } },
    }
}

pub fn secondary(newest: u32) -> RawDocumentBuf {
    rawdoc! {
        "ok": 1, "isWritablePrimary": false, "ismaster": false, "secondary": true, "setName": "rs0",
        "hosts": ["a:1", "b:2"], "me": "b:2", "primary": "a:1",
        "minWireVersion": 0, "maxWireVersion": 25, "logicalSessionTimeoutMinutes": 30,
        "lastWrite": { "opTime": { "ts": at(newest), "t": 1_i64 }, "majorityOpTime": { "ts": at(newest), "t": 1_i64 } },
    }
}

pub fn standalone() -> RawDocumentBuf {
    rawdoc! {
        "ok": 1, "isWritablePrimary": true, "ismaster": true, "minWireVersion": 0, "maxWireVersion": 25,
        "logicalSessionTimeoutMinutes": 30,
    }
}

pub fn refusal(code: i32, name: &str, message: &str) -> RawDocumentBuf {
    rawdoc! { "ok": 0, "code": code, "codeName": name, "errmsg": message }
}

/// A reply with all documents.
pub fn cursor(documents: impl IntoIterator<Item = RawDocumentBuf>) -> RawDocumentBuf {
    reply("firstBatch", 0, "fake.documents", documents)
}

fn reply(batch: &str, id: i64, namespace: &str, documents: impl IntoIterator<Item = RawDocumentBuf>) -> RawDocumentBuf {
    let documents: RawArrayBuf = documents.into_iter().collect();
    let mut cursor = rawdoc! { "id": id, "ns": namespace };
    match batch {
        "firstBatch" => cursor.append(cstr!("firstBatch"), documents),
        _ => cursor.append(cstr!("nextBatch"), documents),
    }
    rawdoc! { "cursor": cursor, "ok": 1 }
}

impl Fake {
    pub fn new(version: &'static str, hello: RawDocumentBuf) -> Self {
        let model = Model {
            version,
            hello,
            databases: BTreeMap::new(),
            instead: Box::new(|_, _| None),
            heard: Vec::new(),
            batch: 3,
            cursors: BTreeMap::new(),
        };
        Fake(Arc::new(Mutex::new(model)))
    }

    pub fn with(self, database: &'static str, collection: Collection) -> Self {
        self.0.lock().unwrap().databases.entry(database).or_default().push(collection);
        self
    }

    /// Answers otherwise where `instead` says so.
    pub fn instead(self, instead: impl FnMut(&str, &RawDocument) -> Option<RawDocumentBuf> + Send + 'static) -> Self {
        self.0.lock().unwrap().instead = Box::new(instead);
        self
    }

    /// As an addon sees it.
    pub fn application(&self) -> Application {
        let fake = self.clone();
        testing::application(super::binding(), &[], move || {
            let (ours, theirs) = tokio::io::duplex(1 << 20);
            tokio::spawn(serve(ours, fake.clone()));
            async move { Ok(testing::connection(theirs.compat())) }
        })
    }

    /// Members of a replica set as an addon sees them.
    pub fn members(fakes: &[(&'static str, &Fake)]) -> Application {
        let endpoints = std::iter::once("default").chain(fakes.iter().map(|(name, _)| *name)).map(String::from);
        let binding = Binding { endpoints: endpoints.collect(), ..super::binding() };
        let fakes: Vec<(&str, Fake)> = fakes.iter().map(|(name, fake)| (*name, (*fake).clone())).collect();
        testing::endpoints(binding, &[], move |endpoint| {
            let named = fakes.iter().find(|(name, _)| Some(*name) == endpoint).or(fakes.first());
            let (ours, theirs) = tokio::io::duplex(1 << 20);
            tokio::spawn(serve(ours, named.expect("a member").1.clone()));
            async move { Ok(testing::connection(theirs.compat())) }
        })
    }

    /// On a port of 127.0.0.1, for a component.
    pub async fn listen(&self) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let fake = self.clone();
        tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                tokio::spawn(serve(io, fake.clone()));
            }
        });
        port
    }

    /// The commands of a name that it heard.
    pub fn heard(&self, name: &str) -> Vec<RawDocumentBuf> {
        let model = self.0.lock().unwrap();
        model.heard.iter().filter(|command| name_of(command) == name).cloned().collect()
    }
}

async fn serve(mut io: impl AsyncRead + AsyncWrite + Unpin, fake: Fake) {
    let mut head = [0; 16];
    while io.read_exact(&mut head).await.is_ok() {
        let field = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
        let mut body = vec![0; usize::try_from(field(0)).unwrap() - head.len()];
        io.read_exact(&mut body).await.expect("a message");
        let command = RawDocument::from_bytes(&body[5..]).expect("a command").to_owned();
        let Some(answer) = fake.0.lock().unwrap().answer(&command) else {
            // It never answers.
            return std::future::pending().await;
        };
        let length = u32::try_from(21 + answer.as_bytes().len()).unwrap();
        let mut message: Vec<u8> = [length, 1, field(4), 2013, 0].into_iter().flat_map(u32::to_le_bytes).collect();
        message.push(0);
        message.extend(answer.as_bytes());
        if io.write_all(&message).await.is_err() {
            return;
        }
    }
}

pub fn name_of(command: &RawDocument) -> String {
    command.iter().next().unwrap().unwrap().0.to_string()
}

fn text(command: &RawDocument, key: &str) -> String {
    command.get_str(key).unwrap_or_default().to_string()
}

impl Model {
    fn answer(&mut self, command: &RawDocument) -> Option<RawDocumentBuf> {
        self.heard.push(command.to_owned());
        let name = name_of(command);
        if let Some(answer) = (self.instead)(&name, command) {
            return (answer != rawdoc! { "never": true }).then_some(answer);
        }
        let database = text(command, "$db");
        Some(match name.as_str() {
            "isMaster" | "hello" => self.hello.clone(),
            "buildInfo" => rawdoc! { "ok": 1, "version": self.version },
            "listDatabases" => {
                let names = self.databases.keys().map(|name| rawdoc! { "name": *name });
                rawdoc! { "ok": 1, "databases": names.collect::<RawArrayBuf>() }
            }
            "listCollections" => {
                let filter = command.get_document("filter").map(|filter| text(filter, "name"));
                let filter = filter.ok();
                let all = self.databases.get(database.as_str()).into_iter().flatten();
                let listed = all.filter(|collection| filter.as_ref().is_none_or(|name| name == collection.name));
                cursor(listed.map(|collection| {
                    let uuid = Binary { subtype: BinarySubtype::Uuid, bytes: vec![collection.uuid; 16] };
                    let info = if collection.kind == "collection" { rawdoc! { "uuid": uuid } } else { rawdoc! {} };
                    rawdoc! {
                        "name": collection.name, "type": collection.kind, "options": collection.options.clone(), "info": info,
                    }
                }))
            }
            "listIndexes" => cursor([rawdoc! { "v": 2, "key": { "_id": 1 }, "name": "_id_" }]),
            "collStats" => {
                let documents = self.documents(&database, &text(command, "collStats"));
                let size: usize = documents.iter().map(|document| document.as_bytes().len()).sum();
                let (count, size) = (i32::try_from(documents.len()).unwrap(), i32::try_from(size).unwrap());
                rawdoc! { "ok": 1, "count": count, "size": size }
            }
            "count" => {
                let count = self.documents(&database, &text(command, "count")).len();
                rawdoc! { "ok": 1, "n": i32::try_from(count).unwrap() }
            }
            "aggregate" => {
                let documents = self.documents(&database, &text(command, "aggregate"));
                let stage = command.get_array("pipeline").unwrap().get_document(0).unwrap();
                if stage.get_document("$group").is_ok() {
                    return Some(cursor([rawdoc! { "n": i32::try_from(documents.len()).unwrap() }]));
                }
                // Every other document, in order: what a sample may be.
                cursor(documents.iter().step_by(2).map(id))
            }
            "find" => {
                let collection = text(command, "find");
                let found = self.find(&database, &collection, command);
                self.batch("firstBatch", format!("{database}.{collection}"), found)
            }
            "getMore" => match self.cursors.remove(&command.get_i64("getMore").unwrap()) {
                Some((namespace, documents)) => self.batch("nextBatch", namespace, documents),
                None => refusal(43, "CursorNotFound", "cursor id not found"),
            },
            _ => rawdoc! { "ok": 1 },
        })
    }

    fn documents(&self, database: &str, collection: &str) -> Vec<RawDocumentBuf> {
        let mut all = self.databases.get(database).into_iter().flatten();
        all.find(|candidate| candidate.name == collection).map(|found| found.documents.clone()).unwrap_or_default()
    }

    /// With bounds of the index, and with the filters that the oplog is asked with.
    fn find(&self, database: &str, collection: &str, command: &RawDocument) -> Vec<RawDocumentBuf> {
        let mut documents = self.documents(database, collection);
        let place = |key: &str| {
            let bound = command.get_document(key).ok()?.get("_id").unwrap().map(shown);
            documents.iter().position(|document| document.get("_id").unwrap().map(shown) == bound)
        };
        let (from, to) = (place("min").unwrap_or(0), place("max").unwrap_or(documents.len()));
        if command.get_document("min").is_ok() || command.get_document("max").is_ok() {
            assert!(
                command.get_document("hint").is_ok_and(|hint| hint.get_i32("_id").is_ok()),
                "bounds need their index"
            );
        }
        documents = documents[from..to].to_vec();
        if let Ok(span) = command.get_document("filter").and_then(|filter| filter.get_document("ts")) {
            let bound = |key: &str| span.get_timestamp(key).map(|bound| (bound.time, bound.increment)).ok();
            documents.retain(|document| {
                let time = document.get_timestamp("ts").map(|time| (time.time, time.increment)).unwrap();
                bound("$gte").is_none_or(|bound| time >= bound) && bound("$lte").is_none_or(|bound| time <= bound)
            });
            if let Ok(before) = command.get_document("filter").unwrap().get_document("prevOpTime.ts") {
                let before = before.get_timestamp("$lt").unwrap();
                documents.retain(|document| {
                    let previous = document.get_document("prevOpTime").and_then(|time| time.get_timestamp("ts"));
                    previous.is_ok_and(|previous| {
                        previous.time > 0 && (previous.time, previous.increment) < (before.time, before.increment)
                    })
                });
            }
        }
        if command.get_document("sort").is_ok_and(|sort| sort.get_i32("$natural").is_ok_and(|order| order < 0)) {
            documents.reverse();
        }
        if let Ok(limit) = command.get_i32("limit") {
            documents.truncate(usize::try_from(limit).unwrap());
        }
        if command.get_document("projection").is_ok() {
            documents = documents.iter().map(id).collect();
        }
        documents
    }

    fn batch(&mut self, field: &str, namespace: String, mut documents: Vec<RawDocumentBuf>) -> RawDocumentBuf {
        let rest = documents.split_off(documents.len().min(self.batch));
        let mut id = 0;
        if !rest.is_empty() {
            id = i64::try_from(self.heard.len()).unwrap();
            self.cursors.insert(id, (namespace.clone(), rest));
        }
        reply(field, id, &namespace, documents)
    }
}

/// `{_id: …}` of a document.
fn id(document: &RawDocumentBuf) -> RawDocumentBuf {
    let mut id = RawDocumentBuf::new();
    id.append(cstr!("_id"), document.get("_id").unwrap().unwrap());
    id
}

/// A value as text: for comparing whether it is the same one.
fn shown(value: RawBsonRef<'_>) -> String {
    format!("{value:?}")
}
