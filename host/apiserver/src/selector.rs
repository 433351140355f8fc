//! Label and field selectors, in the syntax of the API's `labelSelector` and `fieldSelector`.

use serde_json::Value;

use crate::resource::Resource;
use crate::status::{Result, Status};

/// Which objects a list or a watch is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<Label>,
    fields: Vec<Field>,
}

#[derive(Clone, Debug, PartialEq)]
struct Label {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    In(Vec<String>),
    /// Holds for objects without the label too.
    NotIn(Vec<String>),
    Exists,
    Absent,
}

#[derive(Clone, Debug)]
struct Field {
    /// JSON pointer.
    pointer: String,
    value: String,
    equal: bool,
}

impl Selector {
    pub(crate) fn parse(resource: &Resource, labels: Option<&str>, fields: Option<&str>) -> Result<Selector> {
        Ok(Selector {
            labels: split(labels.unwrap_or_default()).map(label).collect::<Result<_>>()?,
            fields: split(fields.unwrap_or_default()).map(|term| field(resource, term)).collect::<Result<_>>()?,
        })
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        self.labels.iter().all(|label| {
            let value = labels.and_then(|labels| labels.get(&label.key)).and_then(Value::as_str);
            match &label.test {
                Test::In(values) => value.is_some_and(|value| values.iter().any(|allowed| allowed == value)),
                Test::NotIn(values) => value.is_none_or(|value| values.iter().all(|refused| refused != value)),
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
            }
        }) && self.fields.iter().all(|field| {
            let value = object.pointer(&field.pointer).and_then(Value::as_str).unwrap_or_default();
            (value == field.value) == field.equal
        })
    }
}

/// Splits at the commas that are not inside parentheses.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0usize;
    text.split(move |letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|term| !term.is_empty())
}

fn label(term: &str) -> Result<Label> {
    let make = |key: &str, test| {
        let key = key.trim();
        let valid =
            !key.is_empty() && key.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./".contains(letter));
        if valid { Ok(Label { key: key.into(), test }) } else { Err(refuse(term)) }
    };
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some(key) = term.strip_prefix('!') {
        return make(key, Test::Absent);
    }
    if let Some((key, value)) = term.split_once("!=") {
        return make(key, Test::NotIn(one(value)));
    }
    if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return make(key, Test::In(one(value)));
    }
    if let Some((head, values)) = term.split_once('(') {
        let values = values.strip_suffix(')').ok_or_else(|| refuse(term))?;
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        let mut words = head.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(key), Some("in"), None) => make(key, Test::In(values)),
            (Some(key), Some("notin"), None) => make(key, Test::NotIn(values)),
            _ => Err(refuse(term)),
        };
    }
    make(term, Test::Exists)
}

fn refuse(term: &str) -> Status {
    Status::bad_request(format!(
        "unable to parse the label selector {term:?}: expected key=value, key!=value, key in (a,b), key notin (a,b), key or !key"
    ))
}

fn field(resource: &Resource, term: &str) -> Result<Field> {
    let (path, value, equal) = match term.split_once("!=") {
        Some((path, value)) => (path, value, false),
        None => match term.split_once("==").or_else(|| term.split_once('=')) {
            Some((path, value)) => (path, value, true),
            None => {
                return Err(Status::bad_request(format!(
                    "unable to parse the field selector {term:?}: expected field=value"
                )));
            }
        },
    };
    let path = path.trim();
    let known = matches!(
        (path, resource.kind.as_str()),
        ("metadata.name" | "metadata.namespace", _) | ("type", "Secret") | ("status.phase", "Namespace")
    );
    if !known {
        return Err(Status::bad_request(format!(
            "field label not supported: {path} ({} can be selected by metadata.name and metadata.namespace)",
            resource.qualified()
        )));
    }
    Ok(Field { pointer: format!("/{}", path.replace('.', "/")), value: value.trim().into(), equal })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secret() -> Resource {
        Resource::new(coffer_api::catalog::find("v1", "Secret").unwrap().clone())
    }

    #[test]
    fn label_selectors() {
        let object = json!({"metadata": {"labels": {"app": "shop", "tier": "db"}}});
        let matches = |selector| Selector::parse(&secret(), Some(selector), None).unwrap().matches(&object);
        for good in
            ["app=shop", "app==shop,tier=db", "app in (a, shop)", "tier notin (web)", "app", "!gone", "gone!=x", ""]
        {
            assert!(matches(good), "{good}");
        }
        for bad in ["app=x", "app!=shop", "app notin (shop)", "gone", "!app", "app in (a,b),tier=db"] {
            assert!(!matches(bad), "{bad}");
        }
        for broken in ["app in shop", "app in (shop", "a b", "=x", "app near (x)"] {
            assert!(Selector::parse(&secret(), Some(broken), None).is_err(), "{broken}");
        }
    }

    #[test]
    fn field_selectors() {
        let object = json!({"metadata": {"name": "a"}, "type": "Opaque"});
        let matches = |selector| Selector::parse(&secret(), None, Some(selector)).unwrap().matches(&object);
        assert!(matches("metadata.name=a,type!=other"));
        assert!(!matches("metadata.name!=a"));
        assert!(Selector::parse(&secret(), None, Some("data.password=x")).is_err());
    }
}
