//! A whole server, dumped and restored: the vendor's own dump finds no difference.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::query;
use super::restoring::{dump, fact, restore};
use super::support::start;
use coffer_addon::testing::Written;
use coffer_addon_mysql::layout::Index;
use coffer_test_servers::mysql::compare::{Database, same_dump, same_rows};
use coffer_test_servers::mysql::{Mysql, MysqlOptions, MysqlVersion, sample};

#[tokio::test]
async fn what_mysql_9_7_had_comes_back_as_mysqldump_words_it() {
    comes_back(MysqlVersion::MySql97).await;
}

#[tokio::test]
async fn what_mariadb_10_11_had_comes_back_as_its_dump_words_it() {
    comes_back(MysqlVersion::MariaDb1011).await;
}

#[tokio::test]
async fn what_mariadb_11_8_had_comes_back_as_its_dump_words_it() {
    comes_back(MysqlVersion::MariaDb118).await;
}

/// All kinds of objects and values, on a server that has seen none of them, with the users that they belong to.
async fn comes_back(version: MysqlVersion) {
    let Some(source) = start(version, &MysqlOptions::default()) else { return };
    sample::create(&source, "sample", 2).expect("the sample");
    sample::create_awkward_names(&source, "awk`ward.db").expect("names");
    sample::create_myisam(&source, "myisam").expect("tables");
    sample::create_users(&source, "sample").expect("users");
    let (dumped, dump) = dump(&source, r#"{"users": true, "jobs": 3, "chunkSize": 500}"#).await;
    for jobs in [1, 4] {
        let Some(target) = start(version, &MysqlOptions::default()) else { return };
        // Of all that somebody may have, this alone is not in ALL.
        query(&target, "GRANT PROXY ON ''@'' TO coffer@'%' WITH GRANT OPTION");
        let parameters = format!(r#"{{"users": true, "jobs": {jobs}}}"#);
        // Once as it is, and once as if every table were large.
        let dump = if jobs > 1 { enlarged(&dump) } else { dump.clone() };
        let restored = restore(&target, &parameters, dump.clone()).await.expect("restored");
        for name in ["tables", "rows", "bytes"] {
            assert_eq!(fact(&restored, name), fact(&dumped, name), "{name}");
        }
        for name in ["sample", "awk`ward.db", "myisam"] {
            let (one, other) = (Database { server: &source, name }, Database { server: &target, name });
            same_rows(one, other).unwrap_or_else(|error| panic!("{error}"));
            let lines = same_dump(one, other, &["--databases"]).unwrap_or_else(|error| panic!("{error}"));
            assert!(lines > 20, "{lines}");
        }
        assert_eq!(accounts(&target), accounts(&source));
        if jobs > 1 {
            another_name(&source, &target, dump.clone()).await;
        }
    }
}

/// The dump as if its tables were large, so that their keys are built behind the rows.
fn enlarged(dump: &[Written]) -> Vec<Written> {
    let mut dump = dump.to_vec();
    let mut index: Index = serde_json::from_slice(dump[0].bytes.as_ref().expect("an index")).expect("JSON");
    for table in index.databases.iter_mut().flat_map(|database| &mut database.tables) {
        table.estimated_bytes = 1 << 30;
    }
    dump[0].bytes = Ok(index.to_bytes().expect("JSON"));
    dump
}

/// The same beside itself: what calls or names it, calls and names the copy.
async fn another_name(source: &Mysql, target: &Mysql, dump: Vec<Written>) {
    let parameters = r#"{"rename": {"sample": "copied", "awk`ward.db": "copied`names", "myisam": "copied_myisam"}}"#;
    restore(target, parameters, dump).await.expect("restored");
    same_rows(Database { server: source, name: "sample" }, Database { server: target, name: "copied" })
        .expect("the same");
    let schema = |server: &Mysql, name: &str| {
        let text = server.dump(&["--no-data", name]).expect("dumped");
        let text = String::from_utf8_lossy(&text);
        // MySQL names the character set that a collation implies, or does not, by how the column was once written down.
        let lines = text.lines().map(|line| match line.split_once(" CHARACTER SET ") {
            Some((before, after)) if after.contains(" COLLATE ") => {
                format!("{before}{}", after.trim_start_matches(|letter| letter != ' '))
            }
            _ => line.replace("`copied`", "`sample`"),
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    let (one, other) = (schema(source, "sample"), schema(target, "copied"));
    let differs = one.lines().zip(other.lines()).find(|(one, other)| one != other);
    assert_eq!((differs, one.lines().count()), (None, other.lines().count()));
}

/// Users and roles as the server words them.
fn accounts(server: &Mysql) -> String {
    let all = query(
        server,
        "SELECT CONCAT(QUOTE(user), '@', QUOTE(host)) FROM mysql.user WHERE user LIKE '%sample%' AND host <> '' ORDER BY 1",
    );
    let words = |name: &str| query(server, &format!("SHOW CREATE USER {name}; SHOW GRANTS FOR {name}"));
    // The columns of a grant are in no order.
    all.lines().map(words).collect::<Vec<_>>().join("\n").replace("(`name`, `id`)", "(`id`, `name`)")
}
