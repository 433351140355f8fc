//! The patches that say what to change: JSON patch, merge patch, and strategic merge patch for Kubernetes' own kinds.
//! (Server-side apply, which says what to own, is [`crate::apply`].)

use json_patch::PatchOperation;
use serde_json::{Map, Value, json};

use crate::registry::Target;
use crate::status::{Cause, Result, Status};

/// More operations than any client sends; Kubernetes has the same limit.
const MAX_OPERATIONS: usize = 10_000;
/// Copies of copies double an object with each operation; Kubernetes has this limit too.
const MAX_COPIED: usize = 3 << 20;

/// A patch by its media type.
#[derive(Clone, Debug)]
pub(crate) enum Patch {
    /// RFC 6902.
    Json(Value),
    /// RFC 7386.
    Merge(Value),
    Strategic(Value),
    Apply(Value),
}

/// The media types of [`Patch`].
pub(crate) const MEDIA_TYPES: &str = "application/json-patch+json, application/merge-patch+json, \
     application/apply-patch+yaml, application/strategic-merge-patch+json (Kubernetes' own kinds only)";

impl Patch {
    pub(crate) fn new(target: &Target, media_type: &str, body: Value) -> Result<Patch> {
        Ok(match media_type {
            "application/json-patch+json" => Patch::Json(body),
            "application/merge-patch+json" => Patch::Merge(object(body)?),
            "application/strategic-merge-patch+json" if target.resource.is_core() => Patch::Strategic(object(body)?),
            "application/apply-patch+yaml" | "application/apply-patch+json" => Patch::Apply(object(body)?),
            other => return Err(Status::unsupported_media_type(other, MEDIA_TYPES)),
        })
    }
}

fn object(body: Value) -> Result<Value> {
    if body.is_object() { Ok(body) } else { Err(Status::bad_request("the patch is not a JSON object")) }
}

/// The object as patched.
pub(crate) fn patched(target: &Target, before: &Value, patch: &Patch) -> Result<Value> {
    let mut after = before.clone();
    match patch {
        Patch::Json(operations) => {
            if operations.as_array().is_some_and(|operations| operations.len() > MAX_OPERATIONS) {
                return Err(Status::bad_request(format!("the JSON patch has more than {MAX_OPERATIONS} operations")));
            }
            let operations: json_patch::Patch = serde_json::from_value(operations.clone())
                .map_err(|error| Status::bad_request(format!("unable to parse the JSON patch: {error}")))?;
            let mut copied = 0;
            for operation in &operations.0 {
                if is_absent(&after, operation) {
                    continue;
                }
                if let PatchOperation::Copy(copy) = operation {
                    let source = after.pointer(copy.from.as_str());
                    copied += source.map_or(0, |source| source.to_string().len());
                    if copied > MAX_COPIED {
                        return Err(Status::too_large("what the patch copies", MAX_COPIED));
                    }
                }
                json_patch::patch(&mut after, std::slice::from_ref(operation)).map_err(|error| {
                    let cause = Cause {
                        reason: "FieldValueInvalid",
                        // The operation itself may hold a secret.
                        message: format!("the JSON patch does not apply at {}: {}", operation.path(), error.kind),
                        field: "patch".into(),
                    };
                    Status::invalid(&target.resource, &target.name, vec![cause])
                })?;
            }
        }
        Patch::Merge(patch) | Patch::Apply(patch) => json_patch::merge(&mut after, patch),
        Patch::Strategic(patch) => strategic(&mut after, patch, ""),
    }
    Ok(after)
}

/// Whether this tests for null what is not there. Kubernetes' JSON patches let that pass, and kube's finalizers need it.
fn is_absent(object: &Value, operation: &PatchOperation) -> bool {
    matches!(operation, PatchOperation::Test(test)
        if test.value.is_null() && object.pointer(test.path.as_str()).is_none())
}

