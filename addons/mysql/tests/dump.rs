//! mysql-dump of real servers: what it writes is restored by stock programs and by us, it shows one moment, and it fails by name
//! where it cannot.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

#[path = "dumping/bank.rs"]
mod bank;
#[path = "dumping/conditions.rs"]
mod conditions;
mod dumping;
#[path = "dumping/raced.rs"]
mod raced;
#[path = "dumping/reviewed.rs"]
mod reviewed;
#[path = "dumping/worded.rs"]
mod worded;

use coffer_addon::Error;
use coffer_test_servers::mysql::compare::{Database, same_dump, same_rows};
use coffer_test_servers::mysql::{Mysql, MysqlOptions, MysqlVersion, sample};
use dumping::{
    Dump, client, database, dump, dump_and, dump_as, is_free, myloader, name, query, restore, server, servers,
};
use std::sync::{Mutex, OnceLock};

/// A second server of each version, to restore into by the same names.
fn other(version: MysqlVersion) -> &'static Mysql {
    static SERVERS: [OnceLock<Mysql>; 3] = [const { OnceLock::new() }; 3];
    let place = MysqlVersion::SUPPORTED.iter().position(|supported| *supported == version).expect("supported");
    SERVERS[place].get_or_init(|| Mysql::start(version, &MysqlOptions::default()).expect("a server"))
}

/// The sample has objects of this account.
fn owner(server: &Mysql) {
    let owner = sample::DEFINER;
    query(server, &format!("CREATE USER IF NOT EXISTS {owner}; GRANT ALL ON *.* TO {owner}"));
}

/// One at a time, as they share an account.
fn sampled(server: &Mysql, database: &str) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock();
    sample::create(server, database, 1).expect("the sample");
}

fn same(source: &Mysql, copy: &Mysql, database: &str) {
    let (one, two) = (Database { server: source, name: database }, Database { server: copy, name: database });
    same_rows(one, two).expect("the same rows");
    same_dump(one, two, &["--databases"]).expect("the same text");
}

