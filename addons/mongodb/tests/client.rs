//! The wire protocol against scripted peers: what no server at hand does, and what no server should.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod peer;

use bson::raw::RawDocumentBuf;
use bson::rawdoc;
use coffer_addon::{Application, Binding, Error, Result, TlsMode, testing};
use coffer_addon_mongodb::Client;
use coffer_addon_mongodb::client::{Kind, Login, Mechanism, Members, ReadPreference, code, stoppable};
use futures::io::{AsyncRead, AsyncWrite};
use peer::{Command, Peer, Say, Scram, at, batch, hello, member, message, refusal};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use proptest::sample::Index;
use std::pin::Pin;
use std::task::{Context, Poll};

const PASSWORD: &str = "s3cret ünd ' \\ \u{ad}\u{a0}";
const USER: [(&str, &str); 2] = [("username", "b=ob,"), ("password", PASSWORD)];

async fn connect(application: &Application) -> Result<Client> {
    Client::connect(application, &Login::of(application)?, None).await
}

/// A client of a peer that answers every command but hello and buildInfo like this.
async fn client(answer: impl FnMut(&Command) -> Say + Send + 'static) -> (Client, Peer) {
    let mut answer = answer;
    let peer = Peer::start(move |command| match command.name.as_str() {
        "isMaster" | "buildInfo" => None,
        _ => Some(answer(command)),
    })
    .await;
    let client = connect(&peer.application(&[], &[])).await.expect("connected");
    (client, peer)
}

fn documents(range: std::ops::Range<i32>) -> Vec<RawDocumentBuf> {
    range.map(|n| rawdoc! { "_id": n, "text": "x".repeat(usize::try_from(n % 7).unwrap()) }).collect()
}

#[tokio::test]
async fn logins_by_scram_are_proved_on_both_sides() {
    // What a server offers to whom is what is taken; an old one offers nothing.
    for (mechanism, offers, skips) in [
        ("SCRAM-SHA-1", None, false),
        ("SCRAM-SHA-1", Some(vec!["SCRAM-SHA-1"]), true),
        ("SCRAM-SHA-256", Some(vec!["SCRAM-SHA-1", "SCRAM-SHA-256"]), true),
        ("SCRAM-SHA-256", Some(vec!["SCRAM-SHA-256"]), false),
    ] {
        // A server has the password as SASLprep leaves it.
        let known = if mechanism == "SCRAM-SHA-1" { PASSWORD } else { "s3cret ünd ' \\  " };
        let scram = Scram { skips, ..Scram::new(mechanism, "b=ob,", known) };
        let start = async |scram: Scram, offers: Option<Vec<&'static str>>| {
            let mut scram = scram;
            Peer::start(move |command| match command.name.as_str() {
                "isMaster" => {
                    let mut more = rawdoc! { "maxWireVersion": 6 };
                    if let Some(offers) = &offers {
                        assert_eq!(command.body.get_str("saslSupportedMechs").ok(), Some("users.b=ob,"));
                        let offers: bson::raw::RawArrayBuf = offers.iter().copied().collect();
                        more.append(bson::raw::cstr!("saslSupportedMechs"), offers);
                    }
                    Some(Say::Reply(hello(&more)))
                }
                "saslStart" | "saslContinue" => {
                    assert_eq!(command.database, "users");
                    scram.answer(command).map(Say::Reply)
                }
                _ => None,
            })
            .await
        };
        let source = [("authSource", "users")];
        let peer = start(scram.clone(), offers.clone()).await;
        let application = peer.application(&USER, &source);
        let login = Login::of(&application).expect("a login");
        // The second one need not hash the password again.
        for _ in 0..2 {
            let mut client = Client::connect(&application, &login, None).await.expect(mechanism);
            client.run("admin", rawdoc! { "ping": 1 }).await.expect("logged in");
            client.close().await;
        }
        assert_eq!(peer.names().iter().filter(|name| *name == "saslContinue").count(), if skips { 2 } else { 4 });

        let wrong = peer.application(&[("username", "b=ob,"), ("password", "guess")], &source);
        let Some(Error::Denied(text)) = connect(&wrong).await.err() else { panic!("{mechanism}") };
        assert!(text.contains("wrong user or password for user b=ob, of database users"), "{text}");
        assert!(text.contains("authSource") && !text.contains("guess"), "{text}");

        let impostor = start(Scram { knows: false, ..scram.clone() }, offers.clone()).await;
        let refused = connect(&impostor.application(&USER, &source)).await.err();
        assert!(matches!(&refused, Some(Error::Denied(text)) if text.contains("did not prove")), "{refused:?}");

        let weak = start(Scram { iterations: 1000, ..scram }, offers).await;
        let refused = connect(&weak.application(&USER, &source)).await.err();
        assert!(matches!(&refused, Some(Error::Unsupported(text)) if text.contains("1000")), "{refused:?}");
        assert_eq!(weak.names(), ["saslStart"], "no proof for a guess");
    }
}

