//! A dump of a real node on which something else happens meanwhile, and stock programs that load one.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::dumping::{Dump, dump, open_contexts};
use coffer_addon::Error;
use coffer_test_servers::search::{Search, compare, sample};
use serde_json::{Value, json};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

/// An index whose shards are on no node: the server is there, and so is its address.
pub async fn is_told_of_a_red_index(server: &Search) {
    let client = server.client();
    let settings = json!({ "settings": { "index.routing.allocation.require._name": "nobody" } });
    client.ask("PUT", "/red?wait_for_active_shards=0&timeout=1s", &settings).expect("made");
    let error = dump(server, r#"{"indices": ["red"]}"#).await.map(|dumped| dumped.report).expect_err("it is red");
    let says = |text: &str| text.contains("red") && text.contains("/_cluster/allocation/explain");
    assert!(matches!(&error, Error::Unavailable(text) if says(text)), "{error}");
    client.ask("DELETE", "/red", &Value::Null).expect("deleted");
}

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

/// An index of one shard, in which one document after the other is written, and after each another one is changed: what is
/// dumped is what was there at one moment.
pub async fn is_of_a_moment_while_somebody_writes(server: &Search) {
    let client = server.client();
    let body = json!({ "settings": { "index": { "number_of_shards": 1, "number_of_replicas": 0 } } });
    client.ask("PUT", "/busy", &body).expect("created");
    let write = |from: u64, to: u64| {
        let line = |number: u64| {
            let change = json!({ "index": { "_id": "last" } });
            format!(
                "{{\"index\":{{\"_id\":\"{number}\"}}}}\n{{\"number\":{number}}}\n{change}\n{{\"number\":{number}}}\n"
            )
        };
        let lines: String = (from..to).map(line).collect();
        client.bulk("/busy/_bulk?refresh=true", &lines).expect("written");
    };
    write(0, 3000);
    let is_over = AtomicBool::new(false);
    let dumped = std::thread::scope(|threads| {
        let writer = threads.spawn(|| {
            let mut number = 3000;
            while !is_over.load(Ordering::Relaxed) {
                write(number, number + 7);
                number += 7;
            }
            number
        });
        // Its own runtime: the writer holds a thread, and this one has to go on.
        let dumped = std::thread::scope(|threads| {
            let dumped = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                let dumped = runtime.block_on(dump(server, r#"{"indices": ["busy"]}"#)).expect("dumped");
                let count = dumped.counts().indices["busy"].documents;
                (dumped.lines("busy.json").into_iter().map(str::to_owned).collect::<Vec<_>>(), count)
            };
            threads.spawn(dumped).join().expect("dumped")
        });
        is_over.store(true, Ordering::Relaxed);
        assert!(writer.join().expect("written") > 3000, "nothing was written meanwhile");
        dumped
    });
    let (lines, count) = dumped;
    assert_eq!(lines.len() as u64, count);
    let (mut numbers, mut last) = (Vec::new(), None);
    for line in lines {
        let document: Value = serde_json::from_str(&line).expect("a document");
        let number = document["_source"]["number"].as_u64().expect("a number");
        match document["_id"].as_str() {
            Some("last") => last = Some(number),
            _ => numbers.push(number),
        }
    }
    numbers.sort_unstable();
    let written = numbers.len() as u64;
    assert_eq!(numbers, (0..written).collect::<Vec<_>>(), "one is missing, or there twice");
    let last = last.expect("the one that changes");
    assert!(last + 1 == written || last + 2 == written, "{last} of {written}");
    client.ask("DELETE", "/busy", &Value::Null).expect("deleted");
}

/// Versions are in the lines, and stock elasticdump brings them back where it is told to.
pub async fn keeps_versions(server: &Search) {
    let client = server.client();
    let settings = json!({ "index": { "number_of_shards": 1, "number_of_replicas": 0 } });
    client.ask("PUT", "/versions", &json!({ "settings": settings })).expect("created");
    for number in 0..3 {
        let body = json!({ "number": number });
        client.ask("PUT", "/versions/_doc/changed?routing=r", &body).expect("written");
    }
    let far = "/versions/_doc/external?version=9007199254740993&version_type=external";
    client.ask("PUT", far, &json!({ "number": 1 })).expect("written");
    client.ask("PUT", "/versions/_doc/once", &json!({ "number": 1 })).expect("written");
    let dumped = dump(server, r#"{"indices": ["versions"]}"#).await.expect("dumped");
    let lines = dumped.lines("versions.json");
    let version = |id: &str| {
        let line = lines.iter().find(|line| line.contains(&format!("\"_id\":\"{id}\""))).expect(id);
        serde_json::from_str::<Value>(line).expect("a document")["_version"].clone()
    };
    let wanted = [("changed", json!(3)), ("external", json!(9_007_199_254_740_993_u64)), ("once", json!(1))];
    for (id, wanted) in &wanted {
        assert_eq!(version(id), *wanted, "{id}");
    }
    let folder = dumped.write();
    let load = |options: &[&str]| {
        client.ask("DELETE", "/versions", &Value::Null).expect("deleted");
        client.ask("PUT", "/versions", &json!({ "settings": settings })).expect("created");
        let mut command = server.tool("elasticdump").expect("elasticdump");
        command.arg(format!("--input={}", folder.path().join("versions.json").display()));
        command.arg(format!("--output={}/versions", server.url())).args(["--type=data", "--quiet"]).args(options);
        let output = command.output().expect("elasticdump");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        client.ask("POST", "/versions/_refresh", &Value::Null).expect("refreshed");
        let one = |id: &str, query: &str| {
            client.ask("GET", &format!("/versions/_doc/{id}{query}"), &Value::Null).expect(id)["_version"].clone()
        };
        [one("changed", "?routing=r"), one("external", ""), one("once", "")]
    };
    assert_eq!(load(&[]), [json!(1), json!(1), json!(1)]);
    let [changed, external, once] = load(&["--handleVersion=true", "--versionType=external"]);
    // Its numbers are floats.
    assert_eq!([changed, once], [json!(3), json!(1)]);
    assert!(external.as_u64().is_some_and(|version| version > 9_007_199_254_740_000), "{external}");
    client.ask("DELETE", "/versions", &Value::Null).expect("deleted");
}

/// Documents of tens of MB, between small ones.
pub async fn takes_huge_documents(server: &Search) {
    let client = server.client();
    let body = json!({ "mappings": { "enabled": false },
        "settings": { "index": { "number_of_shards": 1, "number_of_replicas": 0 } } });
    client.ask("PUT", "/huge", &body).expect("created");
    // What a heap of half a gigabyte takes: newer servers count each four times.
    let megabytes = if server.version().abilities().vectors { 9 } else { 40 };
    let huge = format!("{{\"text\":\"{}\"}}", "0123456789abcdef".repeat(megabytes << 16));
    for number in 0..20 {
        let source = if number % 10 == 5 { huge.as_str() } else { "{\"text\":\"\"}" };
        let lines = format!("{{\"index\":{{\"_id\":\"{number}\"}}}}\n{source}\n");
        client.bulk("/huge/_bulk", &lines).expect("written");
    }
    let dumped = dump(server, r#"{"indices": ["huge"], "jobs": 4}"#).await.expect("dumped");
    assert_eq!(dumped.fact("rows"), "20");
    let ends = format!("\"_source\":{huge}}}");
    assert_eq!(dumped.lines("huge.json").iter().filter(|line| line.ends_with(&ends)).count(), 2);
    client.ask("DELETE", "/huge", &Value::Null).expect("deleted");
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
