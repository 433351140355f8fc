//! The index of a dump: what a restore reads before all else, as JSON with the number of its format.

use crate::{Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Reads the index `name`. Another format than `format` is refused, and so are fields and variants that `T` does not know, where
/// it denies them: later versions may add some within a format, and to pass over one could lose what it says.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], name: &str, format: u32) -> Result<T> {
    /// Of any format.
    #[derive(Deserialize)]
    struct Any {
        format: u32,
    }
    let unreadable = |error: serde_json::Error| Error::Corrupt(format!("{name} cannot be read: {error}"));
    let found = serde_json::from_slice::<Any>(bytes).map_err(unreadable)?.format;
    if found != format {
        return Err(Error::Unsupported(format!(
            "{name} has the format {found}; this addon reads {format}, use the version that wrote the dump"
        )));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        // serde has no other word for it than its text.
        if error.to_string().contains("unknown field") || error.to_string().contains("unknown variant") {
            return Error::Unsupported(format!(
                "{name} has what this addon does not know ({error}); use the version that wrote the dump, or a later one"
            ));
        }
        unreadable(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Index {
        format: u32,
        name: String,
    }

    fn read(text: &str) -> Result<Index> {
        parse(text.as_bytes(), "index.json", 2)
    }

    #[test]
    fn what_is_not_known_is_for_another_version() {
        assert_eq!(read(r#"{"format": 2, "name": "a"}"#), Ok(Index { format: 2, name: "a".into() }));
        for newer in [r#"{"format": 3, "other": 1}"#, r#"{"format": 2, "name": "a", "other": 1}"#] {
            let refused = read(newer);
            assert!(matches!(&refused, Err(Error::Unsupported(text)) if text.contains("index.json")), "{refused:?}");
        }
        for broken in ["", "[]", r#"{"name": "a"}"#, r#"{"format": 2}"#, r#"{"format": 2, "name": 7}"#] {
            assert!(matches!(read(broken), Err(Error::Corrupt(text)) if text.contains("index.json")), "{broken}");
        }
    }
}
