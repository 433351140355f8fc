//! Restores that fail or are asked to stop: nothing that they began goes on, and nothing that is secret stays behind.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::numbered;
use super::restoring::fake::{Fake, Heard, hangs_up, never, refusal};
use super::restoring::{Small, restore_into};
use bson::rawdoc;
use coffer_addon::Error;

/// The commands on the collection that users are put into, in their order.
fn about_accounts(fake: &Fake) -> Vec<String> {
    let all = fake.all().into_iter().map(|heard| heard.command);
    let about = all.filter_map(|command| {
        let (name, value) = command.iter().next().unwrap().unwrap();
        (value.as_str() == Some("coffer_restored_users")).then(|| name.to_string())
    });
    about.collect()
}

#[tokio::test]
async fn what_passwords_are_checked_with_does_not_stay_behind() {
    let users = [rawdoc! { "_id": "admin.u", "user": "u", "db": "admin", "roles": [] }];
    let small = Small::new().with("admin", "system.users", "{}", "[]", &users).with("d", "c", "{}", "[]", &numbered(1));
    let is_users = |heard: &Heard| heard.command.get_str("insert").is_ok_and(|name| name == "coffer_restored_users");
    let parameters = r#"{"usersAndRoles": true}"#;
    let refusing =
        Fake::new("7.0.1", move |_, heard| is_users(heard).then(|| refusal(13297, "DatabaseDifferCase", "no")));
    let refused = restore_into(refusing.application(), parameters, small.artifacts()).await.expect_err("refused");
    assert!(refused.message().contains("users and roles"), "{refused}");
    assert_eq!(about_accounts(&refusing), ["drop", "insert", "drop"]);

    // Nor when the connection is lost, or the run is asked to stop: there is another connection for that.
    let lost = Fake::new("7.0.1", move |_, heard| is_users(heard).then(hangs_up));
    let ended = restore_into(lost.application(), parameters, small.artifacts()).await;
    assert!(matches!(&ended, Err(Error::Unavailable(_))), "{ended:?}");
    assert_eq!(about_accounts(&lost), ["drop", "insert", "drop"]);

    let stopped = Fake::new("7.0.1", move |_, heard| {
        if is_users(heard) {
            coffer_addon::testing::cancel();
        }
        is_users(heard).then(never)
    });
    let ended = restore_into(stopped.application(), parameters, small.artifacts()).await;
    assert_eq!(ended, Err(Error::Failed("cancelled".into())));
    assert_eq!(about_accounts(&stopped), ["drop", "insert", "drop"]);
}

/// FerretDB 1 has sessions in name only.
#[tokio::test]
async fn a_server_that_has_nothing_to_end_is_no_reason_to_warn() {
    let fake = Fake::new("7.0.1", |name, _| match name {
        "killSessions" => Some(refusal(59, "CommandNotFound", "no such command")),
        "insert" => Some(refusal(1, "InternalError", "no")),
        _ => None,
    });
    coffer_addon::testing::logged();
    let small = Small::new().with("d", "c", "{}", "[]", &numbered(1));
    restore_into(fake.application(), "{}", small.artifacts()).await.expect_err("failed");
    assert!(!fake.heard("killSessions").is_empty());
    let logged = coffer_addon::testing::logged();
    let mut warned = logged.iter().filter(|(level, _)| *level == coffer_addon::host::Level::Warn);
    assert!(warned.all(|(_, line)| !line.contains("stop a statement")), "{logged:?}");
}

#[tokio::test]
async fn a_restore_that_fails_ends_what_its_other_connections_do() {
    let fake = Fake::new("7.0.1", |_, heard| match heard.command.get_str("createIndexes").ok()? {
        "bad" => Some(refusal(11000, "DuplicateKey", "twice")),
        _ => Some(never()),
    });
    let index = r#"[{"v":2,"key":{"a":1},"name":"a_1"}]"#;
    let small = Small::new().with("d", "good", "{}", index, &numbered(1)).with("d", "bad", "{}", index, &numbered(1));
    let ended = restore_into(fake.application(), r#"{"jobs": 2}"#, small.artifacts()).await.expect_err("failed");
    assert!(ended.message().contains("a_1 of d.bad"), "{ended}");
    let heard = fake.heard("createIndexes");
    let building = heard.iter().find(|heard| heard.command.get_str("createIndexes").unwrap() == "good");
    let building = building.expect("begun").command.get_document("lsid").unwrap().to_owned();
    let is_it = |heard: &Heard| {
        let killed = heard.command.get_array("killSessions").unwrap();
        killed.into_iter().any(|session| session.unwrap().as_document() == Some(&building))
    };
    assert!(fake.heard("killSessions").iter().any(is_it));
}
