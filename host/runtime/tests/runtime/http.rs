//! Requests over HTTP to real servers: both versions, both directions, and what a guest cannot do.

use crate::{
    http_server::HttpServer,
    server::{Authority, Manner, Server},
    support::{Host, application, fact, listen},
};
use coffer_runtime::{Application, Class, Identity, Limits, Operation, Report, RunError, Tls, Traffic};
use hyper::Version;
use rustls::ServerConfig;
use serde_json::{Value, json};
use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

fn limits() -> Limits {
    Limits { idle: Duration::from_secs(30), ..Limits::default() }
}

async fn run(host: &Host, application: Application, function: &str, parameters: Value) -> Result<Report, RunError> {
    let application = Some(application);
    host.linked.run(Operation { application, limits: limits(), ..Operation::new(function, parameters) }).await
}

/// A server that offers `protocols` by ALPN, and the application to speak to it.
async fn secured(protocols: &[&str]) -> (HttpServer, Application) {
    let authority = Authority::new();
    let mut config = ServerConfig::clone(&authority.server("127.0.0.1", None));
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let server = HttpServer::start(Some(Arc::new(config))).await;
    let tls = Tls { ca_pem: Some(authority.pem.into()), ..Tls::default() };
    let application = Application { tls, ..application(server.port) };
    (server, application)
}

/// In the clear, and over TLS in both versions.
async fn every_way() -> Vec<(HttpServer, Application, Version)> {
    let plain = HttpServer::start(None).await;
    let port = plain.port;
    let (one, first) = secured(&["http/1.1"]).await;
    let (two, second) = secured(&["h2", "http/1.1"]).await;
    vec![(plain, application(port), Version::HTTP_11), (one, first, Version::HTTP_11), (two, second, Version::HTTP_2)]
}

#[tokio::test]
async fn a_request_is_answered_in_every_way_on_one_connection() {
    let host = Host::start().await;
    for (server, application, version) in every_way().await {
        let parameters = json!({"path": "/headers?a=b%20c", "headers": "X-Own: 1\nAccept: text/plain", "times": 20});
        let report = run(&host, application, "request", parameters).await.unwrap();
        assert_eq!((fact(&report, "status"), fact(&report, "kind")), ("200", "echo"));
        assert!(fact(&report, "headers").contains("set-cookie: session=1"), "{report:?}");
        let text = fact(&report, "text");
        for line in ["x-own: 1", "accept: text/plain", "user-agent: coffer/", "authorization: Basic ***"] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(text.starts_with("GET ") && text.contains("/headers?a=b%20c\n"), "{text}");
        assert!(!text.contains("cookie"), "none is kept: {text}");
        let connections = server.seen.connections.load(SeqCst);
        assert_eq!(connections, 1, "{version:?}");
        assert!(server.seen.versions.lock().unwrap().iter().all(|seen| *seen == version), "{version:?}");
    }
}

#[tokio::test]
async fn bodies_go_both_ways_and_memory_stays_small() {
    const BYTES: u64 = 200_000_000;
    let host = Host::start().await;
    for (_server, application, version) in every_way().await {
        let traffic = Arc::new(Traffic::default());
        let limits = Limits { memory: 8 << 20, ..limits() };
        let parameters = json!({"method": "POST", "path": "/echo", "bytes": BYTES});
        let operation = Operation {
            application: Some(application.clone()),
            limits,
            traffic: traffic.clone(),
            ..Operation::new("upload", parameters)
        };
        let report = host.linked.run(operation).await.unwrap();
        assert_eq!(fact(&report, "length"), BYTES.to_string(), "{version:?}");
        assert!(traffic.exchanged() >= 2 * BYTES);

        let parameters = json!({"method": "PUT", "path": "/count", "bytes": 1_000_000, "length": 1_000_000});
        let report = run(&host, application.clone(), "upload", parameters).await.unwrap();
        assert_eq!(fact(&report, "text"), "1000000");

        let report = run(&host, application, "converse", json!({"method": "POST", "path": "/echo", "rounds": 300}));
        assert_eq!(fact(&report.await.unwrap(), "rest"), "0");
    }
}

/// The host takes of a body only what the server takes: an answer that is not read stops its server.
#[tokio::test]
async fn back_pressure_goes_through_the_host() {
    let host = Host::start().await;
    for (_server, application, version) in every_way().await {
        let traffic = Arc::new(Traffic::default());
        let parameters = json!({"method": "POST", "path": "/silent", "bytes": 1_000_000_000});
        let limits = Limits { idle: Duration::from_millis(500), ..limits() };
        let operation = Operation {
            application: Some(application),
            limits,
            traffic: traffic.clone(),
            ..Operation::new("upload", parameters)
        };
        let error = host.linked.run(operation).await.unwrap_err();
        assert_eq!(error.class, Class::Idle, "{error}");
        // What the host and both sockets hold.
        assert!(traffic.exchanged() < 64_000_000, "{version:?}: {}", traffic.exchanged());
    }
}

