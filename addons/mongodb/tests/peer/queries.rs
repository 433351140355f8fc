//! Cursors: documents as they were sent, whatever the batches are.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::peer::{Command, Peer, Say, batch, message, refusal};
use super::{client, connect, documents};
use bson::raw::RawDocumentBuf;
use bson::rawdoc;
use coffer_addon::{Error, Result};
use coffer_addon_mongodb::client::code;

/// A cursor over 300 documents, in batches of 100, of which the first is the empty one.
pub fn cursor(command: &Command) -> Say {
    let id = 7_000_000_000;
    Say::Reply(match command.name.as_str() {
        "find" => batch("firstBatch", id, "shop.or.ders", &[]),
        "getMore" => {
            assert_eq!((command.about(), command.body.get_i64("getMore").ok()), ("", Some(id)));
            assert_eq!((command.database.as_str(), command.body.get_str("collection").ok()), ("shop", Some("or.ders")));
            static CALLS: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(0);
            let call = CALLS.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 3;
            let left = if call == 2 { 0 } else { id };
            batch("nextBatch", left, "shop.or.ders", &documents(call * 100..call * 100 + 100))
        }
        _ => rawdoc! { "ok": 1 },
    })
}

#[tokio::test]
async fn documents_come_as_they_were_sent() {
    let (mut client, peer) = client(cursor).await;
    let mut query = client.query("shop", rawdoc! { "find": "or.ders" }).await.expect("a cursor");
    let mut came = Vec::new();
    while let Some(document) = query.next().await.expect("a document") {
        came.push(document.to_owned());
    }
    assert!(query.next().await.expect("the end").is_none());
    assert_eq!(came, documents(0..300));
    let mut query = client.query("shop", rawdoc! { "find": "or.ders" }).await.expect("a cursor");
    let mut came = Vec::new();
    while let Some(batch) = query.next_batch().await.expect("a batch") {
        let before = came.len();
        came.extend(batch.documents().map(|document| RawDocumentBuf::from_bytes(document.to_vec()).expect("whole")));
        assert!(batch.len() > 0 && came.len() == before + batch.len());
    }
    assert_eq!(came, documents(0..300));
    // Every command of a connection is of one session.
    let sessions: std::collections::BTreeSet<_> = peer.heard().iter().map(Command::session).collect();
    assert!(sessions.len() == 1 && sessions.iter().all(|session| session.as_ref().is_some_and(|id| id.len() == 16)));
    assert_eq!(peer.names(), ["find", "getMore", "getMore", "getMore", "find", "getMore", "getMore", "getMore"]);
    client.close().await;
    assert_eq!(peer.names().last().map(String::as_str), Some("endSessions"));
}

#[tokio::test]
async fn documents_of_any_size_come_through_whatever_the_order_of_fields() {
    let sizes = [0, 1 << 10, 255 << 10, 256 << 10, 257 << 10, 3 << 20, 15 << 20, 10];
    let sent: Vec<_> = sizes.iter().map(|size| rawdoc! { "x": "y".repeat(*size) }).collect();
    let array: bson::raw::RawArrayBuf = sent.iter().cloned().collect();
    for reply in [
        rawdoc! { "cursor": { "firstBatch": array.clone(), "id": 0_i64, "ns": "a.b" }, "ok": 1.0 },
        rawdoc! { "ok": 1, "cursor": { "ns": "a.b", "id": 0, "firstBatch": array.clone() } },
        rawdoc! { "before": { "x": [1, { "cursor": 1 }] }, "cursor": { "id": 0.0, "more": null, "firstBatch": array.clone(), "ns": "a.b" }, "$clusterTime": { "x": 1 }, "ok": true },
    ] {
        let (mut client, _peer) = client(move |_| Say::Reply(reply.clone())).await;
        for by_one in [true, false] {
            let mut query = client.query("a", rawdoc! { "find": "b" }).await.expect("a cursor");
            let mut came: Vec<Vec<u8>> = Vec::new();
            if by_one {
                while let Some(document) = query.next().await.expect("a document") {
                    came.push(document.as_bytes().to_vec());
                }
            } else {
                while let Some(batch) = query.next_batch().await.expect("a batch") {
                    came.extend(batch.documents().map(<[u8]>::to_vec));
                }
            }
            assert!(came.iter().map(Vec::as_slice).eq(sent.iter().map(|document| document.as_bytes())));
        }
    }
}

