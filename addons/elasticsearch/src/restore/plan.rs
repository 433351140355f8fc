//! What of a dump is restored, and under which names: decided from its index alone.

use super::cluster::Cluster;
use super::names;
use super::parameters::Restore;
use super::settings::{Knows, Settings};
use super::types;
use crate::client::Version;
use crate::layout::{DataStream, Definition, Definitions, Index, IndexDefinition};
use coffer_addon::{Error, Result, omitted};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// An index that is made, or used where the dump has documents alone.
#[derive(Clone, Debug)]
pub struct Planned {
    /// In the dump.
    pub name: String,
    /// On the server.
    pub target: String,
    pub settings: Settings,
    /// As the server takes them.
    pub mappings: Option<Definition>,
    pub aliases: Definitions,
    pub is_closed: bool,
    /// Of ISM, where the server has that.
    pub ism_policy: Option<String>,
    /// The artifact with its documents.
    pub file: Option<String>,
}

/// A data stream that is made.
#[derive(Clone, Debug)]
pub struct Stream {
    pub target: String,
    pub aliases: Definitions,
    /// Oldest first.
    pub indices: Vec<Backing>,
    /// What was set on the stream itself, by the last part of the path to put it to: before documents come, and behind them.
    pub before: Vec<(&'static str, Definition)>,
    pub behind: Vec<(&'static str, Definition)>,
}

/// An index of a data stream.
#[derive(Clone, Debug)]
pub struct Backing {
    /// In the dump; the server gives it another.
    pub name: String,
    /// What the dump says of it, where it has it.
    pub made: Option<Planned>,
}

impl Backing {
    pub fn file(&self) -> Option<&str> {
        self.made.as_ref().and_then(|made| made.file.as_deref())
    }
}

#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The server that was dumped, for people; empty where nobody knows.
    pub origin: String,
    /// What of the indices that were made is not the dump's, for people.
    pub differing: Vec<String>,
    /// Whether indices are made; otherwise they have to be there.
    pub makes: bool,
    pub indices: Vec<Planned>,
    pub streams: Vec<Stream>,
    /// How many of Dashboards' saved objects were restored, where they are.
    pub saved_objects: Option<u64>,
    /// What belongs to none of them.
    pub cluster: Cluster,
    /// Of the cluster, persistent, flat.
    pub cluster_settings: BTreeMap<String, Value>,
    /// What a filter leaves out: indices with the names of their files.
    pub left_out: BTreeMap<String, Option<String>>,
}

impl Plan {
    /// `is_whole`: there is no more of the dump than the index says.
    pub fn new(index: &Index, parameters: &Restore, version: &Version, is_whole: bool) -> Result<Plan> {
        let cluster_settings = index.cluster_settings.clone();
        let origin = match index.server.version.as_str() {
            "" => String::new(),
            version => format!("{} {version}", index.server.flavour),
        };
        let mut plan = Plan { origin, makes: index.schema, cluster_settings, ..Plan::default() };
        let by_name: BTreeMap<&str, &IndexDefinition> =
            index.indices.iter().map(|index| (index.name.as_str(), index)).collect();
        let backing: BTreeSet<&str> =
            index.data_streams.iter().flat_map(|stream| stream.indices.iter().map(String::as_str)).collect();
        for stream in &index.data_streams {
            if parameters.selects(&stream.name) {
                plan.streams.push(planned_stream(stream, parameters, version, &by_name)?);
            } else {
                let file = |name: &String| by_name.get(name.as_str()).and_then(|index| index.file.clone());
                plan.left_out.extend(stream.indices.iter().map(|name| (name.clone(), file(name))));
            }
        }
        for index in &index.indices {
            // Of a stream that is not in the dump it is an index like others.
            if backing.contains(index.name.as_str()) {
                continue;
            }
            if parameters.selects(&index.name) && !plan.is_security(index, parameters) {
                plan.indices.push(planned(index, parameters, version)?);
            } else {
                plan.left_out.insert(index.name.clone(), index.file.clone());
            }
        }
        if is_whole {
            plan.check_names(index, parameters)?;
        }
        for (target, policy) in
            plan.indices.iter().filter_map(|index| Some((&index.target, index.settings.ages_from_a_date()?)))
        {
            coffer_addon::warn!(
                "{target} is as old as its index.lifecycle.origination_date says: the policy {policy} may end it as soon as it is \
                 restored; leave that out with omitSettings (index.lifecycle.*) to keep it"
            );
        }
        plan.check_targets()?;
        Ok(plan)
    }

