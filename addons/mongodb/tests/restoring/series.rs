//! Time series, whose documents are buckets: of servers that have a collection for them, and of those since MongoDB 8.3.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::numbered;
use super::restoring::fake::plain;
use super::restoring::{Small, artifact, restore_into};
use bson::rawdoc;
use coffer_addon::Error;

#[tokio::test]
async fn a_time_series_is_made_as_one_and_filled_by_its_buckets() {
    let index = r#"[{"v":2,"key":{"m":1,"t":1},"name":"m_1_t_1"}]"#;
    let options = r#"{"timeseries":{"timeField":"t","metaField":"m","granularity":"hours"},"expireAfterSeconds":{"$numberLong":"60"}}"#;
    let small = Small::new().with("d", "weather", options, index, &numbered(2));
    for files in [small.artifacts(), small.without_index()] {
        let fake = plain("7.0.1");
        restore_into(fake.application(), "{}", files).await.expect("restored");
        let create = &fake.heard("create")[0].command;
        assert_eq!(create.get_str("create").unwrap(), "weather");
        assert_eq!(create.get_document("timeseries").unwrap().get_str("metaField").unwrap(), "m");
        let insert = &fake.heard("insert")[0];
        assert_eq!(insert.command.get_str("insert").unwrap(), "system.buckets.weather");
        assert!(insert.command.get("bypassDocumentValidation").unwrap().is_none());
        assert_eq!(fake.heard("createIndexes")[0].command.get_str("createIndexes").unwrap(), "weather");
    }
}

const SERIES: &str = r#"{"timeseries":{"timeField":"t"}}"#;

#[tokio::test]
async fn since_8_3_the_buckets_go_into_the_series_itself() {
    let small = Small::new().with("d", "c", "{}", "[]", &numbered(1)).with("d", "weather", SERIES, "[]", &numbered(2));
    // As mongodump names the file of a series of such a server.
    let mut theirs = small.without_index();
    for file in &mut theirs {
        file.artifact.name = file.artifact.name.replace("system.buckets.", "");
    }
    for version in ["8.3.0", "9.0.0-rc1"] {
        for files in [small.artifacts(), small.without_index(), theirs.clone()] {
            let fake = plain(version);
            restore_into(fake.application(), "{}", files).await.expect("restored");
            let inserts = fake.heard("insert");
            let into = |name: &str| {
                inserts
                    .iter()
                    .find(|heard| heard.command.get_str("insert").unwrap() == name)
                    .expect("filled")
                    .command
                    .clone()
            };
            assert!(into("weather").get_bool("rawData").unwrap() && into("c").get("rawData").unwrap().is_none());
            let counted = fake.heard("aggregate");
            assert!(counted[0].command.get_bool("rawData").unwrap(), "{counted:?}");
        }
    }
    let fake = plain("7.0.1");
    restore_into(fake.application(), "{}", theirs).await.expect("restored");
    assert!(
        fake.heard("insert").iter().any(|heard| heard.command.get_str("insert").unwrap() == "system.buckets.weather")
    );
}

#[tokio::test]
async fn an_oplog_of_a_series_is_for_servers_that_keep_it_in_the_same_way() {
    let entry = |namespace: &str| rawdoc! { "op": "i", "ns": namespace, "o": { "_id": 9 } };
    let with = |namespace: &str| {
        Small::new().with("d", "weather", SERIES, "[]", &numbered(2)).with_oplog(&[entry(namespace)]).artifacts()
    };
    let fake = plain("7.0.1");
    restore_into(fake.application(), "{}", with("d.system.buckets.weather")).await.expect("restored");
    assert_eq!(fake.heard("applyOps").len(), 1);
    for (version, namespace) in [("8.3.0", "d.system.buckets.weather"), ("8.3.0", "d.weather"), ("7.0.1", "d.weather")]
    {
        let refused = restore_into(plain(version).application(), "{}", with(namespace)).await;
        assert!(
            matches!(&refused, Err(Error::Unsupported(text)) if text.contains("time series d.weather") && text.contains("replayOplog")),
            "{version} {namespace}: {refused:?}"
        );
        restore_into(plain(version).application(), r#"{"replayOplog": false}"#, with(namespace))
            .await
            .expect("restored");
    }
}

/// What `mongodump --viewsAsCollections` has beside a view's definition.
#[tokio::test]
async fn a_view_with_documents_is_its_definition() {
    let small = Small::new().with("d", "a_view", r#"{"viewOn":"c","pipeline":[]}"#, "[]", &[]).with(
        "d",
        "c",
        "{}",
        "[]",
        &numbered(2),
    );
    let mut files = small.without_index();
    let documents = artifact("d/a_view.bson", super::restoring::bytes(&numbered(2)));
    for place in [0, 1, 3] {
        files.insert(place, documents.clone());
        let fake = plain("7.0.1");
        restore_into(fake.application(), "{}", files.clone()).await.expect("restored");
        assert_eq!(fake.heard("create").len(), 2);
        assert!(fake.heard("insert").iter().all(|heard| heard.command.get_str("insert").unwrap() == "c"));
        files.remove(place);
    }
}
