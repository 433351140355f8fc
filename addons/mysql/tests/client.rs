//! The wire protocol against real servers, and against peers that are none.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

mod support;

use coffer_addon::host::Level;
use coffer_addon::{Application, Binding, Error, Result, TlsMode, testing};
use coffer_addon_mysql::client::{Flavor, Login, stoppable};
use coffer_addon_mysql::{Client, session};
use coffer_test_servers::{Mysql, MysqlAuth, MysqlOptions, MysqlVersion};
use std::time::Duration;
use support::{application, at, client, greeting, packet, peer, server, servers, start, supported, until};

const PASSWORD: &str = "s3cret ünd ' \\";

/// Three rows.
const THREE: &str = "(SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3) AS three";

/// What a packet can carry.
const FULL: usize = 0xff_ffff;

async fn open(application: &Application) -> Result<Client> {
    Client::connect(application, &Login::from_binding(application)?, None).await
}

#[tokio::test]
async fn every_way_to_log_in() {
    for server in servers() {
        for auth in server.version().auths() {
            let (name, user) = (server.version().name(), format!("by_{auth:?}"));
            server.create_user(&user, *auth, PASSWORD).expect("a user");
            // The first login is not in the server's cache, the second one may be.
            for _ in 0..2 {
                let mut client = open(&application(server, &user, Some(PASSWORD))).await.expect(name);
                let row = client.query_one("SELECT USER() AS user, 1 + 1 AS two, NULL AS nothing").await.expect(name);
                assert_eq!(row.get("user").map(|who| who.starts_with(&format!("{user}@"))), Ok(true));
                assert_eq!(row.parse::<u8>("two"), Ok(2));
                assert_eq!((row.opt("nothing"), row.bytes("nothing")), (Ok(None), Ok(None)));
                assert!(row.get("nothing").is_err() && row.opt("absent").is_err());
                client.close().await;
            }
            let wrong = open(&application(server, &user, Some("guess"))).await.err();
            let Some(Error::Denied(text)) = wrong else { panic!("{name}, {user}: {wrong:?}") };
            assert!(text.contains("wrong user or password") && !text.contains("guess"), "{text}");
            assert_eq!(text.matches(&user).count(), 1, "{text}");
            let none = open(&application(server, &user, None)).await.err();
            assert!(matches!(&none, Some(Error::Denied(text)) if text.contains("no key `password`")), "{none:?}");
            let empty = format!("no_{auth:?}");
            if *auth != MysqlAuth::Ed25519 {
                server.create_user(&empty, *auth, "").expect("a user");
                open(&application(server, &empty, None))
                    .await
                    .unwrap_or_else(|error| panic!("{name}, {empty}: {error}"));
            }
        }
        let application = application(server, Mysql::USER, Some(server.password()));
        let login = Login::from_binding(&application).expect("login");
        let absent = Client::connect(&application, &login, Some("no_such_database")).await.err();
        assert!(
            matches!(&absent, Some(Error::InvalidParameter(text)) if text.contains("no_such_database")),
            "{absent:?}"
        );
        let mut inside = Client::connect(&application, &login, Some("mysql")).await.expect("a database");
        assert_eq!(inside.query_one("SELECT DATABASE()").await.expect("a row").at(0), Some("mysql"));
    }
}

#[tokio::test]
async fn versions_are_told_and_old_ones_refused_by_name() {
    for (version, flavor, begins) in [
        (MysqlVersion::MySql97, Flavor::MySql, 907),
        (MysqlVersion::MariaDb1011, Flavor::MariaDb, 1011),
        (MysqlVersion::MariaDb118, Flavor::MariaDb, 1108),
        (MysqlVersion::MySql55, Flavor::MySql, 505),
    ] {
        let Some(server) = server(version) else { continue };
        let client = client(server).await;
        assert_eq!((client.version().flavor, client.version().number / 100), (flavor, begins));
        assert!(client.id() > 0);
        match version {
            MysqlVersion::MySql55 => {
                let refused = session::check_version(&client);
                assert!(
                    matches!(&refused, Err(Error::Unsupported(text)) if text.contains("MySQL 5.5.9")),
                    "{refused:?}"
                );
            }
            _ => {
                session::check_version(&client).expect("supported");
                assert!(testing::logged().is_empty(), "tested");
            }
        }
    }
}

