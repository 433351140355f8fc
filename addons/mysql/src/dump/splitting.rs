//! Statements with `;` within, in files for two programs that take them apart in their own ways.
//!
//! `myloader` ends a statement where a line ends in `;`, also in the middle of a routine. `mysql` ends one at every `;`, but
//! knows quotes and comments; another delimiter can be set by commands of its own only, of which `myloader` knows nothing.
//!
//! So the statement is quoted for `mysql`, and for it alone: `/*!999999 " */` is a comment that servers skip, and do not keep
//! with a routine either, while `mysql` reads on in it and finds that a string begins. A string or a comment of the statement's
//! own that has a `"` in it is taken out of those quotes.
//!
//! For `myloader`, an empty comment of that kind goes behind each `;` that ends a line. In a comment of the routine's own it would
//! be kept: there a blank goes behind it, as mydumper has it everywhere. In a string nothing is changed: better `myloader` fails on
//! that routine than that it makes another one.

use std::borrow::Cow;

/// Begins and ends what is a string to `mysql`.
const QUOTE: &[u8] = b"/*!999999 \" */";
const NOTHING: &[u8] = b"/*!999999 */";

/// What of SQL's grammar depends on the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grammar {
    /// `NO_BACKSLASH_ESCAPES` is not set.
    pub backslash: bool,
}

impl Grammar {
    pub fn of(sql_mode: &str) -> Self {
        Grammar { backslash: !sql_mode.split(',').any(|mode| mode == "NO_BACKSLASH_ESCAPES") }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Code,
    /// With its quotes; a quoted name too.
    Quoted,
    /// With what ends it, a line's end perhaps.
    Comment,
}

/// The statement as it may stand in a file, with a `;` and a line's end behind it.
pub fn in_file(sql: &[u8], grammar: Grammar) -> Vec<u8> {
    let mut out = QUOTE.to_vec();
    let mut rest = sql;
    while !rest.is_empty() {
        let (kind, length) = token(rest, grammar);
        let (token, after) = rest.split_at(length.clamp(1, rest.len()));
        let text = match kind {
            Kind::Code => behind_ends(token, NOTHING),
            Kind::Comment => behind_ends(token, b" "),
            Kind::Quoted => token.into(),
        };
        let outside = token.contains(&b'"');
        if outside {
            out.extend_from_slice(QUOTE);
        }
        out.extend_from_slice(&text);
        if outside {
            out.extend_from_slice(QUOTE);
        }
        rest = after;
    }
    out.extend_from_slice(QUOTE);
    out
}

/// The kind and the length of what comes first.
pub fn token(text: &[u8], grammar: Grammar) -> (Kind, usize) {
    let find = |what: &[u8]| text.windows(what.len()).position(|window| window == what);
    match text {
        // Nothing may come between these and the quotes behind them.
        [b'@' | b'x' | b'X' | b'b' | b'B' | b'n' | b'N', b'\'' | b'"' | b'`', ..] => {
            let rest = text.get(1..).unwrap_or_default();
            (Kind::Quoted, 1 + token(rest, grammar).1)
        }
        [quote @ (b'\'' | b'"' | b'`'), ..] => {
            let length = quoted(text, *quote, grammar);
            match text.get(length..) {
                // An account.
                Some(rest @ [b'@', b'\'' | b'"' | b'`', ..]) => (Kind::Quoted, length + token(rest, grammar).1),
                _ => (Kind::Quoted, length),
            }
        }
        [b'/', b'*', ..] => (Kind::Comment, find(b"*/").map_or(text.len(), |end| end + 2)),
        [b'#', ..] | [b'-', b'-'] | [b'-', b'-', 0..=b' ', ..] => {
            (Kind::Comment, find(b"\n").map_or(text.len(), |end| end + 1))
        }
        // A word, so that its last letter is not taken for the first of a literal.
        [first, ..] if is_letter(*first) => {
            (Kind::Code, text.iter().position(|letter| !is_letter(*letter)).unwrap_or(text.len()))
        }
        _ => {
            let ends =
                |letter: &u8| is_letter(*letter) || matches!(letter, b'\'' | b'"' | b'`' | b'/' | b'#' | b'-' | b'@');
            (Kind::Code, text.iter().skip(1).position(ends).map_or(text.len(), |place| place + 1))
        }
    }
}

fn is_letter(letter: u8) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'$' | 0x80..)
}

