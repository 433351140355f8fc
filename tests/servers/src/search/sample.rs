//! A sample worth the name: indices with every kind of field that the server has, routing, joins, odd ids, aliases,
//! templates, pipelines, scripts, a data stream, an index that is closed and one that is hidden. The same number of
//! documents gives the same sample on the same server.

#![allow(clippy::indexing_slicing, reason = "a field that JSON does not have is null")]

use std::iter::once;

use serde_json::{Value, json};

use super::documents::{DIMENSIONS, Document, event, odd, order, product, small};
use super::{Abilities, Client, Search};
use crate::error::Result;

/// What the names of everything begin with.
pub const PREFIX: &str = "shop";

/// All kinds of fields; more than half of the documents.
pub const PRODUCTS: &str = "shop-products";
/// Parents and children that are routed, and must be.
pub const ORDERS: &str = "shop-orders";
/// Ids and routings that need care.
pub const ODD: &str = "shop-odd";
/// Has a pipeline of its own, which half of its documents have not been through. On servers with the processor `set`.
pub const STAMPED: &str = "shop-stamped";
pub const EMPTY: &str = "shop-empty";
pub const CLOSED: &str = "shop-closed";
pub const HIDDEN: &str = "shop-hidden";
/// Made by a template; the second is what [`LOGS_ALIAS`] writes to.
pub const LOGS: [&str; 2] = ["shop-logs-2026.01", "shop-logs-2026.02"];
pub const LOGS_ALIAS: &str = "shop-logs";
/// On servers that have data streams.
pub const STREAM: &str = "shop-events";

/// Below every server's limit for a request (100 MB), and small beside its heap.
const BATCH: usize = 4 << 20;

/// Fills a server with about this many documents and everything around them.
pub fn create(server: &Search, documents: u32) -> Result<()> {
    let (client, can) = (server.client(), server.version().abilities());
    templates(&client, can)?;
    pipelines_and_scripts(&client, can)?;
    let put = |name: &str, body: Value| client.ask("PUT", &format!("/{name}"), &body);
    put(PRODUCTS, products(can))?;
    put(ORDERS, orders(can))?;
    put(
        ODD,
        json!({ "settings": settings(2, json!({})), "mappings": { "dynamic": "strict", "properties": {
        "number": { "type": "integer" }, "id": { "type": "keyword", "ignore_above": 100 } } } }),
    )?;
    put(EMPTY, json!({ "settings": settings(1, json!({ "mapping.total_fields.limit": 50 })) }))?;
    put(CLOSED, json!({ "settings": settings(1, json!({})), "aliases": { "shop-old-things": {} } }))?;
    put(HIDDEN, json!({ "settings": settings(1, json!({ "hidden": true })) }))?;

    let (some, few) = (documents / 3, documents / 20);
    let many = documents.saturating_sub(some + 4 * few);
    load(&client, PRODUCTS, "index", (0..many).map(|number| product(number, can)))?;
    load(&client, ORDERS, "index", (0..some).map(|number| order(number, can)))?;
    load(&client, ODD, "index", odd().into_iter())?;
    for name in [CLOSED, HIDDEN] {
        load(&client, name, "index", (0..20).map(small))?;
    }
    for (number, name) in (0..).zip(LOGS) {
        load(&client, name, "index", (number * few..(number + 1) * few).map(event))?;
    }
    if can.set_processor {
        put(STAMPED, json!({ "settings": settings(1, json!({ "default_pipeline": "shop-stamp" })) }))?;
        load(&client, STAMPED, "index", (0..few / 2).map(small))?;
        load(&client, &format!("{STAMPED}?pipeline=_none"), "index", (few / 2..few).map(small))?;
    }
    if can.data_streams {
        client.ask("PUT", &format!("/_data_stream/{STREAM}"), &Value::Null)?;
        load(&client, STREAM, "create", (0..few).map(event))?;
        client.ask("POST", &format!("/{STREAM}/_rollover"), &Value::Null)?;
        load(&client, STREAM, "create", (few..few + few / 2).map(event))?;
    }
    aliases(&client, can)?;
    client.ask("POST", &format!("/{PREFIX}*/_refresh?expand_wildcards=all"), &Value::Null)?;
    client.ask("POST", &format!("/{PRODUCTS},{CLOSED}/_flush"), &Value::Null)?;
    client.ask("POST", &format!("/{CLOSED}/_close"), &Value::Null).map(drop)
}

