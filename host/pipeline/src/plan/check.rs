//! What a plan must keep to: the order of roles, grants, applications served.

use std::collections::{BTreeMap, BTreeSet};

use coffer_api::{Capability, Cause, FailureClass, FunctionSpec, Role};

use super::{End, Ends, Problem, Stage, Step, Stream, Target, version};

/// Everything the Function uses was granted to its Addon.
pub(super) fn granted(
    path: &str,
    step: &Step,
    function: &FunctionSpec,
    grants: &BTreeMap<String, BTreeSet<Capability>>,
    problems: &mut Vec<Problem>,
) {
    let Some(granted) = grants.get(&step.addon) else {
        problems.push(problem(
            FailureClass::NotFound,
            Cause::new(
                path,
                format!("Function {} needs the Addon {}, which is not installed", step.function, step.addon),
            )
            .hint(format!("coffer addon install {}", step.addon)),
        ));
        return;
    };
    let missing: Vec<_> =
        function.capabilities.iter().filter(|needed| !granted.contains(needed)).map(|needed| needed.as_str()).collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        problems.push(problem(
            FailureClass::Denied,
            Cause::new(
                path,
                format!("Function {} needs {missing}, which the Addon {} is not granted", step.function, step.addon),
            )
            .hint(format!("add {missing} to spec.grants of the Addon {}", step.addon)),
        ));
    }
}

/// The Function serves the application in its version.
pub(super) fn served(
    path: &str,
    step: &Step,
    function: &FunctionSpec,
    target: &Target,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) {
    if function.serves.is_empty() {
        return;
    }
    let Some(serves) = function.serves.iter().find(|serves| serves.application == target.application) else {
        let known: Vec<_> = function.serves.iter().map(|serves| serves.application.as_str()).collect();
        problems.push(problem(
            FailureClass::Unsupported,
            Cause::new(path, format!("Function {} does not serve {}", step.function, describe(target)))
                .hint(format!("it serves {}: choose another Task, or another target", known.join(", "))),
        ));
        return;
    };
    // An unknown version is the addon's to look at: it asks the application.
    let Some(found) = target.version.as_deref().and_then(version::lenient) else { return };
    if !version::meets(&found, &serves.versions) {
        problems.push(problem(
            FailureClass::Unsupported,
            Cause::new(path, format!("Function {} does not serve {}", step.function, describe(target)))
                .hint(format!("it serves {} {}", serves.application, serves.versions)),
        ));
    } else if !serves.tested.is_empty() && !serves.tested.iter().any(|tested| version::meets(&found, tested)) {
        let tested = serves.tested.join(" or ");
        warnings.push(format!("{} was tested with {} {tested}, not with {found}", step.function, serves.application));
    }
}

fn describe(target: &Target) -> String {
    let version = target.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
    format!("{}{version}, the application of {} {}", target.application, target.kind, target.name)
}

/// Groups steps into stages and refuses roles out of place.
pub(super) fn stages(steps: Vec<Step>, ends: Ends, problems: &mut Vec<Problem>) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    let mut streams = 0_usize;
    for step in steps {
        match (step.role, stages.last_mut()) {
            (Role::Action, _) => stages.push(Stage::Action(step)),
            (_, Some(Stage::Stream(stream))) => stream.steps.push(step),
            (_, _) => {
                streams += 1;
                if streams == 2 {
                    let field = format!("steps.{}", step.name);
                    problems.push(problem(
                        FailureClass::Invalid,
                        Cause::new(field, "begins a second stream")
                            .hint("put sources, transforms and sinks side by side, with no action between them"),
                    ));
                }
                let (from, into) = outer(ends);
                stages.push(Stage::Stream(Stream { from, steps: vec![step], into, retry: None }));
            }
        }
    }
    for stage in &stages {
        if let Stage::Stream(stream) = stage {
            check_stream(stream, ends, problems);
        }
    }
    if streams == 0 && ends != Ends::Nothing {
        let message = match ends {
            Ends::Repositories => "it has no source, so there is nothing to store",
            _ => "it has no sink, so nothing would be restored",
        };
        problems.push(problem(FailureClass::Invalid, Cause::new("steps", message).hint("choose another Task")));
    }
    stages
}

fn outer(ends: Ends) -> (End, End) {
    match ends {
        Ends::Repositories | Ends::Nothing => (End::Application, End::Repositories),
        Ends::Snapshot => (End::Snapshot, End::Application),
        Ends::Application => (End::SecondApplication, End::Application),
    }
}

/// `source transform*` into repositories, `transform* sink` from a snapshot, `source transform* sink` as a copy.
fn check_stream(stream: &Stream, ends: Ends, problems: &mut Vec<Problem>) {
    let last = stream.steps.len().saturating_sub(1);
    let mut refuse = |step: &Step, message: &str, hint: &str| {
        problems.push(problem(
            FailureClass::Invalid,
            Cause::new(format!("steps.{}", step.name), format!("is a {} {message}", step.role)).hint(hint),
        ));
    };
    for (index, step) in stream.steps.iter().enumerate() {
        match step.role {
            Role::Source if index > 0 => {
                refuse(step, "behind another step of its stream", "a stream begins with its source")
            }
            Role::Sink if index < last => {
                refuse(step, "before another step of its stream", "a stream ends with its sink")
            }
            _ => {}
        }
    }
    let (Some(first), Some(end)) = (stream.steps.first(), stream.steps.last()) else { return };
    let from_source = first.role == Role::Source;
    let into_sink = end.role == Role::Sink;
    match ends {
        Ends::Repositories if into_sink => {
            refuse(end, "and a backup ends in repositories", "use the Task for a restore, or one without a sink");
        }
        Ends::Repositories if !from_source => {
            refuse(first, "and a backup begins with a source", "use a Task that begins with a source")
        }
        Ends::Snapshot if from_source => {
            refuse(first, "and a restore begins with a snapshot", "use the Task for a backup, or one without a source");
        }
        Ends::Snapshot if !into_sink => refuse(end, "and a restore ends in a sink", "use a Task that ends in a sink"),
        Ends::Application if !from_source => {
            refuse(first, "and a copy begins with a source", "use a Task that begins with a source")
        }
        Ends::Application if !into_sink => refuse(end, "and a copy ends in a sink", "use a Task that ends in a sink"),
        Ends::Nothing => refuse(first, "and there is nothing to read from or to write to", "use a Task of actions"),
        _ => {}
    }
}

/// `finally` runs whatever happened, so nothing may stream there.
pub(super) fn finally(steps: &[Step], problems: &mut Vec<Problem>) {
    for step in steps.iter().filter(|step| step.role != Role::Action) {
        problems.push(problem(
            FailureClass::Invalid,
            Cause::new(format!("finally.{}", step.name), format!("is a {}", step.role))
                .hint("only actions can stand there"),
        ));
    }
}

fn problem(class: FailureClass, cause: Cause) -> Problem {
    Problem { class, cause }
}
