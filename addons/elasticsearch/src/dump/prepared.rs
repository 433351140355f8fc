//! What is done before anything is read: what can be dumped, opened, refreshed, and as of which moment.

use super::contexts::Context;
use super::file::File;
use super::{Run, point};
use crate::catalog::security::Security;
use crate::catalog::{Found, lossy, restricted, unseen};
use crate::client::Body;
use crate::layout::{self, Consistency, DataStream};
use coffer_addon::http::segment;
use coffer_addon::{Error, Result, omitted};
use serde_json::Value;

/// Of how many shards points in time are opened before anything is read: nearly one moment. OpenSearch allows 300 of a node.
const AT_FIRST: u32 = 200;

/// More slices no server cuts into.
const MAX_SLICES: u32 = 1024;

impl Run<'_> {
    /// Fails where the server shows the user a part only; gives the names of those of its own indices that it does not show.
    pub(super) async fn check_seen(
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

    /// Says which indices have a file, and what cannot be taken along.
    pub(super) async fn check(&self, found: &mut [Found], security: &Security) -> Result<Vec<String>> {
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

    /// They are closed again at the end.
    pub(super) async fn open_closed(&self, found: &[Found]) -> Result<()> {
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
    pub(super) async fn refresh(&self, found: &[Found]) -> Result<()> {
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

    /// Opens points in time, unless the server has none. Of those that are many only the first: the others when it is their
    /// turn.
    pub(super) async fn begin(&self, found: &[&Found]) -> Result<(Consistency, Vec<u64>)> {
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

    pub(super) fn file<'a>(
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
}
