//! mongodb-restore: a sink that makes databases from a dump: from one of mongodb-dump, from a directory of stock mongodump,
//! or from an archive of `mongodump --archive`, which is told by its first bytes.
//!
//! Collections and views are made first, then documents go in as their files arrive, then the oplog is replayed, where the dump
//! has one, and then come indexes, users and roles. It stops at the first error, which names the object.
//!
//! | module | what |
//! |---|---|
//! | [`indexed`], [`foreign`] with its [`shelf`], [`archived`] | the three kinds of dump |
//! | [`archive`], [`documents`], [`extjson`] | their formats |
//! | [`there`], [`concern`] | what is on the server, and when a write is one |
//! | [`target`], [`standing`], [`making`], [`load`], [`oplog`] with [`entries`], [`transactions`], [`views`], [`strangers`] and [`plain`], [`indexes`], [`accounts`] | what is done on the server, in this order |

mod accounts;
mod archive;
mod archived;
mod concern;
mod definition;
mod documents;
mod entries;
pub mod extjson;
mod foreign;
mod indexed;
mod indexes;
mod load;
mod making;
mod oplog;
mod parameters;
mod plain;
mod rehearsal;
mod run;
mod shelf;
mod standing;
mod strangers;
mod target;
mod there;
mod timestamps;
mod transactions;
mod views;

pub use parameters::Restore;

use crate::client::{Client, Login, Members, ReadPreference, members, stoppable};
use crate::layout::{INDEX, Index};
use accounts::Accounts;
use coffer_addon::problems::Problems;
use coffer_addon::{Application, Error, Inbox, Incoming, Report, Result, omitted};
use load::Loader;
use run::Run;

pub async fn restore(application: Application, inbox: Inbox, parameters: Restore) -> Result<Report> {
    let login = Login::of(&application)?;
    stoppable(&application, &login, restore_all(&application, &login, &inbox, &parameters)).await
}

enum Input {
    Indexed(Index),
    Foreign(Incoming),
    Archive(Incoming),
}

/// By the first artifact's name, or by its first bytes.
async fn open(inbox: &Inbox) -> Result<Input> {
    let Some(mut first) = inbox.next().await else {
        return Err(Error::Corrupt(format!("there is nothing to restore: neither {INDEX} nor any other file came")));
    };
    if first.artifact.name == INDEX {
        return Ok(Input::Indexed(indexed::read(&mut first).await?));
    }
    while first.buffer().len() < archive::MAGIC.len() && first.fill().await? > 0 {}
    if first.buffer().starts_with(&archive::MAGIC) {
        return Ok(Input::Archive(first));
    }
    let name = &first.artifact.name;
    if first.buffer().starts_with(&archive::GZIP) {
        return Err(Error::Unsupported(format!(
            "{name} is compressed by gzip (mongodump --gzip?); unpack it with gunzip first, and restore what comes out"
        )));
    }
    Ok(Input::Foreign(first))
}

fn check_parameters(parameters: &Restore) -> Result<()> {
    for target in parameters.rename.values() {
        let is_wrong = |c: char| matches!(c, '/' | '\\' | '.' | ' ' | '"' | '$') || c.is_control();
        let is_wrong = target.is_empty() || target.len() > 63 || target.contains(is_wrong);
        if is_wrong || matches!(target.as_str(), "admin" | "config" | "local") {
            return Err(Error::InvalidParameter(format!("rename: {target:?} cannot be the name of a database")));
        }
    }
    Accounts::check_parameters(parameters)
}

async fn restore_all(application: &Application, login: &Login, inbox: &Inbox, parameters: &Restore) -> Result<Report> {
    check_parameters(parameters)?;
    members::check_whole(&application.binding())?;
    let input = open(inbox).await?;
    let endpoint = Members::ask(application, login).await?.choose(ReadPreference::Primary)?.endpoint.clone();
    let connect = || Client::connect(application, login, Some(&endpoint));
    let mut leader = connect().await?;
    let problems = Problems::new(parameters.collect_errors);
    let expected = match &input {
        Input::Indexed(index) => Some(
            index.collections.iter().filter_map(|collection| collection.data.as_ref()).map(|data| data.bytes).sum(),
        ),
        _ => None,
    };
    let jobs = parameters.jobs.up_to(usize::MAX);
    let run = Run::new(inbox, parameters, Loader::new(&leader, &problems, expected, jobs));
    if parameters.users_and_roles {
        run.accounts.ask(&mut leader).await?;
    }
    let mut clients = Vec::new();
    while clients.len() < jobs {
        clients.push(connect().await?);
    }
    let read = async {
        match input {
            Input::Indexed(index) => indexed::restore(&run, &mut leader, &index).await?,
            Input::Foreign(first) => foreign::restore(&run, &mut leader, first).await?,
            Input::Archive(archive) => archived::restore(&run, &mut leader, archive).await?,
        }
        run.loader.close();
        Ok(())
    };
    futures::try_join!(read, run.loader.run(&mut clients))?;

    let (is_complete, replayed) = (run.is_complete(), run.replayed.get());
    let Run { indexes, accounts, databases, loader, .. } = run;
    let built = indexes.build(&mut clients, &problems).await?;
    if parameters.users_and_roles {
        accounts.restore(&mut leader, parameters).await?;
    }
    problems.check()?;
    let version = leader.version().to_string();
    for client in clients.into_iter().chain([leader]) {
        client.close().await;
    }
    let tally = loader.tally;
    let report = Report::new()
        .fact("databases", omitted::line(databases.into_inner()))
        .fact("serverVersion", version)
        .fact("indexes", built);
    let report = match replayed {
        Some(count) => report.fact("oplogEntries", count),
        None => report,
    };
    // What was left out is missing in them: they are not to be compared with the dump's.
    Ok(match is_complete {
        true => tally.report(report),
        false => report.fact("collections", tally.tables()).fact("documents", tally.rows()),
    })
}