/// The length of a quoted text, with both quotes.
fn quoted(text: &[u8], quote: u8, grammar: Grammar) -> usize {
    let mut at = 1;
    while let Some(letter) = text.get(at) {
        at += 1;
        if *letter == quote {
            // A doubled one stands for itself.
            if text.get(at) != Some(&quote) {
                break;
            }
            at += 1;
        } else if *letter == b'\\' && grammar.backslash && quote != b'`' {
            at += 1;
        }
    }
    at
}

/// `what` behind each `;` that ends a line.
fn behind_ends<'a>(text: &'a [u8], what: &[u8]) -> Cow<'a, [u8]> {
    const END: &[u8] = b";\n";
    if !text.windows(END.len()).any(|window| window == END) {
        return text.into();
    }
    let mut out = Vec::with_capacity(text.len() + what.len());
    let mut before = 0;
    for letter in text {
        if before == b';' && *letter == b'\n' {
            out.extend_from_slice(what);
        }
        out.push(*letter);
        before = *letter;
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(sql: &str) -> String {
        let text = in_file(sql.as_bytes(), Grammar { backslash: true });
        let text = String::from_utf8(text).expect("UTF-8");
        // Shorter, for people.
        text.replace("/*!999999 \" */", "<>").replace("/*!999999 */", "_")
    }

    #[test]
    fn no_line_of_code_or_comment_ends_in_a_semicolon() {
        assert_eq!(piece("BEGIN\n SET a = 1;\nEND"), "<>BEGIN\n SET a = 1;_\nEND<>");
        assert_eq!(piece("-- it's;\nSET b = 1;\n"), "<>-- it's; \nSET b = 1;_\n<>");
        assert_eq!(piece("/* a;\n */ SET c;\n"), "<>/* a; \n */ SET c;_\n<>");
        assert_eq!(piece("# a;\n"), "<># a; \n<>");
        assert_eq!(piece("SET a = b--1;\n"), "<>SET a = b--1;_\n<>");
        assert_eq!(piece("SELECT 'a\\'b;\nc';\n"), "<>SELECT 'a\\'b;\nc';_\n<>");
        assert_eq!(piece("SELECT `a\\`;\n"), "<>SELECT `a\\`;_\n<>");
        assert_eq!(piece("SELECT 'it''s';\n"), "<>SELECT 'it''s';_\n<>");
    }

    #[test]
    fn what_has_the_quote_in_it_is_taken_out() {
        assert_eq!(piece("SET a = \"it's;\" + 1"), "<>SET a = <>\"it's;\"<> + 1<>");
        assert_eq!(piece("SET a = 'say \"x;\"';"), "<>SET a = <>'say \"x;\"'<>;<>");
        assert_eq!(piece("COMMENT 'it''s \"late\"' DO"), "<>COMMENT <>'it''s \"late\"'<> DO<>");
        assert_eq!(piece("max = x\"41\""), "<>max = <>x\"41\"<><>");
        assert_eq!(piece("DEFINER=\"a\"@\"b\" x"), "<>DEFINER=<>\"a\"@\"b\"<> x<>");
        assert_eq!(piece("a -- no \"x\nb"), "<>a <>-- no \"x\n<>b<>");
    }

    #[test]
    fn backslashes_are_letters_where_the_mode_says_so() {
        assert_eq!(Grammar::of("ANSI_QUOTES,NO_BACKSLASH_ESCAPES"), Grammar { backslash: false });
        let text = in_file(b"'\\';\n", Grammar { backslash: false });
        assert_eq!(text, [QUOTE, b"'\\';", NOTHING, b"\n", QUOTE].concat());
    }
}
