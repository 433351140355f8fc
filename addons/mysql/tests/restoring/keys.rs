//! Keys of large tables: built behind the rows, and the table is the same.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::restoring::{HEAD, Small, artifact, restore};
use super::support::start;
use super::{OWN, query};
use coffer_test_servers::mysql::{MysqlOptions, MysqlVersion};

#[tokio::test]
async fn they_are_built_when_the_rows_are_in() {
    // What the server was told, in its order.
    let settings = vec![("general-log".into(), "1".into()), ("log-output".into(), "TABLE".into())];
    let options = MysqlOptions { settings, ..MysqlOptions::default() };
    for version in MysqlVersion::SUPPORTED {
        let Some(server) = start(version, &options) else { continue };
        let mut small = Small::new("shop", OWN);
        let create = "CREATE TABLE `log` (\n  `entry` text,\n  `größe` int DEFAULT NULL COMMENT 'KEY (',\n  UNIQUE KEY `u` (`größe`),\n  \
                      KEY `first` (`entry`(10)),\n  KEY `größte` (`größe`,`entry`(5)) COMMENT 'it''s'\n) ENGINE=InnoDB \
                      DEFAULT CHARSET=utf8mb4";
        query(&server, &format!("CREATE DATABASE plain; USE plain; {create}"));
        let of = &mut small.index.databases[0];
        of.triggers.clear();
        of.tables[2].create = create.into();
        of.tables[2].columns = vec!["entry".into(), "größe".into()];
        for table in &mut of.tables {
            table.estimated_bytes = 1 << 30;
        }
        small.metadata = small.metadata.replace("rows = 0", "rows = 2");
        let rows = format!("{HEAD}INSERT INTO `log` (`entry`,`größe`) VALUES('a',1)\n,('b',NULL)\n;\n");
        small.files.push(artifact("shop.log.00000.sql", rows));
        restore(&server, r#"{"rename": {"shop": "copy"}}"#, small.artifacts()).await.expect("restored");
        let shown = |database: &str| query(&server, &format!("SHOW CREATE TABLE {database}.log"));
        assert_eq!(shown("copy"), shown("plain"));
        let told = query(
            &server,
            "SELECT LEFT(CONVERT(argument USING utf8mb4), 70) FROM mysql.general_log WHERE argument LIKE 'INSERT INTO `log`%' OR argument LIKE 'ALTER \
             TABLE%' ORDER BY event_time",
        );
        let told: Vec<&str> = told.lines().filter(|line| !line.starts_with("\\n")).collect();
        assert!(told[0].starts_with("INSERT INTO `log`"), "{told:?}");
        let last = told.last().expect("a statement");
        assert!(last.starts_with("ALTER TABLE `copy`.`log` ADD KEY `first` (`entry`(10)), ADD KEY"), "{told:?}");
        // Those with foreign keys, and those that they refer to, have theirs from the beginning.
        assert!(!told.iter().any(|line| line.contains("orders") || line.contains("customers")), "{told:?}");
    }
}
