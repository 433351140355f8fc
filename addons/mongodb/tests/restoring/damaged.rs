//! Dumps that are not whole, or not what they say.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::numbered;
use super::restoring::{Small, archive, archive_of, artifact, client, name, renamed, restore, server};
use coffer_addon::Error;
use coffer_addon::testing::Written;
use coffer_test_servers::mongodb::sample;

/// The error of a restore that has to fail.
async fn failed(parameters: &str, files: Vec<Written>) -> Error {
    restore(server(), parameters, files).await.expect_err("not whole")
}

#[tokio::test]
async fn an_archive_that_is_cut_is_never_restored() {
    let (server, database, copy) = (server(), name(), name());
    sample::create(server, &database, 1).expect("the sample");
    let whole = archive_of(server, &["--db", &database]);
    let parameters = format!(r#"{{"rename": {{"{database}": "{copy}"}}, "drop": true}}"#);
    // In the magic number, the prelude, segments, and before the last end mark.
    for cut in [0, 3, 50, 700, whole.len() / 3, whole.len() / 2, whole.len() - 60, whole.len() - 4, whole.len() - 1] {
        let error = failed(&parameters, vec![artifact("dump.archive", &whole[..cut])]).await;
        assert!(matches!(&error, Error::Corrupt(_)), "{cut}: {error:?}");
        assert!(error.message().contains("dump.archive"), "{cut}: {error}");
    }
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        vec![artifact("dump.archive", bytes)]
    };
    // A value of the last order that has it: no length, no name, in no index that is unique.
    let place = whole.windows(8).rposition(|window| window == b"returned").expect("an order");
    for (files, wanted) in [
        (damaged(&|bytes| bytes[place] ^= 1), "checksum"),
        (damaged(&|bytes| bytes.extend([0])), "no part of an archive"),
        (damaged(&|bytes| bytes.extend(whole.clone())), "at byte"),
        (damaged(&|bytes| bytes[0] ^= 1), "dump.archive"),
    ] {
        let error = failed(&parameters, files).await;
        assert!(error.message().contains(wanted), "{wanted}: {error}");
    }
    let both = vec![artifact("dump.archive", whole.clone()), artifact("other.archive", whole.clone())];
    let error = failed(&parameters, both).await;
    assert!(error.message().contains("other.archive comes beside"), "{error}");
    restore(server, &parameters, vec![artifact("dump.archive", whole)]).await.expect("whole");
}

#[tokio::test]
async fn a_file_that_broke_on_its_way_is_not_whole() {
    let (database, broken) = (name(), Error::Unavailable("the source died".into()));
    let small = Small::new().with(&database, "c", "{}", "[]", &numbered(3));
    let mut files = small.artifacts();
    files[1].bytes = Err(broken.clone());
    let error = failed("{}", files).await;
    assert!(matches!(&error, Error::Unavailable(text) if text.contains("c.bson") && text.contains("the source died")));
}

#[tokio::test]
async fn what_the_index_does_not_say_is_an_error() {
    let database = name();
    let small = || Small::new().with(&database, "c", "{}", "[]", &numbered(3)).with(&database, "d", "{}", "[]", &[]);
    let drop = r#"{"drop": true}"#;
    let file = format!("{database}/c.bson");
    let changed = |change: &dyn Fn(&mut Small)| {
        let mut changed = small();
        change(&mut changed);
        changed.artifacts()
    };
    let data = |small: &mut Small, bytes: Vec<u8>| small.files[0] = artifact(&file, bytes);
    let three = super::restoring::bytes(&numbered(3));
    let mut other = numbered(3);
    other[2] = bson::rawdoc! { "_id": 2, "text": "number 9" };
    for (files, wanted) in [
        (changed(&|small| data(small, three[..three.len() - 1].to_vec())), "document 3 at byte"),
        (changed(&|small| data(small, super::restoring::bytes(&numbered(2)))), "2 documents of"),
        (changed(&|small| data(small, [&three[..], &three].concat())), "6 documents of"),
        (changed(&|small| data(small, super::restoring::bytes(&other))), "not those of the dump"),
        (changed(&|small| drop_first(small)), "did not come"),
        (changed(&|small| small.files.push(small.files[0].clone())), "came twice"),
        (changed(&|small| small.files.push(artifact("x.bson", ""))), "nothing that coffer.json knows"),
        (changed(&|small| small.files[1] = artifact(&format!("{database}/c.metadata.json"), "{}")), "is not what"),
        (changed(&|small| small.index.collections[0].metadata = None), "how it is made"),
        (changed(&|small| small.index.collections[0].metadata = Some("{".into())), "unreadable JSON"),
        (changed(&|small| small.index.format = 2), "format 2"),
        (changed(&|small| small.index.collections.push(small.index.collections[0].clone())), "twice"),
        (Vec::new(), "nothing to restore"),
        (vec![artifact("coffer.json", "{}")], "coffer.json"),
    ] {
        let error = failed(drop, files).await;
        assert!(error.message().contains(wanted), "{wanted}: {error:?}");
    }
    restore(server(), drop, small().artifacts()).await.expect("whole");
}

