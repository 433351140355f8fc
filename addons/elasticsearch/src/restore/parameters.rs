//! What an operator may set on elasticsearch-restore. Its schema is generated from this type.

use super::rename::Rename;
use coffer_addon::parameters::{Jobs, Patterns, Span};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// elasticsearch-restore.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Restore {
    /// Indices, data streams and aliases that get another name, e.g. `{"shop-*": "copy-*"}`: what the first `*` stands for
    /// takes the place of the second. The others keep theirs.
    pub rename: Rename,
    /// Only indices and data streams whose name in the dump matches one of these; `*` and `?` stand for other characters.
    /// Empty: all.
    pub include: Patterns,
    /// Without those that match one of these.
    pub exclude: Patterns,
    /// Replace indices, data streams, templates, pipelines, scripts and policies that are there already; indices and data
    /// streams are deleted with all of their documents first. Otherwise what is there ends the restore before it begins,
    /// unless it is a template or the like that is the same as the dump's.
    pub overwrite: bool,
    /// Refuse a target that is the cluster of the dump, whatever its address: a copy would delete what it is made of.
    pub other_cluster: bool,
    /// How many requests index documents at once.
    pub jobs: Jobs,
    /// Go on when documents are refused, and fail at the end with their number and the first of them. Otherwise the first
    /// one ends the restore.
    pub collect_errors: bool,
    /// Restore the dump's templates, pipelines, scripts and policies too.
    pub templates: bool,
    /// Restore aliases too.
    pub aliases: bool,
    /// Restore the cluster's persistent settings too, where the dump has them.
    pub cluster_settings: bool,
    /// Restore the saved objects of Kibana or OpenSearch Dashboards too, where the dump has them; the binding's
    /// parameter `dashboards` has to say where that is.
    pub saved_objects: bool,
    /// Settings of indices that are left out, e.g. `index.lifecycle.*` for a server that does not know them.
    pub omit_settings: Patterns,
    /// How long a server is waited for that has no time for documents, e.g. `90s` or `5m`.
    pub patience: Span,
}

impl Default for Restore {
    fn default() -> Self {
        Restore {
            rename: Rename::default(),
            include: Patterns::default(),
            exclude: Patterns::default(),
            overwrite: false,
            other_cluster: false,
            jobs: Jobs::default(),
            collect_errors: false,
            templates: true,
            aliases: true,
            cluster_settings: false,
            saved_objects: false,
            omit_settings: Patterns::default(),
            patience: Span(Duration::from_secs(300)),
        }
    }
}

impl Restore {
    /// Whether something may be left out.
    pub fn is_filtered(&self) -> bool {
        !self.include.is_empty() || !self.exclude.is_empty()
    }

    /// Whether an index or a data stream of the dump is asked for.
    pub fn selects(&self, name: &str) -> bool {
        Patterns::select(&self.include, &self.exclude, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_default_and_nothing_else_is_taken() {
        let read = |text: &str| serde_json::from_str::<Restore>(text);
        let restore = read("{}").expect("all have defaults");
        assert!(!restore.overwrite && restore.templates && restore.aliases && restore.jobs == Jobs(2));
        let restore = read(r#"{"rename": {"a-*": "b-*"}, "exclude": ["a-log*"]}"#).expect("understood");
        assert_eq!((restore.rename.of("a-x").as_ref(), restore.rename.of("c").as_ref()), ("b-x", "c"));
        assert!(restore.selects("a-x") && !restore.selects("a-log1"));
        for wrong in [r#"{"drop": true}"#, r#"{"rename": {"a*": "b**"}}"#, r#"{"rename": {"a": "b*"}}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
