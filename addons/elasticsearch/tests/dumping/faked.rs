//! What a server may do to a dump that no server at hand does when one asks it to.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::dumping::fake::{Answer, Asked, Fake, found, refusal};
use super::dumping::{at, dump_from};
use coffer_addon::Error;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Notify;

/// Fails when a search is answered so, and says why; everything is given back.
async fn fails(instead: impl FnMut(&Asked) -> Option<Answer> + Send + 'static) -> Error {
    let fake = Fake::start(instead).await;
    let error = dump_from(at(fake.port), "{}").await.map(|dumped| dumped.report).expect_err("a failure");
    assert!(fake.is_clean(), "{error}: {:?}", fake.heard());
    error
}

/// The same for the first search that reads documents.
async fn fails_reading(answer: impl Fn() -> Answer + Send + 'static) -> Error {
    let error = fails(move |asked| asked.reads().then(&answer)).await;
    assert!(error.message().contains("orders"), "{error}");
    error
}

#[tokio::test]
async fn pages_follow_each_other() {
    let fake = Fake::start(|_| None).await;
    let dumped = dump_from(at(fake.port), "{}").await.expect("dumped");
    let lines = [1, 2, 3].map(|id| format!(r#"{{"_index":"orders","_id":"{id}","_source":{{"number":{id}}}}}"#));
    assert_eq!(dumped.lines("orders.json"), lines);
    assert_eq!(dumped.fact("rows"), "3");
    assert!(fake.is_clean());
    // The id that the server named last.
    let given_back: Vec<Value> =
        fake.heard().into_iter().filter(|asked| asked.is("DELETE", "/_pit")).map(|asked| asked.body).collect();
    assert_eq!(given_back, [json!({ "id": "pit-1" })]);
}

#[tokio::test]
async fn who_is_not_let_in_is_told_what_to_do() {
    let error = fails(|_| Some(Answer::Json(401, refusal("security_exception", "missing credentials")))).await;
    assert!(matches!(&error, Error::Denied(text) if text.contains("password")), "{error}");
    let may_not = || Answer::Json(403, refusal("security_exception", "action [indices:data/read] is unauthorized"));
    let error = fails(move |asked| asked.is("POST", "/_search").then(may_not)).await;
    assert!(matches!(&error, Error::Denied(text) if text.contains("privilege")), "{error}");
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again() {
    let mut busy = 3;
    let fake = Fake::start(move |asked| {
        (asked.reads() && busy > 0).then(|| {
            busy -= 1;
            Answer::Json(if busy == 1 { 503 } else { 429 }, refusal("es_rejected_execution_exception", "queue is full"))
        })
    })
    .await;
    let dumped = dump_from(at(fake.port), "{}").await.expect("dumped");
    assert_eq!(dumped.fact("rows"), "3");
}

#[tokio::test]
async fn a_server_that_stays_busy_is_given_up() {
    for status in [429, 503] {
        let error = fails(move |asked| asked.reads().then_some(Answer::Busy(status))).await;
        let says = |text: &str| text.contains("orders") && text.contains("queue is full");
        assert!(matches!(&error, Error::Unavailable(text) if says(text)), "{error}");
        let fake = Fake::start(move |asked| asked.is("POST", "/orders/_pit").then_some(Answer::Busy(status))).await;
        let outcome = dump_from(at(fake.port), "{}").await.map(|dumped| dumped.report);
        assert!(matches!(&outcome, Err(Error::Unavailable(text)) if says(text)), "{outcome:?}");
        assert_eq!(fake.count("DELETE", "/_pit"), 0, "none was opened");
    }
}

#[tokio::test]
async fn points_in_time_are_renewed_while_a_page_is_on_its_way() {
    let arrives = Arc::new(Notify::new());
    let later = arrives.clone();
    let fake = Fake::start(move |asked| {
        let is_first = asked.reads() && asked.body.get("search_after").is_none();
        is_first.then(|| Answer::Later(later.clone(), found(&[1, 2])))
    })
    .await;
    let dumped = dump_from(at(fake.port), r#"{"keepAlive": "250ms"}"#);
    let renewed = async {
        while fake.heard().iter().filter(|asked| asked.renews()).count() < 3 {
            tokio::task::yield_now().await;
        }
        arrives.notify_one();
    };
    let (dumped, ()) = futures::future::join(dumped, renewed).await;
    assert_eq!(dumped.expect("dumped").fact("rows"), "3");
    let heard = fake.heard();
    let renewal = heard.iter().find(|asked| asked.renews()).expect("one");
    assert_eq!(renewal.body["pit"], json!({ "id": "pit-0", "keep_alive": "250ms" }));
    let opened = heard.iter().find(|asked| asked.is("POST", "/orders/_pit")).expect("one");
    assert!(opened.path.ends_with("?keep_alive=250ms"), "{}", opened.path);
    assert!(fake.is_clean());
}

#[tokio::test]
async fn a_point_in_time_of_some_shards_is_none() {
    let error = fails(|asked| {
        let partial = json!({ "id": "pit-0", "_shards": { "total": 2, "successful": 1, "failed": 1 } });
        asked.is("POST", "/orders/_pit").then_some(Answer::Json(200, partial))
    })
    .await;
    assert!(matches!(&error, Error::Unavailable(text) if text.contains("shards")), "{error}");
}

/// Answers as a server that keeps what is long apart would: documents of these sizes, one after the other.
#[tokio::test]
async fn long_documents_come_one_by_one() {
    let size = 20 << 20;
    let fake = Fake::start(move |asked| {
        if !asked.reads() {
            return None;
        }
        let after = asked.body["search_after"][0].as_u64().unwrap_or(0);
        let until = (after + asked.body["size"].as_u64().unwrap()).min(3);
        let mut page = found(&(after + 1..=until).collect::<Vec<_>>());
        for hit in page["hits"]["hits"].as_array_mut().unwrap() {
            hit["_source"] = json!({ "text": "x".repeat(size) });
        }
        Some(Answer::Json(200, page))
    })
    .await;
    let dumped = dump_from(at(fake.port), "{}").await.expect("dumped");
    assert_eq!(dumped.fact("rows"), "3");
    let sizes: Vec<u64> =
        fake.heard().iter().filter(|asked| asked.reads()).map(|asked| asked.body["size"].as_u64().unwrap()).collect();
    assert!(sizes[0] > 1 && sizes.contains(&1), "{sizes:?}");
    assert!(dumped.lines("orders.json").iter().all(|line| line.len() > size));
    assert!(fake.is_clean());
}

#[tokio::test]
async fn a_document_that_is_too_long_is_told() {
    let error = fails_reading(|| {
        let mut page = found(&[1]);
        page["hits"]["hits"][0]["_source"] = json!({ "text": "x".repeat(161 << 20) });
        Answer::Json(200, page)
    })
    .await;
    assert!(matches!(&error, Error::Unsupported(text) if text.contains("too large")), "{error}");
}

#[tokio::test]
async fn a_part_is_not_taken_for_the_whole() {
    let without_a_shard = || {
        let mut page = found(&[1, 2]);
        let reason = json!({ "type": "no_shard_available_action_exception", "reason": "shard is gone" });
        page["_shards"] =
            json!({ "total": 2, "successful": 1, "failed": 1, "failures": [{ "shard": 1, "reason": reason }] });
        Answer::Json(200, page)
    };
    let error = fails_reading(without_a_shard).await;
    assert!(matches!(&error, Error::Unavailable(text) if text.contains("shard is gone")), "{error}");
    let late = || {
        let mut page = found(&[1, 2]);
        page["timed_out"] = true.into();
        Answer::Json(200, page)
    };
    assert!(matches!(fails_reading(late).await, Error::Unavailable(_)));
    let fewer = |asked: &Asked| asked.body.get("search_after").map(|_| Answer::Json(200, found(&[])));
    let error = fails(fewer).await;
    assert!(matches!(&error, Error::Corrupt(text) if text.contains("3 documents and gave 2")), "{error}");
    let again = |asked: &Asked| asked.body.get("search_after").map(|_| Answer::Json(200, found(&[2])));
    assert!(matches!(fails(again).await, Error::Corrupt(_)));
    let error = fails_reading(|| Answer::Text(200, r#"{"hits": {"hits": [{"_id": "#.into())).await;
    assert!(matches!(&error, Error::Corrupt(text) if text.contains("not the JSON")), "{error}");
    let without_source = || {
        let mut page = found(&[1, 2]);
        page["hits"]["hits"][1].as_object_mut().unwrap().remove("_source");
        Answer::Json(200, page)
    };
    assert!(matches!(fails_reading(without_source).await, Error::Unsupported(_)));
}

/// Nothing of it was written: it comes once all the same.
#[tokio::test]
async fn a_page_that_is_lost_on_the_way_is_asked_for_again() {
    let mut lost = 0;
    let fake = Fake::start(move |asked| {
        let is_second = asked.reads() && asked.body["search_after"] == json!([2]);
        lost += usize::from(is_second);
        match lost {
            1 if is_second => Some(Answer::Cut(found(&[3]))),
            2 if is_second => Some(Answer::Text(502, "the proxy is alone".into())),
            _ => None,
        }
    })
    .await;
    let dumped = dump_from(at(fake.port), "{}").await.expect("dumped");
    assert_eq!((dumped.fact("rows"), dumped.lines("orders.json").len()), ("3", 3));
    let searches: Vec<Value> = fake.heard().into_iter().filter(Asked::reads).map(|asked| asked.body).collect();
    assert_eq!(searches.len(), 5);
    assert!(searches[1] == searches[2] && searches[2] == searches[3]);
    assert!(fake.is_clean());
}

#[tokio::test]
async fn a_server_that_always_hangs_up_is_given_up() {
    let error = fails_reading(|| Answer::Cut(found(&[1, 2]))).await;
    assert!(matches!(&error, Error::Unavailable(text) if text.contains("asked 6 times")), "{error}");
}

#[tokio::test]
async fn definitions_that_are_lost_on_the_way_are_asked_for_again() {
    let mut lost = 0;
    let fake = Fake::start(move |asked| {
        lost += usize::from(asked.is("GET", "/_index_template"));
        (lost == 1 && asked.is("GET", "/_index_template")).then(|| Answer::Cut(json!({ "index_templates": [] })))
    })
    .await;
    assert_eq!(dump_from(at(fake.port), "{}").await.expect("dumped").fact("rows"), "3");
    assert_eq!(fake.count("GET", "/_index_template"), 2);
}

#[tokio::test]
async fn a_lost_point_in_time_is_explained() {
    let lost = |asked: &Asked| {
        asked.body.get("search_after")?;
        let cause =
            json!({ "type": "search_context_missing_exception", "reason": "No search context found for id [7]" });
        let error = json!({ "type": "search_phase_execution_exception", "reason": "all shards failed",
            "failed_shards": [{ "shard": 0, "index": "orders", "reason": cause }] });
        Some(Answer::Json(404, json!({ "error": error, "status": 404 })))
    };
    let error = fails(lost).await;
    assert!(
        matches!(&error, Error::Failed(text) if text.contains("orders") && text.contains("run the dump again")),
        "{error}"
    );
}

#[tokio::test]
async fn no_error_quotes_a_document() {
    let reason = "failed to parse field [name] of type [long]. Preview of field's value: 'Ada Lovelace'";
    let error = fails_reading(move || Answer::Json(400, refusal("mapper_parsing_exception", reason))).await;
    assert!(!error.message().contains("Ada") && error.message().contains("[name]"), "{error}");
}

#[tokio::test]
async fn what_is_no_elasticsearch_is_told_so() {
    let error = fails(|asked| asked.is("GET", "/").then(|| Answer::Json(200, json!({ "hello": "world" })))).await;
    assert!(matches!(error, Error::Unsupported(_)), "{error}");
    let error = fails(|_| Some(Answer::Text(200, "<html>".into()))).await;
    assert!(matches!(error, Error::Unsupported(_)), "{error}");
    let old = json!({ "version": { "number": "5.6.16" } });
    let error = fails(move |asked| asked.is("GET", "/").then(|| Answer::Json(200, old.clone()))).await;
    assert!(matches!(&error, Error::Unsupported(text) if text.contains("6.5")), "{error}");
}

#[tokio::test]
async fn an_index_that_is_deleted_meanwhile_is_named() {
    let mut looks = 0;
    let error = fails(move |asked| {
        looks += usize::from(asked.is("GET", "/_all"));
        (asked.is("GET", "/_all") && looks > 1).then(|| Answer::Json(200, json!({})))
    })
    .await;
    assert!(matches!(&error, Error::Failed(text) if text.contains("orders") && text.contains("deleted")), "{error}");
}

#[tokio::test]
async fn a_dump_that_is_cancelled_leaves_nothing_behind() {
    let fake = Fake::start(|asked| asked.reads().then_some(Answer::Never)).await;
    let dumped = dump_from(at(fake.port), "{}");
    let stop = async {
        while !fake.heard().iter().any(Asked::reads) {
            tokio::task::yield_now().await;
        }
        coffer_addon::testing::cancel();
    };
    let (dumped, ()) = futures::future::join(dumped, stop).await;
    assert!(dumped.is_err());
    assert!(fake.is_clean(), "{:?}", fake.heard());
}

#[tokio::test]
async fn an_index_that_stays_open_is_no_success() {
    let closed = json!([{ "index": "orders", "status": "close", "docs.count": "3", "pri.store.size": "300" }]);
    let fake = Fake::start(move |asked| {
        if asked.is("POST", "/orders/_close") {
            return Some(Answer::Json(403, refusal("security_exception", "may not close")));
        }
        asked.is("GET", "/_cat/indices").then(|| Answer::Json(200, closed.clone()))
    })
    .await;
    let outcome = dump_from(at(fake.port), r#"{"openClosed": true}"#).await.map(|dumped| dumped.report);
    let error = outcome.expect_err("it stays open");
    assert!(matches!(&error, Error::Denied(text) if text.contains("POST /orders/_close")), "{error}");
    assert_eq!(fake.count("POST", "/orders/_open"), 1);
    assert!(fake.is_clean());
}

#[tokio::test]
async fn what_cannot_be_refreshed_is_told() {
    for (answer, says) in [
        (json!({ "_shards": { "total": 2, "successful": 1, "failed": 1 } }), "orders (1 shards failed)"),
        (refusal("security_exception", "may not"), "orders (security_exception)"),
    ] {
        let status = if answer.get("error").is_some() { 403 } else { 200 };
        let fake = Fake::start(move |asked| {
            asked.is("POST", "/orders/_refresh").then(|| Answer::Json(status, answer.clone()))
        })
        .await;
        let dumped = dump_from(at(fake.port), "{}").await.expect("dumped");
        assert_eq!(dumped.fact("notRefreshed"), says);
    }
}

/// A cluster's state with these indices.
fn state(names: &[&str]) -> Answer {
    let indices = names.iter().map(|name| ((*name).to_owned(), json!({ "state": "open", "system": *name == ".own" })));
    Answer::Json(200, json!({ "metadata": { "indices": Value::Object(indices.collect()) } }))
}

#[tokio::test]
async fn what_the_server_does_not_show_the_user_is_refused_by_name() {
    let is_state = |asked: &Asked| asked.path.starts_with("/_cluster/state") && asked.path.contains("metadata.indices");
    let all = ["orders", "payroll", ".own", ".watches"];
    let fake = Fake::start(move |asked| is_state(asked).then(|| state(&all))).await;
    for (parameters, says) in
        [("{}", "there is: payroll would"), (r#"{"hidden": true}"#, "there is: .watches, payroll would")]
    {
        let error = dump_from(at(fake.port), parameters).await.map(|dumped| dumped.report).expect_err("a part");
        let says = |text: &str| text.contains(says) && text.contains("view_index_metadata");
        assert!(matches!(&error, Error::Denied(text) if says(text)), "{error}");
    }
    for parameters in [r#"{"indices": ["orders"]}"#, r#"{"include": ["ord*"]}"#, r#"{"exclude": ["pay*"]}"#] {
        dump_from(at(fake.port), parameters).await.expect(parameters);
    }
    let parameters = r#"{"hidden": true, "exclude": ["payroll", ".watches"]}"#;
    let dumped = dump_from(at(fake.port), parameters).await.expect("dumped");
    assert_eq!(dumped.fact("notKept"), "systemIndices: .own");
    // One that was deleted in between.
    let mut looks = 0;
    let fake = Fake::start(move |asked| {
        looks += usize::from(is_state(asked));
        is_state(asked).then(|| state(if looks == 1 { &["orders", "gone"] } else { &["orders"] }))
    })
    .await;
    dump_from(at(fake.port), "{}").await.expect("dumped");
}

#[tokio::test]
async fn where_nobody_knows_what_the_server_does_not_show_it_is_said() {
    let fake = Fake::start(|asked| {
        let may_not = || Answer::Json(403, refusal("security_exception", "cluster:monitor/state is unauthorized"));
        asked.path.starts_with("/_cluster/state").then(may_not)
    })
    .await;
    let dumped = dump_from(at(fake.port), r#"{"dataOnly": true}"#).await.expect("dumped");
    assert!(dumped.fact("unseen").starts_with("not known"));
    let dumped = dump_from(at(fake.port), r#"{"dataOnly": true, "indices": ["orders"]}"#).await.expect("dumped");
    assert!(dumped.report.facts.iter().all(|(name, _)| name != "unseen"));
}

#[tokio::test]
async fn what_is_hidden_is_not_included_in_silence() {
    let fake = Fake::start(|asked| {
        let index = json!({ "settings": { "index.number_of_shards": "1" } });
        asked.is("GET", "/_all").then(|| Answer::Json(200, json!({ "orders": index, ".kibana_1": index })))
    })
    .await;
    let outcome = dump_from(at(fake.port), r#"{"include": [".kibana*"]}"#).await.map(|dumped| dumped.report);
    assert!(matches!(&outcome, Err(Error::InvalidParameter(text)) if text.contains("set hidden")), "{outcome:?}");
}

#[tokio::test]
async fn a_keep_alive_that_keeps_nothing_is_refused() {
    let fake = Fake::start(|_| None).await;
    let outcome = dump_from(at(fake.port), r#"{"keepAlive": "0s"}"#).await.map(|dumped| dumped.report);
    assert!(matches!(&outcome, Err(Error::InvalidParameter(text)) if text.contains("keepAlive")), "{outcome:?}");
    assert!(fake.heard().is_empty());
}

/// Too many shards for points in time on all of them at once.
#[tokio::test]
async fn it_is_said_of_how_many_moments_a_dump_is() {
    let index = |shards: &str| json!({ "settings": { "index.number_of_shards": shards } });
    let fake = Fake::start(move |asked| {
        let name = asked.path.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
        let page = |ids: &[u64]| {
            let mut page = found(ids);
            page["hits"]["total"]["value"] = 0.into();
            page
        };
        match asked.path.split('?').next() {
            Some("/_all") => Some(Answer::Json(200, json!({ "a": index("150"), "b": index("100"), "c": index("1") }))),
            Some("/_search") => Some(Answer::Json(200, page(&[]))),
            Some(path) if path.ends_with("/_pit") && asked.method == "POST" => {
                Some(Answer::Json(200, json!({ "id": name, "_shards": { "total": 1, "successful": 1, "failed": 0 } })))
            }
            _ => None,
        }
    })
    .await;
    let dumped = dump_from(at(fake.port), "{}").await.expect("dumped");
    assert_eq!((dumped.fact("consistency"), dumped.fact("moments")), ("pit", "3"));
    let fake = Fake::start(|_| None).await;
    assert_eq!(dump_from(at(fake.port), "{}").await.expect("dumped").fact("moments"), "1");
}
