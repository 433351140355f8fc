//! A statement's words: as much of SQL's lexical grammar as it takes to find names in a text that servers and users wrote.

use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Blanks and comments, and the frame of a comment whose inside is run (`/*!50100 … */`).
    Blank,
    /// In back quotes, or in double quotes where those quote names.
    Quoted,
    /// A string.
    Text,
    /// A keyword, a name without quotes, a number.
    Bare,
    /// Any other character.
    Sign,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    pub kind: Kind,
    pub text: &'a str,
}

impl<'a> Word<'a> {
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self.kind, Kind::Bare | Kind::Sign) && self.text.eq_ignore_ascii_case(keyword)
    }

    /// What it names, without quotes.
    pub fn name(&self) -> Option<Cow<'a, str>> {
        match self.kind {
            Kind::Bare => Some(Cow::Borrowed(self.text)),
            Kind::Quoted => {
                let quote = self.text.get(..1)?;
                let inside = self.text.strip_prefix(quote)?.strip_suffix(quote)?;
                let doubled = quote.repeat(2);
                Some(if inside.contains(&doubled) {
                    Cow::Owned(inside.replace(&doubled, quote))
                } else {
                    Cow::Borrowed(inside)
                })
            }
            _ => None,
        }
    }
}

/// How an sql_mode reads quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotes {
    /// ANSI_QUOTES: double quotes are a name's.
    pub ansi: bool,
    /// NO_BACKSLASH_ESCAPES: a backslash in a string is one.
    pub plain_backslash: bool,
}

impl Quotes {
    pub fn of(sql_mode: &str) -> Self {
        let has = |wanted: &str| sql_mode.split(',').any(|mode| mode.trim().eq_ignore_ascii_case(wanted));
        // The server spells combined modes (ANSI, ORACLE, …) out beside their names.
        Quotes { ansi: has("ANSI_QUOTES"), plain_backslash: has("NO_BACKSLASH_ESCAPES") }
    }
}

/// All of `sql`, word by word: put together again they are `sql`.
pub fn words(sql: &str, quotes: Quotes) -> impl Iterator<Item = Word<'_>> {
    let mut rest = sql;
    std::iter::from_fn(move || {
        let (kind, length) = first(rest, quotes)?;
        let (text, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(Word { kind, text })
    })
}

fn is_bare(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '$') || !character.is_ascii()
}

/// The kind and the length of the first word.
fn first(sql: &str, quotes: Quotes) -> Option<(Kind, usize)> {
    let character = sql.chars().next()?;
    let until = |stop: &str, from: usize| {
        let inside = sql.get(from..).unwrap_or_default();
        inside.find(stop).map_or(sql.len(), |at| from + at + stop.len())
    };
    let run = |belongs: fn(char) -> bool| sql.find(|character| !belongs(character)).unwrap_or(sql.len());
    Some(match character {
        _ if character.is_whitespace() => (Kind::Blank, run(char::is_whitespace)),
        '#' => (Kind::Blank, until("\n", 0)),
        '-' if starts_comment(sql) => (Kind::Blank, until("\n", 0)),
        '/' if sql.starts_with("/*!") || sql.starts_with("/*M!") => {
            let mark = sql.find('!').map_or(sql.len(), |at| at + 1);
            let version = sql.get(mark..).unwrap_or_default();
            (Kind::Blank, mark + version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len()))
        }
        '/' if sql.starts_with("/*") => (Kind::Blank, until("*/", 2)),
        // The end of a comment that is run.
        '*' if sql.starts_with("*/") => (Kind::Blank, 2),
        '`' => (Kind::Quoted, quoted('`', sql, false)),
        '"' if quotes.ansi => (Kind::Quoted, quoted('"', sql, false)),
        '"' | '\'' => (Kind::Text, quoted(character, sql, !quotes.plain_backslash)),
        _ if is_bare(character) => (Kind::Bare, run(is_bare)),
        _ => (Kind::Sign, character.len_utf8()),
    })
}

/// Two dashes are a comment only in front of a blank: `5--3` is a sum.
fn starts_comment(sql: &str) -> bool {
    sql.strip_prefix("--").is_some_and(|rest| rest.chars().next().is_none_or(|c| c.is_whitespace() || c.is_control()))
}

/// The length of what stands in quotes, with them. A doubled quote is two words to the loop and one to its caller.
fn quoted(quote: char, sql: &str, escapes: bool) -> usize {
    let mut characters = sql.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character == '\\' && escapes {
            characters.next();
        } else if character == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return at + character.len_utf8();
        }
    }
    sql.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(sql: &str, quotes: Quotes) -> Vec<(Kind, &str)> {
        let found: Vec<Word> = words(sql, quotes).collect();
        assert_eq!(found.iter().map(|word| word.text).collect::<String>(), sql);
        found.into_iter().filter(|word| word.kind != Kind::Blank).map(|word| (word.kind, word.text)).collect()
    }

    #[test]
    fn names_strings_and_comments_are_told_apart() {
        use Kind::{Bare, Quoted, Sign, Text};
        assert_eq!(
            kinds("a.`b``c` 'it''s \\' x' -- `no`\n\"q\" # y\n5--3 /* `z` */ü", Quotes::default()),
            [
                (Bare, "a"),
                (Sign, "."),
                (Quoted, "`b``c`"),
                (Text, "'it''s \\' x'"),
                (Text, "\"q\""),
                (Bare, "5"),
                (Sign, "-"),
                (Sign, "-"),
                (Bare, "3"),
                (Bare, "ü"),
            ]
        );
        let ansi = Quotes::of("REAL_AS_FLOAT,ANSI_QUOTES,NO_BACKSLASH_ESCAPES");
        assert_eq!(kinds("\"q\" 'x\\' y", ansi), [(Quoted, "\"q\""), (Text, "'x\\'"), (Bare, "y")]);
        assert_eq!(
            kinds("/*!50100 PARTITION */ /*M!100300 x*/", Quotes::default()),
            [(Bare, "PARTITION"), (Bare, "x")]
        );
        assert_eq!(kinds("'open", Quotes::default()), [(Text, "'open")]);
    }

    #[test]
    fn a_name_is_what_the_quotes_hold() {
        let name = |sql| words(sql, Quotes::default()).next().and_then(|word| word.name()).map(Cow::into_owned);
        assert_eq!(name("`b``c`").as_deref(), Some("b`c"));
        assert_eq!(name("b").as_deref(), Some("b"));
        assert_eq!(name("'b'"), None);
    }
}
