//! Artifacts through guests: whole ones come out whole, and nothing else passes for whole.

use crate::support::{Host, fact, inbox_of, listen, pattern, read_all};
use coffer_runtime::{Artifact, Class, Linked, Operation, Report, RunError, artifact};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

type Read = Vec<(String, Result<Vec<u8>, String>)>;

async fn write(linked: &Linked, function: &str, parameters: Value) -> (Result<Report, RunError>, Read) {
    let (outbox, artifacts) = mpsc::channel(4);
    tokio::join!(linked.run(Operation { outbox, ..Operation::new(function, parameters) }), read_all(artifacts))
}

#[tokio::test]
async fn artifacts_pass_a_filter_unchanged() {
    let host = Host::start().await;
    let sent = vec![("empty", Vec::new()), ("small", b"x".to_vec()), ("dir/large", pattern(3_000_000))];
    let (outbox, artifacts) = mpsc::channel(1);
    let operation = Operation { inbox: inbox_of(sent.clone()), outbox, ..Operation::new("echo", json!({})) };
    let traffic = operation.traffic.clone();
    let (report, read) = tokio::join!(host.linked.run(operation), read_all(artifacts));
    assert_eq!(read, sent.into_iter().map(|(name, bytes)| (name.to_owned(), Ok(bytes))).collect::<Vec<_>>());
    let report = report.unwrap();
    let lengths: Vec<_> = report.artifacts.iter().map(|written| written.receipt.length).collect();
    assert_eq!(lengths, [0, 1, 3_000_000]);
    assert_eq!((traffic.read(), traffic.written()), (3_000_001, 3_000_001));
}

#[tokio::test]
async fn receipts_are_the_hosts_own_measure() {
    let host = Host::start().await;
    // From one byte at a time to pieces larger than a chunk.
    for (length, piece) in [(0, 1), (1_000, 1), (1_000_000, 997), (5_000_000, 1_000_000)] {
        let (report, read) = write(&host.linked, "generate", json!({"length": length, "piece": piece})).await;
        let report = report.unwrap();
        let [written] = report.artifacts.as_slice() else { panic!("{report:?}") };
        assert_eq!(read, [("generated".to_owned(), Ok(pattern(length)))]);
        assert_eq!(written.receipt.length, length);
        assert_eq!(written.artifact.labels, [("made-by".to_owned(), "test-guests".to_owned())]);
        let hex: String = written.receipt.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(fact(&report, "sha256"), hex);
        if length == 0 {
            assert_eq!(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        }
    }
}

#[tokio::test]
async fn progress_is_told_and_ends_at_the_end() {
    let host = Host::start().await;
    let (observer, heard) = listen();
    let (outbox, artifacts) = mpsc::channel(1);
    let parameters = json!({"length": 50_000, "piece": 10});
    let operation = Operation { outbox, observer, ..Operation::new("generate", parameters) };
    tokio::join!(host.linked.run(operation), read_all(artifacts)).0.unwrap();
    let heard = heard.lock().unwrap();
    assert!(heard.len() < 1_000, "{} events for 5,000 calls", heard.len());
    assert_eq!(heard.last().unwrap(), "progress 50000 of Some(50000)");
}

#[tokio::test]
async fn a_missing_trailer_fails_the_artifact_and_the_run() {
    let host = Host::start().await;
    let (report, read) = write(&host.linked, "no-trailer", json!({})).await;
    let error = report.unwrap_err();
    assert_eq!(error.class, Class::OpenArtifacts);
    assert!(error.message.contains("no-trailer"), "{error}");
    assert!(read[0].1.is_err(), "{read:?}");
}

#[tokio::test]
async fn a_bad_trailer_is_the_readers_error_too() {
    let host = Host::start().await;
    let (report, read) = write(&host.linked, "bad-trailer", json!({})).await;
    assert_eq!(report.unwrap_err().class, Class::Corrupt);
    assert_eq!(read[0].1, Err("artifact bad-trailer failed: row 17 is broken".into()));
}

#[tokio::test]
async fn returning_with_an_open_artifact_fails() {
    let host = Host::start().await;
    let (report, read) = write(&host.linked, "open-artifact", json!({})).await;
    let error = report.unwrap_err();
    assert_eq!(error.class, Class::OpenArtifacts, "{error}");
    assert!(read.iter().all(|(_, outcome)| outcome.is_err()), "{read:?}");
    host.assert_healthy().await;
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    let host = Host::start().await;
    let (report, read) = write(&host.linked, "bad-names", json!({})).await;
    // The run fails for none of them: a refused name never began.
    assert_eq!(fact(&report.unwrap(), "refused"), "7");
    assert_eq!(read, [("twice".to_owned(), Ok(Vec::new()))]);
}

#[tokio::test]
async fn open_artifacts_are_bounded() {
    let host = Host::start().await;
    let (outbox, mut artifacts) = mpsc::channel(1);
    let keep = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Some(reader) = artifacts.recv().await {
            kept.push(reader);
        }
        kept.len()
    });
    let error = host.linked.run(Operation { outbox, ..Operation::new("many-open", json!({})) }).await.unwrap_err();
    assert_eq!(error.class, Class::InvalidParameter, "{error}");
    assert!(keep.await.unwrap() <= 64);
    host.assert_healthy().await;
}

