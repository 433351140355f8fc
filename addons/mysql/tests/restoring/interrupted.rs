//! Restores that do not come to their end: a server that dies, a run that is asked to stop.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::restoring::{Small, name, restore};
use super::support::{start, supported};
use super::{OWN, query};
use coffer_addon::Error;
use coffer_test_servers::mysql::{Mysql, MysqlOptions, MysqlVersion};
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A table that another session lets nobody write to, as long as this lives.
struct Held(std::process::Child);

impl Held {
    fn new(server: &Mysql, table: &str) -> Held {
        let mut command = server.tool("mysql").expect("mysql");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).arg("--skip-column-names");
        let mut child = command.arg("--unbuffered").spawn().expect("mysql");
        let script = format!("LOCK TABLES {table} READ;\nSELECT 'locked';\n");
        child.stdin.as_mut().expect("piped").write_all(script.as_bytes()).expect("asked");
        let mut answer = [0; 6];
        child.stdout.as_mut().expect("piped").read_exact(&mut answer).expect("locked");
        assert_eq!(&answer, b"locked");
        Held(child)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Restores rows into a database whose schema is there, does `then` when the restore waits for a lock on them, and gives
/// the restore's outcome.
async fn when_held_up(server: &Mysql, database: &str, then: impl FnOnce()) -> Result<coffer_addon::Report, Error> {
    let (mut schema, mut rows) = (Small::new(database, OWN), Small::new(database, OWN));
    schema.files.clear();
    schema.metadata = schema.metadata.replace("rows = 3", "rows = 0").replace("rows = 2", "rows = 0");
    schema.index.databases[0].triggers.clear();
    restore(server, "{}", schema.artifacts()).await.expect("restored");
    rows.index.schema = false;
    let _held = Held::new(server, &format!("{database}.orders"));
    let waiting = format!(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE db = '{database}' AND state LIKE 'Waiting for table%' \
         AND info LIKE 'INSERT%'"
    );
    let restoring = restore(server, r#"{"jobs": 2}"#, rows.artifacts());
    tokio::pin!(restoring);
    loop {
        let turn = tokio::time::sleep(Duration::from_millis(50));
        tokio::select! {
            outcome = &mut restoring => panic!("not held up: {outcome:?}"),
            () = turn => if query(server, &waiting) != "0" { break },
        }
    }
    then();
    restoring.await
}

#[tokio::test]
async fn a_server_that_is_killed_is_unavailable() {
    for version in [MysqlVersion::MySql97, MysqlVersion::MariaDb1011] {
        let Some(server) = start(version, &MysqlOptions::default()) else { continue };
        let id = server.process_id().expect("it runs").to_string();
        let kill = || assert!(Command::new("kill").args(["-9", &id]).status().is_ok_and(|status| status.success()));
        let died = when_held_up(&server, "dying", kill).await;
        assert!(
            matches!(&died, Err(Error::Unavailable(text)) if text.contains("dying") && text.contains("connection to the server lost")),
            "{died:?}"
        );
    }
}

#[tokio::test]
async fn a_cancelled_restore_leaves_no_session_behind() {
    for server in supported() {
        let database = name();
        let stopped = when_held_up(server, &database, coffer_addon::testing::cancel).await;
        assert_eq!(stopped, Err(Error::Failed("cancelled".into())));
        // They are killed by now; the server takes a moment to clear up.
        let sessions =
            format!("SELECT COUNT(*) FROM information_schema.processlist WHERE db = '{database}' AND user = 'coffer'");
        let gone = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            query(server, &sessions) == "0"
        });
        assert!(gone, "{}", query(server, "SHOW FULL PROCESSLIST"));
        assert_eq!(query(server, &format!("SELECT COUNT(*) FROM {database}.orders")), "0");
    }
}
