//! elasticsearch-restore: a sink that makes indices from a dump: from one of elasticsearch-dump, or from files of stock
//! elasticdump and multielasticdump.
//!
//! Everything that could be in the way is looked at first; then policies, pipelines and scripts are put, indices made, and
//! templates put, which are not to change those indices. Documents go in as their files arrive. Then come counts, settings
//! that would have been in the documents' way, aliases, and closed indices are closed.
//!
//! | module | what |
//! |---|---|
//! | [`indexed`] | a dump of ours, from its first artifact to its last |
//! | [`foreign`], [`parts`] | files of elasticdump |
//! | [`plan`], [`rename`], [`names`], [`settings`], [`types`] | what of it is restored, and as what |
//! | [`standing`] | what is in the way, and is cleared |
//! | [`cluster`], [`target`], [`streams`] | templates and the like, indices and data streams on the server |
//! | [`finish`] | what comes behind the documents |
//! | [`enrich`] | policies by which pipelines look things up |
//! | [`once`] | requests that must not be done twice |
//! | [`saved`] | Dashboards' saved objects |
//! | [`rehearsal`], [`compared`] | whether what is deleted can be made again, and is made as the dump has it |
//! | [`sources`] | whether documents would be stored as they are |
//! | [`unfinished`] | what of it is put back and told where the restore fails |
//! | [`lines`], [`batch`], [`answer`], [`load`] | documents |

mod answer;
mod batch;
mod cluster;
mod compared;
mod enrich;
mod finish;
mod foreign;
mod indexed;
mod lines;
mod load;
mod names;
mod once;
mod parameters;
mod parts;
mod plan;
mod rehearsal;
mod rename;
mod saved;
mod settings;
mod sources;
mod standing;
mod streams;
mod target;
mod types;
mod unfinished;

pub use parameters::Restore;
pub use rename::Rename;

use crate::client::Client;
use crate::layout::{INDEX, Index};
use coffer_addon::problems::Problems;
use coffer_addon::work::Tally;
use coffer_addon::{Application, Error, Inbox, Incoming, Report, Result, omitted};
use load::Loader;
use plan::Plan;
use unfinished::Unfinished;

enum Input {
    Indexed(Box<Index>),
    Foreign(Incoming),
}

pub async fn restore(application: Application, inbox: Inbox, parameters: Restore) -> Result<Report> {
    let client = Client::connect(application.http()).await?;
    let unfinished = Unfinished::default();
    unfinished.during(&client, run(&client, &inbox, &parameters, &unfinished)).await
}

async fn run(client: &Client, inbox: &Inbox, parameters: &Restore, unfinished: &Unfinished) -> Result<Report> {
    let input = open(inbox).await?;
    let problems = Problems::new(parameters.collect_errors);
    let jobs = parameters.jobs.up_to(usize::MAX);
    let loader = Loader::new(client.http().clone(), &problems, Tally::new(None), jobs, parameters.patience.0);
    let read = async {
        let plan = match input {
            Input::Indexed(index) => indexed::restore(client, inbox, parameters, &loader, &index, unfinished).await?,
            Input::Foreign(first) => foreign::restore(client, inbox, parameters, &loader, first, unfinished).await?,
        };
        loader.close();
        Ok(plan)
    };
    let (plan, ()) = futures::try_join!(read, loader.run(jobs))?;
    finish::check_counts(client, &loader, plan.targets()).await?;
    if plan.makes {
        plan.cluster.put_behind(client, unfinished).await?;
        finish::finish(client, &plan, parameters).await?;
        unfinished.finished();
        if parameters.cluster_settings && !plan.cluster_settings.is_empty() {
            cluster::put_settings(client, &plan.cluster_settings).await?;
        }
    }
    problems.check()?;
    Ok(report(client, &loader, &plan))
}

/// By the first artifact's name.
async fn open(inbox: &Inbox) -> Result<Input> {
    let Some(mut first) = inbox.next().await else {
        return Err(Error::Corrupt(format!("there is nothing to restore: neither {INDEX} nor any other file came")));
    };
    if first.artifact.name == INDEX {
        return Ok(Input::Indexed(Box::new(indexed::read(&mut first).await?)));
    }
    Ok(Input::Foreign(first))
}

fn report(client: &Client, loader: &Loader<'_>, plan: &Plan) -> Report {
    let tally = &loader.tally;
    let backing = plan.streams.iter().map(|stream| stream.indices.len()).sum::<usize>();
    let tables = plan.indices.len() + backing;
    let mut report =
        Report::new().fact("serverVersion", &client.version().text).fact("dataStreams", plan.streams.len());
    if let Some(count) = plan.saved_objects {
        report = report.fact("savedObjects", count);
    }
    if !plan.differing.is_empty() {
        report = report.fact("differing", omitted::line(&plan.differing));
    }
    // What was left out is missing in them: they are not to be compared with the dump's.
    match plan.left_out.is_empty() {
        true => report.fact("tables", tables).fact("rows", tally.rows()).fact("bytes", tally.bytes()),
        false => report.fact("indices", tables).fact("documents", tally.rows()),
    }
}
