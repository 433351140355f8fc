//! What a dump would lose without a word, were it not looked for.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::dumping::{client, database, dump, dump_as, dump_before, name, query, restore, server, servers};
use super::{other, same};
use coffer_addon::Error;
use coffer_test_servers::mysql::{Mysql, MysqlOptions, MysqlVersion};

fn mariadbs() -> impl Iterator<Item = MysqlVersion> {
    MysqlVersion::SUPPORTED.into_iter().filter(|version| version.is_mariadb())
}

#[tokio::test]
async fn a_sequence_stands_behind_the_rows_that_have_its_values() {
    for version in mariadbs() {
        let server = server(version);
        let database = database(
            server,
            "CREATE TABLE a (id bigint PRIMARY KEY); CREATE SEQUENCE s CACHE 10; INSERT INTO a SELECT NEXTVAL(s)",
        );
        let sql = format!("USE {database}; INSERT INTO a SELECT NEXTVAL(s) FROM seq_1_to_500");
        let parameters = format!(r#"{{"databases": ["{database}"]}}"#);
        let dumped =
            dump_before(server, &parameters, &["BACKUP STAGE BLOCK_COMMIT"], move || drop(query(server, &sql)));
        let dumped = dumped.await.expect("dumped");
        assert_eq!(dumped.fact("rows"), "501");
        let set = dumped.index().databases[0].sequences[0].set.text().into_owned();
        let next = set.split(", ").nth(1).and_then(|next| next.parse::<u32>().ok()).expect("a number");
        assert!(next > 501, "{set}");
    }
}

#[tokio::test]
async fn columns_that_the_account_may_not_read_are_an_error() {
    for server in servers() {
        let invisible = if server.version().is_mariadb() { "y int INVISIBLE" } else { "y int DEFAULT NULL INVISIBLE" };
        for (hidden, visible) in [("y int", "x"), (invisible, "x")] {
            let tables = format!("CREATE TABLE a (x int, {hidden}); CREATE TABLE b (x int)");
            let database = database(server, &tables);
            // Another test restores all accounts.
            query(other(server.version()), &format!("CREATE DATABASE {database}; USE {database}; {tables}"));
            let user = name();
            query(
                server,
                &format!(
                    "CREATE USER {user} IDENTIFIED BY 'pw'; GRANT SELECT ({visible}), TRIGGER ON {database}.a TO {user}; \
                     GRANT SELECT ON {database}.b TO {user}"
                ),
            );
            let parameters = |include: &str| {
                format!(r#"{{"databases": ["{database}"], "dataOnly": true, "include": ["{include}"]}}"#)
            };
            let named =
                dump_as(server, (&user, "pw"), &parameters(&format!("{database}.a"))).await.map(|dumped| dumped.report);
            assert!(
                matches!(&named, Err(Error::Denied(text)) if text.contains("all columns") && text.contains(&format!("{database}.a"))),
                "{hidden} on {}: {named:?}",
                server.version().name()
            );
            dump_as(server, (&user, "pw"), &parameters(&format!("{database}.b"))).await.expect("dumped");
            let by_pattern = dump_as(server, (&user, "pw"), &parameters("*.b*")).await.map(|dumped| dumped.report);
            assert!(matches!(&by_pattern, Err(Error::Denied(text)) if text.contains("tables of")), "{by_pattern:?}");
        }
    }
}

#[tokio::test]
async fn a_view_without_what_it_reads_is_named() {
    for source in servers() {
        let other_database = database(source, "CREATE TABLE far (x int)");
        let database = database(
            source,
            &format!(
                "CREATE TABLE a (x int); CREATE TABLE b (x int); CREATE VIEW v AS SELECT x AS b FROM a ORDER BY b; \
                 CREATE VIEW w AS SELECT a.x FROM a JOIN b USING (x); CREATE VIEW z AS SELECT * FROM w; \
                 CREATE VIEW f AS SELECT * FROM {other_database}.far; CREATE VIEW i AS SELECT * FROM information_schema.SCHEMATA"
            ),
        );
        let parameters = |more: &str| format!(r#"{{"databases": ["{database}"], "exclude": ["*.b"]{more}}}"#);
        let refused = dump(source, &parameters("")).await.map(|dumped| dumped.report);
        let names = [
            format!("view {database}.w (it reads from {database}.b"),
            format!("view {database}.z ("),
            format!("view {database}.f ("),
        ];
        assert!(
            matches!(&refused, Err(Error::Unsupported(text)) if names.iter().all(|name| text.contains(name)) && !text.contains(".v (")),
            "{refused:?}"
        );
        let dumped = dump(source, &parameters(r#", "allowUnsupported": true"#)).await.expect("dumped");
        let views: Vec<String> = dumped.index().views.into_iter().map(|view| view.name).collect();
        assert_eq!(views, ["i", "v"]);
        assert_eq!(dumped.fact("filtered"), format!("databases: {database}; exclude: *.b"));
        restore(other(source.version()), "{}", dumped.files).await.expect("restored");
    }
}

#[tokio::test]
async fn a_row_that_no_restore_could_hold_is_refused_by_name() {
    let server = server(MysqlVersion::MySql97);
    let database =
        database(server, "CREATE TABLE a (x longblob); INSERT INTO a VALUES (REPEAT('x', 25 * 1024 * 1024))");
    let parameters = |more: &str| format!(r#"{{"databases": ["{database}"]{more}}}"#);
    let refused = dump(server, &parameters("")).await.map(|dumped| dumped.report);
    assert!(
        matches!(&refused, Err(Error::Unsupported(text)) if text.contains(&format!("{database}.a")) && text.contains("allowUnsupported")),
        "{refused:?}"
    );
    let dumped = dump(server, &parameters(r#", "allowUnsupported": true"#)).await.expect("dumped");
    assert!(dumped.fact("unsupported").contains(&format!("{database}.a")));
}

#[tokio::test]
async fn a_row_that_no_dump_could_hold_is_refused_by_name_before_it_is_held() {
    for server in servers() {
        // As many bytes as its statement has, and half as many; either is more than is held.
        for rows in [
            "(x longtext); INSERT INTO a VALUES (REPEAT('x', 60000000))",
            "(x longtext, y longblob); INSERT INTO a VALUES ('', ''), (REPEAT('x', 10000000), REPEAT('x', 45000000))",
        ] {
            let rows = rows.replace("INSERT", "SET SESSION sql_log_bin = 0; INSERT");
            let database = database(server, &format!("CREATE TABLE a {rows}"));
            for (more, limit) in [("", "33554432"), (r#", "allowUnsupported": true"#, "exclude the table")] {
                let refused = dump(server, &format!(r#"{{"databases": ["{database}"]{more}}}"#)).await;
                let refused = refused.map(|dumped| dumped.report);
                assert!(
                    matches!(&refused, Err(Error::Unsupported(text)) if text.contains(&format!("{database}.a")) && text.contains(limit)),
                    "{}: {refused:?}",
                    server.version().name()
                );
            }
        }
    }
}

#[tokio::test]
async fn comments_of_programs_come_back_whatever_a_backslash_is() {
    for source in servers() {
        let copy = other(source.version());
        let database = database(
            source,
            "SET sql_mode = 'NO_BACKSLASH_ESCAPES'; \
             CREATE PROCEDURE p() COMMENT 'a\\b''c\\n \n é' SELECT 'COMMENT ''a\\b'; \
             CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE COMMENT 'x\\y' DO SELECT 1; \
             SET sql_mode = ''; CREATE FUNCTION f() RETURNS int COMMENT 'it''s \\\\ \\n' DETERMINISTIC RETURN 1",
        );
        let comments = |server: &Mysql| {
            query(
                server,
                &format!(
                    "SELECT ROUTINE_NAME, HEX(ROUTINE_COMMENT), ROUTINE_DEFINITION FROM information_schema.ROUTINES \
                     WHERE ROUTINE_SCHEMA = '{database}' ORDER BY 1; \
                     SELECT HEX(EVENT_COMMENT) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '{database}'"
                ),
            )
        };
        assert!(
            comments(source).contains(&hex("a\\b'c\\n \n é")) && comments(source).contains(&hex("x\\y")),
            "{}",
            comments(source)
        );
        let dumped = dump(source, &format!(r#"{{"databases": ["{database}"]}}"#)).await.expect("dumped");
        client(copy, &dumped.files);
        assert_eq!(comments(copy), comments(source), "by mysql");
        query(copy, &format!("DROP DATABASE {database}"));
        restore(copy, "{}", dumped.files).await.expect("restored");
        assert_eq!(comments(copy), comments(source), "by the addon");
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02X}")).collect()
}

#[tokio::test]
async fn rows_that_break_a_check_come_back() {
    for version in mariadbs() {
        let (source, copy) = (server(version), other(version));
        let database = database(
            source,
            "CREATE TABLE a (x int CHECK (x > 0)); SET check_constraint_checks = 0; INSERT INTO a VALUES (-1), (1)",
        );
        let parameters = format!(r#"{{"databases": ["{database}"]}}"#);
        client(copy, &dump(source, &parameters).await.expect("dumped").files);
        same(source, copy, &database);
        query(copy, &format!("DROP DATABASE {database}"));
        restore(copy, "{}", dump(source, &parameters).await.expect("dumped").files).await.expect("restored");
        same(source, copy, &database);
    }
}

#[tokio::test]
async fn an_empty_member_of_a_set_is_not_nothing() {
    let more: Vec<String> = (2..64).map(|n| format!("'m{n}'")).collect();
    for source in servers() {
        let copy = other(source.version());
        let database = database(
            source,
            &format!(
                "CREATE TABLE a (id int PRIMARY KEY, x set('', 'a', {}), y set('it''s', 'b')); \
                 INSERT INTO a VALUES (1, 0, 1), (2, 1, 2), (3, 2, 3), (4, 3, 0), (5, 18446744073709551615, 1), (6, NULL, NULL)",
                more.join(", ")
            ),
        );
        let dumped = dump(source, &format!(r#"{{"databases": ["{database}"]}}"#)).await.expect("dumped");
        client(copy, &dumped.files);
        let numbers = format!("SELECT id, HEX(CAST(x AS UNSIGNED)), CAST(y AS UNSIGNED) FROM {database}.a ORDER BY id");
        assert!(query(source, &numbers).contains("FFFFFFFFFFFFFFFF"));
        assert_eq!(query(copy, &numbers), query(source, &numbers));
    }
}

#[tokio::test]
async fn what_is_said_to_be_left_out_is() {
    for source in servers() {
        let database = database(
            source,
            "CREATE TABLE a (x int); CREATE TABLE `b;\nc` (x int); INSERT INTO `b;\nc` VALUES (1); \
             CREATE TABLE c (`x;\ny` int); INSERT INTO c VALUES (1); \
             CREATE TRIGGER t BEFORE INSERT ON `b;\nc` FOR EACH ROW SET @x = 1",
        );
        let parameters = |more: &str| format!(r#"{{"databases": ["{database}"]{more}}}"#);
        let refused = dump(source, &parameters("")).await.map(|dumped| dumped.report);
        assert!(matches!(&refused, Err(Error::Unsupported(text)) if text.contains("semicolon")), "{refused:?}");
        let dumped = dump(source, &parameters(r#", "allowUnsupported": true"#)).await.expect("dumped");
        let index = dumped.index();
        let tables: Vec<&str> = index.databases[0].tables.iter().map(|table| table.name.as_str()).collect();
        assert_eq!((tables, index.databases[0].triggers.len()), (vec!["a"], 0));
        restore(other(source.version()), "{}", dumped.files).await.expect("restored");
    }
}

#[tokio::test]
async fn names_with_dots_are_told_apart() {
    for source in servers() {
        let copy = other(source.version());
        let one = name();
        let two = format!("{one}.x");
        query(
            source,
            &format!(
                "CREATE DATABASE {one}; CREATE DATABASE `{two}`; CREATE TABLE {one}.`x.t` (a int); CREATE TABLE `{two}`.t (a int); \
                 INSERT INTO {one}.`x.t` VALUES (1), (2), (3); INSERT INTO `{two}`.t VALUES (4)"
            ),
        );
        let parameters = |more: &str| format!(r#"{{"databases": ["{one}", "{two}"]{more}}}"#);
        let refused = dump(source, &parameters(&format!(r#", "where": {{"{one}.x.t": "a > 1"}}"#))).await;
        let refused = refused.map(|dumped| dumped.report);
        assert!(matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains("two tables")), "{refused:?}");
        let dumped = dump(source, &parameters("")).await.expect("dumped");
        restore(copy, "{}", dumped.files).await.expect("restored");
        assert_eq!(query(copy, &format!("SELECT COUNT(*) FROM {one}.`x.t`")).trim(), "3");
    }
}

#[tokio::test]
async fn libraries_and_rows_elsewhere_are_told() {
    for server in servers() {
        let database =
            database(server, "CREATE TABLE a (x int) ENGINE = MyISAM; CREATE TABLE m (x int) ENGINE = MERGE UNION (a)");
        let parameters = format!(r#"{{"databases": ["{database}"]}}"#);
        coffer_addon::testing::logged();
        dump(server, &parameters).await.expect("dumped");
        let logged = coffer_addon::testing::logged();
        assert!(
            logged
                .iter()
                .any(|(_, text)| text.contains("only the definitions") && text.contains(&format!("{database}.m"))),
            "{logged:?}"
        );
        if server.version().is_mariadb() {
            continue;
        }
        query(
            server,
            &format!("CREATE LIBRARY {database}.l LANGUAGE JAVASCRIPT AS 'export function f() {{ return 1 }}'"),
        );
        let refused = dump(server, &parameters).await.map(|dumped| dumped.report);
        assert!(
            matches!(&refused, Err(Error::Unsupported(text)) if text.contains(&format!("library {database}.l"))),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn what_everybody_is_granted_is_dumped() {
    for version in mariadbs() {
        // Of its own: it lets everybody see what tests of privileges hide.
        let server = &Mysql::start(version, &MysqlOptions::default()).expect("a server");
        let database = database(server, "CREATE TABLE a (x int)");
        query(server, &format!("GRANT SELECT ON {database}.* TO PUBLIC"));
        let parameters = format!(r#"{{"databases": ["{database}"], "users": true}}"#);
        let dumped = dump(server, &parameters).await.expect("dumped");
        let mut index = dumped.index();
        index.accounts.retain(|account| account.name == "PUBLIC");
        assert_eq!(index.accounts.len(), 1);
        let remove = || query(server, &format!("REVOKE SELECT ON {database}.* FROM PUBLIC; DROP DATABASE {database}"));
        remove();
        client(server, &dumped.files);
        assert!(query(server, "SHOW GRANTS FOR PUBLIC").contains(&database));
        remove();
        // The server's other accounts stay.
        let mut files = dumped.files;
        files[0].bytes = Ok(index.to_bytes().expect("written"));
        restore(server, r#"{"users": true, "overwrite": true}"#, files).await.expect("restored");
        assert!(query(server, "SHOW GRANTS FOR PUBLIC").contains(&database));
    }
}
