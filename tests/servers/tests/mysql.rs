//! The MySQL sample loads on every version, `mysqldump` and `mydumper` can copy it, and the comparison that judges
//! restores sees what they get wrong.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use coffer_test_servers::mysql::compare::{Database, checksums, same_dump, same_rows};
use coffer_test_servers::mysql::sample;
use coffer_test_servers::{Mysql, MysqlOptions, MysqlVersion, cache};

/// Tables with a FLOAT, of which `mysqldump` prints six digits.
const ROUNDED: [&str; 4] = ["event_log", "floats", "numbers_of_all_kinds", "product"];

/// Each version that can be had, with the sample.
fn each(test: impl Fn(&Mysql)) {
    for version in MysqlVersion::ALL {
        // It comes by Maven, which not every machine has.
        if let (MysqlVersion::MySql55, Err(error)) = (version, version.programs()) {
            coffer_test_servers::skipped(format_args!("no MySQL 5.5: {error}"));
            continue;
        }
        let server = Mysql::start(version, &MysqlOptions::default()).unwrap();
        sample::create(&server, "sample", coffer_test_servers::sample::SMALL).unwrap();
        test(&server);
    }
}

fn count(server: &Mysql, what: &str) -> u32 {
    server.mysql(&format!("select count(*) from information_schema.{what}")).unwrap().parse().unwrap()
}

#[test]
fn the_sample_has_every_kind_of_object_that_the_version_knows() {
    each(|server| {
        let version = server.version();
        let is_old = version == MysqlVersion::MySql55;
        let schema = "where table_schema = 'sample'";
        assert!(count(server, &format!("tables {schema} and table_type <> 'VIEW'")) >= 25);
        assert!(count(server, &format!("views {schema}")) >= if is_old { 4 } else { 6 });
        assert!(count(server, "routines where routine_schema = 'sample'") >= 6);
        assert!(count(server, "events where event_schema = 'sample' and time_zone = 'Asia/Kolkata'") == 1);
        assert!(count(server, "triggers where trigger_schema = 'sample'") >= if is_old { 4 } else { 9 });
        assert!(count(server, &format!("partitions {schema} and partition_name is not null")) >= 15);
        assert_eq!(server.query("sample", "select count(*) from event_log").unwrap(), "2048");
        if is_old {
            return;
        }
        let order = "select group_concat(trigger_name order by action_order) from information_schema.triggers
            where trigger_schema = 'sample' and event_object_table = 'audit'";
        assert_eq!(server.mysql(order).unwrap(), "k_zeroth,z_first,m_second,a_third,it's last");
        if version.is_mariadb() {
            assert_eq!(count(server, &format!("tables {schema} and table_type = 'SEQUENCE'")), 3);
            assert_eq!(count(server, &format!("tables {schema} and table_type = 'SYSTEM VERSIONED'")), 3);
            assert_eq!(server.query("sample", "select count(*) from history").unwrap(), "4");
            assert_eq!(count(server, "routines where routine_type like 'PACKAGE%' and routine_schema = 'sample'"), 2);
        }
        if version != MysqlVersion::MariaDb1011 {
            assert!(count(server, &format!("columns {schema} and data_type = 'vector'")) >= 1);
        }
        sample::create_awkward_names(server, "it's `awkward`.name").unwrap();
        sample::create_myisam(server, "myisam").unwrap();
        sample::create_users(server, "sample").unwrap();
        assert_eq!(checksums(server, "it's `awkward`.name").unwrap().len(), 14);
        assert_eq!(checksums(server, "myisam").unwrap().len(), 7);
        let users = server.mysql("select count(*) from mysql.user where user like 'sample_%'").unwrap();
        assert!(users.parse::<u32>().unwrap() >= 8, "{users}");
    });
}

#[test]
fn mysqldump_copies_the_sample_but_for_floats_and_one_changed_value_is_found() {
    each(|server| {
        if server.version() == MysqlVersion::MySql55 {
            let refused = server.dump(&["sample"]).unwrap_err().to_string();
            assert!(refused.contains("MySQL 5.5"), "{refused}");
            return;
        }
        server.mysql("create database copy character set utf8mb4 collate utf8mb4_general_ci").unwrap();
        let mut arguments = vec!["sample"];
        if server.version().is_mariadb() {
            // When a row's version began; and with locks a default from a sequence could not be loaded.
            arguments.extend(["--dump-history", "--skip-add-locks"]);
        }
        let mut script = server.dump(&arguments).unwrap();
        // Else it makes zeros of the 31st of February.
        let mode = b"'NO_AUTO_VALUE_ON_ZERO";
        let at = script.windows(mode.len()).position(|part| part == mode).unwrap() + mode.len();
        script.splice(at..at, *b",ALLOW_INVALID_DATES");
        server.query("copy", script).unwrap();
        let (source, copy) = (Database { server, name: "sample" }, Database { server, name: "copy" });
        assert!(same_dump(source, copy, &[]).unwrap() > 1000);

        let differences = same_rows(source, copy).unwrap_err().to_string();
        let mut tables: Vec<_> = differences
            .lines()
            .filter_map(|line| line.split(' ').nth(1))
            .filter(|name| !matches!(*name, "tables"))
            .collect();
        tables.sort_unstable();
        tables.dedup();
        assert_eq!(tables, ROUNDED, "{differences}");

        for database in ["sample", "copy"] {
            let tables = ROUNDED.join(", ");
            server.query(database, format!("set foreign_key_checks = 0; drop table {tables}")).unwrap();
        }
        assert!(same_rows(source, copy).unwrap().len() > 25);
        server.query("copy", "update wide_rows set b = concat(b, ' ') where id = 3").unwrap();
        let error = same_rows(source, copy).unwrap_err().to_string();
        assert!(error.contains("wide_rows"), "{error}");
        let error = same_dump(source, copy, &[]).unwrap_err().to_string();
        assert!(error.contains("rows, sum"), "{error}");
        server.query("copy", "alter table customer comment 'x'").unwrap();
        let error = same_dump(source, copy, &["--no-data"]).unwrap_err().to_string();
        assert!(error.contains("COMMENT='x'"), "{error}");
    });
}

#[test]
fn stock_mydumper_and_myloader_run_against_every_version() {
    each(|server| {
        let folder = tempfile::tempdir().unwrap();
        let mut dump = server.mydumper("mydumper").unwrap();
        dump.args(["--database", "sample", "--tables-list", "event_log,category", "--outputdir"]).arg(folder.path());
        cache::run(&mut dump).unwrap();
        assert!(folder.path().join("sample.event_log-schema.sql").is_file());
        let mut load = server.mydumper("myloader").unwrap();
        load.args(["--database", "copy", "--directory"]).arg(folder.path());
        cache::run(&mut load).unwrap();
        let sum = "select count(*), sum(amount), sum(crc32(message)) from event_log";
        assert_eq!(server.query("copy", sum).unwrap(), server.query("sample", sum).unwrap());
        assert_eq!(server.query("copy", "select count(*) from category").unwrap(), "60");
    });
}
