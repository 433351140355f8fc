//! HTTP natively: the same calls as in a component, against a real server's connections.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

use coffer_addon::http::Request;
use coffer_addon::{Application, Binding, Error, testing};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

/// Serves each connection with `serve`, which gets it and what came of the request's head.
fn served(serve: impl Fn(&mut TcpStream, &str) + Send + Sync + Clone + 'static) -> Application {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (serve, mut stream) = (serve.clone(), stream.unwrap());
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read(&mut byte).unwrap_or(0) == 0 {
                        return;
                    }
                    head.push(byte[0]);
                }
                serve(&mut stream, &String::from_utf8(head).unwrap());
            });
        }
    });
    let credentials = [("username", "u"), ("password", "p")];
    testing::application(Binding::default(), &credentials, move || async move {
        let stream = tokio::net::TcpStream::connect(address).await?;
        Ok(testing::connection(tokio_util::compat::TokioAsyncReadCompatExt::compat(stream)))
    })
}

fn body(stream: &mut TcpStream, head: &str) -> Vec<u8> {
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map(|text| text.parse().unwrap());
    if let Some(length) = length {
        let mut all = vec![0; length];
        stream.read_exact(&mut all).unwrap();
        return all;
    }
    let mut all = Vec::new();
    loop {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            if stream.read(&mut byte).unwrap_or(0) == 0 {
                return Vec::new();
            }
            line.push(byte[0]);
        }
        let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
        let mut piece = vec![0; size + 2];
        if stream.read_exact(&mut piece).is_err() {
            return Vec::new();
        }
        all.extend_from_slice(&piece[..size]);
        if size == 0 {
            return all;
        }
    }
}

fn say(stream: &mut TcpStream, status: &str, text: &[u8]) {
    let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", text.len());
    let _ = stream.write_all(text);
}

#[tokio::test]
async fn a_request_with_a_body_and_its_answer() {
    let application = served(|stream, head| {
        let mut said = head.as_bytes().to_vec();
        said.extend(body(stream, head));
        say(stream, "201 Created", json!({"said": String::from_utf8(said).unwrap()}).to_string().as_bytes());
    });
    let http = application.http();
    let request = Request::put("/a").query("refresh", true).header("x-own", "1").json(&json!({"b": 2}));
    let mut response = http.send(request).await.unwrap();
    assert!(response.is_success() && response.status == 201);
    let said: Value = response.json(10_000).await.unwrap();
    let said = said["said"].as_str().unwrap();
    for line in ["PUT /a?refresh=true HTTP/1.1\r\n", "x-own: 1\r\n", "content-type: application/json\r\n"] {
        assert!(said.contains(line), "{said}");
    }
    assert!(said.contains("authorization: Basic dTpw\r\n") && said.ends_with("\r\n\r\n{\"b\":2}"), "{said}");

    let mut upload = http.open(Request::post("/_bulk").body("first\n"));
    for _ in 0..100_000 {
        upload.write(b"a line of some length\n").await.unwrap();
    }
    let mut response = upload.finish().await.unwrap();
    let all = response.read_all(3_000_000).await.unwrap();
    assert!(all.len() > 2_200_000, "{}", all.len());
    let error = http.send(Request::get("/").header("Authorization", "x")).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::InvalidParameter(_)), "{error}");
}

#[tokio::test]
async fn a_cut_on_either_side_is_an_error() {
    let application = served(|stream, _| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc");
    });
    let mut response = application.http().send(Request::get("/")).await.unwrap();
    let error = response.text(100).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");

    let (tell, heard) = mpsc::channel();
    let application = served(move |stream, head| {
        let whole = !body(stream, head).is_empty();
        let _ = tell.send(whole);
    });
    let mut upload = application.http().open(Request::post("/"));
    for _ in 0..20 {
        upload.write(&vec![7; 600_000]).await.unwrap();
    }
    drop(upload);
    let whole = tokio::task::spawn_blocking(move || heard.recv().unwrap());
    assert!(!whole.await.unwrap(), "a part must not look whole");
}

#[tokio::test]
async fn a_refusal_in_the_middle_ends_the_upload() {
    let application = served(|stream, _| {
        say(stream, "413 Too Large", b"too much");
        // Stays open and reads no more.
        let _ = stream.read_exact(&mut vec![0; 100_000_000]);
    });
    let mut upload = application.http().open(Request::post("/"));
    let mut pieces = 0;
    while !upload.is_refused() {
        upload.write(&[7; 100_000]).await.unwrap();
        pieces += 1;
        assert!(pieces < 100_000);
    }
    let mut response = upload.finish().await.unwrap();
    assert_eq!((response.status, response.text(100).await.unwrap().as_str()), (413, "too much"));
}

#[tokio::test]
async fn an_answer_has_its_limit() {
    let application = served(|stream, _| say(stream, "200 OK", &vec![b'x'; 1000]));
    let mut response = application.http().send(Request::get("/big")).await.unwrap();
    let error = response.read_all(999).await.unwrap_err();
    assert!(error.message().contains("GET /big") && error.message().contains("999"), "{error}");
}
