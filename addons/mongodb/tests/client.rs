//! The wire protocol against scripted peers: what no server at hand does, and what no server should.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "peer/logins.rs"]
mod logins;
mod peer;
#[path = "peer/queries.rs"]
mod queries;

use bson::raw::RawDocumentBuf;
use bson::rawdoc;
use coffer_addon::{Application, Binding, Error, Result, testing};
use coffer_addon_mongodb::Client;
use coffer_addon_mongodb::client::{Login, code, stoppable};
use futures::io::{AsyncRead, AsyncWrite};
use peer::{Command, Peer, Say, batch, hello, message, refusal};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use proptest::sample::Index;
use std::pin::Pin;
use std::task::{Context, Poll};

pub const PASSWORD: &str = "s3cret ünd ' \\ \u{ad}\u{a0}";
pub const USER: [(&str, &str); 2] = [("username", "b=ob,"), ("password", PASSWORD)];

pub async fn connect(application: &Application) -> Result<Client> {
    Client::connect(application, &Login::of(application)?, None).await
}

/// A client of a peer that answers every command but hello and buildInfo like this.
pub async fn client(answer: impl FnMut(&Command) -> Say + Send + 'static) -> (Client, Peer) {
    let mut answer = answer;
    let peer = Peer::start(move |command| match command.name.as_str() {
        "isMaster" | "buildInfo" => None,
        _ => Some(answer(command)),
    })
    .await;
    let client = connect(&peer.application(&[], &[])).await.expect("connected");
    (client, peer)
}

pub fn documents(range: std::ops::Range<i32>) -> Vec<RawDocumentBuf> {
    range.map(|n| rawdoc! { "_id": n, "text": "x".repeat(usize::try_from(n % 7).unwrap()) }).collect()
}

#[tokio::test]
async fn replies_that_make_no_sense_are_refused() {
    let reply = rawdoc! { "ok": 1.0 };
    let changed = |at: usize, bytes: &'static [u8]| {
        let reply = reply.clone();
        move |command: &Command| {
            let mut message = message(command.request, 0, reply.as_bytes());
            message[at..at + bytes.len()].copy_from_slice(bytes);
            Say::BytesAndHangUp(message)
        }
    };
    for (what, at, bytes, words) in [
        ("longer than any", 0, &[0xff, 0xff, 0xff, 0x7f][..], "not one document"),
        ("negative", 0, &[0xff; 4], "is it MongoDB"),
        ("shorter than its header", 0, &[20, 0, 0, 0], "is it MongoDB"),
        ("another's answer", 8, &[9, 9, 9, 0], "replied to request"),
        ("OP_REPLY", 12, &[1, 0, 0, 0], "is it MongoDB"),
        ("OP_COMPRESSED", 12, &[0xdc, 7, 0, 0], "is it MongoDB"),
        ("a checksum", 16, &[1], "flags"),
        ("moreToCome", 16, &[2], "moreToCome"),
        ("a required flag of the future", 16, &[4], "flags"),
        ("a sequence", 20, &[1], "sections"),
        ("a document shorter than the message", 21, &[16], "not one document"),
        ("a document longer than the message", 21, &[18], "not one document"),
        ("a document without an end", 37, &[1], "BSON"),
    ] {
        let (mut client, _peer) = client(changed(at, bytes)).await;
        let error = client.run("shop", rawdoc! { "count": "orders" }).await.expect_err(what);
        let text = error.message();
        assert!(matches!(error, Error::Corrupt(_) | Error::Unsupported(_)), "{what}: {error:?}");
        assert!(text.contains(words) && text.contains("count shop.orders"), "{what}: {text}");
        // What comes next cannot be told from what came.
        let after = client.run("shop", rawdoc! { "ping": 1 }).await;
        assert!(matches!(&after, Err(Error::Failed(text)) if text.contains("no more use")), "{what}: {after:?}");
    }
    // An optional flag of the future is none of ours.
    let (mut fine, _peer) = client(changed(18, &[1])).await;
    fine.run("shop", rawdoc! { "ping": 1 }).await.expect("a reply");
    for length in [0, 7, 16, 21, 30] {
        let (mut client, _peer) = client(move |command| {
            let message = message(command.request, 0, rawdoc! { "ok": 1.0 }.as_bytes());
            Say::BytesAndHangUp(message[..length].to_vec())
        })
        .await;
        let cut = client.run("shop", rawdoc! { "count": "orders" }).await;
        assert!(matches!(&cut, Err(Error::Unavailable(text)) if text.contains("count shop.orders")), "{cut:?}");
    }
}

