//! mysql-restore: a sink that makes databases from a dump of mysql-dump.
//!
//! The index comes first and has everything but the rows. So all that can be wrong with names, the target and definers is
//! seen before anything is touched. Then: accounts, sequences and tables, routines, rows as their files arrive, large tables'
//! keys, views, triggers, privileges, and last events. It stops at the first error, which names the object.

mod accounts;
mod counts;
mod keys;
mod parameters;
mod plan;
mod rewrite;
mod rows;
mod schema;
mod session;
mod shape;
mod statements;
mod target;
mod values;
mod words;

pub use parameters::{Definer, Restore};

use crate::client::{Flavor, Login, stoppable};
use crate::layout::Index;
use accounts::Grants;
use coffer_addon::{Application, Inbox, Report, Result};
use keys::Late;
use plan::Plan;
use session::{Purpose, Session};

pub async fn restore(application: Application, inbox: Inbox, parameters: Restore) -> Result<Report> {
    let login = Login::from_binding(&application)?;
    stoppable(&application, &login, run(&application, &login, &inbox, &parameters)).await
}

async fn run(application: &Application, login: &Login, inbox: &Inbox, parameters: &Restore) -> Result<Report> {
    let index = plan::read(inbox).await?;
    let plan = Plan::new(&index, parameters)?;
    let mut leader = Session::open(application, login, Purpose::Schema).await?;
    crate::session::check_version(&leader.client)?;
    announce(&leader, &index);
    target::check(&mut leader, &plan).await?;

    target::prepare(&mut leader, &plan).await?;
    let accounts = if parameters.users { accounts::make(&mut leader, &plan).await? } else { Vec::new() };
    let mut grants = Grants::new(&plan, &accounts);
    grants.try_all(&mut leader).await?;
    let late = Late::of(&plan);
    if index.schema {
        schema::tables_and_routines(&mut leader, &plan, &late).await?;
    }
    let with_rows = plan.tables_with_rows().count();
    // One table alone may come in many files; without any, somebody has to read the others.
    let jobs = if with_rows == 0 { 1 } else { parameters.jobs.up_to(usize::MAX) };
    let mut sessions = Vec::new();
    while sessions.len() < jobs {
        sessions.push(Session::open(application, login, Purpose::Rows).await?);
    }
    let loaded = rows::load(&mut sessions, &plan, inbox).await?;
    late.build(&mut sessions, &plan).await?;
    for session in sessions {
        session.client.close().await;
    }
    if index.schema {
        schema::set_sequences(&mut leader, &plan).await?;
        // A view's definer has to be allowed what the view does when it is made.
        grants.try_all(&mut leader).await?;
        // One that reads what is not there must not keep the rows out.
        schema::views(&mut leader, &plan).await?;
        schema::triggers(&mut leader, &plan).await?;
    }
    grants.finish(&mut leader).await?;
    if index.schema {
        schema::events(&mut leader, &plan).await?;
    }
    let server_version = leader.client.version().text.clone();
    leader.client.close().await;
    let databases: Vec<&str> = index.databases.iter().map(|database| plan.target(&database.name)).collect();
    let report = Report::new().fact("databases", databases.join(", ")).fact("serverVersion", server_version);
    Ok(loaded.report(report))
}

/// What comes from where, and what an operator should know about that.
fn announce(leader: &Session, index: &Index) {
    let version = leader.client.version();
    let tables: usize = index.databases.iter().map(|database| database.tables.len()).sum();
    coffer_addon::info!(
        "restoring {} databases with {tables} tables, dumped by {} from {} {}",
        index.databases.len(),
        index.tool,
        index.server.flavor,
        index.server.version
    );
    if let Some(filtered) = &index.filtered {
        coffer_addon::info!("the dump has not all that was there: {filtered}");
    }
    let is_same_flavor = (index.server.flavor == "mariadb") == (version.flavor == Flavor::MariaDb);
    if !is_same_flavor {
        coffer_addon::warn!(
            "the dump is of {} and the server is {version}: what only one of them knows fails",
            index.server.flavor
        );
    } else if index.server.number / 100 > version.number / 100 {
        coffer_addon::warn!(
            "the dump is of {}, the server is older ({version}): what it does not know fails",
            index.server.version
        );
    }
    if let Some(gtid) = index.position.as_ref().and_then(|position| position.gtid.as_ref()) {
        coffer_addon::info!("the dump holds what was done up to GTID {gtid}; the server's own GTIDs are left alone");
    }
}
