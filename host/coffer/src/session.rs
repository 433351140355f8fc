//! A session from its making to its end: what `coffer backup` and `coffer restore` share.

use crate::cli::{Format, NamespaceArgs, OutputArgs};
use crate::connect::Connection;
use crate::failure::{Failure, Result};
use crate::follow::follow;
use crate::output::Printer;
use clap::Args;
use coffer_api::{
    BackupSession, BackupSessionStatus, FailureClass, RestoreSession, RestoreSessionStatus, RunStatus, SessionPhase,
};
use jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::PostParams;
use kube::core::NamespaceResourceScope;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// What both commands understand.
#[derive(Debug, Args)]
pub struct SessionArgs {
    /// Return as soon as the session exists
    #[arg(long)]
    no_wait: bool,

    #[command(flatten)]
    pub namespace: NamespaceArgs,

    #[command(flatten)]
    output: OutputArgs,
}

/// A kind of session.
pub trait Session:
    kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + 'static
{
    type Status: Clone + Default + Serialize;

    /// What it does, in messages.
    fn what(&self) -> &'static str;

    fn status(&self) -> Option<&Self::Status>;

    fn run(status: &Self::Status) -> &RunStatus;

    /// The kind as commands take it.
    fn called() -> String {
        Self::kind(&()).to_lowercase()
    }
}

impl Session for BackupSession {
    type Status = BackupSessionStatus;

    fn what(&self) -> &'static str {
        "backup"
    }

    fn status(&self) -> Option<&BackupSessionStatus> {
        self.status.as_ref()
    }

    fn run(status: &BackupSessionStatus) -> &RunStatus {
        &status.run
    }
}

impl Session for RestoreSession {
    type Status = RestoreSessionStatus;

    fn what(&self) -> &'static str {
        if self.spec.data_source.application.is_some() { "copy" } else { "restore" }
    }

    fn status(&self) -> Option<&RestoreSessionStatus> {
        self.status.as_ref()
    }

    fn run(status: &RestoreSessionStatus) -> &RunStatus {
        &status.run
    }
}

/// Makes `session` under a name that begins with `stem`, follows it to its end, and prints how it ended: a person gets what
/// `summary` prints.
///
/// # Errors
/// Also when the session failed.
pub async fn run<S: Session>(
    connection: &Connection,
    args: &SessionArgs,
    session: S,
    stem: &str,
    printer: Printer,
    summary: impl FnOnce(&S::Status, Printer),
) -> Result<()> {
    let namespace = connection.namespace(&args.namespace);
    let name = create(&Api::namespaced(connection.client.clone(), &namespace), session, stem).await?;
    printer.note(format_args!("{}/{name} created", S::called()));
    if args.no_wait {
        printer.line(&name);
        return Ok(());
    }
    let ended: S = follow(connection, &namespace, &name, printer).await?;
    let status = ended.status().cloned().unwrap_or_default();
    let run = S::run(&status);
    let is_for_people = args.output.output == Format::Table;
    // Whoever reads it by a program wants to know of each step, above all when one failed.
    if !is_for_people {
        printer.value(args.output.output, &status)?;
    }
    if run.phase == SessionPhase::Failed {
        return Err(failure(&ended, &name, &namespace, run.error.as_ref()));
    }
    if is_for_people {
        summary(&status, printer);
    }
    Ok(())
}

/// Makes `session` under a name that sorts by time and says what it is; returns the name.
async fn create<S: Session>(api: &Api<S>, mut session: S, stem: &str) -> Result<String> {
    // Names have 253 characters at most.
    let stem: String = stem.chars().take(220).collect();
    let stem = format!("{stem}-{}", Timestamp::now().strftime("%Y%m%d-%H%M%S"));
    let mut name = stem.clone();
    for number in 2.. {
        session.meta_mut().name = Some(name.clone());
        match api.create(&PostParams::default(), &session).await {
            Ok(_) => break,
            // The second one of this second.
            Err(kube::Error::Api(status)) if status.is_already_exists() => name = format!("{stem}-{number}"),
            Err(error) => return Err(Failure::api(format_args!("unable to make {} {name}", S::kind(&())), &error)),
        }
    }
    Ok(name)
}

/// How long it ran.
pub fn span(run: &RunStatus) -> SignedDuration {
    match (&run.started_at, &run.finished_at) {
        (Some(started), Some(finished)) => finished.0.duration_since(started.0),
        _ => SignedDuration::ZERO,
    }
}

/// A session's own account of its failure, as the command's.
fn failure<S: Session>(session: &S, name: &str, namespace: &str, error: Option<&coffer_api::Failure>) -> Failure {
    let failure = Failure::new(format_args!("the {} {namespace}/{name} failed", session.what()));
    match error {
        Some(error) => {
            let failure = failure.cause(&error.message);
            match &error.hint {
                Some(hint) => failure.hint(hint),
                // Nothing is left to look at, and nothing is to be done.
                None if error.class == FailureClass::Cancelled => failure,
                None => failure
                    .hint(format_args!("`coffer describe {} {name} -n {namespace}` shows every step", S::called())),
            }
        }
        None => failure,
    }
}