    /// Users and roles are not restored by the way: whoever can write a dump could log in as anybody then.
    fn is_security(&self, index: &IndexDefinition, parameters: &Restore) -> bool {
        let is_one = names::is_security(&parameters.rename.of(&index.name));
        if is_one {
            coffer_addon::warn!(
                "{} is not restored: it says who may do what on the server; for a look at it give it another name by rename",
                index.name
            );
        }
        is_one
    }

    /// What another part of the dump comes to.
    pub fn extend(&mut self, other: Plan) {
        self.indices.extend(other.indices);
        self.streams.extend(other.streams);
        self.left_out.extend(other.left_out);
        self.cluster.extend(other.cluster);
    }

    /// Names on the server, of indices and of data streams.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        let streams = self.streams.iter().map(|stream| stream.target.as_str());
        self.indices.iter().map(|index| index.target.as_str()).chain(streams)
    }

    /// Parameters that name what the dump does not have.
    fn check_names(&self, index: &Index, parameters: &Restore) -> Result<()> {
        let indices = index.indices.iter().map(|index| index.name.as_str());
        let streams = index.data_streams.iter().map(|stream| stream.name.as_str());
        let names: Vec<&str> = indices.chain(streams).collect();
        let unknown = |what: &str, patterns: Vec<&str>| {
            Error::InvalidParameter(format!(
                "{what}: the dump has no index or data stream like {}, only {}",
                patterns.join(", "),
                omitted::line(&names)
            ))
        };
        let unmatched = parameters.include.without_match(&names);
        if !unmatched.is_empty() {
            return Err(unknown("include", unmatched));
        }
        let aliases = index.indices.iter().flat_map(|index| index.aliases.keys());
        let aliases = aliases.chain(index.data_streams.iter().flat_map(|stream| stream.aliases.keys()));
        let all: Vec<&str> = names.iter().copied().chain(aliases.map(String::as_str)).collect();
        let unmatched = parameters.rename.without_match(&all);
        if !unmatched.is_empty() {
            return Err(unknown("rename", unmatched));
        }
        if !names.is_empty() && parameters.is_filtered() && self.targets().next().is_none() {
            return Err(Error::InvalidParameter(format!(
                "{}: it leaves nothing of the dump to restore; it has {}",
                if parameters.exclude.is_empty() { "include" } else { "exclude" },
                omitted::line(&names)
            )));
        }
        // A copy leaves them out of the dump already.
        let unmatched = parameters.exclude.without_match(&names);
        if !unmatched.is_empty() {
            coffer_addon::warn!("exclude: the dump has no index or data stream like {}", unmatched.join(", "));
        }
        Ok(())
    }

    fn check_targets(&self) -> Result<()> {
        self.targets().try_for_each(names::check_index)?;
        let mut targets = BTreeSet::new();
        if let Some(twice) = self.targets().find(|target| !targets.insert(*target)) {
            return Err(Error::InvalidParameter(format!("rename: two indices or data streams would become {twice}")));
        }
        if !self.left_out.is_empty() {
            coffer_addon::info!("not restored: {}", omitted::line(self.left_out.keys()));
        }
        Ok(())
    }
}

