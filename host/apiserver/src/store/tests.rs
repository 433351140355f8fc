use redb::TableDefinition;
use serde_json::json;

use super::file::persist;
use super::state::{HISTORY, HISTORY_BYTES};
use super::*;

fn key(name: &str) -> Key {
    Key { resource: "things.test".into(), namespace: "default".into(), name: name.into() }
}

#[test]
fn a_write_is_all_or_nothing_and_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.redb");
    let store = Store::open(&path).unwrap();
    store.write(|txn| Ok(txn.put(key("kept"), json!({"metadata": {"name": "kept"}})))).unwrap();
    let refused: Result<()> = store.write(|txn| {
        txn.put(key("lost"), json!({}));
        Err(Status::bad_request("no"))
    });
    refused.unwrap_err();
    let revision = store.read(|state| state.revision);
    drop(store);

    let store = Store::open(&path).unwrap();
    assert_eq!(store.read(|state| state.revision), revision);
    assert!(store.read(|state| state.get(&key("kept")).is_some()));
    assert!(store.read(|state| state.get(&key("lost")).is_none()));
}

/// A write as it was when the disk failed, in the file or not.
fn failed(store: &Store, name: &str, in_the_file: bool) {
    let pending = store.read(|state| {
        let mut txn = Txn::new(state);
        txn.put(key(name), json!({"metadata": {"name": name}}));
        let Txn { revision, staged, changes, .. } = txn;
        Pending { revision, staged, changes }
    });
    let mut writer = store.writer.lock().unwrap();
    let Writer::Open(database) = &*writer else { panic!("not open") };
    if in_the_file {
        persist(database, &pending).unwrap();
    }
    *writer = Writer::Failed(pending);
}

#[test]
fn a_failed_write_is_seen_if_the_file_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.redb");
    let store = Store::open(&path).unwrap();
    let write = |name: &str| store.write(|txn| Ok(txn.put(key(name), json!({"metadata": {"name": name}}))));
    let start = store.read(|state| state.revision);
    failed(&store, "lost", false);
    write("first").unwrap();
    failed(&store, "durable", true);
    write("second").unwrap();
    let names = || store.read(|state| state.keys().map(|key| key.name.clone()).collect::<Vec<_>>());
    assert_eq!(names(), ["durable", "first", "second"]);
    let told =
        store.read(|state| state.since(start).unwrap().map(|change| change.key.name.clone()).collect::<Vec<_>>());
    assert_eq!(told, ["first", "durable", "second"]);

    failed(&store, "lost", false);
    Store::open(&path).unwrap().write(|txn| Ok(txn.put(key("foreign"), json!({})))).unwrap();
    let refused = write("third").unwrap_err();
    assert!(refused.message().contains("no longer what this server wrote"), "{refused:?}");
    std::fs::remove_file(&path).unwrap();
    write("third").unwrap_err();
    assert!(!path.exists(), "no empty control plane is left for the next start");
    assert_eq!(names(), ["durable", "first", "second"]);
}

#[test]
fn names_the_file_that_cannot_be_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.redb");
    let first = Store::open(&path).unwrap();
    assert!(matches!(Store::open(&path), Err(Error::Locked { .. })));
    drop(first);

    let foreign = dir.path().join("foreign.redb");
    std::fs::write(&foreign, "a diary, not a database\n".repeat(1000)).unwrap();
    let error = Store::open(&foreign).err().unwrap();
    assert!(matches!(error, Error::Foreign { .. }), "{error:?}");
    assert!(error.to_string().contains("foreign.redb"));

    let other = dir.path().join("other.redb");
    let foreign = Database::create(&other).unwrap();
    let transaction = foreign.begin_write().unwrap();
    transaction.open_table(TableDefinition::<u64, u64>::new("theirs")).unwrap();
    transaction.commit().unwrap();
    drop(foreign);
    assert!(matches!(Store::open(&other), Err(Error::Foreign { .. })));

    let mut bytes = std::fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes.truncate(half);
    std::fs::write(&path, bytes).unwrap();
    let error = Store::open(&path).err().unwrap();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
}

#[test]
fn damage_is_found_or_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.redb");
    let store = Store::open(&path).unwrap();
    let value = json!({"value": "x".repeat(500)});
    for number in 0..20 {
        store.write(|txn| Ok(txn.put(key(&number.to_string()), value.clone()))).unwrap();
    }
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    let mut found = 0;
    for at in (0..whole.len()).step_by(whole.len() / 64) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        std::fs::write(&path, damaged).unwrap();
        match Store::open(&path) {
            Ok(store) => store.read(|state| {
                assert!(state.objects.values().all(|object| object["value"] == value["value"]), "byte {at}");
            }),
            Err(error) => {
                assert!(matches!(error, Error::Corrupt { .. } | Error::Foreign { .. }), "byte {at}: {error:?}");
                found += 1;
            }
        }
    }
    assert!(found > 0);
}

#[test]
fn the_history_ends_where_it_was_cut() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("control.redb")).unwrap();
    let start = store.read(|state| state.revision);
    store
        .write(|txn| {
            for number in 0..HISTORY + 10 {
                txn.put(key(&format!("{number}")), json!({}));
            }
            Ok(())
        })
        .unwrap();
    store.read(|state| {
        assert!(state.since(start).is_none());
        assert_eq!(state.since(start + 10).unwrap().count(), HISTORY);
        assert_eq!(state.since(state.revision).unwrap().count(), 0);
    });
    let large = "x".repeat(HISTORY_BYTES / 2);
    for _ in 0..3 {
        store.write(|txn| Ok(txn.put(key("large"), json!({"value": large})))).unwrap();
    }
    store.read(|state| assert_eq!(state.since(state.revision - 1).unwrap().count(), 1));
    store.read(|state| assert!(state.since(state.revision - 2).is_none()));
}
