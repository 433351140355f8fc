//! What a Task will do, decided before anything runs.

mod bind;
mod check;
mod resolve;
pub mod variables;
mod version;

use std::collections::{BTreeMap, BTreeSet};

use coffer_api::{
    Capability, Cause, Duration, Failure, FailureClass, FunctionSpec, Limits, Parameters, Retry, Role, TaskSpec,
};
use serde::Serialize;
use serde_json::{Map, Value};

pub use resolve::plan;
pub use variables::Variables;

/// Everything a plan is made from. All of it is plain data.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The Task's name.
    pub task: &'a str,
    /// The Task.
    pub spec: &'a TaskSpec,
    /// The Functions by name: at least those that the Task names, as far as they exist.
    pub functions: &'a BTreeMap<String, FunctionSpec>,
    /// What each Addon was granted, by the Addon's name.
    pub grants: &'a BTreeMap<String, BTreeSet<Capability>>,
    /// The application that the Task works on.
    pub target: &'a Target,
    /// Of a copy: the application that it is made of.
    pub source: Option<Source<'a>>,
    /// Where the data comes from or goes to.
    pub ends: Ends,
    /// `AppBinding.spec.parameters` of the target.
    pub app_parameters: &'a Parameters,
    /// `task.params` of the BackupConfiguration's session or of the RestoreSession.
    pub session_parameters: &'a Parameters,
    /// Implicit variables beyond those of the target, such as [`variables::REPOSITORY_NAME`].
    pub variables: &'a Variables,
    /// How long all steps together may take.
    pub timeout: Option<Duration>,
    /// How often a step is tried again, unless it says so itself.
    pub retry: Option<Retry>,
}

/// The application that a Task works on.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Kind of the object that stands for it.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The application's type: `postgresql`.
    pub application: String,
    /// The application's version, when it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The application that a copy is made of: the Task's source works on it, and takes its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The application.
    pub target: &'a Target,
    /// `AppBinding.spec.parameters` of it.
    pub app_parameters: &'a Parameters,
}

/// What a run has at its ends besides the application.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum Ends {
    /// Repositories that get what the Task reads.
    Repositories,
    /// A snapshot that the Task writes to the application.
    Snapshot,
    /// A second application, from which the Task reads.
    Application,
    /// Nothing: the Task only acts.
    Nothing,
}

/// A checked Task with all its parameters bound.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The Task's name.
    pub task: String,
    /// The application.
    pub target: Target,
    /// What runs, in order.
    pub stages: Vec<Stage>,
    /// What runs at the end, however the stages ended.
    pub finally: Vec<Step>,
    /// How long the stages together may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// What an operator should know before it runs.
    pub warnings: Vec<String>,
}

/// A part of a plan that begins when everything before it has ended well.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// One step alone.
    Action(Step),
    /// Steps side by side.
    Stream(Stream),
}

/// Steps that run side by side, each reading what the one before it writes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stream {
    /// Where the first artifacts come from.
    pub from: End,
    /// The steps; never empty.
    pub steps: Vec<Step>,
    /// Where the last artifacts go to.
    pub into: End,
    /// How often the whole stream is started anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

/// One end of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum End {
    /// The session's repositories.
    Repositories,
    /// The chosen snapshot.
    Snapshot,
    /// The application, by the step that stands there.
    Application,
    /// The second application, by the step that stands there.
    SecondApplication,
}

/// One step, ready to run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Its name in the Task.
    pub name: String,
    /// The Function.
    pub function: String,
    /// The Addon that has it.
    pub addon: String,
    /// The name the component knows the Function by.
    pub entry: String,
    /// What it reads and writes.
    pub role: Role,
    /// Its parameters, each with the layer that gave it.
    pub parameters: BTreeMap<String, Bound>,
    /// Of a sink: the artifacts it needs first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<String>,
    /// How long it may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How often it is tried again when it runs alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// What it may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// A parameter's value and where it came from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bound {
    /// The value, with variables expanded.
    pub value: Value,
    /// The layer that gave it.
    pub from: Layer,
}

/// The layers that give parameters; a later one wins.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Layer {
    /// The default in the Function's schema.
    Function,
    /// The step in the Task.
    Task,
    /// `AppBinding.spec.parameters`.
    AppBinding,
    /// The session: `task.params` of a BackupConfiguration or a RestoreSession.
    Session,
}

impl Layer {
    /// For messages and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Function => "Function",
            Self::Task => "Task",
            Self::AppBinding => "AppBinding",
            Self::Session => "session",
        }
    }
}

impl Step {
    /// The parameters as the component gets them.
    pub fn arguments(&self) -> Value {
        let arguments: Map<_, _> =
            self.parameters.iter().map(|(name, bound)| (name.clone(), bound.value.clone())).collect();
        Value::Object(arguments)
    }
}

impl Plan {
    /// All steps in the order of their statuses: the stages', then `finally`'s.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.stages
            .iter()
            .flat_map(|stage| match stage {
                Stage::Action(step) => std::slice::from_ref(step),
                Stage::Stream(stream) => stream.steps.as_slice(),
            })
            .chain(&self.finally)
    }

    /// The Functions it needs.
    pub fn functions(&self) -> BTreeSet<&str> {
        self.steps().map(|step| step.function.as_str()).collect()
    }
}

/// Why a Task cannot run as asked: everything that is wrong, at once.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct PlanError {
    /// The Task's name.
    pub task: String,
    /// What is wrong; never empty.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong with a plan.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// What kind of mistake it is.
    pub class: FailureClass,
    /// Where and what, with the remedy.
    pub cause: Cause,
}

impl std::fmt::Display for PlanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "task {} cannot run", self.task)?;
        match self.problems.as_slice() {
            [problem] => write!(f, ": {}", problem.cause),
            problems => problems.iter().try_for_each(|problem| write!(f, "\n  {}", problem.cause)),
        }
    }
}

impl PlanError {
    /// As status shows it.
    pub fn failure(&self) -> Failure {
        let class = self.problems.first().map_or(FailureClass::Invalid, |problem| problem.class);
        let failure = Failure::new(class, self.to_string());
        match self.problems.as_slice() {
            // The hint stands alone only when there is one mistake; otherwise each stands beside its own.
            [Problem { cause: Cause { field, message, hint: Some(hint) }, .. }] => {
                Failure::new(class, format!("task {} cannot run: {field}: {message}", self.task)).hint(hint)
            }
            _ if class == FailureClass::InvalidParameter => {
                failure.hint("each Function's parameters stand in `coffer get function NAME -o yaml`")
            }
            _ => failure,
        }
    }
}

#[cfg(test)]
mod tests;
