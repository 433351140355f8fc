//! The dump of nodes with TLS and users, through the real host: whom it trusts, who it says it is, and what it may.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

mod dumping;

use coffer_addon::testing::Written;
use coffer_runtime::{Application, Class, Endpoint, Linked, Operation, Report, RunError, Tls};
use coffer_test_servers::search::{Search, SearchOptions, SearchVersion, sample};
use dumping::fake::{Answer, Asked, Fake};
use dumping::open_contexts;
use serde_json::{Value, json};

const LIMITED: &str = "limited";

/// Of a node to be dumped by whoever has `credentials`.
struct There<'a> {
    component: &'a Linked,
    server: &'a Search,
    tls: Tls,
}

impl There<'_> {
    async fn dump(
        &self,
        tls: Tls,
        credentials: &[(&str, &str)],
        parameters: Value,
    ) -> (Result<Report, RunError>, Vec<Written>) {
        let application = Application {
            kind: if self.server.version().is_opensearch() { "opensearch" } else { "elasticsearch" }.into(),
            version: None,
            endpoints: vec![Endpoint { name: "default".into(), host: "127.0.0.1".into(), port: self.server.port() }],
            tls,
            parameters: Vec::new(),
            credentials: credentials.iter().map(|(name, value)| (name.to_string(), (*value).into())).collect(),
        };
        let operation =
            Operation { application: Some(application), ..Operation::new("elasticsearch-dump", parameters) };
        let outcome = coffer_test_components::run(self.component, operation, Vec::new()).await;
        assert_eq!(open_contexts(self.server), 0, "contexts are given back");
        outcome
    }

    async fn fails(&self, tls: Tls, credentials: &[(&str, &str)], parameters: Value) -> RunError {
        let error = self.dump(tls, credentials, parameters).await.0.expect_err("not let in");
        let secrets = credentials.iter().filter(|(name, _)| *name != "username");
        secrets.for_each(|(name, secret)| assert!(!error.to_string().contains(secret), "the {name} is told"));
        error
    }

    /// The same on every node.
    async fn knows_whom_to_trust(&self) {
        let password = self.server.password().expect("one");
        let user = [("username", Search::USER), ("password", password)];
        let only = json!({ "indices": [sample::ODD] });
        let (dumped, files) = self.dump(self.tls.clone(), &user, only.clone()).await;
        assert!(dumped.expect("dumped").facts.contains(&("tables".into(), "1".into())));
        let lines = files.iter().find(|file| file.artifact.name == format!("{}.json", sample::ODD)).expect("a file");
        assert!(!lines.bytes.as_ref().expect("whole").is_empty());

        let wrong = [("username", Search::USER), ("password", "a guess")];
        for nobody in [&wrong[..], &[]] {
            let error = self.fails(self.tls.clone(), nobody, only.clone()).await;
            assert_eq!(error.class, Class::Denied, "{error}");
            assert!(error.to_string().contains("credentials") && !error.to_string().contains("a guess"), "{error}");
        }
        let unknown = Tls { ca_pem: None, ..self.tls.clone() };
        let error = self.fails(unknown, &user, only.clone()).await;
        assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
        let other = Tls { server_name: Some("example.org".into()), ..self.tls.clone() };
        let error = self.fails(other, &user, only.clone()).await;
        assert!(error.to_string().contains("example.org"), "{error}");
        self.fails(Tls::disabled(), &user, only).await;
    }
}

/// None where the target is not installed, or nobody asked for this node.
async fn component(version: SearchVersion) -> Option<Linked> {
    if !SearchVersion::tested().contains(&version) {
        coffer_test_servers::skipped(format_args!("{}; set COFFER_TEST_ALL_SEARCH=1", version.name()));
        return None;
    }
    if !version.is_at_hand() {
        return None;
    }
    coffer_test_components::addon("coffer-addon-elasticsearch").await
}

fn start(version: SearchVersion) -> (Search, Tls) {
    let server = Search::start(version, &SearchOptions::default()).expect("a node");
    sample::create(&server, 500).expect("the sample");
    let authority = server.authority().expect("TLS").certificate().into_bytes();
    let tls = Tls { ca_pem: Some(authority), server_name: Some("localhost".into()), ..Tls::default() };
    (server, tls)
}

