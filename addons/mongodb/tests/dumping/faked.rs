//! What no server at hand can do, against one that is none.

use crate::dumping::fake::{Collection, Fake, at, cursor, primary, refusal, secondary, standalone};
use crate::dumping::{Dump, Mongodump, dump_from, sorted};
use crate::logged::entry;
use bson::oid::ObjectId;
use bson::raw::{RawDocumentBuf, cstr};
use bson::{DateTime, RawBson, RawDocument, rawdoc};
use coffer_addon::Error;
use coffer_addon_mongodb::layout::{Consistency, Kind, Timestamp};

pub fn moment(time: u32) -> Timestamp {
    at(time).into()
}

pub async fn dump(fake: &Fake, parameters: &str) -> Result<Dump, Error> {
    dump_from(fake.application(), parameters).await
}

pub fn numbered(count: i32) -> Vec<RawDocumentBuf> {
    (0..count).map(|id| rawdoc! { "_id": id, "text": "x".repeat(20) }).collect()
}

/// One `_id` of each type, in the order that MongoDB compares types in.
pub fn mixed() -> Vec<RawDocumentBuf> {
    let ids = [
        RawBson::MinKey,
        RawBson::Null,
        RawBson::Int32(-1),
        RawBson::Double(0.5),
        RawBson::Int64(7),
        RawBson::String("a".into()),
        RawBson::String("b".into()),
        RawBson::Document(rawdoc! { "a": 1 }),
        RawBson::ObjectId(ObjectId::from_bytes([1; 12])),
        RawBson::Boolean(false),
        RawBson::Boolean(true),
        RawBson::DateTime(DateTime::from_millis(5)),
        RawBson::MaxKey,
    ];
    ids.into_iter()
        .map(|id| {
            let mut document = RawDocumentBuf::new();
            document.append(cstr!("_id"), id);
            document
        })
        .collect()
}

