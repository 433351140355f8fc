//! Rows as INSERT statements, in files.
//!
//! One row a line, as mydumper has them, which is also what `myloader` counts and cuts by. No line's end stands within a row:
//! a statement ends at `;` at a line's end, and nowhere else.

use crate::catalog::{Column, Form, Table};
use crate::client::RawRow;
use crate::layout::{CHECKS_SESSION, HISTORY_SESSION, MAX_STATEMENT, ROWS_SESSION};
use crate::sql::identifier;
use coffer_addon::{ArtifactWriter, Error, Result};

/// Length of a statement in bytes where rows allow: less than any server's `max_allowed_packet`, and long enough that the
/// round trip counts for nothing.
const STATEMENT: usize = 1_000_000;

/// How a statement ends.
const END: &[u8] = b"\n;\n";

/// Bytes that are handed on at once.
const BUFFER: usize = 256 * 1024;

/// Writes the rows of a piece.
pub struct Writer<'a> {
    columns: &'a [Column],
    /// `INSERT INTO … VALUES`.
    head: Vec<u8>,
    buffer: Vec<u8>,
    /// Length of the statement so far, with what was handed on of it. 0: none is begun.
    statement: usize,
    rows: u64,
    /// The longest statement.
    longest: usize,
    /// All bytes of the file, with what was not handed on yet.
    bytes: u64,
}

/// The first lines of every file with rows.
fn preamble(history: bool) -> Vec<u8> {
    let mut lines = Vec::new();
    for statement in ROWS_SESSION {
        lines.extend_from_slice(format!("/*!40101 {statement} */;\n").as_bytes());
    }
    lines.extend_from_slice(format!("/*M!100201 {CHECKS_SESSION} */;\n").as_bytes());
    if history {
        lines.extend_from_slice(format!("/*M!101100 {HISTORY_SESSION} */;\n").as_bytes());
    }
    lines
}

impl<'a> Writer<'a> {
    pub fn new(table: &'a Table) -> Self {
        let columns: Vec<String> = table.columns.iter().map(|column| identifier(&column.name)).collect();
        let head = format!("INSERT INTO {} ({}) VALUES", identifier(&table.index.name), columns.join(","));
        let buffer = preamble(table.index.history);
        let bytes = buffer.len() as u64;
        Writer { columns: &table.columns, head: head.into_bytes(), buffer, statement: 0, rows: 0, longest: 0, bytes }
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether a row's statement is longer than a restore can hold.
    pub fn is_too_long(&self) -> bool {
        self.longest + END.len() > MAX_STATEMENT
    }

    /// Bytes since the last time it was asked.
    pub fn take_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }

    /// Whether there is enough to hand on.
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= BUFFER
    }

    /// Hands on what there is.
    pub async fn flush(&mut self, artifact: &mut ArtifactWriter) -> Result<()> {
        self.buffer = artifact.write_buffer(std::mem::take(&mut self.buffer)).await?;
        Ok(())
    }

    /// About how long the statement of a row is, if it stands alone in it.
    pub fn length_of(&self, row: RawRow<'_>) -> usize {
        let values = self.columns.iter().zip(row).map(|(column, value)| {
            let value = value.unwrap_or(b"NULL");
            if column.form == Form::Hex { 2 * value.len() } else { quoted_length(value) }
        });
        self.head.len() + values.sum::<usize>()
    }

    pub fn row(&mut self, row: RawRow<'_>) -> Result<()> {
        let begin = self.buffer.len();
        if self.statement == 0 {
            self.buffer.extend_from_slice(&self.head);
        } else {
            self.buffer.extend_from_slice(b"\n,");
        }
        let values = self.buffer.len();
        self.buffer.push(b'(');
        let mut row = row;
        for (place, column) in self.columns.iter().enumerate() {
            if place > 0 {
                self.buffer.push(b',');
            }
            let value = row.next().ok_or_else(|| Error::Corrupt("a row has fewer values than columns".into()))?;
            value_of(&mut self.buffer, column.form, value);
        }
        self.buffer.push(b')');
        let mut length = self.buffer.len() - begin;
        if self.statement > 0 && self.statement + length > STATEMENT {
            // The row goes into the next statement.
            let values = self.buffer.split_off(values);
            self.buffer.truncate(begin);
            self.end_statement();
            self.buffer.extend_from_slice(&self.head);
            self.buffer.extend_from_slice(&values);
            length = self.head.len() + values.len();
        }
        self.statement += length;
        self.longest = self.longest.max(self.statement);
        self.bytes += length as u64;
        self.rows += 1;
        Ok(())
    }

    fn end_statement(&mut self) {
        if self.statement > 0 {
            self.buffer.extend_from_slice(END);
            self.bytes += END.len() as u64;
            self.statement = 0;
        }
    }

    /// The rest of the file.
    pub async fn finish(&mut self, mut artifact: ArtifactWriter) -> Result<()> {
        self.end_statement();
        self.flush(&mut artifact).await?;
        artifact.finish().await.map(drop)
    }
}

