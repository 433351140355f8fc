//! elasticsearch-dump: a source that reads indices into multielasticdump's files.
//!
//! | module | what |
//! |---|---|
//! | [`contexts`] | what the dump holds open on the server |
//! | [`documents`] | indices read into their files |
//! | [`page`] | from an answer into lines |
//! | [`definitions`] | the files beside them |

mod contexts;
mod definitions;
mod documents;
mod page;

use crate::catalog::{self, Found, around, lossy, selection};
use crate::client::Client;
use crate::layout::{
    self, COUNTS, Consistency, Counts, DataStream, FORMAT, INDEX, Index, IndexDefinition, MAX_INDEX, Server,
};
use crate::parameters::Dump;
use coffer_addon::http::segment;
use coffer_addon::work::{Queue, Tally};
use coffer_addon::{Application, Error, Outbox, Report, Result, omitted};
use contexts::{Context, Contexts};
use documents::{Documents, File};
use futures::future::try_join_all;
use serde_json::Value;
use std::collections::BTreeMap;

/// Points in time that are opened before anything is read: nearly one moment. Servers allow 300 and more.
const AT_FIRST: usize = 100;

pub async fn dump(application: Application, outbox: Outbox, parameters: Dump) -> Result<Report> {
    if parameters.data_only && parameters.schema_only {
        return Err(Error::InvalidParameter("dataOnly and schemaOnly leave nothing to dump; set one of them".into()));
    }
    let queries = queries(&parameters)?;
    let client = Client::connect(application.http()).await?;
    let contexts = Contexts::new(client.clone());
    let run = Run { client: &client, contexts: &contexts, outbox: &outbox, parameters: &parameters, queries };
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
}