/// As FerretDB 1 answers: it counts documents, not bytes.
#[tokio::test]
async fn an_answer_longer_than_a_message_comes_through_in_pieces_and_is_not_held_as_a_whole() {
    let long = || (0..4).map(|id| rawdoc! { "_id": id, "x": "y".repeat(13 << 20) }).collect::<Vec<_>>();
    let (mut client, _peer) = client(move |command| {
        Say::Reply(match command.name.as_str() {
            "find" => batch("firstBatch", 0, "shop.orders", &long()),
            _ => rawdoc! { "ok": 1, "x": "y".repeat(48_000_001) },
        })
    })
    .await;
    let mut query = client.query("shop", rawdoc! { "find": "orders" }).await.expect("a cursor");
    let mut came = Vec::new();
    while let Some(document) = query.next().await.expect("a document") {
        came.push((document.get_i32("_id").expect("an id"), document.as_bytes().len()));
    }
    let sent: Vec<_> = long().iter().map(|document| document.as_bytes().len()).collect();
    assert_eq!(came, (0..).zip(sent).collect::<Vec<_>>());
    let refused = client.run("shop", rawdoc! { "ping": 1 }).await.map(|_| ());
    assert!(
        matches!(&refused, Err(Error::Unsupported(text)) if text.contains("nobody takes more than")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_server_that_counts_documents_is_asked_for_few_while_they_are_large() {
    let peer = Peer::start(|command| {
        let large = |n| vec![rawdoc! { "x": "y".repeat(1 << 20) }; n];
        Some(Say::Reply(match (command.name.as_str(), command.body.get_i32("batchSize").ok()) {
            ("buildInfo", _) => rawdoc! { "version": "7.0.42", "ferretdbVersion": "v1.24.0", "ok": 1.0 },
            ("find", Some(2)) => batch("firstBatch", 5, "shop.orders", &documents(0..2)),
            ("getMore", Some(101)) => batch("nextBatch", 5, "shop.orders", &large(101)),
            ("getMore", Some(3)) => batch("nextBatch", 0, "shop.orders", &large(1)),
            ("find" | "getMore", _) => refusal(code::BAD_VALUE, "BadValue", "not as many"),
            _ => return None,
        }))
    })
    .await;
    let mut client = connect(&peer.application(&[], &[])).await.expect("connected");
    let mut query = client.query("shop", rawdoc! { "find": "orders" }).await.expect("a cursor");
    let mut came = 0;
    while query.next().await.expect("a document").is_some() {
        came += 1;
    }
    assert_eq!(came, 104);
}

#[tokio::test]
async fn a_cursor_that_is_left_is_ended() {
    let (mut client, peer) = client(|command| {
        Say::Reply(match command.name.as_str() {
            "find" => batch("firstBatch", 5, "shop.orders", &documents(0..20_000)),
            _ => rawdoc! { "ok": 1 },
        })
    })
    .await;
    let mut query = client.query("shop", rawdoc! { "find": "orders" }).await.expect("a cursor");
    query.next().await.expect("a document").expect("one");
    query.close().await.expect("closed");
    assert_eq!(peer.names(), ["find", "killCursors"]);
    let mut query = client.query("shop", rawdoc! { "find": "orders" }).await.expect("a cursor");
    query.next_batch().await.expect("a batch").expect("one");
    client.run("shop", rawdoc! { "ping": 1 }).await.expect("of use");
    let heard = peer.heard();
    assert_eq!(peer.names()[2..], ["find", "killCursors", "ping"]);
    let cursors = heard[3].body.get_array("cursors").expect("cursors");
    assert_eq!((heard[3].about(), cursors.get_i64(0).ok()), ("orders", Some(5)));
}

#[tokio::test]
async fn a_cursor_that_the_server_lost_is_an_error_that_says_so() {
    let (mut client, peer) = client(|command| {
        Say::Reply(match command.name.as_str() {
            "find" => batch("firstBatch", 5, "shop.orders", &documents(0..3)),
            "getMore" => refusal(code::CURSOR_NOT_FOUND, "CursorNotFound", "cursor id 5 not found"),
            _ => rawdoc! { "ok": 1 },
        })
    })
    .await;
    let mut query = client.query("shop", rawdoc! { "find": "orders" }).await.expect("a cursor");
    for _ in 0..3 {
        query.next().await.expect("a document").expect("one");
    }
    let lost = query.next().await.err();
    let Some(Error::Unavailable(text)) = lost else { panic!("{lost:?}") };
    assert!(
        text.contains("CursorNotFound 43") && text.contains("find shop.orders") && text.contains("no longer has"),
        "{text}"
    );
    client.run("shop", rawdoc! { "ping": 1 }).await.expect("of use");
    assert_eq!(peer.names(), ["find", "getMore", "ping"], "nothing to end");

    // It fails behind documents that it sent, and hangs up in the middle of one.
    let mut reply = batch("firstBatch", 5, "a.b", &documents(0..3)).into_bytes();
    let place = reply.windows(3).rposition(|bytes| bytes == b"ok\0").expect("ok");
    reply[place + 3..place + 11].copy_from_slice(&0.0_f64.to_le_bytes());
    let reply = RawDocumentBuf::from_bytes(reply).expect("valid");
    let (mut client, _peer) = self::client(move |_| Say::Reply(reply.clone())).await;
    let mut query = client.query("a", rawdoc! { "find": "b" }).await.expect("a cursor");
    for _ in 0..3 {
        query.next().await.expect("a document").expect("one");
    }
    assert!(matches!(query.next().await, Err(Error::Failed(_))));
    let (mut client, _peer) = self::client(|command| {
        let reply = batch("firstBatch", 5, "a.b", &documents(0..3));
        let message = message(command.request, 0, reply.as_bytes());
        Say::BytesAndHangUp(message[..message.len() - 90].to_vec())
    })
    .await;
    let outcome = async {
        let mut query = client.query("a", rawdoc! { "find": "b" }).await?;
        while query.next().await?.is_some() {}
        Ok(())
    };
    let outcome: Result<()> = outcome.await;
    assert!(matches!(&outcome, Err(Error::Unavailable(text)) if text.contains("find a.b")), "{outcome:?}");
}
