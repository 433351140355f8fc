//! `coffer plan`: the resolved pipeline, without running it.

use super::backup::{choose_session, configuration};
use crate::cli::{Format, NamespaceArgs, OutputArgs};
use crate::connect::Connection;
use crate::failure::{Failure, Result};
use crate::output::Printer;
use clap::Args;
use coffer_controller::planning;
use coffer_pipeline::Plan;
use coffer_pipeline::plan::{Stage, Step};

/// Show what a backup would run, without running it
///
/// The steps in their order, every parameter with its value and where it came from, and what an operator should know.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The BackupConfiguration
    configuration: String,

    /// Which of its sessions [default: its only one]
    #[arg(long, value_name = "NAME")]
    session: Option<String>,

    #[command(flatten)]
    namespace: NamespaceArgs,

    #[command(flatten)]
    output: OutputArgs,
}

pub async fn run(connection: &Connection, args: PlanArgs, printer: Printer) -> Result<()> {
    let namespace = connection.namespace(&args.namespace);
    let configuration = configuration(connection, &namespace, &args.configuration).await?;
    let name = choose_session(&configuration, args.session.as_deref())?;
    let Some(session) = configuration.spec.session(&name) else {
        return Err(Failure::new(format_args!("there is no session {name}")));
    };
    let planned = planning::backup(&connection.client, &configuration, session, None).await.map_err(|error| {
        let cause = error.into_failure();
        let what = format!("session {name} of BackupConfiguration {namespace}/{} cannot run", args.configuration);
        let mut failure = Failure::new(what).cause(&cause.message);
        failure.hint = cause.hint;
        failure
    })?;
    if args.output.output != Format::Table {
        return printer.value(args.output.output, &planned.plan);
    }
    print(&planned.plan, printer);
    let repositories = session.repositories.iter().map(|repository| repository.name.as_str());
    printer.line(format_args!("Stored in: {}", repositories.collect::<Vec<_>>().join(", ")));
    for warning in &planned.plan.warnings {
        printer.warning(warning);
    }
    Ok(())
}

fn print(plan: &Plan, printer: Printer) {
    let target = &plan.target;
    printer.line(format_args!("Task:      {}", plan.task));
    printer.line(format_args!(
        "Target:    {} {}/{} ({} {})",
        target.kind,
        target.namespace,
        target.name,
        target.application,
        target.version.as_deref().unwrap_or("of whatever version")
    ));
    if let Some(timeout) = plan.timeout {
        printer.line(format_args!("Timeout:   {timeout}"));
    }
    printer.line("");
    printer.heading("Steps");
    let mut rows = Vec::new();
    for (index, stage) in plan.stages.iter().enumerate() {
        let steps = match stage {
            Stage::Action(step) => std::slice::from_ref(step),
            Stage::Stream(stream) => stream.steps.as_slice(),
        };
        rows.extend(steps.iter().map(|step| row(&(index + 1).to_string(), step)));
    }
    rows.extend(plan.finally.iter().map(|step| row("finally", step)));
    printer.table(&["stage", "step", "function", "role", "addon", "timeout"], rows);
    printer.line("");
    printer.heading("Parameters");
    let parameters = plan.steps().flat_map(|step| {
        step.parameters.iter().map(|(name, bound)| {
            vec![step.name.clone(), name.clone(), bound.value.to_string(), bound.from.as_str().to_owned()]
        })
    });
    printer.table(&["step", "parameter", "value", "from"], parameters);
    printer.line("");
}

fn row(stage: &str, step: &Step) -> Vec<String> {
    vec![
        stage.to_owned(),
        step.name.clone(),
        step.function.clone(),
        step.role.to_string(),
        step.addon.clone(),
        step.timeout.map(|timeout| timeout.to_string()).unwrap_or_default(),
    ]
}
