//! Function: one step of a backup or a restore, implemented by an addon.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Cause, Duration, parameters::ParameterSchema, quantity::Bytes, refs::Name};

/// One step of a backup or a restore. Written by `coffer addon install` from what the addon describes.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "coffer.dev",
    version = "v1alpha1",
    kind = "Function",
    shortname = "fn",
    category = "coffer",
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role"),
    printcolumn(name = "Addon", type_ = "string", json_path = ".spec.addon"),
    printcolumn(name = "Description", type_ = "string", json_path = ".spec.description", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct FunctionSpec {
    /// The Addon whose component implements it.
    pub addon: Name,
    /// The name the component knows it by.
    #[schemars(length(min = 1))]
    pub entry: String,
    /// What it reads and writes.
    pub role: Role,
    /// One line for people.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of its parameters: an object. Absent: it takes none.
    #[serde(default)]
    #[schemars(schema_with = "crate::schema::raw_object")]
    pub parameters: Map<String, Value>,
    /// The capabilities it uses. All of them must be granted to its Addon.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// The applications it serves. Empty: any.
    #[serde(default)]
    pub serves: Vec<Serves>,
    /// Of a sink: the artifacts it needs before all others, in this order.
    #[serde(default)]
    pub first: Vec<String>,
    /// Limits for one operation, over the host's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// What a Function reads and writes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads the application, writes artifacts.
    Source,
    /// Reads artifacts, writes artifacts.
    Transform,
    /// Reads artifacts, writes the application.
    Sink,
    /// Acts on the application and passes nothing on.
    Action,
}

impl Role {
    /// The role as manifests write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Transform => "transform",
            Self::Sink => "sink",
            Self::Action => "action",
        }
    }

    /// Whether a Function of this role reads artifacts of the step before.
    pub fn reads_artifacts(self) -> bool {
        matches!(self, Self::Transform | Self::Sink)
    }

    /// Whether a Function of this role hands artifacts to the step after.
    pub fn writes_artifacts(self) -> bool {
        matches!(self, Self::Source | Self::Transform)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An interface of the contract that is linked only when it is granted. Log, progress and sleep are always there.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    /// Connections to the bound application and its granted credentials.
    Application,
    /// Requests to the bound application over HTTP, for which the host does TLS and shows its granted credentials.
    Http,
    /// The artifacts of the step before.
    Inbox,
    /// Artifacts for the step after.
    Outbox,
}

impl Capability {
    /// The interface's name in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Http => "http",
            Self::Inbox => "inbox",
            Self::Outbox => "outbox",
        }
    }
}

impl std::fmt::Display for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An application and the versions of it that a Function serves.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Serves {
    /// The application's type, as in an AppBinding: `postgresql`.
    #[schemars(length(min = 1))]
    pub application: String,
    /// The versions served, as requirements: `>=9.6, <19`. Another version is refused.
    #[serde(default = "any_version")]
    #[schemars(extend("format" = "version-requirement"))]
    pub versions: String,
    /// The versions tested, as requirements of which one has to be met: `15`, `17`. One that is served but not tested is a
    /// warning. Absent: all that are served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("items" = serde_json::json!({"type": "string", "format": "version-requirement"})))]
    pub tested: Vec<String>,
}

fn any_version() -> String {
    "*".to_owned()
}

/// What one operation may use.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// All linear memories of the component together. Absent: 256Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// How long the component may compute between two moves of a byte, an artifact or a connection. What it computes in
    /// all is not limited. Absent: 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Duration>,
    /// How long an operation may give no sign of life: no byte moved, no connection, no progress and no log line. Raise it
    /// when a statement of the application, such as building an index, is silent for longer. Absent: 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Duration>,
}

impl FunctionSpec {
    pub(crate) fn check(&self, causes: &mut Vec<Cause>) {
        if let Err(error) = ParameterSchema::new(&self.parameters) {
            causes.push(Cause::new("spec.parameters", error.to_string()));
        }
        let needs =
            [(Capability::Inbox, self.role.reads_artifacts()), (Capability::Outbox, self.role.writes_artifacts())];
        for (capability, needed) in needs {
            if needed && !self.capabilities.contains(&capability) {
                causes.push(Cause::new("spec.capabilities", format!("a {} needs {capability}", self.role)));
            }
        }
        if !self.first.is_empty() && !self.role.reads_artifacts() {
            causes.push(Cause::new("spec.first", format!("a {} reads no artifacts", self.role)).hint("remove it"));
        }
    }
}