fn planned_stream(
    stream: &DataStream,
    parameters: &Restore,
    version: &Version,
    by_name: &BTreeMap<&str, &IndexDefinition>,
) -> Result<Stream> {
    let backing = |name: &String| -> Result<Backing> {
        let index = by_name.get(name.as_str());
        let made = index.map(|index| planned(index, parameters, version)).transpose()?;
        Ok(Backing { name: name.clone(), made })
    };
    // Retention counts from when an index was rolled over: behind the documents, so that it does not end one meanwhile.
    let said = |parts: [(&'static str, &Option<Definition>); 2]| {
        let parts = parts.into_iter().filter(|_| parameters.templates);
        parts.filter_map(|(path, body)| Some((path, body.clone()?))).collect()
    };
    Ok(Stream {
        target: parameters.rename.of(&stream.name).into_owned(),
        aliases: stream.aliases.clone(),
        indices: stream.indices.iter().map(backing).collect::<Result<_>>()?,
        before: said([("_settings", &stream.settings), ("_mappings", &stream.mappings)]),
        behind: said([("_lifecycle", &stream.lifecycle), ("_options", &stream.options)]),
    })
}

/// An index of the dump as this server takes it.
pub fn planned(index: &IndexDefinition, parameters: &Restore, version: &Version) -> Result<Planned> {
    let mut said: Map<String, Value> = index.settings.clone().into_iter().collect();
    for name in ["index.lifecycle.rollover_alias", "index.plugins.index_state_management.rollover_alias"] {
        if let Some(Value::String(alias)) = said.get_mut(name) {
            *alias = parameters.rename.of(alias).into_owned();
        }
    }
    let mappings = index.mappings.as_ref().map(|mappings| types::mapping(mappings, version.has_types()));
    let mappings = mappings.transpose().map_err(|error| error.context(format!("the mapping of {}", index.name)))?;
    Ok(Planned {
        name: index.name.clone(),
        target: parameters.rename.of(&index.name).into_owned(),
        settings: Settings::new(&Value::Object(said), &parameters.omit_settings, Knows::of(version)),
        mappings,
        aliases: index.aliases.clone(),
        is_closed: index.closed,
        ism_policy: index.ism_policy.clone().filter(|_| parameters.templates && !version.is_elasticsearch()),
        file: index.file.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let index = serde_json::json!({ "format": 1, "tool": "a test", "consistency": "pit", "schema": true, "data": true,
            "server": { "flavour": "Elasticsearch", "version": "8.19.0", "cluster": "c" },
            "indices": [
                { "name": ".ds-e-000001", "dataStream": "e", "file": ".ds-e-000001.json" },
                { "name": "a-1", "file": "a-1.json", "aliases": { "a": {} },
                    "settings": { "index.lifecycle.rollover_alias": "a", "index.uuid": "u" } },
                { "name": "a-2", "closed": true },
                { "name": "b", "file": "b.json" }],
            "dataStreams": [{ "name": "e", "template": "t", "timestampField": "@timestamp",
                "indices": [".ds-e-000001", ".ds-e-000002"] }] });
        serde_json::from_value(index).expect("an index")
    }

    fn plan(parameters: &str) -> Result<Plan> {
        let version = serde_json::json!({ "version": { "number": "8.19.0" } });
        let parameters: Restore = serde_json::from_str(parameters).expect("parameters");
        Plan::new(&index(), &parameters, &Version::of(&version).expect("a version"), true)
    }

    #[test]
    fn names_are_chosen_and_changed() {
        let whole = plan("{}").expect("planned");
        assert_eq!(whole.targets().collect::<Vec<_>>(), ["a-1", "a-2", "b", "e"]);
        assert!(whole.left_out.is_empty() && whole.indices[1].is_closed);
        let stream = &whole.streams[0];
        assert_eq!(stream.indices.iter().map(Backing::file).collect::<Vec<_>>(), [Some(".ds-e-000001.json"), None]);

        let some = plan(r#"{"include": ["a-*"], "exclude": ["a-2"], "rename": {"a*": "c*"}}"#).expect("planned");
        assert_eq!(some.targets().collect::<Vec<_>>(), ["c-1"]);
        assert_eq!(some.indices[0].settings.later["index.lifecycle.rollover_alias"], "c");
        assert!(some.indices[0].settings.first.is_empty());
        assert_eq!(some.left_out.keys().collect::<Vec<_>>(), [".ds-e-000001", ".ds-e-000002", "a-2", "b"]);
    }

    #[test]
    fn names_that_cannot_be_meant_are_told() {
        for (parameters, wanted) in [
            (r#"{"include": ["x*"]}"#, "include: the dump has no index or data stream like x*"),
            (r#"{"rename": {"x": "y"}}"#, "rename: the dump has no index or data stream like x"),
            (r#"{"rename": {"a-1": "b"}}"#, "would become b"),
            (r#"{"exclude": ["*"]}"#, "exclude: it leaves nothing of the dump to restore"),
            (r#"{"include": ["a-1"], "exclude": ["a*"]}"#, "exclude: it leaves nothing"),
        ] {
            let error = plan(parameters).expect_err(wanted);
            assert!(matches!(&error, Error::InvalidParameter(text) if text.contains(wanted)), "{error}");
        }
    }
}
