//! `coffer backup`: makes a BackupSession and follows it.

use crate::cli::{Format, NamespaceArgs, OutputArgs};
use crate::connect::Connection;
use crate::failure::{Failure, OrFail, Result};
use crate::follow::follow;
use crate::output::progress::Run;
use crate::output::{Printer, bytes, duration, rate};
use clap::Args;
use coffer_api::condition::types;
use coffer_api::refs::LocalRef;
use coffer_api::{
    BackupConfiguration, BackupSession, BackupSessionSpec, BackupSessionStatus, Condition, FailureClass, SessionPhase,
    Time, labels,
};
use jiff::{SignedDuration, Timestamp};
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

const EXAMPLES: &str = "\
Examples:
  coffer backup shop -n demo
  coffer backup shop -n demo --session full --no-wait";

/// Run a session of a BackupConfiguration now and follow it
///
/// Ends when the session has ended: 0 when it succeeded. Interrupting this command does not interrupt the session.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BackupArgs {
    /// The BackupConfiguration
    configuration: String,

    /// Which of its sessions [default: its only one]
    #[arg(long, value_name = "NAME")]
    session: Option<String>,

    /// Return as soon as the session exists
    #[arg(long)]
    no_wait: bool,

    #[command(flatten)]
    namespace: NamespaceArgs,

    #[command(flatten)]
    output: OutputArgs,
}

pub async fn run(connection: &Connection, args: BackupArgs, printer: Printer) -> Result<()> {
    let namespace = connection.namespace(&args.namespace);
    let configuration = configuration(connection, &namespace, &args.configuration).await?;
    let session = choose_session(&configuration, args.session.as_deref())?;
    let mut object = BackupSession::new(
        "",
        BackupSessionSpec { configuration: LocalRef::new(configuration.name_any()), session: Some(session.clone()) },
    );
    object.metadata.labels = Some(session_labels(&configuration.name_any(), &session));
    let api: Api<BackupSession> = Api::namespaced(connection.client.clone(), &namespace);
    let stem = format!("{}-{}", configuration.name_any(), object.spec.session.as_deref().unwrap_or_default());
    let name = create(&api, object, &stem, "BackupSession").await?;
    printer.note(format_args!("backupsession/{name} created"));
    if args.no_wait {
        printer.line(&name);
        return Ok(());
    }
    let ended = follow(api, "backupsession", &name, printer, |session| view(session.status.as_ref())).await?;
    let status = ended.status.clone().unwrap_or_default();
    if status.phase == SessionPhase::Failed {
        return Err(failure("backup", &name, &namespace, "backupsession", status.error.as_ref()));
    }
    if args.output.output != Format::Table {
        return printer.value(args.output.output, &status);
    }
    summary(&status, printer);
    Ok(())
}

/// A label has 63 characters at most; a longer name is in the spec alone.
fn session_labels(configuration: &str, session: &str) -> BTreeMap<String, String> {
    let all = [(labels::CONFIGURATION, configuration), (labels::SESSION, session)];
    all.into_iter()
        .filter(|(_, value)| value.len() <= 63)
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

pub async fn configuration(connection: &Connection, namespace: &str, name: &str) -> Result<BackupConfiguration> {
    let api: Api<BackupConfiguration> = Api::namespaced(connection.client.clone(), namespace);
    let found = api.get_opt(name).await.or_fail(|| format!("unable to read BackupConfiguration {name}"))?;
    found.ok_or_else(|| {
        Failure::new(format_args!("there is no BackupConfiguration {name} in namespace {namespace}"))
            .hint("`coffer get backupconfigurations -A` lists them; -n names another namespace")
    })
}

/// The session asked for, or the only one.
pub fn choose_session(configuration: &BackupConfiguration, asked: Option<&str>) -> Result<String> {
    let sessions: Vec<&str> = configuration.spec.sessions.iter().map(|session| session.name.as_str()).collect();
    let name = configuration.name_any();
    match (asked, sessions.as_slice()) {
        (Some(asked), _) if sessions.contains(&asked) => Ok(asked.to_owned()),
        (Some(asked), _) => Err(Failure::new(format_args!("BackupConfiguration {name} has no session {asked}"))
            .hint(format_args!("its sessions: {}", sessions.join(", ")))),
        (None, [only]) => Ok((*only).to_owned()),
        (None, _) => {
            let sessions = sessions.join(", ");
            Err(Failure::new(format_args!("BackupConfiguration {name} has several sessions: {sessions}"))
                .hint("choose one by --session"))
        }
    }
}

/// Makes `object` under a name that sorts by time and says what it is; returns the name.
pub async fn create<K>(api: &Api<K>, mut object: K, stem: &str, kind: &str) -> Result<String>
where
    K: kube::Resource + Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    // Names have 253 characters at most.
    let stem: String = stem.chars().take(220).collect();
    let stem = format!("{stem}-{}", Timestamp::now().strftime("%Y%m%d-%H%M%S"));
    let mut name = stem.clone();
    for number in 2.. {
        object.meta_mut().name = Some(name.clone());
        match api.create(&PostParams::default(), &object).await {
            Ok(_) => break,
            // The second one of this second.
            Err(kube::Error::Api(status)) if status.is_already_exists() => name = format!("{stem}-{number}"),
            Err(error) => return Err(Failure::api(format_args!("unable to make {kind} {name}"), &error)),
        }
    }
    Ok(name)
}