#[tokio::test(flavor = "multi_thread")]
async fn opensearch_with_tls_and_users_is_dumped() {
    let version = SearchVersion::OpenSearch34Secured;
    let Some(component) = component(version).await else { return };
    let (server, tls) = start(version);
    let there = There { component: &component, server: &server, tls };
    there.knows_whom_to_trust().await;

    // Who may see one index only is told what is missing.
    let client = server.client();
    let password = "correct-Höhe/%9x-battery";
    let role = json!({ "cluster_permissions": ["cluster_monitor"],
        "index_permissions": [{ "index_patterns": [sample::ODD], "allowed_actions": ["read", "indices_monitor"] }] });
    client.ask("PUT", "/_plugins/_security/api/roles/limited", &role).expect("a role");
    let user = json!({ "password": password, "opendistro_security_roles": [LIMITED] });
    client.ask("PUT", "/_plugins/_security/api/internalusers/limited", &user).expect("a user");
    let limited = [("username", LIMITED), ("password", password)];
    let error = there.fails(there.tls.clone(), &limited, json!({ "indices": [sample::ODD] })).await;
    assert_eq!(error.class, Class::Denied, "{error}");
    assert!(error.to_string().contains("privilege") && error.to_string().contains("403"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn elasticsearch_with_tls_and_users_is_dumped() {
    let version = SearchVersion::Elasticsearch95Secured;
    let Some(component) = component(version).await else { return };
    let (server, tls) = start(version);
    let there = There { component: &component, server: &server, tls };
    there.knows_whom_to_trust().await;

    // Where it says what a role hides; to hide something it wants a licence.
    let privileges = server.client().ask("GET", "/_security/user/_privileges", &Value::Null).expect("privileges");
    assert!(privileges["indices"][0]["names"].is_array(), "{privileges}");

    // An API key that may do what the manual says, and one that may not read.
    let key = |privileges: Value| {
        let role = json!({ "cluster": ["monitor", "read_pipeline", "read_ilm"],
            "indices": [{ "names": [sample::ODD], "privileges": privileges }] });
        let body = json!({ "name": "backup", "role_descriptors": { "backup": role } });
        let answer = server.client().ask("POST", "/_security/api_key", &body).expect("a key");
        answer["encoded"].as_str().expect("a key").to_owned()
    };
    let only = json!({ "indices": [sample::ODD] });
    let may = key(json!(["monitor", "read", "view_index_metadata", "maintenance"]));
    let (dumped, _) = there.dump(there.tls.clone(), &[("apiKey", &may)], only.clone()).await;
    let facts = dumped.expect("dumped").facts;
    let fact = |name: &str| facts.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(fact("tables"), Some("1"), "{facts:?}");
    // It is shown what it may see, and told that this is not all.
    let error = there.fails(there.tls.clone(), &[("apiKey", &may)], json!({})).await;
    assert_eq!(error.class, Class::Denied, "{error}");
    assert!(error.to_string().contains(sample::ORDERS) && error.to_string().contains("exclude"), "{error}");
    for parameters in [json!({ "include": [sample::ODD] }), json!({ "exclude": ["shop-[", "*"] })] {
        let dumped = there.dump(there.tls.clone(), &[("apiKey", &may)], parameters.clone()).await.0;
        let is_all = parameters.get("include").is_some();
        assert_eq!(dumped.is_ok(), is_all, "{dumped:?}");
    }
    let may_not = key(json!(["monitor", "view_index_metadata", "maintenance"]));
    let error = there.fails(there.tls.clone(), &[("apiKey", &may_not)], only.clone()).await;
    assert_eq!(error.class, Class::Denied, "{error}");
    assert!(error.to_string().contains("privilege") && error.to_string().contains(sample::ODD), "{error}");
    let error = there.fails(there.tls.clone(), &[("apiKey", "bm9uZTpub25l")], only).await;
    assert_eq!(error.class, Class::Denied, "{error}");
}

/// A server, or a proxy before it, may say what it was asked with.
#[tokio::test(flavor = "multi_thread")]
async fn no_error_has_a_secret_that_the_server_repeats() {
    let Some(component) = coffer_test_components::addon("coffer-addon-elasticsearch").await else { return };
    for (credentials, secrets) in [
        (
            &[("username", "backup"), ("password", "correct-horse")][..],
            &["correct-horse", "YmFja3VwOmNvcnJlY3QtaG9yc2U="][..],
        ),
        (&[("apiKey", "bm9uZTpub25l")], &["bm9uZTpub25l"]),
        (&[("token", "a-bearers-token")], &["a-bearers-token"]),
    ] {
        let repeated: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        let fake = Fake::start(move |asked| {
            // The last is what goes over the wire.
            let sent = asked.headers.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or_default();
            assert!(sent.ends_with(&repeated.last()?.to_lowercase()), "it was not sent: {sent}");
            let reason = format!("unable to authenticate with {}", repeated.join(" and "));
            Some(Answer::Json(401, json!({ "error": { "type": "security_exception", "reason": reason } })))
        })
        .await;
        let application = Application {
            kind: "elasticsearch".into(),
            version: None,
            endpoints: vec![Endpoint { name: "default".into(), host: "127.0.0.1".into(), port: fake.port }],
            tls: Tls::disabled(),
            parameters: Vec::new(),
            credentials: credentials.iter().map(|(name, value)| (name.to_string(), (*value).into())).collect(),
        };
        let operation = Operation { application: Some(application), ..Operation::new("elasticsearch-dump", json!({})) };
        let error = coffer_test_components::run(&component, operation, Vec::new()).await.0.expect_err("not let in");
        let text = error.to_string();
        assert!(text.contains("unable to authenticate with ***"), "{text}");
        secrets.iter().for_each(|secret| assert!(!text.contains(secret), "{text}"));
    }
}

/// A Kibana below `/base`.
fn kibana(asked: &Asked) -> Option<Answer> {
    let answer = match asked.path.strip_prefix("/base")? {
        "/api/status" => json!({ "version": { "number": "9.5.3" } }),
        "/api/kibana/management/saved_objects/_allowed_types" => json!({ "types": [{ "name": "dashboard" }] }),
        "/api/spaces/space" => json!([{ "id": "default", "name": "Default" }]),
        "/api/saved_objects/_export" => json!({ "exportedCount": 0 }),
        other => panic!("{other}"),
    };
    Some(Answer::Json(200, answer))
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_are_an_endpoint_of_their_own() {
    let Some(component) = coffer_test_components::addon("coffer-addon-elasticsearch").await else { return };
    let (server, dashboards) = (Fake::start(|_| None).await, Fake::start(kibana).await);
    let endpoint = |name: &str, fake: &Fake| Endpoint { name: name.into(), host: "127.0.0.1".into(), port: fake.port };
    let application = Application {
        kind: "elasticsearch".into(),
        version: None,
        endpoints: vec![endpoint("default", &server), endpoint("dashboards", &dashboards)],
        tls: Tls::disabled(),
        parameters: vec![("dashboardsPath".into(), "/base".into())],
        credentials: [("username", "u"), ("password", "p")].map(|(k, v)| (k.into(), v.into())).into(),
    };
    let parameters = json!({ "savedObjects": true });
    let operation = Operation { application: Some(application), ..Operation::new("elasticsearch-dump", parameters) };
    let (dumped, files) = coffer_test_components::run(&component, operation, Vec::new()).await;
    assert!(dumped.expect("dumped").facts.contains(&("savedObjects".into(), "0".into())));
    assert!(files.iter().any(|file| file.artifact.name == "saved-objects/default.ndjson"));
    let export = dashboards.heard().into_iter().find(|asked| asked.path.ends_with("_export")).expect("an export");
    for header in ["kbn-xsrf: true", "x-elastic-internal-origin: coffer", "authorization: basic "] {
        assert!(export.headers.contains(header), "{}", export.headers);
    }
    assert!(server.is_clean() && server.heard().iter().all(|asked| !asked.path.starts_with("/base")));
}
