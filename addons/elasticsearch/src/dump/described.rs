//! What the index says of a dump: all definitions, and what is in no dump.

use super::Run;
use crate::catalog::needed::Needed;
use crate::catalog::{self, Found, around, inference, not_kept, others, streams};
use crate::layout::{Consistency, DataStream, Index, IndexDefinition, Server};
use coffer_addon::{Error, Result};
use std::collections::BTreeMap;

type NotKept = BTreeMap<String, Vec<String>>;

impl Run<'_> {
    /// What no dump has. Failure stores take no documents but the server's own.
    pub(super) async fn not_kept(
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

    /// Read after the points in time were opened: what a document has added to a mapping is in it.
    pub(super) async fn index(
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
            cluster_uuid: version.cluster_uuid.clone(),
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
