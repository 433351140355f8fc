//! Definitions that come back as others: found by somebody who tried to break it, on the servers themselves.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::dumping::{database, dump, servers};
use coffer_addon::Error;
use coffer_test_servers::mysql::Mysql;

async fn must_be_refused(server: &Mysql, table: &str, object: &str) {
    let database = database(server, table);
    let dumped = dump(server, &format!(r#"{{"databases": ["{database}"]}}"#)).await.map(|dumped| dumped.report);
    let named = |text: &String| text.contains(&format!("{database}.{object} (")) && text.contains("allowUnsupported");
    assert!(matches!(&dumped, Err(Error::Unsupported(text)) if named(text)), "{}: {dumped:?}", server.version().name());
}

#[tokio::test]
async fn definitions_that_the_server_words_wrongly_are_refused_by_name() {
    for server in servers() {
        must_be_refused(server, "CREATE TABLE a (e enum('🦀', 'b')) CHARSET utf8mb4", "a.e").await;
        must_be_refused(server, "CREATE TABLE a (s set('x', '🦀')) CHARSET utf8mb4", "a.s").await;
        let with_default = "CREATE TABLE a (d varchar(9) DEFAULT '🦀', e enum('x', 'y') COMMENT '?') CHARSET utf8mb4";
        if server.version().is_mariadb() {
            must_be_refused(server, with_default, "a.d").await;
        } else {
            let database = database(server, with_default);
            dump(server, &format!(r#"{{"databases": ["{database}"]}}"#)).await.expect("MySQL words it well");
        }
    }
}

#[tokio::test]
async fn partitions_whose_bounds_mysql_would_read_otherwise_are_refused_by_name() {
    let table = |charset: &str| {
        format!(
            "CREATE TABLE a (a varchar(20) CHARACTER SET {charset}) PARTITION BY RANGE COLUMNS (a) \
             (PARTITION p0 VALUES LESS THAN ('é'), PARTITION p1 VALUES LESS THAN (MAXVALUE))"
        )
    };
    for server in servers() {
        let harmless = if server.version().is_mariadb() { ["latin1", "utf8mb4"].as_slice() } else { &["utf8mb4"] };
        for charset in harmless {
            let database = database(server, &table(charset));
            dump(server, &format!(r#"{{"databases": ["{database}"]}}"#)).await.expect("dumped");
        }
        if !server.version().is_mariadb() {
            must_be_refused(server, &table("latin1"), "a").await;
        }
    }
}
