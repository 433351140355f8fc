//! The rows of a statement, one by one, as they lie in the read buffer.

use super::Client;
use super::read::Reader;
use coffer_addon::{Error, Result};

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// As the statement calls it.
    pub name: String,
    pub kind: ColumnType,
    pub flags: ColumnFlags,
    /// The id of the collation its text comes in; 63 is that of bytes that are no text.
    pub charset: u16,
    /// Longest value, in bytes; how the server estimates it depends on the type.
    pub length: u32,
    /// Digits behind the point; 31 for a FLOAT or DOUBLE that has no fixed number of them.
    pub decimals: u8,
}

/// A column's type on the wire: `enum_field_types`.
/// https://dev.mysql.com/doc/dev/mysql-server/latest/field__types_8h.html
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnType {
    Decimal,
    Tiny,
    Short,
    Long,
    Float,
    Double,
    Null,
    Timestamp,
    LongLong,
    Int24,
    Date,
    Time,
    DateTime,
    Year,
    VarChar,
    Bit,
    Vector,
    Json,
    NewDecimal,
    Enum,
    Set,
    TinyBlob,
    MediumBlob,
    LongBlob,
    Blob,
    VarString,
    String,
    Geometry,
    /// One that this addon has never heard of, by its number.
    Other(u8),
}

/// What the server says of a column beyond its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnFlags(pub u16);

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
        // Its name in the table, and the length of what follows.
        reader.string()?;
        reader.length_encoded()?;
        let charset = reader.u16()?;
        let length = reader.u32()?;
        let kind = ColumnType::of(reader.u8()?);
        let flags = ColumnFlags(reader.u16()?);
        let decimals = reader.u8()?;
        Some(Column { name, kind, flags, charset, length, decimals })
    }

    /// Whether its values are bytes rather than text.
    pub fn is_binary(&self) -> bool {
        const BINARY: u16 = 63;
        self.charset == BINARY
    }
}

impl ColumnType {
    fn of(number: u8) -> Self {
        match number {
            0 => ColumnType::Decimal,
            1 => ColumnType::Tiny,
            2 => ColumnType::Short,
            3 => ColumnType::Long,
            4 => ColumnType::Float,
            5 => ColumnType::Double,
            6 => ColumnType::Null,
            7 => ColumnType::Timestamp,
            8 => ColumnType::LongLong,
            9 => ColumnType::Int24,
            // 14, 17, 18 and 19 are what the server keeps on disk.
            10 | 14 => ColumnType::Date,
            11 | 19 => ColumnType::Time,
            12 | 18 => ColumnType::DateTime,
            13 => ColumnType::Year,
            15 => ColumnType::VarChar,
            16 => ColumnType::Bit,
            17 => ColumnType::Timestamp,
            242 => ColumnType::Vector,
            245 => ColumnType::Json,
            246 => ColumnType::NewDecimal,
            247 => ColumnType::Enum,
            248 => ColumnType::Set,
            249 => ColumnType::TinyBlob,
            250 => ColumnType::MediumBlob,
            251 => ColumnType::LongBlob,
            252 => ColumnType::Blob,
            253 => ColumnType::VarString,
            254 => ColumnType::String,
            255 => ColumnType::Geometry,
            other => ColumnType::Other(other),
        }
    }

    /// Whether its values are numbers, which stand in a statement as they are. BIT's and YEAR's are not among them: the
    /// one comes as bytes, the other is a date.
    pub fn is_number(self) -> bool {
        matches!(
            self,
            ColumnType::Decimal
                | ColumnType::Tiny
                | ColumnType::Short
                | ColumnType::Long
                | ColumnType::Float
                | ColumnType::Double
                | ColumnType::LongLong
                | ColumnType::Int24
                | ColumnType::NewDecimal
        )
    }
}

impl ColumnFlags {
    pub fn is_not_null(self) -> bool {
        self.0 & 1 != 0
    }

    pub fn is_unsigned(self) -> bool {
        self.0 & 32 != 0
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
        assert_eq!((column.name.as_str(), column.kind, column.length), ("id", ColumnType::LongLong, 11));
        assert!(
            column.is_binary() && column.flags.is_not_null() && column.flags.is_unsigned() && column.kind.is_number()
        );
        assert_eq!(Column::read(payload.get(..20).expect("longer")), None);
    }
}
