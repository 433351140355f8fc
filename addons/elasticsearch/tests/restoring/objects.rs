//! Saved objects of Dashboards, which is a script here.

use super::looked::dump;
use super::restoring::fake::{Asked, Fake};
use super::restoring::{artifact, fact, restore_at, restore_with_dashboards};
use coffer_addon::testing::Written;
use coffer_addon::{Error, Report};
use coffer_addon_elasticsearch::layout::COUNTS;
use serde_json::{Value, json};

const OBJECT: &str = r#"{"type":"dashboard","id":"7","attributes":{"n":1.0}}"#;

/// A dump of an index, and of two spaces: one has an object, one has none.
fn with_objects() -> Vec<Written> {
    let spaces = json!([
        { "id": "default", "definition": { "id": "default", "name": "Default" }, "file": "saved-objects/default.ndjson" },
        { "id": "team", "definition": { "id": "team", "name": "Team" }, "file": "saved-objects/team.ndjson" }]);
    let dashboards = json!({ "dashboards": { "flavour": "Kibana", "version": "9.5.3", "spaces": spaces } });
    let mut files = dump(&[("x", json!({}))], dashboards);
    let counts = files.last_mut().expect("counts");
    let mut said: Value = serde_json::from_slice(counts.bytes.as_ref().unwrap()).unwrap();
    said["savedObjects"] = json!({ "saved-objects/default.ndjson": 0, "saved-objects/team.ndjson": 1 });
    *counts = artifact(COUNTS, said.to_string());
    let details = |count: u32| json!({ "exportedCount": count, "missingRefCount": 0 });
    files.insert(2, artifact("saved-objects/default.ndjson", format!("{}\n", details(0))));
    files.insert(3, artifact("saved-objects/team.ndjson", format!("{OBJECT}\n{}\n", details(1))));
    files
}

/// A Kibana with the default space alone.
async fn kibana(import: Value) -> Fake {
    Fake::with(move |asked: &Asked| {
        let said = match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/api/status") => json!({ "version": { "number": "9.5.3" } }),
            ("GET", "/api/spaces/space/default") => json!({ "id": "default", "name": "Other" }),
            ("GET", path) if path.starts_with("/api/spaces/space/") => return Some((404, "{}".into())),
            ("POST", path) if path.ends_with("/_import") => import.clone(),
            _ => json!({}),
        };
        Some((200, said.to_string()))
    })
    .await
}

async fn restore(kibana: &Fake, parameters: Value, files: Vec<Written>) -> Result<Report, Error> {
    let server = Fake::with(|_| None).await;
    restore_with_dashboards(server.port, kibana.port, &parameters.to_string(), files).await
}

#[tokio::test]
async fn each_space_gets_its_objects() {
    let kibana = kibana(json!({ "success": true, "successCount": 1 })).await;
    let report = restore(&kibana, json!({ "savedObjects": true }), with_objects()).await.expect("restored");
    assert_eq!(fact(&report, "savedObjects"), "1");
    let changes = kibana.changes();
    let paths: Vec<&str> = changes.iter().map(|asked| asked.path.as_str()).collect();
    assert_eq!(paths, ["/api/spaces/space", "/s/team/api/saved_objects/_import"]);
    assert_eq!(changes[1].query, "overwrite=false");
    let body = &changes[1].body;
    let (boundary, rest) = body.split_once("\r\n").expect("a form");
    assert!(rest.contains("name=\"file\"; filename=\"export.ndjson\"") && rest.contains(OBJECT), "{body}");
    assert!(body.ends_with(&format!("\r\n{boundary}--\r\n")), "{body}");
}

#[tokio::test]
async fn what_is_not_taken_is_named() {
    let conflict = json!({ "id": "7", "type": "dashboard", "error": { "type": "conflict" } });
    let refusing = kibana(json!({ "success": false, "successCount": 0, "errors": [conflict] })).await;
    let failed = restore(&refusing, json!({ "savedObjects": true }), with_objects()).await.expect_err("refused");
    let wanted =
        "the saved objects of space team: of 1 objects 0 were taken, not dashboard 7 (is there already: set overwrite";
    assert!(failed.message().contains(wanted) && failed.message().contains("made already: space team"), "{failed}");
    for answer in [json!({ "success": true, "successCount": 0 }), json!({ "success": false }), json!([])] {
        let kibana = kibana(answer).await;
        restore(&kibana, json!({ "savedObjects": true }), with_objects()).await.expect_err("not taken");
    }
    let mut short = with_objects();
    short[3] = artifact("saved-objects/team.ndjson", "");
    let kibana = kibana(json!({ "success": true, "successCount": 1 })).await;
    let failed = restore(&kibana, json!({ "savedObjects": true }), short).await;
    assert!(
        matches!(&failed, Err(Error::Corrupt(text)) if text.contains("has 0 saved objects, and the dump had 1")),
        "{failed:?}"
    );
}

