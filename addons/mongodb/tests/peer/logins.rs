//! Whom to speak to, and how to log in there.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::peer::{Command, Peer, Say, Scram, at, hello, member, refusal};
use super::{PASSWORD, USER, connect};
use bson::raw::RawDocumentBuf;
use bson::rawdoc;
use coffer_addon::{Error, TlsMode};
use coffer_addon_mongodb::Client;
use coffer_addon_mongodb::client::{Kind, Login, Mechanism, Members, ReadPreference};

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
async fn members_are_chosen_by_what_they_say() {
    let start = async |reply: RawDocumentBuf| {
        Peer::start(move |command| (command.name == "isMaster").then(|| Say::Reply(reply.clone()))).await
    };
    let at_time = |seconds: i64| rawdoc! { "lastWriteDate": bson::DateTime::from_millis(seconds * 1000) };
    let newest = rawdoc! { "isWritablePrimary": true, "primary": "p:1", "lastWrite": at_time(2090) };
    let primary = start(member(&newest)).await;
    let stale = rawdoc! {
        "secondary": true, "lastWrite": at_time(1000), "localTime": bson::DateTime::from_millis(1_500_000), "primary": "p:1",
    };
    let stale = start(member(&stale)).await;
    let fresh = start(member(&rawdoc! { "secondary": true, "lastWrite": at_time(2000), "primary": "p:1" })).await;
    let hidden = start(member(&rawdoc! { "secondary": true, "hidden": true, "lastWrite": at_time(3000) })).await;
    let arbiter = start(member(&rawdoc! { "arbiterOnly": true })).await;
    let starting = start(member(&rawdoc! {})).await;
    let router = start(hello(&rawdoc! { "msg": "isdbgrid" })).await;
    let alone = start(hello(&rawdoc! {})).await;
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
    // One that is more than 90 seconds behind the primary is not read, unless that is wanted, or there is no primary.
    let members = ask(&all[..8]).await;
    assert_eq!(chosen(&members, ReadPreference::SecondaryPreferred), Ok("primary:1".into()));
    for (most, wanted) in [("1089", "primary:1"), ("1090", "stale:1"), ("-1", "stale:1")] {
        let application = at(&all[..8], &[], &[("replicaSet", "rs0"), ("maxStalenessSeconds", most)]);
        let login = Login::of(&application).expect("a login");
        let members = Members::ask(&application, &login).await.expect("asked");
        let chosen = members.choose(ReadPreference::SecondaryPreferred).expect("one");
        assert_eq!((chosen.endpoint.as_str(), members.doubt(chosen)), (wanted, None), "{most}");
    }
    for wrong in ["89", "0", "-2", "soon"] {
        let refused = Login::of(&at(&all, &[], &[("maxStalenessSeconds", wrong)])).err();
        assert!(
            matches!(&refused, Some(Error::InvalidParameter(text)) if text.contains("maxStalenessSeconds")),
            "{wrong}"
        );
    }
    let members = ask(&all[..7]).await;
    let only = members.choose(ReadPreference::SecondaryPreferred).expect("one");
    assert_eq!(only.endpoint, "stale:1");
    let doubt = members.doubt(only).expect("a doubt");
    assert!(doubt.contains("stale:1 is a secondary whose last write is 500 s old"), "{doubt}");
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
    // Whichever answered would be taken for all of them.
    let (one, two, gone) = (("a:1", alone.port), ("b:2", alone.port), ("gone:1", port));
    for wrong in
        [&[one, two][..], &[one, gone], &[all[7], one], &[all[7], all[5]], &[all[7], ("router:1", router.port)]]
    {
        let application = at(wrong, &[], &[]);
        let refused = Members::ask(&application, &Login::of(&application).expect("a login")).await;
        let Err(Error::InvalidParameter(text)) = refused else { panic!("{wrong:?}: {refused:?}") };
        assert!(text.contains("clientConfig.url") && text.contains(&format!("{} is", wrong[0].0)), "{text}");
    }
    let members = ask(&[one, all[7]]).await;
    assert_eq!(chosen(&members, ReadPreference::Primary), Ok("primary:1".into()));

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
