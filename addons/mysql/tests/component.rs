//! The component in the real host, with its own TLS, connections and randomness: what the native tests cannot see.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

mod support;

use coffer_runtime::{Application, Class, Endpoint, Linked, Operation, Report, RunError, Tls};
use coffer_test_servers::{Mysql, MysqlAuth, MysqlOptions, MysqlTls, MysqlVersion};
use serde_json::json;
use support::{server, start};

const PASSWORD: &str = "s3cret ünd ' \\";

/// The component, built and compiled once; none where the target is not installed.
async fn component() -> Option<Linked> {
    static COMPONENT: tokio::sync::OnceCell<Option<Linked>> = tokio::sync::OnceCell::const_new();
    COMPONENT.get_or_init(|| coffer_test_components::addon("coffer-addon-mysql")).await.clone()
}

fn application(server: &Mysql, user: &str, password: &str, tls: Tls) -> Application {
    Application {
        kind: "mysql".into(),
        version: None,
        endpoints: vec![Endpoint { name: "default".into(), host: "127.0.0.1".into(), port: server.port() }],
        tls,
        parameters: Vec::new(),
        credentials: [("username", user), ("password", password)].map(|(k, v)| (k.into(), v.into())).into(),
    }
}

async fn wait_ready(component: &Linked, application: Application) -> Result<Report, RunError> {
    let operation = Operation::new("mysql-wait-ready", json!({"timeout": "5s"}));
    let operation = Operation { application: Some(application), ..operation };
    coffer_test_components::run(component, operation, Vec::new()).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn it_describes_itself_as_the_addon_does() {
    let Some(component) = component().await else { return };
    let descriptor = component.describe().await.expect("described");
    assert_eq!(descriptor, coffer_addon_mysql::addon().descriptor().expect("valid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_encrypted_by_the_hosts_randomness() {
    let (Some(server), Some(component)) = (server(MysqlVersion::MySql97), component().await) else { return };
    // Neither is in the server's cache: both send the password, for the server's key.
    for auth in [MysqlAuth::CachingSha2, MysqlAuth::Sha256] {
        let user = format!("by_{auth:?}");
        server.create_user(&user, auth, PASSWORD).expect("a user");
        let report = wait_ready(&component, application(server, &user, PASSWORD, Tls::disabled())).await;
        let report = report.unwrap_or_else(|error| panic!("{user}: {error}"));
        assert!(report.facts.iter().any(|(name, value)| name == "serverVersion" && value.starts_with("9.7")));
        let wrong = wait_ready(&component, application(server, &user, "guess", Tls::disabled())).await;
        assert_eq!(wrong.expect_err("denied").class, Class::Denied);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_the_hosts_and_the_servers() {
    for version in MysqlVersion::SUPPORTED {
        let options = MysqlOptions { tls: MysqlTls::Required, ..MysqlOptions::default() };
        let (Some(server), Some(component)) = (start(version, &options), component().await) else { continue };
        let ca = server.authority().expect("TLS").certificate().into_bytes();
        let tls = Tls { ca_pem: Some(ca), server_name: Some("localhost".into()), ..Tls::default() };
        for auth in version.auths() {
            let user = format!("by_{auth:?}");
            server.create_user(&user, *auth, PASSWORD).expect("a user");
            // Once with the password itself, where the server does not know it yet.
            for _ in 0..2 {
                let report = wait_ready(&component, application(&server, &user, PASSWORD, tls.clone())).await;
                report.unwrap_or_else(|error| panic!("{}, {user}: {error}", version.name()));
            }
            let wrong = wait_ready(&component, application(&server, &user, "guess", tls.clone())).await;
            assert_eq!(wrong.expect_err("denied").class, Class::Denied);
            // The server lets nobody in without TLS.
            let clear = wait_ready(&component, application(&server, &user, PASSWORD, Tls::disabled())).await;
            let clear = clear.expect_err("in the clear");
            assert!(clear.class == Class::Denied && clear.message.contains("clientConfig.tlsMode"), "{clear}");
        }
        // Somebody else's name, and nobody who vouches for it.
        let other = Tls { server_name: Some("example.org".into()), ..tls.clone() };
        let unknown = Tls { ca_pem: None, ..tls };
        for tls in [other, unknown] {
            let refused = wait_ready(&component, application(&server, Mysql::USER, server.password(), tls)).await;
            refused.expect_err("another's certificate");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_gets_nothing_where_the_binding_requires_it() {
    let Some(component) = component().await else { return };
    for version in MysqlVersion::ALL {
        let Some(server) = server(version) else { continue };
        let tls = Tls { server_name: Some("localhost".into()), ..Tls::default() };
        let refused = wait_ready(&component, application(server, Mysql::USER, server.password(), tls)).await;
        let refused = refused.expect_err("no TLS");
        assert!(refused.class == Class::Denied && refused.message.contains("tlsMode"), "{refused}");
    }
}
