//! mysql-restore into real servers: dumps that are whole, and dumps that are not.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

#[path = "restoring/careful.rs"]
mod careful;
#[path = "restoring/hostile.rs"]
mod hostile;
#[path = "restoring/interrupted.rs"]
mod interrupted;
#[path = "restoring/keys.rs"]
mod keys;
mod restoring;
mod support;
#[path = "restoring/whole.rs"]
mod whole;

use coffer_addon::Error;
use coffer_addon::testing::Written;
use coffer_test_servers::mysql::{Mysql, MysqlOptions, MysqlVersion};
use restoring::{HEAD, Small, artifact, dump, fact, name, restore, restore_as};
use support::{server, start, supported};

const OWN: &str = "coffer@%";

fn query(server: &Mysql, sql: &str) -> String {
    server.mysql(sql).expect("answered")
}

/// All that a small dump makes, in a line.
fn seen(server: &Mysql, database: &str) -> String {
    query(
        server,
        &format!(
            "USE {database}; SELECT GROUP_CONCAT(CONCAT(id, name, mood, '.') ORDER BY id SEPARATOR ' ') FROM customers; \
             SELECT COUNT(*) FROM log; SELECT owed FROM debts ORDER BY name; SELECT event_name, status FROM \
             information_schema.events WHERE event_schema = '{database}'; \
             INSERT INTO orders VALUES (9, 1, 0.25); SELECT entry FROM log; SELECT owed FROM debts ORDER BY name; \
             DELETE FROM orders WHERE id = 9; DELETE FROM log"
        ),
    )
}

const ALL: &str = "1Müller;\\ngood. 2it's.\n0\n6.75\n7.00\nsweep\tDISABLED\norder 9\n6.75\n7.25";

