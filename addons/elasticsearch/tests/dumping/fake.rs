//! A server that is none: what no server at hand does when one asks it to. It has an index with three documents, and a test may
//! have it answer otherwise.

use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// With its query.
    pub path: String,
    /// As they came, in lower case.
    pub headers: String,
    pub body: Value,
}

impl Asked {
    pub fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path.split('?').next() == Some(path)
    }

    /// A search that reads documents.
    pub fn reads(&self) -> bool {
        self.is("POST", "/_search") && self.body["size"] != 0
    }

    /// One that only keeps a point in time alive.
    pub fn renews(&self) -> bool {
        self.is("POST", "/_search") && self.body["size"] == 0
    }
}

pub enum Answer {
    Json(u16, Value),
    Text(u16, String),
    /// Busy, and to be asked again at once.
    Busy(u16),
    /// Half of it, and the connection breaks.
    Cut(Value),
    /// None, ever.
    Never,
    /// Not before the test lets it.
    Later(Arc<tokio::sync::Notify>, Value),
    /// Told when it was taken, or nobody wants it any more.
    Told(Vec<Arc<tokio::sync::Notify>>, Value),
}

/// What it answers in place of the model; none: what the model does.
type Instead = dyn FnMut(&Asked) -> Option<Answer> + Send;

#[derive(Clone)]
pub struct Fake {
    pub port: u16,
    heard: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    pub async fn start(instead: impl FnMut(&Asked) -> Option<Answer> + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let fake = Fake { port: listener.local_addr().expect("an address").port(), heard: Arc::default() };
        let heard = fake.heard.clone();
        let instead: Arc<Mutex<Instead>> = Arc::new(Mutex::new(instead));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(serve(tcp, heard.clone(), instead.clone()));
            }
        });
        fake
    }

    /// Everything that was asked, in its order.
    pub fn heard(&self) -> Vec<Asked> {
        self.heard.lock().unwrap().clone()
    }

    /// How often that was asked.
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.heard().iter().filter(|asked| asked.is(method, path)).count()
    }

    /// Whether every point in time that was opened was given back.
    pub fn is_clean(&self) -> bool {
        let opens = |asked: &&Asked| {
            asked.method == "POST" && asked.path.split('?').next().is_some_and(|path| path.ends_with("/_pit"))
        };
        self.heard().iter().filter(opens).count() == self.count("DELETE", "/_pit")
    }
}

async fn serve(mut tcp: TcpStream, heard: Arc<Mutex<Vec<Asked>>>, instead: Arc<Mutex<Instead>>) {
    let Some(asked) = read(&mut tcp).await else { return };
    heard.lock().unwrap().push(asked.clone());
    let other = (*instead.lock().unwrap())(&asked);
    let mut told = Vec::new();
    let (status, text, length) = match other.unwrap_or_else(|| Answer::Json(200, model(&asked))) {
        Answer::Json(status, value) => {
            let text = value.to_string();
            (status, text.clone(), text.len())
        }
        Answer::Text(status, text) => (status, text.clone(), text.len()),
        Answer::Busy(status) => {
            let text = refusal("es_rejected_execution_exception", "queue is full").to_string();
            (status, text.clone(), text.len())
        }
        Answer::Cut(value) => {
            let text = value.to_string();
            (200, text[..text.len() / 2].to_owned(), text.len())
        }
        Answer::Never => std::future::pending().await,
        Answer::Later(notify, value) => {
            notify.notified().await;
            let text = value.to_string();
            (200, text.clone(), text.len())
        }
        Answer::Told(listeners, value) => {
            told = listeners;
            let text = value.to_string();
            (200, text.clone(), text.len())
        }
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\nretry-after: 0\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    let _ = tcp.write_all(format!("{head}{text}").as_bytes()).await;
    told.iter().for_each(|listener| listener.notify_one());
    let _ = tcp.shutdown().await;
}

async fn read(tcp: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let head = loop {
        if tcp.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let length =
        text.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let end = head + 4 + length.unwrap_or(0);
    while bytes.len() < end {
        if tcp.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let mut words = text.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let headers = text.to_ascii_lowercase();
    Some(Asked { method, path, headers, body: serde_json::from_slice(&bytes[head + 4..end]).unwrap_or(Value::Null) })
}

/// An Elasticsearch 9.5 with the index `orders`.
fn model(asked: &Asked) -> Value {
    let path = asked.path.split('?').next().unwrap_or_default();
    match (asked.method.as_str(), path) {
        ("GET", "/") => json!({ "cluster_name": "fake", "version": { "number": "9.5.3", "build_flavor": "default" } }),
        ("GET", "/_all") => json!({ "orders": { "aliases": {}, "mappings": { "properties": {} }, "settings": {
            "index.number_of_shards": "1", "index.uuid": "u", "index.version.created": "9" } } }),
        ("GET", "/_cat/indices") => {
            json!([{ "index": "orders", "status": "open", "docs.count": "3", "pri.store.size": "300" }])
        }
        ("GET", "/_data_stream") => json!({ "data_streams": [] }),
        ("GET", "/_component_template") => json!({ "component_templates": [] }),
        ("GET", "/_index_template") => json!({ "index_templates": [] }),
        ("POST", "/orders/_pit") => json!({ "id": "pit-0", "_shards": { "total": 1, "successful": 1, "failed": 0 } }),
        ("DELETE", "/_pit") => json!({ "succeeded": true, "num_freed": 1 }),
        ("POST", "/_search") => match asked.body.get("search_after") {
            None => found(&[1, 2]),
            Some(after) if after == &json!([2]) => found(&[3]),
            Some(_) => found(&[]),
        },
        _ => json!({}),
    }
}

/// A page of these.
pub fn found(ids: &[u64]) -> Value {
    let hit =
        |id: &u64| json!({ "_index": "orders", "_id": id.to_string(), "_source": { "number": id }, "sort": [id] });
    json!({
        "pit_id": "pit-1", "timed_out": false, "_shards": { "total": 1, "successful": 1, "failed": 0 },
        "hits": { "total": { "value": 3, "relation": "eq" }, "hits": ids.iter().map(hit).collect::<Vec<_>>() },
    })
}

/// The body of a refusal.
pub fn refusal(kind: &str, reason: &str) -> Value {
    json!({ "error": { "type": kind, "reason": reason } })
}