fn value_of(buffer: &mut Vec<u8>, form: Form, value: Option<&[u8]>) {
    let Some(value) = value else {
        buffer.extend_from_slice(b"NULL");
        return;
    };
    match form {
        Form::Bare => buffer.extend_from_slice(value),
        // A number without a point or an exponent is read as an integer, and that has no negative zero.
        Form::Float if value == b"-0" => buffer.extend_from_slice(b"-0e0"),
        Form::Float => buffer.extend_from_slice(value),
        Form::Enum if value.is_empty() => buffer.push(b'0'),
        Form::Text | Form::Enum => quoted(buffer, value),
        Form::Unicode => {
            buffer.extend_from_slice(b"_utf8mb4");
            quoted(buffer, value);
        }
        Form::Hex if value.is_empty() => buffer.extend_from_slice(b"''"),
        Form::Hex => {
            buffer.extend_from_slice(b"0x");
            buffer.reserve(2 * value.len());
            for byte in value {
                const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
                for half in [byte >> 4, byte & 15] {
                    buffer.push(DIGITS.get(usize::from(half)).copied().unwrap_or(b'0'));
                }
            }
        }
    }
}

/// What stands for a byte behind a backslash; 0 for those that stand for themselves.
const fn escape(byte: u8) -> u8 {
    match byte {
        0 => b'0',
        b'\n' => b'n',
        b'\r' => b'r',
        0x1a => b'Z',
        b'\\' | b'\'' => byte,
        _ => 0,
    }
}

/// How long [`quoted`] makes a value. What is escaped is counted only where it counts: where room for it is made by doubling
/// megabytes.
fn quoted_length(value: &[u8]) -> usize {
    const LARGE: usize = 1 << 20;
    let escaped = if value.len() > LARGE { value.iter().filter(|byte| escape(**byte) != 0).count() } else { 0 };
    value.len() + escaped + 2
}

/// A string literal of bytes, for a session whose character set is `binary`: no letter is longer than a byte there.
fn quoted(buffer: &mut Vec<u8>, value: &[u8]) {
    buffer.reserve(quoted_length(value));
    buffer.push(b'\'');
    let mut rest = value;
    while let Some(place) = rest.iter().position(|byte| escape(*byte) != 0) {
        let (plain, special) = rest.split_at(place);
        buffer.extend_from_slice(plain);
        if let Some((byte, after)) = special.split_first() {
            buffer.extend_from_slice(&[b'\\', escape(*byte)]);
            rest = after;
        }
    }
    buffer.extend_from_slice(rest);
    buffer.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form, value: Option<&[u8]>) -> String {
        let mut buffer = Vec::new();
        value_of(&mut buffer, form, value);
        String::from_utf8_lossy(&buffer).into_owned()
    }

    #[test]
    fn values_are_literals_of_their_kind() {
        assert_eq!(written(Form::Text, None), "NULL");
        assert_eq!(written(Form::Bare, Some(b"-00.50")), "-00.50");
        assert_eq!(written(Form::Float, Some(b"-0")), "-0e0");
        assert_eq!(written(Form::Text, Some(b"it's \\ \0\n\r\x1a;")), r"'it\'s \\ \0\n\r\Z;'");
        assert_eq!(written(Form::Text, Some(b"")), "''");
        assert_eq!(written(Form::Enum, Some(b"")), "0");
        assert_eq!(written(Form::Unicode, Some(b"{\"a\": \"\\n\"}")), "_utf8mb4'{\"a\": \"\\\\n\"}'");
        assert_eq!(written(Form::Hex, Some(b"\x00\xaf\x7f")), "0x00AF7F");
        assert_eq!(written(Form::Hex, Some(b"")), "''");
    }
}
