//! Names and texts in statements, for sessions prepared by [`crate::session`]: neither `ANSI_QUOTES` nor
//! `NO_BACKSLASH_ESCAPES`, and UTF-8.

/// A name, quoted whether it needs to be or not.
pub fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text as a string literal.
pub fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('\'');
    for c in text.chars() {
        match c {
            '\0' => literal.push_str("\\0"),
            '\\' => literal.push_str("\\\\"),
            // Doubled rather than escaped: right also where a backslash is an ordinary letter.
            '\'' => literal.push_str("''"),
            c => literal.push(c),
        }
    }
    literal.push('\'');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(identifier("a`b"), "`a``b`");
        assert_eq!(literal("it's \\ \0"), "'it''s \\\\ \\0'");
    }
}
