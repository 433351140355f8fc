//! The rows: each artifact goes into its table as it arrives, over whichever session is free.

use super::plan;
use super::session::{Session, name};
use crate::archive::{self, Archive};
use crate::entry::{Entry, Section};
use coffer_addon::work::Tally;
use coffer_addon::{Context as _, Error, Inbox, Incoming, Result};
use futures::future::try_join_all;
use futures::lock::Mutex;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Loads every data file of the archive. `sessions` work side by side.
pub async fn load(sessions: &mut [Session<'_>], archive: &Archive, inbox: &Inbox) -> Result<Tally> {
    let missing: BTreeMap<String, &Entry> =
        archive.entries.iter().filter_map(|entry| Some((archive::file(entry)?, entry))).collect();
    let loader = Loader { inbox: Mutex::new(inbox), missing: RefCell::new(missing), tally: Tally::new(None) };
    try_join_all(sessions.iter_mut().map(|session| loader.run(session))).await?;
    let missing = loader.missing.into_inner();
    if let Some((file, entry)) = missing.first_key_value() {
        let count = missing.len();
        let table = format!("{}.{}", entry.namespace, entry.tag);
        return Err(Error::Corrupt(format!(
            "{count} data files did not come, among them {file} with the rows of {table}"
        )));
    }
    Ok(loader.tally)
}

struct Loader<'a> {
    /// One asks at a time; the others wait for their turn.
    inbox: Mutex<&'a Inbox>,
    missing: RefCell<BTreeMap<String, &'a Entry>>,
    tally: Tally,
}

impl Loader<'_> {
    async fn run(&self, session: &mut Session<'_>) -> Result<()> {
        loop {
            let incoming = self.inbox.lock().await.next().await;
            let Some(mut incoming) = incoming else { return Ok(()) };
            let file = incoming.artifact.name.clone();
            let expected = self.missing.borrow_mut().remove(&file);
            let entry = expected.ok_or_else(|| unexpected(&file))?;
            self.table(session, entry, &mut incoming).await.context(|| name(entry))?;
        }
    }

    async fn table(&self, session: &mut Session<'_>, entry: &Entry, incoming: &mut Incoming) -> Result<()> {
        session.prepare(entry).await?;
        let mut copy = session.client.copy_in(&entry.copy).await?;
        let mut lines = Lines::default();
        let mut bytes = 0;
        loop {
            match incoming.fill().await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Err(copy.fail(error).await),
            }
            let piece = incoming.buffer();
            lines.see(piece);
            bytes += piece.len() as u64;
            copy.write(piece).await?;
            let length = piece.len();
            incoming.consume(length);
            self.tally.add_bytes(length as u64);
            if copy.has_answer() {
                // Only an error comes before the end; asking for the end brings it.
                break;
            }
        }
        let rows = copy.finish().await?;
        let wanted = lines.rows()?;
        if rows != wanted {
            return Err(Error::Corrupt(format!("the server took {rows} rows of the {wanted} in the file")));
        }
        self.tally.add_table();
        self.tally.add_rows(rows);
        // The mark at the end is none of the rows' bytes.
        self.tally.take_back_bytes(lines.after_rows.min(bytes));
        Ok(())
    }
}

fn unexpected(file: &str) -> Error {
    if file.ends_with(".gz") || file.ends_with(".lz4") || file.ends_with(".zst") {
        return Error::Unsupported(format!("data file {file} is compressed; make the dump with pg_dump -Fd -Z0"));
    }
    Error::Corrupt(format!("{file} is not in the table of contents, or came twice"))
}

/// Counts the rows in COPY's text: a row is a line, as line ends within values are escaped. `\.` ends them.
#[derive(Debug, Default)]
struct Lines {
    rows: u64,
    /// The line under way, as far as it could still be `\.`.
    line: Line,
    after_rows: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Empty,
    Backslash,
    Dot,
    Row,
    /// `\.` was seen: what follows is no row.
    Ended,
}

impl Lines {
    fn see(&mut self, mut bytes: &[u8]) {
        loop {
            match self.line {
                Line::Ended => {
                    self.after_rows += bytes.len() as u64;
                    return;
                }
                // The bulk of it: on to the line's end.
                Line::Row => match bytes.iter().position(|byte| *byte == b'\n') {
                    Some(end) => {
                        self.rows += 1;
                        self.line = Line::Empty;
                        bytes = bytes.get(end + 1..).unwrap_or_default();
                    }
                    None => return,
                },
                line => {
                    let Some((byte, rest)) = bytes.split_first() else { return };
                    bytes = rest;
                    self.line = match (line, byte) {
                        (Line::Empty, b'\\') => Line::Backslash,
                        (Line::Backslash, b'.') => Line::Dot,
                        (Line::Dot, b'\n') => {
                            self.after_rows = 3;
                            Line::Ended
                        }
                        // A row of one empty value, or one that began like the mark.
                        (_, b'\n') => {
                            self.rows += 1;
                            Line::Empty
                        }
                        _ => Line::Row,
                    };
                }
            }
        }
    }

    /// The number of rows. A file without its mark was cut.
    fn rows(&self) -> Result<u64> {
        if self.line == Line::Ended {
            Ok(self.rows)
        } else {
            Err(Error::Corrupt("the file has no end-of-rows mark".into()))
        }
    }
}

/// Entries of the data section that are statements: sequences' values, statistics. In the archive's order.
pub fn statements(archive: &Archive) -> impl Iterator<Item = &Entry> {
    archive.entries.iter().filter(|entry| {
        entry.section == Section::Data
            && plan::pass(entry) == plan::Pass::Main
            && archive::file(entry).is_none()
            && !plan::is_setting(entry)
    })
}

#[cfg(test)]
mod tests {
    use super::Lines;

    fn count(text: &[u8]) -> [Option<u64>; 2] {
        let mut whole = Lines::default();
        whole.see(text);
        let mut bytewise = Lines::default();
        text.chunks(1).for_each(|byte| bytewise.see(byte));
        assert_eq!(whole.after_rows, bytewise.after_rows);
        [whole.rows().ok(), bytewise.rows().ok()]
    }

    #[test]
    fn rows_are_counted_however_the_text_is_cut() {
        assert_eq!(count(b"\\.\n\n\n"), [Some(0); 2]);
        assert_eq!(count(b"1\ta\\nb\n2\t\\N\n\\.\n\n\n"), [Some(2); 2]);
        // Empty values, a NULL, and values that begin like the mark.
        assert_eq!(count(b"\n\n\\N\n\\\\.\n\\.x\n\\.\n\n\n"), [Some(5); 2]);
        assert_eq!(count(b"1\n2\n"), [None; 2]);
        assert_eq!(count(b"1\n\\."), [None; 2]);
        assert_eq!(count(b""), [None; 2]);
    }
}