#[tokio::test]
async fn a_dump_is_restored_in_full_and_its_triggers_act_only_later() {
    for server in supported() {
        for jobs in [1, 3] {
            let database = name();
            let small = Small::new(&database, OWN);
            let report = restore(server, &format!(r#"{{"jobs": {jobs}}}"#), small.artifacts()).await.expect("restored");
            assert_eq!(seen(server, &database), ALL);
            let bytes: usize = small.files.iter().map(|file| file.bytes.as_ref().map_or(0, Vec::len)).sum();
            let facts = ["databases", "tables", "rows", "bytes"].map(|name| fact(&report, name).to_string());
            assert_eq!(facts, [database, "3".into(), "5".into(), bytes.to_string()]);
        }
    }
}

#[tokio::test]
async fn what_is_there_is_left_alone_unless_overwritten() {
    for server in supported() {
        let database = name();
        let small = Small::new(&database, OWN);
        query(server, &format!("CREATE DATABASE {database}; CREATE TABLE {database}.precious (a int)"));
        let refused = restore(server, "{}", small.artifacts()).await;
        assert!(
            matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains("table precious") && text.contains(&database) && text.contains("overwrite")),
            "{refused:?}"
        );
        assert_eq!(query(server, &format!("SHOW TABLES FROM {database}")), "precious");
        // Once over another's, once over itself with other rows; what the dump has not, stays.
        query(server, &format!("CREATE VIEW {database}.log AS SELECT 1 AS x"));
        for _ in 0..2 {
            restore(server, r#"{"overwrite": true}"#, small.artifacts()).await.expect("restored");
            assert_eq!(seen(server, &database), ALL);
            query(server, &format!("DELETE FROM {database}.orders; DROP VIEW {database}.debts"));
        }
        assert_eq!(query(server, &format!("SELECT COUNT(*) FROM {database}.precious")), "0");
    }
}

#[tokio::test]
async fn a_database_gets_another_name_in_all_that_refers_to_it() {
    for server in supported() {
        let (database, copy) = (name(), name());
        let small = Small::new(&database, OWN);
        let report = restore(server, &format!(r#"{{"rename": {{"{database}": "{copy}"}}}}"#), small.artifacts()).await;
        assert_eq!(fact(&report.expect("restored"), "databases"), copy);
        // There is no database of the old name that anything could have looked at.
        assert_eq!(seen(server, &copy), ALL);
        assert_eq!(query(server, &format!("SHOW DATABASES LIKE '{database}'")), "");

        for (parameters, wanted) in [
            (r#"{"rename": {"nobody": "x"}}"#.to_string(), format!("no database nobody, only {database}")),
            (format!(r#"{{"rename": {{"{database}": "mysql"}}}}"#), "the server's own".into()),
            (r#"{"users": true}"#.into(), "the dump has no users".into()),
        ] {
            let refused = restore(server, &parameters, small.artifacts()).await;
            assert!(matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains(&wanted)), "{refused:?}");
        }
    }
}

#[tokio::test]
async fn definers_have_to_be_there_or_give_way() {
    for server in supported() {
        let database = name();
        let small = Small::new(&database, "gone@%");
        let refused = restore(server, "{}", small.artifacts()).await;
        assert!(
            matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains("gone@%") && text.contains("definer to current")),
            "{refused:?}"
        );
        assert_eq!(query(server, &format!("SHOW DATABASES LIKE '{database}'")), "");
        restore(server, r#"{"definer": "current"}"#, small.artifacts()).await.expect("restored");
        assert_eq!(seen(server, &database), ALL);
        let definers = "SELECT DISTINCT definer FROM information_schema.";
        let of = |what: &str, column: &str| query(server, &format!("{definers}{what} WHERE {column} = '{database}'"));
        assert_eq!(of("views", "table_schema"), OWN);
        assert_eq!(of("routines", "routine_schema"), OWN);
        assert_eq!(of("triggers", "trigger_schema"), OWN);
        assert_eq!(of("events", "event_schema"), OWN);
    }
}

#[tokio::test]
async fn to_make_what_belongs_to_others_takes_a_privilege() {
    for server in supported() {
        let (database, user) = (name(), name());
        query(server, &format!("CREATE USER {user} IDENTIFIED BY 'pw'; GRANT ALL ON {database}.* TO {user}"));
        let small = Small::new(&database, OWN);
        let denied = restore_as(server, (&user, "pw"), "{}", small.artifacts()).await;
        assert!(
            matches!(&denied, Err(Error::Denied(text)) if text.contains(OWN) && text.contains("SET_ANY_DEFINER") && text.contains("SET USER")),
            "{denied:?}"
        );
        assert_eq!(query(server, &format!("SHOW DATABASES LIKE '{database}'")), "");
        // Functions on a server with a binary log take another one, as the server says.
        query(server, "SET GLOBAL log_bin_trust_function_creators = ON");
        let restored = restore_as(server, (&user, "pw"), r#"{"definer": "current"}"#, small.artifacts()).await;
        restored.expect("restored");
        assert_eq!(
            query(server, &format!("SELECT definer FROM information_schema.views WHERE table_schema = '{database}'")),
            format!("{user}@%")
        );

        let wrong = restore_as(server, (&user, "guess"), "{}", small.artifacts()).await;
        assert!(matches!(&wrong, Err(Error::Denied(text)) if text.contains("wrong user or password")), "{wrong:?}");
        assert!(!format!("{wrong:?}").contains("guess"));
    }
}

#[tokio::test]
async fn users_come_with_their_privileges_and_those_that_are_there_stay() {
    for server in supported() {
        let (database, copy, user) = (name(), name(), name());
        let small = Small::new(&database, &format!("{user}@%")).with_account(
            &format!("`{user}`@`%`"),
            &format!("CREATE USER `{user}`@`%` IDENTIFIED BY 'hunter2'"),
            &format!("GRANT SELECT, EXECUTE ON `{}`.* TO `{user}`@`%`", database.replace('_', "\\_")),
        );
        let parameters = format!(r#"{{"users": true, "rename": {{"{database}": "{copy}"}}}}"#);
        restore(server, &parameters, small.artifacts()).await.expect("restored");
        let grants = query(server, &format!("SHOW GRANTS FOR {user}"));
        assert!(grants.contains(&copy.replace('_', "\\\\_")) || grants.contains(&copy.replace('_', "\\_")), "{grants}");
        assert!(!grants.contains(&database), "{grants}");

        // The second time it is there, and its password is nobody's business.
        query(server, &format!("ALTER USER {user} IDENTIFIED BY 'other'; DROP DATABASE {copy}"));
        restore(server, &parameters, small.artifacts()).await.expect("restored");
        let as_other = restore_as(server, (&user, "other"), "{}", Vec::new()).await;
        assert!(
            matches!(&as_other, Err(Error::Corrupt(text)) if text.contains("coffer.json did not come")),
            "{as_other:?}"
        );

        let broken = Small::new(&name(), OWN).with_account(
            "`x`@`%`",
            "CREATE USER `x`@`%` IDENTIFIED WITH nonsense BY 'hunter2'",
            "GRANT USAGE ON *.* TO `x`@`%`",
        );
        let failed = restore(server, r#"{"users": true}"#, broken.artifacts()).await.expect_err("nonsense");
        let text = failed.message();
        assert!(text.contains("unable to make user `x`@`%`") && !text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn it_stops_at_the_first_error_and_names_the_object() {
    for server in supported() {
        let mut small = Small::new(&name(), OWN);
        small.index.views[0].create = "CREATE VIEW `debts` AS select 'hunter2' from `missing`".into();
        let failed = restore(server, "{}", small.artifacts()).await.expect_err("no such table");
        let text = failed.message();
        assert!(
            text.contains("view `") && text.contains("`debts`") && text.contains("1146") && !text.contains("hunter2"),
            "{text}"
        );

        // Twice the same: the key is named, the value is not.
        let database = name();
        let mut small = Small::new(&database, OWN);
        small.files[1] = artifact(
            &format!("{database}.customers.00001.sql"),
            "INSERT INTO `customers` (`id`,`name`,`mood`) VALUES(1,'hunter2','good')\n;\n",
        );
        let failed = restore(server, r#"{"jobs": 1}"#, small.artifacts()).await.expect_err("twice");
        let text = failed.message();
        assert!(text.contains("`customers`") && text.contains(".customers.0000") && text.contains("PRIMARY"), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("INSERT"), "{text}");
    }
}

#[tokio::test]
async fn a_value_that_would_be_changed_is_an_error() {
    for server in supported() {
        for (value, code) in
            [("3,'much too long for the column it is in','bad'", "1265"), ("99999999999,'x','bad'", "1264")]
        {
            let database = name();
            let mut small = Small::new(&database, OWN);
            small.files[2] = artifact(
                &format!("{database}.customers.00000.sql"),
                format!("INSERT INTO `customers` (`id`,`name`,`mood`) VALUES(1,'a',0)\n,({value})\n;\n"),
            );
            let failed = restore(server, "{}", small.artifacts()).await;
            assert!(
                matches!(&failed, Err(Error::Corrupt(text)) if text.contains("`customers`") && text.contains("change a value") && text.contains(code)),
                "{failed:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_dump_that_is_not_whole_never_restores_well() {
    let Some(server) = server(MysqlVersion::MariaDb118) else { return };
    let database = name();
    let small = Small::new(&database, OWN);
    let whole = small.artifacts();
    let run = async |dump: Vec<Written>| {
        query(server, &format!("DROP DATABASE IF EXISTS {database}"));
        restore(server, "{}", dump).await.expect_err("not whole")
    };
    let changed = |place: usize, change: &dyn Fn(&mut Vec<u8>)| {
        let mut dump = whole.clone();
        if let Ok(bytes) = &mut dump[place].bytes {
            change(bytes);
        }
        dump
    };
    let without = |place: usize| [&whole[..place], &whole[place + 1..]].concat();
    let last = whole.len() - 1;

    for (dump, wanted) in [
        (Vec::new(), "coffer.json did not come"),
        (whole.iter().rev().cloned().collect(), "has to come first, not metadata"),
        (without(0), "has to come first, not test_"),
        (without(2), "`orders` has 1 rows after the restore, the dump had 3"),
        (without(last), "metadata did not come"),
        (changed(last, &|bytes| *bytes = b"# Finished dump\n".to_vec()), "metadata does not say how many rows"),
        (changed(last, &|bytes| bytes.truncate(bytes.len() - 16)), "metadata does not say that the dump was finished"),
        ([&whole[..], &[artifact("shop.sql", "SELECT 1;\n")]].concat(), "shop.sql belongs to no table"),
        ([&whole[..], &whole[2..3]].concat(), "came twice"),
        (changed(0, &|bytes| bytes.truncate(100)), "coffer.json cannot be read"),
        // At a statement's end, so that no grammar notices.
        (changed(2, &|bytes| bytes.truncate(HEAD.len())), "`orders` has 1 rows after the restore, the dump had 3"),
        (changed(2, &|bytes| bytes.truncate(bytes.len() - 1)), "ends in the middle of a statement"),
        (changed(2, &|bytes| *bytes = b"DROP TABLE `log`;\n".to_vec()), "a statement that is no INSERT"),
    ] {
        let error = run(dump).await;
        assert!(matches!(&error, Error::Corrupt(text) if text.contains(wanted)), "{wanted}: {error:?}");
    }

    let mut newer = Small::new(&database, OWN);
    newer.index.format += 1;
    let error = run(newer.artifacts()).await;
    assert!(matches!(&error, Error::Unsupported(text) if text.contains("format 2")), "{error:?}");
    let mut broken = whole.clone();
    broken[2].bytes = Err(Error::Unavailable("the storage went away".into()));
    let error = run(broken).await;
    assert!(
        matches!(&error, Error::Unavailable(text) if text.contains("`orders`") && text.contains("the storage went away")),
        "{error:?}"
    );
}

#[tokio::test]
async fn rows_alone_go_into_tables_that_are_there_and_empty() {
    for server in supported() {
        let database = name();
        let mut small = Small::new(&database, OWN);
        small.index.databases[0].triggers.clear();
        let mut rows = Small::new(&database, OWN);
        rows.index.schema = false;
        let refused = restore(server, "{}", rows.artifacts()).await;
        assert!(matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains("is not there")), "{refused:?}");
        restore(server, "{}", small.artifacts()).await.expect("restored");
        let refused = restore(server, "{}", rows.artifacts()).await;
        assert!(
            matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains("`orders` is not empty") && text.contains("overwrite")),
            "{refused:?}"
        );
        restore(server, r#"{"overwrite": true}"#, rows.artifacts()).await.expect("restored");
        assert_eq!(query(server, &format!("SELECT COUNT(*) FROM {database}.orders")), "3");

        query(
            server,
            &format!(
                "DELETE FROM {database}.orders; DELETE FROM {database}.customers; CREATE TRIGGER {database}.acts BEFORE INSERT ON {database}.orders FOR EACH ROW SET NEW.total = 0"
            ),
        );
        let refused = restore(server, "{}", rows.artifacts()).await;
        assert!(matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains("trigger acts")), "{refused:?}");
    }
}

#[tokio::test]
async fn history_is_replaced_with_the_rows() {
    for version in [MysqlVersion::MariaDb1011, MysqlVersion::MariaDb118] {
        let (Some(server), database) = (server(version), name()) else { continue };
        query(
            server,
            &format!(
                "CREATE DATABASE {database}; USE {database}; CREATE TABLE v (id int PRIMARY KEY, x int) WITH SYSTEM VERSIONING; \
                 INSERT INTO v VALUES (1, 1), (2, 2), (3, 3); UPDATE v SET x = 9 WHERE id = 2; DELETE FROM v WHERE id = 3"
            ),
        );
        let all = format!("SELECT *, row_start, row_end FROM {database}.v FOR SYSTEM_TIME ALL ORDER BY 1, 3");
        let (before, parameters) =
            (query(server, &all), format!(r#"{{"databases": ["{database}"], "dataOnly": true}}"#));
        assert_eq!(before.lines().count(), 4);
        let (_, dump) = dump(server, &parameters).await;
        query(server, &format!("DELETE FROM {database}.v"));
        let refused = restore(server, "{}", dump.clone()).await;
        assert!(
            matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains("`v` is not empty")),
            "{refused:?}"
        );
        restore(server, r#"{"overwrite": true}"#, dump).await.expect("restored");
        assert_eq!(query(server, &all), before);
    }
}

#[tokio::test]
async fn a_statement_that_is_too_large_names_the_setting() {
    let options =
        MysqlOptions { settings: vec![("max-allowed-packet".into(), "16K".into())], ..MysqlOptions::default() };
    for version in [MysqlVersion::MySql97, MysqlVersion::MariaDb118] {
        let Some(server) = start(version, &options) else { continue };
        let mut small = Small::new("large", OWN);
        let row = |length: usize| format!("{HEAD}INSERT INTO `log` (`entry`) VALUES('{}')\n;\n", "x".repeat(length));
        small.metadata = small.metadata.replace("rows = 0", "rows = 1");
        small.files.push(artifact("large.log.00000.sql", row(15_000)));
        restore(&server, "{}", small.artifacts()).await.expect("restored");
        // Just too large, and far too large for any buffer that grows until the end.
        for length in [16_384, 3_000_000] {
            small.files[3] = artifact("large.log.00000.sql", row(length));
            let failed = restore(&server, r#"{"overwrite": true}"#, small.artifacts()).await;
            assert!(
                matches!(&failed, Err(Error::Unsupported(text)) if text.contains("max_allowed_packet") && text.contains("`log`")),
                "{failed:?}"
            );
        }
    }
}
