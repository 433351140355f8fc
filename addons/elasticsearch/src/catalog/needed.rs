//! What the dumped indices and data streams cannot do without, whoever made it: the templates of streams, pipelines, policies, and
//! what these are made of.

use super::Found;
use super::around::Around;
use crate::layout::{DataStream, Definitions};
use coffer_addon::Result;
use serde_json::Value;
use std::collections::BTreeSet;

/// By kind, names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    pub index_templates: BTreeSet<String>,
    pub component_templates: BTreeSet<String>,
    pub pipelines: BTreeSet<String>,
    pub policies: BTreeSet<String>,
}

impl Needed {
    /// Of these alone; what they need themselves is found by [`Needed::follow`].
    pub fn of(found: &[Found], streams: &[DataStream]) -> Needed {
        let mut needed = Needed {
            index_templates: streams.iter().map(|stream| stream.template.clone()).collect(),
            ..Needed::default()
        };
        for found in found {
            let named = |name: &str| found.setting(name).map(str::to_owned);
            needed.pipelines.extend(named("index.default_pipeline"));
            needed.pipelines.extend(named("index.final_pipeline"));
            needed.policies.extend(named("index.lifecycle.name"));
        }
        needed
    }

    /// Adds what these need.
    pub fn follow(&mut self, around: &Around) -> Result<()> {
        for template in definitions(&around.index_templates, &self.index_templates)? {
            let composed = template.get("composed_of").and_then(Value::as_array).into_iter().flatten();
            self.component_templates.extend(composed.filter_map(Value::as_str).map(str::to_owned));
            self.add_settings(&template);
        }
        for template in definitions(&around.component_templates, &self.component_templates)? {
            self.add_settings(&template);
        }
        let mut new = self.pipelines.clone();
        while !new.is_empty() {
            let mut called = BTreeSet::new();
            definitions(&around.pipelines, &new)?.iter().for_each(|pipeline| add_called(pipeline, &mut called));
            new = called.difference(&self.pipelines).cloned().collect();
            self.pipelines.extend(new.iter().cloned());
        }
        Ok(())
    }

    fn add_settings(&mut self, template: &Value) {
        let setting = |name: &str| {
            let path = format!("/template/settings/index/{name}");
            template.pointer(&path).and_then(Value::as_str).map(str::to_owned)
        };
        self.pipelines.extend(setting("default_pipeline"));
        self.pipelines.extend(setting("final_pipeline"));
        self.policies.extend(setting("lifecycle/name"));
    }
}

fn definitions(all: &Definitions, names: &BTreeSet<String>) -> Result<Vec<Value>> {
    let found = names.iter().filter_map(|name| all.get(name));
    Ok(found.map(|definition| definition.value()).collect::<std::result::Result<_, _>>()?)
}

/// Wherever in a pipeline another is called.
fn add_called(within: &Value, into: &mut BTreeSet<String>) {
    match within {
        Value::Array(list) => list.iter().for_each(|value| add_called(value, into)),
        Value::Object(fields) => {
            into.extend(within.pointer("/pipeline/name").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| add_called(value, into));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Definition;
    use serde_json::json;

    #[test]
    fn what_is_needed_needs_more() {
        let definition = |value: Value| Definition::new(&value).expect("JSON");
        let one = |name: &str, value: Value| Definitions::from([(name.to_owned(), definition(value))]);
        let mut around = Around {
            index_templates: one("t", json!({ "composed_of": ["c", "gone"] })),
            component_templates: one(
                "c",
                json!({ "template": { "settings": { "index": {
                "final_pipeline": "p", "lifecycle": { "name": "l" } } } } }),
            ),
            pipelines: one(
                "p",
                json!({ "processors": [{ "foreach": { "processor": { "pipeline": { "name": "q" } } } }] }),
            ),
            ..Around::default()
        };
        around.pipelines.extend(one("q", json!({ "on_failure": [{ "pipeline": { "name": "p" } }] })));
        let mut needed = Needed { index_templates: ["t".to_owned()].into(), ..Needed::default() };
        needed.follow(&around).expect("readable");
        let names = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(names(&needed.component_templates), "c gone");
        assert_eq!((names(&needed.pipelines), names(&needed.policies)), ("p q".into(), "l".into()));
    }
}
