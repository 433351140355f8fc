//! Addon: an installed module and what the operator lets it reach.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::function::{Capability, Limits};
use crate::{Condition, Failure};

/// An installed addon: a WebAssembly component, pinned by digest, and the capabilities it is granted. The Functions and
/// Tasks it describes are written as objects of their own, owned by this one.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "coffer.dev",
    version = "v1alpha1",
    kind = "Addon",
    status = "AddonStatus",
    category = "coffer",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Functions", type_ = "string", json_path = ".status.functions"),
    printcolumn(name = "Tasks", type_ = "string", json_path = ".status.tasks"),
    printcolumn(name = "Digest", type_ = "string", json_path = ".spec.module.digest", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct AddonSpec {
    /// The module to run.
    pub module: AddonModule,
    /// The capabilities granted. What is not granted is not linked into the component.
    #[serde(default)]
    pub grants: Vec<Capability>,
    /// Limits for every operation of this addon, over the host's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// Which module an addon is.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddonModule {
    /// Content digest of the component's bytes: `sha256:` and 64 hex digits.
    #[schemars(extend("format" = "sha256-digest", "pattern" = "^sha256:[0-9a-f]{64}$"))]
    pub digest: String,
}

/// What became of an addon.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddonStatus {
    /// Where the installation stands.
    #[serde(default)]
    pub phase: AddonPhase,
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The name the component gives itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The version the component gives itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The contract the component was built for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
    /// The capabilities that the component imports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requested: Vec<String>,
    /// The capabilities that the component imports and the grants lack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The Functions it brought.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
    /// The Tasks it brought.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<String>,
    /// Why the installation failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Condition `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Where an installation stands.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum AddonPhase {
    /// Not looked at yet.
    #[default]
    Pending,
    /// Compiled, linked and described; its Functions can be used.
    Ready,
    /// It cannot be used; `error` says why.
    Failed,
}
