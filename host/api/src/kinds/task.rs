//! Task: Functions in order, which makes a pipeline of them.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run::Retry;
use crate::{Cause, Duration, Parameters, refs::Name};

/// Functions in order. Actions are barriers; adjacent sources, transforms and sinks run side by side, joined by streams.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "coffer.dev",
    version = "v1alpha1",
    kind = "Task",
    category = "coffer",
    printcolumn(name = "Steps", type_ = "string", json_path = ".spec.steps[*].name"),
    printcolumn(name = "Description", type_ = "string", json_path = ".spec.description", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct TaskSpec {
    /// One line for people.
    #[serde(default)]
    pub description: String,
    /// The steps, in order.
    #[schemars(length(min = 1))]
    pub steps: Vec<TaskStep>,
    /// Steps that run at the end, however the others ended. Actions only.
    #[serde(default)]
    pub finally: Vec<TaskStep>,
}

/// One step: a Function with its parameters.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStep {
    /// The step's name, unique in the Task.
    #[schemars(extend("format" = "k8s-short-name", "minLength" = 1, "maxLength" = 63))]
    pub name: String,
    /// The Function to run.
    pub function: Name,
    /// Parameters of the Function, over its defaults.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub params: Parameters,
    /// How long the step may take. Absent: no limit of its own, only the session's; in `finally`: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How often the step is tried again when something is unavailable. Absent: as the session says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

impl TaskSpec {
    pub(crate) fn check(&self, causes: &mut Vec<Cause>) {
        let steps = self.steps.iter().enumerate().map(|(index, step)| (format!("spec.steps[{index}]"), step));
        let finally = self.finally.iter().enumerate().map(|(index, step)| (format!("spec.finally[{index}]"), step));
        let named = steps.chain(finally).map(|(path, step)| (format!("{path}.name"), step.name.as_str()));
        crate::validate::unique(named, "steps", causes);
    }
}