#[tokio::test]
async fn settings_are_made_whatever_the_server_has_set() {
    for server in supported() {
        server.create_user("nobody", MysqlVersion::auths(server.version())[0], PASSWORD).expect("a user");
        server
            .mysql("set global sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES', global sql_select_limit = 2, global net_write_timeout = 7")
            .expect("set");
        for (user, password) in [(Mysql::USER, server.password()), ("nobody", PASSWORD)] {
            let application = application(server, user, Some(password));
            let setting = async |client: &mut Client, name: &str| {
                let row = client.query_one(&format!("SHOW SESSION VARIABLES LIKE '{name}'")).await.expect(name);
                row.at(1).unwrap_or_default().to_string()
            };
            let mut client = open(&application).await.expect("connected");
            session::prepare_dump(&mut client, Duration::from_secs(3)).await.expect("prepared");
            for (name, value) in [
                ("sql_mode", ""),
                ("time_zone", "+00:00"),
                ("sql_select_limit", "18446744073709551615"),
                ("net_write_timeout", "31536000"),
                ("lock_wait_timeout", "3"),
                ("character_set_results", "utf8mb4"),
            ] {
                assert_eq!(setting(&mut client, name).await, value, "{}: {name}", server.version().name());
            }
            let mut client = open(&application).await.expect("connected");
            session::prepare_restore(&mut client).await.expect("prepared");
            assert!(setting(&mut client, "sql_mode").await.contains("NO_AUTO_VALUE_ON_ZERO"));
            assert_eq!(setting(&mut client, "unique_checks").await, "OFF");
            let warned: Vec<_> = testing::logged().into_iter().filter(|(level, _)| *level >= Level::Warn).collect();
            assert_eq!(warned, [], "{}: {user}", server.version().name());
        }
        server
            .mysql(
                "set global sql_mode = default, global sql_select_limit = default, global net_write_timeout = default",
            )
            .expect("set");
    }
}

#[tokio::test]
async fn a_failed_statement_says_what_failed_and_leaves_the_session_of_use() {
    for server in servers() {
        let mut client = client(server).await;
        let failed = client.query("SELECT nonsense").await.err();
        assert!(
            matches!(&failed, Some(Error::Failed(text)) if text.contains("nonsense") && text.contains("1054")),
            "{failed:?}"
        );
        assert!(client.stream("SELECT nonsense").await.is_err());
        assert!(client.stream("DO 1").await.is_err());
        let several = client.execute("SELECT 1; SELECT 2").await;
        assert!(matches!(&several, Err(Error::Failed(text)) if text.contains("1064")), "{several:?}");
        let database = format!("errors_{}", client.id());
        client.execute(&format!("CREATE DATABASE {database}")).await.expect("a database");
        client.execute(&format!("USE {database}")).await.expect("used");
        client.execute("CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(9))").await.expect("a table");
        let done = client.execute_private(b"INSERT INTO t VALUES (1, 'a'), (2, 'b')").await.expect("rows");
        assert_eq!((done.affected, done.warnings), (2, 0));
        for (sql, shown) in [
            ("INSERT INTO t VALUES (1, 'SECRET')", "Duplicate entry"),
            ("INSERT INTO t VALUES ('SECRET', 'x')", "nteger value"),
            ("INSERT INTO t VALUES (SECRET', 'x')", "SQL syntax"),
        ] {
            client.execute("SET sql_mode = 'STRICT_ALL_TABLES'").await.expect("set");
            let failed = client.execute_private(sql.as_bytes()).await;
            let Err(Error::Failed(text)) = failed else { panic!("{failed:?}") };
            assert!(text.contains(shown) && !text.contains("SECRET"), "{text}");
        }
        assert_eq!(
            client.try_execute("DROP TABLE absent").await.expect("there").map_err(|error| error.number),
            Err(1051)
        );
        assert_eq!(client.query("SELECT a FROM t WHERE a > 9").await, Ok(vec![]));
        let many = client.query_one("SELECT a FROM t").await;
        assert!(matches!(&many, Err(Error::Failed(text)) if text.contains("not 2")), "{many:?}");
        client.execute(&format!("DROP DATABASE {database}")).await.expect("dropped");
    }
}

