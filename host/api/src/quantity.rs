//! Amounts of memory as operators write them: `256Mi`, `1Gi`.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A positive number of bytes, written with a binary or decimal unit: `256Mi`, `1Gi`, `500M`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Bytes(u64);

/// Why a text is no amount of [`Bytes`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} is no amount of memory: write a whole number and a unit, such as 256Mi or 1Gi")]
pub struct ParseError {
    text: String,
}

const UNITS: [(&str, u64); 6] =
    [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10), ("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)];

impl Bytes {
    /// The number of bytes, never zero.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for Bytes {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (number, scale) = UNITS
            .iter()
            .find_map(|(unit, scale)| text.strip_suffix(unit).map(|number| (number, *scale)))
            .unwrap_or((text, 1));
        Some(number)
            .filter(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|number| number.parse::<u64>().ok())
            .and_then(|number| number.checked_mul(scale))
            .filter(|bytes| *bytes > 0)
            .map(Self)
            .ok_or_else(|| ParseError { text: text.to_owned() })
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, scale)| self.0.is_multiple_of(*scale)) {
            Some((unit, scale)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "bytes", "pattern": "^[0-9]+(Gi|Mi|Ki|G|M|k)?$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_units_and_keeps_the_amount() {
        for (text, bytes) in [("256Mi", 256 << 20), ("1Gi", 1 << 30), ("500M", 500_000_000), ("4096", 4096)] {
            let parsed: Bytes = text.parse().unwrap();
            assert_eq!(parsed.get(), bytes);
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
        for text in ["", "Mi", "0", "-1Mi", "1.5Gi", "1 Gi", "1Ti", "99999999999999Gi"] {
            assert!(text.parse::<Bytes>().is_err(), "{text:?}");
        }
    }
}