#[tokio::test]
async fn ranges_of_an_index_of_mixed_types_are_all_of_it() {
    let fake = Fake::new("8.0.4", standalone()).with("shop", Collection::new("orders", mixed()));
    for (jobs, size) in [(1, 40), (3, 40), (4, 1), (2, 0)] {
        let dumped = dump(&fake, &format!(r#"{{"jobs": {jobs}, "splitSize": {size}}}"#)).await.expect("dumped");
        assert_eq!(dumped.documents("shop/orders.bson"), sorted(mixed()), "{jobs} {size}");
        assert_eq!(dumped.fact("rows"), mixed().len().to_string());
    }
    let cut = fake.heard("find").iter().filter(|find| find.get_document("min").is_ok()).count();
    assert!(cut > 6, "{cut}");
    // A condition compares within a type.
    assert!(fake.heard("find").iter().all(|find| find.get_document("filter").is_err()));
}

#[tokio::test]
async fn what_has_no_order_by_id_is_read_in_one_piece() {
    for options in [
        rawdoc! { "capped": true, "size": 4096 },
        rawdoc! { "clusteredIndex": { "key": { "_id": 1 }, "unique": true } },
        rawdoc! { "collation": { "locale": "fr" } },
    ] {
        let collection = Collection { options, ..Collection::new("log", numbered(20)) };
        let fake = Fake::new("8.0.4", standalone()).with("shop", collection);
        let dumped = dump(&fake, r#"{"splitSize": 10}"#).await.expect("dumped");
        assert_eq!(dumped.documents("shop/log.bson").len(), 20);
        assert_eq!(fake.heard("find").len(), 1);
        assert_eq!(fake.heard("find")[0].get_document("hint").unwrap().get_i32("$natural").unwrap(), 1);
    }
}

#[tokio::test]
async fn documents_alone_are_not_of_views() {
    let options = rawdoc! { "viewOn": "orders", "pipeline": [] };
    let view = Collection { kind: "view", options, ..Collection::new("a_view", Vec::new()) };
    let fake = Fake::new("7.0.2", standalone()).with("shop", view).with("shop", Collection::new("orders", numbered(4)));
    let dumped = dump(&fake, r#"{"dataOnly": true}"#).await.expect("dumped");
    // What a restore of it has to come to.
    assert_eq!((dumped.fact("tables"), dumped.index().collections.len()), ("1", 1));
}

#[tokio::test]
async fn a_time_series_is_its_buckets() {
    let series = Collection {
        kind: "timeseries",
        options: rawdoc! { "timeseries": { "timeField": "t" } },
        ..Collection::new("weather", Vec::new())
    };
    let buckets = Collection::new("system.buckets.weather", numbered(4));
    let fake = Fake::new("7.0.2", standalone()).with("shop", series.clone()).with("shop", buckets);
    let dumped = dump(&fake, "{}").await.expect("dumped");
    assert_eq!(dumped.documents("shop/system.buckets.weather.bson"), sorted(numbered(4)));
    assert!(dumped.has("shop/weather.metadata.json") && !dumped.has("shop/system.buckets.weather.metadata.json"));
    assert_eq!(dumped.index().collections.iter().map(|found| found.kind).collect::<Vec<_>>(), [Kind::Timeseries]);

    // From MongoDB 8.3 on there is no such collection; the series shows its buckets to those who ask.
    let fake = Fake::new("8.3.0", standalone()).with("shop", Collection { documents: numbered(4), ..series });
    let dumped = dump(&fake, "{}").await.expect("dumped");
    assert_eq!(dumped.documents("shop/system.buckets.weather.bson"), sorted(numbered(4)));
    assert!(fake.heard("find")[0].get_bool("rawData").unwrap());
}

#[tokio::test]
async fn part_of_a_server_is_read_from_a_snapshot() {
    let fake = Fake::new("7.0.2", primary(50, 40))
        .with("shop", Collection::new("orders", numbered(10)))
        .with("shop", Collection::new("users", numbered(10)));
    let mut asked = 0;
    // The majority is behind at first.
    let fake = fake.instead(move |name, _| {
        asked += u32::from(name == "isMaster");
        (name == "isMaster" && asked > 5).then(|| primary(60, 55))
    });
    let dumped = dump(&fake, r#"{"databases": ["shop"], "splitSize": 100}"#).await.expect("dumped");
    assert_eq!(dumped.index().consistency, Consistency::Snapshot { at: moment(50) });
    assert_eq!((dumped.fact("consistency"), dumped.fact("snapshot")), ("snapshot", "50:1"));
    let mut finds = fake.heard("find");
    // But for looks at a bound.
    finds.retain(|find| find.get_document("projection").is_err());
    assert!(finds.len() > 2);
    for find in finds {
        let concern = find.get_document("readConcern").expect("a read concern");
        assert_eq!(concern.get_str("level").unwrap(), "snapshot");
        assert_eq!(concern.get_timestamp("atClusterTime").unwrap(), at(50));
        assert!(find.get_bool("noCursorTimeout").unwrap() && find.get_document("lsid").is_ok());
    }
}

#[tokio::test]
async fn without_the_right_to_read_the_oplog_there_is_a_snapshot_or_a_reason() {
    let denied = |name: &str, command: &RawDocument| {
        let oplog = name == "find" && command.get_str("find").is_ok_and(|name| name == "oplog.rs");
        oplog.then(|| refusal(13, "Unauthorized", "not authorized on local to execute command"))
    };
    for (version, kind) in [("7.0.2", "snapshot"), ("4.4.1", "none")] {
        let fake = Fake::new(version, primary(50, 50)).with("shop", Collection::new("orders", numbered(10)));
        let fake = fake.instead(denied);
        let dumped = dump(&fake, "{}").await.expect("dumped");
        assert_eq!(dumped.fact("consistency"), kind);
        if kind == "none" {
            let why = dumped.fact("inconsistentBecause");
            assert!(why.contains("role `backup`") && why.contains("MongoDB 5.0"), "{why}");
        }
        match dump(&fake, r#"{"consistency": "oplog"}"#).await.map(|dumped| dumped.report) {
            Err(Error::Denied(text)) => assert!(text.contains("role `backup`"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_secondary_is_read_and_the_primary_where_it_is_asked_for() {
    let member = |hello| {
        Fake::new("7.0.2", hello)
            .with("shop", Collection::new("orders", numbered(10)))
            .with("local", Collection::new("oplog.rs", vec![entry(40, "n", "", rawdoc! {})]))
    };
    for (parameters, reads_secondary) in [("{}", true), (r#"{"readPreference": "primary"}"#, false)] {
        let (one, two) = (member(primary(40, 40)), member(secondary(40)));
        let dumped = dump_from(Fake::members(&[("a:1", &one), ("b:2", &two)]), parameters).await.expect("dumped");
        assert_eq!(dumped.index().consistency, Consistency::Oplog { start: moment(40), end: moment(40) });
        let (read, unread) = if reads_secondary { (&two, &one) } else { (&one, &two) };
        assert!(unread.heard("find").is_empty() && unread.heard("listCollections").is_empty());
        let finds = read.heard("find");
        assert!(finds.iter().any(|find| find.get_str("find").is_ok_and(|name| name == "orders")));
        // A secondary reads for nobody who has not said so.
        assert!(finds.iter().all(|find| find.get_document("$readPreference").is_ok() == reads_secondary));
    }
}

#[tokio::test]
async fn a_secondary_without_a_primary_may_be_old_and_the_report_says_so() {
    let member = |hello| Fake::new("7.0.2", hello).with("shop", Collection::new("orders", numbered(10)));
    let (one, two) = (member(primary(40, 40)), member(secondary(40)));
    let has_doubt = |dumped: &Dump| dumped.report.facts.iter().any(|(name, _)| name == "perhapsOld");
    let parameters = r#"{"consistency": "none"}"#;
    let dumped = dump_from(Fake::members(&[("b:2", &two)]), parameters).await.expect("dumped");
    assert!(dumped.fact("perhapsOld").contains("b:2 is a secondary"), "{:?}", dumped.report);
    for members in [&[("a:1", &one), ("b:2", &two)][..], &[("a:1", &one)]] {
        let dumped = dump_from(Fake::members(members), parameters).await.expect("dumped");
        assert!(!has_doubt(&dumped), "{:?}", dumped.report);
    }
}

#[tokio::test]
async fn what_is_made_before_the_snapshot_is_in_it() {
    let fake = || {
        Fake::new("7.0.2", primary(50, 50))
            .with("shop", Collection::new("orders", numbered(10)))
            .with("shop", Collection::new("users", numbered(10)))
    };
    // Of the second, nothing is told at first.
    let orders = || cursor([rawdoc! { "name": "orders", "type": "collection", "options": {}, "info": {} }]);
    let is_list =
        |name: &str, command: &RawDocument| name == "listCollections" && command.get_document("filter").is_err();
    let mut lists = 0;
    let once = fake().instead(move |name, command| {
        lists += u32::from(is_list(name, command));
        (is_list(name, command) && lists == 1).then(orders)
    });
    let dumped = dump(&once, r#"{"databases": ["shop"]}"#).await.expect("dumped");
    assert_eq!(dumped.index().consistency, Consistency::Snapshot { at: moment(50) });
    assert_eq!(dumped.documents("shop/users.bson"), sorted(numbered(10)));

    let mut lists = 0;
    let always = fake().instead(move |name, command| {
        lists += u32::from(is_list(name, command));
        (is_list(name, command) && lists % 2 == 1).then(orders)
    });
    match dump(&always, r#"{"databases": ["shop"]}"#).await.map(|dumped| dumped.report) {
        Err(Error::Failed(text)) => assert!(text.contains("shop.users") && text.contains("again and again"), "{text}"),
        other => panic!("{other:?}"),
    }
    // Where the documents are of no one moment, nobody looks again.
    dump(&fake(), r#"{"databases": ["shop"], "consistency": "none"}"#).await.expect("dumped");
}

#[tokio::test]
async fn definitions_that_no_restore_would_hold_are_refused_before_documents_are_read() {
    // Two bytes each in a metadata file, and four in the index.
    let comment = "\"".repeat(9 << 20);
    let fake = ["a", "b"].into_iter().fold(Fake::new("7.0.2", standalone()), |fake, name| {
        let options = rawdoc! { "comment": comment.as_str() };
        fake.with("shop", Collection { options, ..Collection::new(name, numbered(1)) })
    });
    match dump(&fake, "{}").await.map(|dumped| dumped.report) {
        Err(Error::Unsupported(text)) => assert!(text.contains("in several parts"), "{text}"),
        other => panic!("{other:?}"),
    }
    assert!(fake.heard("find").is_empty());
}

#[tokio::test]
async fn the_members_of_a_replica_set_may_be_named_by_parameters() {
    let member = |hello| Fake::new("7.0.2", hello).with("shop", Collection::new("orders", numbered(10)));
    let (one, two) = (member(primary(40, 40)), member(secondary(40)));
    let application = Fake::members(&[("host-0/rs0/a:1", &one), ("host-0/rs0/b:2", &two)]);
    dump_from(application, r#"{"consistency": "none"}"#).await.expect("dumped");
    assert!(one.heard("find").is_empty() && !two.heard("find").is_empty());
    let cluster = Fake::members(&[("host-0/s0/a:1", &one), ("host-1/s1/b:2", &two)]);
    match dump_from(cluster, "{}").await.map(|dumped| dumped.report) {
        Err(Error::Unsupported(text)) => assert!(text.contains("each shard"), "{text}"),
        other => panic!("{other:?}"),
    }
}

/// One like MongoDB that has no `explain`.
#[tokio::test]
async fn a_server_that_cannot_say_beforehand_whether_it_takes_a_filter_is_asked_with_it() {
    let fake = || Fake::new("7.0.2", standalone()).with("shop", Collection::new("orders", numbered(10)));
    let parameters = r#"{"query": {"shop.orders": "{\"a\": 1}"}}"#;
    for code in [59, 115] {
        let none = fake().instead(move |name, _| (name == "explain").then(|| refusal(code, "No", "no such command")));
        dump(&none, parameters).await.expect("dumped");
    }
    let busy = fake().instead(|name, _| (name == "explain").then(|| refusal(91, "ShutdownInProgress", "going")));
    match dump(&busy, parameters).await.map(|dumped| dumped.report) {
        Err(Error::Unavailable(text)) => assert!(text.contains("shop.orders"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_router_is_refused() {
    let mut hello = standalone();
    hello.append(cstr!("msg"), "isdbgrid");
    let fake = Fake::new("7.0.2", hello);
    match dump(&fake, "{}").await.map(|dumped| dumped.report) {
        Err(Error::Unsupported(text)) => assert!(text.contains("mongos") && text.contains("balancer"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_passes_over_bounds_is_read_in_one_piece_or_found_out() {
    let whole = |command: &RawDocument| {
        command.get_document("hint").is_ok_and(|hint| hint.get_i32("_id").is_ok()).then(|| cursor(numbered(20)))
    };
    let fake = Fake::new("7.0.2", standalone()).with("shop", Collection::new("orders", numbered(20)));
    let fake = fake.instead(move |name, command| if name == "find" { whole(command) } else { None });
    let dumped = dump(&fake, r#"{"splitSize": 100}"#).await.expect("dumped");
    assert_eq!(dumped.documents("shop/orders.bson"), sorted(numbered(20)));

    // One that keeps to lower bounds only.
    let fake = Fake::new("7.0.2", standalone()).with("shop", Collection::new("orders", numbered(20)));
    let fake = fake.instead(move |name, command| {
        (name == "find" && command.get_document("max").is_ok()).then(|| whole(command)).flatten()
    });
    match dump(&fake, r#"{"splitSize": 100}"#).await.map(|dumped| dumped.report) {
        Err(Error::Unsupported(text)) => assert!(text.contains("shop.orders") && text.contains("splitSize"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_database_that_no_folder_can_be_called_by_is_named() {
    let fake = Fake::new("8.0.1", standalone())
        .with("new\nline", Collection::new("c", numbered(1)))
        .with("shop", Collection::new("c", numbered(1)));
    let refused = dump(&fake, "{}").await.map(|dumped| dumped.report);
    assert!(
        matches!(&refused, Err(Error::Unsupported(text)) if text.contains("new\\nline") && text.contains("exclude")),
        "{refused:?}"
    );
    dump(&fake, r#"{"exclude": ["new?line.*"]}"#).await.expect("dumped");
}