#[tokio::test]
async fn rows_come_one_by_one_with_their_columns() {
    for server in servers() {
        let mut client = client(server).await;
        client.execute("SET NAMES utf8mb4").await.expect("set");
        let mut rows = client
            .stream("SELECT 1 AS n, 'ä𝄞' AS t, x'00ff' AS b, NULL AS e, 1.5e0 AS d UNION ALL SELECT 2, '', '', 'x', -1")
            .await
            .expect("rows");
        let columns: Vec<_> = rows.columns().iter().map(|column| column.name.as_str()).collect();
        assert_eq!(columns, ["n", "t", "b", "e", "d"]);
        let first: Vec<_> = rows.next().await.expect("a row").expect("one").collect();
        assert_eq!(first, [Some(&b"1"[..]), Some("ä𝄞".as_bytes()), Some(b"\x00\xff"), None, Some(b"1.5")]);
        // Somebody who goes away in the middle must not take what is left for the next answer.
        drop(rows);
        let busy = client.query("SELECT 1").await;
        assert!(
            matches!(&busy, Err(Error::Failed(text)) if text.contains("still busy with SELECT 1 AS n")),
            "{busy:?}"
        );
    }
}

#[tokio::test]
async fn many_rows_arrive_all() {
    for server in servers() {
        let mut client = client(server).await;
        let digits = "(SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL \
                      SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
        let sql = format!(
            "SELECT a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d AS n, REPEAT('x', 37 * a.d) AS x \
             FROM {digits} a, {digits} b, {digits} c, {digits} d, {digits} e"
        );
        let mut rows = client.stream(&sql).await.expect("rows");
        let (mut count, mut sum, mut bytes) = (0, 0, 0);
        while let Some(mut row) = rows.next().await.expect("a row") {
            let number: u64 =
                std::str::from_utf8(row.next().flatten().expect("a number")).expect("text").parse().unwrap();
            count += 1;
            sum += number;
            bytes += row.next().flatten().expect("text").len();
        }
        assert!(rows.next().await.expect("the end").is_none());
        assert_eq!((count, sum, bytes), (100_000, 99_999 * 50_000, 37 * 45 * 10_000));
        assert_eq!(client.query_one("SELECT 1").await.expect("of use").at(0), Some("1"));
    }
}

#[tokio::test]
async fn rows_and_statements_of_any_size_go_through() {
    for server in servers() {
        let mut client = client(server).await;
        // Around what the read buffer keeps, what one packet can carry, with and without a packet behind that is empty.
        let sizes = [1 << 20, (1 << 20) + 1, FULL - 9, FULL - 8, FULL - 7, FULL, 2 * FULL - 13, 40_000_000];
        let xs = vec![b'x'; 40_000_000];
        for size in sizes {
            // Small rows of the same answer around it.
            let sql = format!("SELECT IF(n = 2, REPEAT('x', {size}), NULL) AS x, 'end' AS e FROM {THREE}");
            let mut rows = client.stream(&sql).await.expect("rows");
            for n in 1..=3 {
                let row: Vec<_> = rows.next().await.expect("a row").expect("one").collect();
                assert_eq!(row.len(), 2);
                assert!(row[0] == (n == 2).then_some(&xs[..size]), "{:?} bytes for {size}", row[0].map(<[u8]>::len));
                assert_eq!(row[1], Some(&b"end"[..]));
            }
            assert!(rows.next().await.expect("the end").is_none());
        }

        let head = "SELECT LENGTH('";
        for size in [FULL - 2, FULL - 1, FULL, 2 * FULL - 1] {
            let length = size - head.len() - "')".len();
            let sql = format!("{head}{}')", "y".repeat(length));
            assert_eq!(sql.len(), size);
            assert_eq!(client.query_one(&sql).await.expect("a row").at(0), Some(length.to_string().as_str()));
        }
        let too_long = vec![b' '; client.max_packet()];
        let refused = client.execute_private(&too_long).await;
        assert!(matches!(&refused, Err(Error::Failed(text)) if text.contains("max_allowed_packet")), "{refused:?}");
        assert_eq!(client.query_one("SELECT 1").await.expect("of use").at(0), Some("1"));
    }
}

#[tokio::test]
async fn a_server_that_dies_is_unavailable_and_the_error_says_when() {
    for version in MysqlVersion::ALL {
        let Some(mut server) = start(version, &MysqlOptions::default()) else { continue };
        let mut client = client(&server).await;
        let sql = "SELECT REPEAT('x', 1000) FROM information_schema.collations a, information_schema.collations b, \
                   information_schema.collations c";
        let mut rows = client.stream(sql).await.expect("rows");
        for _ in 0..1000 {
            assert!(rows.next().await.expect("a row").is_some());
        }
        server.kill9();
        let died = loop {
            match rows.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("ended well"),
                Err(error) => break error,
            }
        };
        assert!(matches!(&died, Error::Unavailable(text) if text.contains("SELECT REPEAT")), "{died:?}");
        // Whoever lets go of a lock next is told the same, and not that rows are left to read.
        let after = client.execute("UNLOCK TABLES").await.err();
        assert!(matches!(&after, Some(Error::Unavailable(text)) if text.contains("SELECT REPEAT")), "{after:?}");
        let gone = open(&application(&server, Mysql::USER, Some(server.password()))).await.err();
        assert!(matches!(gone, Some(Error::Unavailable(_))), "{gone:?}");
    }
}

