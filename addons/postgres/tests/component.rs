//! The component in the real host, with its own connections, streams and clock: what the native tests cannot see.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

mod support;

use coffer_addon::testing::Written;
use coffer_runtime::{Application, Class, Endpoint, Linked, Operation, Report, RunError, Tls};
use serde_json::json;
use support::{Server, artifact, server};
use tokio_util::sync::CancellationToken;

/// The component, built and compiled once; none where the target is not installed.
async fn component() -> Option<Linked> {
    static COMPONENT: tokio::sync::OnceCell<Option<Linked>> = tokio::sync::OnceCell::const_new();
    COMPONENT.get_or_init(|| coffer_test_components::addon("coffer-addon-postgres")).await.clone()
}

fn application(server: &Server, database: &str, user: &str, password: &str) -> Application {
    Application {
        kind: "postgresql".into(),
        version: None,
        endpoints: vec![Endpoint { name: "default".into(), host: "127.0.0.1".into(), port: server.port }],
        tls: Tls::disabled(),
        parameters: vec![("database".into(), database.into())],
        credentials: [("username", user), ("password", password)].map(|(k, v)| (k.into(), v.into())).into(),
    }
}

/// Runs a function with these artifacts; those that it gives.
async fn run(
    component: &Linked,
    application: Application,
    function: &str,
    parameters: serde_json::Value,
    given: Vec<Written>,
) -> (Result<Report, RunError>, Vec<Written>) {
    run_until(&CancellationToken::new(), component, application, function, parameters, given).await
}

/// [`run`], asked to stop by `cancel`.
async fn run_until(
    cancel: &CancellationToken,
    component: &Linked,
    application: Application,
    function: &str,
    parameters: serde_json::Value,
    given: Vec<Written>,
) -> (Result<Report, RunError>, Vec<Written>) {
    let operation = Operation::new(function, parameters);
    let operation = Operation { application: Some(application), cancel: cancel.clone(), ..operation };
    coffer_test_components::run(component, operation, given).await
}

