//! OpenAPI v3, as far as kubectl reads it: `explain` walks the schemas, `apply` looks whether a kind's PATCH takes
//! `fieldValidation` and otherwise refuses to validate on the server.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::object::{as_map, entry_map};
use crate::resource::{Resource, Resources};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

fn path_of(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// `/openapi/v3`: where the document of each group and version is.
pub(crate) fn index(resources: &Resources) -> Value {
    let paths: Map<String, Value> = resources
        .group_versions()
        .into_iter()
        .map(|(group, version)| {
            let path = path_of(group, version);
            // Clients cache by this URL, across builds.
            let content = document(resources, group, version).unwrap_or_default().to_string();
            let url = format!("/openapi/v3/{path}?hash={}", hex::encode(Sha256::digest(content)));
            (path, json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

/// `/openapi/v3/apis/{group}/{version}`.
pub(crate) fn document(resources: &Resources, group: &str, version: &str) -> Option<Value> {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    schemas.insert(OBJECT_META.into(), object_meta());
    for resource in resources.in_group(group, version) {
        let name = schema_name(resource);
        schemas.insert(name.clone(), schema(resource));
        add_paths(&mut paths, resource, &name);
    }
    (!paths.is_empty()).then(|| {
        json!({
            "openapi": "3.0.0", "info": {"title": "Coffer", "version": env!("CARGO_PKG_VERSION")},
            "paths": paths, "components": {"schemas": schemas},
        })
    })
}

fn schema_name(resource: &Resource) -> String {
    match resource.group.as_str() {
        "" => format!("io.k8s.api.core.{}.{}", resource.version, resource.kind),
        group => {
            let reversed: Vec<&str> = group.rsplit('.').collect();
            format!("{}.{}.{}", reversed.join("."), resource.version, resource.kind)
        }
    }
}

fn gvk(resource: &Resource) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": resource.kind})
}

fn schema(resource: &Resource) -> Value {
    let mut schema = resource.schema.clone();
    let fields = as_map(&mut schema);
    let properties = entry_map(fields, "properties");
    let text = |description: &str| json!({"type": "string", "description": description});
    properties.insert("apiVersion".into(), text("Group and version of the kind."));
    properties.insert("kind".into(), text("What this object is."));
    properties.insert(
        "metadata".into(),
        json!({"allOf": [{"$ref": format!("#/components/schemas/{OBJECT_META}")}],
            "description": "Name, namespace, labels and what else every object has.", "default": {}}),
    );
    fields.insert("x-kubernetes-group-version-kind".into(), json!([gvk(resource)]));
    schema
}

fn object_meta() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let texts = |description: &str| json!({"type": "object", "additionalProperties": {"type": "string"}, "description": description});
    json!({"type": "object", "description": "What every object has.", "properties": {
        "name": text("Unique among the kind's objects in the namespace."),
        "generateName": text("Beginning of a name that the server completes, when name is not given."),
        "namespace": text("The namespace the object is in."),
        "labels": texts("What objects are selected by."),
        "annotations": texts("Notes of tools."),
        "finalizers": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set",
            "description": "Who must act before the object is gone."},
        "ownerReferences": {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["uid"], "description": "With the last of these the object is deleted."},
        "uid": text("Unique among all objects there ever were."),
        "resourceVersion": text("Changes with every write."),
        "generation": {"type": "integer", "format": "int64", "description": "Counts changes of what is wanted."},
        "creationTimestamp": text("When the object was made."),
        "deletionTimestamp": text("When its deletion was asked for."),
        "managedFields": {"type": "array", "items": {"type": "object"}, "description": "Who owns which field."},
    }})
}

fn add_paths(paths: &mut Map<String, Value>, resource: &Resource, name: &str) {
    let root = path_of(&resource.group, &resource.version);
    let collection = match resource.namespaced {
        true => format!("/{root}/namespaces/{{namespace}}/{}", resource.plural),
        false => format!("/{root}/{}", resource.plural),
    };
    let answer = json!({"200": {"description": "OK", "content": {"application/json": {
        "schema": {"$ref": format!("#/components/schemas/{name}")},
    }}}});
    let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
    let operation = |action: &str| {
        let mut operation = json!({
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk(resource), "responses": answer,
        });
        if !matches!(action, "get" | "list" | "delete") {
            let parameters = json!([parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation")]);
            as_map(&mut operation).insert("parameters".into(), parameters);
        }
        operation
    };
    if resource.namespaced {
        paths.insert(format!("/{root}/{}", resource.plural), json!({"get": operation("list")}));
    }
    paths.insert(format!("{collection}/{{name}}"), json!({
        "get": operation("get"), "put": operation("put"), "patch": operation("patch"), "delete": operation("delete"),
    }));
    paths.insert(collection, json!({"get": operation("list"), "post": operation("post")}));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_schema_has_another_url() {
        let kinds = coffer_api::kinds();
        let mut changed = kinds.to_vec();
        let binding = changed.iter_mut().find(|kind| kind.kind == "AppBinding").unwrap();
        binding.schema["description"] = json!("Another description.");
        let [before, after] = [kinds, &changed].map(|kinds| index(&Resources::new(kinds)));
        assert_ne!(before["paths"]["apis/coffer.dev/v1alpha1"], after["paths"]["apis/coffer.dev/v1alpha1"]);
        assert_eq!(before["paths"]["api/v1"], after["paths"]["api/v1"]);
    }
}
