//! Dumps with an oplog, of a server that is none: FerretDB's has no transactions and no commands.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use crate::dumping::fake::{Collection, Fake, at, primary};
use crate::dumping::{Dump, Mongodump};
use crate::faked::{dump, moment, numbered};
use bson::raw::{RawDocumentBuf, cstr};
use bson::rawdoc;
use coffer_addon::Error;
use coffer_addon_mongodb::layout::Consistency;

pub fn entry(time: u32, kind: &str, namespace: &str, done: RawDocumentBuf) -> RawDocumentBuf {
    rawdoc! { "ts": at(time), "op": kind, "ns": namespace, "o": done }
}

/// A member with an oplog.
pub fn with_oplog(entries: Vec<RawDocumentBuf>, newest: u32, majority: u32) -> Fake {
    Fake::new("6.0.1", primary(newest, majority))
        .with("shop", Collection::new("orders", numbered(10)))
        .with("local", Collection::new("oplog.rs", entries))
}

#[tokio::test]
async fn the_oplog_begins_with_the_first_transaction_that_was_open() {
    let write = |time| entry(time, "i", "shop.orders", rawdoc! { "_id": 1 });
    let mut end = entry(44, "c", "admin.$cmd", rawdoc! { "commitTransaction": 1 });
    end.append(cstr!("prevOpTime"), rawdoc! { "ts": at(20), "t": 1_i64 });
    let entries = vec![
        write(10),
        entry(20, "c", "admin.$cmd", rawdoc! { "applyOps": [] }),
        write(30),
        write(40),
        write(42),
        end,
        entry(45, "u", "config.system.sessions", rawdoc! { "_id": 1 }),
        entry(46, "n", "", rawdoc! { "msg": "periodic noop" }),
    ];
    let times = |dumped: &Dump| -> Vec<u32> {
        let entries = dumped.documents("oplog.bson");
        let mut times: Vec<u32> = entries.iter().map(|entry| entry.get_timestamp("ts").unwrap().time).collect();
        times.sort();
        times
    };
    // Nothing was open: from what the majority had, and from the first entry of a transaction that has just ended.
    let fake = with_oplog(entries.clone(), 46, 41);
    let (mut has_read, mut looks) = (false, 0);
    let fake = fake.instead(move |name, _| {
        has_read |= name == "getMore";
        looks += u32::from(has_read && name == "isMaster");
        // The majority has it all when it was looked at twice.
        (looks > 2).then(|| primary(46, 46)).filter(|_| name == "isMaster")
    });
    let dumped = dump(&fake, "{}").await.expect("dumped");
    assert_eq!(dumped.index().consistency, Consistency::Oplog { start: moment(20), end: moment(46) });
    assert_eq!(times(&dumped), [20, 30, 40, 42, 44, 46]);
    assert_eq!((dumped.fact("oplogStart"), dumped.fact("oplogEntries")), ("20:1", "6"));

    // One is open.
    let open = rawdoc! { "_id": 1, "state": "inProgress", "startOpTime": { "ts": at(10), "t": 1_i64 } };
    let fake = with_oplog(entries, 46, 46).with("config", Collection::new("transactions", vec![open]));
    let dumped = dump(&fake, "{}").await.expect("dumped");
    assert_eq!(dumped.index().consistency, Consistency::Oplog { start: moment(10), end: moment(46) });
    assert_eq!(times(&dumped).len(), 7);
    assert!(dumped.names().iter().all(|name| !name.starts_with("config/")), "{:?}", dumped.names());
}

#[tokio::test]
async fn what_the_oplog_cannot_replay_fails_the_dump_by_name() {
    let rename = rawdoc! { "renameCollection": "shop.new", "to": "shop.orders", "dropTarget": true };
    let fake = with_oplog(vec![entry(40, "n", "", rawdoc! {}), entry(50, "c", "shop.$cmd", rename)], 50, 40);
    let mut has_read = false;
    let fake = fake.instead(move |name, _| {
        has_read |= name == "getMore";
        (name == "isMaster" && has_read).then(|| primary(50, 50))
    });
    match dump(&fake, "{}").await.map(|dumped| dumped.report) {
        Err(Error::Failed(text)) => {
            assert!(text.contains("shop.new was renamed to shop.orders") && text.contains("snapshot"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}
