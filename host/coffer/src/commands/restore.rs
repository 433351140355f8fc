//! `coffer restore`: makes a RestoreSession and follows it.

use super::backup::{choose_session, configuration};
use crate::connect::Connection;
use crate::failure::{Failure, Result};
use crate::output::progress::elapsed;
use crate::output::{Printer, bytes, duration, rate};
use crate::resource;
use crate::session::{self, SessionArgs, span};
use clap::Args;
use coffer_api::refs::{ObjectRef, TargetRef};
use coffer_api::{DataSource, Duration, Parameters, RestoreSession, RestoreSessionSpec, RestoreSessionStatus, TaskUse};
use jiff::Timestamp;
use serde_json::{Map, Value};

const EXAMPLES: &str = "\
Examples:
  coffer restore -n demo --config shop --target copy --task postgres-restore
  coffer restore -n demo --repository shop-repo --snapshot 1a2b3c4d --target copy --task postgres-restore
  coffer restore -n demo --repository shop-repo --of shop --target copy --task postgres-restore
  coffer restore -n demo --config shop --target shop --task postgres-restore --param clean=true";

/// Restore a snapshot into an application and follow it
///
/// Ends when the session has ended: 0 when it succeeded. Interrupting this command does not interrupt the session.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RestoreArgs {
    /// Take the repository and the latest snapshot of this BackupConfiguration's target
    #[arg(long, value_name = "NAME", required_unless_present = "repository")]
    config: Option<String>,

    /// Which of the configuration's sessions names the repository [default: its only one]
    #[arg(long, value_name = "NAME", requires = "config")]
    session: Option<String>,

    /// The Repository that holds the snapshot
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,

    /// The snapshot's id, at least its first eight digits, or `latest`
    #[arg(long, default_value = "latest", value_name = "ID")]
    snapshot: String,

    /// With `latest`: the target whose snapshots count [default: with --config, its target; else the only one there is]
    #[arg(long, value_name = "NAME")]
    of: Option<String>,

    /// The AppBinding to restore into [default: with --config, its target]
    #[arg(long, value_name = "NAME", required_unless_present = "config")]
    target: Option<String>,

    /// The Task to run
    #[arg(long, value_name = "NAME")]
    task: String,

    #[command(flatten)]
    params: ParamArgs,

    /// How long the restore may take
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Duration>,

    #[command(flatten)]
    run: SessionArgs,
}

/// Parameters of a Task.
#[derive(Clone, Debug, Args)]
pub struct ParamArgs {
    /// A parameter; the value is read as YAML: true, 4, text; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    params: Vec<(String, Value)>,
}

impl ParamArgs {
    /// A Task with these parameters.
    pub(super) fn task(&self, name: &str) -> TaskUse {
        TaskUse { name: name.into(), params: Parameters(Map::from_iter(self.params.clone())) }
    }
}

fn parameter(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    let value = serde_saphyr::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}

pub async fn run(connection: &Connection, args: RestoreArgs, printer: Printer) -> Result<()> {
    let namespace = connection.namespace(&args.run.namespace);
    let spec = spec(connection, &namespace, &args).await?;
    let named = [
        ("repository", args.repository.as_deref()),
        ("appbinding", args.target.as_deref()),
        ("task", Some(args.task.as_str())),
    ];
    for (kind, name) in named {
        if let Some(name) = name {
            resource::must_exist(&connection.client, kind, name, &namespace).await?;
        }
    }
    let stem = spec.target.name.to_string();
    session::run(connection, &args.run, RestoreSession::new("", spec), &stem, printer, summary).await
}

async fn spec(connection: &Connection, namespace: &str, args: &RestoreArgs) -> Result<RestoreSessionSpec> {
    let (repository, of, target) = match &args.config {
        Some(config) => {
            let configuration = configuration(connection, namespace, config).await?;
            let session = choose_session(&configuration, args.session.as_deref())?;
            let repositories = configuration.spec.session(&session).map(|session| session.repositories.clone());
            let own = configuration.spec.target;
            let repository = match &args.repository {
                Some(repository) => ObjectRef::new(repository.as_str()),
                None => repositories.and_then(|all| all.into_iter().next()).ok_or_else(|| {
                    Failure::new(format_args!("session {session} of BackupConfiguration {config} names no repository"))
                })?,
            };
            (repository, Some(own.clone()), own)
        }
        None => {
            let (Some(repository), Some(target)) = (&args.repository, &args.target) else {
                return Err(Failure::new("name --config, or --repository and --target"));
            };
            (ObjectRef::new(repository.as_str()), None, target_ref(target))
        }
    };
    Ok(RestoreSessionSpec {
        target: args.target.as_deref().map_or(target, target_ref),
        data_source: DataSource {
            repository: Some(repository),
            snapshot: Some(args.snapshot.clone()),
            of: args.of.as_deref().map(target_ref).or(of),
            application: None,
        },
        task: args.params.task(&args.task),
        timeout: args.timeout,
        retry: None,
    })
}

pub(super) fn target_ref(name: &str) -> TargetRef {
    TargetRef { kind: coffer_api::refs::TargetKind::AppBinding, name: name.into() }
}

fn summary(status: &RestoreSessionStatus, printer: Printer) {
    steps(status, printer);
    let snapshot = status.snapshot.as_deref().unwrap_or_default();
    let took = duration(span(&status.run));
    printer.line(format_args!("restored snapshot {} in {took}", snapshot.get(..8).unwrap_or(snapshot)));
}

/// What each step did.
pub(super) fn steps(status: &RestoreSessionStatus, printer: Printer) {
    let now = Timestamp::now();
    let rows = status.run.steps.iter().map(|step| {
        let took = elapsed(step, now);
        vec![
            step.name.clone(),
            step.phase.as_str().to_owned(),
            step.artifacts.to_string(),
            bytes(step.bytes),
            duration(took),
            rate(step.bytes, took),
        ]
    });
    printer.table(&["step", "phase", "artifacts", "bytes", "time", "rate"], rows);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_have_types() {
        assert_eq!(parameter("clean=true").unwrap(), ("clean".into(), json!(true)));
        assert_eq!(parameter("jobs=4").unwrap(), ("jobs".into(), json!(4)));
        assert_eq!(parameter("role=a=b").unwrap(), ("role".into(), json!("a=b")));
        assert_eq!(parameter("tables=[a, b]").unwrap(), ("tables".into(), json!(["a", "b"])));
        assert!(parameter("clean").is_err());
    }
}