/// Creates indices whose documents cannot be had as they were indexed, as far as the server has such, with ten documents
/// each. Returns their names.
pub fn create_lossy(server: &Search) -> Result<Vec<&'static str>> {
    let (client, can) = (server.client(), server.version().abilities());
    let fields = json!({ "number": { "type": "long" }, "name": { "type": "keyword" } });
    let with = |source: Value| json!({ "settings": settings(1, json!({})), "mappings": { "_source": source, "properties": fields } });
    let mut indices = vec![
        ("shop-without-source", with(json!({ "enabled": false }))),
        ("shop-excludes", with(json!({ "excludes": ["name", "secret.*"] }))),
        ("shop-includes", with(json!({ "includes": ["number"] }))),
    ];
    if can.synthetic_source {
        let settings = settings(1, json!({ "mapping.source.mode": "synthetic" }));
        indices.push(("shop-synthetic", json!({ "settings": settings, "mappings": { "properties": fields } })));
    }
    if server.version().is_opensearch() {
        let settings = settings(1, json!({ "derived_source.enabled": true }));
        indices.push(("shop-derived", json!({ "settings": settings, "mappings": { "properties": fields } })));
    }
    let mut names = Vec::new();
    for (name, body) in indices {
        client.ask("PUT", &format!("/{name}"), &body)?;
        load(&client, name, "index", (0..10).map(small))?;
        client.ask("POST", &format!("/{name}/_refresh"), &Value::Null)?;
        names.push(name);
    }
    Ok(names)
}

/// Removes everything that [`create`] and [`create_lossy`] made.
pub fn remove(server: &Search) -> Result<()> {
    let (client, can) = (server.client(), server.version().abilities());
    if can.data_streams {
        client.delete(&format!("/_data_stream/{STREAM}"), &Value::Null)?;
    }
    // Newer servers refuse wildcards where something is removed.
    let found =
        client.ask("GET", &format!("/{PREFIX}*/_settings?expand_wildcards=all&flat_settings=true"), &Value::Null)?;
    for name in found.as_object().into_iter().flat_map(|found| found.keys()) {
        client.ask("DELETE", &format!("/{name}"), &Value::Null)?;
    }
    let others = [
        "_index_template/shop-logs",
        "_index_template/shop-events",
        "_component_template/shop-settings",
        "_component_template/shop-mappings",
        "_component_template/shop-unused",
        "_template/shop-legacy",
        "_ingest/pipeline/shop-stamp",
        "_ingest/pipeline/shop-odd",
        "_ingest/pipeline/shop-nothing",
        "_scripts/shop-score",
        "_scripts/shop-search",
    ];
    others.iter().try_for_each(|path| client.delete(&format!("/{path}"), &Value::Null).map(drop))
}

fn load(client: &Client, target: &str, operation: &str, documents: impl Iterator<Item = Document>) -> Result<()> {
    let (index, query) =
        target.split_once('?').map_or((target, String::new()), |(index, query)| (index, format!("?{query}")));
    let path = format!("/{index}/_bulk{query}");
    let mut lines = String::new();
    for document in documents {
        lines.push_str(&document.lines(operation));
        if lines.len() > BATCH {
            client.bulk(&path, &lines)?;
            lines.clear();
        }
    }
    if lines.is_empty() { Ok(()) } else { client.bulk(&path, &lines) }
}

/// One node has no place for replicas.
fn settings(shards: u32, others: Value) -> Value {
    let mut settings = json!({ "number_of_shards": shards, "number_of_replicas": 0 });
    if let (Some(settings), Value::Object(others)) = (settings.as_object_mut(), others) {
        settings.extend(others);
    }
    json!({ "index": settings })
}

