//! Types that parameters of dumps and restores are made of, each with its schema, so that all addons mean the same by them.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use std::time::Duration;

/// How many connections work at once; more no server is glad of. The leader has one beside them, and cancelling needs some
/// more: all of it has to stay below the 64 that the host allows.
const MAX_JOBS: u32 = 32;

/// For an action that waits until the application is there.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WaitReady {
    /// How long to wait before giving up, e.g. `90s` or `5m`.
    pub timeout: Span,
}

impl Default for WaitReady {
    fn default() -> Self {
        WaitReady { timeout: Span(Duration::from_secs(60)) }
    }
}

/// A number of connections, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Jobs(pub u32);

impl Jobs {
    /// As many connections as there is work for: at least one, at most `pieces`.
    pub fn up_to(self, pieces: usize) -> usize {
        usize::try_from(self.0).unwrap_or(1).min(pieces).max(1)
    }
}

impl Default for Jobs {
    fn default() -> Self {
        Jobs(2)
    }
}

impl<'de> Deserialize<'de> for Jobs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let jobs = u32::deserialize(deserializer)?;
        if !(1..=MAX_JOBS).contains(&jobs) {
            return Err(serde::de::Error::custom(format!("jobs must be from 1 to {MAX_JOBS}, not {jobs}")));
        }
        Ok(Jobs(jobs))
    }
}

impl JsonSchema for Jobs {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Jobs".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 1, "maximum": MAX_JOBS})
    }
}

/// A length of time, written `250ms`, `90s`, `5m` or `2h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = self.0.as_millis();
        if millis.is_multiple_of(1000) {
            serializer.collect_str(&format_args!("{}s", millis / 1000))
        } else {
            serializer.collect_str(&format_args!("{millis}ms"))
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let unit = match text.get(digits.len()..) {
            Some("ms") => Some(1),
            Some("s") => Some(1000),
            Some("m") => Some(60_000),
            Some("h") => Some(3_600_000),
            _ => None,
        };
        let millis = digits.parse::<u32>().ok().zip(unit).map(|(count, unit)| u64::from(count) * unit);
        let millis =
            millis.ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no duration like 90s or 5m")))?;
        Ok(Span(Duration::from_millis(millis)))
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"})
    }
}

/// Names of objects, such as `shop.orders`, in which `*` stands for any characters and `?` for one. Case counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Patterns(Vec<String>);

impl Patterns {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern, name))
    }

    /// The patterns that match none of `names`: most likely mistyped, and then what was meant is not in the backup.
    pub fn without_match<'a>(&'a self, names: &[impl AsRef<str>]) -> Vec<&'a str> {
        let unmatched = self.0.iter().filter(|pattern| !names.iter().any(|name| matches(pattern, name.as_ref())));
        unmatched.map(String::as_str).collect()
    }

    /// Whether `name` is asked for: included, by a pattern or because there is none, and not excluded.
    pub fn select(include: &Self, exclude: &Self, name: &str) -> bool {
        (include.is_empty() || include.matches(name)) && !exclude.matches(name)
    }
}

impl<S: Into<String>> FromIterator<S> for Patterns {
    fn from_iter<I: IntoIterator<Item = S>>(patterns: I) -> Self {
        Patterns(patterns.into_iter().map(Into::into).collect())
    }
}

/// Parameters that leave something out, each with its names, in a line for people; none when no parameter has any.
pub fn filtered<const N: usize>(parameters: [(&str, Vec<&str>); N]) -> Option<String> {
    let set = parameters.iter().filter(|(_, names)| !names.is_empty());
    let filtered: Vec<String> = set.map(|(parameter, names)| format!("{parameter}: {}", names.join(", "))).collect();
    (!filtered.is_empty()).then(|| filtered.join("; "))
}

/// Goes back to the last `*` only, which is enough: an earlier one can take nothing that the last one could not.
fn matches(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern.chars(), name.chars());
    let mut star = None;
    loop {
        let before = name.clone();
        match (pattern.next(), name.next()) {
            (Some('*'), _) => {
                name = before;
                star = Some((pattern.clone(), name.clone()));
            }
            (Some('?'), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted == found => {}
            (None, None) => return true,
            _ => {
                let Some((after_star, taken)) = &mut star else { return false };
                if taken.next().is_none() {
                    return false;
                }
                (pattern, name) = (after_star.clone(), taken.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        let read = |text: &str| serde_json::from_value::<Span>(text.into()).ok().map(|span| span.0.as_millis());
        assert_eq!(read("250ms"), Some(250));
        assert_eq!(read("90s"), Some(90_000));
        assert_eq!(read("5m"), Some(300_000));
        assert_eq!(read("2h"), Some(7_200_000));
        for wrong in ["", "s", "5", "5 m", "-1s", "5d", "99999999999s"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn jobs_have_limits() {
        let read = |jobs: u32| serde_json::from_value::<Jobs>(jobs.into()).ok();
        assert_eq!([read(0), read(1), read(32), read(33)], [None, Some(Jobs(1)), Some(Jobs(32)), None]);
        assert_eq!([Jobs(4).up_to(0), Jobs(4).up_to(3), Jobs(4).up_to(9)], [1, 3, 4]);
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name) in [
            ("shop.orders", "shop.orders"),
            ("shop.*", "shop.orders"),
            ("*.orders", "shop.orders"),
            ("*", ""),
            ("**", "x"),
            ("s?op.*s", "shop.orders"),
            ("*ab*abc", "ababxabc"),
            ("?", "ü"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("shop", "shop.orders"), ("shop.*", "Shop.orders"), ("?", ""), ("*a", "ab"), ("", "x"), ("a*b*c", "acb")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_excluded_is_not_selected() {
        let include: Patterns = ["shop.*"].into_iter().collect();
        let exclude: Patterns = ["*.log_*", "shop.lgo"].into_iter().collect();
        let names = ["shop.orders", "shop.log_1", "mysql.user"];
        let selected: Vec<_> = names.iter().filter(|name| Patterns::select(&include, &exclude, name)).collect();
        assert_eq!(selected, [&"shop.orders"]);
        assert!(Patterns::select(&Patterns::default(), &exclude, "mysql.user"));
        assert_eq!(exclude.without_match(&names), ["shop.lgo"]);
    }
}
