//! `coffer copy`: makes a RestoreSession whose data comes from another application, and follows it.

use super::restore::{ParamArgs, steps, target_ref};
use crate::connect::Connection;
use crate::failure::Result;
use crate::output::{Printer, duration};
use crate::resource;
use crate::session::{self, SessionArgs, span};
use clap::Args;
use coffer_api::{DataSource, Duration, RestoreSession, RestoreSessionSpec, RestoreSessionStatus};

const EXAMPLES: &str = "\
Examples:
  coffer copy -n demo shop --to staging --task postgres-copy
  coffer copy -n demo shop --to staging --task mysql-copy --param overwrite=true";

/// Copy an application's data into another application and follow it
///
/// The data goes from one to the other at once and into no repository. No other session works on either meanwhile, and they are
/// not the same server (of PostgreSQL: not the same database). Each step takes the parameters of its own application's
/// AppBinding. Ends when the session has ended: 0 when it succeeded. Interrupting this command does not interrupt the session.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CopyArgs {
    /// The AppBinding to read
    #[arg(value_name = "SOURCE")]
    source: String,

    /// The AppBinding to write into
    #[arg(long = "to", value_name = "TARGET")]
    target: String,

    /// The Task to run: it begins with a source and ends in a sink
    #[arg(long, value_name = "NAME")]
    task: String,

    #[command(flatten)]
    params: ParamArgs,

    /// How long the copy may take
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Duration>,

    #[command(flatten)]
    run: SessionArgs,
}

pub async fn run(connection: &Connection, args: CopyArgs, printer: Printer) -> Result<()> {
    let namespace = connection.namespace(&args.run.namespace);
    for (kind, name) in [("appbinding", &args.source), ("appbinding", &args.target), ("task", &args.task)] {
        resource::must_exist(&connection.client, kind, name, &namespace).await?;
    }
    let spec = RestoreSessionSpec {
        target: target_ref(&args.target),
        data_source: DataSource { application: Some(target_ref(&args.source)), ..DataSource::default() },
        task: args.params.task(&args.task),
        timeout: args.timeout,
        retry: None,
    };
    session::run(connection, &args.run, RestoreSession::new("", spec), &args.target, printer, summary).await
}

fn summary(status: &RestoreSessionStatus, printer: Printer) {
    steps(status, printer);
    printer.line(format_args!("copied in {}", duration(span(&status.run))));
}
