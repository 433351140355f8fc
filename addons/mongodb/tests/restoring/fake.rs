//! A server that is none: it says what a test has it say, and remembers what it heard. For what no server at hand can do.

use bson::{RawDocument, RawDocumentBuf, rawdoc};
use coffer_addon::{Application, testing};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_util::compat::TokioAsyncReadCompatExt;

/// A command and the documents beside it.
#[derive(Clone, Debug)]
pub struct Heard {
    pub command: RawDocumentBuf,
    pub documents: Vec<RawDocumentBuf>,
}

type Answer = Box<dyn FnMut(&str, &Heard) -> Option<RawDocumentBuf> + Send>;

/// What it answers where the test says nothing else.
struct State {
    version: &'static str,
    answer: Answer,
    heard: Vec<Heard>,
    /// What was made, for `listCollections`: database, name, options.
    made: Vec<(String, String, RawDocumentBuf)>,
    inserted: std::collections::BTreeMap<String, i32>,
    /// From a command of this name on it answers nobody.
    last: Option<&'static str>,
    is_silent: bool,
    slow: Option<(&'static str, std::time::Duration)>,
    /// From a command of this name on it hangs up on new connections.
    full: Option<&'static str>,
    is_full: bool,
}

#[derive(Clone)]
pub struct Fake(Arc<Mutex<State>>);

impl Fake {
    /// The primary of a replica set, of this version.
    pub fn new(
        version: &'static str,
        answer: impl FnMut(&str, &Heard) -> Option<RawDocumentBuf> + Send + 'static,
    ) -> Fake {
        let state = State {
            version,
            answer: Box::new(answer),
            heard: Vec::new(),
            made: Vec::new(),
            inserted: std::collections::BTreeMap::new(),
            last: None,
            is_silent: false,
            slow: None,
            full: None,
            is_full: false,
        };
        Fake(Arc::new(Mutex::new(state)))
    }

    pub fn application(&self) -> Application {
        self.application_of(super::binding())
    }

    pub fn falls_silent_at(&self, command: &'static str) {
        self.0.lock().unwrap().last = Some(command);
    }

    pub fn takes_long_for(&self, command: &'static str, time: std::time::Duration) {
        self.0.lock().unwrap().slow = Some((command, time));
    }

    pub fn takes_no_more_from(&self, command: &'static str) {
        self.0.lock().unwrap().full = Some(command);
    }

    pub fn application_of(&self, binding: coffer_addon::Binding) -> Application {
        let fake = self.clone();
        testing::application(binding, &[], move || {
            let (ours, theirs) = tokio::io::duplex(1 << 20);
            tokio::spawn(serve(ours, fake.clone()));
            async move { Ok(testing::connection(theirs.compat())) }
        })
    }

    /// All commands, in their order.
    pub fn all(&self) -> Vec<Heard> {
        self.0.lock().unwrap().heard.clone()
    }

