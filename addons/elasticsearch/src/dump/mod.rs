//! elasticsearch-dump: a source that reads indices into multielasticdump's files.
//!
//! | module | what |
//! |---|---|
//! | [`prepared`] | what is done before anything is read |
//! | [`point`] | a point in time of an index |
//! | [`contexts`] | what the dump holds open on the server |
//! | [`described`] | the index of the dump: definitions, and what is left out |
//! | [`file`] | an index's file |
//! | [`documents`] | indices read into their files |
//! | [`page`] | from an answer into lines |
//! | [`turns`] | who may hold a long answer |
//! | [`definitions`] | the files beside them |
//! | [`saved`] | Dashboards' saved objects |

mod contexts;
mod definitions;
mod described;
mod documents;
mod file;
mod page;
mod point;
mod prepared;
mod saved;
mod turns;

use crate::catalog::security::Security;
use crate::catalog::selection::{self, Selected};
use crate::catalog::{self, Found, not_kept, streams, unseen};
use crate::client::Client;
use crate::layout::{COUNTS, Counts, FORMAT, INDEX, Index, MAX_INDEX};
use crate::parameters::Dump;
use coffer_addon::work::{Queue, Tally};
use coffer_addon::{Application, Error, Outbox, Report, Result, omitted};
use contexts::Contexts;
use documents::Documents;
use file::File;
use futures::future::try_join_all;
use saved::{Exported, Saved};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use turns::Turns;

pub async fn dump(application: Application, outbox: Outbox, parameters: Dump) -> Result<Report> {
    parameters.check()?;
    let queries = queries(&parameters)?;
    let client = Client::connect(application.http()).await?;
    let contexts = Contexts::new(client.clone(), parameters.keep_alive.map(|span| span.0));
    let notes = RefCell::default();
    let run = Run { client: &client, contexts: &contexts, outbox: &outbox, parameters: &parameters, queries, notes };
    contexts.during(run.run()).await
}

/// What a dump works with from its beginning to its end.
struct Run<'a> {
    client: &'a Client,
    contexts: &'a Contexts,
    outbox: &'a Outbox,
    parameters: &'a Dump,
    /// By index.
    queries: BTreeMap<String, Value>,
    /// Facts for the report, of what is not as one would think.
    notes: RefCell<BTreeMap<&'static str, String>>,
}

impl Run<'_> {
    async fn run(&self) -> Result<Report> {
        let saved = match self.parameters.saved_objects {
            true => Some(Saved::find(self.client).await?),
            false => None,
        };
        let everything = unseen::All::read(self.client).await?;
        let mut all = catalog::indices(self.client).await?;
        let streams = streams::read(self.client).await?;
        let own = self.check_seen(everything, &all, &streams.streams).await?;
        let failed = streams.failed();
        all.retain(|found| !failed.contains(found.name()));
        let streams::Found { streams, failures } = streams;
        let Selected { mut found, streams, hidden } = selection::select(self.parameters, all, streams)?;
        let security = Security::read(self.client).await?;
        let left_out = self.check(&mut found, &security).await?;
        let with_documents = |found: &&Found| found.definition.file.is_some();
        self.open_closed(&found).await?;
        self.refresh(&found).await?;

        let read: Vec<&Found> = found.iter().filter(with_documents).collect();
        let (consistency, points) = self.begin(&read).await?;
        let points = points.into_iter().map(Some).chain(std::iter::repeat(None));
        let mut files: Vec<File<'_>> =
            read.iter().zip(points).map(|(found, pit)| self.file(found, consistency, &streams, pit)).collect();
        file::place(&mut files, &streams);
        let mut index = self.index(&found, streams.clone(), left_out, hidden, consistency).await?;
        if index.schema {
            self.not_kept(&mut index.not_kept, &found, failures).await?;
        }
        if !own.is_empty() {
            coffer_addon::warn!("NOT IN THIS BACKUP: the server's own indices {}", omitted::line(&own));
            index.not_kept.insert("systemIndices".into(), own);
        }
        if saved.is_some() && !self.client.version().is_elasticsearch() {
            let others = security.other_tenants();
            if !others.is_empty() {
                coffer_addon::warn!("NOT IN THIS BACKUP: of Dashboards' tenants {}", omitted::line(&others));
                index.not_kept.insert("tenants".into(), others);
            }
        }
        index.dashboards = saved.as_ref().map(|saved| saved.found.clone());
        let bytes = serde_json::to_vec(&index)?;
        if bytes.len() > MAX_INDEX {
            return Err(Error::Unsupported(format!(
                "the definitions come to {} bytes, and elasticsearch-restore holds up to {MAX_INDEX}; dump in several parts, by \
                 include and exclude",
                bytes.len()
            )));
        }
        self.outbox.file(INDEX).label("mediaType", "application/json").write_all(&bytes).await?;
        drop(bytes);
        if index.schema {
            for index in &index.indices {
                definitions::write(self.outbox, index).await?;
            }
        }

        let exported = match &saved {
            Some(saved) => saved.export(self.outbox).await?,
            None => Exported::default(),
        };

        let tally = Tally::new(None);
        found.iter().for_each(|_| tally.add_table());
        coffer_addon::info!("dumping {} indices by {}", found.len(), consistency.name());
        let documents = Documents {
            client: self.client,
            outbox: self.outbox,
            contexts: self.contexts,
            tally: &tally,
            consistency,
            turns: Turns::default(),
            first: RefCell::default(),
        };
        let pieces: Vec<_> = files.iter().flat_map(File::pieces).collect();
        let workers = self.parameters.jobs.up_to(pieces.len());
        let queue = Queue::new(pieces, |piece| piece.size());
        try_join_all((0..workers).map(|_| documents.work(&queue))).await?;

        let counts = files.iter().map(|file| (file.found.name().to_owned(), file.count())).collect();
        let counts =
            serde_json::to_vec(&Counts { format: FORMAT, indices: counts, saved_objects: exported.counts.clone() })?;
        self.outbox.file(COUNTS).label("mediaType", "application/json").write_all(&counts).await?;
        Ok(report(&index, &exported, &tally, self.notes.take()))
    }

    fn note(&self, name: &'static str, text: impl ToString) {
        self.notes.borrow_mut().insert(name, text.to_string());
    }
}

fn queries(parameters: &Dump) -> Result<BTreeMap<String, Value>> {
    let query = |(name, text): (&String, &String)| {
        let query = serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
        let query =
            query.ok_or_else(|| Error::InvalidParameter(format!("query: that of {name} is no object in JSON")))?;
        Ok((name.clone(), query))
    };
    parameters.query.iter().map(query).collect()
}

fn report(index: &Index, exported: &Exported, tally: &Tally, notes: BTreeMap<&'static str, String>) -> Report {
    let mut report =
        Report::new().fact("serverVersion", &index.server.version).fact("consistency", index.consistency.name());
    if let Some(filtered) = &index.filtered {
        report = report.fact("filtered", filtered);
    }
    if !index.omitted.is_empty() {
        report = report.fact("omitted", omitted::line(&index.omitted));
    }
    if !index.not_kept.is_empty() {
        report = report.fact("notKept", not_kept::line(&index.not_kept));
    }
    if index.dashboards.is_some() {
        report = report.fact("savedObjects", exported.counts.values().sum::<u64>());
    }
    if !exported.lacking.is_empty() {
        report = report.fact("savedObjectsLacking", omitted::line(&exported.lacking));
    }
    for (name, text) in notes {
        report = report.fact(name, text);
    }
    tally.report(report)
}