#[tokio::test]
async fn a_truncated_artifact_reaches_the_guest_as_corrupt() {
    let host = Host::start().await;
    for function in ["drain", "echo"] {
        let (inbox_sender, inbox) = mpsc::channel(1);
        let (outbox, artifacts) = mpsc::channel(1);
        let (mut writer, reader) = artifact(Artifact::new("cut"), 4);
        let operation = Operation { inbox, outbox, ..Operation::new(function, json!({})) };
        let (report, read, ()) = tokio::join!(host.linked.run(operation), read_all(artifacts), async {
            inbox_sender.send(reader).await.unwrap();
            writer.write(pattern(10_000).into()).await.unwrap();
            drop(writer);
        });
        let error = report.unwrap_err();
        assert_eq!(error.class, Class::Corrupt);
        assert_eq!(error.message, "artifact cut ended without its trailer");
        assert!(read.iter().all(|(_, outcome)| outcome.is_err()), "{function}: {read:?}");
    }
}

#[tokio::test]
async fn a_dropped_artifact_tells_its_writer() {
    let host = Host::start().await;
    let (inbox_sender, inbox) = mpsc::channel(1);
    let (mut writer, reader) = artifact(Artifact::new("unloved"), 1);
    inbox_sender.send(reader).await.unwrap();
    drop(inbox_sender);
    let (report, gone) =
        tokio::join!(host.linked.run(Operation { inbox, ..Operation::new("drop-artifact", json!({})) }), async {
            while writer.write(pattern(1_000).into()).await.is_ok() {}
        });
    report.unwrap();
    gone
}

#[tokio::test]
async fn a_reader_that_goes_away_fails_the_source() {
    let host = Host::start().await;
    let (outbox, mut artifacts) = mpsc::channel(1);
    let parameters = json!({"length": 1_000_000_000, "piece": 100_000});
    let (report, ()) =
        tokio::join!(host.linked.run(Operation { outbox, ..Operation::new("generate", parameters) }), async {
            let mut reader = artifacts.recv().await.unwrap();
            reader.next().await.unwrap().unwrap();
        });
    let error = report.unwrap_err();
    assert_eq!((error.class, error.message.as_str()), (Class::Failed, "nobody reads the artifact any more"));
    host.assert_healthy().await;
}

#[tokio::test]
async fn a_slow_reader_holds_the_source_back() {
    let host = Host::start().await;
    let (outbox, mut artifacts) = mpsc::channel(1);
    let cancel = CancellationToken::new();
    let parameters = json!({"length": 1_000_000_000, "piece": 100_000});
    let operation = Operation { outbox, cancel: cancel.clone(), ..Operation::new("generate", parameters) };
    let traffic = operation.traffic.clone();
    let (report, mut reader) = tokio::join!(host.linked.run(operation), async {
        let reader = artifacts.recv().await.unwrap();
        // Nobody reads: what was written comes to rest at what the channels hold.
        let mut before = u64::MAX;
        while before != traffic.written() {
            before = traffic.written();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(before < 4 << 20, "{before} bytes in memory");
        cancel.cancel();
        reader
    });
    assert_eq!(report.unwrap_err().class, Class::Cancelled);
    let error = loop {
        match reader.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("cancelled in the middle, yet whole"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("without its trailer"), "{error}");
    host.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_steps_are_joined_by_a_stream() {
    let host = Arc::new(Host::start().await);
    let (between, inbox) = mpsc::channel(1);
    let (outbox, artifacts) = mpsc::channel(1);
    let parameters = json!({"length": 4_000_000, "piece": 65_536});
    let source = Operation { outbox: between, ..Operation::new("generate", parameters) };
    let filter = Operation { inbox, outbox, ..Operation::new("echo", json!({})) };
    let (source, filter, read) = tokio::join!(host.linked.run(source), host.linked.run(filter), read_all(artifacts));
    let (source, filter) = (source.unwrap(), filter.unwrap());
    assert_eq!(source.artifacts[0].receipt, filter.artifacts[0].receipt);
    assert_eq!(read[0].1.as_ref().unwrap().len(), 4_000_000);
}
