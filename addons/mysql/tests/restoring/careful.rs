//! What a restore must not do without a word: empty what it has no rows for, let triggers act, make other objects.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::restoring::{HEAD, Small, artifact, dump, name, restore, restore_as};
use super::support::{start, supported};
use super::{OWN, query};
use coffer_addon::Error;
use coffer_addon::host::Level;
use coffer_addon::testing::logged;
use coffer_addon_mysql::layout::Index;
use coffer_test_servers::mysql::{MysqlOptions, MysqlVersion};

/// Whether it was warned of something with all of these words in it, since the last time it was asked.
fn was_warned(words: &[&str]) -> bool {
    logged().iter().any(|(level, text)| *level == Level::Warn && words.iter().all(|word| text.contains(word)))
}

#[tokio::test]
async fn only_tables_that_the_dump_has_rows_of_are_emptied() {
    for server in supported() {
        let database = name();
        let mut small = Small::new(&database, OWN);
        small.index.databases[0].triggers.clear();
        restore(server, "{}", small.artifacts()).await.expect("restored");
        query(
            server,
            &format!(
                "USE {database}; CREATE TABLE kept (a int) ENGINE=MyISAM; INSERT INTO kept VALUES (1); \
                 CREATE TABLE all_kept (a int) ENGINE=MERGE UNION=(kept)"
            ),
        );
        small.index.schema = false;
        let mut merge = small.index.databases[0].tables[0].clone();
        (merge.name, merge.file, merge.rows) = ("all_kept".into(), format!("{database}.all_kept"), false);
        small.index.databases[0].tables.push(merge);
        restore(server, r#"{"overwrite": true}"#, small.artifacts()).await.expect("restored");
        assert_eq!(query(server, &format!("SELECT COUNT(*) FROM {database}.kept")), "1");
        assert_eq!(query(server, &format!("SELECT COUNT(*) FROM {database}.orders")), "3");
    }
}

#[tokio::test]
async fn a_view_that_cannot_be_made_does_not_keep_the_rows_out() {
    for server in supported() {
        let database = name();
        let mut small = Small::new(&database, OWN);
        small.index.views[0].create = "CREATE VIEW `debts` AS select 1 from `missing`".into();
        let failed = restore(server, "{}", small.artifacts()).await.expect_err("no such table");
        assert!(failed.message().contains("`debts`"), "{failed:?}");
        assert_eq!(query(server, &format!("SELECT COUNT(*) FROM {database}.customers")), "2");
    }
}

#[tokio::test]
async fn triggers_that_one_may_not_see_are_not_taken_for_none() {
    for server in supported() {
        let (database, user) = (name(), name());
        let mut small = Small::new(&database, OWN);
        small.index.databases[0].triggers.clear();
        restore(server, "{}", small.artifacts()).await.expect("restored");
        query(
            server,
            &format!(
                "USE {database}; DELETE FROM orders; DELETE FROM customers; \
                 CREATE TRIGGER acts BEFORE INSERT ON orders FOR EACH ROW SET NEW.total = 0; \
                 CREATE USER {user} IDENTIFIED BY 'pw'; GRANT SELECT, INSERT, DELETE ON {database}.* TO {user}"
            ),
        );
        // A dump of rows alone has nothing else.
        small.index.schema = false;
        small.index.views.clear();
        small.index.databases[0].routines.clear();
        small.index.databases[0].events.clear();
        let denied = restore_as(server, (&user, "pw"), "{}", small.artifacts()).await;
        assert!(
            matches!(&denied, Err(Error::Denied(text)) if text.contains("TRIGGER") && text.contains(&database)),
            "{denied:?}"
        );
        assert_eq!(query(server, &format!("SELECT COUNT(*) FROM {database}.orders")), "0");
        query(server, &format!("DROP TRIGGER {database}.acts; GRANT TRIGGER ON {database}.* TO {user}"));
        restore_as(server, (&user, "pw"), "{}", small.artifacts()).await.expect("restored");
    }
}

#[tokio::test]
async fn an_object_that_the_server_would_make_otherwise_is_an_error() {
    for server in supported() {
        for (columns, code) in
            [("`entry` varchar(70000)", "1246"), ("`entry` varchar(2000), KEY `k` (`entry`)", "1071")]
        {
            let mut small = Small::new(&name(), OWN);
            let table = &mut small.index.databases[0].tables[2];
            table.create = format!("CREATE TABLE `log` ({columns}) ENGINE=InnoDB CHARSET=utf8mb4").into();
            let failed = restore(server, "{}", small.artifacts()).await;
            assert!(
                matches!(&failed, Err(Error::Unsupported(text)) if text.contains("`log`") && text.contains(code)),
                "{failed:?}"
            );
        }
        // What the server does otherwise without harm to the object.
        let mut small = Small::new(&name(), OWN);
        let text = small.index.databases[0].events[0].create.text().replace("EVERY 1 YEAR", "AT '2001-01-01 00:00:00'");
        small.index.databases[0].events[0].create = text.replace("DISABLE", "ENABLE").into();
        logged();
        let outcome = restore(server, "{}", small.artifacts()).await;
        assert!(outcome.is_ok(), "{outcome:?}");
        assert!(was_warned(&["event", "`sweep`", "1588"]));
    }
}

#[tokio::test]
async fn an_event_in_a_time_zone_that_the_server_does_not_know_is_named_first() {
    for server in supported() {
        let database = name();
        let mut small = Small::new(&database, OWN);
        small.index.databases[0].events[0].time_zone = Some("Europe/Nowhere".into());
        let refused = restore(server, "{}", small.artifacts()).await;
        assert!(
            matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains("`sweep`") && text.contains("Europe/Nowhere") && text.contains("mysql_tzinfo_to_sql")),
            "{refused:?}"
        );
        assert_eq!(query(server, &format!("SHOW DATABASES LIKE '{database}'")), "");
        small.index.databases[0].events[0].time_zone = Some("+05:30".into());
        restore(server, "{}", small.artifacts()).await.expect("restored");
    }
}

