//! postgres-restore on dumps that pg_dump made, and on damaged ones.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

mod support;

use coffer_addon::Error;
use support::{artifact, fact, server};

#[tokio::test]
async fn a_dump_of_pg_dump_is_restored_in_full() {
    let Some(server) = server() else { return };
    let shop = server.shop();
    let dump = server.stock_dump(&shop, &["-Z0"]);
    for jobs in [1, 4] {
        let copy = server.database();
        let (report, _) = server.call(&copy, "postgres-restore", &format!(r#"{{"jobs": {jobs}}}"#), dump.clone()).await;
        let report = report.expect("restored");
        assert_eq!(server.text(&copy), server.text(&shop));
        assert_eq!(fact(&report, "rows"), "21503");
        assert_eq!(fact(&report, "tables"), "7");
    }
}

#[tokio::test]
async fn a_target_that_is_not_empty_is_left_alone_unless_cleaned() {
    let Some(server) = server() else { return };
    let shop = server.shop();
    let dump = server.stock_dump(&shop, &["-Z0"]);
    let target = server.database();
    server.psql(&target, "CREATE TABLE precious (a int)");
    let (refused, _) = server.call(&target, "postgres-restore", "{}", dump.clone()).await;
    assert!(
        matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains("precious") && text.contains("clean")),
        "{refused:?}"
    );
    assert_eq!(server.psql(&target, "SELECT count(*) FROM precious"), "0");

    // Once over nothing, once over itself with other rows.
    server.psql(&target, "DROP TABLE precious");
    for _ in 0..2 {
        let (report, _) = server.call(&target, "postgres-restore", r#"{"clean": true}"#, dump.clone()).await;
        report.expect("restored");
        assert_eq!(server.text(&target), server.text(&shop));
        server.psql(&target, "DELETE FROM orders; UPDATE customers SET mood = NULL; DROP VIEW busy");
    }
}

#[tokio::test]
async fn create_makes_the_database_that_was_dumped() {
    let Some(server) = server() else { return };
    let shop = server.shop();
    server.psql(
        "postgres",
        &format!("COMMENT ON DATABASE {shop} IS 'the shop'; ALTER DATABASE {shop} SET work_mem = '9MB'"),
    );
    let text = server.text(&shop);
    let dump = server.stock_dump(&shop, &["-Z0", "--create"]);
    let (exists, _) = server.call("postgres", "postgres-restore", r#"{"create": true}"#, dump.clone()).await;
    assert!(matches!(&exists, Err(Error::Failed(text)) if text.contains("already exists")), "{exists:?}");
    let (itself, _) = server.call(&shop, "postgres-restore", r#"{"create": true}"#, dump.clone()).await;
    assert!(matches!(&itself, Err(Error::InvalidParameter(text)) if text.contains("from within itself")), "{itself:?}");
    server.psql(&shop, "DROP TABLE orders CASCADE");
    let (report, _) = server.call("postgres", "postgres-restore", r#"{"create": true, "clean": true}"#, dump).await;
    assert_eq!(fact(&report.expect("restored"), "database"), shop);
    assert_eq!(server.text(&shop), text);
    assert_eq!(server.psql(&shop, "SHOW work_mem"), "9MB");
}

#[tokio::test]
async fn without_owners_and_privileges_all_is_the_restorers() {
    let Some(server) = server() else { return };
    let shop = server.shop();
    let dump = server.stock_dump(&shop, &["-Z0"]);
    let copy = server.database();
    let (report, _) = server.call(&copy, "postgres-restore", r#"{"noOwner": true, "noPrivileges": true}"#, dump).await;
    report.expect("restored");
    assert_eq!(server.psql(&copy, "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'audit'"), "postgres");
    assert_eq!(server.psql(&copy, "SELECT relowner::regrole FROM pg_class WHERE relname = 'log'"), "postgres");
    assert_eq!(server.psql(&copy, "SELECT relacl IS NULL FROM pg_class WHERE relname = 'customers'"), "t");
}

#[tokio::test]
async fn it_stops_at_the_first_error_and_names_the_entry() {
    let Some(server) = server() else { return };
    let database = server.database();
    server.psql("postgres", "CREATE ROLE passing");
    server.psql(
        &database,
        "CREATE TABLE a (x int); CREATE TABLE b (x int); ALTER TABLE b OWNER TO passing; INSERT INTO b VALUES (1)",
    );
    let dump = server.stock_dump(&database, &["-Z0"]);
    server.psql(&database, "DROP TABLE b; DROP ROLE passing");
    let copy = server.database();
    let (failed, _) = server.call(&copy, "postgres-restore", "{}", dump).await;
    assert!(
        matches!(&failed, Err(Error::Failed(text)) if text.contains("unable to restore TABLE public.b") && text.contains("\"passing\" does not exist")),
        "{failed:?}"
    );
}

#[tokio::test]
async fn passwords_and_rows_stay_out_of_errors() {
    let Some(server) = server() else { return };
    let database = server.database();
    server.psql("postgres", "CREATE ROLE mapped");
    server.psql(
        &database,
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w;
         CREATE USER MAPPING FOR mapped SERVER far OPTIONS (password 'hunter2')",
    );
    let dump = server.stock_dump(&database, &["-Z0"]);
    server.psql("postgres", &format!("DROP DATABASE {database}; DROP ROLE mapped"));
    let (failed, _) = server.call(&server.database(), "postgres-restore", "{}", dump).await;
    let text = failed.expect_err("no such role").message().to_string();
    assert!(text.contains("USER MAPPING mapped SERVER far") && text.contains("\"mapped\" does not exist"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains("CREATE"), "{text}");

    let database = server.database();
    server.psql(&database, "CREATE TABLE t (id int, ssn text UNIQUE); INSERT INTO t VALUES (1, 'hunter2')");
    let mut dump = server.stock_dump(&database, &["-Z0"]);
    dump[1].bytes = Ok(b"1\thunter2\n2\thunter2\n\\.\n\n\n".to_vec());
    let (failed, _) = server.call(&server.database(), "postgres-restore", "{}", dump).await;
    let text = failed.expect_err("twice the same").message().to_string();
    assert!(text.contains("t_ssn_key") && !text.contains("hunter2"), "{text}");
}

/// A function in a constraint, so that it runs for each row of the restore's own COPY.
#[tokio::test]
async fn a_flood_of_warnings_stops_neither_side() {
    let Some(server) = server() else { return };
    let database = server.database();
    server.psql(
        &database,
        "SET client_min_messages = error;
         CREATE FUNCTION public.warn(t text) RETURNS boolean LANGUAGE plpgsql AS
           $$ BEGIN RAISE WARNING '%', repeat('w', 1000); RETURN true; END $$;
         CREATE TABLE t (x text CHECK (public.warn(x)));
         INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, 20000)",
    );
    let dump = server.stock_dump(&database, &["-Z0"]);
    let copy = server.database();
    let restored = server.call(&copy, "postgres-restore", "{}", dump);
    let restored = tokio::time::timeout(std::time::Duration::from_secs(120), restored).await;
    let report = restored.expect("both sides wait for each other").0.expect("restored");
    assert_eq!(fact(&report, "rows"), "20000");
    let warnings = coffer_addon::testing::logged().iter().filter(|(_, text)| text.contains("wwww")).count();
    assert_eq!(warnings, 20000);
}

#[tokio::test]
async fn a_dump_that_is_not_whole_never_restores_well() {
    let Some(server) = server() else { return };
    let database = server.database();
    server.psql(
        &database,
        "CREATE TABLE a (x int); INSERT INTO a SELECT generate_series(1, 100000); CREATE TABLE b (x int)",
    );
    let dump = server.stock_dump(&database, &["-Z0"]);
    let run = async |inbox: Vec<_>| {
        let target = server.database();
        let outcome = server.call(&target, "postgres-restore", "{}", inbox).await.0;
        outcome.expect_err("not whole")
    };

    let error = run(vec![]).await;
    assert!(matches!(&error, Error::Corrupt(text) if text.contains("toc.dat did not come")), "{error:?}");
    let error = run(dump.iter().rev().cloned().collect()).await;
    assert!(matches!(&error, Error::Corrupt(text) if text.contains("has to come first")), "{error:?}");
    let error = run(dump[..2].to_vec()).await;
    assert!(matches!(&error, Error::Corrupt(text) if text.contains("did not come")), "{error:?}");
    let mut strange = dump.clone();
    strange.push(artifact("99999.dat", Ok(vec![])));
    let error = run(strange).await;
    assert!(matches!(&error, Error::Corrupt(text) if text.contains("99999.dat")), "{error:?}");

    let largest = (1..3).max_by_key(|i| dump[*i].bytes.as_ref().map_or(0, Vec::len)).expect("two");
    let mut broken = dump.clone();
    broken[largest].bytes = Err(Error::Unavailable("the storage went away".into()));
    let error = run(broken).await;
    assert!(
        matches!(&error, Error::Unavailable(text) if text.contains("the storage went away") && text.contains("TABLE DATA public.a")),
        "{error:?}"
    );
    // Cut at the end of a row: COPY itself has nothing to complain about.
    let mut cut = dump.clone();
    if let Ok(bytes) = &mut cut[largest].bytes {
        let end = bytes.iter().take(300_000).rposition(|byte| *byte == b'\n').expect("a row");
        bytes.truncate(end + 1);
    }
    let error = run(cut).await;
    assert!(matches!(&error, Error::Corrupt(text) if text.contains("no end-of-rows mark")), "{error:?}");
    // A mark in the middle hides the rows behind it.
    let mut hidden = dump.clone();
    hidden[largest].bytes = Ok(b"1\nhunter2\n\\.\n\n\n".to_vec());
    let error = run(hidden).await;
    assert!(matches!(&error, Error::Failed(text) if text.contains("COPY a, line 2, column x")), "{error:?}");
    assert!(!error.message().contains("hunter2"), "{error:?}");

    let compressed = server.stock_dump(&database, &["-Z6"]);
    let error = run(compressed).await;
    assert!(matches!(&error, Error::Unsupported(text) if text.contains("-Z0")), "{error:?}");
}

#[tokio::test]
async fn large_objects_are_refused_before_anything_is_touched() {
    let Some(server) = server() else { return };
    let database = server.database();
    server.psql(&database, "SELECT lo_from_bytea(4711, 'x'); CREATE TABLE a (x int)");
    let dump = server.stock_dump(&database, &["-Z0"]);
    let copy = server.database();
    let (refused, _) = server.call(&copy, "postgres-restore", "{}", dump).await;
    assert!(matches!(&refused, Err(Error::Unsupported(text)) if text.contains("large objects")), "{refused:?}");
    assert_eq!(server.psql(&copy, "SELECT count(*) FROM pg_class WHERE relname = 'a'"), "0");
}
