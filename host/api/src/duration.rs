//! Lengths of time as operators write them: `30s`, `5m`, `2h30m`.
//!
//! A type of its own because Go's format, which Kubernetes uses, allows zero, negative and fractional values, and a
//! timeout that is one of those is always a mistake.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A positive length of time, written as whole numbers with units: `500ms`, `30s`, `5m`, `2h30m`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Duration(std::time::Duration);

/// Why a text is no [`Duration`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} is no duration: write whole numbers with the units h, m, s or ms, such as 30s, 5m or 2h30m")]
pub struct ParseError {
    text: String,
}

const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Duration {
    /// From whole seconds; `None` when zero.
    pub fn from_secs(seconds: u64) -> Option<Self> {
        Self::new(std::time::Duration::from_secs(seconds))
    }

    /// `None` when zero: no limit is written by leaving the field out.
    pub fn new(duration: std::time::Duration) -> Option<Self> {
        (!duration.is_zero()).then_some(Self(duration))
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

impl FromStr for Duration {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = || ParseError { text: text.to_owned() };
        let mut rest = text;
        let mut milliseconds: u64 = 0;
        let mut largest_allowed = u64::MAX;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
            let (number, tail) = rest.split_at(digits);
            let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_end);
            let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale).ok_or_else(error)?;
            // Units descend and stand once, so that a length has one way to be read.
            if scale >= largest_allowed {
                return Err(error());
            }
            largest_allowed = scale;
            let number: u64 = number.parse().map_err(|_| error())?;
            milliseconds =
                number.checked_mul(scale).and_then(|part| milliseconds.checked_add(part)).ok_or_else(error)?;
            rest = tail;
        }
        Self::new(std::time::Duration::from_millis(milliseconds)).ok_or_else(error)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        for (unit, scale) in UNITS {
            if rest >= scale {
                write!(f, "{}{unit}", rest / scale)?;
                rest %= scale;
            }
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // The pattern is for a cluster's API server; our own validation parses (`format`) and gives the better message.
        json_schema!({
            "type": "string",
            "format": "duration",
            "pattern": "^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_what_operators_write() {
        for (text, seconds) in [("30s", 30), ("5m", 300), ("2h30m", 9000), ("1h0m5s", 3605)] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(std::time::Duration::from(duration).as_secs(), seconds, "{text}");
            assert_eq!(duration.to_string().parse(), Ok(duration));
        }
        assert_eq!("90m".parse::<Duration>().unwrap().to_string(), "1h30m");
        assert_eq!("1s500ms".parse::<Duration>().unwrap().to_string(), "1s500ms");
    }

    #[test]
    fn refuses_what_is_no_limit() {
        for text in ["", "5", "m", "0s", "-5m", "1.5h", "5 m", "5d", "5m2h", "1m1m", "99999999999999999999s", "5m "] {
            assert!(text.parse::<Duration>().is_err(), "{text:?}");
        }
    }
}
