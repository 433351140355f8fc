//! mongodb-dump: a source that reads databases into mongodump's files.
//!
//! | module | what |
//! |---|---|
//! | [`point`] | the moment that the dump is of |
//! | [`documents`] | collections read into their files |
//! | [`counts`] | whether all of them were |
//! | [`splitting`] | large collections cut into ranges |
//! | [`filters`] | which documents of a collection are meant |
//! | [`oplog`] | what was written meanwhile |
//! | [`sessions`] | what keeps cursors alive |

mod counts;
mod documents;
mod filters;
mod oplog;
mod point;
mod sessions;
mod splitting;
mod unlogged;

use crate::catalog::{self, Found, Selection};
use crate::client::{Client, Engine, Login, Members, end_left, members, stoppable};
use crate::layout::{self, Consistency, Data, FORMAT, Hash, INDEX, Index, Kind, MAX_INDEX, PRELUDE, Server, Timestamp};
use crate::parameters::{self, Dump};
use coffer_addon::work::{Queue, Tally};
use coffer_addon::{Application, Error, Outbox, Report, Result};
use counts::{Counts, During};
use documents::{Documents, File, has_documents};
use filters::Filters;
use futures::future::try_join_all;
use point::Plan;
use std::collections::BTreeSet;
use unlogged::Unlogged;

pub async fn dump(application: Application, outbox: Outbox, parameters: Dump) -> Result<Report> {
    if parameters.data_only && parameters.schema_only {
        return Err(Error::InvalidParameter("dataOnly and schemaOnly leave nothing to dump; set one of them".into()));
    }
    let filters = Filters::parse(&parameters.query)?;
    let login = Login::of(&application)?;
    let run = Run { application: &application, login: &login, outbox: &outbox, filters };
    stoppable(&application, &login, run.run(parameters)).await
}

/// How often a catalog is read that changes until the snapshot is chosen.
const ROUNDS: usize = 5;

/// What there is to dump.
struct Catalog<'a> {
    selection: Selection<'a>,
    found: Vec<Found>,
    snapshot: Option<Timestamp>,
}

/// What a dump works with from its beginning to its end.
struct Run<'a> {
    application: &'a Application,
    login: &'a Login,
    outbox: &'a Outbox,
    filters: Filters,
}

