//! elasticsearch-dump: a source that reads indices into multielasticdump's files.
//!
//! | module | what |
//! |---|---|
//! | [`point`] | a point in time of an index |
//! | [`contexts`] | what the dump holds open on the server |
//! | [`documents`] | indices read into their files |
//! | [`page`] | from an answer into lines |
//! | [`turns`] | who may hold a long answer |
//! | [`definitions`] | the files beside them |
//! | [`saved`] | Dashboards' saved objects |

mod contexts;
mod definitions;
mod documents;
mod page;
mod point;
mod saved;
mod turns;

use crate::catalog::needed::Needed;
use crate::catalog::security::Security;
use crate::catalog::selection::{self, Selected};
use crate::catalog::{self, Found, around, inference, lossy, not_kept, others, restricted, streams, unseen};
use crate::client::{Body, Client};
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
use saved::{Exported, Saved};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use turns::Turns;

/// Of how many shards points in time are opened before anything is read: nearly one moment. OpenSearch allows 300 of a node.
const AT_FIRST: u32 = 200;

/// More slices no server cuts into.
const MAX_SLICES: u32 = 1024;

type NotKept = BTreeMap<String, Vec<String>>;

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
        let files: Vec<File<'_>> =
            read.iter().zip(points).map(|(found, pit)| self.file(found, consistency, &streams, pit)).collect();
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

    /// Fails where the server shows the user a part only; gives the names of those of its own indices that it does not show.
    async fn check_seen(
        &self,
        everything: Option<unseen::All>,
        found: &[Found],
        streams: &[DataStream],
    ) -> Result<Vec<String>> {
        if let Some(everything) = everything {
            return unseen::check(self.client, self.parameters, &everything, found, streams).await;
        }
        // Each that is named has to be there.
        if self.parameters.indices.is_empty() {
            let not_known = "not known: the user may not see the cluster's state, by which that would be seen";
            coffer_addon::warn!(
                "whether the user is shown all indices is {not_known}; give it the cluster privilege monitor"
            );
            self.note("unseen", not_known);
        }
        Ok(Vec::new())
    }

    /// What no dump has. Failure stores take no documents but the server's own.
    async fn not_kept(
        &self,
        all: &mut NotKept,
        found: &[Found],
        failures: BTreeMap<String, Vec<String>>,
    ) -> Result<()> {
        all.append(&mut not_kept::read(self.client).await?);
        for found in found {
            let Some(endpoints) = inference::endpoints(found)? else { continue };
            // Those with a dot in front come with every server.
            let own = endpoints.into_iter().filter(|name| !name.starts_with('.'));
            let known = all.entry("inferenceEndpoints".into()).or_default();
            known.extend(own);
            known.sort();
            known.dedup();
            if !inference::has_embeddings(found, self.client.version()) {
                all.entry("embeddings".into()).or_default().push(found.name().to_owned());
            }
        }
        all.retain(|_, names| !names.is_empty());
        if !failures.is_empty() {
            all.insert("failureStores".into(), failures.into_keys().collect());
        }
        if !all.is_empty() {
            coffer_addon::warn!("NOT IN THIS BACKUP: {}", not_kept::line(all));
        }
        Ok(())
    }

    /// Says which indices have a file, and what cannot be taken along.
    async fn check(&self, found: &mut [Found], security: &Security) -> Result<Vec<String>> {
        let mut left_out = Vec::new();
        if !self.parameters.schema_only {
            match restricted::indices(self.client, security, found).await? {
                Some(part) => left_out.extend(part.iter().map(|name| format!("what the user's role hides of {name}"))),
                None => self
                    .note("hiddenByRoles", "not known: the server does not say whether the user is shown everything"),
            }
        }
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

    fn note(&self, name: &'static str, text: impl ToString) {
        self.notes.borrow_mut().insert(name, text.to_string());
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
        let mut not_refreshed = Vec::new();
        for found in found.iter().filter(|found| found.definition.file.is_some()) {
            let path = format!("/{}/_refresh", segment(found.name()));
            match self.client.ask("POST", &path, &Body::None).await? {
                Ok(mut answer) => {
                    let answer: Value = answer.json(1 << 20).await?;
                    let failed = answer.pointer("/_shards/failed").and_then(Value::as_u64).unwrap_or_default();
                    if failed > 0 {
                        not_refreshed.push(format!("{} ({failed} shards failed)", found.name()));
                    }
                }
                // The user may not, or the index is blocked.
                Err(refusal) if refusal.status == 403 => {
                    let why = if refusal.kind.is_empty() { "403" } else { &refusal.kind };
                    not_refreshed.push(format!("{} ({why})", found.name()));
                }
                Err(refusal) => return Err(refusal.error(&format!("refreshing index {}", found.name()))),
            }
        }
        if !not_refreshed.is_empty() {
            let names = omitted::line(&not_refreshed);
            coffer_addon::warn!("what was indexed last may not be in the dump; these cannot be refreshed: {names}");
            self.note("notRefreshed", names);
        }
        Ok(())
    }

    fn file<'a>(
        &self,
        found: &'a Found,
        consistency: Consistency,
        streams: &[DataStream],
        pit: Option<u64>,
    ) -> File<'a> {
        let version = self.client.version();
        let shards = found.shards.max(1);
        let slices = match consistency {
            // Documents' numbers are what Elasticsearch cuts by, which costs nothing; OpenSearch by hashes of all ids.
            Consistency::Pit if version.is_elasticsearch() => {
                let parts = (found.bytes / u64::from(shards)).checked_div(self.parameters.split_size);
                let parts = u32::try_from(parts.unwrap_or_default().saturating_add(1)).unwrap_or(u32::MAX);
                let slices = shards.saturating_mul(parts.min(self.parameters.jobs.0));
                if version.is_since(7, 15) { slices } else { 1 }
            }
            _ => shards,
        };
        // One of a shard each, or one of all.
        let slices = if slices > MAX_SLICES { 1 } else { slices };
        let backs = |stream: &&DataStream| stream.indices.iter().any(|index| index == found.name());
        let query = self.queries.get(found.name());
        let query = query.or_else(|| self.queries.get(&streams.iter().find(backs)?.name));
        File::new(found, query.cloned(), slices, pit)
    }

    /// Opens points in time, unless the server has none. Of those that are many only the first: the others when it is their
    /// turn.
    async fn begin(&self, found: &[&Found]) -> Result<(Consistency, Vec<u64>)> {
        let mut points = Vec::new();
        let version = self.client.version();
        if !version.has_points_in_time() {
            return Ok((Consistency::Scroll, points));
        }
        let mut shards = 0_u32;
        for found in found {
            shards = shards.saturating_add(found.shards);
            if shards > AT_FIRST && !points.is_empty() {
                break;
            }
            match point::open(self.client, self.contexts, found).await? {
                Ok(key) => points.push(key),
                // A build without them takes that for something else, which it refuses.
                Err(refusal)
                    if matches!(refusal.status, 400 | 405)
                        && points.is_empty()
                        && version.is_elasticsearch()
                        && version.major < 8 =>
                {
                    coffer_addon::info!("this build of Elasticsearch has no points in time: {}", refusal.reason);
                    return Ok((Consistency::Scroll, points));
                }
                Err(refusal) => {
                    return Err(refusal.error(&format!("opening a point in time of index {}", found.name())));
                }
            }
        }
        // Those that were opened at first, and each of the others when it has its turn.
        let moments = 1 + found.len().saturating_sub(points.len());
        self.note("moments", moments);
        Ok((Consistency::Pit, points))
    }

    /// Read after the points in time were opened: what a document has added to a mapping is in it.
    async fn index(
        &self,
        found: &[Found],
        data_streams: Vec<DataStream>,
        left_out: Vec<String>,
        hidden: Vec<String>,
        consistency: Consistency,
    ) -> Result<Index> {
        let parameters = self.parameters;
        let schema = !parameters.data_only;
        let around = match schema {
            true => {
                let needed = Needed::of(found, &data_streams);
                around::read(self.client, needed, parameters.hidden, parameters.cluster_settings).await?
            }
            false => around::Around::default(),
        };
        let mut data_streams = data_streams;
        if schema {
            streams::describe(self.client, &mut data_streams).await?;
        }
        let mut now: BTreeMap<String, IndexDefinition> = catalog::indices(self.client)
            .await?
            .into_iter()
            .map(|found| (found.definition.name.clone(), found.definition))
            .collect();
        // Who may see policies may see what they manage.
        let managed = match schema && !around.policies.is_empty() && !self.client.version().is_elasticsearch() {
            true => {
                let names = found.iter().map(Found::name).filter(|name| now.contains_key(*name));
                others::ism_policies(self.client, &names.collect::<Vec<_>>()).await?
            }
            false => BTreeMap::new(),
        };
        let mut indices = Vec::new();
        for found in found {
            let Some(now) = now.remove(found.name()) else {
                return Err(Error::Failed(format!(
                    "index {} was deleted during the dump; run the dump again when nobody does that",
                    found.name()
                )));
            };
            let IndexDefinition { name, data_stream, closed, file, .. } = found.definition.clone();
            let ism_policy = managed.get(&name).filter(|policy| around.policies.contains_key(*policy)).cloned();
            indices.push(match schema {
                true => IndexDefinition { closed, file, data_stream, ism_policy, ..now },
                false => IndexDefinition { name, data_stream, closed, file, ..IndexDefinition::default() },
            });
        }
        let version = self.client.version();
        let server = Server {
            flavour: version.flavour.name().into(),
            version: version.text.clone(),
            cluster: version.cluster.clone(),
        };
        let around::Around { policies, component_templates, index_templates, legacy_templates, .. } = around;
        let unseen = around.unseen.into_iter().map(|kind| (kind.into(), vec![not_kept::UNSEEN.into()]));
        let left = around.left.into_iter().map(|(kind, names)| (kind.into(), names));
        Ok(Index {
            schema,
            data: !parameters.schema_only,
            filtered: parameters.filtered(&hidden),
            omitted: left_out,
            cluster_settings: around.cluster_settings,
            policies,
            component_templates,
            index_templates,
            legacy_templates,
            pipelines: around.pipelines,
            scripts: around.scripts,
            search_pipelines: around.search_pipelines,
            synonym_sets: around.synonym_sets,
            enrich_policies: around.enrich_policies,
            not_kept: unseen.chain(left).collect(),
            indices,
            data_streams,
            ..Index::new(concat!("coffer ", env!("CARGO_PKG_VERSION")), server, consistency)
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
