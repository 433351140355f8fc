//! DDL and locks of others while a dump is made.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::dumping::{database, dump_and, dump_as, dump_before_each, is_free, name, query, server, servers};
use coffer_addon::Error;
use coffer_test_servers::mysql::{Mysql, MysqlVersion};
use std::cell::Cell;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::rc::Rc;

/// Names in all kinds of letters, and of tables with partitions, which have places of their own.
const TABLES: [[&str; 2]; 4] = [["b", "c"], ["a-b c", "a%b_c"], ["näm1", "näm\\2"], ["p", "q"]];

#[tokio::test]
async fn tables_that_change_places_are_noticed_whenever_they_were_made() {
    for server in servers() {
        for [one, two] in TABLES {
            let partitions = if one == "p" { "PARTITION BY HASH (id) PARTITIONS 2" } else { "" };
            let tables = [one, two].map(|table| {
                format!(
                    "CREATE TABLE `{table}` (id int PRIMARY KEY, x int) {partitions}; INSERT INTO `{table}` VALUES (1, 1);"
                )
            });
            // In one second mostly, which is how exact a time of creation is.
            // MariaDB takes the RENAME's for it, which is told from that second only in another one.
            let database = database(server, &format!("{} DO SLEEP(1.1)", tables.join(" ")));
            // MariaDB lets nobody rename what was read, so the other one is not.
            let exclude = serde_json::to_string(&format!("{database}.{two}")).expect("JSON");
            let parameters = format!(r#"{{"databases": ["{database}"], "exclude": [{exclude}]}}"#);
            let sql = format!(
                "SET lock_wait_timeout = 10; RENAME TABLE {database}.`{one}` TO {database}.t, {database}.`{two}` TO {database}.`{one}`, \
                 {database}.t TO {database}.`{two}`"
            );
            let outcome = dump_and(server, &parameters, (&database, one), move || drop(query(server, &sql))).await;
            match outcome.map(|dumped| dumped.report) {
                Err(Error::Failed(text)) => {
                    assert!(text.contains(&database) && text.contains("during the dump"), "{one}: {text}");
                }
                other => panic!("{one} on {}: {other:?}", server.version().name()),
            }
            // Nobody has renamed anything: nothing is noticed that did not happen.
            let dumped = super::dump(server, &parameters).await.expect("dumped");
            assert_eq!(dumped.fact("rows"), "1");
        }
    }
}

#[tokio::test]
async fn who_may_not_see_places_dumps_without_them() {
    let server = server(MysqlVersion::MySql97);
    let database = database(server, "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)");
    let user = name();
    query(
        server,
        &format!(
            "CREATE USER {user} IDENTIFIED BY 'pw'; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON {database}.* TO {user}; \
             GRANT SHOW_ROUTINE, RELOAD ON *.* TO {user}"
        ),
    );
    let dumped = dump_as(server, (&user, "pw"), "{}").await.expect("dumped");
    assert_eq!((dumped.fact("moment"), dumped.fact("rows")), ("FLUSH TABLES WITH READ LOCK", "1"));
}

#[tokio::test]
async fn tables_that_are_made_before_the_lock_are_no_reason_to_give_up() {
    let server = server(MysqlVersion::MySql97);
    let database = database(server, "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)");
    let parameters = format!(r#"{{"databases": ["{database}"]}}"#);
    let (of, mut made) = (database.clone(), 0);
    let dumped = dump_before_each(server, &parameters, &["FLUSH TABLES WITH READ LOCK"], move || {
        made += 1;
        query(server, &format!("CREATE TABLE {of}.made_{made} (x int); INSERT INTO {of}.made_{made} VALUES (1)"));
    });
    let dumped = dumped.await.expect("all privileges hold DDL off");
    assert_eq!((dumped.fact("tables"), dumped.fact("rows")), ("2", "2"));

    // One that would have to be locked by a session that is not there.
    let (of, mut made) = (database.clone(), 0);
    let refused = dump_before_each(server, &parameters, &["FLUSH TABLES WITH READ LOCK"], move || {
        made += 1;
        query(server, &format!("CREATE TABLE {of}.locked_{made} (x int) ENGINE = MyISAM"));
    });
    let refused = refused.await.map(|dumped| dumped.report);
    // All there is to be granted is.
    assert!(
        matches!(&refused, Err(Error::Failed(text)) if text.contains("3 times") && !text.contains("granted")),
        "{refused:?}"
    );
    is_free(server, &database, "a");
}

/// A session that holds a lock on a table.
struct Holder(Child);

impl Holder {
    fn lock(server: &Mysql, table: &str) -> Self {
        let mut holder = server.tool("mysql").expect("mysql");
        let mut holder =
            holder.arg("--unbuffered").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("mysql starts");
        let stdin = holder.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "LOCK TABLES {table} WRITE; SELECT 'locked';").expect("written");
        let mut said = BufReader::new(holder.stdout.as_mut().expect("a pipe"));
        let mut line = String::new();
        while !line.contains("locked") {
            assert!(said.read_line(&mut line).expect("readable") > 0);
        }
        Holder(holder)
    }

    fn let_go(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().expect("it ends");
    }
}

#[tokio::test]
async fn a_lock_on_a_table_is_waited_for_more_than_once_before_it_is_cut() {
    for server in servers() {
        let database = database(
            server,
            "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1), (2), (3), (4); ANALYZE TABLE a",
        );
        let parameters = format!(r#"{{"databases": ["{database}"], "chunkSize": 1, "lockTimeout": "1s"}}"#);
        let holder: Rc<Cell<Option<Holder>>> = Rc::default();
        let table = format!("{database}.a");
        let (held, of) = (holder.clone(), table.clone());
        // Locked before the first time that it is asked, and free before the second.
        let mut asked = 0;
        let dumped = dump_before_each(server, &parameters, &["SELECT MIN("], move || {
            asked += 1;
            match held.take() {
                Some(holder) => holder.let_go(),
                None if asked == 1 => held.set(Some(Holder::lock(server, &of))),
                None => {}
            }
        });
        let dumped = dumped.await.expect("dumped");
        assert_eq!(dumped.fact("rows"), "4");
        assert!(holder.take().is_none(), "it was asked again");

        // It is never free.
        let held = holder.clone();
        let refused = dump_before_each(server, &parameters, &["SELECT MIN("], move || {
            let holder = held.take().unwrap_or_else(|| Holder::lock(server, &table));
            held.set(Some(holder));
        });
        let refused = refused.await.map(|dumped| dumped.report);
        assert!(
            matches!(&refused, Err(Error::Unavailable(text)) if text.contains(&format!("{database}.a")) && text.contains("lockTimeout")),
            "{refused:?}"
        );
        holder.take().expect("locked").let_go();
        is_free(server, &database, "a");
    }
}
