//! What is built over the rows (indexes, constraints, triggers, …), several at once.
//!
//! An entry runs when all that it needs is there and nobody holds a lock it wants. The rule for locks is pg_restore's
//! (pg_backup_archiver.c, `identify_locking_dependencies`): any entry but an index locks the tables among its dependencies.

use super::session::Session;
use crate::archive::Archive;
use crate::entry::Entry;
use coffer_addon::Result;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::collections::HashSet;

/// Runs the entries, in the archive's order where nothing else decides. Gives the sessions back.
pub async fn run<'p>(mut idle: Vec<Session<'p>>, archive: &Archive, entries: Vec<&Entry>) -> Result<Vec<Session<'p>>> {
    let mut schedule = Schedule::new(archive, entries);
    let mut running = FuturesUnordered::new();
    loop {
        while let Some(mut session) = idle.pop() {
            let Some(entry) = schedule.next() else {
                idle.push(session);
                break;
            };
            running.push(async move {
                let outcome = session.run(entry).await;
                (session, entry, outcome)
            });
        }
        let Some((session, entry, outcome)) = running.next().await else { return Ok(idle) };
        outcome?;
        schedule.done(entry);
        idle.push(session);
    }
}

struct Schedule<'a> {
    waiting: Vec<&'a Entry>,
    running: Vec<&'a Entry>,
    /// Of both.
    unfinished: HashSet<i32>,
    /// Entries that stand for a table.
    tables: HashSet<i32>,
}

impl<'a> Schedule<'a> {
    fn new(archive: &Archive, waiting: Vec<&'a Entry>) -> Self {
        let tables = archive.entries.iter().filter(|entry| matches!(entry.kind.as_str(), "TABLE" | "TABLE DATA"));
        Schedule {
            unfinished: waiting.iter().map(|entry| entry.id).collect(),
            tables: tables.map(|entry| entry.id).collect(),
            waiting,
            running: Vec::new(),
        }
    }

    /// An entry that can run beside those that do.
    fn next(&mut self) -> Option<&'a Entry> {
        let ready = self.waiting.iter().position(|entry| self.is_ready(entry));
        let index = match ready {
            Some(index) => index,
            // Nothing can run and nothing will change that: entries need each other, and the archive's order decides.
            None if self.running.is_empty() && !self.waiting.is_empty() => 0,
            None => return None,
        };
        let entry = self.waiting.remove(index);
        self.running.push(entry);
        Some(entry)
    }

    fn is_ready(&self, entry: &Entry) -> bool {
        !entry.dependencies.iter().any(|needed| self.unfinished.contains(needed))
            && !self.running.iter().any(|other| self.locks_out(entry, other) || self.locks_out(other, entry))
    }

    /// Whether `entry` locks a table that `other` has to do with.
    fn locks_out(&self, entry: &Entry, other: &Entry) -> bool {
        let mut locked =
            entry.dependencies.iter().filter(|needed| entry.kind != "INDEX" && self.tables.contains(needed));
        locked.any(|table| other.dependencies.contains(table))
    }

    fn done(&mut self, entry: &Entry) {
        self.running.retain(|other| other.id != entry.id);
        self.unfinished.remove(&entry.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{Created, Version};

    fn archive(entries: &[(i32, &str, &[i32])]) -> Archive {
        let entries = entries.iter().map(|(id, kind, dependencies)| Entry {
            id: *id,
            kind: (*kind).into(),
            dependencies: dependencies.to_vec(),
            ..Entry::default()
        });
        Archive {
            version: Version::WRITTEN,
            created: Created::default(),
            database: String::new(),
            server_version: String::new(),
            dump_version: String::new(),
            compressed: false,
            entries: entries.collect(),
        }
    }

    /// What runs at once, round by round, when every round is waited for.
    fn rounds(archive: &Archive) -> Vec<Vec<i32>> {
        let mut schedule = Schedule::new(archive, archive.entries.iter().filter(|entry| entry.id >= 10).collect());
        let mut rounds = Vec::new();
        loop {
            let round: Vec<&Entry> = std::iter::from_fn(|| schedule.next()).collect();
            if round.is_empty() {
                return rounds;
            }
            round.iter().for_each(|entry| schedule.done(entry));
            rounds.push(round.iter().map(|entry| entry.id).collect());
        }
    }

    #[test]
    fn indexes_share_a_table_and_constraints_do_not() {
        let archive = archive(&[
            (1, "TABLE", &[]),
            (2, "TABLE", &[]),
            (10, "INDEX", &[1]),
            (11, "INDEX", &[1]),
            (12, "CONSTRAINT", &[1]),
            (13, "CONSTRAINT", &[2]),
            (14, "FK CONSTRAINT", &[1, 2, 13]),
            (15, "COMMENT", &[10]),
        ]);
        assert_eq!(rounds(&archive), [vec![10, 11, 13], vec![12, 15], vec![14]]);
    }

    #[test]
    fn entries_that_need_each_other_run_in_the_archives_order() {
        let archive = archive(&[(10, "RULE", &[11]), (11, "RULE", &[10]), (12, "RULE", &[10])]);
        assert_eq!(rounds(&archive), [vec![10], vec![11, 12]]);
    }
}
