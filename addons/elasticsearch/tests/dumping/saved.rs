//! Dashboards' saved objects: no Kibana is at hand, so one is played. A real one is asked where `COFFER_TEST_DASHBOARDS_URL` names
//! one, with the server behind it at `COFFER_TEST_DASHBOARDS_SEARCH_URL`, both over HTTP.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::dumping::fake::{Answer, Asked, Fake};
use super::dumping::{at, binding, dump_from, with_dashboards};
use coffer_addon::{Binding, Error, testing};
use serde_json::{Value, json};
use tokio_util::compat::TokioAsyncReadCompatExt;

const OBJECT: &str = r#"{"attributes":{"title":"Größe","x":1.10},"id":"a","references":[],"type":"dashboard"}"#;

fn export(objects: usize, details: &Value) -> Answer {
    Answer::Text(200, format!("{}{details}", format!("{OBJECT}\n").repeat(objects)))
}

fn details(count: usize) -> Value {
    json!({ "exportedCount": count, "missingRefCount": 0, "missingReferences": [], "excludedObjectsCount": 0,
        "excludedObjects": [] })
}

/// A Kibana below `/kibana` with a space beside the default one.
fn kibana(asked: &Asked) -> Option<Answer> {
    let path = asked.path.strip_prefix("/kibana")?;
    let answer = match (asked.method.as_str(), path) {
        ("GET", "/api/status") => json!({ "name": "k", "version": { "number": "9.5.3" } }),
        ("GET", "/api/kibana/management/saved_objects/_allowed_types") => {
            json!({ "types": [{ "name": "dashboard", "hidden": false }, { "name": "index-pattern" }] })
        }
        ("GET", "/api/spaces/space") => json!([
            { "id": "team-a", "name": "Team A", "disabledFeatures": ["ml"] },
            { "id": "default", "name": "Default", "_reserved": true, "disabledFeatures": [] },
        ]),
        ("POST", "/api/saved_objects/_export") => return Some(export(2, &details(2))),
        ("POST", "/s/team-a/api/saved_objects/_export") => {
            let mut details = details(1);
            details["missingReferences"] = json!([{ "type": "index-pattern", "id": "gone" }]);
            details["excludedObjects"] = json!([{ "type": "action", "id": "x", "reason": "excluded" }]);
            return Some(export(1, &details));
        }
        other => panic!("{other:?}"),
    };
    Some(Answer::Json(200, answer))
}

