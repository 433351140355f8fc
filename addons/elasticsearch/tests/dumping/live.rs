//! A dump of a real node on which something else happens meanwhile, and stock programs that load one.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::dumping::{Dump, dump, open_contexts};
use coffer_addon::Error;
use coffer_test_servers::search::{Search, compare, sample};
use serde_json::{Value, json};
use std::cell::Cell;

/// Dumps, and does something once when the dump has begun to read.
async fn dump_and(server: &Search, parameters: &str, then: impl FnOnce()) -> Result<Dump, Error> {
    let is_over = Cell::new(false);
    let dumped = async {
        let dumped = dump(server, parameters).await;
        is_over.set(true);
        dumped
    };
    let meanwhile = async {
        while open_contexts(server) == 0 {
            assert!(!is_over.get(), "it was over before anything was done");
            tokio::task::yield_now().await;
        }
        then();
    };
    futures::future::join(dumped, meanwhile).await.0
}

/// What is written meanwhile is in it or not; nothing is in it twice, and nothing that was there is missing.
pub async fn is_of_a_moment(server: &Search) {
    let before = compare::documents(server, sample::PRODUCTS).expect("documents");
    let client = server.client();
    let write = || {
        let line = |number: u32| format!("{{\"index\":{{\"_id\":\"meanwhile-{number}\"}}}}\n{{\"number\":-1}}\n");
        let lines: String = (0..500).map(line).collect();
        client.bulk(&format!("/{}/_bulk?refresh=true", sample::PRODUCTS), &lines).expect("written");
        client
            .ask("POST", &format!("/{}/_forcemerge?max_num_segments=1", sample::PRODUCTS), &Value::Null)
            .expect("merged");
    };
    let parameters = json!({ "indices": [sample::PRODUCTS, sample::ORDERS], "jobs": 2 });
    let dumped = dump_and(server, &parameters.to_string(), write).await.expect("dumped");
    let mut ids: Vec<String> = dumped
        .lines(&format!("{}.json", sample::PRODUCTS))
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["_id"].as_str().unwrap().to_owned())
        .filter(|id| !id.starts_with("meanwhile-"))
        .collect();
    ids.sort();
    let mut wanted: Vec<String> = before.0.keys().map(|(id, _)| id.clone()).collect();
    wanted.sort();
    assert!(ids == wanted, "{} documents, and there were {}", ids.len(), wanted.len());
    let query = json!({ "query": { "term": { "number": -1 } } });
    client.ask("POST", &format!("/{}/_delete_by_query?refresh=true", sample::PRODUCTS), &query).map_or_else(
        // A node without the module for it.
        |_| {
            let lines: String =
                (0..500).map(|number| format!("{{\"delete\":{{\"_id\":\"meanwhile-{number}\"}}}}\n")).collect();
            client.bulk(&format!("/{}/_bulk?refresh=true", sample::PRODUCTS), &lines).expect("deleted");
        },
        drop,
    );
}

pub async fn leaves_nothing_behind_when_cancelled(server: &Search) {
    let dumped = dump_and(server, r#"{"openClosed": true, "jobs": 3}"#, coffer_addon::testing::cancel).await;
    assert!(dumped.is_err());
    assert_eq!(open_contexts(server), 0);
    let closed = compare::index(server, sample::CLOSED).expect("an index");
    assert!(closed.is_closed, "it is closed again");
}

/// `multielasticdump` makes of a dump of ours what was dumped.
pub async fn is_loaded_by_stock_programs(server: &Search) {
    let indices = [sample::ORDERS, sample::ODD];
    let client = server.client();
    let before = indices.map(|name| compare::index(server, name).expect("an index"));
    let folder = dump(server, &json!({ "indices": indices }).to_string()).await.expect("dumped").write();
    for name in indices {
        client.ask("DELETE", &format!("/{name}"), &Value::Null).expect("deleted");
    }
    let mut command = server.tool("multielasticdump").expect("multielasticdump");
    command.arg("--direction=load").arg(format!("--match=^({})$", indices.join("|")));
    command.arg(format!("--input={}", folder.path().display())).arg(format!("--output={}", server.url()));
    command.args(["--includeType=data,index", "--limit=1000", "--interval=10", "--intervalCap=1000"]);
    let output = command.output().expect("multielasticdump");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    for (name, before) in indices.iter().zip(&before) {
        client.ask("POST", &format!("/{name}/_refresh"), &Value::Null).expect("refreshed");
        let after = compare::index(server, name).expect("an index");
        compare::same_index(before, &after).expect(name);
    }
}

/// The last of all.
pub async fn is_told_of_a_killed_node(mut server: Search) {
    let process = server.process_id().expect("it runs").to_string();
    let kill = || {
        assert!(std::process::Command::new("kill").args(["-9", &process]).status().expect("kill").success());
    };
    match dump_and(&server, r#"{"openClosed": true, "allowUnsupported": true}"#, kill).await.map(|dumped| dumped.report)
    {
        Err(Error::Unavailable(_)) => {}
        other => panic!("{other:?}"),
    }
    server.kill9();
}
