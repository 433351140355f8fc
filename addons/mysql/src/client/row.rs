//! A row that was collected: every value is bytes or NULL, and the bytes are mostly text.

use super::rows::RawRow;
use coffer_addon::{Error, Result};
use std::rc::Rc;
use std::str::FromStr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    columns: Rc<[String]>,
    values: Vec<Option<Vec<u8>>>,
}

impl Row {
    pub(super) fn new(columns: Rc<[String]>, row: RawRow<'_>) -> Self {
        Row { columns, values: row.map(|value| value.map(Vec::from)).collect() }
    }

    /// The value at a position; nothing for NULL, for what is no UTF-8, and past the end.
    pub fn at(&self, index: usize) -> Option<&str> {
        std::str::from_utf8(self.values.get(index)?.as_deref()?).ok()
    }

    /// The bytes of a column that may be NULL. A column that the query does not have is an error.
    pub fn bytes(&self, column: &str) -> Result<Option<&[u8]>> {
        match self.columns.iter().position(|name| name == column) {
            Some(index) => Ok(self.values.get(index).and_then(Option::as_deref)),
            None => Err(Error::Failed(format!("the query has no column {column}"))),
        }
    }

    /// The text of a column that may be NULL.
    pub fn opt(&self, column: &str) -> Result<Option<&str>> {
        let text = self.bytes(column)?.map(std::str::from_utf8).transpose();
        text.map_err(|_| Error::Corrupt(format!("the text of column {column} is not UTF-8")))
    }

    /// The text of a column that is never NULL.
    pub fn get(&self, column: &str) -> Result<&str> {
        self.opt(column)?.ok_or_else(|| Error::Failed(format!("column {column} is NULL")))
    }

    /// The value of a column, parsed: `row.parse::<u64>("Position")`.
    pub fn parse<T: FromStr>(&self, column: &str) -> Result<T> {
        let text = self.get(column)?;
        text.parse().map_err(|_| {
            let kind = std::any::type_name::<T>();
            Error::Failed(format!("column {column} holds {text:?}, which is no {kind}"))
        })
    }
}
