//! `coffer delete`.

use crate::cli::NamespaceArgs;
use crate::connect::Connection;
use crate::failure::{Failure, Result};
use crate::output::Printer;
use crate::resource;
use clap::Args;
use kube::api::DeleteParams;
use kube::runtime::wait::{await_condition, conditions::is_deleted};
use std::time::Duration;

/// A cancelled session needs this long at most: the addon's grace, then the locks.
const PATIENCE: Duration = Duration::from_secs(60);

const EXAMPLES: &str = "\
Examples:
  coffer delete backupsession shop-full-20261121-101500 -n demo    cancel a backup
  coffer delete repository shop-repo -n demo                       forget the object, keep the data";

/// Delete objects; deleting a session cancels it
///
/// What a Repository or a BackupStorage stores stays where it is. A Snapshot object mirrors the repository and comes back
/// as long as the repository holds the snapshot.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DeleteArgs {
    /// The kind: plural, singular or short name
    kind: String,

    /// The objects
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    /// Do not wait until the object is gone
    #[arg(long)]
    no_wait: bool,

    #[command(flatten)]
    namespace: NamespaceArgs,
}

pub async fn run(connection: &Connection, args: DeleteArgs, printer: Printer) -> Result<()> {
    let kind = resource::kind(&args.kind)?;
    let namespace = connection.namespace(&args.namespace);
    let api = resource::api(&connection.client, kind, &namespace);
    for name in &args.names {
        let deleted = api.delete(name, &DeleteParams::default()).await.map_err(|error| match &error {
            kube::Error::Api(status) if status.is_not_found() => resource::not_found(kind, name, &namespace),
            error => Failure::api(format_args!("unable to delete {} {name}", kind.kind), error),
        })?;
        // Still there: a finalizer has work to do first.
        if let Some(uid) = deleted.left().and_then(|object| object.metadata.uid)
            && !args.no_wait
        {
            let gone = await_condition(api.clone(), name, is_deleted(&uid));
            match tokio::time::timeout(PATIENCE, gone).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    return Err(Failure::new(format_args!("unable to see whether {} {name} is gone", kind.kind))
                        .because(&error));
                }
                Err(_) => {
                    return Err(Failure::new(format_args!("{} {name} is being deleted, but not gone yet", kind.kind))
                        .hint(format_args!("`coffer describe {} {name}` shows what it waits for", kind.singular)));
                }
            }
        }
        printer.line(format_args!("{} deleted", resource::label(kind, name)));
        if kind.kind == "Snapshot" {
            printer.note(
                "only the object: the repository still holds the snapshot, and the object comes back with the next look at it",
            );
        }
    }
    Ok(())
}
