//! The parameter `where`: conditions of the operator's within statements of ours.
//!
//! A condition stands in brackets beside that of a piece. One that closed them would be read with another meaning than it has
//! by itself, and rows would come twice: it is refused, whatever the server thinks of it. All others the server is asked about
//! before any row is read, so that what is mistyped is not taken for a table that was altered.

use super::splitting::{Grammar, Kind, token};
use crate::catalog::Table;
use crate::client::Client;
use crate::parameters::Dump;
use coffer_addon::{Error, Result};

/// Checks all of them. A condition for a table that is not dumped is mistyped.
pub async fn check(leader: &mut Client, parameters: &Dump, tables: &[&Table]) -> Result<()> {
    for (name, condition) in &parameters.conditions {
        let mut named = tables.iter().filter(|table| table.name() == *name);
        let table = match (named.next(), named.next()) {
            (Some(table), None) => table,
            (None, _) => return Err(Error::InvalidParameter(format!("where: no table {name} is dumped"))),
            _ => {
                return Err(Error::InvalidParameter(format!(
                    "where: {name} may be either of two tables; dump one at a time"
                )));
            }
        };
        if !is_closed(condition) {
            return Err(Error::InvalidParameter(format!(
                "where: the condition of {name} has brackets, quotes or comments that are not closed, closes some that it has not \
                 opened, or has a comment that begins like /*!"
            )));
        }
        let sql = format!("SELECT 1 FROM {} WHERE {} LIMIT 0", table.quoted(), bracketed(condition));
        let asked = leader.stream_private(&sql).await;
        let outcome = match asked {
            Ok(mut rows) => rows.next().await.map(drop),
            Err(error) => Err(error),
        };
        outcome.map_err(|error| {
            let what = format!("where: the server refuses the condition of {name}");
            match error.context(what) {
                Error::Failed(text) | Error::Unsupported(text) => Error::InvalidParameter(text),
                error => error,
            }
        })?;
    }
    Ok(())
}

/// As part of another condition. A comment to the line's end does not reach the bracket.
pub fn bracketed(condition: &str) -> String {
    format!("({condition}\n)")
}

/// Whether its brackets hold it: the last one closes the first.
fn is_closed(condition: &str) -> bool {
    let text = bracketed(condition);
    // That of the sessions that read.
    let grammar = Grammar { backslash: true };
    let mut rest = text.as_bytes();
    let mut open = 0_u32;
    while !rest.is_empty() {
        let (kind, length) = token(rest, grammar);
        let (token, after) = rest.split_at(length.clamp(1, rest.len()));
        // The server reads what is in these.
        if kind == Kind::Comment && (token.starts_with(b"/*!") || token.starts_with(b"/*M!")) {
            return false;
        }
        let signs = if kind == Kind::Code { token } else { &[] };
        for (place, sign) in signs.iter().enumerate() {
            match sign {
                b'(' => open += 1,
                b')' => open = open.saturating_sub(1),
                _ => {}
            }
            let is_last = after.is_empty() && place + 1 == signs.len();
            if (open == 0) != is_last {
                return false;
            }
        }
        rest = after;
    }
    open == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_stays_within_its_brackets() {
        for good in [
            "a > 0",
            "(a > 0) OR (b IN (1, 2))",
            "a = ')' AND `(` = 1",
            "a = 'it''s \\') (' -- :)",
            "a > 0 # )",
            "a /* ) */ > 0",
        ] {
            assert!(is_closed(good), "{good}");
        }
        for bad in [
            "1) or (1",
            "1)",
            "(1",
            "a = 'x",
            "a = \"x",
            "`a",
            "a = '\\'",
            "1 /* ",
            "1 /*! ) or ( */",
            "1 /*M!1 ) or ( */",
            ")(",
        ] {
            assert!(!is_closed(bad), "{bad}");
        }
    }
}