#[tokio::test]
async fn refusals_have_their_codes_and_no_values() {
    for (reply, is, words) in [
        (refusal(10107, "NotWritablePrimary", "not primary"), "unavailable", "not the primary"),
        (
            refusal(11600, "InterruptedAtShutdown", "interrupted at shutdown"),
            "unavailable",
            "InterruptedAtShutdown 11600",
        ),
        (
            refusal(13, "Unauthorized", "not authorized on shop to execute command { find: \"SECRET\" }"),
            "denied",
            "{…}",
        ),
        (
            refusal(16755, "Location16755", "Can't extract geo keys: { at: \"SECRET\" } out of bounds, lng: SECRET"),
            "failed",
            "geo keys: {…} (Location16755",
        ),
        (refusal(59, "CommandNotFound", "no such command: 'count'"), "unsupported", "no such command"),
        (refusal(26, "NamespaceNotFound", "ns not found"), "failed", "ns not found (NamespaceNotFound 26)"),
        (rawdoc! { "ok": 0, "errmsg": "odd" }, "failed", "odd"),
    ] {
        let reply = reply.clone();
        let (mut client, _peer) = client(move |_| Say::Reply(reply.clone())).await;
        let error = client.run("shop", rawdoc! { "count": "orders" }).await.expect_err(words);
        let case = match &error {
            Error::Unavailable(_) => "unavailable",
            Error::Denied(_) => "denied",
            Error::Unsupported(_) => "unsupported",
            Error::Failed(_) => "failed",
            _ => "other",
        };
        let text = error.message();
        assert_eq!(case, is, "{text}");
        assert!(text.contains(words) && text.contains("count shop.orders") && !text.contains("SECRET"), "{text}");
        // It is the command that failed, not the connection.
        let inner = client.try_run("shop", rawdoc! { "count": "orders" }).await.expect("there");
        assert!(inner.is_err());
        let query = client.try_query("shop", rawdoc! { "find": "orders" }).await.expect("there").err();
        assert_eq!(query.map(|error| error.code), inner.err().map(|error| error.code));
    }
}

#[tokio::test]
async fn inserts_send_documents_as_they_are() {
    let (mut client, peer) = client(|command| {
        Say::Reply(match command.about() {
            "some" => rawdoc! {
                "n": 1, "ok": 1,
                "writeErrors": [{ "index": 1, "code": 11000, "errmsg": "E11000 duplicate key error collection: shop.some index: a_1 dup key: { a: \"SECRET\" }" }],
                "writeConcernError": { "code": 64, "codeName": "WriteConcernFailed", "errmsg": "waiting" },
            },
            "none" => refusal(10107, "NotWritablePrimary", "not primary"),
            _ => rawdoc! { "n": 300, "ok": 1.0 },
        })
    })
    .await;
    let sent: Vec<u8> = documents(0..300).into_iter().flat_map(RawDocumentBuf::into_bytes).collect();
    let all = client.insert("shop", rawdoc! { "insert": "all", "ordered": true }, &sent).await.expect("inserted");
    assert_eq!((all.count, all.errors.len(), all.concern), (300, 0, None));
    let heard = peer.heard().pop().expect("heard");
    assert!(
        heard.documents == sent
            && heard.database == "shop"
            && heard.body.get_bool("ordered").is_ok_and(|ordered| ordered)
    );
    let some = client.insert("shop", rawdoc! { "insert": "some" }, &sent).await.expect("inserted");
    assert_eq!((some.count, some.errors[0].0, some.errors[0].1.code), (1, 1, code::DUPLICATE_KEY));
    let text = some.errors[0].1.text();
    assert!(text.contains("index: a_1") && !text.contains("SECRET"), "{text}");
    assert_eq!(some.concern.map(|concern| concern.code), Some(64));
    let none = client.insert("shop", rawdoc! { "insert": "none" }, &sent).await;
    assert!(matches!(&none, Err(Error::Unavailable(text)) if text.contains("insert shop.none")), "{none:?}");

    let count = peer.names().len();
    let large = rawdoc! { "x": "y".repeat(16 << 20) }.into_bytes();
    let many: Vec<u8> = [5, 0, 0, 0, 0].repeat(100_001);
    let long = rawdoc! { "x": "y".repeat(12 << 20) }.into_bytes().repeat(4);
    for (documents, words) in [
        (&large[..], "document 0 of the batch has"),
        (&many, "100001 documents"),
        (&long, "4 documents of"),
        (&sent[..sent.len() - 1], "document 299 of the batch has a length"),
        (&[4, 0, 0, 0], "a length that cannot be"),
        (&[0xff; 9], "a length that cannot be"),
    ] {
        let error = client.insert("shop", rawdoc! { "insert": "all" }, documents).await.expect_err(words);
        assert!(error.message().contains(words) && error.message().contains("shop.all"), "{error}");
    }
    assert_eq!(peer.names().len(), count, "nothing of it was sent");
}

