//! What a server without points in time may do to a dump.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::dumping::fake::{Answer, Asked, Fake, found, refusal};
use super::dumping::{at, dump_from};
use coffer_addon::{Ends, testing};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Notify;

/// An Elasticsearch without points in time.
fn old(asked: &Asked) -> Option<Answer> {
    let page = |ids: &[u64], id: &str| {
        let mut page = found(ids);
        page["_scroll_id"] = id.into();
        Some(Answer::Json(200, page))
    };
    match (asked.method.as_str(), asked.path.split('?').next().unwrap_or_default()) {
        ("GET", "/") => Some(Answer::Json(200, json!({ "version": { "number": "7.10.2", "build_flavor": "oss" } }))),
        ("POST", "/orders/_search") => page(&[1, 2], "scroll-0"),
        ("POST", "/_search/scroll") if asked.body["scroll_id"] == "scroll-0" => page(&[3], "scroll-1"),
        ("POST", "/_search/scroll") => page(&[], "scroll-1"),
        _ => None,
    }
}

/// Which scrolls were given back.
fn given_back(fake: &Fake) -> Vec<Value> {
    let heard = fake.heard().into_iter().filter(|asked| asked.is("DELETE", "/_search/scroll"));
    heard.map(|asked| asked.body["scroll_id"].clone()).collect()
}

#[tokio::test]
async fn scrolls_are_given_back_whatever_happens() {
    let fake = Fake::start(old).await;
    let dumped = dump_from(at(fake.port), "{}").await.expect("dumped");
    assert_eq!((dumped.fact("rows"), dumped.fact("consistency")), ("3", "scroll"));
    assert_eq!(given_back(&fake), [json!(["scroll-1"])]);

    let missing = || refusal("search_context_missing_exception", "No search context found for id [7]");
    for (answer, wanted) in [
        ((|_| Some(Answer::Json(404, refusal("", "")))) as fn(&Asked) -> Option<Answer>, "404"),
        (|_| Some(Answer::Busy(503)), "queue is full"),
        (|_| Some(Answer::Cut(found(&[3]))), "cannot be asked for twice"),
        (|_| Some(Answer::Text(200, "{".into())), "not the JSON"),
    ] {
        let fake = Fake::start(move |asked| match asked.is("POST", "/_search/scroll") {
            true => answer(asked),
            false => old(asked),
        })
        .await;
        let error = dump_from(at(fake.port), "{}").await.map(|dumped| dumped.report).expect_err("a failure");
        assert!(error.message().contains("orders") && error.message().contains(wanted), "{error}");
        assert_eq!(given_back(&fake), [json!(["scroll-0"])], "{error}");
    }
    let fake = Fake::start(move |asked| match asked.is("POST", "/_search/scroll") {
        true => Some(Answer::Json(404, missing())),
        false => old(asked),
    })
    .await;
    let error = dump_from(at(fake.port), "{}").await.map(|dumped| dumped.report).expect_err("a failure");
    assert!(error.message().contains("run the dump again"), "{error}");
}

#[tokio::test]
async fn a_scroll_that_is_cancelled_is_given_back() {
    let fake = Fake::start(|asked| match asked.is("POST", "/_search/scroll") {
        true => Some(Answer::Never),
        false => old(asked),
    })
    .await;
    let dumped = dump_from(at(fake.port), "{}");
    let stop = async {
        while fake.count("POST", "/_search/scroll") == 0 {
            tokio::task::yield_now().await;
        }
        coffer_addon::testing::cancel();
    };
    let (dumped, ()) = futures::future::join(dumped, stop).await;
    assert!(dumped.is_err());
    assert_eq!(given_back(&fake), [json!(["scroll-0"])]);
}

/// One index cannot be read while the scroll of another is being opened: the answer, when it comes, is still listened to.
#[tokio::test]
async fn what_is_being_opened_while_another_fails_is_given_back() {
    let arrives = Arc::new(Notify::new());
    let later = arrives.clone();
    let fake = Fake::start(move |asked| {
        let index = json!({ "settings": { "index.number_of_shards": "1" } });
        let mut page = found(&[]);
        page["_scroll_id"] = "slow".into();
        match (asked.method.as_str(), asked.path.split('?').next().unwrap_or_default()) {
            ("GET", "/_all") => Some(Answer::Json(200, json!({ "orders": index, "slow": index }))),
            ("POST", "/slow/_search") => Some(Answer::Later(later.clone(), page)),
            ("POST", "/_search/scroll") => Some(Answer::Json(500, refusal("exception", "broken"))),
            _ => old(asked),
        }
    })
    .await;
    let (outbox, written) = testing::outbox();
    let ends = Ends { application: at(fake.port), inbox: testing::inbox([]), outbox };
    let addon = coffer_addon_elasticsearch::addon();
    let dumped = addon.run(ends, "elasticsearch-dump", r#"{"jobs": 2}"#);
    let has_failed = || written.borrow().iter().any(|file| file.bytes.is_err());
    let released = async {
        while !has_failed() || fake.count("POST", "/slow/_search") == 0 {
            tokio::task::yield_now().await;
        }
        arrives.notify_one();
    };
    let (dumped, ()) = futures::future::join(dumped, released).await;
    assert!(dumped.expect_err("a failure").message().contains("orders"));
    let mut scrolls = given_back(&fake);
    scrolls.sort_by_key(Value::to_string);
    // Whoever opened it may be giving it back at the same time.
    scrolls.dedup();
    assert_eq!(scrolls, [json!(["scroll-0"]), json!(["slow"])]);
}