#[tokio::test]
async fn a_session_that_somebody_kills_is_unavailable() {
    for server in servers() {
        let mut client = client(server).await;
        let id = client.id();
        let waits = async { client.query("SELECT SLEEP(600)").await };
        let kills = async {
            until("the statement runs", async || running(server, "SLEEP(600)") == 1).await;
            server.mysql(&format!("kill {id}")).expect("killed");
        };
        let (killed, ()) = tokio::join!(waits, kills);
        assert!(matches!(&killed, Err(Error::Unavailable(_) | Error::Failed(_))), "{killed:?}");
        let after = client.query("SELECT 1").await;
        assert!(matches!(&after, Err(Error::Unavailable(_) | Error::Failed(_))), "{after:?}");
    }
}

/// How many sessions run a statement like this.
fn running(server: &Mysql, like: &str) -> usize {
    let sql = format!(
        "select count(*) from information_schema.processlist where info like 'SELECT {like}%' and command = 'Query'"
    );
    server.mysql(&sql).expect("counted").parse().expect("a number")
}

#[tokio::test]
async fn a_run_that_is_asked_to_stop_leaves_nothing_running_and_nothing_locked() {
    for server in servers() {
        let database = format!("cancel_{}", server.port());
        server.mysql(&format!("create database {database}; create table {database}.t (a int)")).expect("a table");
        // Who may do no more than this must be able to stop it, too.
        server.create_user("stopped", server.version().auths()[0], PASSWORD).expect("a user");
        server.mysql(&format!("grant select, lock tables on {database}.* to stopped@'%'")).expect("granted");
        let application = application(server, "stopped", Some(PASSWORD));
        let login = Login::from_binding(&application).expect("login");
        let work = async {
            let mut locks = Client::connect(&application, &login, Some(&database)).await?;
            locks.execute("LOCK TABLES t READ").await?;
            let mut one = Client::connect(&application, &login, None).await?;
            let mut other = Client::connect(&application, &login, None).await?;
            let closed = Client::connect(&application, &login, None).await?;
            closed.close().await;
            let (one, other) = tokio::join!(one.query("SELECT SLEEP(599)"), other.query("SELECT SLEEP(599)"));
            drop(locks);
            one.and(other)
        };
        let stop = async {
            until("the statements run", async || running(server, "SLEEP(599)") == 2).await;
            testing::cancel();
        };
        let (outcome, ()) = tokio::join!(stoppable(&application, &login, work), stop);
        assert_eq!(outcome, Err(Error::Failed("cancelled".into())));
        until("the server goes on", async || {
            let left = "select count(*) from information_schema.processlist where user = 'stopped'";
            server.mysql(left).expect("counted") == "0"
        })
        .await;
        server.mysql(&format!("set lock_wait_timeout = 1; drop table {database}.t")).expect("nothing is locked");
        assert_eq!(testing::logged(), []);
    }
}

#[tokio::test]
async fn peers_that_are_no_mysql_are_told_so() {
    let answer = async |bytes: &[u8]| {
        let (connection, heard) = peer(bytes.to_vec());
        let error = Client::open(connection, &Login::new("u", Some("hunter2"), TlsMode::Disable), None).await;
        assert!(heard.borrow().is_empty());
        error.err().expect("no server")
    };
    for bytes in [&b"220 mail.example ESMTP\r\n"[..], b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let error = answer(bytes).await;
        assert!(matches!(&error, Error::Corrupt(text) if text.contains("is it MySQL or MariaDB")), "{error:?}");
    }
    // MySQL's other protocol, on its port of its own.
    let error = answer(b"\x05\0\0\0\x0b\x08\x05\x1a\0").await;
    assert!(matches!(&error, Error::Corrupt(text) if text.contains("3306")), "{error:?}");
    let full = answer(&packet(0, b"\xff\x10\x04Too many connections")).await;
    assert!(
        matches!(&full, Error::Unavailable(text) if text.contains("Too many connections (server error 1040)")),
        "{full:?}"
    );
    assert!(matches!(answer(b"").await, Error::Unavailable(_)));
    // PostgreSQL and HTTP wait for the client to speak.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = silent.local_addr().expect("a port").port();
    let error = open(&at(port, "u", None, &[("connect_timeout", "1")])).await.err();
    assert!(matches!(&error, Some(Error::Unavailable(text)) if text.contains("is it MySQL or MariaDB")), "{error:?}");
}