fn products(can: Abilities) -> Value {
    let mut filters = vec!["lowercase", "shop_stop"];
    let mut analysis = json!({
        "filter": { "shop_stop": { "type": "stop", "stopwords": ["and", "und", "dock"] } },
        "normalizer": { "shop_lower": { "type": "custom", "filter": ["lowercase"] } },
    });
    if can.analyzers {
        filters.extend(["asciifolding", "shop_synonyms"]);
        analysis["filter"]["shop_synonyms"] = json!({ "type": "synonym", "synonyms": ["boje, buoy", "oar => paddle"] });
        analysis["char_filter"] = json!({ "shop_and": { "type": "mapping", "mappings": ["& => and"] } });
    }
    analysis["analyzer"] = json!({ "shop_text": { "type": "custom", "tokenizer": "standard", "filter": filters } });
    if can.analyzers {
        analysis["analyzer"]["shop_text"]["char_filter"] = json!(["shop_and"]);
    }
    let vector = match can.vectors {
        true => json!({ "type": "dense_vector", "dims": DIMENSIONS, "index": true, "similarity": "l2_norm" }),
        false => json!({ "type": "float", "index": false }),
    };
    let mut fields = json!({
        "number": { "type": "integer" },
        "name": { "type": "text", "analyzer": "shop_text", "copy_to": "everything",
            "fields": { "raw": { "type": "keyword", "ignore_above": 64, "normalizer": "shop_lower" } } },
        "description": { "type": "text", "analyzer": "shop_text", "term_vector": "with_positions_offsets", "copy_to": ["everything"] },
        "everything": { "type": "text", "store": true },
        "price": { "type": "double" },
        "stock": { "type": "long" },
        "weight": { "type": "half_float" },
        "ratio": { "type": "double", "null_value": 0.5 },
        "active": { "type": "boolean" },
        "picture": { "type": "binary", "doc_values": true },
        "added": { "type": "date", "format": "yyyy-MM-dd||epoch_millis" },
        "touched": { "type": "date_nanos" },
        "season": { "type": "date_range", "format": "yyyy-MM-dd" },
        "size": { "type": "integer_range" },
        "network": { "type": "ip_range" },
        "address": { "type": "ip", "ignore_malformed": true },
        "place": { "type": "geo_point" },
        "tags": { "type": "keyword", "eager_global_ordinals": true },
        "parts": { "type": "nested", "include_in_root": true, "properties": {
            "name": { "type": "keyword" }, "count": { "type": "short" } } },
        "extra": { "type": "object", "enabled": false },
        "vector": vector,
        "label": { "type": "alias", "path": "name.raw" },
    });
    if can.join {
        fields["price"] = json!({ "type": "scaled_float", "scaling_factor": 100 });
        fields["rank"] = json!({ "type": "rank_feature" });
    }
    if can.shapes {
        fields["area"] = json!({ "type": "geo_shape" });
    }
    json!({
        "settings": settings(3, json!({ "refresh_interval": "7s", "max_result_window": 20000, "analysis": analysis })),
        "mappings": {
            "_meta": { "owner": "Größe & 😀", "version": 3 },
            "date_detection": false,
            "dynamic_templates": [{ "codes": { "match": "*_code", "mapping": { "type": "keyword", "doc_values": false } } }],
            "properties": fields,
        },
    })
}

fn orders(can: Abilities) -> Value {
    let kind = match can.join {
        true => json!({ "type": "join", "relations": { "customer": ["order"] }, "eager_global_ordinals": true }),
        false => json!({ "type": "keyword" }),
    };
    let mut own = json!({ "sort.field": "placed", "sort.order": "desc" });
    if !can.vectors {
        // Newer servers want a library for it that they do not have here.
        own["codec"] = "best_compression".into();
    }
    json!({
        "settings": settings(2, own),
        "mappings": { "_routing": { "required": true }, "dynamic": false, "properties": {
            "kind": kind,
            "country": { "type": "keyword" },
            "placed": { "type": "date" },
            "total": { "type": "float" },
            "lines": { "properties": { "line": { "type": "byte" }, "product": { "type": "integer" } } },
        } },
    })
}