impl Run<'_> {
    async fn run(&self, mut parameters: Dump) -> Result<Report> {
        if parameters.databases.is_empty() {
            // A URL names `admin` to say where its user is, not what to dump.
            let named = self.login.database.clone().filter(|name| !catalog::OWN.contains(&name.as_str()));
            parameters.databases.extend(named);
        }
        let filtered = parameters.filtered();
        members::check_whole(&self.application.binding())?;
        let members = Members::ask(self.application, self.login).await?;
        let member = members.choose(parameters.read_preference.into())?;
        let (endpoint, doubt) = (member.endpoint.clone(), members.doubt(member));
        let mut leader = Client::connect(self.application, self.login, Some(&endpoint)).await?;
        point::check_kind(&leader)?;
        if let Some(doubt) = &doubt {
            coffer_addon::warn!("the dump may be old: {doubt}");
        }

        let unlogged = Unlogged::look(&mut leader, &parameters).await?;
        let mut plan = point::plan(&mut leader, &parameters, filtered.as_deref()).await?;
        let Catalog { selection, mut found, snapshot } = self.catalog(&mut leader, &parameters, &mut plan).await?;
        self.filters.check(&mut leader, &found).await?;
        // Of a view there is nothing but its definition.
        found.retain(|found| !parameters.data_only || has_documents(found));
        let users = if parameters.users_and_roles { catalog::users_and_roles(&mut leader).await? } else { Vec::new() };
        found.extend(users);
        found.sort_by(|a, b| (&a.database, &a.name).cmp(&(&b.database, &b.name)));
        if let Plan::None(why) = &plan
            && parameters.consistency == parameters::Consistency::Auto
            && !parameters.schema_only
        {
            coffer_addon::warn!("THE DOCUMENTS ARE OF DIFFERENT MOMENTS if any are written during the dump: {why}");
        }

        self.begin(&leader, &parameters, &found).await?;
        let tally = Tally::new((!parameters.schema_only).then(|| found.iter().map(|found| found.bytes).sum()));
        found.iter().for_each(|_| tally.add_table());
        let databases = selection.databases.len();
        coffer_addon::info!("dumping {} collections of {databases} databases from {endpoint}", found.len());
        let counts = Counts::default();
        let data = if parameters.schema_only {
            vec![None; found.len()]
        } else {
            let shared = Documents { outbox: self.outbox, tally: &tally, snapshot, counts: &counts };
            self.read(&mut leader, &endpoint, &parameters, &found, &plan, &shared).await?
        };

        let (consistency, oplog) = match (plan, snapshot) {
            (Plan::Oplog { start }, _) => {
                let oplog::Window { data, end, written } = oplog::dump(&mut leader, self.outbox, start).await?;
                unlogged.check(&mut leader, &parameters, &found, &written).await?;
                counts.check(&mut leader, During::Oplog(&written)).await?;
                (Consistency::Oplog { start, end }, Some(data))
            }
            (_, Some(at)) => {
                counts.check(&mut leader, During::Snapshot(at)).await?;
                (Consistency::Snapshot { at }, None)
            }
            (Plan::None(why), _) => {
                counts.check(&mut leader, During::Unknown).await?;
                (Consistency::None { why }, None)
            }
            (Plan::Snapshot, None) => return Err(Error::Failed("the snapshot has no moment".into())),
        };
        let index = Index {
            format: FORMAT,
            tool: concat!("coffer ", env!("CARGO_PKG_VERSION")).into(),
            server: server(&leader),
            consistency,
            schema: !parameters.data_only,
            data: !parameters.schema_only,
            filtered,
            collections: found.iter().zip(data).map(|(found, data)| indexed(found, data, &parameters)).collect(),
            oplog,
        };
        let bytes = index.to_bytes()?;
        check_length(bytes.len())?;
        self.outbox.file(INDEX).label("mediaType", "application/json").write_all(&bytes).await?;
        leader.close().await;
        let report = report(&index, &selection.databases, &tally);
        Ok(doubt.into_iter().fold(report, |report, doubt| report.fact("perhapsOld", doubt)))
    }

    /// What there is to dump, and the moment of the snapshot, where the documents are to be of one: nothing else is there at that
    /// moment.
    async fn catalog<'a>(&self, leader: &mut Client, parameters: &'a Dump, plan: &mut Plan) -> Result<Catalog<'a>> {
        let mut rounds = ROUNDS;
        loop {
            let selection = Selection::new(leader, parameters).await?;
            let found = catalog::read(leader, &selection).await?;
            let snapshot = self.fix(leader, parameters, plan, &found).await?;
            if snapshot.is_none() {
                return Ok(Catalog { selection, found, snapshot });
            }
            let before = found.iter().map(Found::identity).collect();
            let now = catalog::identities(leader, parameters).await?;
            let changed: BTreeSet<&str> = now.symmetric_difference(&before).map(|(name, _)| name.as_str()).collect();
            if changed.is_empty() {
                return Ok(Catalog { selection, found, snapshot });
            }
            rounds -= 1;
            let names = coffer_addon::omitted::line(&changed);
            if rounds == 0 {
                return Err(Error::Failed(format!(
                    "collections were made, dropped or renamed again and again before the snapshot was chosen: {names}; run the dump \
                     when nobody does that, or leave them out with exclude"
                )));
            }
            coffer_addon::debug!("made, dropped or renamed before the snapshot was chosen: {names}; looking again");
        }
    }

    /// Notes the snapshot's moment, where the documents are to be of one.
    async fn fix(
        &self,
        leader: &mut Client,
        parameters: &Dump,
        plan: &mut Plan,
        found: &[Found],
    ) -> Result<Option<Timestamp>> {
        if *plan != Plan::Snapshot {
            return Ok(None);
        }
        let others = without_snapshots(leader, found);
        if others.is_empty() {
            return point::snapshot(leader).await.map(Some);
        }
        let why = format!(
            "these cannot be read from a snapshot (the server's own databases, and before MongoDB 8.0 capped collections): {}",
            coffer_addon::omitted::line(others)
        );
        if parameters.consistency == parameters::Consistency::Snapshot {
            return Err(Error::Unsupported(format!(
                "consistency: {why}; exclude them, or set it to `none`, or dump the whole server with `oplog`"
            )));
        }
        *plan = Plan::None(why);
        Ok(None)
    }

    /// What does not depend on documents.
    async fn begin(&self, leader: &Client, parameters: &Dump, found: &[Found]) -> Result<()> {
        let json = |name: String| self.outbox.file(name).label("mediaType", "application/json");
        let prelude = serde_json::json!({
            "ServerVersion": leader.version().text,
            "ToolVersion": concat!("coffer ", env!("CARGO_PKG_VERSION")),
        });
        json(PRELUDE.into()).write_all(prelude.to_string().as_bytes()).await?;
        let lengths: Result<Vec<usize>> = found.iter().map(|found| longest(found, parameters)).collect();
        check_length(lengths?.iter().sum())?;
        if parameters.data_only {
            return Ok(());
        }
        for found in found {
            let name = layout::metadata_name(&found.database, &found.name);
            json(name).write_all(found.metadata.as_bytes()).await?;
        }
        Ok(())
    }

    /// Reads all documents; gives what each collection's file has.
    async fn read(
        &self,
        leader: &mut Client,
        endpoint: &str,
        parameters: &Dump,
        found: &[Found],
        plan: &Plan,
        shared: &Documents<'_>,
    ) -> Result<Vec<Option<Data>>> {
        let files: Vec<Option<File<'_>>> = found.iter().map(|found| self.file(found)).collect();
        let mut pieces = Vec::new();
        for file in files.iter().flatten() {
            let ranges = splitting::ranges(leader, file.found, parameters.split_size).await?;
            pieces.extend(file.cut(ranges));
        }
        let count = parameters.jobs.up_to(pieces.len());
        let queue = Queue::new(pieces, |piece| piece.size);
        let mut workers = Vec::new();
        for _ in 0..count {
            workers.push(Client::connect(self.application, self.login, Some(endpoint)).await?);
        }
        let watch = sessions::Watch {
            application: self.application,
            login: self.login,
            endpoint,
            sessions: workers.iter().chain([&*leader]).filter_map(Client::session).collect(),
            oplog: match plan {
                Plan::Oplog { start } => Some(*start),
                _ => None,
            },
        };
        let work = try_join_all(workers.iter_mut().map(|worker| shared.work(worker, &queue)));
        if let Err(error) = watch.during(work).await {
            // While the files are there: one that is let go of in the middle would end the run at once.
            drop(workers);
            end_left(self.application, self.login).await;
            return Err(error);
        }
        for worker in workers {
            worker.close().await;
        }
        Ok(files.iter().map(|file| file.as_ref().map(File::data)).collect())
    }

    fn file<'a>(&'a self, found: &'a Found) -> Option<File<'a>> {
        let name = match found.kind {
            Kind::Timeseries => format!("{}{}", layout::BUCKETS, found.name),
            _ => found.name.clone(),
        };
        let name = layout::data_name(&found.database, &name);
        has_documents(found).then(|| File::new(found, name, self.filters.of(&found.namespace())))
    }
}

