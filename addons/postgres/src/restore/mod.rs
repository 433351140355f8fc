//! postgres-restore: a sink that makes a database from a dump in pg_dump's directory format, ours or pg_dump's own.
//!
//! The table of contents comes first. Then: schema, rows as their files arrive, what is built over rows, privileges, and
//! last what runs user code or refreshes. It stops at the first error, which names the entry.

mod data;
mod parallel;
mod plan;
mod session;
mod target;

use crate::archive::{self, Archive};
use crate::client::{Login, stoppable};
use crate::entry::{Entry, Section};
use crate::parameters::Restore;
use coffer_addon::{Application, Error, Inbox, Report, Result};
use plan::Pass;
use session::Session;

/// No table of contents comes near this; it is held in memory whole.
const MAX_TOC: usize = 256 * 1024 * 1024;

pub async fn restore(application: Application, inbox: Inbox, parameters: Restore) -> Result<Report> {
    let login = Login::from_binding(&application, parameters.database.as_deref())?;
    stoppable(&application, &login, run(&application, login.clone(), &inbox, &parameters)).await
}

async fn run(application: &Application, login: Login, inbox: &Inbox, parameters: &Restore) -> Result<Report> {
    let archive = read_toc(inbox).await?;
    coffer_addon::info!(
        "restoring {} objects of {}, dumped by {} from {}",
        archive.entries.len(),
        archive.database,
        archive.dump_version,
        archive.server_version
    );
    let login = target::prepare(application, &archive, login, parameters).await?;
    let over_rows: Vec<&Entry> = section(&archive, Section::PostData, parameters).collect();
    let files = archive.entries.iter().filter(|entry| archive::file(entry).is_some()).count();
    let jobs = parameters.jobs.up_to(files.max(over_rows.len()));

    let mut leader = Session::open(application, &login, &archive.entries, parameters).await?;
    for entry in section(&archive, Section::PreData, parameters) {
        leader.run(entry).await?;
    }
    let mut sessions = vec![leader];
    while sessions.len() < jobs {
        sessions.push(Session::open(application, &login, &archive.entries, parameters).await?);
    }
    let loaded = data::load(&mut sessions, &archive, inbox).await?;
    for entry in data::statements(&archive) {
        if let Some(session) = sessions.first_mut() {
            session.run(entry).await?;
        }
    }
    let mut sessions = parallel::run(sessions, &archive, over_rows).await?;
    let Some(mut leader) = sessions.pop() else { return Err(Error::Failed("no session is left".into())) };
    for session in sessions {
        session.client.close().await;
    }
    for pass in [Pass::Privileges, Pass::Last] {
        for entry in wanted(&archive, parameters).filter(|entry| plan::pass(entry) == pass) {
            leader.run(entry).await?;
        }
    }
    let server_version = leader.client.server_version_text().to_string();
    leader.client.close().await;
    let report = Report::new()
        .fact("database", login.database)
        .fact("serverVersion", server_version)
        .fact("objects", archive.entries.len());
    Ok(loaded.report(report))
}

/// The archive, checked for what cannot be restored before anything is touched.
async fn read_toc(inbox: &Inbox) -> Result<Archive> {
    let Some(mut first) = inbox.next().await else {
        return Err(Error::Corrupt(format!("there is nothing to restore: {} did not come", archive::TOC)));
    };
    if first.artifact.name != archive::TOC {
        let name = &first.artifact.name;
        return Err(Error::Corrupt(format!(
            "{} has to come first, not {name}; is this a dump of PostgreSQL?",
            archive::TOC
        )));
    }
    let mut archive = Archive::read(&first.read_all(MAX_TOC).await?)?;
    plan::place(&mut archive.entries);
    if archive.compressed && archive.entries.iter().any(|entry| archive::file(entry).is_some()) {
        return Err(Error::Unsupported("the dump's data files are compressed; make it with pg_dump -Fd -Z0".into()));
    }
    if let Some(entry) = archive.entries.iter().find(|entry| plan::is_unsupported(entry)) {
        return Err(Error::Unsupported(format!(
            "the dump has large objects ({}), which cannot be restored yet",
            entry.tag
        )));
    }
    Ok(archive)
}

fn wanted<'a>(archive: &'a Archive, parameters: &Restore) -> impl Iterator<Item = &'a Entry> {
    archive
        .entries
        .iter()
        .filter(|entry| plan::is_wanted(entry, parameters) && !plan::is_setting(entry) && entry.kind != "DATABASE")
}

/// Entries of a section's main pass, in the archive's order, which is one in which every entry finds what it needs.
fn section<'a>(archive: &'a Archive, section: Section, parameters: &Restore) -> impl Iterator<Item = &'a Entry> {
    wanted(archive, parameters).filter(move |entry| entry.section == section && plan::pass(entry) == Pass::Main)
}
