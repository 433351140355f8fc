//! References from one object to another.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// An object's name as Kubernetes has it: a DNS-1123 subdomain.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Name(pub String);

impl Name {
    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        Self(name)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for Name {
    fn schema_name() -> Cow<'static, str> {
        "Name".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "k8s-long-name", "minLength": 1, "maxLength": 253 })
    }
}

/// An object of a known kind in the namespace of the object that refers to it.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalRef {
    /// The object's name.
    pub name: Name,
}

impl LocalRef {
    /// A reference to the object of that name.
    pub fn new(name: impl Into<Name>) -> Self {
        Self { name: name.into() }
    }
}

/// An object of a known kind, possibly in another namespace (which its usage policy must allow).
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// The object's name.
    pub name: Name,
    /// The object's namespace. Default: the namespace of the object that refers to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Name>,
}

impl ObjectRef {
    /// A reference to the object of that name in the same namespace.
    pub fn new(name: impl Into<Name>) -> Self {
        Self { name: name.into(), namespace: None }
    }

    /// The namespace meant, seen from an object in `own`.
    pub fn namespace_or<'a>(&'a self, own: &'a str) -> &'a str {
        self.namespace.as_ref().map_or(own, Name::as_str)
    }
}

/// What is backed up or restored: an object in the same namespace that says how to reach the application.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// The object's kind.
    #[serde(default)]
    pub kind: TargetKind,
    /// The object's name.
    pub name: Name,
}

/// The kinds that can be a target.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum TargetKind {
    /// An application reached over the network.
    #[default]
    AppBinding,
}

impl TargetKind {
    /// The kind as manifests write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AppBinding => "AppBinding",
        }
    }
}