fn fact<'a>(report: &'a Report, name: &str) -> &'a str {
    report.facts.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).expect("a fact")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_goes_through_the_component_and_back() {
    let (Some(server), Some(component)) = (server(), component().await) else { return };
    let descriptor = component.describe().await.expect("described");
    assert_eq!(descriptor, coffer_addon_postgres::addon().descriptor().expect("valid"));

    let shop = server.shop();
    server.psql(&shop, "CREATE TABLE large AS SELECT i, repeat(md5(i::text), 10) FROM generate_series(1, 100000) i");
    let wanted = server.text(&shop);
    let superuser = |database: &str| application(server, database, "postgres", "");
    let (report, _) = run(&component, superuser(&shop), "postgres-wait-ready", json!({}), vec![]).await;
    report.expect("ready");
    for jobs in [1, 4] {
        let (dumped, artifacts) =
            run(&component, superuser(&shop), "postgres-dump", json!({"jobs": jobs}), vec![]).await;
        let dumped = dumped.expect("dumped");
        assert_eq!(fact(&dumped, "rows"), "121503");
        assert_eq!(artifacts[0].artifact.name, "toc.dat");
        let copy = server.database();
        let (restored, _) =
            run(&component, superuser(&copy), "postgres-restore", json!({"jobs": jobs}), artifacts).await;
        assert_eq!(fact(&restored.expect("restored"), "rows"), "121503");
        assert_eq!(server.text(&copy), wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_the_hosts_and_the_servers() {
    let (Some(server), Some(component)) = (server(), component().await) else { return };
    let database = server.database();
    server.psql(&database, "CREATE TABLE t AS SELECT generate_series(1, 200000) AS i; GRANT SELECT ON t TO by_tls");
    // The server lets this user in by TLS only.
    let mut application = application(server, &database, "by_tls", support::PASSWORD);
    let (clear, _) = run(&component, application.clone(), "postgres-wait-ready", json!({}), vec![]).await;
    assert_eq!(clear.expect_err("in the clear").class, Class::Denied);
    let certificate = server.certificate.clone().into_bytes();
    application.tls = Tls { ca_pem: Some(certificate), server_name: Some("localhost".into()), ..Tls::default() };
    let (dumped, artifacts) = run(&component, application.clone(), "postgres-dump", json!({"jobs": 2}), vec![]).await;
    assert_eq!(fact(&dumped.expect("dumped"), "rows"), "200000");
    assert_eq!(artifacts.len(), 2);
    // Somebody else's name.
    application.tls.server_name = Some("example.org".into());
    let (refused, _) = run(&component, application, "postgres-wait-ready", json!({"timeout": "2s"}), vec![]).await;
    refused.expect_err("another's certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_come_out_with_their_class() {
    let (Some(server), Some(component)) = (server(), component().await) else { return };
    let wrong = application(server, "postgres", "by_scram", "guess");
    let (denied, _) = run(&component, wrong, "postgres-dump", json!({}), vec![]).await;
    let denied = denied.expect_err("denied");
    assert!(denied.class == Class::Denied && denied.message.contains("wrong user or password"), "{denied}");

    let right = application(server, "postgres", "by_scram", support::PASSWORD);
    let (ready, _) = run(&component, right, "postgres-wait-ready", json!({}), vec![]).await;
    ready.expect("SCRAM");

    let mut nobody = application(server, "postgres", "postgres", "");
    nobody.endpoints[0].port = 1;
    let (unavailable, _) = run(&component, nobody, "postgres-wait-ready", json!({"timeout": "1s"}), vec![]).await;
    assert_eq!(unavailable.expect_err("unavailable").class, Class::Unavailable);

    let target = application(server, &server.database(), "postgres", "");
    let garbage = vec![artifact("toc.dat", Ok(b"-- PostgreSQL".to_vec()))];
    let (corrupt, _) = run(&component, target, "postgres-restore", json!({}), garbage).await;
    assert_eq!(corrupt.expect_err("corrupt").class, Class::Corrupt);
}

/// The sessions of a database's runs, among them those whose client is gone.
fn sessions(server: &Server, database: &str, condition: &str) -> String {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND application_name = 'coffer' AND {condition}"
    );
    server.psql("postgres", &sql)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..200 {
        if condition() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_dump_waits_for_no_lock_any_more() {
    let (Some(server), Some(component)) = (server(), component().await) else { return };
    let database = server.database();
    server.psql(&database, "CREATE TABLE held (x int); GRANT SELECT ON held TO by_tls");
    let mut other = server.client(&database).await;
    other.execute("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE").await.expect("locked");
    // Over TLS, so that the request for the cancel needs it too.
    let mut application = application(server, &database, "by_tls", support::PASSWORD);
    let certificate = server.certificate.clone().into_bytes();
    application.tls = Tls { ca_pem: Some(certificate), server_name: Some("localhost".into()), ..Tls::default() };
    let cancel = CancellationToken::new();
    let running = run_until(&cancel, &component, application, "postgres-dump", json!({"lockTimeout": "0s"}), vec![]);
    let stop = async {
        until("no wait", || sessions(server, &database, "wait_event_type = 'Lock'") == "1").await;
        cancel.cancel();
    };
    let ((outcome, _), ()) = tokio::join!(running, stop);
    assert_eq!(outcome.expect_err("cancelled").class, Class::Cancelled);
    until("the server waits on", || sessions(server, &database, "usename = 'by_tls'") == "0").await;
    assert_eq!(other.execute("COMMIT").await.as_deref(), Ok("COMMIT"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_restore_builds_no_index_any_more() {
    let (Some(server), Some(component)) = (server(), component().await) else { return };
    let database = server.database();
    // Slow for a restore only.
    server.psql(
        &database,
        "CREATE FUNCTION public.slow(x int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
           IF current_setting('application_name') = 'coffer' THEN PERFORM pg_sleep(600); END IF; RETURN x; END $$;
         CREATE TABLE t (x int); INSERT INTO t VALUES (1); CREATE INDEX ON t (slow(x)); CREATE INDEX ON t (slow(x), x)",
    );
    let dump = server.stock_dump(&database, &["-Z0"]);
    let copy = server.database();
    let target = application(server, &copy, "postgres", "");
    let cancel = CancellationToken::new();
    let running = run_until(&cancel, &component, target, "postgres-restore", json!({"jobs": 2}), dump);
    let stop = async {
        until("no index is built", || {
            sessions(server, &copy, "query LIKE 'CREATE INDEX%' AND state = 'active'") == "2"
        })
        .await;
        cancel.cancel();
    };
    let ((outcome, _), ()) = tokio::join!(running, stop);
    assert_eq!(outcome.expect_err("cancelled").class, Class::Cancelled);
    until("the server builds on", || sessions(server, &copy, "true") == "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_jobs_as_are_allowed_stay_below_the_hosts_limit() {
    let (Some(server), Some(component)) = (server(), component().await) else { return };
    let descriptor = component.describe().await.expect("described");
    let database = server.database();
    let tables = (0..80).map(|table| format!("CREATE TABLE t{table} AS SELECT generate_series(1, 10) AS x;"));
    server.psql(&database, &tables.collect::<String>());
    let maximum = |name: &str| {
        let function = descriptor.functions.iter().find(|function| function.name == name).expect("there");
        json!({"jobs": function.parameters["properties"]["jobs"]["maximum"].as_u64().expect("a number")})
    };
    let source = application(server, &database, "postgres", "");
    let (dumped, artifacts) = run(&component, source, "postgres-dump", maximum("postgres-dump"), vec![]).await;
    assert_eq!(fact(&dumped.expect("dumped"), "tables"), "80");
    let target = application(server, &server.database(), "postgres", "");
    let (restored, _) = run(&component, target, "postgres-restore", maximum("postgres-restore"), artifacts).await;
    assert_eq!(fact(&restored.expect("restored"), "rows"), "800");
}
