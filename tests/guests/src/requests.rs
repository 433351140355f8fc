//! Requests to the bound application over HTTP, used well and abused.

use crate::{
    bindings::{
        coffer::addon::{
            http::{self, Body, Request, Response},
            types::Error,
        },
        wit_future, wit_stream,
    },
    guest::{Outcome, Parameters, facts},
};
use futures::future::join;
use wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult, StreamWriter};

const PIECE: usize = 64 << 10;

/// As the parameters say it; a header is `name: value`, lines of them.
fn asked(parameters: &Parameters, body: Option<Body>) -> Request {
    let endpoint = Some(parameters.text("endpoint")).filter(|name| !name.is_empty());
    let method = Some(parameters.text("method")).filter(|name| !name.is_empty());
    let headers = parameters.text("headers");
    let headers = headers.lines().filter_map(|line| line.split_once(": "));
    Request {
        endpoint,
        method: method.unwrap_or_else(|| "GET".to_owned()),
        path: parameters.text("path"),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body,
    }
}

type Trailer = FutureWriter<Result<(), Error>>;

fn body(length: Option<u64>) -> (StreamWriter<u8>, Trailer, Body) {
    let (writer, bytes) = wit_stream::new();
    let (trailer, promised) = wit_future::new(|| Err(Error::Failed("the body's writer was dropped".into())));
    (writer, trailer, Body { bytes, trailer: promised, length })
}

/// How many bytes came, the first of them as text, and how it ended.
async fn read(
    mut bytes: StreamReader<u8>,
    trailer: FutureReader<Result<(), Error>>,
) -> (u64, String, Result<(), Error>) {
    let (mut length, mut text) = (0, Vec::new());
    let mut buffer = Vec::with_capacity(PIECE);
    loop {
        buffer.clear();
        let (result, some) = bytes.read(buffer).await;
        buffer = some;
        length += buffer.len() as u64;
        if text.len() < 500 {
            text.extend_from_slice(&buffer);
        }
        if result == StreamResult::Dropped {
            text.truncate(500);
            return (length, String::from_utf8_lossy(&text).into_owned(), trailer.await);
        }
    }
}

fn line(headers: &[(String, String)]) -> String {
    headers.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n")
}

/// One request without a body, `times` over.
pub async fn request(parameters: &Parameters) -> Outcome {
    let mut seen = None;
    for _ in 0..parameters.number("times").max(1) {
        let Response { status, headers, body, trailer } = http::send(asked(parameters, None)).await?;
        let (length, text, ended) = read(body, trailer).await;
        ended?;
        seen = Some((status, headers, length, text));
    }
    let Some((status, headers, length, text)) = seen else { return facts([]) };
    facts([
        ("status", status.to_string()),
        ("headers", line(&headers)),
        ("length", length.to_string()),
        ("text", text),
        ("kind", http::info().kind),
    ])
}

/// Sends `bytes` bytes and reads the answer meanwhile. `ending`: how the body ends, well by default. `length` is what it is said to have.
pub async fn upload(parameters: &Parameters) -> Outcome {
    let total = usize::try_from(parameters.number("bytes")).unwrap_or(0);
    let length = Some(parameters.number("length")).filter(|length| *length > 0);
    let (mut writer, trailer, body) = body(length);
    let write = async {
        let mut left = total;
        while left > 0 {
            let piece = vec![7; left.min(PIECE)];
            left -= piece.len();
            if !writer.write_all(piece).await.is_empty() {
                return left;
            }
        }
        drop(writer);
        match parameters.text("ending").as_str() {
            "error" => drop(trailer.write(Err(Error::Failed("the guest gave up".into()))).await),
            "dropped" => drop(trailer),
            _ => drop(trailer.write(Ok(())).await),
        }
        0
    };
    let answer = async {
        let Response { status, body, trailer, .. } = http::send(asked(parameters, Some(body))).await?;
        let (length, text, ended) = read(body, trailer).await;
        ended.map(|()| (status, length, text))
    };
    let (untaken, answered) = join(write, answer).await;
    let (status, length, text) = answered?;
    facts([
        ("status", status.to_string()),
        ("length", length.to_string()),
        ("text", text),
        ("untaken", untaken.to_string()),
    ])
}

/// Sends a piece, waits for as much of the answer, sends the next: both bodies are open at once.
pub async fn converse(parameters: &Parameters) -> Outcome {
    let (mut writer, trailer, body) = body(None);
    let rounds = parameters.number("rounds");
    let Response { mut body, trailer: ended, .. } = http::send(asked(parameters, Some(body))).await?;
    for round in 0..rounds {
        let said = vec![u8::try_from(round % 251).unwrap_or(0); 1000];
        writer.write_all(said.clone()).await;
        let mut heard = Vec::new();
        while heard.len() < said.len() {
            let (_, some) = body.read(Vec::with_capacity(said.len() - heard.len())).await;
            if some.is_empty() {
                return Err(ended.await.err().unwrap_or(Error::Corrupt("the echo ended early".into())));
            }
            heard.extend(some);
        }
        if heard != said {
            return Err(Error::Corrupt("the echo differs".into()));
        }
    }
    drop(writer);
    let _ = trailer.write(Ok(())).await;
    let (rest, _, ended) = read(body, ended).await;
    ended?;
    facts([("rounds", rounds.to_string()), ("rest", rest.to_string())])
}

/// Opens answers without reading them until the host refuses; then drops one of them and asks again.
pub async fn many(parameters: &Parameters) -> Outcome {
    let mut open = Vec::new();
    let refused = loop {
        match http::send(asked(parameters, None)).await {
            Ok(response) => open.push(response),
            Err(Error::Failed(text)) => break text,
            Err(error) => return Err(error),
        }
    };
    let count = open.len();
    open.pop();
    let again = http::send(asked(parameters, None)).await;
    facts([("open", count.to_string()), ("refused", refused), ("again", again.is_ok().to_string())])
}

/// Reads a little of an answer and drops the rest, then asks for something else.
pub async fn leave(parameters: &Parameters) -> Outcome {
    let Response { mut body, trailer, .. } = http::send(asked(parameters, None)).await?;
    let (_, some) = body.read(Vec::with_capacity(10)).await;
    drop((body, trailer));
    facts([("heard", some.len().to_string())])
}

/// Gives a request up before its answer has come.
pub async fn give_up(parameters: &Parameters) -> Outcome {
    use futures::future::{Either, select};
    use std::pin::pin;
    let waited = pin!(crate::bindings::coffer::addon::host::sleep(parameters.number("milliseconds")));
    let answered = match select(pin!(http::send(asked(parameters, None))), waited).await {
        Either::Left((answer, _)) => answer.is_ok(),
        Either::Right(_) => false,
    };
    facts([("answered", answered.to_string())])
}
