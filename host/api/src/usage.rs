//! Who else may use an object: the guard on references across namespaces.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which namespaces may use an object.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsagePolicy {
    /// The namespaces.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,
}

/// A choice of namespaces.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AllowedNamespaces {
    /// How they are chosen.
    #[serde(default)]
    pub from: NamespacesFrom,
}

/// How namespaces are chosen.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum NamespacesFrom {
    /// Only the object's own namespace.
    #[default]
    Same,
    /// Every namespace.
    All,
}

impl UsagePolicy {
    /// Whether an object in `user` may use one with this policy in `owner`.
    pub fn allows(&self, owner: &str, user: &str) -> bool {
        match self.allowed_namespaces.from {
            NamespacesFrom::Same => owner == user,
            NamespacesFrom::All => true,
        }
    }
}

/// What happens to stored data when the object that stands for it is deleted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum DeletionPolicy {
    /// The data stays where it is.
    #[default]
    Retain,
}
