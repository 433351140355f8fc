//! The rows of a statement, one by one, as they lie in the read buffer.

use super::Client;
use super::read::Reader;
use coffer_addon::{Error, Result};

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// As the statement calls it.
    pub name: String,
}

/// The rows of a statement. Read to its end, else the session is of no more use.
pub struct Rows<'a> {
    client: &'a mut Client,
    columns: Vec<Column>,
    is_over: bool,
}

/// A row where it came in: its values in order, NULL as none.
#[derive(Clone, Copy)]
pub struct RawRow<'a>(Reader<'a>);

impl<'a> Rows<'a> {
    pub(super) fn new(client: &'a mut Client, columns: Vec<Column>) -> Self {
        Rows { client, columns, is_over: false }
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Rows that are longer on the wire are an error, `Unsupported`, before they are held.
    pub fn limit(&mut self, bytes: usize) {
        self.client.packets.limit(bytes);
    }

    /// The next row; nothing after the last. Its values are only there until the next one.
    pub async fn next(&mut self) -> Result<Option<RawRow<'_>>> {
        if self.is_over {
            return Ok(None);
        }
        match self.client.next_row().await? {
            Ok(true) => RawRow::new(self.client.payload(), self.columns.len()).map(Some),
            Ok(false) => {
                self.is_over = true;
                Ok(None)
            }
            Err(error) => {
                self.is_over = true;
                Err(self.client.error(&error))
            }
        }
    }
}

impl<'a> RawRow<'a> {
    /// Checks that it has a value for each column, so that nothing can go wrong later.
    pub(super) fn new(payload: &'a [u8], columns: usize) -> Result<Self> {
        let mut reader = Reader(payload);
        if (0..columns).all(|_| reader.value().is_some()) && reader.0.is_empty() {
            Ok(RawRow(Reader(payload)))
        } else {
            Err(Error::Corrupt(format!("the server sent a row that has not {columns} values")))
        }
    }

    /// The bytes that the values left take up on the wire, with their lengths.
    pub fn size(&self) -> usize {
        self.0.0.len()
    }
}

impl<'a> Iterator for RawRow<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.value()
    }
}

impl Column {
    /// From a ColumnDefinition41.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader(payload);
        // Catalog, schema, and the table's alias and name.
        for _ in 0..4 {
            reader.string()?;
        }
        let name = String::from_utf8_lossy(reader.string()?).into_owned();
        // What follows, its name in the table and its type, nobody asks for: the statements say what they want as text.
        Some(Column { name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_value_for_each_column_and_nothing_else() {
        let row = RawRow::new(b"\x01a\xfb\x00", 3).expect("a row");
        assert_eq!(row.size(), 4);
        assert_eq!(row.collect::<Vec<_>>(), [Some(&b"a"[..]), None, Some(b"")]);
        for wrong in [&b"\x01a\xfb"[..], b"\x01a\xfb\x00\x00", b"\x01a\xfb\x05b", b"\x01a\xff\x00"] {
            assert!(RawRow::new(wrong, 3).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_column_is_read() {
        let payload = b"\x03def\x00\x00\x00\x02id\x00\x0c\x3f\x00\x0b\x00\x00\x00\x08\x21\x00\x00\x00\x00";
        let column = Column::read(payload).expect("a column");
        assert_eq!(column.name, "id");
        assert_eq!(Column::read(payload.get(..9).expect("longer")), None);
    }
}
