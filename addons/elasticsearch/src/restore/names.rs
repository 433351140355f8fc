//! Names that a dump says, before they become parts of requests: a dump may come from anywhere, and no name in it is to reach
//! more than the one thing that it is the name of.

use coffer_addon::{Error, Result};

/// What no name of an index has: lists, patterns, paths, dates to be worked out.
const NEVER: [char; 12] = ['\\', '/', '*', '?', '"', '<', '>', '|', ' ', ',', '#', ':'];

/// Bytes; every server's limit.
const LONGEST: usize = 255;

/// Who may do what, on servers with security. Whoever replaces that owns the server.
const SECURITY: [&str; 3] = [".security", ".opendistro_security", ".opensearch-security"];

/// Of an index or a data stream.
pub fn check_index(name: &str) -> Result<()> {
    check_alias(name)?;
    if name.to_lowercase() != name {
        return Err(wrong(name));
    }
    Ok(())
}

/// Aliases may have capitals.
pub fn check_alias(name: &str) -> Result<()> {
    let is_wrong = |char: char| NEVER.contains(&char) || char.is_control();
    if name.is_empty()
        || name.len() > LONGEST
        || [".", ".."].contains(&name)
        || name.starts_with(['_', '-', '+'])
        || name.contains(is_wrong)
    {
        return Err(wrong(name));
    }
    Ok(())
}

fn wrong(name: &str) -> Error {
    Error::InvalidParameter(format!(
        "{name:?} can be no name of an index, a data stream or an alias; give it another by rename, or leave it out by exclude"
    ))
}

/// Of a template, a pipeline or the like: it is a part of a path, and is encoded there as far as that can be done.
pub fn check_definition(kind: &str, name: &str) -> Result<()> {
    if ["", ".", ".."].contains(&name) || name.contains(char::is_control) {
        return Err(Error::Corrupt(format!("{name:?} can be no name of {kind}")));
    }
    Ok(())
}

/// Whether users, roles and keys are in it.
pub fn is_security(index: &str) -> bool {
    SECURITY
        .iter()
        .any(|own| index.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_one_thing() {
        for good in ["a", "logs-2026.01.01", ".hidden", ".ds-e-000001", "größe", "a_b", "😀"] {
            assert_eq!(check_index(good), Ok(()), "{good}");
        }
        let long = "x".repeat(256);
        let wrong = [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a/../_security",
            "_all",
            "*",
            "a*",
            "a,b",
            "-a",
            "+a",
            "<a-{now}>",
            "a b",
            "a\n",
        ];
        for wrong in wrong.into_iter().chain([long.as_str(), "remote:a", "a?b", "a#b", "Ä"]) {
            assert!(matches!(check_index(wrong), Err(Error::InvalidParameter(_))), "{wrong:?}");
        }
        assert_eq!(check_alias("Shop"), Ok(()));
        assert!(check_definition("script", "a/b*").is_ok() && check_definition("script", "..").is_err());
    }

    #[test]
    fn who_may_do_what_is_told_by_its_name() {
        for name in [".security", ".security-7", ".opendistro_security", ".security-tokens-7"] {
            assert!(is_security(name), "{name}");
        }
        assert!(!is_security(".securityless") && !is_security("security-7"));
    }
}
