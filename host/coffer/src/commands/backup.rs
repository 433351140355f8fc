//! `coffer backup`: makes a BackupSession and follows it.

use crate::connect::Connection;
use crate::failure::{Failure, OrFail, Result};
use crate::output::{Printer, bytes, duration, rate};
use crate::session::{self, SessionArgs, span};
use clap::Args;
use coffer_api::refs::LocalRef;
use coffer_api::{BackupConfiguration, BackupSession, BackupSessionSpec, BackupSessionStatus, labels};
use kube::{Api, ResourceExt};
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

    #[command(flatten)]
    run: SessionArgs,
}

pub async fn run(connection: &Connection, args: BackupArgs, printer: Printer) -> Result<()> {
    let namespace = connection.namespace(&args.run.namespace);
    let configuration = configuration(connection, &namespace, &args.configuration).await?;
    let session = choose_session(&configuration, args.session.as_deref())?;
    let stem = format!("{}-{session}", configuration.name_any());
    let labels = session_labels(&configuration.name_any(), &session);
    let spec = BackupSessionSpec { configuration: LocalRef::new(configuration.name_any()), session: Some(session) };
    let mut object = BackupSession::new("", spec);
    object.metadata.labels = Some(labels);
    session::run(connection, &args.run, object, &stem, printer, summary).await
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

fn summary(status: &BackupSessionStatus, printer: Printer) {
    let took = span(&status.run);
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
