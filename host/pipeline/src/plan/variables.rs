//! `${VARIABLES}` in the strings of parameters.
//!
//! | text | becomes |
//! |---|---|
//! | `${NAME}` | the variable; refused when there is none of that name |
//! | `${NAME:=text}` | the variable, else `text` (up to the next `}`) |
//! | `$${` | a literal `${` |
//! | any other `$` | itself |
//!
//! Only strings are expanded, after parsing, wherever they stand in a value; what comes out is a string and is never parsed
//! again. A variable that is there but empty is empty: the default is for a missing one.

use std::collections::BTreeMap;

use serde_json::Value;

/// The namespace of the target.
pub const TARGET_NAMESPACE: &str = "TARGET_NAMESPACE";
/// The name of the target.
pub const TARGET_NAME: &str = "TARGET_NAME";
/// The kind of the target.
pub const TARGET_KIND: &str = "TARGET_KIND";
/// The group and version of the target's kind.
pub const TARGET_API_VERSION: &str = "TARGET_API_VERSION";
/// The application's type.
pub const TARGET_APP_TYPE: &str = "TARGET_APP_TYPE";
/// The application's version, when it is known.
pub const TARGET_APP_VERSION: &str = "TARGET_APP_VERSION";
/// The session's namespace.
pub const NAMESPACE: &str = "NAMESPACE";
/// The Repository, when there is exactly one.
pub const REPOSITORY_NAME: &str = "REPOSITORY_NAME";
/// Its namespace.
pub const REPOSITORY_NAMESPACE: &str = "REPOSITORY_NAMESPACE";
/// The BackupSession.
pub const BACKUP_SESSION: &str = "BACKUP_SESSION";
/// The RestoreSession.
pub const RESTORE_SESSION: &str = "RESTORE_SESSION";
/// The id of the snapshot that is restored.
pub const SNAPSHOT: &str = "SNAPSHOT";
/// The kind of the object that asked for the run.
pub const INVOKER_KIND: &str = "INVOKER_KIND";
/// The name of the object that asked for the run.
pub const INVOKER_NAME: &str = "INVOKER_NAME";

/// Names that only Coffer gives a value to, whether or not a run has one.
pub const RESERVED: [&str; 14] = [
    TARGET_NAMESPACE,
    TARGET_NAME,
    TARGET_KIND,
    TARGET_API_VERSION,
    TARGET_APP_TYPE,
    TARGET_APP_VERSION,
    NAMESPACE,
    REPOSITORY_NAME,
    REPOSITORY_NAMESPACE,
    BACKUP_SESSION,
    RESTORE_SESSION,
    SNAPSHOT,
    INVOKER_KIND,
    INVOKER_NAME,
];

/// Variables by name.
pub type Variables = BTreeMap<&'static str, String>;

/// Why a string cannot be expanded.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ExpandError {
    /// `${` without `}`.
    #[error("\"${{\" has no closing \"}}\"; write \"$${{\" for a literal one")]
    Unclosed,
    /// Something between the braces that is no reference.
    #[error("${{{0}}} is no variable: write ${{NAME}} or ${{NAME:=default}}, or $${{ for a literal ${{")]
    Malformed(String),
    /// No such variable, and no default.
    #[error("there is no variable {0} here; give a default: ${{{0}:=…}}")]
    Missing(String),
}

/// Expands every string in `value`.
pub fn expand(value: &Value, variables: &Variables) -> Result<Value, ExpandError> {
    Ok(match value {
        Value::String(text) => Value::String(expand_text(text, variables)?),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| expand(item, variables)).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, field)| Ok((name.clone(), expand(field, variables)?)))
                .collect::<Result<_, ExpandError>>()?,
        ),
        other => other.clone(),
    })
}

fn expand_text(text: &str, variables: &Variables) -> Result<String, ExpandError> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = after;
            continue;
        }
        expanded.push_str(before);
        let (reference, after) = after.split_once('}').ok_or(ExpandError::Unclosed)?;
        let (name, default) = match reference.split_once(":=") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        let is_name = !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name {
            return Err(ExpandError::Malformed(reference.to_owned()));
        }
        match variables.get(name).map(String::as_str).or(default) {
            Some(value) => expanded.push_str(value),
            None => return Err(ExpandError::Missing(name.to_owned())),
        }
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expanded(text: &str) -> Result<String, ExpandError> {
        let variables = Variables::from([(TARGET_NAME, "shop".to_owned()), (TARGET_APP_VERSION, String::new())]);
        expand_text(text, &variables)
    }

    #[test]
    fn references_defaults_and_escapes() {
        for (text, result) in [
            ("plain $5 {x}", "plain $5 {x}"),
            ("a-${TARGET_NAME}-b", "a-shop-b"),
            ("${TARGET_NAME}${TARGET_NAME}", "shopshop"),
            ("${NOPE:=d}", "d"),
            ("${NOPE:=}", ""),
            ("${TARGET_NAME:=d}", "shop"),
            ("[${TARGET_APP_VERSION:=17}]", "[]"),
            ("$${TARGET_NAME}", "${TARGET_NAME}"),
            ("$$${TARGET_NAME}", "$${TARGET_NAME}"),
            ("$", "$"),
            ("größe ${TARGET_NAME}", "größe shop"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(result), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_expanded_is_refused() {
        assert_eq!(expanded("${NOPE}"), Err(ExpandError::Missing("NOPE".to_owned())));
        assert_eq!(expanded("${TARGET_NAME"), Err(ExpandError::Unclosed));
        for text in ["${}", "${TARGET_NAME:-x}", "${TARGET NAME}", "${1}", "${:=x}", "${${TARGET_NAME}}"] {
            assert!(matches!(expanded(text), Err(ExpandError::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn values_keep_their_structure_whatever_a_variable_holds() {
        let variables = Variables::from([(TARGET_NAME, "\"},\n${X} \\".to_owned())]);
        let value = expand(&json!({"a": ["${TARGET_NAME}", 4, true, null]}), &variables).unwrap();
        assert_eq!(value, json!({"a": ["\"},\n${X} \\", 4, true, null]}));
    }
}
