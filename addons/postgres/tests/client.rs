//! The wire protocol against a real server.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

mod support;

use coffer_addon::{Application, Error, Result, TlsMode, testing};
use coffer_addon_postgres::Client;
use coffer_addon_postgres::client::Login;
use support::{PASSWORD, server};

async fn open(application: &Application) -> Result<Client> {
    Client::connect(application, &Login::from_binding(application, None)?).await
}

#[tokio::test]
async fn every_way_to_log_in() {
    let Some(server) = server() else { return };
    for method in ["scram", "md5", "password"] {
        let user = format!("by_{method}");
        let mut client = open(&server.application("postgres", &user, Some(PASSWORD))).await.expect(method);
        let row = client.query_one("SELECT current_user AS name, 1 + 1 AS two, NULL AS nothing").await.expect(method);
        assert_eq!(row.get("name"), Ok(user.as_str()));
        assert_eq!(row.parse::<u8>("two"), Ok(2));
        assert_eq!(row.opt("nothing"), Ok(None));
        assert!(row.get("nothing").is_err());
        assert!(row.opt("absent").is_err());
        client.close().await;

        let wrong = open(&server.application("postgres", &user, Some("guess"))).await.err();
        let Some(Error::Denied(text)) = wrong else { panic!("{method}: {wrong:?}") };
        assert!(text.contains("wrong user or password") && !text.contains("guess"), "{text}");
        assert_eq!(text.matches(&user).count(), 1, "{text}");
        let none = open(&server.application("postgres", &user, None)).await.err();
        assert!(matches!(&none, Some(Error::Denied(text)) if text.contains("no key `password`")), "{none:?}");
    }
    let trusted = open(&server.application("postgres", "postgres", None)).await.expect("trust");
    assert!(trusted.server_version() >= 90_600);
    let rejected = open(&server.application("postgres", "by_reject", Some(PASSWORD))).await.err();
    assert!(matches!(&rejected, Some(Error::Denied(text)) if text.contains("pg_hba.conf")), "{rejected:?}");
    let absent = open(&server.application("no_such_database", "postgres", None)).await.err();
    assert!(matches!(&absent, Some(Error::InvalidParameter(text)) if text.contains("no_such_database")), "{absent:?}");
}

#[tokio::test]
async fn required_tls_is_never_left_out() {
    let login = Login::new("u", None, "d", TlsMode::Require);
    let answer = async |bytes: &'static [u8]| {
        let peer = peer(futures::io::Cursor::new(bytes.to_vec()));
        Client::open(testing::connection(peer), &login).await.err().expect("no TLS natively")
    };
    let refused = answer(b"N").await;
    assert!(matches!(&refused, Error::Denied(text) if text.contains("tlsMode")), "{refused:?}");
    // An attacker's bytes behind the yes, to be taken for the server's own.
    let stuffed = answer(b"SZ\0\0\0\x05I").await;
    assert!(matches!(&stuffed, Error::Corrupt(text) if text.contains("before TLS")), "{stuffed:?}");
    assert!(matches!(answer(b"S").await, Error::Unsupported(_)), "only the host does TLS");
    assert!(matches!(answer(b"HTTP/1.1 400").await, Error::Corrupt(_)));
    assert!(matches!(answer(b"").await, Error::Unavailable(_)));
}

#[tokio::test]
async fn a_failed_statement_says_what_failed_and_leaves_the_session_of_use() {
    let Some(server) = server() else { return };
    let mut client = server.client("postgres").await;
    let failed = client.query("SELECT 1; SELECT nonsense").await.err();
    assert!(
        matches!(&failed, Some(Error::Failed(text)) if text.contains("nonsense") && text.contains("42703")),
        "{failed:?}"
    );
    assert_eq!(client.execute("CREATE TEMPORARY TABLE t (a int)").await.as_deref(), Ok("CREATE TABLE"));
    assert!(client.execute("COPY t FROM STDIN").await.is_err());
    assert_eq!(client.query("TABLE pg_temp.t").await, Ok(vec![]));
    assert!(client.copy_out("COPY absent TO STDOUT").await.is_err());
    assert!(client.copy_out("SELECT 1").await.is_err());
}

