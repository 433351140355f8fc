//! The component in the real host against a server that takes TLS only: there is none natively.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use coffer_runtime::{Application, Class, Endpoint, Linked, Operation, Report, RunError, Tls};
use coffer_test_servers::{Mongodb, MongodbOptions, MongodbTls, MongodbVersion};
use serde_json::json;

async fn wait_ready(component: &Linked, port: u16, password: &str, tls: Tls) -> Result<Report, RunError> {
    let application = Application {
        kind: "mongodb".into(),
        version: None,
        endpoints: vec![Endpoint { name: "default".into(), host: "127.0.0.1".into(), port }],
        tls,
        parameters: vec![("connectTimeoutMS".into(), "2000".into())],
        credentials: [("username", Mongodb::USER), ("password", password)].map(|(k, v)| (k.into(), v.into())).into(),
    };
    let operation = Operation::new("mongodb-wait-ready", json!({"timeout": "5s"}));
    let operation = Operation { application: Some(application), ..operation };
    coffer_test_components::run(component, operation, Vec::new()).await.0
}

fn start(version: MongodbVersion, tls: MongodbTls) -> Option<Mongodb> {
    if let Err(error) = version.prepare() {
        coffer_test_servers::skipped(format_args!("no {}: {error}", version.name()));
        return None;
    }
    Some(Mongodb::start(version, &MongodbOptions { tls, ..MongodbOptions::default() }).expect("a server"))
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_the_hosts_and_begins_at_once() {
    let Some(component) = coffer_test_components::addon("coffer-addon-mongodb").await else { return };
    for version in MongodbVersion::ALL {
        let Some(server) = start(version, MongodbTls::Required) else { continue };
        let name = version.name();
        let ca = server.authority().expect("TLS").certificate().into_bytes();
        let tls = Tls { ca_pem: Some(ca), server_name: Some("localhost".into()), ..Tls::default() };
        let ready = wait_ready(&component, server.port(), server.password(), tls.clone()).await;
        ready.unwrap_or_else(|error| panic!("{name}: {error}"));
        let wrong = wait_ready(&component, server.port(), "guess", tls.clone()).await;
        assert_eq!(wrong.expect_err("denied").class, Class::Denied, "{name}");
        // The server takes nothing in the clear.
        let clear = wait_ready(&component, server.port(), server.password(), Tls::disabled()).await;
        let clear = clear.expect_err("in the clear");
        assert!(clear.message.contains("clientConfig.tlsMode"), "{name}: {clear}");
        // Somebody else's name, and nobody who vouches for it.
        let other = Tls { server_name: Some("example.org".into()), ..tls.clone() };
        for tls in [other, Tls { ca_pem: None, ..tls.clone() }] {
            let refused = wait_ready(&component, server.port(), server.password(), tls).await;
            refused.expect_err("another's certificate");
        }
        let Some(plain) = start(version, MongodbTls::Off) else { continue };
        let none = wait_ready(&component, plain.port(), plain.password(), tls).await.expect_err("no TLS");
        assert!(none.message.contains("clientConfig.tlsMode"), "{name}: {none}");
    }
}
