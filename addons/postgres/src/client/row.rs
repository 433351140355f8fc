//! A row of a simple query: every value is text or NULL.
//!
//! A database without an encoding (SQL_ASCII) lets bytes into its catalogs that are no UTF-8. They are replaced here, and the
//! row remembers it: nothing may be made of such a row but an error that tells which object it is.

use super::unreadable;
use coffer_addon::{Error, Result};
use postgres_protocol::message::backend::{DataRowBody, RowDescriptionBody};
use std::borrow::Cow;
use std::rc::Rc;
use std::str::FromStr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    columns: Rc<[String]>,
    values: Vec<Option<String>>,
    /// The first column that is no UTF-8.
    broken: Option<usize>,
}

/// The names in a row description.
pub(super) fn columns(body: &RowDescriptionBody) -> Result<Rc<[String]>> {
    let mut names = Vec::new();
    let mut fields = body.fields();
    while let Some(field) = fallible_iterator::FallibleIterator::next(&mut fields).map_err(unreadable)? {
        names.push(field.name().to_string());
    }
    Ok(names.into())
}

impl Row {
    pub(super) fn new(columns: Rc<[String]>, body: &DataRowBody) -> Result<Self> {
        let mut values = Vec::with_capacity(columns.len());
        let mut broken = None;
        let mut ranges = body.ranges();
        while let Some(range) = fallible_iterator::FallibleIterator::next(&mut ranges).map_err(unreadable)? {
            let value = match range {
                None => None,
                Some(range) => {
                    let text = String::from_utf8_lossy(body.buffer().get(range).unwrap_or_default());
                    if matches!(text, Cow::Owned(_)) {
                        broken.get_or_insert(values.len());
                    }
                    Some(text.into_owned())
                }
            };
            values.push(value);
        }
        if values.len() != columns.len() {
            return Err(Error::Corrupt(format!("a row has {} values for {} columns", values.len(), columns.len())));
        }
        Ok(Row { columns, values, broken })
    }

    /// The first column whose bytes are no UTF-8, if there is one.
    pub fn broken(&self) -> Option<&str> {
        self.columns.get(self.broken?).map(String::as_str)
    }

    /// The value at a position; nothing for NULL and past the end.
    pub fn at(&self, index: usize) -> Option<&str> {
        self.values.get(index)?.as_deref()
    }

    /// The value of a column that may be NULL. A column that the query does not have is an error.
    pub fn opt(&self, column: &str) -> Result<Option<&str>> {
        match self.columns.iter().position(|name| name == column) {
            Some(index) => Ok(self.at(index)),
            None => Err(Error::Failed(format!("the query has no column {column}"))),
        }
    }

    /// The value of a column that is never NULL.
    pub fn get(&self, column: &str) -> Result<&str> {
        self.opt(column)?.ok_or_else(|| Error::Failed(format!("column {column} is NULL")))
    }

    /// The value of a column, parsed: `row.parse::<u32>("oid")`.
    pub fn parse<T: FromStr>(&self, column: &str) -> Result<T> {
        let text = self.get(column)?;
        text.parse().map_err(|_| {
            let kind = std::any::type_name::<T>();
            Error::Failed(format!("column {column} holds {text:?}, which is no {kind}"))
        })
    }
}