fn drop_first(small: &mut Small) {
    small.files.remove(0);
}

#[tokio::test]
async fn a_foreign_directory_has_its_own_ways_to_be_damaged() {
    let database = name();
    let small = || Small::new().with(&database, "c", "{}", "[]", &numbered(3));
    let changed = |change: &dyn Fn(&mut Vec<Written>)| {
        let mut files = small().without_index();
        change(&mut files);
        files
    };
    let metadata = format!("{database}/c.metadata.json");
    for (files, wanted) in [
        (changed(&|files| drop(files.remove(1))), "neither options nor indexes"),
        (changed(&|files| drop(files.remove(0))), "c.bson did not come"),
        (changed(&|files| files[1] = artifact(&metadata, "{\"indexes\":")), "c.metadata.json"),
        (changed(&|files| files[0].artifact.name.push_str(".gz")), "gunzip"),
        (changed(&|files| files[0].bytes = Ok(vec![0x1f, 0x8b, 8, 0])), "gzip"),
        (changed(&|files| files.push(files[1].clone())), "came twice"),
        (changed(&|files| files.push(artifact("notes.txt", "x"))), "no part of a dump"),
        (changed(&|files| files.push(artifact("other/db/c.metadata.json", "{}"))), "another dump"),
        (changed(&|files| files[0].bytes = Ok(b"\x04\0\0\0".to_vec())), "document 1 at byte 0"),
    ] {
        let error = failed(r#"{"drop": true}"#, files).await;
        assert!(error.message().contains(wanted), "{wanted}: {error:?}");
    }
}

#[tokio::test]
async fn a_dump_of_ours_without_its_index_is_not_whole() {
    let database = name();
    let small = Small::new().with(&database, "c", "{}", "[]", &numbered(3));
    let mut files = small.without_index();
    let prelude = r#"{"ServerVersion":"7.0.1","ToolVersion":"coffer 1.0.0"}"#;
    files.push(artifact("prelude.json", prelude));
    for prefix in ["", "var/dump/"] {
        let mut files = files.clone();
        files.iter_mut().for_each(|file| file.artifact.name.insert_str(0, prefix));
        let error = failed("{}", files).await;
        assert!(matches!(&error, Error::Corrupt(text) if text.contains("coffer.json did not come")), "{error:?}");
        assert!(client(server()).collections(&database).unwrap().is_empty());
    }
}

#[tokio::test]
async fn files_that_lie_within_each_other_are_told_of() {
    let (database, mut nested) = (name(), String::from("a"));
    let mut small = Small::new();
    for _ in 0..60 {
        small = small.with(&database, &nested, "{}", "[]", &numbered(1));
        nested.push_str(".c");
    }
    let error = failed("{}", small.without_index()).await;
    assert!(matches!(&error, Error::Unsupported(text) if text.contains("within each other")), "{error:?}");
    restore(server(), "{}", small.artifacts()).await.expect("restored");
}

#[tokio::test]
async fn more_files_than_can_be_open_are_restored_in_rounds() {
    let (server, database) = (server(), name());
    let many = (0..130).fold(Small::new(), |small, number| {
        small.with(&database, &format!("c{number:03}"), "{}", "[]", &numbered(number % 5))
    });
    restore(server, r#"{"jobs": 3}"#, many.without_index()).await.expect("restored");
    assert_eq!(client(server).collections(&database).unwrap().len(), 130);
    assert_eq!(client(server).documents(&database, "c129").unwrap(), numbered(4));
    // None of them has its metadata.
    let mut files = many.without_index();
    files.retain(|file| file.artifact.name.ends_with(".bson"));
    let error = failed(&renamed(&database, &name()), files).await;
    assert!(error.message().contains("did not come"), "{error}");
}

#[tokio::test]
async fn a_collection_that_comes_twice_is_refused() {
    let (database, two) = (name(), numbered(2));
    let twice = archive(&[(&database, "c", &two), (&database, "c", &two)]);
    let error = failed("{}", vec![artifact("x", twice)]).await;
    assert!(error.message().contains("twice"), "{error}");
    assert!(client(server()).collections(&database).unwrap().is_empty());
    let gzip = vec![artifact("x.archive.gz", b"\x1f\x8b\x08\0 and so on".to_vec())];
    let error = failed("{}", gzip).await;
    assert!(matches!(&error, Error::Unsupported(text) if text.contains("x.archive.gz") && text.contains("gunzip")));
}
