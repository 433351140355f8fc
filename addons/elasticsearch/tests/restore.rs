//! elasticsearch-restore into real servers: dumps of ours and of stock elasticdump; and what no server does at will, by a
//! scripted one.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

mod restoring;
#[path = "restoring/scripted.rs"]
mod scripted;

use coffer_addon::Error;
use coffer_test_servers::search::compare::{self, Cluster, same_cluster};
use coffer_test_servers::search::{Search, SearchOptions, SearchVersion, sample};
use restoring::{fact, multielasticdump, restore};
use serde_json::{Value, json};

/// Everything that elasticdump does not take along.
fn remove_indices(server: &Search) {
    let client = server.client();
    if server.version().abilities().data_streams {
        client.ask("DELETE", &format!("/_data_stream/{}", sample::STREAM), &Value::Null).expect("deleted");
    }
    let found =
        client.ask("GET", "/shop*/_settings?expand_wildcards=all&flat_settings=true", &Value::Null).expect("all");
    for name in found.as_object().expect("an object").keys() {
        client.ask("DELETE", &format!("/{name}"), &Value::Null).expect("deleted");
    }
}

fn without_closed(mut cluster: Cluster) -> Cluster {
    // elasticdump cannot read it.
    if let Some(closed) = cluster.indices.get_mut(sample::CLOSED) {
        closed.documents = Default::default();
    }
    cluster
}

#[tokio::test]
async fn files_of_stock_multielasticdump_come_back() {
    for version in [SearchVersion::OpenSearch38, SearchVersion::Elasticsearch710] {
        let server = Search::start(version, &SearchOptions::default()).expect("a server");
        sample::create(&server, 2000).expect("the sample");
        let before = compare::cluster(&server).expect("read");
        let files = multielasticdump(&server);
        let refused = restore(&server, "{}", files.clone()).await;
        assert!(
            matches!(&refused, Err(Error::InvalidParameter(text)) if text.contains("is there already") && text.contains("shop-products")),
            "{refused:?}"
        );
        same_cluster(&before, &compare::cluster(&server).expect("read")).expect("nothing was touched");
        remove_indices(&server);
        let report = restore(&server, "{}", files.clone()).await.expect("restored");
        let wanted = without_closed(before.clone());
        same_cluster(&wanted, &compare::cluster(&server).expect("read")).expect("the same");
        eprintln!("{report:?}");
        // Once more over what is there, with the files in another order.
        let files = files.into_iter().rev().collect();
        let report = restore(&server, r#"{"overwrite": true, "jobs": 4}"#, files).await.expect("restored again");
        same_cluster(&wanted, &compare::cluster(&server).expect("read")).expect("the same");
        let documents: usize = wanted.indices.values().map(|index| index.documents.0.len()).sum();
        let of_streams: usize = wanted.data_streams.values().map(|stream| stream.documents.0.len()).sum();
        assert_eq!(fact(&report, "rows"), (documents + of_streams).to_string());
    }
}

#[tokio::test]
async fn some_indices_come_back_under_other_names() {
    let server = Search::start(SearchVersion::Elasticsearch95, &SearchOptions::default()).expect("a server");
    sample::create(&server, 1000).expect("the sample");
    let files = multielasticdump(&server);
    let parameters = json!({ "rename": { "shop-*": "copy-*" }, "include": ["shop-p*", "shop-orders", "shop-logs-*"],
        "exclude": ["*.02"], "jobs": 3, "templates": false });
    let report = restore(&server, &parameters.to_string(), files).await.expect("restored");
    assert_eq!(fact(&report, "indices"), "3");
    for (name, copy) in
        [(sample::PRODUCTS, "copy-products"), (sample::ORDERS, "copy-orders"), (sample::LOGS[0], "copy-logs-2026.01")]
    {
        let one = compare::index(&server, name).expect("read");
        let mut other = compare::index(&server, copy).expect("read");
        let renamed = other.aliases.to_string().replace("copy-", "shop-");
        other.aliases = serde_json::from_str(&renamed).expect("JSON");
        compare::same_index(&one, &other).expect(copy);
    }
}
