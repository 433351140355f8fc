//! Dumps that somebody has changed who can write to the repository: nothing runs but what makes the dump's own objects.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::restoring::{HEAD, Small, artifact, name, program, restore};
use super::support::supported;
use super::{OWN, query};
use coffer_addon::Error;
use coffer_addon_mysql::layout::{ProgramKind, Sequence, Sql};

#[tokio::test]
async fn a_file_with_rows_has_rows_of_its_table_alone() {
    for server in supported() {
        let (database, other) = (name(), name());
        query(server, &format!("CREATE DATABASE {other}; CREATE TABLE {other}.safe (a int primary key, b text)"));
        for rows in [
            format!("INSERT INTO `{other}`.`safe` (`a`,`b`) VALUES(1,'x')"),
            "INSERT INTO `log` (`entry`) VALUES('x')".into(),
            "INSERT INTO `orders` (`id`,`customer`) VALUES(3,2)".into(),
            "INSERT INTO `orders` (`id`,`customer`,`total`) SELECT 3,2,1".into(),
            "INSERT INTO `orders` (`id`,`customer`,`total`) VALUES(3,2,(SELECT LOAD_FILE('/etc/passwd')))".into(),
            "INSERT INTO `orders` (`id`,`customer`,`total`) VALUES(3,2,1)\n ON DUPLICATE KEY UPDATE total = 0".into(),
            format!("INSERT INTO `orders` (`id`,`customer`,`total`) VALUES(3,2,1); DROP TABLE {other}.safe"),
            format!("INSERT INTO `orders` (`id`,`customer`,`total`) VALUES(3,2,1)/*!; DROP TABLE {other}.safe */"),
        ] {
            query(server, &format!("DROP DATABASE IF EXISTS {database}"));
            let mut small = Small::new(&database, OWN);
            small.files[1] = artifact(&format!("{database}.orders.00001.sql"), format!("{HEAD}{rows}\n;\n"));
            let refused = restore(server, r#"{"jobs": 1}"#, small.artifacts()).await;
            assert!(
                matches!(&refused, Err(Error::Corrupt(text)) if text.contains("`orders`") && text.contains("it has a statement")),
                "{rows}: {refused:?}"
            );
            assert_eq!(query(server, &format!("SELECT COUNT(*) FROM {other}.safe")), "0");
        }
    }
}

/// A change of a small dump of a database.
type Change = fn(&mut Small, &str);

#[tokio::test]
async fn an_index_makes_what_it_lists_and_nothing_else() {
    let changes: [(&str, Change); 22] = [
        ("database", |small, _| small.index.databases[0].create = "DROP DATABASE precious".into()),
        ("database", |small, _| small.index.databases[0].create = "CREATE DATABASE `other`".into()),
        ("table", |small, _| table(small, "DROP TABLE `log`")),
        ("table", |small, _| table(small, "CREATE TABLE `other` (`entry` text)")),
        ("table", |small, _| table(small, "CREATE OR REPLACE TABLE `log` (`entry` text)")),
        ("table", |small, _| table(small, "CREATE TABLE `log`.`log` (`entry` text)")),
        ("table", |small, _| table(small, "CREATE TABLE `log` (`entry` text) SELECT user AS entry FROM mysql.user")),
        ("table", |small, _| table(small, "CREATE TABLE `log` (`entry` text) TABLE mysql.user")),
        ("table", |small, _| table(small, "CREATE TABLE `log` (`entry` text) /*!99999 '*/ SELECT 1 /*!99999 '*/")),
        ("table", |small, _| table(small, "CREATE TABLE `log` (`entry` text) /*!99999 -- */ SELECT 1\n")),
        ("table", |small, _| table(small, "CREATE TABLE `log` (`entry` text); DROP USER coffer")),
        ("table", |small, _| table(small, "CREATE /*!99999 TABLE `log` */ USER `eve`@`%` -- (")),
        ("sequence", |small, database| {
            small.index.databases[0].sequences.push(Sequence {
                name: "s".into(),
                file: format!("{database}.s"),
                create: "CREATE SEQUENCE `s` start with 1".into(),
                set: "DO SETVAL(`s`, 1, 0), SLEEP(60)".into(),
            });
        }),
        ("function", |small, _| small.index.databases[0].routines[0].create = "CREATE USER eve".into()),
        ("trigger", |small, _| {
            small.index.databases[0].triggers[0].create =
                "CREATE TRIGGER `noted` AFTER INSERT ON `customers` FOR EACH ROW SET @a = 1".into();
        }),
        ("event", |small, _| {
            small.index.databases[0].events[0].create =
                "CREATE EVENT `mysql`.`sweep` ON SCHEDULE EVERY 1 YEAR DO DROP TABLE mysql.user".into();
        }),
        ("view", |small, _| small.index.databases[0].events[0].kind = ProgramKind::View),
        ("view", |small, _| small.index.views[0].create = "CREATE OR REPLACE VIEW `debts` AS select 1".into()),
        ("view", |small, _| small.index.views[0].database = "mysql".into()),
        ("view", |small, _| small.index.views[0].create = "CREATE /*!99999 VIEW `debts` AS*/ USER eve".into()),
        ("account", |small, _| account(small, "`eve`@`%`", "DROP USER `coffer`@`%`", "GRANT USAGE ON *.* TO eve")),
        ("account", |small, _| account(small, "`eve`@`%`", "CREATE USER `eve`@`%`", "SET PASSWORD FOR coffer = 'x'")),
    ];
    for server in supported() {
        for (number, (wanted, change)) in changes.iter().enumerate() {
            let database = name();
            let mut small = Small::new(&database, OWN);
            change(&mut small, &database);
            let users = !small.index.accounts.is_empty();
            let refused = restore(server, &format!(r#"{{"users": {users}}}"#), small.artifacts()).await;
            assert!(
                matches!(&refused, Err(Error::Corrupt(text)) if text.contains("coffer.json") && text.contains(wanted)),
                "{number}: {refused:?}"
            );
            assert_eq!(query(server, &format!("SHOW DATABASES LIKE '{database}'")), "");
        }
        let mut small = Small::new(&name(), OWN);
        account(&mut small, "x; DROP USER coffer", "CREATE USER x", "GRANT USAGE ON *.* TO x");
        let refused = restore(server, r#"{"users": true}"#, small.artifacts()).await;
        assert!(matches!(&refused, Err(Error::Corrupt(_))), "{refused:?}");
    }
}

fn table(small: &mut Small, create: &str) {
    small.index.databases[0].tables[2].create = create.into();
}

fn account(small: &mut Small, name: &str, create: &str, grant: &str) {
    let with = Small { index: small.index.clone(), files: Vec::new(), metadata: String::new() };
    small.index = with.with_account(name, create, grant).index;
}

#[tokio::test]
async fn a_collation_is_a_name_and_never_a_statement() {
    for server in supported() {
        let (database, there) = (name(), name());
        // Once for a database that is there, once for the moment that a program is made in.
        let mut small = Small::new(&there, OWN);
        query(server, &format!("CREATE DATABASE {there}"));
        small.index.databases[0].collation = "utf8mb4_bin ENCRYPTION = 'Y'".into();
        let refused = restore(server, "{}", small.artifacts()).await.expect_err("no collation");
        assert!(refused.message().contains("1273"), "{refused:?}");
        let mut small = Small::new(&database, OWN);
        small.index.databases[0].routines[0].database_collation = Some("utf8mb4_bin ENCRYPTION = 'Y'".into());
        let refused = restore(server, "{}", small.artifacts()).await.expect_err("no collation");
        assert!(refused.message().contains("1273"), "{refused:?}");
    }
}

#[tokio::test]
async fn programs_are_known_however_they_are_worded() {
    for server in supported() {
        let database = name();
        let mut small = Small::new(&database, OWN);
        let of = &mut small.index.databases[0];
        let mut ansi = program(
            ProgramKind::Procedure,
            &database,
            "it's",
            "CREATE DEFINER=\"coffer\"@\"%\" PROCEDURE \"it's\"() SELECT \"id\" FROM orders",
            OWN,
        );
        ansi.sql_mode = Some("ANSI_QUOTES".into());
        let mut latin = program(ProgramKind::Procedure, &database, "b\u{e4}r", "", OWN);
        latin.create = Sql(b"CREATE DEFINER=`coffer`@`%` PROCEDURE `b\xe4r`() SELECT '\xe4\xa0'".to_vec());
        (latin.character_set_client, latin.collation_connection) = ("latin1".into(), "latin1_swedish_ci".into());
        of.routines.extend([ansi, latin]);
        // As users write triggers: the server keeps their words from the name on.
        let text = format!(
            "CREATE DEFINER=`coffer`@`%` trigger if not exists {database} . Noted /* on x */ after insert -- on y\n \
             on {database}.orders for each row insert into log values (concat('order ', NEW.id))"
        );
        of.triggers[0].create = text.into();
        restore(server, "{}", small.artifacts()).await.expect("restored");
        assert_eq!(
            query(
                server,
                &format!("SELECT COUNT(*) FROM information_schema.routines WHERE routine_schema = '{database}'")
            ),
            "3"
        );
        query(server, &format!("INSERT INTO {database}.orders VALUES (9, 1, 0.25)"));
        assert_eq!(query(server, &format!("SELECT entry FROM {database}.log")), "order 9");
    }
}

#[tokio::test]
async fn what_is_listed_twice_or_unknown_is_refused_at_once() {
    for server in supported().take(1) {
        let changes: [(&str, Change); 5] = [
            ("table", |small, _| {
                let again = small.index.databases[0].tables[0].clone();
                small.index.databases[0].tables.push(again);
            }),
            ("file", |small, _| {
                let of = &mut small.index.databases[0].tables;
                of[0].file = of[1].file.clone();
            }),
            ("TRIGGER", |small, _| {
                let again = small.index.databases[0].triggers[0].clone();
                small.index.databases[0].triggers.push(again);
            }),
            ("table", |small, _| {
                let again = small.index.views[0].clone();
                small.index.views.push(again);
            }),
            ("database", |small, _| {
                let again = small.index.databases[0].clone();
                small.index.databases.push(again);
            }),
        ];
        for (wanted, change) in changes {
            let database = name();
            let mut small = Small::new(&database, OWN);
            change(&mut small, &database);
            let refused = restore(server, "{}", small.artifacts()).await;
            assert!(
                matches!(&refused, Err(Error::Corrupt(text)) if text.contains(wanted) && text.contains("twice")),
                "{wanted}: {refused:?}"
            );
            assert_eq!(query(server, &format!("SHOW DATABASES LIKE '{database}'")), "");
        }

        let small = Small::new(&name(), OWN);
        let mut dump = small.artifacts();
        let text = String::from_utf8(dump[0].bytes.clone().expect("an index")).expect("JSON");
        for (old, new) in
            [(r#""engine":"#, r#""compressed":true,"engine":"#), (r#""data":true"#, r#""data":true,"encrypted":true"#)]
        {
            dump[0].bytes = Ok(text.replacen(old, new, 1).into_bytes());
            let refused = restore(server, "{}", dump.clone()).await;
            assert!(
                matches!(&refused, Err(Error::Unsupported(text)) if text.contains("unknown field") && text.contains("version that wrote the dump")),
                "{refused:?}"
            );
        }
    }
}
