//! postgres-dump: what it writes is restored by pg_restore and by postgres-restore to the same database.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

mod support;

use coffer_addon::Error;
use coffer_addon_postgres::archive::Archive;
use support::{fact, server};

#[tokio::test]
async fn our_dump_is_restored_by_pg_restore_and_by_us() {
    let Some(server) = server() else { return };
    let shop = server.shop();
    let wanted = server.text(&shop);
    for jobs in [1, 4] {
        let (report, dump) = server.call(&shop, "postgres-dump", &format!(r#"{{"jobs": {jobs}}}"#), vec![]).await;
        let report = report.expect("dumped");
        assert_eq!(fact(&report, "rows"), "21503");
        assert_eq!(fact(&report, "database"), shop);
        assert_eq!(dump[0].artifact.name, "toc.dat");

        let stock = server.database();
        server.stock_restore(&stock, &dump);
        assert_eq!(server.text(&stock), wanted);

        let ours = server.database();
        let (restored, _) = server.call(&ours, "postgres-restore", r#"{"jobs": 3}"#, dump).await;
        let restored = restored.expect("restored");
        assert_eq!(server.text(&ours), wanted);
        for same in ["tables", "rows", "bytes", "objects"] {
            assert_eq!(fact(&restored, same), fact(&report, same), "{same}");
        }
    }
}

/// Whoever compares the two reports must find a difference only where there is one.
#[tokio::test]
async fn dump_and_restore_report_the_same() {
    let Some(server) = server() else { return };
    let shop = server.shop();
    server.psql(
        &shop,
        "CREATE UNLOGGED TABLE volatile (x int); INSERT INTO volatile SELECT generate_series(1, 10);
         CREATE TABLE tree (x int, y int) PARTITION BY LIST (x);
         CREATE TABLE tree_1 PARTITION OF tree FOR VALUES IN (1);
         CREATE TABLE tree_rest PARTITION OF tree DEFAULT PARTITION BY RANGE (y);
         CREATE TABLE tree_rest_all PARTITION OF tree_rest DEFAULT;
         INSERT INTO tree VALUES (1, 1), (2, 2), (NULL, NULL);
         CREATE TABLE parent (x int); CREATE TABLE child (y int) INHERITS (parent); INSERT INTO child VALUES (1, 2);
         CREATE MATERIALIZED VIEW filled AS SELECT x FROM tree; CREATE MATERIALIZED VIEW unfilled AS SELECT 1 WITH NO DATA;
         CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE away (x int) SERVER far;
         CREATE EXTENSION hstore; CREATE TABLE settings (id int); INSERT INTO settings VALUES (1), (7), (8);
         ALTER EXTENSION hstore ADD TABLE settings;
         UPDATE pg_extension SET extconfig = ARRAY['settings'::regclass]::oid[], extcondition = ARRAY['WHERE id > 5']
           WHERE extname = 'hstore'",
    );
    for jobs in [1, 4] {
        let jobs = format!(r#"{{"jobs": {jobs}}}"#);
        let (dumped, dump) = server.call(&shop, "postgres-dump", &jobs, vec![]).await;
        let dumped = dumped.expect("dumped");
        assert_eq!((fact(&dumped, "tables"), fact(&dumped, "rows")), ("13", "21519"));
        let copy = server.database();
        // No extension has such a table by itself.
        server.psql(
            &copy,
            "CREATE FUNCTION pg_catalog.make_settings() RETURNS event_trigger LANGUAGE plpgsql AS
               $$ BEGIN CREATE TABLE public.settings (id int); ALTER EXTENSION hstore ADD TABLE public.settings; END $$;
             CREATE EVENT TRIGGER make_settings ON ddl_command_end WHEN TAG IN ('CREATE EXTENSION')
               EXECUTE PROCEDURE pg_catalog.make_settings()",
        );
        let (restored, _) = server.call(&copy, "postgres-restore", &jobs, dump).await;
        let restored = restored.expect("restored");
        for same in ["tables", "rows", "bytes", "objects"] {
            assert_eq!(fact(&restored, same), fact(&dumped, same), "{same}");
        }
        assert_eq!(server.psql(&copy, "SELECT sum(id) FROM settings"), "15");
    }
}

#[tokio::test]
async fn data_files_and_the_head_are_byte_for_byte_those_of_pg_dump() {
    let Some(server) = server() else { return };
    let shop = server.shop();
    let (report, ours) = server.call(&shop, "postgres-dump", "{}", vec![]).await;
    report.expect("dumped");
    let stock = server.stock_dump(&shop, &["-Z0"]);
    let read = |dump: &[coffer_addon::testing::Written]| {
        Archive::read(dump[0].bytes.as_ref().expect("whole")).expect("readable")
    };
    let (our_toc, stock_toc) = (read(&ours), read(&stock));
    assert_eq!((&our_toc.server_version, &our_toc.database), (&stock_toc.server_version, &stock_toc.database));
    let mut compared = 0;
    for entry in stock_toc.entries.iter().filter(|entry| entry.kind == "TABLE DATA") {
        let same = our_toc
            .entries
            .iter()
            .find(|ours| (&ours.kind, &ours.namespace, &ours.tag) == (&entry.kind, &entry.namespace, &entry.tag));
        let same = same.unwrap_or_else(|| panic!("no {} {}", entry.namespace, entry.tag));
        // pg_dump puts a blank in the place of no columns.
        assert_eq!(same.copy, entry.copy.replace("  ", " "));
        let file = |dump: &[coffer_addon::testing::Written], id: i32| {
            let name = format!("{id}.dat");
            dump.iter().find(|written| written.artifact.name == name).map(|written| written.bytes.clone())
        };
        assert_eq!(file(&ours, same.id), file(&stock, entry.id));
        compared += 1;
    }
    assert_eq!(compared, 7);
}

#[tokio::test]
async fn all_workers_see_one_moment() {
    let Some(server) = server() else { return };
    let database = server.database();
    server.psql(&database, "CREATE TABLE a (x int); CREATE TABLE b (x int); CREATE TABLE c (x int)");
    // A writer that always changes all three at once.
    let arguments = server.args(&database);
    let psql = server.tool("psql");
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let writer = std::thread::spawn(move || {
        let mut rounds = 0;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            let sql = "BEGIN; INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); INSERT INTO c VALUES (1); COMMIT;"
                .repeat(50);
            let out = std::process::Command::new(&psql)
                .args(&arguments)
                .args(["-X", "-q", "-c", &sql])
                .output()
                .expect("psql");
            assert!(out.status.success());
            rounds += 1;
        }
        rounds
    });
    for _ in 0..5 {
        let (report, dump) = server.call(&database, "postgres-dump", r#"{"jobs": 3}"#, vec![]).await;
        report.expect("dumped");
        let lengths: Vec<_> = dump[1..].iter().map(|written| written.bytes.as_ref().map(Vec::len)).collect();
        assert_eq!(lengths.len(), 3);
        assert!(lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(writer.join().expect("writer") > 0);
}

#[tokio::test]
async fn what_cannot_be_dumped_is_refused_by_name_or_reported() {
    let Some(server) = server() else { return };
    let database = server.database();
    server.psql(&database, "SELECT lo_from_bytea(4711, 'x'); CREATE TABLE a (x int)");
    let (refused, _) = server.call(&database, "postgres-dump", "{}", vec![]).await;
    assert!(matches!(&refused, Err(Error::Unsupported(text)) if text.contains("large objects")), "{refused:?}");
    let (report, dump) = server.call(&database, "postgres-dump", r#"{"allowUnsupported": true}"#, vec![]).await;
    assert!(fact(&report.expect("dumped"), "unsupported").contains("large objects"));
    assert_eq!(dump.len(), 2);
}

#[tokio::test]
async fn a_locked_table_is_waited_for_only_so_long() {
    let Some(server) = server() else { return };
    let database = server.database();
    server.psql(&database, "CREATE TABLE held (x int)");
    let mut other = server.client(&database).await;
    other.execute("BEGIN").await.expect("begun");
    other.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE").await.expect("locked");
    let (refused, _) = server.call(&database, "postgres-dump", r#"{"lockTimeout": "100ms"}"#, vec![]).await;
    assert!(matches!(&refused, Err(Error::Unavailable(text)) if text.contains("lock")), "{refused:?}");
}

#[tokio::test]
async fn row_security_is_an_error_and_never_a_smaller_dump() {
    let Some(server) = server() else { return };
    let database = server.database();
    server.psql(
        &database,
        "CREATE TABLE mine (x int); INSERT INTO mine VALUES (1); ALTER TABLE mine ENABLE ROW LEVEL SECURITY; GRANT SELECT ON mine TO by_scram",
    );
    let (outbox, _) = coffer_addon::testing::outbox();
    let application = server.application(&database, "by_scram", Some(support::PASSWORD));
    let ends = coffer_addon::Ends { application, inbox: coffer_addon::testing::inbox([]), outbox };
    let refused = coffer_addon_postgres::addon().run(ends, "postgres-dump", "{}").await;
    assert!(matches!(&refused, Err(Error::Denied(text)) if text.contains("row-level security")), "{refused:?}");
}

#[tokio::test]
async fn wait_ready_waits_for_a_server_and_not_for_a_password() {
    let Some(server) = server() else { return };
    let (report, _) = server.call("postgres", "postgres-wait-ready", "{}", vec![]).await;
    assert!(!fact(&report.expect("ready"), "serverVersion").is_empty());
    let ends = |application| coffer_addon::Ends {
        application,
        inbox: coffer_addon::testing::inbox([]),
        outbox: coffer_addon::testing::outbox().0,
    };
    let wrong = ends(server.application("postgres", "by_scram", Some("guess")));
    let denied = coffer_addon_postgres::addon().run(wrong, "postgres-wait-ready", "{}").await;
    assert!(matches!(denied, Err(Error::Denied(_))), "{denied:?}");

    let nobody = coffer_addon::testing::application(coffer_addon::Binding::default(), &[("username", "u")], || async {
        Err(Error::Unavailable("connection refused".into()))
    });
    let gave_up =
        coffer_addon_postgres::addon().run(ends(nobody), "postgres-wait-ready", r#"{"timeout": "700ms"}"#).await;
    assert!(matches!(&gave_up, Err(Error::Unavailable(text)) if text.contains("connection refused")), "{gave_up:?}");
}
