//! The JSONPath of printer columns: `.a.b`, `.a['b.c']`, `.a[0]`, `.a[*].b`, `.a[?(@.type=="Ready")].status`.

use serde_json::Value;

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// Entries whose field, at this path, is this string.
    Where(JsonPath, String),
}

impl JsonPath {
    /// `None` for what is no path of this subset.
    pub(crate) fn parse(text: &str) -> Option<JsonPath> {
        let mut rest = text.trim();
        rest = rest.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(rest);
        rest = rest.strip_prefix(['$', '@']).unwrap_or(rest);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let (field, next) = after.split_at_checked(end)?;
                match field {
                    "" if next.starts_with('[') => {}
                    "" => return None,
                    "*" => steps.push(Step::All),
                    field => steps.push(Step::Field(field.into())),
                }
                rest = next;
            } else {
                let inner = rest.strip_prefix('[')?;
                if let Some(filter) = inner.strip_prefix("?(") {
                    let (filter, next) = filter.split_once(")]")?;
                    let (path, value) = filter.split_once("==")?;
                    steps.push(Step::Where(JsonPath::parse(path)?, value.trim().trim_matches(['"', '\'']).into()));
                    rest = next;
                } else if let Some(quote @ ('\'' | '"')) = inner.chars().next() {
                    let (field, next) = inner.get(1..)?.split_once(quote)?;
                    steps.push(Step::Field(field.into()));
                    rest = next.strip_prefix(']')?;
                } else {
                    let (index, next) = inner.split_once(']')?;
                    steps.push(if index == "*" { Step::All } else { Step::Index(index.parse().ok()?) });
                    rest = next;
                }
            }
        }
        Some(JsonPath(steps))
    }

    /// Every value that the path leads to.
    pub(crate) fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![root];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| step.take(value)).collect();
        }
        found
    }
}

impl Step {
    fn take<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let children = || match value {
            Value::Array(entries) => entries.iter().collect(),
            Value::Object(map) => map.values().collect(),
            _ => Vec::new(),
        };
        match self {
            Step::Field(field) => value.get(field).into_iter().collect(),
            Step::Index(index) => {
                let entries = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let from_end = || entries.len().checked_sub(index.unsigned_abs() as usize);
                let at = if *index < 0 { from_end() } else { usize::try_from(*index).ok() };
                at.and_then(|at| entries.get(at)).into_iter().collect()
            }
            Step::All => children(),
            Step::Where(path, wanted) => children()
                .into_iter()
                .filter(|entry| path.find(entry).iter().any(|value| value.as_str() == Some(wanted)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_of_printer_columns() {
        let object = json!({
            "metadata": {"labels": {"a.b/c": "x"}},
            "status": {"conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]},
            "spec": {"list": [{"name": "one"}, {"name": "two"}]},
        });
        for (path, expected) in [
            (".metadata.labels['a.b/c']", json!(["x"])),
            (".status.conditions[?(@.type==\"Ready\")].status", json!(["True"])),
            (".spec.list[*].name", json!(["one", "two"])),
            (".spec.list[1].name", json!(["two"])),
            (".spec.list[-1].name", json!(["two"])),
            ("{.spec.list[0]['name']}", json!(["one"])),
            (".spec.absent.deeper", json!([])),
        ] {
            assert_eq!(json!(JsonPath::parse(path).unwrap().find(&object)), expected, "{path}");
        }
        for broken in ["spec", ".a[", ".a[x]", ".a..b", ".a[?(@.b)]"] {
            assert_eq!(JsonPath::parse(broken), None, "{broken}");
        }
    }
}