#[tokio::test]
async fn a_run_that_is_asked_to_stop_ends_what_it_has_on_the_server() {
    for has_sessions in [true, false] {
        let (asked, mut is_asked) = tokio::sync::mpsc::unbounded_channel();
        let peer = Peer::start(move |command| match command.name.as_str() {
            "isMaster" if !has_sessions => Some(Say::Reply(hello(&rawdoc! {}))),
            "find" => Some(Say::Reply(batch("firstBatch", 5, "shop.orders", &[]))),
            // It takes for ever.
            "getMore" => {
                asked.send(command.session()).expect("a test");
                Some(Say::Nothing)
            }
            _ => None,
        })
        .await;
        let application = peer.application(&[], &[]);
        let login = Login::of(&application).expect("a login");
        let work = async {
            let mut idle = Client::connect(&application, &login, None).await?;
            idle.run("shop", rawdoc! { "ping": 1 }).await?;
            let mut client = Client::connect(&application, &login, Some("default")).await?;
            let mut query = client.query("shop", rawdoc! { "find": "orders" }).await?;
            query.next().await?;
            Ok(())
        };
        let stop = async {
            let session = is_asked.recv().await.expect("asked");
            testing::cancel();
            session
        };
        let (outcome, session) = tokio::join!(stoppable(&application, &login, work), stop);
        assert_eq!(outcome, Err(Error::Failed("cancelled".into())));
        let heard = peer.heard();
        let ends = |name: &str| heard.iter().filter(|command| command.name == name).cloned().collect::<Vec<_>>();
        if has_sessions {
            let killed: Vec<_> = ends("killSessions")
                .iter()
                .map(|kill| {
                    let sessions = kill.body.get_array("killSessions").expect("sessions");
                    sessions.get_document(0).expect("one").get_binary("id").expect("an id").bytes.to_vec()
                })
                .collect();
            assert!(killed.len() == 2 && killed.contains(&session.expect("a session")), "{killed:?}");
        } else {
            assert_eq!((session, ends("killSessions").len()), (None, 0));
        }
        let killed = ends("killCursors");
        assert!(killed.len() == 1 && killed[0].about() == "orders" && killed[0].database == "shop", "{killed:?}");
        assert_eq!(testing::logged(), []);
    }
}

/// A peer that has said all it will before it hears anything.
struct Said(futures::io::Cursor<Vec<u8>>);

impl AsyncRead for Said {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, target: &mut [u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, target)
    }
}

impl AsyncWrite for Said {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Reads a query's documents from a peer that says this after hello and buildInfo, and what it makes of the end.
fn read_all(says: &[u8]) -> Result<usize> {
    let mut all = message(1, 0, hello(&rawdoc! {}).as_bytes());
    all.extend(message(2, 0, rawdoc! { "version": "7.0.12", "ok": 1.0 }.as_bytes()));
    all.extend(says);
    // Each attempt to connect has a thread that waits for so long.
    let binding = Binding { parameters: vec![("connectTimeoutMS".into(), "200".into())], ..Binding::default() };
    let application = testing::application(binding, &[], move || {
        let said = Said(futures::io::Cursor::new(all.clone()));
        async move { Ok(testing::connection(said)) }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut client = connect(&application).await?;
        let mut query = client.query("a", rawdoc! { "find": "b" }).await?;
        let mut count = 0;
        while let Some(batch) = query.next_batch().await? {
            count += batch.documents().map(|document| assert!(document.len() >= 5)).count();
        }
        Ok(count)
    })
}

/// Two batches.
fn two_batches() -> Vec<u8> {
    let mut says = message(3, 0, batch("firstBatch", 5, "a.b", &documents(0..4)).as_bytes());
    says.extend(message(4, 0, batch("nextBatch", 0, "a.b", &documents(4..9)).as_bytes()));
    says
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_reply_can_do_more_than_fail(bytes in vec(any::<u8>(), 0..200)) {
        let _ = read_all(&bytes);
        let _ = read_all(&message(3, 0, &bytes));
    }

    #[test]
    fn no_change_of_a_reply_can_do_more_than_fail(changes in vec((any::<Index>(), any::<u8>()), 1..4), cut in any::<Option<Index>>()) {
        let mut says = two_batches();
        for (place, byte) in changes {
            let place = place.index(says.len());
            says[place] = byte;
        }
        if let Some(cut) = cut {
            says.truncate(cut.index(says.len()));
        }
        let whole = says.len() == two_batches().len();
        // A cursor that a change has closed ends behind the first batch.
        prop_assert!(read_all(&says).map_or(true, |count| whole || count == 4));
    }
}

#[test]
fn a_reply_without_a_change_is_read() {
    assert_eq!(read_all(&two_batches()), Ok(9));
}

#[tokio::test]
async fn a_command_that_was_given_up_leaves_the_connection_of_no_use() {
    let (mut client, _peer) = client(|_| Say::Nothing).await;
    let command = client.run("shop", rawdoc! { "count": "orders" });
    tokio::select! {
        biased;
        outcome = command => panic!("{outcome:?}"),
        () = std::future::ready(()) => {}
    }
    let busy = client.run("shop", rawdoc! { "ping": 1 }).await;
    assert!(matches!(&busy, Err(Error::Failed(text)) if text.contains("no more use: count shop.orders")), "{busy:?}");
}
