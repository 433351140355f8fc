//! What an addon says about itself: the JSON that a component's `describe` returns.
//!
//! The guest SDK writes it and the host reads it, so the shape stands in a crate of its own that knows neither.
//! Unknown fields are ignored on reading: an addon built against a later minor version of the contract still installs.

use serde::{Deserialize, Serialize};

/// The contract that this crate's shapes belong to, as `package@version` of the WIT.
pub const CONTRACT: &str = "coffer:addon@0.1.0";

/// The label of an artifact whose contents stand in another one too, by that one's name: it is for other tools, and what the
/// sink restores comes from the other.
pub const COPY_OF: &str = "copyOf";

/// One addon: its identity, the Functions it exports and the Tasks it ships.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub name: String,
    pub version: semver::Version,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The WIT package the component was built against; see [`CONTRACT`].
    pub contract: String,
    pub functions: Vec<Function>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Task>,
}

/// A filter over named streams: what `run` accepts as its first argument.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Function {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    pub role: Role,
    /// JSON Schema (2020-12) of an object; every definition is inlined, unknown fields are denied.
    pub parameters: serde_json::Value,
    /// What the function needs at run time. The host links no more than what was granted.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// The applications it works on. Empty: it needs none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serves: Vec<Serves>,
    /// Names of artifacts that a sink must be handed before all others, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<String>,
}

/// Which ends of a pipeline a function has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Reads the application, writes artifacts.
    Source,
    /// Reads artifacts, writes artifacts.
    Transform,
    /// Reads artifacts, writes the application.
    Sink,
    /// Touches the application only: wait, quiesce, verify.
    Action,
}

/// An interface of the contract that has to be granted. Logging, progress and sleep are always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Capability {
    Application,
    Http,
    Inbox,
    Outbox,
}

/// An application type and the versions of it a function handles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Serves {
    /// The AppBinding's type, e.g. `postgresql`.
    pub application: String,
    /// Version requirement, e.g. `>=9.6, <19`. Outside of it the function refuses to run.
    pub versions: String,
    /// The part of `versions` that was tested, as requirements of which one has to be met: `["15", "17"]`. The rest gives a
    /// warning. Empty: all that are served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tested: Vec<String>,
}

/// Steps that belong together, shipped as a Task resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    pub steps: Vec<TaskStep>,
    /// Steps that run after the others, also when one of those failed.
    #[serde(default, rename = "finally", skip_serializing_if = "Vec::is_empty")]
    pub finally: Vec<TaskStep>,
}

/// A Function with fixed parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStep {
    pub name: String,
    pub function: String,
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub params: serde_json::Map<String, serde_json::Value>,
    /// A duration such as `90s`, `5m` or `2h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

impl Task {
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Self {
        Task { name: name.into(), description: description.into(), steps: Vec::new(), finally: Vec::new() }
    }

    /// A step after those there are.
    #[must_use]
    pub fn step(mut self, step: TaskStep) -> Self {
        self.steps.push(step);
        self
    }
}

impl TaskStep {
    pub fn new(name: impl Into<String>, function: impl Into<String>) -> Self {
        TaskStep { name: name.into(), function: function.into(), params: serde_json::Map::new(), timeout: None }
    }

    /// A parameter that the Task sets.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        self.params.insert(name.into(), value.into());
        self
    }

    /// A duration such as `90s`, `5m` or `2h`.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<String>) -> Self {
        self.timeout = Some(timeout.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_camel_case_and_reads_back() {
        let json = serde_json::json!({
            "name": "postgres", "version": "0.1.0", "description": "PostgreSQL", "contract": CONTRACT,
            "functions": [{
                "name": "postgres-restore", "description": "Restores", "role": "sink",
                "parameters": {"type": "object"}, "capabilities": ["application", "inbox"],
                "serves": [{"application": "postgresql", "versions": ">=9.6, <19", "tested": ["15", "17"]}],
                "first": ["toc.dat"],
            }],
            "tasks": [{
                "name": "postgres-restore", "description": "Waits, then restores",
                "steps": [{"name": "ready", "function": "postgres-wait-ready", "params": {"timeout": 60}, "timeout": "5m"}],
                "finally": [{"name": "after", "function": "postgres-wait-ready"}],
            }],
        });
        let descriptor: Descriptor = serde_json::from_value(json.clone()).expect("valid");
        assert_eq!(descriptor.functions[0].role, Role::Sink);
        assert_eq!(serde_json::to_value(&descriptor).expect("serializable"), json);
    }

    #[test]
    fn a_field_of_a_later_contract_is_ignored() {
        let json = r#"{"name":"x","version":"1.0.0","contract":"coffer:addon@0.1.9","functions":[],"signature":"…"}"#;
        assert!(serde_json::from_str::<Descriptor>(json).is_ok());
    }

    #[test]
    fn a_version_that_is_none_is_refused() {
        assert!(
            serde_json::from_str::<Descriptor>(r#"{"name":"x","version":"one","contract":"c","functions":[]}"#)
                .is_err()
        );
    }
}
