//! Definitions that the server words wrongly, or that a load of rows would read wrongly: such a table is named, not dumped into
//! something else.
//!
//! `SHOW CREATE TABLE` prints a character beyond U+FFFF as `?` in members of ENUM and SET, and MariaDB in defaults too. MySQL
//! reads the bounds of partitions by columns anew in each session's character set, and rows are loaded as `binary`.

use crate::client::{Client, Flavor};
use crate::sql::literal;
use coffer_addon::Result;

/// What of a table's definition is not what it says, as the dump's list of unsupported objects names it.
pub async fn doubts(client: &mut Client, database: &str, table: &str, shown: &[u8]) -> Result<Vec<String>> {
    let text = String::from_utf8_lossy(shown);
    let flavor = client.version().flavor;
    let mut doubts: Vec<String> = text
        .lines()
        .filter_map(doubtful)
        .filter(|(_, clause)| *clause == Clause::Members || flavor == Flavor::MariaDb)
        .map(|(column, clause)| format!("column {database}.{table}.{column} ({})", clause.why()))
        .collect();
    if flavor == Flavor::MySql && bounds_beyond_ascii(&text) {
        let sql = format!(
            "SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} \
             AND CHARACTER_SET_NAME NOT IN ('utf8mb4', 'utf8mb3', 'utf8', 'ascii', 'binary')",
            literal(database),
            literal(table)
        );
        if client.query_one(&sql).await?.at(0) != Some("0") {
            doubts.push(format!(
                "table {database}.{table} (partitioned by columns in another character set than UTF-8: MySQL would put rows \
                 into other partitions; convert the columns to utf8mb4)"
            ));
        }
    }
    Ok(doubts)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clause {
    Members,
    Default,
}

impl Clause {
    fn why(self) -> &'static str {
        match self {
            Clause::Members => "a member has a ?, which is how the server shows characters beyond U+FFFF",
            Clause::Default => "its default has a ?, which is how the server shows characters beyond U+FFFF",
        }
    }
}

/// The column of a line of `SHOW CREATE TABLE` that may have lost a character, and where.
fn doubtful(line: &str) -> Option<(&str, Clause)> {
    let (column, rest) = line.strip_prefix("  `")?.split_once("` ")?;
    for kind in ["enum(", "set("] {
        if let Some(members) = rest.strip_prefix(kind) {
            let (members, after) = split_at_bracket(members);
            if members.contains('?') {
                return Some((column, Clause::Members));
            }
            return default(after).filter(|default| default.contains('?')).map(|_| (column, Clause::Default));
        }
    }
    default(rest).filter(|default| default.contains('?')).map(|_| (column, Clause::Default))
}

/// The literal behind DEFAULT, if it is one.
fn default(attributes: &str) -> Option<&str> {
    let (before, literal) = attributes.split_once(" DEFAULT '")?;
    // Not the word in a comment.
    (!before.contains('\'')).then(|| literal.get(..end(literal)).unwrap_or(literal))
}

/// Where a string's closing quote is, its opening one being in front of `text`.
fn end(text: &str) -> usize {
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'\'' if text.as_bytes().get(at + 1) == Some(&b'\'') => drop(bytes.next()),
            b'\'' => return at,
            _ => {}
        }
    }
    text.len()
}

/// Up to the bracket that closes a list of strings, and what is behind it.
fn split_at_bracket(text: &str) -> (&str, &str) {
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'\'' => at += 2 + end(text.get(at + 1..).unwrap_or_default()),
            b')' => break,
            _ => at += 1,
        }
    }
    text.split_at_checked(at).unwrap_or((text, ""))
}

/// Whether bounds of partitions by columns have other characters than ASCII.
fn bounds_beyond_ascii(shown: &str) -> bool {
    let partitions = shown.rfind("PARTITION BY").and_then(|at| shown.get(at..)).unwrap_or_default();
    partitions.contains("COLUMNS(") && !partitions.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_mark_where_a_character_may_have_been_is_doubted() {
        use Clause::{Default, Members};
        for (line, found) in [
            ("  `e` enum('?','b') NOT NULL,", Some(("e", Members))),
            ("  `s` set('a)','it''s ?') DEFAULT NULL,", Some(("s", Members))),
            ("  `e` enum('a','b') DEFAULT 'b' COMMENT 'why?',", None),
            ("  `a` varchar(10) DEFAULT '?',", Some(("a", Default))),
            ("  `a` varchar(10) DEFAULT 'no' COMMENT 'or '' DEFAULT ''?',", None),
            ("  `a` varchar(10) COMMENT ' DEFAULT ''?',", None),
            ("  `a` int DEFAULT 1 COMMENT '?',", None),
            ("  KEY `?` (`a`)", None),
        ] {
            assert_eq!(doubtful(line), found, "{line}");
        }
    }

    #[test]
    fn bounds_are_those_of_partitions_by_columns() {
        assert!(bounds_beyond_ascii("/*!50500 PARTITION BY RANGE  COLUMNS(a)\n(PARTITION p0 VALUES LESS THAN ('é')"));
        assert!(!bounds_beyond_ascii(
            "COMMENT='é'\n/*!50500 PARTITION BY RANGE  COLUMNS(a)\n(PARTITION p0 VALUES LESS THAN ('e')"
        ));
        assert!(!bounds_beyond_ascii("/*!50100 PARTITION BY RANGE (`é`)"));
        assert!(!bounds_beyond_ascii("COMMENT='é'"));
    }
}