/// Strategic merge for the kinds served here, whose only lists that merge by entry are in metadata: `finalizers` (a
/// set) and `ownerReferences` (by uid). Any other list is replaced as a whole.
/// Directives: k8s.io/apimachinery `pkg/util/strategicpatch`.
fn strategic(live: &mut Value, patch: &Value, field: &str) {
    let Value::Object(changes) = patch else {
        *live = patch.clone();
        return;
    };
    if changes.get("$patch") == Some(&json!("replace")) || !live.is_object() {
        *live = json!({});
    }
    let live = crate::object::as_map(live);
    if let Some(kept) = changes.get("$retainKeys").and_then(Value::as_array) {
        live.retain(|key, _| kept.iter().any(|kept| kept.as_str() == Some(key)));
    }
    for (key, change) in changes {
        if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = change.as_array().map(Vec::as_slice).unwrap_or_default();
            if let Some(Value::Array(entries)) = live.get_mut(list) {
                entries.retain(|entry| !gone.contains(entry));
            }
        } else if key.starts_with('$') {
            // $setElementOrder and kin: order means nothing in the lists that merge here.
        } else if change.is_null() || change.get("$patch") == Some(&json!("delete")) {
            live.remove(key);
        } else if let (true, "finalizers" | "ownerReferences", Value::Array(changes)) =
            (field == "metadata", key.as_str(), change)
        {
            merge_entries(live, key, changes);
        } else {
            strategic(live.entry(key.clone()).or_insert(Value::Null), change, key);
        }
    }
}

fn merge_entries(live: &mut Map<String, Value>, list: &str, changes: &[Value]) {
    let entries = live.entry(list).or_insert_with(|| json!([]));
    let Value::Array(entries) = entries else { return };
    for change in changes {
        if change.get("$patch") == Some(&json!("replace")) {
            entries.clear();
            continue;
        }
        let same = |entry: &Value| match change.get("uid") {
            Some(uid) => entry.get("uid") == Some(uid),
            None => entry == change,
        };
        if change.get("$patch") == Some(&json!("delete")) {
            entries.retain(|entry| !same(entry));
        } else if let Some(entry) = entries.iter_mut().find(|entry| same(entry)) {
            strategic(entry, change, list);
        } else {
            entries.push(change.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(live: &Value, operations: Value) -> Result<Value> {
        let secret = coffer_api::catalog::find("v1", "Secret").unwrap().clone();
        let resource = std::sync::Arc::new(crate::resource::Resource::new(secret));
        let target = Target { resource, namespace: "default".into(), name: "x".into() };
        patched(&target, live, &Patch::Json(operations))
    }

    #[test]
    fn json_patches_cannot_blow_up() {
        let copies: Vec<Value> =
            (0..40).map(|number| json!({"op": "copy", "from": "", "path": format!("/c{number}")})).collect();
        assert_eq!(apply(&json!({"a": "x".repeat(100)}), json!(copies)).unwrap_err().code, 413);
    }

    #[test]
    fn a_refused_json_patch_repeats_no_value() {
        let operations = json!([{"op": "test", "path": "/data/password", "value": "geheim"}]);
        let status = apply(&json!({"data": {"password": "other"}}), operations).unwrap_err().to_json().to_string();
        assert!(status.contains("/data/password") && !status.contains("geheim"), "{status}");
    }

    #[test]
    fn a_test_for_null_passes_where_nothing_is() {
        let operations = json!([
            {"op": "test", "path": "/metadata/finalizers", "value": null},
            {"op": "add", "path": "/metadata/finalizers", "value": ["f"]},
        ]);
        let patched = apply(&json!({"metadata": {}}), operations).unwrap();
        assert_eq!(patched, json!({"metadata": {"finalizers": ["f"]}}));
    }

    #[test]
    fn strategic_merges_what_kubernetes_merges() {
        let mut live = json!({
            "metadata": {"finalizers": ["a", "b"], "labels": {"x": "1", "y": "2"}, "ownerReferences": [{"uid": "1", "name": "o"}]},
            "data": {"user": "cm9vdA==", "gone": "eA=="},
        });
        let patch = json!({
            "metadata": {
                "$setElementOrder/finalizers": ["a", "c"],
                "$deleteFromPrimitiveList/finalizers": ["b"],
                "finalizers": ["c"],
                "labels": {"x": null},
                "ownerReferences": [{"uid": "1", "$patch": "delete"}, {"uid": "2", "name": "p"}],
            },
            "data": {"gone": null, "new": "eQ=="},
        });
        strategic(&mut live, &patch, "");
        assert_eq!(
            live,
            json!({
                "metadata": {"finalizers": ["a", "c"], "labels": {"y": "2"}, "ownerReferences": [{"uid": "2", "name": "p"}]},
                "data": {"user": "cm9vdA==", "new": "eQ=="},
            })
        );
    }
}
