//! One moment for all workers, under transfers and DDL.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::dumping::{Dump, database, dump, query, servers};
use coffer_addon::Error;
use coffer_test_servers::mysql::Mysql;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a bank's money comes to, in every dump: transfers are transactions, so the sum never changes.
#[tokio::test]
async fn all_workers_see_one_moment() {
    const ACCOUNTS: u32 = 200;
    let dumps =
        std::env::var("COFFER_BANK_DUMPS").map_or(6, |dumps| dumps.parse().expect("COFFER_BANK_DUMPS is a number"));
    for server in servers() {
        let tables = ["a", "b", "c"].map(|table| {
            format!(
                "CREATE TABLE {table} (id int NOT NULL PRIMARY KEY, money bigint NOT NULL); INSERT INTO {table} \
                 WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {ACCOUNTS} - 1) \
                 SELECT i, 1000 FROM n; ANALYZE TABLE {table};"
            )
        });
        let bank = database(server, &tables.join(" "));
        let stop = Arc::new(AtomicBool::new(false));
        let clerks: Vec<_> = (0..4)
            .map(|clerk| {
                let (stop, bank) = (stop.clone(), bank.clone());
                std::thread::spawn(move || {
                    let mut done = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let transfers: Vec<String> = (0..100)
                            .map(|n| {
                                let (from, to) =
                                    ((done + n * 7 + clerk * 50) % ACCOUNTS, (done + n * 13 + 1) % ACCOUNTS);
                                let (one, two) = (["a", "b", "c"][n as usize % 3], ["b", "c", "a"][n as usize % 3]);
                                format!(
                                    "BEGIN; UPDATE {one} SET money = money - 7 WHERE id = {from}; \
                                     UPDATE {two} SET money = money + 7 WHERE id = {to}; COMMIT;"
                                )
                            })
                            .collect();
                        // A deadlock with another clerk undoes a transfer as a whole, and ends the script.
                        let _ = server.query(&bank, transfers.join(" "));
                        done += 100;
                    }
                })
            })
            .collect();
        // Nobody builds during the first half.
        let build = || {
            let (stop, bank) = (stop.clone(), bank.clone());
            std::thread::spawn(move || {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let _ = server.query(
                        &bank,
                        format!(
                            "SET lock_wait_timeout = 2; CREATE TABLE t{n} (x int); DROP TABLE t{n}; \
                             ALTER TABLE c ADD COLUMN x{n} int; ALTER TABLE c DROP COLUMN x{n}; DO SLEEP(1)"
                        ),
                    );
                }
            })
        };
        let mut builder = None;
        let (mut whole, mut moved) = (0, 0);
        let (begun, first) = (std::time::Instant::now(), transfers(server));
        for jobs in 0..dumps {
            if jobs == dumps / 2 {
                builder = Some(build());
            }
            let parameters = format!(r#"{{"databases": ["{bank}"], "jobs": {}, "chunkSize": 40}}"#, jobs % 4 + 1);
            let before = transfers(server);
            match dump(server, &parameters).await {
                Ok(dumped) => {
                    assert_eq!(money(&dumped, &bank), i64::from(3 * ACCOUNTS * 1000));
                    whole += 1;
                }
                Err(Error::Failed(text)) => {
                    assert!(text.contains("during the dump") || text.contains("while their definitions"), "{text}");
                    eprintln!("{}: dump {jobs}: {text}", server.version().name());
                }
                Err(error) => panic!("{error:?}"),
            }
            moved += transfers(server) - before;
        }
        let rate = (transfers(server) - first) as f64 / begun.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        clerks.into_iter().chain(builder).for_each(|thread| thread.join().expect("it ends"));
        assert!(whole >= dumps / 2);
        // Dumps that nobody wrote under would prove nothing.
        assert!(moved > 0, "nobody transferred anything while dumps were made");
        eprintln!(
            "{}: {whole} of {dumps} dumps were whole, half of them under DDL, at {rate:.0} transfers a second",
            server.version().name()
        );
    }
}

/// The second value of each row of the three tables.
fn money(dumped: &Dump, bank: &str) -> i64 {
    let mut sum = 0;
    for file in &dumped.files {
        let name = &file.artifact.name;
        let Some((table, _)) = coffer_addon_mysql::layout::rows_file(name) else { continue };
        if !["a", "b", "c"].contains(&table.strip_prefix(&format!("{bank}.")).expect("of the bank")) {
            continue;
        }
        for line in dumped.text(name).lines().filter(|line| line.starts_with(',') || line.starts_with("INSERT")) {
            let (_, row) = line.rsplit_once('(').expect("a row");
            sum += row.trim_end_matches(')').split(',').nth(1).expect("money").parse::<i64>().expect("a number");
        }
    }
    sum
}

/// How many transactions others have ended by COMMIT, which the dump does not.
fn transfers(server: &Mysql) -> u64 {
    let status = query(server, "SHOW GLOBAL STATUS LIKE 'Com_commit'");
    status.split_whitespace().last().and_then(|count| count.parse().ok()).expect("a number")
}