#[tokio::test]
async fn a_redirect_is_handed_back() {
    let host = Host::start().await;
    let server = HttpServer::start(None).await;
    let report = run(&host, application(server.port), "request", json!({"path": "/redirect"})).await.unwrap();
    assert_eq!((fact(&report, "status"), fact(&report, "text")), ("302", "elsewhere"));
    assert!(fact(&report, "headers").contains("location: /headers"));
    assert_eq!(server.seen.requests.load(SeqCst), 1);
}

#[tokio::test]
async fn an_answer_that_was_cut_is_no_answer() {
    let host = Host::start().await;
    let many = (0..200).map(|i| format!("x-{i}: y\r\n")).collect::<String>();
    let large = format!("x: {}\r\n", "y".repeat(300_000));
    let cases = [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_owned(),
            Class::Unavailable,
            "in the middle of the answer",
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc".into(), Class::Unavailable, "in the middle"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n".into(),
            Class::Unavailable,
            "in the middle",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nwrong\r\n".into(),
            Class::Corrupt,
            "not HTTP",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n".into(),
            Class::Corrupt,
            "not HTTP",
        ),
        ("HTTP/1.1 200 OK\r\n\r\nabc".into(), Class::Corrupt, "says no length"),
        ("HTTP/1.0 200 OK\r\n\r\nabc".into(), Class::Corrupt, "says no length"),
        ("HTTP/1.1 200 OK\r\ncontent-le".into(), Class::Unavailable, "before the answer"),
        (String::new(), Class::Unavailable, "before the answer"),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n".into(), Class::Corrupt, "not HTTP"),
        (format!("HTTP/1.1 200 OK\r\n{many}\r\n"), Class::Corrupt, "head is larger"),
        (format!("HTTP/1.1 200 OK\r\n{large}\r\n"), Class::Corrupt, "head is larger"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc".into(), Class::Corrupt, "not HTTP"),
    ];
    for (words, class, text) in cases {
        let shown: String = words.chars().take(80).collect();
        let server = HttpServer::saying(words).await;
        let error = run(&host, application(server.port), "request", json!({"path": "/x"})).await.unwrap_err();
        assert_eq!(error.class, class, "{shown:?}: {error}");
        assert!(error.message.contains(text) && error.message.contains("GET /x"), "{shown:?}: {error}");
    }
    for whole in ["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"] {
        let server = HttpServer::saying(whole).await;
        run(&host, application(server.port), "request", json!({"path": "/x"})).await.unwrap();
    }
}

/// A part of a request must never look like all of it to the server.
#[tokio::test]
async fn a_body_that_broke_off_breaks_the_request() {
    let host = Host::start().await;
    for (mut server, application, version) in every_way().await {
        let good = json!({"method": "POST", "path": "/count", "bytes": 100_000});
        for (change, value, class, text) in [
            ("ending", json!("error"), Class::Failed, "the guest gave up"),
            ("ending", json!("dropped"), Class::Failed, "writer was dropped"),
            ("length", json!(99_999), Class::InvalidParameter, "99999 bytes"),
            ("length", json!(100_001), Class::InvalidParameter, "100001 bytes"),
        ] {
            let mut parameters = good.clone();
            parameters[change] = value;
            let error = run(&host, application.clone(), "upload", parameters).await.unwrap_err();
            assert_eq!(error.class, class, "{version:?} {text}: {error}");
            assert!(error.message.contains(text), "{version:?}: {error}");
            never_whole(&mut server).await;
        }
        let mut parameters = good;
        parameters["length"] = json!(100_000);
        parameters["ending"] = json!("error");
        let error = run(&host, application, "upload", parameters).await.unwrap_err();
        assert!(error.message.contains("the guest gave up"), "the last byte waits for the trailer: {error}");
        never_whole(&mut server).await;
    }
}