    /// The commands of this name.
    pub fn heard(&self, name: &str) -> Vec<Heard> {
        let state = self.0.lock().unwrap();
        state.heard.iter().filter(|heard| name_of(&heard.command) == name).cloned().collect()
    }
}

/// One that says nothing of its own.
pub fn plain(version: &'static str) -> Fake {
    Fake::new(version, |_, _| None)
}

/// The entries that are to be applied.
pub fn entries(heard: &Heard) -> Vec<RawDocumentBuf> {
    let array = heard.command.get_array("applyOps").expect("entries");
    array.into_iter().map(|entry| entry.unwrap().as_document().unwrap().to_owned()).collect()
}

pub fn refusal(code: i32, name: &str, message: &str) -> RawDocumentBuf {
    rawdoc! { "ok": 0, "code": code, "codeName": name, "errmsg": message }
}

pub fn name_of(command: &RawDocument) -> String {
    command.iter().next().unwrap().unwrap().0.as_str().to_string()
}

/// In place of an answer: there is none.
pub fn never() -> RawDocumentBuf {
    rawdoc! { "never": true }
}

/// In place of an answer: the connection ends.
pub fn hangs_up() -> RawDocumentBuf {
    rawdoc! { "hangsUp": true }
}

pub fn cursor(documents: impl IntoIterator<Item = RawDocumentBuf>) -> RawDocumentBuf {
    let documents: bson::RawArrayBuf = documents.into_iter().collect();
    rawdoc! { "ok": 1, "cursor": { "id": 0_i64, "ns": "fake.fake", "firstBatch": documents } }
}

async fn serve(mut io: DuplexStream, fake: Fake) {
    if fake.0.lock().unwrap().is_full {
        return;
    }
    let mut head = [0; 16];
    while io.read_exact(&mut head).await.is_ok() {
        let field = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
        let mut body = vec![0; usize::try_from(field(0)).unwrap() - head.len()];
        io.read_exact(&mut body).await.expect("a message");
        let heard = parse(&body[4..]);
        let (name, slow) = (name_of(&heard.command), fake.0.lock().unwrap().slow);
        let answer = fake.0.lock().unwrap().answer(heard);
        if let Some((_, time)) = slow.filter(|(slow, _)| *slow == name) {
            tokio::time::sleep(time).await;
        }
        if answer == hangs_up() {
            return;
        }
        if answer == never() || fake.0.lock().unwrap().is_silent {
            std::future::pending::<()>().await;
        }
        let length = u32::try_from(21 + answer.as_bytes().len()).unwrap();
        let mut message: Vec<u8> = [length, 1, field(4), 2013, 0].into_iter().flat_map(u32::to_le_bytes).collect();
        message.push(0);
        message.extend(answer.as_bytes());
        if io.write_all(&message).await.is_err() {
            return;
        }
    }
}

/// The sections of a message.
fn parse(mut sections: &[u8]) -> Heard {
    let mut heard = Heard { command: rawdoc! {}, documents: Vec::new() };
    let length = |bytes: &[u8]| usize::try_from(i32::from_le_bytes(bytes[..4].try_into().unwrap())).unwrap();
    while let Some((kind, rest)) = sections.split_first() {
        let (section, behind) = rest.split_at(length(rest));
        if *kind == 0 {
            heard.command = RawDocument::from_bytes(section).expect("a command").to_owned();
        } else {
            let name = section[4..].iter().position(|byte| *byte == 0).unwrap();
            let mut documents = &section[5 + name..];
            while !documents.is_empty() {
                let (document, others) = documents.split_at(length(documents));
                heard.documents.push(RawDocument::from_bytes(document).expect("a document").to_owned());
                documents = others;
            }
        }
        sections = behind;
    }
    heard
}

impl State {
    fn answer(&mut self, heard: Heard) -> RawDocumentBuf {
        let name = name_of(&heard.command);
        self.is_full |= self.full.is_some_and(|full| full == name);
        self.is_silent |= self.last.is_some_and(|last| last == name);
        let answer = (self.answer)(&name, &heard);
        let text = |key: &str| heard.command.get_str(key).unwrap_or_default().to_string();
        let database = text("$db");
        let answer = answer.unwrap_or_else(|| match name.as_str() {
            "isMaster" | "hello" => rawdoc! {
                "ok": 1, "isWritablePrimary": true, "ismaster": true, "setName": "rs0", "hosts": ["a:1"], "me": "a:1",
                "minWireVersion": 0, "maxWireVersion": 25, "logicalSessionTimeoutMinutes": 30,
            },
            "buildInfo" => rawdoc! { "ok": 1, "version": self.version },
            "create" => {
                let options = heard.command.iter().flatten().skip(1);
                let options = options.filter(|(key, _)| !matches!(key.as_str(), "writeConcern" | "lsid" | "$db"));
                self.made.push((database.clone(), text("create"), options.collect()));
                rawdoc! { "ok": 1 }
            }
            "applyOps" => {
                for entry in heard.command.get_array("applyOps").unwrap() {
                    let entry = entry.unwrap().as_document().unwrap();
                    if let Ok(create) = entry.get_document("o").unwrap().get_str("create") {
                        let database = entry.get_str("ns").unwrap().split('.').next().unwrap().to_string();
                        let options = entry.get_document("o").unwrap().iter().flatten().skip(1);
                        self.made.push((database, create.to_string(), options.collect()));
                    }
                }
                rawdoc! { "ok": 1, "applied": 1, "results": [true] }
            }
            "listCollections" => {
                let made = self.made.iter().filter(|(other, _, _)| *other == database);
                cursor(made.map(|(_, name, options)| {
                    let has = |option: &str| matches!(options.get(option), Ok(Some(_)));
                    let kind = match () {
                        () if has("viewOn") => "view",
                        () if has("timeseries") => "timeseries",
                        () => "collection",
                    };
                    rawdoc! { "name": name.as_str(), "type": kind, "options": options.clone(), "info": {} }
                }))
            }
            "insert" => {
                let count = i32::try_from(heard.documents.len()).unwrap();
                *self.inserted.entry(text("insert")).or_default() += count;
                rawdoc! { "ok": 1, "n": count }
            }
            "count" => rawdoc! { "ok": 1, "n": self.inserted.get(&text("count")).copied().unwrap_or_default() },
            "aggregate" => {
                cursor([rawdoc! { "n": self.inserted.get(&text("aggregate")).copied().unwrap_or_default() }])
            }
            "find" | "listIndexes" => cursor([]),
            _ => rawdoc! { "ok": 1 },
        });
        self.heard.push(heard);
        answer
    }
}