#[tokio::test]
async fn the_way_to_log_in_is_as_the_binding_says() {
    let peer = Peer::start(|command| match command.name.as_str() {
        "authenticate" if command.connection == 0 => Some(Say::Reply(rawdoc! { "user": "CN=backup", "ok": 1.0 })),
        "authenticate" => Some(Say::Reply(refusal(18, "AuthenticationFailed", "Authentication failed."))),
        "saslStart" => Some(Say::Reply(refusal(334, "MechanismUnavailable", "no such user"))),
        _ => None,
    })
    .await;
    let application = peer.application(&USER, &[]);
    let mut login = Login::of(&application).expect("a login");
    assert_eq!((login.source.as_str(), login.mechanism), ("admin", None));
    // Natively there is no TLS.
    login.mechanism = Some(Mechanism::X509);
    Client::connect(&application, &login, None).await.expect("logged in");
    let heard = peer.heard();
    assert_eq!(
        (heard[0].database.as_str(), heard[0].body.get_str("mechanism").ok()),
        ("$external", Some("MONGODB-X509"))
    );
    let refused = Client::connect(&application, &login, None).await.err();
    assert!(matches!(&refused, Some(Error::Denied(text)) if text.contains("tlsSecret")), "{refused:?}");
    login.mechanism = Some(Mechanism::ScramSha256);
    let refused = Client::connect(&application, &login, None).await.err();
    assert!(matches!(&refused, Some(Error::Denied(text)) if text.contains("MechanismUnavailable")), "{refused:?}");
    let last = peer.heard().pop().expect("heard");
    assert_eq!(last.body.get_str("mechanism").ok(), Some("SCRAM-SHA-256"));

    let none = connect(&peer.application(&USER[..1], &[])).await.err();
    assert!(matches!(&none, Some(Error::Denied(text)) if text.contains("no key `password`")), "{none:?}");
    let login = |parameters: &[(&str, &str)]| Login::of(&at(&[("default", 1)], &USER, parameters));
    for mechanism in ["PLAIN", "GSSAPI", "MONGODB-CR", "MONGODB-AWS"] {
        let refused = login(&[("authMechanism", mechanism)]).err();
        assert!(matches!(&refused, Some(Error::Unsupported(text)) if text.contains(mechanism)), "{refused:?}");
    }
    let known =
        login(&[("database", "shop"), ("authMechanism", "SCRAM-SHA-1"), ("retryWrites", "true"), ("tls", "false")]);
    let known = known.expect("known");
    assert_eq!((known.source.as_str(), known.mechanism), ("shop", Some(Mechanism::ScramSha1)));
    assert_eq!(known.tls, TlsMode::Disable);
    for (key, value, remedy) in [
        ("tls", "true", "clientConfig.tlsMode"),
        ("tlsCAFile", "/ca", "clientConfig.caBundle"),
        ("password", "hunter2", "secret"),
        ("authMechanism", "MONGODB-X509", "tlsSecret"),
        ("connectTimeoutMS", "soon", "milliseconds"),
        ("something", "hunter2", "remove it"),
    ] {
        let refused = login(&[(key, value)]).err();
        let Some(Error::InvalidParameter(text)) = refused else { panic!("{key}: {refused:?}") };
        assert!(text.contains(key) && text.contains(remedy) && !text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn servers_that_are_too_old_or_none_are_told_so() {
    let answer = async |say: fn(&Command) -> Say| {
        let peer = Peer::start(move |command| Some(say(command))).await;
        connect(&peer.application(&USER, &[("connectTimeoutMS", "2000")])).await.err().expect("no server")
    };
    let old = answer(|_| Say::Reply(hello(&rawdoc! { "maxWireVersion": 5 }))).await;
    assert!(matches!(&old, Error::Unsupported(text) if text.contains("older than MongoDB 3.6")), "{old:?}");
    let hung_up = answer(|_| Say::HangUp).await;
    assert!(matches!(&hung_up, Error::Unavailable(text) if text.contains("tlsMode")), "{hung_up:?}");
    let silent = answer(|_| Say::Nothing).await;
    assert!(matches!(&silent, Error::Unavailable(text) if text.contains("connectTimeoutMS")), "{silent:?}");
    let http = answer(|_| Say::BytesAndHangUp(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())).await;
    assert!(matches!(&http, Error::Corrupt(text) if text.contains("is it MongoDB")), "{http:?}");
    let refused = answer(|_| Say::Reply(refusal(13, "Unauthorized", "not you"))).await;
    assert!(matches!(&refused, Error::Denied(text) if text.contains("not you")), "{refused:?}");
    let unknown = answer(|command| match command.name.as_str() {
        "isMaster" => Say::Reply(hello(&rawdoc! { "arbiterOnly": true, "setName": "rs0", "ismaster": false })),
        _ => Say::Reply(rawdoc! { "ok": 1 }),
    });
    let unknown = unknown.await;
    assert!(matches!(&unknown, Error::Unsupported(text) if text.contains("version")), "{unknown:?}");
    // Nobody listens.
    let port = { std::net::TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("a port").port() };
    let gone = connect(&at(&[("default", port)], &[], &[])).await.err();
    assert!(matches!(gone, Some(Error::Unavailable(_))), "{gone:?}");
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
        ("longer than any", 0, &[0xff, 0xff, 0xff, 0x7f][..], "is it MongoDB"),
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

/// A cursor over 300 documents, in batches of 100, of which the first is the empty one.
fn cursor(command: &Command) -> Say {
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
async fn members_are_chosen_by_what_they_say() {
    let start = async |reply: RawDocumentBuf| {
        Peer::start(move |command| (command.name == "isMaster").then(|| Say::Reply(reply.clone()))).await
    };
    let at_time = |seconds: i64| rawdoc! { "lastWriteDate": bson::DateTime::from_millis(seconds * 1000) };
    let primary = start(member(&rawdoc! { "isWritablePrimary": true, "primary": "p:1" })).await;
    let stale = start(member(&rawdoc! { "secondary": true, "lastWrite": at_time(1000), "primary": "p:1" })).await;
    let fresh = start(member(&rawdoc! { "secondary": true, "lastWrite": at_time(2000), "primary": "p:1" })).await;
    let hidden = start(member(&rawdoc! { "secondary": true, "hidden": true, "lastWrite": at_time(3000) })).await;
    let arbiter = start(member(&rawdoc! { "arbiterOnly": true })).await;
    let starting = start(member(&rawdoc! {})).await;
    let router = start(hello(&rawdoc! { "msg": "isdbgrid" })).await;
    let other = start(hello(&rawdoc! { "setName": "rs9", "secondary": true, "ismaster": false })).await;
    let port = { std::net::TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("a port").port() };
    let ask = async |endpoints: &[(&str, u16)]| {
        let application = at(endpoints, &[], &[("replicaSet", "rs0")]);
        Members::ask(&application, &Login::of(&application).expect("a login")).await.expect("asked")
    };
    let chosen = |members: &Members, preference| members.choose(preference).map(|member| member.endpoint.clone());
    let all = [
        ("default", port),
        ("gone:1", port),
        ("arbiter:1", arbiter.port),
        ("hidden:1", hidden.port),
        ("starting:1", starting.port),
        ("other:1", other.port),
        ("stale:1", stale.port),
        ("primary:1", primary.port),
        ("fresh:1", fresh.port),
        ("host-0/x/y:1", port),
    ];
    let members = ask(&all).await;
    assert_eq!(chosen(&members, ReadPreference::Primary), Ok("primary:1".into()));
    assert_eq!(chosen(&members, ReadPreference::SecondaryPreferred), Ok("fresh:1".into()));
    let members = ask(&all[..8]).await;
    assert_eq!(chosen(&members, ReadPreference::SecondaryPreferred), Ok("stale:1".into()));
    // Without secondaries, the primary.
    let members = ask(&[all[2], all[7], all[4]]).await;
    assert_eq!(chosen(&members, ReadPreference::SecondaryPreferred), Ok("primary:1".into()));
    let members = ask(&all[..7]).await;
    let Err(Error::Unavailable(text)) = chosen(&members, ReadPreference::Primary) else { panic!("{members:?}") };
    for words in [
        "no endpoint of the binding is the primary",
        "the primary is p:1",
        "gone:1:",
        "arbiter:1 is an arbiter of replica set rs0",
        "hidden:1 is a hidden secondary",
        "starting:1 is a member that is starting",
        "stale:1 is a secondary",
        "binding's replicaSet is rs0",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let members = ask(&[("default", other.port)]).await;
    assert!(matches!(chosen(&members, ReadPreference::SecondaryPreferred), Err(Error::InvalidParameter(_))));
    // It is meant if nothing else is named.
    let members = ask(&[("default", hidden.port)]).await;
    assert_eq!(chosen(&members, ReadPreference::SecondaryPreferred), Ok("default".into()));
    let application = router.application(&[], &[]);
    let login = Login::of(&application).expect("a login");
    let members = Members::ask(&application, &login).await.expect("asked");
    assert_eq!(
        members.choose(ReadPreference::SecondaryPreferred).map(|member| member.said.clone().map(|said| said.kind)),
        Ok(Ok(Kind::Mongos))
    );

    // A secondary answers those only who ask for it.
    for (peer, is_asked) in [(&fresh, true), (&primary, false), (&router, false)] {
        let application = peer.application(&[], &[]);
        let mut client = connect(&application).await.expect("connected");
        client.run("shop", rawdoc! { "count": "orders" }).await.expect("run");
        let command = peer.heard().pop().expect("heard");
        let mode = command.body.get_document("$readPreference").ok().and_then(|asked| asked.get_str("mode").ok());
        assert_eq!(mode, is_asked.then_some("primaryPreferred"));
        client.insert("shop", rawdoc! { "insert": "orders" }, &[5, 0, 0, 0, 0]).await.expect_err("no n");
        let command = peer.heard().pop().expect("heard");
        assert!(matches!(command.body.get("$readPreference"), Ok(None)));
    }
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
        prop_assert!(read_all(&says).is_err() || says.len() == two_batches().len());
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
