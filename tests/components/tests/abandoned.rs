//! What the SDK makes of a step below that stops reading: an error that says so, whatever was under way.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::unwrap_used)]

use coffer_runtime::{Application, Class, Endpoint, Operation, Tls};
use std::io::Write;
use std::net::TcpListener;
use tokio::sync::mpsc;

/// Says eight megabytes to whoever connects, and hangs up.
fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.write_all(&vec![b'x'; 8 << 20]);
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_nobody_takes_any_more_is_an_error_and_no_panic() {
    let Some(file) = coffer_test_components::build(&["-p", "coffer-addon", "--example", "recorder"]) else { return };
    let recorder = coffer_test_components::load(&file).await;
    let port = server();
    // Whether the write or the call behind it ends first is chance.
    for chunks in 0..40 {
        let (outbox, mut artifacts) = mpsc::channel(1);
        let mut operation = Operation::new("record", serde_json::json!({}));
        operation.outbox = outbox;
        operation.application = Some(Application {
            kind: "any".into(),
            version: None,
            endpoints: vec![Endpoint { name: "default".into(), host: "127.0.0.1".into(), port }],
            tls: Tls::disabled(),
            parameters: Vec::new(),
            credentials: Default::default(),
        });
        let reader = tokio::spawn(async move {
            let mut artifact = artifacts.recv().await.unwrap();
            for _ in 0..chunks % 20 {
                artifact.next().await.unwrap();
            }
        });
        let error = recorder.run(operation).await.unwrap_err();
        assert_eq!(error.class, Class::Failed, "after {chunks} chunks: {error:?}");
        assert!(error.message.contains("nobody reads"), "{error:?}");
        reader.await.unwrap();
    }
}