#[tokio::test]
async fn every_space_is_a_file() {
    let fake = Fake::start(kibana).await;
    let dumped = dump_from(with_dashboards(fake.port, "/kibana/"), r#"{"savedObjects": true}"#).await.expect("dumped");
    let found = dumped.index().dashboards.expect("Kibana");
    assert_eq!((found.flavour.as_str(), found.version.as_str()), ("Kibana", "9.5.3"));
    let spaces: Vec<(&str, &str)> = found.spaces.iter().map(|space| (&*space.id, &*space.file)).collect();
    assert_eq!(spaces, [("default", "saved-objects/default.ndjson"), ("team-a", "saved-objects/team-a.ndjson")]);
    let team = found.spaces[1].definition.as_ref().unwrap().value().unwrap();
    assert_eq!(team, json!({ "id": "team-a", "name": "Team A", "disabledFeatures": ["ml"] }));
    let lines = dumped.lines("saved-objects/default.ndjson");
    assert_eq!(lines[..2], [OBJECT, OBJECT]);
    assert_eq!(serde_json::from_str::<Value>(lines[2]).unwrap(), details(2));
    let counts: Vec<(String, u64)> = dumped.counts().saved_objects.into_iter().collect();
    let wanted = [("saved-objects/default.ndjson".to_string(), 2), ("saved-objects/team-a.ndjson".to_string(), 1)];
    assert_eq!(counts, wanted);
    assert_eq!((dumped.fact("savedObjects"), dumped.fact("rows")), ("3", "3"));
    let lacking = dumped.fact("savedObjectsLacking");
    assert!(lacking.contains("index-pattern gone") && lacking.contains("action x") && lacking.contains("team-a"));
    let asked = fake.heard().into_iter().find(|asked| asked.path.ends_with("_export")).expect("an export");
    assert_eq!(asked.body["type"], json!(["dashboard", "index-pattern"]));
    assert!(asked.headers.contains("kbn-xsrf: true"), "{}", asked.headers);
    assert!(fake.is_clean());
}

#[tokio::test]
async fn opensearch_has_its_global_tenant() {
    let fake = Fake::start(|asked| {
        let answer = match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/") => json!({ "version": { "number": "3.8.0", "distribution": "opensearch" } }),
            ("GET", "/_plugins/_security/authinfo") => json!({ "user_name": "u", "roles": ["all_access"],
                "tenants": { "global_tenant": true, "team": true, "u": true } }),
            ("GET", "/api/status") => json!({ "version": { "number": "3.8.0" } }),
            ("GET", "/api/opensearch-dashboards/management/saved_objects/_allowed_types") => {
                json!({ "types": ["dashboard", "config"] })
            }
            ("POST", "/api/saved_objects/_export") => return Some(export(0, &details(0))),
            (_, path) if path.starts_with("/_plugins/_ism/policies") => json!({ "policies": [], "total_policies": 0 }),
            _ => return None,
        };
        Some(Answer::Json(200, answer))
    })
    .await;
    let dumped = dump_from(with_dashboards(fake.port, ""), r#"{"savedObjects": true, "schemaOnly": true}"#)
        .await
        .expect("dumped");
    let found = dumped.index().dashboards.expect("Dashboards");
    assert_eq!((found.flavour.as_str(), found.spaces.len()), ("OpenSearch Dashboards", 1));
    assert!(found.spaces[0].definition.is_none());
    assert_eq!(dumped.fact("notKept"), "tenants: team, everybody's private one");
    let asked = fake.heard().into_iter().find(|asked| asked.path.ends_with("_export")).expect("an export");
    assert!(asked.headers.contains("osd-xsrf: true") && asked.headers.contains("securitytenant: global"));
}

/// Fails when the export is answered so, and says why.
async fn fails(answer: impl Fn() -> Answer + Send + 'static) -> Error {
    let fake = Fake::start(move |asked| match asked.path.ends_with("_export") {
        true => Some(answer()),
        false => kibana(asked),
    })
    .await;
    let outcome = dump_from(with_dashboards(fake.port, "kibana"), r#"{"savedObjects": true}"#).await;
    let error = outcome.map(|dumped| dumped.report).expect_err("a failure");
    assert!(fake.is_clean() && error.message().contains("default"), "{error}");
    error
}

#[tokio::test]
async fn a_part_of_an_export_is_not_taken_for_the_whole() {
    for (answer, says) in [
        ((|| export(1, &details(2))) as fn() -> Answer, "has 1"),
        (|| Answer::Text(200, OBJECT.into()), "at its end"),
        (|| Answer::Text(200, format!("{OBJECT}\n{{\"a\":")), "lines of JSON"),
        (|| Answer::Text(200, "<html>".into()), "lines of JSON"),
        (|| Answer::Text(200, format!("{}\n{OBJECT}\n", details(0))), "no saved object"),
    ] {
        let error = fails(answer).await;
        assert!(matches!(&error, Error::Corrupt(text) if text.contains(says)), "{says}: {error}");
    }
    assert!(matches!(fails(|| Answer::Cut(details(0))).await, Error::Unavailable(_)));
    let many = "Can't export more than 10000 objects. If your server has enough memory, raise the limit.";
    let error =
        fails(move || Answer::Json(400, json!({ "statusCode": 400, "error": "Bad Request", "message": many }))).await;
    assert!(error.message().contains("maxImportExportSize"), "{error}");
    let error = fails(|| Answer::Json(403, json!({ "error": "Forbidden", "message": "Unable to bulk_get" }))).await;
    assert!(matches!(&error, Error::Denied(text) if text.contains("Unable to")), "{error}");
}

#[tokio::test]
async fn without_an_endpoint_it_says_so() {
    let fake = Fake::start(|_| None).await;
    let outcome = dump_from(at(fake.port), r#"{"savedObjects": true}"#).await.map(|dumped| dumped.report);
    let error = outcome.expect_err("a failure");
    assert!(matches!(&error, Error::InvalidParameter(text) if text.contains("dashboards")), "{error}");
}

#[tokio::test]
async fn a_real_one_is_asked_where_there_is_one() {
    let variables = ["COFFER_TEST_DASHBOARDS_URL", "COFFER_TEST_DASHBOARDS_SEARCH_URL"];
    let [Ok(dashboards), Ok(search)] = variables.map(std::env::var) else {
        coffer_test_servers::skipped(format_args!(
            "no Kibana and no OpenSearch Dashboards: set {}",
            variables.join(" and ")
        ));
        return;
    };
    let split = |url: &str| {
        let rest = url.strip_prefix("http://").expect("http://").to_owned();
        let (authority, path) = rest.split_once('/').unwrap_or((&rest, ""));
        (authority.to_owned(), path.to_owned())
    };
    let ((dashboards, prefix), (search, _)) = (split(&dashboards), split(&search));
    let binding = Binding {
        endpoints: vec!["default".into(), "dashboards".into()],
        parameters: vec![("dashboardsPath".into(), prefix)],
        ..binding()
    };
    let application = testing::endpoints(binding, &[], move |endpoint| {
        let to = if endpoint == Some("dashboards") { dashboards.clone() } else { search.clone() };
        async move { Ok(testing::connection(tokio::net::TcpStream::connect(to).await?.compat())) }
    });
    let dumped = dump_from(application, r#"{"savedObjects": true, "schemaOnly": true}"#).await.expect("dumped");
    let found = dumped.index().dashboards.expect("Dashboards");
    assert!(found.spaces.iter().any(|space| space.id == "default"), "{found:?}");
    found.spaces.iter().for_each(|space| assert!(!dumped.lines(&space.file).is_empty()));
}
