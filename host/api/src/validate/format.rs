//! The string formats that our schemas use. A cluster's API server knows some of them and ignores the others; for those
//! the schemas carry a pattern or the controllers check again.

use k8s_openapi::ByteString;
use serde_json::Value;

use crate::{Duration, quantity::Bytes};

/// Whether `text` has the format; what is wrong with it otherwise. Unknown formats hold always.
pub(super) fn check(format: &str, text: &str) -> Result<(), String> {
    match format {
        "duration" => text.parse::<Duration>().map(drop).map_err(|error| error.to_string()),
        "bytes" => text.parse::<Bytes>().map(drop).map_err(|error| error.to_string()),
        "k8s-long-name" => name(text, 253, true),
        "k8s-short-name" => name(text, 63, false),
        "label-value" => label_value(text),
        // Never shown: this is where Secrets keep their values.
        "byte" => serde_json::from_value::<ByteString>(Value::String(text.to_owned()))
            .map(drop)
            .map_err(|_| "is not base64 (write plain text under stringData instead)".to_owned()),
        "date-time" => text
            .parse::<k8s_openapi::jiff::Timestamp>()
            .map(drop)
            .map_err(|_| format!("{text:?} is no time: write it like 2026-11-21T10:00:00Z")),
        "version-requirement" => semver::VersionReq::parse(text)
            .map(drop)
            .map_err(|error| format!("{text:?} is no version requirement such as \">=9.6, <19\": {error}")),
        "sha256-digest" => digest(text),
        _ => Ok(()),
    }
}

fn name(text: &str, longest: usize, dots: bool) -> Result<(), String> {
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(|byte| letters(*byte))
            && bytes.last().is_some_and(|byte| letters(*byte))
            && bytes.iter().all(|byte| letters(*byte) || *byte == b'-')
    };
    let fits = text.len() <= longest && if dots { text.split('.').all(label) } else { label(text) };
    let dot = if dots { ", dots" } else { "" };
    let rule = "lower-case letters, digits and hyphens";
    if fits {
        Ok(())
    } else {
        Err(format!(
            "{text:?} is no name: use {rule}{dot}, at most {longest} characters, a letter or digit at both ends"
        ))
    }
}

fn label_value(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.len() <= 63 && edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner) {
        Ok(())
    } else {
        Err(format!("{text:?} is no label value: use letters, digits, -, _ and ., at most 63 characters"))
    }
}

fn digest(text: &str) -> Result<(), String> {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if hex.len() == 64 && hex.bytes().all(lower) {
        Ok(())
    } else {
        Err(format!("{text:?} is no digest: write sha256: and 64 lower-case hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn each_format_tells_good_from_bad() {
        let sha = format!("sha256:{}", "a".repeat(64));
        let long = "a".repeat(64);
        for (format, good, bad) in [
            ("duration", "2h30m", "2 hours"),
            ("bytes", "256Mi", "lots"),
            ("k8s-long-name", "shop.v2-a", "Shop"),
            ("k8s-long-name", "a", "a..b"),
            ("k8s-short-name", "shop", "shop.v2"),
            ("k8s-short-name", "0a", long.as_str()),
            ("label-value", "A_b.c", "-a"),
            ("byte", "YQ==", "a!"),
            ("date-time", "2026-11-21T10:00:00Z", "yesterday"),
            ("version-requirement", ">=9.6, <19", "new"),
            ("sha256-digest", sha.as_str(), "sha256:00"),
        ] {
            assert_eq!(check(format, good), Ok(()), "{format} {good}");
            assert!(check(format, bad).is_err(), "{format} {bad}");
        }
    }
}