/// Until the connection is gone.
async fn never_whole(server: &mut HttpServer) {
    loop {
        match server.over.recv().await.unwrap() {
            "whole" => panic!("the server took a part for all of it"),
            "closed" | "broken" => return,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_guest_cannot_reach_further_or_speak_for_the_host() {
    let host = Host::start().await;
    let server = HttpServer::start(None).await;
    let other = HttpServer::start(None).await;
    let elsewhere = format!("http://127.0.0.1:{}/headers", other.port);
    for parameters in [
        json!({"path": elsewhere}),
        json!({"path": format!("//127.0.0.1:{}/", other.port)}),
        json!({"path": "/headers", "endpoint": format!("127.0.0.1:{}", other.port)}),
        json!({"path": "/headers", "headers": "Authorization: Basic eDp5"}),
        json!({"path": "/headers", "headers": "host: elsewhere"}),
        json!({"path": "/headers", "headers": "transfer-encoding: chunked"}),
        json!({"path": "/headers HTTP/1.1\r\nhost: x"}),
        json!({"path": "/headers", "method": "CONNECT"}),
    ] {
        let error = run(&host, application(server.port), "request", parameters.clone()).await.unwrap_err();
        assert_eq!(error.class, Class::InvalidParameter, "{parameters}: {error}");
    }
    let error = run(&host, application(server.port), "upload", json!({"path": "/echo", "bytes": 5})).await.unwrap_err();
    assert!(error.message.contains("length of its body"), "{error}");
    assert_eq!((server.seen.requests.load(SeqCst), other.seen.connections.load(SeqCst)), (0, 0));
}

#[tokio::test]
async fn the_host_says_who_we_are_and_nobody_else_hears() {
    let host = Host::start().await;
    let server = HttpServer::start(None).await;
    let mut bound = application(server.port);
    bound.credentials.insert("token".into(), "tok-123456".into());
    let (observer, heard) = listen();
    for expected in ["ApiKey key-123456", "Bearer tok-123456", "Basic dGVzdGVyOnN3b3JkZmlzaC03", ""] {
        match expected.split_once(' ') {
            Some(("ApiKey", _)) => drop(bound.credentials.insert("apiKey".into(), "key-123456".into())),
            Some(("Bearer", _)) => drop(bound.credentials.remove("apiKey")),
            Some(_) => drop(bound.credentials.remove("token")),
            None => bound.credentials.clear(),
        }
        let operation = Operation {
            application: Some(bound.clone()),
            observer: observer.clone(),
            ..Operation::new("request", json!({"path": "/headers", "headers": "x-last: 1"}))
        };
        let report = host.linked.run(operation).await.unwrap();
        // Facts are masked like logs: the server handed back what it was shown.
        let secret = expected.split_once(' ').map_or("", |(_, secret)| secret);
        let text = fact(&report, "text");
        assert!(secret.is_empty() || !text.contains(secret), "{text}");
        assert_eq!(text.contains("authorization: "), !expected.is_empty(), "{text}");
        assert!(expected.is_empty() || text.contains(&expected.replace(secret, "***")), "{text}");
    }
    assert!(heard.lock().unwrap().is_empty());
    // Nor in what goes wrong.
    let port = server.port;
    drop(server);
    tokio::task::yield_now().await;
    let mut bound = application(port);
    bound.credentials.insert("apiKey".into(), "line\nbreak-9".into());
    let error = run(&host, bound, "request", json!({"path": "/"})).await.unwrap_err();
    assert_eq!(error.class, Class::InvalidParameter);
    assert!(error.message.contains("apiKey") && !error.message.contains("break-9"), "{error}");
}

#[tokio::test]
async fn tls_is_as_the_binding_says() {
    let host = Host::start().await;
    let (server, bound) = secured(&["h2"]).await;
    let ask = || json!({"path": "/headers"});

    let mut wrong = bound.clone();
    wrong.tls.ca_pem = Some(Authority::new().pem.into());
    let error = run(&host, wrong.clone(), "request", ask()).await.unwrap_err();
    assert_eq!(error.class, Class::Denied, "{error}");
    assert!(
        error.has_remedy && error.message.contains("caBundle") && error.message.contains("endpoint main at"),
        "{error}"
    );
    wrong.tls.verify = false;
    run(&host, wrong, "request", ask()).await.unwrap();

    let mut named = bound.clone();
    named.tls.server_name = Some("db.example.com".into());
    let error = run(&host, named, "request", ask()).await.unwrap_err();
    assert!(error.message.contains("serverName"), "{error}");

    // In the clear to a server that wants TLS, and the other way round.
    let error = run(&host, application(server.port), "request", ask()).await.unwrap_err();
    assert!(matches!(error.class, Class::Corrupt | Class::Unavailable), "{error}");
    let plain = HttpServer::start(None).await;
    let error =
        run(&host, Application { tls: bound.tls, ..application(plain.port) }, "request", ask()).await.unwrap_err();
    assert!(error.message.contains("does not answer in TLS"), "{error}");
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let host = Host::start().await;
    let (authority, clients) = (Authority::new(), Authority::new());
    for protocol in ["http/1.1", "h2"] {
        let mut config = ServerConfig::clone(&authority.server("127.0.0.1", Some(&clients)));
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let server = HttpServer::start(Some(Arc::new(config))).await;
        let tls = Tls { ca_pem: Some(authority.pem.clone().into()), ..Tls::default() };
        let mut bound = Application { tls, ..application(server.port) };
        let error = run(&host, bound.clone(), "request", json!({"path": "/headers"})).await.unwrap_err();
        assert_eq!(error.class, Class::Denied, "{protocol}: {error}");
        assert!(error.message.contains("tlsSecret") && error.has_remedy, "{protocol}: {error}");

        let own = clients.certify("backup");
        bound.tls.identity = Some(Identity { certificate_pem: own.pem.into(), key_pem: own.key_pem.into() });
        run(&host, bound, "request", json!({"path": "/headers"})).await.unwrap();
    }
}

#[tokio::test]
async fn requests_are_bounded_and_an_unread_answer_is_let_go() {
    let host = Host::start().await;
    for (mut server, application, version) in every_way().await {
        let report =
            run(&host, application.clone(), "many-requests", json!({"path": "/bytes/100000000"})).await.unwrap();
        assert_eq!((fact(&report, "open"), fact(&report, "again")), ("64", "true"), "{version:?}");
        assert!(fact(&report, "refused").contains("lower `jobs`"), "{report:?}");
        let report = run(&host, application, "leave", json!({"path": "/bytes/10000000000"})).await.unwrap();
        assert_eq!(fact(&report, "heard"), "10");
        for _ in 0..66 {
            while server.over.recv().await.unwrap() != "answer dropped" {}
        }
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let host = Host::start().await;
    let server = HttpServer::start(None).await;
    let limits = Limits { response: Duration::from_millis(200), ..limits() };
    for function in ["request", "upload"] {
        let parameters = json!({"method": "POST", "path": "/silent", "bytes": 10});
        let operation = Operation {
            application: Some(application(server.port)),
            limits: limits.clone(),
            ..Operation::new(function, parameters)
        };
        let error = host.linked.run(operation).await.unwrap_err();
        assert_eq!(error.class, Class::Unavailable, "{error}");
        assert!(error.message.contains("no answer within 200ms"), "{error}");
    }
    for (server, application, version) in every_way().await {
        let operation = Operation {
            application: Some(application),
            limits: limits.clone(),
            ..Operation::new("request", json!({"path": "/half"}))
        };
        let error = host.linked.run(operation).await.unwrap_err();
        assert_eq!(error.class, Class::Unavailable, "{version:?}: {error}");
        assert!(
            error.message.contains("GET /half") && error.message.contains("nothing more came within 200ms"),
            "{error}"
        );
        drop(server);
    }
    // Nor does a server hold us that takes connections and speaks no TLS.
    let silent = Server::start(Manner::Silent, None).await;
    let limits = Limits { connect: Duration::from_millis(200), ..limits };
    let operation = Operation {
        application: Some(Application { tls: Tls::default(), ..application(silent.port) }),
        limits,
        ..Operation::new("request", json!({"path": "/"}))
    };
    let error = host.linked.run(operation).await.unwrap_err();
    assert!(error.message.contains("handshake did not end") || error.message.contains("authorities"), "{error}");
}

#[tokio::test]
async fn a_guest_gives_up_and_a_run_is_cancelled() {
    let host = Host::start().await;
    for (mut server, application, version) in every_way().await {
        let parameters = json!({"path": "/silent", "milliseconds": 100});
        let report = run(&host, application.clone(), "give-up", parameters).await.unwrap();
        assert_eq!(fact(&report, "answered"), "false");
        while server.over.recv().await.unwrap() != "answer dropped" {}

        let cancel = CancellationToken::new();
        let traffic = Arc::new(Traffic::default());
        let operation = Operation {
            application: Some(application),
            cancel: cancel.clone(),
            traffic: traffic.clone(),
            ..Operation::new("request", json!({"path": "/bytes/100000000000"}))
        };
        let moved = async {
            while traffic.exchanged() < 1_000_000 {
                tokio::task::yield_now().await;
            }
            cancel.cancel();
        };
        let (outcome, ()) = tokio::join!(host.linked.run(operation), moved);
        assert_eq!(outcome.unwrap_err().class, Class::Cancelled, "{version:?}");
        while server.over.recv().await.unwrap() != "answer dropped" {}
    }
    host.assert_healthy().await;
}

#[tokio::test]
async fn nobody_listens() {
    let host = Host::start().await;
    let port = HttpServer::start(None).await.port;
    tokio::task::yield_now().await;
    let error = run(&host, application(port), "request", json!({"path": "/"})).await.unwrap_err();
    assert_eq!(error.class, Class::Unavailable, "{error}");
    assert!(error.message.contains(&format!("endpoint main at 127.0.0.1:{port}")), "{error}");
}