impl Run<'_> {
    async fn run(&self) -> Result<Report> {
        let all = catalog::indices(self.client).await?;
        let streams = catalog::data_streams(self.client).await?;
        let (mut found, streams) = selection::select(self.parameters, all, streams)?;
        let left_out = self.check(&mut found)?;
        let with_documents = |found: &&Found| found.definition.file.is_some();
        self.open_closed(&found).await?;
        self.refresh(&found).await?;

        let files: Vec<File<'_>> = found.iter().filter(with_documents).map(|found| self.file(found)).collect();
        let consistency = self.begin(&files).await?;
        let index = self.index(&found, streams, left_out, consistency).await?;
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

        let tally = Tally::new(None);
        found.iter().for_each(|_| tally.add_table());
        coffer_addon::info!("dumping {} indices by {}", found.len(), consistency.name());
        let documents =
            Documents { client: self.client, outbox: self.outbox, contexts: self.contexts, tally: &tally, consistency };
        let pieces: Vec<_> = files.iter().flat_map(File::pieces).collect();
        let workers = self.parameters.jobs.up_to(pieces.len());
        let queue = Queue::new(pieces, |piece| piece.size());
        try_join_all((0..workers).map(|_| documents.work(&queue))).await?;

        let counts = files.iter().map(|file| (file.found.name().to_owned(), file.count())).collect();
        let counts = serde_json::to_vec(&Counts { format: FORMAT, indices: counts })?;
        self.outbox.file(COUNTS).label("mediaType", "application/json").write_all(&counts).await?;
        Ok(report(&index, &tally))
    }

    /// Says which indices have a file, and what cannot be taken along.
    fn check(&self, found: &mut [Found]) -> Result<Vec<String>> {
        let mut left_out = Vec::new();
        for found in found {
            let is_closed = found.definition.closed && !self.parameters.open_closed;
            let lossy = lossy::lossy(found)?;
            if !self.parameters.schema_only {
                if is_closed {
                    left_out.push(format!("documents of {} (it is closed; set openClosed)", found.name()));
                } else if let Some(lossy) = &lossy {
                    left_out.push(format!("documents of {} as they were indexed ({})", found.name(), lossy.why));
                }
            }
            let is_read = !self.parameters.schema_only && !is_closed && !lossy.is_some_and(|lossy| lossy.nothing);
            found.definition.file = is_read.then(|| layout::data_name(found.name()));
        }
        omitted::check(&left_out, self.parameters.allow_unsupported, |names| {
            Error::Unsupported(format!(
                "not all can be dumped: {names}; exclude these indices, or set allowUnsupported to dump what there is of them, or \
                 schemaOnly"
            ))
        })?;
        Ok(left_out)
    }

    /// They are closed again at the end.
    async fn open_closed(&self, found: &[Found]) -> Result<()> {
        for found in found.iter().filter(|found| found.definition.closed && found.definition.file.is_some()) {
            let name = segment(found.name());
            self.contexts.add(Context::Opened(found.name().to_owned()));
            let _: Value = self.client.post(&format!("/{name}/_open"), &()).await?;
            let health = format!("/_cluster/health/{name}?wait_for_status=yellow&timeout=60s");
            let _: Value = self.client.get(&health).await?;
        }
        Ok(())
    }

    /// So that everything that was indexed until now is found.
    async fn refresh(&self, found: &[Found]) -> Result<()> {
        for found in found.iter().filter(|found| found.definition.file.is_some()) {
            let path = format!("/{}/_refresh", segment(found.name()));
            if let Err(error) = self.client.post::<Value>(&path, &()).await {
                match error {
                    Error::Denied(text) => {
                        coffer_addon::warn!("what was indexed last may not be in the dump: {text}");
                        return Ok(());
                    }
                    error => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn file<'a>(&self, found: &'a Found) -> File<'a> {
        let name = found.definition.file.clone().unwrap_or_default();
        let shards = found.shards.max(1);
        // Elasticsearch cuts a point in time by documents' numbers, which costs nothing; the others by hashes of all ids.
        let version = self.client.version();
        let is_cheap = version.is_elasticsearch() && version.has_points_in_time() && version.is_since(7, 16);
        let each = found.bytes / u64::from(shards);
        let parts = each.checked_div(self.parameters.split_size).unwrap_or_default().saturating_add(1);
        let parts = u32::try_from(parts).unwrap_or(u32::MAX).min(self.parameters.jobs.0);
        let slices = if is_cheap { shards.saturating_mul(parts) } else { shards };
        File::new(found, name, self.queries.get(found.name()).cloned(), slices)
    }

    /// Opens points in time, unless the server has none.
    async fn begin(&self, files: &[File<'_>]) -> Result<Consistency> {
        if !self.client.version().has_points_in_time() {
            return Ok(Consistency::Scroll);
        }
        for file in files.iter().take(AT_FIRST) {
            match documents::open_pit(self.client, self.contexts, file.found.name()).await? {
                Ok(key) => file.pit.set(Some(key)),
                // A build without them takes that for something else, which it refuses.
                Err(refusal)
                    if matches!(refusal.status, 400 | 405)
                        && self.client.version().is_elasticsearch()
                        && self.client.version().major < 8 =>
                {
                    coffer_addon::warn!("this build of Elasticsearch has no points in time: {}", refusal.reason);
                    return Ok(Consistency::Scroll);
                }
                Err(refusal) => {
                    return Err(refusal.error(&format!("opening a point in time of index {}", file.found.name())));
                }
            }
        }
        Ok(Consistency::Pit)
    }

    /// Read after the points in time were opened: what a document has added to a mapping is in it.
    async fn index(
        &self,
        found: &[Found],
        data_streams: Vec<DataStream>,
        left_out: Vec<String>,
        consistency: Consistency,
    ) -> Result<Index> {
        let parameters = self.parameters;
        let schema = !parameters.data_only;
        let around = match schema {
            true => around::read(self.client, parameters.hidden, parameters.cluster_settings).await?,
            false => around::Around::default(),
        };
        let mut now: BTreeMap<String, IndexDefinition> = catalog::indices(self.client)
            .await?
            .into_iter()
            .map(|found| (found.definition.name.clone(), found.definition))
            .collect();
        let mut indices = Vec::new();
        for found in found {
            let Some(now) = now.remove(found.name()) else {
                return Err(Error::Failed(format!(
                    "index {} was deleted during the dump; run the dump again when nobody does that",
                    found.name()
                )));
            };
            let IndexDefinition { name, data_stream, closed, file, .. } = found.definition.clone();
            indices.push(match schema {
                true => IndexDefinition { closed, file, data_stream, ..now },
                false => IndexDefinition {
                    name,
                    data_stream,
                    closed,
                    file,
                    settings: BTreeMap::new(),
                    mappings: None,
                    aliases: BTreeMap::new(),
                },
            });
        }
        let version = self.client.version();
        Ok(Index {
            format: FORMAT,
            tool: concat!("coffer ", env!("CARGO_PKG_VERSION")).into(),
            server: Server {
                flavour: version.flavour.name().into(),
                version: version.text.clone(),
                cluster: version.cluster.clone(),
            },
            consistency,
            schema,
            data: !parameters.schema_only,
            filtered: parameters.filtered(),
            omitted: left_out,
            cluster_settings: around.cluster_settings,
            policies: around.policies,
            component_templates: around.component_templates,
            index_templates: around.index_templates,
            legacy_templates: around.legacy_templates,
            pipelines: around.pipelines,
            scripts: around.scripts,
            indices,
            data_streams,
        })
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

fn report(index: &Index, tally: &Tally) -> Report {
    let mut report =
        Report::new().fact("serverVersion", &index.server.version).fact("consistency", index.consistency.name());
    if let Some(filtered) = &index.filtered {
        report = report.fact("filtered", filtered);
    }
    if !index.omitted.is_empty() {
        report = report.fact("omitted", omitted::line(&index.omitted));
    }
    tally.report(report)
}
