//! A server by a script: it says what it is told to say, and notes what it was asked.

#![allow(dead_code)]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A request: `POST`, `/x/_bulk` without its query, and the body.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    pub body: String,
    /// Whether it said in front how long its body is.
    pub has_length: bool,
}

impl Asked {
    pub fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }

    /// The documents of a `_bulk`.
    pub fn documents(&self) -> usize {
        self.body.lines().count() / 2
    }
}

/// None hangs up without an answer.
pub type Script = Box<dyn FnMut(&Asked, usize) -> Option<(u16, String)> + Send>;

/// What it says to a request that is no `_bulk`; none: what an empty cluster would.
pub type Other = Box<dyn FnMut(&Asked) -> Option<(u16, String)> + Send>;

pub struct Fake {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    /// `bulk` answers `_bulk`, and is told the how manieth it is, from 0; the rest is answered as by an empty cluster.
    pub async fn start(bulk: impl FnMut(&Asked, usize) -> Option<(u16, String)> + Send + 'static) -> Fake {
        Fake::saying(bulk, |_| None).await
    }

    /// One that takes every document, and says to other requests what it is told to.
    pub async fn with(other: impl FnMut(&Asked) -> Option<(u16, String)> + Send + 'static) -> Fake {
        Fake::saying(|asked, _| all_well(asked), other).await
    }

    pub async fn saying(
        bulk: impl FnMut(&Asked, usize) -> Option<(u16, String)> + Send + 'static,
        other: impl FnMut(&Asked) -> Option<(u16, String)> + Send + 'static,
    ) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let state = Arc::new(Mutex::new(State {
            bulk: Box::new(bulk),
            other: Box::new(other),
            bulks: 0,
            counts: BTreeMap::new(),
        }));
        let (all, state) = (asked.clone(), state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (all, state) = (all.clone(), state.clone());
                tokio::spawn(async move {
                    let _ = serve(stream, &all, &state).await;
                });
            }
        });
        Fake { port, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("not poisoned").clone()
    }

    /// What it was asked to change.
    pub fn changes(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| !["GET", "HEAD"].contains(&asked.method.as_str())).collect()
    }

    /// The place of a request among all of them.
    pub fn place(&self, method: &str, path: &str) -> usize {
        let place = self.asked().iter().position(|asked| asked.is(method, path));
        place.unwrap_or_else(|| panic!("no {method} {path}"))
    }

    pub fn bulks(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.path.ends_with("/_bulk")).collect()
    }
}

struct State {
    bulk: Script,
    other: Other,
    bulks: usize,
    /// Documents that were answered to be in.
    counts: BTreeMap<String, u64>,
}

/// What a server says that takes everything.
pub fn all_well(asked: &Asked) -> Option<(u16, String)> {
    let items: Vec<Value> = (0..asked.documents()).map(|_| json!({ "index": { "status": 201 } })).collect();
    Some((200, json!({ "errors": false, "items": items }).to_string()))
}

/// What it says of the documents one by one.
pub fn each(statuses: &[u16]) -> Option<(u16, String)> {
    let items = statuses.iter().map(|status| match status {
        200..=299 => json!({ "index": { "status": status } }),
        _ => json!({ "index": { "status": status, "error": { "type": "some_exception", "reason": "secret" } } }),
    });
    let items: Vec<Value> = items.collect();
    Some((200, json!({ "errors": true, "items": items }).to_string()))
}

async fn serve(mut stream: TcpStream, all: &Mutex<Vec<Asked>>, state: &Mutex<State>) -> std::io::Result<()> {
    let asked = read(&mut stream).await?;
    all.lock().expect("not poisoned").push(asked.clone());
    let answer = answer(&asked, &mut state.lock().expect("not poisoned"));
    let Some((status, body)) = answer else { return Ok(()) };
    let head = format!(
        "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if asked.method != "HEAD" {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}

fn answer(asked: &Asked, state: &mut State) -> Option<(u16, String)> {
    let ok = |value: Value| Some((200, value.to_string()));
    let index = asked.path.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
    if asked.path.ends_with("/_bulk") {
        let number = state.bulks;
        state.bulks += 1;
        let said = (state.bulk)(asked, number);
        if let Some((200, body)) = &said {
            let body: Value = serde_json::from_str(body).unwrap_or_default();
            let items = body["items"].as_array().map(Vec::as_slice).unwrap_or_default();
            let taken = items.iter().filter(|item| item["index"]["status"].as_u64().is_some_and(|status| status < 300));
            *state.counts.entry(index).or_default() += taken.count() as u64;
        }
        return said;
    }
    if let Some(said) = (state.other)(asked) {
        return Some(said);
    }
    match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/") => ok(json!({ "cluster_name": "fake", "version": { "number": "8.19.0" } })),
        ("GET", path) if path.ends_with("/_count") => {
            let count = state.counts.get(&index).copied().unwrap_or_default();
            ok(json!({ "count": count, "_shards": { "failed": 0 } }))
        }
        ("GET", "/_all/_alias") => ok(json!({})),
        ("GET", "/_data_stream") => Some((404, "{}".into())),
        ("GET", path) if path.ends_with("/_alias") => ok(json!({ index: { "aliases": {} } })),
        _ => ok(json!({ "acknowledged": true })),
    }
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Asked> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let header = |wanted: &str| {
        let mut headers = head.lines().filter_map(|line| line.split_once(':'));
        headers.find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned()))
    };
    let mut body = Vec::new();
    if header("transfer-encoding").is_some() {
        loop {
            let mut size = String::new();
            stream.read_line(&mut size).await?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(|_| std::io::ErrorKind::UnexpectedEof)?;
            let start = body.len();
            body.resize(start + size + 2, 0);
            stream.read_exact(&mut body[start..]).await?;
            body.truncate(start + size);
            if size == 0 {
                break;
            }
        }
    } else {
        body.resize(header("content-length").map_or(0, |length| length.parse().unwrap()), 0);
        stream.read_exact(&mut body).await?;
    }
    let mut words = head.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let body = String::from_utf8_lossy(&body).into_owned();
    let has_length = header("content-length").is_some();
    Ok(Asked { method, path: path.into(), query: query.into(), body, has_length })
}
