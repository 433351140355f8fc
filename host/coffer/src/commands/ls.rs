//! `coffer ls`: the files of a snapshot.
//!
//! `ls` and `download` open the repository in this process, with the Secrets that the API hands out: the bytes take the
//! straight way from the storage to the reader, not through the server. A `local` storage is therefore read on the machine
//! the command runs on.

use super::snapshots::{self, SnapshotArgs};
use crate::cli::{Format, OutputArgs};
use crate::connect::Connection;
use crate::failure::{Failure, OrFail, Result};
use crate::output::{Printer, bytes};
use clap::Args;
use coffer_api::refs::ObjectRef;
use coffer_controller::resolve::repository::open;
use coffer_repository::{FileEntry, Repository, SnapshotFilter};
use kube::ResourceExt;
use serde_json::json;

/// List the files of a snapshot
#[derive(Debug, Args)]
pub struct LsArgs {
    #[command(flatten)]
    snapshot: SnapshotArgs,

    #[command(flatten)]
    output: OutputArgs,
}

pub async fn run(connection: &Connection, args: LsArgs, printer: Printer) -> Result<()> {
    let (_, files) = files(connection, &args.snapshot).await?;
    if args.output.output != Format::Table {
        let files: Vec<_> = files.iter().map(|file| json!({"path": file.path, "size": file.size})).collect();
        return printer.value(args.output.output, &files);
    }
    printer.table(&["size", "path"], files.iter().map(|file| vec![bytes(file.size), file.path.clone()]));
    Ok(())
}

/// The opened repository and the files of the snapshot that is meant.
pub async fn files(connection: &Connection, args: &SnapshotArgs) -> Result<(Repository, Vec<FileEntry>)> {
    let snapshot = snapshots::find(connection, args).await?;
    let namespace = snapshot.namespace().unwrap_or_default();
    let reference = ObjectRef::new(snapshot.spec.repository.name.clone());
    let opened = open(&connection.client, &namespace, &reference).await.map_err(|error| {
        let cause = error.into_failure();
        let mut failure = Failure::new("unable to open the repository").cause(&cause.message);
        failure.hint = cause.hint;
        failure
    })?;
    let what = || format!("unable to read snapshot {}", snapshots::short(&snapshot.spec.id));
    let found = opened.repository.snapshot(&snapshot.spec.id, &SnapshotFilter::default()).await.or_fail(what)?;
    let files = opened.repository.files(&found).await.or_fail(what)?;
    Ok((opened.repository, files))
}