#[tokio::test]
async fn grants_on_what_is_not_in_the_dump_are_left_out_with_a_warning() {
    for server in supported() {
        let (database, other, user) = (name(), name(), name());
        let account = |grant: &str| {
            Small::new(&database, OWN).with_account(
                &format!("`{user}`@`%`"),
                &format!("CREATE USER `{user}`@`%` IDENTIFIED BY 'hunter2'"),
                grant,
            )
        };
        for grant in [
            format!("GRANT SELECT ON `{other}`.`t` TO `{user}`@`%`"),
            format!("GRANT EXECUTE ON PROCEDURE `{other}`.`p` TO `{user}`@`%`"),
            format!("GRANT SELECT ON `{database}`.`excluded` TO `{user}`@`%`"),
        ] {
            logged();
            restore(server, r#"{"users": true}"#, account(&grant).artifacts()).await.expect("restored");
            assert!(was_warned(&[&user, "neither in the dump nor on the server"]), "{grant}");
            query(server, &format!("DROP USER {user}; DROP DATABASE {database}"));
        }
        // What is in the dump and cannot be granted is an error still.
        let failed = restore(
            server,
            r#"{"users": true}"#,
            account(&format!("GRANT SELECT (`nothing`) ON `{database}`.`orders` TO `{user}`@`%`")).artifacts(),
        );
        let failed = failed.await.expect_err("no such column");
        assert!(failed.message().contains("its privileges"), "{failed:?}");
    }
}

#[tokio::test]
async fn a_table_under_the_name_of_the_database_is_not_mistaken_for_it() {
    for server in supported() {
        let (database, copy) = (name(), name());
        let mut small = Small::new(&database, OWN);
        let create = format!(
            "CREATE FUNCTION `owed`(c int) RETURNS decimal(8,2) READS SQL DATA RETURN (SELECT SUM({database}.total) FROM \
             orders AS {database} WHERE {database}.customer = c)"
        );
        small.index.databases[0].routines[0].create = create.into();
        let refused = restore(server, &format!(r#"{{"rename": {{"{database}": "{copy}"}}}}"#), small.artifacts()).await;
        assert!(
            matches!(&refused, Err(Error::Unsupported(text)) if text.contains("`owed`") && text.contains("rename")),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn names_in_other_cases_are_renamed_where_case_does_not_count() {
    let options =
        MysqlOptions { settings: vec![("lower-case-table-names".into(), "1".into())], ..MysqlOptions::default() };
    // MySQL wants to know it when its files are made.
    for version in [MysqlVersion::MariaDb1011, MysqlVersion::MariaDb118] {
        let Some(server) = start(version, &options) else { continue };
        let mut small = Small::new("shop", OWN);
        small.index.server.lower_case_table_names = 1;
        let routine = &mut small.index.databases[0].routines[0];
        routine.create = routine.create.text().replace("shop.orders", "SHOP.orders").into();
        restore(&server, r#"{"rename": {"shop": "copy"}}"#, small.artifacts()).await.expect("restored");
        // With the old name there would be no such table.
        assert_eq!(query(&server, "SELECT owed FROM copy.debts ORDER BY name"), "6.75\n7.00");

        small.index.databases.extend(Small::new("store", OWN).index.databases);
        let refused = restore(&server, r#"{"rename": {"shop": "STORE"}}"#, small.artifacts()).await;
        assert!(
            matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains("two databases would become")),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn what_is_there_in_other_cases_is_found_where_case_does_not_count() {
    let options =
        MysqlOptions { settings: vec![("lower-case-table-names".into(), "1".into())], ..MysqlOptions::default() };
    for version in [MysqlVersion::MariaDb1011, MysqlVersion::MariaDb118] {
        let Some(server) = start(version, &options) else { continue };
        let mut small = Small::new("Shop", OWN);
        let customers = &mut small.index.databases[0].tables[1];
        (customers.name, customers.file) = ("Customers".into(), "Shop.Customers".into());
        customers.create = customers.create.text().replace("`customers`", "`Customers`").into();
        for file in &mut small.files {
            file.artifact.name = file.artifact.name.replace("customers", "Customers");
            let rows = file.bytes.as_mut().expect("rows");
            let place = rows.windows(11).position(|window| window == b"`customers`");
            if let Some(place) = place {
                rows[place + 1] = b'C';
            }
        }
        small.metadata = small.metadata.replace("`customers`", "`Customers`");
        restore(&server, "{}", small.artifacts()).await.expect("restored");
        let refused = restore(&server, "{}", small.artifacts()).await;
        assert!(
            matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains("is not empty") && text.contains("overwrite")),
            "{refused:?}"
        );
        restore(&server, r#"{"overwrite": true}"#, small.artifacts()).await.expect("restored");
        assert_eq!(query(&server, "SELECT owed FROM shop.debts ORDER BY name"), "6.75\n7.00");
        // Rows alone, into tables that are there by other names.
        query(&server, "DROP TRIGGER shop.noted");
        small.index.schema = false;
        restore(&server, r#"{"overwrite": true}"#, small.artifacts()).await.expect("restored");
        query(&server, "CREATE TRIGGER shop.acts BEFORE INSERT ON shop.customers FOR EACH ROW SET NEW.id = 0");
        let refused = restore(&server, r#"{"overwrite": true}"#, small.artifacts()).await;
        assert!(matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains("acts")), "{refused:?}");
    }
}

#[tokio::test]
async fn warnings_about_the_statement_are_none_about_values() {
    // Rows that number themselves within a group are unsafe to replicate as statements, the server thinks.
    let options =
        MysqlOptions { settings: vec![("binlog-format".into(), "STATEMENT".into())], ..MysqlOptions::default() };
    for version in [MysqlVersion::MySql97, MysqlVersion::MariaDb1011, MysqlVersion::MariaDb118] {
        let Some(server) = start(version, &options) else { continue };
        let mut small = Small::new("numbered", OWN);
        let table = &mut small.index.databases[0].tables[2];
        table.create = "CREATE TABLE `log` (a int, b int AUTO_INCREMENT, PRIMARY KEY (a, b)) ENGINE=MyISAM".into();
        table.columns = vec!["a".into(), "b".into()];
        small.index.databases[0].triggers.clear();
        small.metadata = small.metadata.replace("rows = 0", "rows = 1");
        small
            .files
            .push(artifact("numbered.log.00000.sql", format!("{HEAD}INSERT INTO `log` (`a`,`b`) VALUES(1,2)\n;\n")));
        restore(&server, "{}", small.artifacts()).await.expect("restored");
        assert_eq!(query(&server, "SELECT * FROM numbered.log"), "1\t2");
    }
}

#[tokio::test]
async fn more_warnings_than_the_server_shows_are_an_error() {
    for server in supported() {
        let database = name();
        let mut small = Small::new(&database, OWN);
        let table = &mut small.index.databases[0].tables[2];
        table.create = "CREATE TABLE `log` (`entry` enum('a'))".into();
        small.metadata = small.metadata.replace("rows = 0", "rows = 70000");
        let rows = vec!["(0)"; 70_000].join("\n,");
        let rows = format!("{HEAD}INSERT INTO `log` (`entry`) VALUES{rows}\n;\n");
        small.files.push(artifact(&format!("{database}.log.00000.sql"), rows));
        let failed = restore(server, "{}", small.artifacts()).await;
        assert!(
            matches!(&failed, Err(Error::Unsupported(text)) if text.contains("`log`") && text.contains("chunkSize")),
            "{failed:?}"
        );
    }
}

#[tokio::test]
async fn a_dump_of_a_part_says_so_when_it_is_restored() {
    for server in supported().take(1) {
        let mut small = Small::new(&name(), OWN);
        small.index.filtered = Some("without shop.secret".into());
        logged();
        restore(server, "{}", small.artifacts()).await.expect("restored");
        assert!(logged().iter().any(|(_, text)| text.contains("without shop.secret")));
    }
}

#[tokio::test]
async fn names_that_read_alike_are_two_names() {
    for server in supported() {
        let database = name();
        let make = format!(
            "CREATE DATABASE `{database}`; CREATE DATABASE `{database}.e`; \
             CREATE TABLE `{database}`.`e.t` (a int primary key); CREATE TABLE `{database}.e`.t (a int primary key); \
             INSERT INTO `{database}`.`e.t` VALUES (1); INSERT INTO `{database}.e`.t VALUES (2), (3)"
        );
        query(server, &make);
        let (_, dump) = dump(server, &format!(r#"{{"databases": ["{database}", "{database}.e"]}}"#)).await;
        query(server, &format!("DROP DATABASE `{database}`; DROP DATABASE `{database}.e`"));
        restore(server, "{}", dump).await.expect("restored");
        let rows = |table: &str| query(server, &format!("SELECT GROUP_CONCAT(a ORDER BY a) FROM {table}"));
        assert_eq!(
            (rows(&format!("`{database}`.`e.t`")), rows(&format!("`{database}.e`.t"))),
            ("1".into(), "2,3".into())
        );
    }
}

#[tokio::test]
async fn a_database_of_which_nothing_is_asked_is_not_in_the_dump() {
    for server in supported() {
        let (wanted, other) = (name(), name());
        query(server, &format!("CREATE DATABASE {wanted}; CREATE TABLE {wanted}.t (a int); CREATE DATABASE {other}"));
        let databases = async |parameters: &str| -> Vec<String> {
            let (_, dump) = dump(server, parameters).await;
            let index: Index = serde_json::from_slice(dump[0].bytes.as_ref().expect("an index")).expect("JSON");
            index.databases.into_iter().map(|database| database.name).collect()
        };
        assert_eq!(databases(&format!(r#"{{"include": ["{wanted}.*"]}}"#)).await, std::slice::from_ref(&wanted));
        let named = databases(&format!(r#"{{"databases": ["{other}"]}}"#)).await;
        assert_eq!(named, std::slice::from_ref(&other), "an empty one is dumped where it is meant");
    }
}
