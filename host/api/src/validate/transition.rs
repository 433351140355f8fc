//! What an update may not change. Said in the schema as a CRD says it (`x-kubernetes-validations`), so that a cluster and the
//! embedded control plane refuse the same.
//!
//! Of the Common Expression Language only the one rule is known that the schemas use; a test of the catalog sees to it that
//! they use no other.

use serde_json::Value;

use super::{Cause, structural};

/// The rule of a field that never changes: <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#transition-rules>.
pub(crate) const IMMUTABLE: &str = "self == oldSelf";

/// Compares what stands at `path` before and after an update.
pub(super) fn check(schema: &Value, before: &Value, after: &Value, path: &str, causes: &mut Vec<Cause>) {
    if before == after {
        return;
    }
    let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
    for rule in rules.filter(|rule| rule.get("rule").is_some_and(|rule| rule == IMMUTABLE)) {
        // A default that a later version has brought is no change.
        let mut before = before.clone();
        structural::check(schema, &mut before, path, &mut Vec::new());
        let message = rule.get("message").and_then(Value::as_str).unwrap_or("cannot be changed");
        causes.extend(differing(&before, after, path).map(|field| Cause::new(field, message)));
    }
    for (field, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        // Transition rules hold only where both are: what is new has nothing it could differ from.
        if let (Some(before), Some(after)) = (before.get(field), after.get(field)) {
            check(schema, before, after, &below(path, field), causes);
        }
    }
}

/// The fields of an object in which two versions of it differ; of anything else, itself.
fn differing(before: &Value, after: &Value, path: &str) -> impl Iterator<Item = String> {
    let mut fields = Vec::new();
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
            fields.extend(names.filter(|name| before.get(*name) != after.get(*name)).map(|name| below(path, name)));
        }
        _ if before != after => fields.push(path.to_owned()),
        _ => {}
    }
    fields.into_iter()
}

fn below(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changes(before: Value, after: Value) -> Vec<String> {
        let schema = json!({"properties": {
            "spec": {
                "properties": {"a": {"type": "string"}, "b": {"type": "string", "default": "x"}},
                "x-kubernetes-validations": [{"rule": IMMUTABLE, "message": "never"}],
            },
            "free": {"type": "string"},
        }});
        let mut causes = Vec::new();
        check(&schema, &before, &after, "", &mut causes);
        causes.into_iter().map(|cause| cause.to_string()).collect()
    }

    #[test]
    fn what_is_immutable_is_compared_field_by_field() {
        let before = json!({"spec": {"a": "1"}, "free": "1"});
        assert_eq!(changes(before.clone(), json!({"spec": {"a": "1"}, "free": "2"})), [""; 0]);
        assert_eq!(changes(before.clone(), json!({"spec": {"a": "1", "b": "x"}})), [""; 0], "its default");
        assert_eq!(changes(before.clone(), json!({"spec": {"a": "2", "b": "x"}})), ["spec.a: never"]);
        assert_eq!(changes(before, json!({"spec": {"a": "1", "b": "y"}})), ["spec.b: never"]);
    }
}
