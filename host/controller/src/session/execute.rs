//! From a plan to a run: opens what the plan names, runs it in the pipeline, and passes on what it tells.

use super::lifecycle::Told;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::planning::Planned;
use crate::{object, resolve};
use coffer_api::{Failure, FailureClass, Role};
use coffer_pipeline::{Controls, Data, Inputs, Log, LogLine, Outcome, Status};
use coffer_runtime::{Level, Limits};
use kube::ResourceExt;
use std::collections::{BTreeMap, HashMap};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Runs `planned` for the session that messages call `session`. `extra` makes the session's own part of the status.
pub(crate) async fn execute<E>(
    context: &Context,
    planned: &Planned,
    data: Data,
    session: String,
    tell: &watch::Sender<Told<E>>,
    cancel: CancellationToken,
    extra: impl Fn(&Status, &mut E),
) -> Result<Outcome> {
    let inputs = Inputs {
        components: components(context, planned).await?,
        // Last of all: what Secrets say now is what counts.
        application: Some(resolve::application::resolve(&context.client, &planned.binding).await?),
        data,
        session: session.clone(),
        limits: Limits::default(),
    };
    let (status, mut watch) = Status::of(&planned.plan);
    let controls = Controls { status, log: Log::new(move |line| log(&session, &line)), cancel };
    let pass_on = |status: &Status| {
        tell.send_modify(|told| {
            told.steps.clone_from(&status.steps);
            told.warnings.clone_from(&status.warnings);
            extra(status, &mut told.extra);
        });
    };
    let run = coffer_pipeline::run(&planned.plan, inputs, controls);
    let mut run = std::pin::pin!(run);
    pass_on(&watch.borrow_and_update().clone());
    let result = loop {
        tokio::select! {
            result = &mut run => break result,
            Ok(()) = watch.changed() => pass_on(&watch.borrow_and_update().clone()),
        }
    };
    pass_on(&watch.borrow().clone());
    result.map_err(|error| Error::Refused(named(error.failure(), &error, planned)))
}

/// The pipeline's hint about the application or its Secret, with the names of the objects that it speaks of.
fn named(mut failure: Failure, error: &coffer_pipeline::Error, planned: &Planned) -> Failure {
    let coffer_pipeline::Error::Step { step: name, .. } = error else { return failure };
    let reads = planned.plan.steps().any(|step| step.name == *name && step.role == Role::Source);
    let binding = planned.source.as_ref().filter(|_| reads).unwrap_or(&planned.binding);
    let label = object::label(binding);
    let names = match (failure.class, &binding.spec.secret) {
        (FailureClass::Denied, Some(secret)) => {
            format!("{label} names Secret {}/{}", binding.namespace().unwrap_or_default(), secret.name)
        }
        (FailureClass::Denied, None) => format!("{label} names none: give it one in spec.secret"),
        (FailureClass::Unavailable, _) => label,
        _ => return failure,
    };
    failure.hint = failure.hint.map(|hint| format!("{hint} ({names})"));
    failure
}

/// The components by Function, each addon linked once.
async fn components(context: &Context, planned: &Planned) -> Result<BTreeMap<String, coffer_runtime::Linked>> {
    let mut linked = HashMap::new();
    let mut components = BTreeMap::new();
    for (function, name) in &planned.functions {
        let addon = planned.addons.get(name).ok_or_else(|| {
            Error::refused(
                FailureClass::NotFound,
                format!("there is no Addon {name}, which brings Function {function}"),
            )
        })?;
        if !linked.contains_key(name) {
            linked.insert(name, context.addons.link(addon).await?);
        }
        components.extend(linked.get(name).map(|linked| (function.clone(), linked.clone())));
    }
    Ok(components)
}

fn log(session: &str, line: &LogLine) {
    let (step, message) = (line.step.as_str(), line.message.as_str());
    let fields = line.fields.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ");
    match line.level {
        Level::Error => tracing::error!(session, step, fields, "{message}"),
        Level::Warn => tracing::warn!(session, step, fields, "{message}"),
        Level::Info => tracing::info!(session, step, fields, "{message}"),
        _ => tracing::debug!(session, step, fields, "{message}"),
    }
}
