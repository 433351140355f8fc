//! Versions as applications write them, against the requirements of a Function.

use semver::{Version, VersionReq};

/// The version an application means: `17`, `9.6.24`, `15.4 (Debian 15.4-1)` and `18beta1` all have one. Missing parts are
/// zero; what follows the numbers is the packager's affair.
pub(super) fn lenient(text: &str) -> Option<Version> {
    let text = text.trim().trim_start_matches(['v', 'V']);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let mut numbers = text.get(..end)?.split('.').take(3).map(str::parse::<u64>);
    let major = numbers.next()?.ok()?;
    let minor = numbers.next().and_then(Result::ok).unwrap_or(0);
    let patch = numbers.next().and_then(Result::ok).unwrap_or(0);
    Some(Version::new(major, minor, patch))
}

/// Whether a version meets a requirement; an unreadable requirement is met by none.
pub(super) fn meets(version: &Version, requirement: &str) -> bool {
    VersionReq::parse(requirement).is_ok_and(|requirement| requirement.matches(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_applications_are_understood() {
        for (text, version) in [
            ("17", (17, 0, 0)),
            ("9.6.24", (9, 6, 24)),
            ("15.4 (Debian 15.4-1.pgdg120+1)", (15, 4, 0)),
            ("18beta1", (18, 0, 0)),
            ("10.11.6-MariaDB", (10, 11, 6)),
            ("v8.0", (8, 0, 0)),
            ("5.7.44.1", (5, 7, 44)),
        ] {
            assert_eq!(lenient(text), Some(Version::new(version.0, version.1, version.2)), "{text}");
        }
        assert_eq!(lenient("latest"), None);
        assert_eq!(lenient(""), None);
        assert!(meets(&Version::new(17, 0, 0), ">=9.6, <19"));
        assert!(!meets(&Version::new(19, 1, 0), ">=9.6, <19"));
        assert!(!meets(&Version::new(9, 5, 0), ">=9.6, <19"));
    }
}