/// Collections whose documents the server does not read from a snapshot.
fn without_snapshots(leader: &Client, found: &[Found]) -> Vec<String> {
    let capped = leader.version().is_since(point::SNAPSHOTS_OF_CAPPED);
    let cannot = |found: &&Found| {
        has_documents(found) && (catalog::OWN.contains(&found.database.as_str()) || (found.is_capped() && !capped))
    };
    found.iter().filter(cannot).map(Found::namespace).collect()
}

/// A restore takes no longer one.
fn check_length(length: usize) -> Result<()> {
    if length > MAX_INDEX {
        return Err(Error::Unsupported(format!(
            "the definitions come to {length} bytes, and mongodb-restore holds up to {MAX_INDEX}; dump in several parts, by databases \
             or include"
        )));
    }
    Ok(())
}

/// What a collection has of the index at the most: its metadata stand there as a text within a text.
fn longest(found: &Found, parameters: &Dump) -> Result<usize> {
    let has_data = !parameters.schema_only && has_documents(found);
    let data = has_data.then(|| Data {
        file: layout::data_name(&found.database, &format!("{}{}", layout::BUCKETS, found.name)),
        documents: u64::MAX,
        bytes: u64::MAX,
        hash: Hash::default(),
    });
    // A comma follows.
    Ok(serde_json::to_vec(&indexed(found, data, parameters))?.len() + 1)
}

fn indexed(found: &Found, data: Option<Data>, parameters: &Dump) -> layout::Collection {
    layout::Collection {
        database: found.database.clone(),
        name: found.name.clone(),
        kind: found.kind,
        metadata: (!parameters.data_only).then(|| found.metadata.clone()),
        uuid: found.uuid.map(catalog::digits),
        data,
    }
}

fn server(leader: &Client) -> Server {
    let version = leader.version();
    let engine = match &version.engine {
        Engine::MongoDb => "MongoDB".to_string(),
        Engine::FerretDb(version) => format!("FerretDB {version}"),
    };
    Server { engine, version: version.text.clone(), replica_set: leader.hello().set_name.clone() }
}

fn report(index: &Index, databases: &[String], tally: &Tally) -> Report {
    let mut report = Report::new()
        .fact("databases", databases.join(", "))
        .fact("serverVersion", &index.server.version)
        .fact("consistency", index.consistency.name());
    report = match &index.consistency {
        Consistency::Oplog { start, end } => report.fact("oplogStart", start).fact("oplogEnd", end),
        Consistency::Snapshot { at } => report.fact("snapshot", at),
        Consistency::None { why } => report.fact("inconsistentBecause", why),
    };
    if let Some(oplog) = &index.oplog {
        report = report.fact("oplogEntries", oplog.documents);
    }
    if let Some(filtered) = &index.filtered {
        report = report.fact("filtered", filtered);
    }
    tally.report(report)
}
