//! Strings as Go writes them: restic stores names of files quoted by `strconv.Quote`, and Go's JSON encoder escapes HTML.

/// The inside of `strconv.Quote`, for names without control characters.
pub(crate) fn quote(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', r#"\""#)
}

/// The inverse of `strconv.Quote`. Bytes that are no UTF-8, which Go allows, become replacement characters.
pub(crate) fn unquote(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        if next != '\\' {
            bytes.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match chars.next()? {
            'a' => bytes.push(7),
            'b' => bytes.push(8),
            'f' => bytes.push(12),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'v' => bytes.push(11),
            quoted @ ('\\' | '"' | '\'') => bytes.push(quoted as u8),
            'x' => bytes.push(u8::try_from(digits(&mut chars, 2, 16, 0)?).ok()?),
            octal @ '0'..='7' => bytes.push(u8::try_from(digits(&mut chars, 2, 8, octal.to_digit(8)?)?).ok()?),
            'u' => push_char(&mut bytes, digits(&mut chars, 4, 16, 0)?)?,
            'U' => push_char(&mut bytes, digits(&mut chars, 8, 16, 0)?)?,
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn digits(chars: &mut std::str::Chars, count: usize, radix: u32, first: u32) -> Option<u32> {
    (0..count).try_fold(first, |value, _| value.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?))
}

fn push_char(bytes: &mut Vec<u8>, value: u32) -> Option<()> {
    bytes.extend_from_slice(char::from_u32(value)?.encode_utf8(&mut [0; 4]).as_bytes());
    Some(())
}

/// In JSON these characters stand inside strings only.
pub(crate) fn escape_html(json: String) -> String {
    const ESCAPED: [char; 5] = ['&', '<', '>', '\u{2028}', '\u{2029}'];
    if !json.contains(ESCAPED) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 64);
    for next in json.chars() {
        match next {
            next if ESCAPED.contains(&next) => escaped.push_str(&format!("\\u{:04x}", u32::from(next))),
            next => escaped.push(next),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_go_writes() {
        let quoted = r#"a\"b\\c\a\b\f\n\r\t\v\x00\x7f\u200b\U0001f600é\101"#;
        assert_eq!(unquote(quoted).unwrap(), "a\"b\\c\u{7}\u{8}\u{c}\n\r\t\u{b}\0\u{7f}\u{200b}\u{1f600}éA");
        assert_eq!(unquote(r"\xff").unwrap(), "\u{fffd}");
        for malformed in [r"\", r"\q", r"\x1", r"\ud800", r"\U00110000", r"\UFFFFFFFF", r"\777"] {
            assert_eq!(unquote(malformed), None, "{malformed}");
        }
    }

    proptest! {
        #[test]
        fn quoting_is_undone(text in "\\PC*") {
            prop_assert_eq!(unquote(&quote(&text)).unwrap(), text);
        }

        #[test]
        fn escaped_json_means_the_same(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let escaped = escape_html(json);
            prop_assert!(!escaped.contains(['<', '>', '&']));
            prop_assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        }
    }
}
