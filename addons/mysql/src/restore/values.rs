//! Statements with rows, held to the one form that the dump writes: into the table of their file, and literals alone. Whoever
//! can write to a repository can have no other statement run, and none that reads, calls or overwrites anything.
//!
//! The sessions that run them read bytes as they are (`SET NAMES binary`) and backslashes as escapes, and so does this.

use crate::layout::Table;
use crate::sql::identifier;

/// What every statement with rows of a table begins with.
pub struct Head(Vec<u8>);

impl Head {
    pub fn of(table: &Table) -> Head {
        let columns: Vec<String> = table.columns.iter().map(|column| identifier(column)).collect();
        Head(format!("INSERT INTO {} ({}) VALUES", identifier(&table.name), columns.join(",")).into_bytes())
    }

    /// What is wrong with a statement, as an error says it of a file.
    pub fn check(&self, sql: &[u8]) -> Result<(), &'static str> {
        let rows = sql.strip_prefix(self.0.as_slice());
        let rows = rows.ok_or("it has a statement for another table than its own, or for other columns")?;
        all_rows(rows).ok_or("it has a statement with more than rows of values in it")
    }
}

/// `(…)`, `(…)` and no more.
fn all_rows(sql: &[u8]) -> Option<()> {
    let mut rest = row(blank(sql))?;
    loop {
        rest = blank(rest);
        if rest.is_empty() {
            return Some(());
        }
        rest = row(blank(rest.strip_prefix(b",")?))?;
    }
}

/// What is behind a row.
fn row(sql: &[u8]) -> Option<&[u8]> {
    let mut rest = sql.strip_prefix(b"(")?;
    // A table whose columns are all computed has no values.
    if let Some(after) = rest.strip_prefix(b")") {
        return Some(after);
    }
    loop {
        rest = value(rest)?;
        let (end, after) = rest.split_first()?;
        rest = after;
        match end {
            b',' => {}
            b')' => return Some(rest),
            _ => return None,
        }
    }
}

/// What is behind a literal: NULL, a string, a number.
fn value(sql: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = sql.strip_prefix(b"NULL") {
        return Some(rest);
    }
    if let Some(text) = sql.strip_prefix(b"_utf8mb4'").or_else(|| sql.strip_prefix(b"'")) {
        return string(text);
    }
    if let Some(digits) = sql.strip_prefix(b"0x") {
        return some(digits, |byte| byte.is_ascii_hexdigit());
    }
    let number = sql.strip_prefix(b"-").unwrap_or(sql);
    let rest = some(number, |byte| byte.is_ascii_digit() || byte == b'.')?;
    let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) else { return Some(rest) };
    let exponent = exponent.strip_prefix(b"-").or_else(|| exponent.strip_prefix(b"+")).unwrap_or(exponent);
    some(exponent, |byte| byte.is_ascii_digit())
}

/// What is behind a string, of which the first quote is gone. Quotes within are escaped or doubled.
fn string(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        let place = text.iter().position(|byte| matches!(byte, b'\'' | b'\\'))?;
        let (at, after) = text.get(place..)?.split_first()?;
        text = match at {
            b'\\' => after.get(1..)?,
            _ => match after.strip_prefix(b"'") {
                Some(doubled) => doubled,
                None => return Some(after),
            },
        };
    }
}

/// What is behind the bytes that belong, of which there has to be one.
fn some(sql: &[u8], belongs: impl Fn(u8) -> bool) -> Option<&[u8]> {
    let end = sql.iter().position(|byte| !belongs(*byte)).unwrap_or(sql.len());
    if end == 0 { None } else { sql.get(end..) }
}

fn blank(sql: &[u8]) -> &[u8] {
    sql.trim_ascii_start()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_literals_pass() {
        for rows in [
            "(1,'it\\'s',NULL)\n,(-0e0,'',0x00AF)\n",
            "(1.5e-300,_utf8mb4'{\"a\": \"\\\\n\"}','a''b;')",
            "(-00.50,''),('\\\\')",
            "()\n,()\n",
        ] {
            assert_eq!(all_rows(rows.as_bytes()), Some(()), "{rows}");
        }
    }

    #[test]
    fn nothing_else_does() {
        for rows in [
            "",
            "(1)\n ON DUPLICATE KEY UPDATE a = 2",
            "(1);DROP TABLE t",
            "(1)--\n",
            "(1)/*! ,(2) */",
            "((SELECT 1))",
            "(SLEEP(9))",
            "(@a)",
            "(1+1)",
            "(a)",
            "(NULLIF(1,2))",
            "(0x)",
            "(1e)",
            "(-)",
            "('\\')",
            "('open",
            "(\"a\")",
            "('a' 'b')",
            "(_latin1'a')",
            "(1,)",
            "(1",
            "(1),",
            " SELECT 1",
        ] {
            assert_eq!(all_rows(rows.as_bytes()), None, "{rows}");
        }
    }
}