#[tokio::test]
async fn copy_carries_bytes_both_ways() {
    let Some(server) = server() else { return };
    let database = server.database();
    let mut client = server.client(&database).await;
    client.execute("CREATE TABLE t (id int, text text, other text)").await.expect("table");
    // Rows of every size around the buffers', with all of COPY's escapes.
    client
        .execute(
            "INSERT INTO t SELECT i, repeat(chr(32 + i % 90) || E'\\t\\n\\\\', i * i), CASE i % 3 WHEN 0 THEN NULL ELSE '' END \
             FROM generate_series(1, 400) i; INSERT INTO t VALUES (401, repeat('x', 3000000), '\\N')",
        )
        .await
        .expect("rows");
    let digest = "SELECT count(*) || ' ' || md5(string_agg(t::text, ',' ORDER BY id)) AS is FROM ";
    let wanted = client.query_one(&format!("{digest} t")).await.expect("digest");

    let mut copied = Vec::new();
    let mut copy = client.copy_out("COPY t TO STDOUT").await.expect("copy");
    let mut batch = Vec::new();
    while let Some(filled) = copy.next(batch).await.expect("rows") {
        copied.extend_from_slice(&filled);
        batch = filled;
        batch.clear();
    }
    assert_eq!(copy.rows(), 401);

    client.execute("CREATE TABLE u (LIKE t)").await.expect("table");
    let mut copy = client.copy_in("COPY u FROM STDIN").await.expect("copy");
    for piece in copied.chunks(70_001) {
        assert!(!copy.has_answer());
        copy.write(piece).await.expect("written");
    }
    assert_eq!(copy.finish().await, Ok(401));
    assert_eq!(client.query_one(&format!("{digest} u t")).await, Ok(wanted));

    // Rows that the server cannot read are its error; rows taken back are none at all.
    let mut copy = client.copy_in("COPY u FROM STDIN").await.expect("copy");
    copy.write(b"one\n").await.expect("written");
    let refused = copy.finish().await;
    assert!(matches!(&refused, Err(Error::Failed(text)) if text.contains("COPY u, line 1")), "{refused:?}");
    let mut copy = client.copy_in("COPY u FROM STDIN").await.expect("copy");
    copy.write(b"1\t2\t3\n").await.expect("written");
    assert_eq!(copy.fail(Error::Corrupt("cut".into())).await, Error::Corrupt("cut".into()));
    assert_eq!(client.query_one("SELECT count(*) FROM u").await.expect("count").at(0), Some("401"));
}

#[tokio::test]
async fn an_error_behind_warnings_is_seen_before_the_last_row() {
    let Some(server) = server() else { return };
    let database = server.database();
    let mut client = server.client(&database).await;
    client
        .execute(
            "CREATE FUNCTION warn(i int) RETURNS boolean LANGUAGE plpgsql AS \
             $$ BEGIN RAISE WARNING 'seen %', i; RETURN i < 3; END $$; CREATE TABLE t (x int CHECK (warn(x)))",
        )
        .await
        .expect("table");
    let mut copy = client.copy_in("COPY t FROM STDIN").await.expect("copy");
    copy.write(b"1\n2\n3\n").await.expect("written");
    for round in 0.. {
        // More than the server and the client gather before they hand it on.
        copy.write(&b"0\n".repeat(200_000)).await.expect("written");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        if copy.has_answer() {
            break;
        }
        assert!(round < 100, "the error is not seen");
    }
    let failed = copy.finish().await;
    assert!(matches!(&failed, Err(Error::Failed(text)) if text.contains("23514")), "{failed:?}");
    assert_eq!(client.query("TABLE t").await, Ok(vec![]));
}

#[tokio::test]
async fn what_the_address_says_is_done_or_refused() {
    let login = |parameters: &[(&str, &str)]| {
        let parameters = parameters.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let binding = coffer_addon::Binding { parameters, ..Default::default() };
        let application = testing::application(binding, &[("username", "u")], async || Err(Error::Failed("no".into())));
        Login::from_binding(&application, None)
    };
    let known = [("database", "shop"), ("application_name", "nightly"), ("connect_timeout", "7")];
    let known = login(&known).expect("known");
    assert_eq!((known.database.as_str(), known.application_name.as_str()), ("shop", "nightly"));
    assert_eq!(known.connect_timeout, Some(std::time::Duration::from_secs(7)));
    for (key, remedy) in [
        ("sslmode", "clientConfig.tlsMode"),
        ("sslrootcert", "clientConfig.caBundle"),
        ("password", "secret"),
        ("options", "ALTER ROLE"),
        ("dbname", "path of clientConfig.url"),
        ("target_session_attrs", "remove it"),
    ] {
        let refused = login(&[("database", "shop"), (key, "hunter2")]).err();
        let Some(Error::InvalidParameter(text)) = refused else { panic!("{key}: {refused:?}") };
        assert!(text.contains(key) && text.contains(remedy) && !text.contains("hunter2"), "{text}");
    }
    assert!(login(&[("connect_timeout", "soon")]).is_err());
}

#[tokio::test]
async fn a_server_that_dies_is_unavailable_and_the_error_says_when() {
    let Some(server) = server() else { return };
    let mut client = server.client("postgres").await;
    let mut copy = client
        .copy_out("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000000)) TO STDOUT")
        .await
        .expect("copy");
    let first = copy.next(Vec::new()).await.expect("rows").expect("some");
    assert!(first.len() >= 64 * 1024);
    server.psql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY (SELECT%'");
    let mut batch = first;
    let died = loop {
        match copy.next(batch).await {
            Ok(Some(rows)) => {
                batch = rows;
                batch.clear();
            }
            Ok(None) => panic!("ended well"),
            Err(error) => break error,
        }
    };
    assert!(matches!(&died, Error::Unavailable(text) if text.contains("COPY TO STDOUT")), "{died:?}");
}

#[tokio::test]
async fn a_peer_that_is_no_postgresql_is_told_so() {
    let answer = futures::io::Cursor::new(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec());
    let io = peer(answer);
    let login = Login::new("u", None, "d", TlsMode::Disable);
    let error = Client::open(testing::connection(io), &login).await.err();
    assert!(matches!(error, Some(Error::Corrupt(_) | Error::Unavailable(_))), "{error:?}");
}

/// Reads from one side, writes to nowhere.
fn peer(read: futures::io::Cursor<Vec<u8>>) -> impl testing::Io {
    use tokio_util::compat::FuturesAsyncReadCompatExt;
    tokio_util::compat::TokioAsyncReadCompatExt::compat(tokio::io::join(read.compat(), tokio::io::sink()))
}
