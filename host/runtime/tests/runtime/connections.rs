//! Connections to real sockets, in the clear and under TLS.

use crate::{
    server::{Authority, Manner, Server},
    support::{Host, application, fact, read_all},
};
use coffer_runtime::{Application, Class, Identity, Limits, Operation, Report, RunError, Tls, TlsMode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

async fn run(host: &Host, application: Application, function: &str, parameters: Value) -> Result<Report, RunError> {
    let limits = Limits { idle: Duration::from_secs(30), ..Limits::default() };
    let application = Some(application);
    host.linked.run(Operation { application, limits, ..Operation::new(function, parameters) }).await
}

fn secured(port: u16, authority: &Authority) -> Application {
    let tls = Tls { ca_pem: Some(authority.pem.clone().into()), ..Tls::default() };
    assert_eq!((tls.mode, tls.verify), (TlsMode::Require, true), "safe by default");
    Application { tls, ..application(port) }
}

#[tokio::test]
async fn an_echo_comes_back_in_the_clear() {
    let host = Host::start().await;
    let server = Server::start(Manner::Echo, None).await;
    for bytes in [1, 100_000, 10_000_000] {
        let report = run(&host, application(server.port), "speak", json!({"bytes": bytes})).await.unwrap();
        assert_eq!(fact(&report, "heard"), bytes.to_string());
    }
}

#[tokio::test]
async fn an_echo_comes_back_under_tls() {
    let host = Host::start().await;
    let authority = Authority::new();
    let server = Server::start(Manner::Echo, Some(authority.server("127.0.0.1", None))).await;
    for bytes in [1, 100_000, 10_000_000] {
        let report = run(&host, secured(server.port, &authority), "speak", json!({"bytes": bytes})).await.unwrap();
        assert_eq!(fact(&report, "heard"), bytes.to_string());
    }
}

#[tokio::test]
async fn another_authoritys_certificate_is_refused() {
    let host = Host::start().await;
    let server = Server::start(Manner::Echo, Some(Authority::new().server("127.0.0.1", None))).await;
    let error = run(&host, secured(server.port, &Authority::new()), "speak", json!({"bytes": 1})).await.unwrap_err();
    assert_eq!(error.class, Class::Denied, "{error}");
    assert!(error.message.contains("not signed by a trusted authority"), "{error}");

    // Without an authority of its own, a binding trusts the platform's, and they do not know ours.
    let plain = Application { tls: Tls::default(), ..application(server.port) };
    let error = run(&host, plain, "speak", json!({"bytes": 1})).await.unwrap_err();
    assert!(matches!(error.class, Class::Denied | Class::InvalidParameter), "{error}");
}

#[tokio::test]
async fn another_name_is_refused_unless_the_binding_says_so() {
    let host = Host::start().await;
    let authority = Authority::new();
    let server = Server::start(Manner::Echo, Some(authority.server("db.example.com", None))).await;
    let mut application = secured(server.port, &authority);
    let error = run(&host, application.clone(), "speak", json!({"bytes": 1})).await.unwrap_err();
    assert_eq!(error.class, Class::Denied);
    assert!(error.message.contains("for another name") && error.message.contains("serverName"), "{error}");
    assert!(error.has_remedy);

    application.tls.server_name = Some("db.example.com".into());
    run(&host, application, "speak", json!({"bytes": 1})).await.unwrap();
}

#[tokio::test]
async fn verification_is_off_only_when_switched_off() {
    let host = Host::start().await;
    let server = Server::start(Manner::Echo, Some(Authority::new().server("elsewhere", None))).await;
    let mut application = secured(server.port, &Authority::new());
    application.tls.verify = false;
    run(&host, application, "speak", json!({"bytes": 1})).await.unwrap();
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let host = Host::start().await;
    let (authority, clients) = (Authority::new(), Authority::new());
    let server = Server::start(Manner::Echo, Some(authority.server("127.0.0.1", Some(&clients)))).await;
    let mut application = secured(server.port, &authority);
    let error = run(&host, application.clone(), "speak", json!({"bytes": 1})).await.unwrap_err();
    assert_eq!(error.class, Class::Denied, "{error}");
    assert!(error.message.contains("tlsSecret") && error.has_remedy, "{error}");

    let own = clients.certify("backup");
    application.tls.identity = Some(Identity { certificate_pem: own.pem.into(), key_pem: own.key_pem.clone().into() });
    assert!(!format!("{application:?}").contains(own.key_pem.lines().nth(1).unwrap()), "keys are not for logs");
    run(&host, application, "speak", json!({"bytes": 1})).await.unwrap();
}

#[tokio::test]
async fn settings_that_make_no_sense_are_named() {
    let host = Host::start().await;
    let authority = Authority::new();
    let server = Server::start(Manner::Echo, Some(authority.server("127.0.0.1", None))).await;
    let good = secured(server.port, &authority);
    let mut cases = vec![good.clone(), good.clone(), good];
    cases[0].tls.ca_pem = Some(b"no certificate".to_vec());
    cases[1].tls.server_name = Some("not a name".into());
    cases[2].tls.identity =
        Some(Identity { certificate_pem: authority.pem.clone().into(), key_pem: "not a key".into() });
    for (application, expected) in cases.into_iter().zip(["certificate authority", "server name", "client key"]) {
        let error = run(&host, application, "speak", json!({"bytes": 1})).await.unwrap_err();
        assert_eq!(error.class, Class::InvalidParameter, "{error}");
        assert!(error.message.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn only_the_bindings_endpoints_can_be_reached() {
    let host = Host::start().await;
    let server = Server::start(Manner::Echo, None).await;
    let other = Server::start(Manner::Echo, None).await;
    let parameters = json!({"bytes": 1, "endpoint": format!("127.0.0.1:{}", other.port)});
    let error = run(&host, application(server.port), "speak", parameters).await.unwrap_err();
    assert_eq!(error.class, Class::InvalidParameter);
    assert!(error.message.ends_with("only: main"), "{error}");
}

#[tokio::test]
async fn nobody_listens() {
    let host = Host::start().await;
    // The port was free a moment ago.
    let port = Server::start(Manner::Echo, None).await.port;
    tokio::task::yield_now().await;
    let error = run(&host, application(port), "speak", json!({"bytes": 1})).await.unwrap_err();
    assert_eq!(error.class, Class::Unavailable, "{error}");
    assert!(error.message.contains(&format!("endpoint main at 127.0.0.1:{port}")), "{error}");
}

#[tokio::test]
async fn connections_are_bounded() {
    let host = Host::start().await;
    let server = Server::start(Manner::Silent, None).await;
    let report = run(&host, application(server.port), "many-connections", json!({})).await.unwrap();
    assert_eq!(fact(&report, "open"), "64");
    assert!(fact(&report, "refused").contains("lower `jobs`"), "{report:?}");
}

#[tokio::test]
async fn halves_are_lent_once_and_given_back() {
    let host = Host::start().await;
    let server = Server::start(Manner::Silent, None).await;
    let report = run(&host, application(server.port), "two-readers", json!({})).await.unwrap();
    assert_eq!((fact(&report, "ended"), fact(&report, "refused")), ("true", "true"));
}

#[tokio::test]
async fn tls_waits_for_no_stream_for_ever() {
    let host = Host::start().await;
    let server = Server::start(Manner::Silent, None).await;
    let error = run(&host, application(server.port), "tls-too-early", json!({})).await.unwrap_err();
    assert!(error.message.contains("a stream of the connection is still open"), "{error}");
    host.assert_healthy().await;
}

/// Runs `record` until `after` says so, then judges the run and what was recorded.
async fn record(
    host: &Host,
    application: Application,
    limits: Limits,
    stop: impl AsyncFnOnce(CancellationToken, std::sync::Arc<coffer_runtime::Traffic>),
) -> (RunError, Vec<(String, Result<Vec<u8>, String>)>) {
    let (outbox, artifacts) = mpsc::channel(1);
    let cancel = CancellationToken::new();
    let application = Some(application);
    let parameters = json!({"least": 1_000_000});
    let operation =
        Operation { application, outbox, limits, cancel: cancel.clone(), ..Operation::new("record", parameters) };
    let traffic = operation.traffic.clone();
    let (report, read, ()) = tokio::join!(host.linked.run(operation), read_all(artifacts), stop(cancel, traffic));
    (report.unwrap_err(), read)
}

#[tokio::test]
async fn a_cancel_mid_stream_closes_the_socket_and_fails_the_artifact() {
    let host = Host::start().await;
    let authority = Authority::new();
    for tls in [false, true] {
        let config = tls.then(|| authority.server("127.0.0.1", None));
        let mut server = Server::start(Manner::Endless, config).await;
        let application = if tls { secured(server.port, &authority) } else { application(server.port) };
        let (error, read) = record(&host, application, Limits::default(), async |cancel, traffic| {
            while traffic.written() < 5_000_000 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            cancel.cancel();
        })
        .await;
        assert_eq!(error.class, Class::Cancelled);
        assert!(read[0].1.is_err());
        server.over.recv().await.unwrap();
    }
    host.assert_healthy().await;
}

#[tokio::test]
async fn a_server_that_hangs_up_mid_stream_fails_the_artifact() {
    let host = Host::start().await;
    for manner in [Manner::HangUp(100_000), Manner::Reset(100_000)] {
        let server = Server::start(manner, None).await;
        let (error, read) = record(&host, application(server.port), Limits::default(), async |_, _| ()).await;
        assert_eq!(error.class, Class::Unavailable, "{error}");
        assert!(read[0].1.is_err());
    }
    host.assert_healthy().await;
}

#[tokio::test]
async fn a_tls_server_that_cuts_the_line_is_noticed() {
    let host = Host::start().await;
    let authority = Authority::new();
    let server = Server::start(Manner::HangUp(2_000_000), Some(authority.server("127.0.0.1", None))).await;
    let (error, read) = record(&host, secured(server.port, &authority), Limits::default(), async |_, _| ()).await;
    // More than enough came, but TLS knows that the end was not the server's word.
    assert_eq!(error.class, Class::Unavailable, "{error}");
    assert!(read[0].1.is_err());
}

#[tokio::test]
async fn silence_and_deadline_end_a_connection() {
    let host = Host::start().await;
    let quick = Duration::from_millis(200);
    for (limits, class) in [
        (Limits { idle: quick, ..Limits::default() }, Class::Idle),
        (Limits { deadline: Some(quick), ..Limits::default() }, Class::Timeout),
    ] {
        let mut server = Server::start(Manner::Silent, None).await;
        let (error, read) = record(&host, application(server.port), limits, async |_, _| ()).await;
        assert_eq!(error.class, class, "{error}");
        assert!(read.iter().all(|(_, outcome)| outcome.is_err()));
        server.over.recv().await.unwrap();
    }
    host.assert_healthy().await;
}

#[tokio::test]
async fn the_deadline_holds_also_for_a_talker() {
    let host = Host::start().await;
    let mut server = Server::start(Manner::Endless, None).await;
    let limits = Limits { deadline: Some(Duration::from_millis(300)), ..Limits::default() };
    let (error, _) = record(&host, application(server.port), limits, async |_, _| ()).await;
    assert_eq!(error.class, Class::Timeout, "{error}");
    server.over.recv().await.unwrap();
    host.assert_healthy().await;
}

#[tokio::test]
async fn dropping_the_run_stops_it() {
    let host = Host::start().await;
    let mut server = Server::start(Manner::Silent, None).await;
    let operation = Operation { application: Some(application(server.port)), ..Operation::new("record", json!({})) };
    let outbox = mpsc::channel(1);
    let run = host.linked.run(Operation { outbox: outbox.0, ..operation });
    assert!(tokio::time::timeout(Duration::from_millis(200), run).await.is_err());
    server.over.recv().await.unwrap();
    host.assert_healthy().await;
}
