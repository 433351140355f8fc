//! Statements in files, for two programs that take them apart in their own ways.
//!
//! `myloader` ends a statement where a line ends in `;`, also in the middle of a routine. `mysql` ends one at its delimiter, and
//! knows quotes and comments. A file for both has `;;` (or more of them) as the delimiter: `myloader` sees a line's end behind a
//! `;`, and servers drop what semicolons there are at the end of a statement. The delimiter is set by a command of `mysql` within
//! a comment that servers skip, which is how MariaDB's own dumps talk to it too.
//!
//! Where a line of a routine ends in `;`, an empty comment of the kind that servers skip and do not keep goes behind it. In a
//! comment of the routine's own it would be kept, so a blank goes there, as mydumper has it. In a string nothing is changed:
//! better `myloader` fails on that routine than that it makes another one.

/// Skipped by every server, and not kept with the routine that it stands in.
const NOTHING: &[u8] = b"/*!999999 */";

/// What of SQL's grammar depends on the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grammar {
    /// `NO_BACKSLASH_ESCAPES` is not set.
    pub backslash: bool,
}

impl Grammar {
    pub fn of(sql_mode: &str) -> Self {
        Grammar { backslash: !sql_mode.split(',').any(|mode| mode == "NO_BACKSLASH_ESCAPES") }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Code,
    Quotes(u8),
    /// To the end of the line.
    Line,
    Comment,
}

/// The statement with no line in it that ends in `;`, as far as that is possible without changing it.
pub fn in_one_piece(sql: &[u8], grammar: Grammar) -> Vec<u8> {
    let mut out = Vec::with_capacity(sql.len());
    let mut within = Within::Code;
    let mut letters = sql.iter().copied().peekable();
    while let Some(letter) = letters.next() {
        out.push(letter);
        let next = letters.peek().copied();
        if letter == b';' && next == Some(b'\n') {
            match within {
                Within::Code => out.extend_from_slice(NOTHING),
                Within::Line | Within::Comment => out.push(b' '),
                Within::Quotes(_) => {}
            }
            continue;
        }
        within = match (within, letter, next) {
            (Within::Code, b'\'' | b'"' | b'`', _) => Within::Quotes(letter),
            (Within::Code, b'#', _) => Within::Line,
            // Two dashes begin a comment only with a blank behind them; a mistake here costs a blank at a line's end.
            (Within::Code, b'-', Some(b'-')) => Within::Line,
            (Within::Code, b'/', Some(b'*')) => {
                out.extend(letters.next());
                // What servers run is code.
                if letters.peek() == Some(&b'!') { Within::Code } else { Within::Comment }
            }
            (Within::Quotes(quote), b'\\', Some(_)) if grammar.backslash && quote != b'`' => {
                out.extend(letters.next());
                within
            }
            // A doubled quote ends them and begins them again, which comes to the same.
            (Within::Quotes(quote), _, _) if letter == quote => Within::Code,
            (Within::Line, b'\n', _) => Within::Code,
            (Within::Comment, b'*', Some(b'/')) => {
                out.extend(letters.next());
                Within::Code
            }
            _ => within,
        };
    }
    out
}

/// A file of statements that may have `;` in them.
pub struct Script {
    text: Vec<u8>,
    delimiter: String,
}

impl Script {
    /// A script that will hold these statements.
    pub fn new<'a>(statements: impl Iterator<Item = &'a [u8]>) -> Self {
        let longest = statements.map(longest_run).max().unwrap_or(0);
        let delimiter = ";".repeat(longest.max(1) + 1);
        let text = format!("/*!999999 \\d {delimiter} */\n").into_bytes();
        Script { text, delimiter }
    }

    pub fn add(&mut self, statement: &[u8]) {
        self.text.extend_from_slice(statement);
        self.text.extend_from_slice(format!(" {}\n", self.delimiter).as_bytes());
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.text
    }
}

/// The most semicolons in a row.
fn longest_run(statement: &[u8]) -> usize {
    statement.split(|letter| *letter != b';').map(<[u8]>::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(sql: &str) -> String {
        String::from_utf8(in_one_piece(sql.as_bytes(), Grammar { backslash: true })).expect("UTF-8")
    }

    #[test]
    fn no_line_of_code_or_comment_ends_in_a_semicolon() {
        assert_eq!(piece("BEGIN\n SET a = 1;\nEND"), "BEGIN\n SET a = 1;/*!999999 */\nEND");
        assert_eq!(piece("-- it's;\nSET b = 1;\n"), "-- it's; \nSET b = 1;/*!999999 */\n");
        assert_eq!(piece("/* a;\n */ SET c;\n"), "/* a; \n */ SET c;/*!999999 */\n");
        assert_eq!(piece("# a;\n"), "# a; \n");
        assert_eq!(piece("SELECT 'a\\'b;\nc';\n"), "SELECT 'a\\'b;\nc';/*!999999 */\n");
        assert_eq!(piece("SELECT `a\\`;\n"), "SELECT `a\\`;/*!999999 */\n");
        assert_eq!(piece("SELECT 'it''s';\n"), "SELECT 'it''s';/*!999999 */\n");
    }

    #[test]
    fn backslashes_are_letters_where_the_mode_says_so() {
        assert_eq!(Grammar::of("ANSI_QUOTES,NO_BACKSLASH_ESCAPES"), Grammar { backslash: false });
        let text = in_one_piece(b"SELECT '\\';\n", Grammar { backslash: false });
        assert_eq!(text, b"SELECT '\\';/*!999999 */\n");
    }

    #[test]
    fn the_delimiter_is_in_no_statement() {
        let mut script = Script::new([&b"a"[..], b"b;;c"].into_iter());
        script.add(b"b;;c");
        assert_eq!(script.into_bytes(), b"/*!999999 \\d ;;; */\nb;;c ;;;\n");
    }
}