/// An import whose answer was that there is no time may have been done; one that is cut off may not.
#[tokio::test]
async fn an_import_is_asked_for_once() {
    let mut spaces = 0;
    let busy = Fake::with(move |asked: &Asked| {
        let said = match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/api/status") => json!({ "version": { "number": "9.5.3" } }),
            ("POST", "/api/spaces/space") => {
                spaces += 1;
                return Some((if spaces == 1 { 503 } else { 409 }, "{}".into()));
            }
            ("GET", "/api/spaces/space/team") if spaces > 0 => json!({ "id": "team", "name": "Team" }),
            ("GET", path) if path.starts_with("/api/spaces/space/") => return Some((404, "{}".into())),
            ("POST", path) if path.ends_with("/_import") => return Some((503, "{}".into())),
            _ => json!({}),
        };
        Some((200, said.to_string()))
    })
    .await;
    let mut files = with_objects();
    files.remove(2);
    let failed = restore(&busy, json!({ "savedObjects": true }), files).await.expect_err("busy");
    assert!(failed.message().contains("was answered 503") && failed.message().contains("overwrite"), "{failed}");
    let imports = busy.changes().iter().filter(|asked| asked.path.ends_with("/_import")).count();
    assert_eq!(imports, 1);

    let mut damaged = with_objects();
    damaged[3] = artifact("saved-objects/team.ndjson", format!("{OBJECT}\n{{"));
    let kibana = kibana(json!({ "success": true, "successCount": 1 })).await;
    let failed = restore(&kibana, json!({ "savedObjects": true }), damaged).await;
    let wanted = "saved-objects/team.ndjson: line 2 is no saved object";
    assert!(matches!(&failed, Err(Error::Corrupt(text)) if text.contains(wanted)), "{failed:?}");
    assert!(!kibana.asked().iter().any(|asked| asked.path.ends_with("/_import")), "it came to its end");
}

/// There may be more of them than fit into a run's memory.
#[tokio::test]
async fn they_are_sent_as_they_come() {
    const COUNT: usize = 4;
    let object = format!(r#"{{"type":"dashboard","id":"7","attributes":{{"n":"{}"}}}}"#, "x".repeat(1 << 20));
    let mut files = with_objects();
    files[3] = artifact("saved-objects/team.ndjson", format!("{object}\n").repeat(COUNT));
    let counts = files.last_mut().expect("counts");
    let mut said: Value = serde_json::from_slice(counts.bytes.as_ref().unwrap()).unwrap();
    said["savedObjects"]["saved-objects/team.ndjson"] = json!(COUNT);
    *counts = artifact(COUNTS, said.to_string());
    let kibana = kibana(json!({ "success": true, "successCount": COUNT })).await;
    let report = restore(&kibana, json!({ "savedObjects": true }), files).await.expect("restored");
    assert_eq!(fact(&report, "savedObjects"), COUNT.to_string());
    let import = kibana.changes().pop().expect("an import");
    assert!(!import.has_length, "it was held until its end");
    assert_eq!(import.body.lines().filter(|line| *line == object).count(), COUNT);
}

#[tokio::test]
async fn they_are_restored_where_asked_for() {
    let kibana = kibana(json!({ "success": true, "successCount": 1 })).await;
    restore(&kibana, json!({}), with_objects()).await.expect("restored");
    assert!(kibana.asked().is_empty());
    for (files, parameters, wanted) in [
        (dump(&[("x", json!({}))], json!({})), json!({ "savedObjects": true }), "the dump has none"),
        (with_objects(), json!({ "savedObjects": true }), "AppBinding does not say where"),
    ] {
        let server = Fake::with(|_| None).await;
        let failed = restore_at(server.port, &parameters.to_string(), files).await;
        assert!(matches!(&failed, Err(Error::InvalidParameter(text)) if text.contains(wanted)), "{failed:?}");
        assert!(server.changes().is_empty());
    }
}