const SSL: u32 = 1 << 11;

#[tokio::test]
async fn required_tls_is_never_left_out() {
    let login = Login::new("u", Some("hunter2"), TlsMode::Require);
    let answer = async |bytes: Vec<u8>| {
        let (connection, heard) = peer(bytes);
        let error = Client::open(connection, &login, None).await.err().expect("no TLS natively");
        // Neither the user's name nor a hash of the password goes before TLS.
        assert!(heard.borrow().len() <= 4 + 32, "{:?}", heard.borrow());
        error
    };
    let refused = answer(greeting(0, "mysql_native_password")).await;
    assert!(matches!(&refused, Error::Denied(text) if text.contains("tlsMode")), "{refused:?}");
    // An attacker's bytes behind the greeting, to be taken for the server's own.
    let stuffed = answer([greeting(SSL, "mysql_native_password"), packet(2, &[0, 0, 0, 2, 0, 0, 0])].concat()).await;
    assert!(matches!(&stuffed, Error::Corrupt(text) if text.contains("before TLS")), "{stuffed:?}");
    assert!(matches!(answer(greeting(SSL, "")).await, Error::Unsupported(_)), "only the host does TLS");
    for server in servers() {
        let application = application(server, Mysql::USER, Some(server.password()));
        let connection = application.connect(None).await.expect("connected");
        let refused = Client::open(connection, &login, None).await.err();
        assert!(matches!(&refused, Some(Error::Denied(text)) if text.contains("tlsMode")), "{refused:?}");
    }
}

#[tokio::test]
async fn no_server_gets_the_password_in_the_clear_without_tls() {
    let login = Login::new("u", Some("hunter2"), TlsMode::Disable);
    let answer = async |plugin: &str, payload: &[u8]| {
        let (connection, heard) = peer([greeting(0, plugin), packet(2, payload)].concat());
        let error = Client::open(connection, &login, None).await.err().expect("no session");
        let heard = heard.borrow();
        assert!(!heard.windows(7).any(|bytes| bytes == b"hunter2"), "{plugin}");
        error
    };
    let clear = answer("mysql_clear_password", b"\xfemysql_clear_password\0").await;
    assert!(matches!(&clear, Error::Denied(text) if text.contains("mysql_clear_password")), "{clear:?}");
    let old = answer("mysql_native_password", b"\xfe").await;
    assert!(matches!(&old, Error::Unsupported(text) if text.contains("mysql_old_password")), "{old:?}");
    let other = answer("caching_sha2_password", b"\xfeauth_gssapi_client\0x").await;
    assert!(matches!(&other, Error::Unsupported(text) if text.contains("auth_gssapi_client")), "{other:?}");
    // Keys that are none.
    for key in [&b"\x01"[..], b"\x01-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", b"\x01\xff\xff"] {
        for plugin in ["sha256_password", "caching_sha2_password"] {
            let error = answer(plugin, key).await;
            assert!(matches!(&error, Error::Corrupt(_)), "{plugin}: {error:?}");
        }
    }
}

#[tokio::test]
async fn what_the_address_says_is_done_or_refused() {
    let login = |parameters: &[(&str, &str)]| Login::from_binding(&at(1, "u", None, parameters));
    let known = login(&[("database", "shop"), ("connect_timeout", "7")]).expect("known");
    assert_eq!((known.database.as_deref(), known.connect_timeout), (Some("shop"), Duration::from_secs(7)));
    for (key, remedy) in [
        ("sslMode", "clientConfig.tlsMode"),
        ("ssl-ca", "clientConfig.caBundle"),
        ("password", "secret"),
        ("schema", "path of clientConfig.url"),
        ("charset", "settings of their own"),
        ("allowMultiQueries", "remove it"),
    ] {
        let refused = login(&[("database", "shop"), (key, "hunter2")]).err();
        let Some(Error::InvalidParameter(text)) = refused else { panic!("{key}: {refused:?}") };
        assert!(text.contains(key) && text.contains(remedy) && !text.contains("hunter2"), "{text}");
    }
    assert!(login(&[("connect_timeout", "soon")]).is_err() && login(&[("connect_timeout", "0")]).is_err());
    let nobody = testing::application(Binding::default(), &[], async || Err(Error::Failed("no".into())));
    assert!(matches!(Login::from_binding(&nobody), Err(Error::Denied(text)) if text.contains("username")));
}