async fn sample_is_restored_by_the_client(version: MysqlVersion) {
    let (source, copy) = (server(version), other(version));
    let database = name();
    sampled(source, &database);
    owner(copy);
    for jobs in [1, 3] {
        let parameters = format!(r#"{{"databases": ["{database}"], "jobs": {jobs}, "chunkSize": 300}}"#);
        let dumped = dump(source, &parameters).await.expect("dumped");
        query(copy, &format!("DROP DATABASE IF EXISTS {database}"));
        client(copy, &dumped.files);
        same(source, copy, &database);
    }
}

#[tokio::test]
async fn mysql_9_7_is_restored_by_its_client() {
    sample_is_restored_by_the_client(MysqlVersion::MySql97).await;
}

#[tokio::test]
async fn mariadb_10_11_is_restored_by_its_client() {
    sample_is_restored_by_the_client(MysqlVersion::MariaDb1011).await;
}

#[tokio::test]
async fn mariadb_11_8_is_restored_by_its_client() {
    sample_is_restored_by_the_client(MysqlVersion::MariaDb118).await;
}

#[tokio::test]
async fn the_sample_is_restored_by_the_addon() {
    for source in servers() {
        let copy = other(source.version());
        let database = name();
        sampled(source, &database);
        owner(copy);
        let parameters = format!(r#"{{"databases": ["{database}"], "jobs": 3, "chunkSize": 300}}"#);
        let dumped = dump(source, &parameters).await.expect("dumped");
        let restored = restore(copy, r#"{"jobs": 3}"#, dumped.files).await.expect("restored");
        same(source, copy, &database);
        for same in ["tables", "rows", "bytes"] {
            assert_eq!(dumping::fact(&restored, same), dumping::fact(&dumped.report, same), "{same}");
        }
    }
}

#[tokio::test]
async fn a_table_that_changes_under_the_dump_fails_it_and_frees_everything() {
    for server in servers() {
        for change in [
            "DROP TABLE b",
            "TRUNCATE TABLE b",
            "ALTER TABLE b ADD COLUMN y int",
            "ALTER TABLE b DROP COLUMN x",
            "RENAME TABLE b TO was_b",
            "RENAME TABLE b TO was_b, c TO b",
        ] {
            let tables = ["a", "b", "c"].map(|table| {
                format!("CREATE TABLE {table} (id int PRIMARY KEY, x int); INSERT INTO {table} VALUES (1, 1), (2, 2);")
            });
            // A second apart, as that is how exact a time of creation is.
            let [a, b, c] = tables;
            let database = database(server, &format!("{a} {b} DO SLEEP(1.1); {c}"));
            let parameters = format!(r#"{{"databases": ["{database}"], "exclude": ["*.c"], "jobs": 2}}"#);
            let sql = format!("USE {database}; {change}");
            let outcome = dump_and(server, &parameters, (&database, "b"), move || drop(query(server, &sql))).await;
            match outcome.map(|dumped| dumped.report) {
                Err(Error::Failed(text)) => {
                    assert!(
                        text.contains(&format!("{database}.b")) && text.contains("during the dump"),
                        "{change}: {text}"
                    );
                }
                other => panic!("{change} on {}: {other:?}", server.version().name()),
            }
            is_free(server, &database, "a");
        }
    }
}

#[tokio::test]
async fn a_lock_that_is_not_had_in_time_is_given_up_and_nothing_stays() {
    for server in servers() {
        let database = database(server, "CREATE TABLE held (x int) ENGINE = MyISAM; CREATE TABLE other (x int)");
        let mut holder = server.tool("mysql").expect("mysql");
        let mut holder = holder
            .arg(format!("--database={database}"))
            .arg("--unbuffered")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("mysql");
        let mut stdin = holder.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut stdin, b"LOCK TABLES held WRITE; SELECT 'locked';\n").expect("written");
        let mut said = std::io::BufReader::new(holder.stdout.take().expect("a pipe"));
        let mut line = String::new();
        while !line.contains("locked") {
            assert!(std::io::BufRead::read_line(&mut said, &mut line).expect("readable") > 0);
        }
        let parameters = format!(r#"{{"databases": ["{database}"], "lockTimeout": "1s"}}"#);
        let refused = dump(server, &parameters).await.map(|dumped| dumped.report);
        assert!(matches!(&refused, Err(Error::Unavailable(text)) if text.contains("lockTimeout")), "{refused:?}");
        // Nothing of ours waits or holds any more: other sessions write, on other tables.
        is_free(server, &database, "other");
        drop(stdin);
        holder.wait().expect("it ends");
        is_free(server, &database, "held");
    }
}

#[tokio::test]
async fn tables_without_transactions_are_locked_or_refused() {
    for source in servers() {
        let copy = other(source.version());
        let database = name();
        sample::create_myisam(source, &database).expect("the tables");
        let parameters = format!(r#"{{"databases": ["{database}"], "nonTransactional": "refuse"}}"#);
        let refused = dump(source, &parameters).await.map(|dumped| dumped.report);
        assert!(
            matches!(&refused, Err(Error::Unsupported(text)) if text.contains("myisam_without_key") && !text.contains("merged")),
            "{refused:?}"
        );
        is_free(source, &database, "myisam");
        let dumped = dump(source, &format!(r#"{{"databases": ["{database}"], "jobs": 2}}"#)).await.expect("dumped");
        is_free(source, &database, "myisam");
        client(copy, &dumped.files);
        same(source, copy, &database);
    }
}

#[tokio::test]
async fn names_may_be_anything() {
    for source in servers() {
        let copy = other(source.version());
        let database = name();
        sample::create_awkward_names(source, &database).expect("the sample");
        let dumped = dump(source, &format!(r#"{{"databases": ["{database}"]}}"#)).await.expect("dumped");
        client(copy, &dumped.files);
        same(source, copy, &database);
    }
}

#[tokio::test]
async fn who_may_only_read_gets_one_snapshot() {
    for server in servers() {
        let database = database(
            server,
            "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1), (2); CREATE TABLE b (x int); \
             INSERT INTO b VALUES (1); CREATE VIEW v AS SELECT * FROM a; CREATE PROCEDURE p() SELECT 1",
        );
        let (reader, locker) = (name(), name());
        let routines = if server.version().is_mariadb() { "SELECT ON mysql.proc" } else { "SHOW_ROUTINE ON *.*" };
        for user in [&reader, &locker] {
            query(
                server,
                &format!(
                    "CREATE USER {user} IDENTIFIED BY 'pw'; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON {database}.* TO {user}; \
                     GRANT {routines} TO {user}"
                ),
            );
        }
        query(server, &format!("GRANT LOCK TABLES ON {database}.* TO {locker}"));
        let parameters = r#"{"jobs": 3}"#;
        let dumped = dump_as(server, (&reader, "pw"), parameters).await.expect("dumped");
        assert_eq!((dumped.fact("moment"), dumped.fact("rows")), ("one snapshot", "3"));
        assert_eq!(dumped.fact("databases"), database);
        let dumped = dump_as(server, (&locker, "pw"), parameters).await.expect("dumped");
        assert_eq!((dumped.fact("moment"), dumped.fact("rows")), ("LOCK TABLES", "3"));
        is_free(server, &database, "a");

        // Without a lock there is no moment for these.
        query(server, &format!("CREATE TABLE {database}.m (x int) ENGINE = MyISAM"));
        let denied = dump_as(server, (&reader, "pw"), parameters).await.map(|dumped| dumped.report);
        assert!(matches!(&denied, Err(Error::Denied(text)) if text.contains(".m (MyISAM)")), "{denied:?}");
        dump_as(server, (&locker, "pw"), parameters).await.expect("dumped");
    }
}

#[tokio::test]
async fn what_the_account_may_not_see_is_named() {
    for server in servers() {
        let database = database(
            server,
            "CREATE TABLE a (x int); CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET @x = 1; CREATE PROCEDURE p() SELECT 1",
        );
        let user = name();
        query(
            server,
            &format!("CREATE USER {user} IDENTIFIED BY 'pw'; GRANT SELECT, SHOW VIEW ON {database}.* TO {user}"),
        );
        let denied = dump_as(server, (&user, "pw"), "{}").await.map(|dumped| dumped.report);
        let named = |text: &str| ["triggers of", "events of", "routines of"].iter().all(|what| text.contains(what));
        assert!(matches!(&denied, Err(Error::Denied(text)) if named(text)), "{denied:?}");
        let dumped = dump_as(server, (&user, "pw"), r#"{"allowUnsupported": true}"#).await.expect("dumped");
        assert!(named(dumped.fact("unsupported")));
        dump_as(server, (&user, "pw"), r#"{"dataOnly": true}"#).await.expect("dumped");

        // That there is a routine may be seen by who may run it, its text not.
        query(server, &format!("GRANT TRIGGER, EVENT, EXECUTE ON {database}.* TO {user}"));
        let denied = dump_as(server, (&user, "pw"), "{}").await.map(|dumped| dumped.report);
        assert!(matches!(&denied, Err(Error::Denied(text)) if text.contains(&format!("{database}.p"))), "{denied:?}");
        let wrong = dump_as(server, (&user, "guess"), "{}").await.map(|dumped| dumped.report);
        assert!(matches!(&wrong, Err(Error::Denied(_))), "{wrong:?}");
    }
}

#[tokio::test]
async fn parameters_choose_what_is_dumped() {
    let server = server(MysqlVersion::MariaDb118);
    let database = database(
        server,
        "CREATE TABLE a (id int PRIMARY KEY, x int); INSERT INTO a SELECT seq, seq FROM seq_1_to_1000; ANALYZE TABLE a; \
         CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b VALUES (1); CREATE TABLE `c.d-schema` (`x``y` int); \
         INSERT INTO `c.d-schema` VALUES (1); CREATE VIEW v AS SELECT * FROM a; CREATE TABLE empty (x int)",
    );
    let call = async |more: &str| {
        let parameters = format!(r#"{{"databases": ["{database}"], {more}}}"#);
        dump(server, &parameters).await
    };
    let rows = |dumped: &Dump| -> Vec<String> {
        let mut names = dumped.names();
        names.retain(|name| coffer_addon_mysql::layout::rows_file(name).is_some());
        names.sort();
        names.iter().map(|name| name.replace(&format!("{database}."), "")).collect()
    };
    let all = call(r#""chunkSize": 0"#).await.expect("dumped");
    assert_eq!(rows(&all), ["a.00000.sql", "b.00000.sql", "mydumper_0.00000.sql"]);
    assert_eq!((all.fact("tables"), all.fact("rows")), ("4", "1002"));
    let bytes: usize = rows(&all).iter().map(|name| all.bytes(&format!("{database}.{name}")).len()).sum();
    assert_eq!(all.fact("bytes"), bytes.to_string());
    assert!(!all.fact("gtid").is_empty() && !all.fact("binlogPosition").is_empty());
    assert!(
        all.text("metadata").contains(&format!("[`{database}`.`mydumper_0`]\nreal_table_name=c.d-schema\nrows = 1\n"))
    );

    let cut = call(r#""chunkSize": 100, "include": ["*.a"]"#).await.expect("dumped");
    assert!(rows(&cut).len() > 5, "{:?}", rows(&cut));
    assert_eq!(cut.fact("rows"), "1000");
    let some =
        call(&format!(r#""exclude": ["*.b", "*.c*"], "where": {{"{database}.a": "x > 990"}}"#)).await.expect("dumped");
    assert_eq!((some.fact("tables"), some.fact("rows")), ("2", "10"));
    let data = call(r#""dataOnly": true"#).await.expect("dumped");
    assert!(data.names().iter().all(|name| !name.contains("-schema")) && !data.index().schema);
    let schema = call(r#""schemaOnly": true"#).await.expect("dumped");
    assert!(rows(&schema).is_empty() && schema.index().databases[0].tables.iter().all(|table| !table.rows));
    for (wrong, named) in [
        (r#""include": ["nothing.*"]"#, "nothing.*"),
        (r#""where": {"x.y": "1"}"#, "x.y"),
        (r#""dataOnly": true, "schemaOnly": true"#, "schemaOnly"),
    ] {
        let refused = call(wrong).await.map(|dumped| dumped.report);
        assert!(matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains(named)), "{refused:?}");
    }
    let refused = dump(server, r#"{"databases": ["nobody"]}"#).await.map(|dumped| dumped.report);
    assert!(matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains("nobody")), "{refused:?}");
}

#[tokio::test]
async fn accounts_are_dumped_on_demand() {
    for source in servers() {
        let copy = other(source.version());
        let database = name();
        sampled(source, &database);
        sample::create_users(source, &database).expect("accounts");
        let parameters = format!(r#"{{"databases": ["{database}"], "users": true}}"#);
        let dumped = dump(source, &parameters).await.expect("dumped");
        assert!(dumped.index().accounts.len() > 5);
        // Some views can be made only if their owner may read what they read from.
        owner(copy);
        client(copy, &dumped.files);
        for account in dumped.index().accounts {
            if account.name.contains("sample") && !account.name.contains("sample_owner") {
                // In a list of columns any order is the same.
                let grants = |server: &Mysql| {
                    let text = query(server, &format!("SHOW GRANTS FOR {}", account.name));
                    let mut words: Vec<String> = text.split([' ', ',', '(', ')', '\n']).map(String::from).collect();
                    words.sort();
                    words
                };
                assert_eq!(grants(copy), grants(source), "{}", account.name);
            }
        }
    }
}

#[tokio::test]
async fn stock_myloader_restores_it() {
    for source in servers() {
        let copy = other(source.version());
        let database = database(source, include_str!("fixtures/plain.sql"));
        let dumped = dump(source, &format!(r#"{{"databases": ["{database}"], "jobs": 3, "chunkSize": 100}}"#))
            .await
            .expect("dumped");
        myloader(copy, &dumped.files);
        same(source, copy, &database);
    }
}