fn templates(client: &Client, can: Abilities) -> Result<()> {
    let put = |path: &str, body: Value| client.ask("PUT", path, &body).map(drop);
    let settings = settings(1, json!({ "refresh_interval": "3s" }));
    put(
        "/_component_template/shop-settings",
        json!({ "version": 3, "_meta": { "why": "ünïcode" }, "template": { "settings": settings } }),
    )?;
    put("/_component_template/shop-unused", json!({ "template": { "settings": { "number_of_shards": 4 } } }))?;
    put(
        "/_component_template/shop-mappings",
        json!({ "template": { "aliases": { "shop-everything-logged": {} }, "mappings": { "properties": {
            "@timestamp": { "type": "date" }, "level": { "type": "keyword" }, "message": { "type": "text" } } } } }),
    )?;
    put(
        "/_index_template/shop-logs",
        json!({
            "index_patterns": ["shop-logs-*", "shop-other-logs-*"], "composed_of": ["shop-settings", "shop-mappings"],
            "priority": 17, "version": 5, "_meta": { "by": "sample" },
            "template": {
                "aliases": { "shop-errors": { "filter": { "term": { "level": "error" } } } },
                "mappings": { "properties": { "number": { "type": "integer" } } },
            },
        }),
    )?;
    if can.data_streams {
        put(
            "/_index_template/shop-events",
            json!({
                "index_patterns": ["shop-events*"], "data_stream": {}, "composed_of": ["shop-settings"], "priority": 200,
                "template": { "mappings": { "properties": { "level": { "type": "keyword" } } } },
            }),
        )?;
    }
    put(
        "/_template/shop-legacy",
        json!({
            "index_patterns": ["shop-legacy-*"], "order": 3, "version": 7, "settings": { "number_of_shards": 2 },
            "mappings": { "properties": { "old": { "type": "keyword" } } }, "aliases": { "shop-legacy": {} },
        }),
    )
}

fn pipelines_and_scripts(client: &Client, can: Abilities) -> Result<()> {
    let put = |path: &str, body: Value| client.ask("PUT", path, &body).map(drop);
    put("/_ingest/pipeline/shop-nothing", json!({ "description": "none: ünïcode", "version": 4, "processors": [] }))?;
    if can.set_processor {
        let set = json!({ "set": { "field": "stamped", "value": true, "tag": "stamp" } });
        put("/_ingest/pipeline/shop-stamp", json!({ "description": "stamps", "processors": [set] }))?;
    }
    if can.processors {
        let processors = json!([
            { "grok": { "field": "message", "patterns": ["%{WORD:first} %{GREEDYDATA:rest}"], "ignore_failure": true } },
            { "script": { "lang": "painless", "source": "ctx.words = ctx.message.splitOnToken(' ').length" } },
        ]);
        let on_failure = json!([{ "set": { "field": "error", "value": "{{ _ingest.on_failure_message }}" } }]);
        put("/_ingest/pipeline/shop-odd", json!({ "processors": processors, "on_failure": on_failure }))?;
    }
    if can.painless {
        let source = "Math.log(_score * 2) + params['factor'] /* \"ü\" */";
        put("/_scripts/shop-score", json!({ "script": { "lang": "painless", "source": source } }))?;
    }
    if can.mustache {
        let source = json!({ "query": { "match": { "name": "{{text}}" } }, "size": "{{size}}{{^size}}10{{/size}}" });
        put("/_scripts/shop-search", json!({ "script": { "lang": "mustache", "source": source } }))?;
    }
    Ok(())
}

fn aliases(client: &Client, can: Abilities) -> Result<()> {
    let cheap = json!({ "bool": { "must": [{ "range": { "price": { "lt": 50 } } }, { "term": { "active": true } }] } });
    let mut actions = vec![
        json!({ "index": PRODUCTS, "alias": "shop-cheap", "filter": cheap }),
        json!({ "index": PRODUCTS, "alias": "shop-everything" }),
        json!({ "index": ORDERS, "alias": "shop-everything" }),
        json!({ "index": ORDERS, "alias": "shop-eu", "index_routing": "eu", "search_routing": "eu,de" }),
        json!({ "index": LOGS[0], "alias": LOGS_ALIAS, "is_write_index": false }),
        json!({ "index": LOGS[1], "alias": LOGS_ALIAS, "is_write_index": true }),
    ];
    if can.hidden_aliases {
        actions.extend(once(json!({ "index": ODD, "alias": "shop-secret", "is_hidden": true })));
    }
    let actions: Vec<_> = actions.into_iter().map(|action| json!({ "add": action })).collect();
    client.ask("POST", "/_aliases", &json!({ "actions": actions })).map(drop)
}
