//! Every kind that a Coffer control plane serves, with its names, scope and schema.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition,
};
use kube::CustomResourceExt;
use serde_json::{Value, json};

use crate::kinds::{
    Addon, AppBinding, BackupConfiguration, BackupSession, BackupStorage, Function, Repository, RestoreSession,
    Snapshot, Task,
};

/// One kind.
#[derive(Clone, Debug)]
pub struct Kind {
    /// API group; empty for Kubernetes' core.
    pub group: String,
    /// API version.
    pub version: String,
    /// The kind as manifests write it.
    pub kind: String,
    /// Its plural in URLs.
    pub plural: String,
    /// Its singular on a command line.
    pub singular: String,
    /// Its short names on a command line.
    pub short_names: Vec<String>,
    /// The categories it belongs to, such as `coffer`.
    pub categories: Vec<String>,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
    /// Whether it has a status subresource.
    pub has_status: bool,
    /// The columns of its table, without the name.
    pub columns: Vec<CustomResourceColumnDefinition>,
    /// Structural schema (OpenAPI v3) of its objects, without `apiVersion`, `kind` and `metadata`.
    pub schema: Value,
}

impl Kind {
    /// Group and version as they stand in a manifest.
    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Whether a command line that says `name` means this kind.
    pub fn is_called(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        name == self.plural || name == self.singular || self.short_names.contains(&name)
    }
}

/// Every kind that the embedded control plane serves: Coffer's own, and of Kubernetes' core those that manifests need.
pub fn kinds() -> &'static [Kind] {
    static KINDS: LazyLock<Vec<Kind>> =
        LazyLock::new(|| core().into_iter().chain(crds().into_iter().filter_map(from_crd)).collect());
    &KINDS
}

/// The kind of that name.
pub fn find(api_version: &str, kind: &str) -> Option<&'static Kind> {
    kinds().iter().find(|known| known.kind == kind && known.api_version() == api_version)
}

/// The definitions of Coffer's own kinds, for a cluster and for `deploy/`.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![
        Addon::crd(),
        AppBinding::crd(),
        BackupConfiguration::crd(),
        BackupSession::crd(),
        BackupStorage::crd(),
        Function::crd(),
        Repository::crd(),
        RestoreSession::crd(),
        Snapshot::crd(),
        Task::crd(),
    ]
}

fn from_crd(crd: CustomResourceDefinition) -> Option<Kind> {
    let names = crd.spec.names;
    let version = crd.spec.versions.into_iter().find(|version| version.storage)?;
    Some(Kind {
        group: crd.spec.group,
        version: version.name,
        kind: names.kind,
        plural: names.plural,
        singular: names.singular.unwrap_or_default(),
        short_names: names.short_names.unwrap_or_default(),
        categories: names.categories.unwrap_or_default(),
        namespaced: crd.spec.scope == "Namespaced",
        has_status: version.subresources.is_some_and(|subresources| subresources.status.is_some()),
        columns: version.additional_printer_columns.unwrap_or_default(),
        schema: serde_json::to_value(version.schema?.open_api_v3_schema?).ok()?,
    })
}

fn core() -> [Kind; 2] {
    let age = column("Age", "date", ".metadata.creationTimestamp");
    let strings = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let core = |kind: &str, plural: &str, short_name: &str, namespaced, has_status, columns, schema| Kind {
        group: String::new(),
        version: "v1".to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short_names: (!short_name.is_empty()).then(|| short_name.to_owned()).into_iter().collect(),
        categories: Vec::new(),
        namespaced,
        has_status,
        columns,
        schema,
    };
    [
        core(
            "Namespace",
            "namespaces",
            "ns",
            false,
            true,
            vec![column("Status", "string", ".status.phase"), age.clone()],
            json!({"type": "object", "properties": {
                "spec": {"type": "object", "properties": {
                    "finalizers": {"type": "array", "items": {"type": "string"}},
                }},
                "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            }}),
        ),
        core(
            "Secret",
            "secrets",
            "",
            true,
            false,
            vec![column("Type", "string", ".type"), age],
            json!({"type": "object", "properties": {
                "type": {"type": "string", "default": "Opaque"},
                "data": {"type": "object", "additionalProperties": {"type": "string", "format": "byte"}},
                "stringData": strings,
                "immutable": {"type": "boolean"},
            }}),
        ),
    ]
}

fn column(name: &str, type_: &str, json_path: &str) -> CustomResourceColumnDefinition {
    CustomResourceColumnDefinition {
        name: name.to_owned(),
        type_: type_.to_owned(),
        json_path: json_path.to_owned(),
        ..CustomResourceColumnDefinition::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_is_listed_once_and_its_names_do_not_collide() {
        let mut names = BTreeSet::new();
        for kind in kinds() {
            assert!(names.insert(kind.plural.clone()), "{}", kind.plural);
            assert!(names.insert(kind.singular.clone()), "{}", kind.singular);
            for short in &kind.short_names {
                assert!(names.insert(short.clone()), "{short}");
            }
            assert!(kind.schema.get("properties").is_some(), "{} has a schema", kind.kind);
        }
        assert_eq!(kinds().len(), 12);
        assert!(find("coffer.dev/v1alpha1", "BackupSession").is_some_and(|kind| kind.has_status && kind.namespaced));
        assert!(find("coffer.dev/v1alpha1", "Addon").is_some_and(|kind| !kind.namespaced));
        assert!(find("v1", "Secret").is_some_and(|kind| kind.is_called("secrets") && !kind.has_status));
    }

    /// A keyword that validation does not know would be a rule that only a cluster enforces.
    #[test]
    fn schemas_use_only_what_validation_enforces() {
        const KNOWN: [&str; 16] = [
            "additionalProperties",
            "default",
            "description",
            "enum",
            "format",
            "items",
            "maxLength",
            "maximum",
            "minItems",
            "minLength",
            "minimum",
            "nullable",
            "pattern",
            "properties",
            "required",
            "type",
        ];
        fn walk(schema: &Value, path: &str) {
            let Some(object) = schema.as_object() else { return };
            for (keyword, value) in object {
                match keyword.as_str() {
                    "properties" => {
                        for (name, property) in value.as_object().unwrap() {
                            assert!(property.get("type").is_some(), "{path}.{name} has no type: {property}");
                            walk(property, &format!("{path}.{name}"));
                        }
                    }
                    "items" | "additionalProperties" => walk(value, &format!("{path}[]")),
                    // Its format says the same and is what validation parses.
                    "pattern" => assert!(object.contains_key("format"), "{path}"),
                    "title" if !path.contains('.') => {}
                    "x-kubernetes-preserve-unknown-fields" => {}
                    "x-kubernetes-validations" => {
                        for validation in value.as_array().unwrap() {
                            assert_eq!(validation["rule"], crate::validate::transition::IMMUTABLE, "{path}");
                        }
                    }
                    keyword => assert!(KNOWN.contains(&keyword), "{path}: {keyword}"),
                }
            }
        }
        for kind in kinds() {
            walk(&kind.schema, &kind.kind);
        }
    }

    #[test]
    fn every_field_is_documented() {
        fn walk(schema: &Value, path: &str) {
            for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let path = format!("{path}.{name}");
                assert!(property.get("description").is_some() || name == "spec" || name == "status", "{path}");
                walk(property, &path);
                walk(property.get("items").unwrap_or(&Value::Null), &path);
            }
        }
        for kind in kinds().iter().filter(|kind| !kind.group.is_empty()) {
            walk(&kind.schema, &kind.kind);
        }
    }
}
