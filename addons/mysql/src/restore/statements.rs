//! A data file as it arrives: its statements, one by one, out of the reader's own buffer, with the rows that each holds.
//!
//! The dump's writer ends each statement by `;` at a line's end and has no line ends within values, so that neither a
//! quote nor an escape has to be understood here.

use crate::layout::MAX_STATEMENT as HELD;
use coffer_addon::{Error, Incoming, Result};

/// How one ends.
const END: &[u8] = b";\n";

/// What arrives of one file.
pub struct Statements<'a> {
    incoming: &'a mut Incoming,
    /// In bytes; what the server takes and we can hold.
    limit: usize,
    /// How much of the buffer has no end of a statement in it.
    seen: usize,
    /// The statement handed out last, which goes when the next is asked for.
    taken: usize,
}

/// A statement without its end.
pub struct Statement<'a> {
    pub sql: &'a [u8],
    /// With its end, as it stands in the file.
    pub length: u64,
}

impl<'a> Statements<'a> {
    /// `max_packet`: what the server takes, in bytes.
    pub fn new(incoming: &'a mut Incoming, max_packet: usize) -> Self {
        Statements { incoming, limit: max_packet.min(HELD), seen: 0, taken: 0 }
    }

    /// The next statement; nothing when the file ended and is whole.
    pub async fn next(&mut self) -> Result<Option<Statement<'_>>> {
        self.incoming.consume(std::mem::take(&mut self.taken));
        self.seen = 0;
        let length = loop {
            if let Some(length) = self.find() {
                break length;
            }
            if self.seen > self.limit {
                return Err(too_large(self.limit));
            }
            if self.incoming.fill().await? == 0 {
                if self.incoming.buffer().is_empty() {
                    return Ok(None);
                }
                return Err(Error::Corrupt("the file ends in the middle of a statement".into()));
            }
        };
        // The command takes a byte too.
        if length >= self.limit {
            return Err(too_large(self.limit));
        }
        self.taken = length + END.len();
        let sql = self.incoming.buffer().get(..length).unwrap_or_default();
        Ok(Some(Statement { sql, length: self.taken as u64 }))
    }

    /// The length of the first statement in the buffer, if its end is there.
    fn find(&mut self) -> Option<usize> {
        let found = end(self.incoming.buffer(), self.seen);
        if found.is_none() {
            self.seen = self.incoming.buffer().len();
        }
        found
    }
}

/// Where the first statement's end begins. The first `seen` bytes have none, or its first byte alone.
fn end(buffer: &[u8], seen: usize) -> Option<usize> {
    let mut from = seen.saturating_sub(END.len() - 1);
    loop {
        let semicolon = from + buffer.get(from..)?.iter().position(|byte| *byte == b';')?;
        if buffer.get(semicolon + 1) == Some(&b'\n') {
            return Some(semicolon);
        }
        from = semicolon + 1;
    }
}

/// The setting is named, as only the server's operator can change it.
fn too_large(limit: usize) -> Error {
    Error::Unsupported(if limit < HELD {
        format!(
            "a statement is larger than the {limit} bytes that the server takes at once; raise max_allowed_packet in the \
             server's configuration"
        )
    } else {
        format!(
            "a row is larger than the {limit} bytes that can be held at once; restore this file by the program `mysql`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::end;

    #[test]
    fn a_statement_ends_at_a_semicolon_at_a_lines_end() {
        let sql = b"INSERT INTO `a` VALUES(';')\n,('; \\n')\n;\nINSERT";
        let place = sql.len() - b";\nINSERT".len();
        for seen in 0..=place + 1 {
            assert_eq!(end(sql, seen), Some(place), "{seen}");
        }
        assert_eq!(end(&sql[..place + 1], 0), None);
        assert_eq!(end(b"", 0), None);
    }
}
