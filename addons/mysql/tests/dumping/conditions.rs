//! The parameter `where`.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::dumping::{Dump, database, dump, servers};
use coffer_addon::Error;
use coffer_test_servers::mysql::Mysql;

const SECRET: &str = "'4111-1111'";

async fn dumped(server: &Mysql, database: &str, condition: &str) -> Result<Dump, Error> {
    let condition = serde_json::to_string(condition).expect("JSON");
    let parameters =
        format!(r#"{{"databases": ["{database}"], "chunkSize": 10, "where": {{"{database}.a": {condition}}}}}"#);
    dump(server, &parameters).await
}

#[tokio::test]
async fn a_condition_that_the_server_does_not_take_is_named_and_not_shown() {
    for server in servers() {
        let database =
            database(server, "CREATE TABLE a (id int PRIMARY KEY, x varchar(20)); INSERT INTO a VALUES (1, 'a')");
        for (condition, says) in [
            (format!("xx = {SECRET}"), "xx"),
            (format!("x == = {SECRET}"), "1064"),
            (format!("x = nothing({SECRET})"), "where"),
            (String::new(), "1064"),
        ] {
            let refused = dumped(server, &database, &condition).await.map(|dumped| dumped.report);
            let Err(Error::InvalidParameter(text)) = &refused else { panic!("{condition}: {refused:?}") };
            assert!(text.contains(&format!("where: the server refuses the condition of {database}.a")), "{text}");
            assert!(text.contains(says) && !text.contains("4111") && !text.contains("during the dump"), "{text}");
        }
        // What only the rows bring about.
        let failed =
            dumped(server, &database, &format!("(SELECT id UNION SELECT LENGTH(CONCAT(x, {SECRET}))) > 0")).await;
        let failed = failed.map(|dumped| dumped.report);
        assert!(
            matches!(&failed, Err(Error::Failed(text)) if text.contains("`where`") && text.contains(&format!("{database}.a")) && text.contains("1242") && !text.contains("4111")),
            "{failed:?}"
        );
    }
}

#[tokio::test]
async fn a_condition_does_not_leave_its_brackets() {
    for server in servers() {
        let rows: Vec<String> = (0..100).map(|id| format!("({id}, '{id}')")).collect();
        let rows = rows.join(", ");
        let script =
            format!("CREATE TABLE a (id int PRIMARY KEY, x varchar(20)); INSERT INTO a VALUES {rows}; ANALYZE TABLE a");
        let database = database(server, &script);
        for condition in ["1) or (1", "x = ') or (1", "1 /* ", "1 /*! ) or (1 */", "1) -- "] {
            let refused = dumped(server, &database, condition).await.map(|dumped| dumped.report);
            assert!(
                matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains(&format!("{database}.a")) && text.contains("brackets")),
                "{condition}: {refused:?}"
            );
        }
        for (condition, rows) in
            [("id < 50 or id >= 90", "60"), ("x <> ')' -- all", "100"), ("id in (1, 2) # two", "2")]
        {
            assert_eq!(dumped(server, &database, condition).await.expect("dumped").fact("rows"), rows, "{condition}");
        }
    }
}