fn view(status: Option<&BackupSessionStatus>) -> Run<'_> {
    match status {
        None => Run { phase: SessionPhase::Pending, steps: &[], warnings: &[], waiting: None },
        Some(status) => Run {
            phase: status.phase,
            steps: &status.steps,
            warnings: &status.warnings,
            waiting: waiting(status.phase, &status.conditions),
        },
    }
}

/// What a session that has not started says it waits for.
pub fn waiting(phase: SessionPhase, conditions: &[Condition]) -> Option<&str> {
    let said = conditions.iter().find(|condition| condition.type_ == types::COMPLETE && !condition.message.is_empty());
    said.filter(|_| phase == SessionPhase::Pending).map(|condition| condition.message.as_str())
}

pub fn span(started: Option<&Time>, finished: Option<&Time>) -> SignedDuration {
    match (started, finished) {
        (Some(started), Some(finished)) => finished.0.duration_since(started.0),
        _ => SignedDuration::ZERO,
    }
}

/// A session's own account of its failure, as the command's.
pub fn failure(what: &str, name: &str, namespace: &str, kind: &str, error: Option<&coffer_api::Failure>) -> Failure {
    let failure = Failure::new(format_args!("the {what} {namespace}/{name} failed"));
    match error {
        Some(error) => {
            let failure = failure.cause(&error.message);
            match &error.hint {
                Some(hint) => failure.hint(hint),
                // Nothing is left to look at, and nothing is to be done.
                None if error.class == FailureClass::Cancelled => failure,
                None => failure.hint(format_args!("`coffer describe {kind} {name} -n {namespace}` shows every step")),
            }
        }
        None => failure,
    }
}

fn summary(status: &BackupSessionStatus, printer: Printer) {
    let took = span(status.started_at.as_ref(), status.finished_at.as_ref());
    let rows = status.snapshots.iter().map(|snapshot| {
        vec![
            snapshot.repository.clone(),
            snapshot.id.chars().take(8).collect(),
            snapshot.files.to_string(),
            bytes(snapshot.size),
            bytes(snapshot.uploaded),
            duration(took),
            rate(snapshot.size, took),
        ]
    });
    printer.table(&["repository", "snapshot", "files", "size", "stored", "time", "rate"], rows);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_that_is_no_label_is_left_out() {
        let long = "a".repeat(64);
        assert_eq!(session_labels(&long, "full").into_keys().collect::<Vec<_>>(), [labels::SESSION]);
        assert_eq!(session_labels("shop", "full").len(), 2);
    }

    #[test]
    fn a_session_must_be_chosen_among_several() {
        let one = json!({"name": "full", "task": {"name": "t"}, "repositories": [{"name": "r"}]});
        let mut other = one.clone();
        other["name"] = json!("schema");
        let configuration = |sessions: serde_json::Value| -> BackupConfiguration {
            serde_json::from_value(json!({
                "apiVersion": "coffer.dev/v1alpha1", "kind": "BackupConfiguration", "metadata": {"name": "shop"},
                "spec": {"target": {"name": "shop"}, "sessions": sessions},
            }))
            .unwrap()
        };
        let single = configuration(json!([one]));
        assert_eq!(choose_session(&single, None).unwrap(), "full");
        assert!(choose_session(&single, Some("none")).unwrap_err().hint.unwrap().contains("full"));
        let double = configuration(json!([one, other]));
        assert!(choose_session(&double, None).unwrap_err().error.contains("full, schema"));
        assert_eq!(choose_session(&double, Some("schema")).unwrap(), "schema");
    }
}
