//! What an addon brings: the Function and Task objects made from its own description.

use coffer_addon_descriptor as descriptor;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};
use serde_json::{Map, Value};

use crate::{
    API_VERSION, Addon, Capability, Cause, Function, FunctionSpec, Parameters, Role, Serves, Task, TaskSpec, TaskStep,
    labels,
    parameters::ParameterSchema,
    refs::Name,
    validate::{self, Invalid},
};

/// The objects that an Addon owns.
#[derive(Clone, Debug)]
pub struct Brought {
    /// Its Functions.
    pub functions: Vec<Function>,
    /// Its Tasks.
    pub tasks: Vec<Task>,
}

/// The objects of an addon that describes itself so. `addon` has a name and a uid. Refuses a description that
/// contradicts itself, listing all that is wrong with it. That its contract is served, the runtime has seen.
pub fn brought(addon: &Addon, description: &descriptor::Descriptor) -> Result<Brought, Invalid> {
    let mut causes = Vec::new();
    let names = description.functions.iter().map(|function| function.name.as_str()).enumerate();
    validate::unique(names.map(|(at, name)| (format!("functions[{at}].name"), name)), "functions", &mut causes);
    let names = description.tasks.iter().map(|task| task.name.as_str()).enumerate();
    validate::unique(names.map(|(at, name)| (format!("tasks[{at}].name"), name)), "tasks", &mut causes);

    let functions = description.functions.iter().map(|described| function(addon, described, &mut causes)).collect();
    let tasks = description.tasks.iter().map(|described| task(addon, description, described, &mut causes)).collect();
    if causes.is_empty() {
        Ok(Brought { functions, tasks })
    } else {
        Err(Invalid { kind: "Addon".to_owned(), namespace: None, name: addon.name_any(), causes })
    }
}

fn function(addon: &Addon, described: &descriptor::Function, causes: &mut Vec<Cause>) -> Function {
    let path = format!("functions[{}]", described.name);
    let parameters = match &described.parameters {
        Value::Object(schema) => schema.clone(),
        Value::Null => Map::new(),
        _ => {
            causes.push(Cause::new(format!("{path}.parameters"), "is no JSON Schema of an object"));
            Map::new()
        }
    };
    if let Err(error) = ParameterSchema::new(&parameters) {
        causes.push(Cause::new(format!("{path}.parameters"), error.to_string()));
    }
    let spec = FunctionSpec {
        addon: Name(addon.name_any()),
        entry: described.name.clone(),
        role: match described.role {
            descriptor::Role::Source => Role::Source,
            descriptor::Role::Transform => Role::Transform,
            descriptor::Role::Sink => Role::Sink,
            descriptor::Role::Action => Role::Action,
        },
        description: described.description.clone(),
        parameters,
        capabilities: described.capabilities.iter().copied().map(Capability::from).collect(),
        serves: described
            .serves
            .iter()
            .map(|serves| Serves {
                application: serves.application.clone(),
                versions: serves.versions.clone(),
                tested: serves.tested.clone(),
            })
            .collect(),
        first: described.first.clone(),
        limits: addon.spec.limits.clone(),
    };
    let object = Function { metadata: metadata(addon, &described.name), spec };
    checked(&path, &object, causes);
    object
}

fn task(
    addon: &Addon,
    description: &descriptor::Descriptor,
    described: &descriptor::Task,
    causes: &mut Vec<Cause>,
) -> Task {
    let path = format!("tasks[{}]", described.name);
    let mut step = |list: &str, index: usize, step: &descriptor::TaskStep| {
        let path = format!("{path}.{list}[{index}]");
        if let Some(function) = description.functions.iter().find(|function| function.name == step.function)
            && let Some(schema) = function.parameters.as_object().and_then(|schema| ParameterSchema::new(schema).ok())
        {
            let unknown = step.params.keys().filter(|name| !schema.declares(name));
            causes.extend(unknown.map(|name| schema.unknown(name).under(&format!("{path}.params"))));
        }
        let timeout = step.timeout.as_deref().map(str::parse).transpose().unwrap_or_else(|error| {
            causes.push(Cause::new(format!("{path}.timeout"), format!("{error}")));
            None
        });
        TaskStep {
            name: step.name.clone(),
            function: Name(step.function.clone()),
            params: Parameters(step.params.clone()),
            timeout,
            retry: None,
        }
    };
    let spec = TaskSpec {
        description: described.description.clone(),
        steps: described.steps.iter().enumerate().map(|(index, described)| step("steps", index, described)).collect(),
        finally: described
            .finally
            .iter()
            .enumerate()
            .map(|(index, described)| step("finally", index, described))
            .collect(),
    };
    let object = Task { metadata: metadata(addon, &described.name), spec };
    checked(&path, &object, causes);
    object
}

/// The same checks that a manifest gets, told under the name that the description has for the object.
fn checked(path: &str, object: &impl serde::Serialize, causes: &mut Vec<Cause>) {
    match serde_json::to_value(object) {
        Ok(mut value) => {
            if let Err(invalid) = validate::validate(&mut value) {
                causes.extend(invalid.causes.into_iter().map(|cause| cause.under(path)));
            }
        }
        Err(error) => causes.push(Cause::new(path, error.to_string())),
    }
}

fn metadata(addon: &Addon, name: &str) -> ObjectMeta {
    let owner = addon.name_any();
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(
            [(labels::ADDON, owner.as_str()), (labels::MANAGED_BY, labels::MANAGER)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        ),
        owner_references: addon.meta().uid.clone().map(|uid| {
            vec![OwnerReference {
                api_version: API_VERSION.to_owned(),
                kind: "Addon".to_owned(),
                name: owner,
                uid,
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]
        }),
        ..ObjectMeta::default()
    }
}

impl From<descriptor::Capability> for Capability {
    fn from(capability: descriptor::Capability) -> Self {
        match capability {
            descriptor::Capability::Application => Self::Application,
            descriptor::Capability::Http => Self::Http,
            descriptor::Capability::Inbox => Self::Inbox,
            descriptor::Capability::Outbox => Self::Outbox,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn addon() -> Addon {
        serde_json::from_value(json!({
            "apiVersion": API_VERSION, "kind": "Addon", "metadata": {"name": "postgres", "uid": "u-1"},
            "spec": {"module": {"digest": format!("sha256:{}", "0".repeat(64))}, "grants": ["application", "outbox"]},
        }))
        .unwrap()
    }

    fn description(change: impl FnOnce(&mut Value)) -> descriptor::Descriptor {
        let mut json = json!({
            "name": "postgres", "version": "0.1.0", "contract": descriptor::CONTRACT,
            "functions": [{
                "name": "postgres-dump", "role": "source", "capabilities": ["application", "outbox"],
                "parameters": {"type": "object", "properties": {"jobs": {"type": "integer"}}},
                "serves": [{"application": "postgresql", "versions": ">=9.6, <19", "tested": ["15", "17"]}],
            }],
            "tasks": [{
                "name": "postgres-backup", "description": "Dumps",
                "steps": [{"name": "dump", "function": "postgres-dump", "params": {"jobs": 4}, "timeout": "2h"}],
            }],
        });
        change(&mut json);
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn objects_are_owned_and_labelled() {
        let brought = brought(&addon(), &description(|_| {})).unwrap();
        let (function, task) = (&brought.functions[0], &brought.tasks[0]);
        assert_eq!((function.name_any().as_str(), function.spec.role), ("postgres-dump", Role::Source));
        assert_eq!(function.labels()[labels::ADDON], "postgres");
        assert_eq!(function.owner_references()[0].uid, "u-1");
        assert_eq!(task.spec.steps[0].timeout.unwrap().to_string(), "2h");
        assert_eq!(task.spec.steps[0].params.0["jobs"], 4);
    }

    #[test]
    fn a_description_that_contradicts_itself_is_refused_in_full() {
        let description = description(|json| {
            json["functions"][0]["serves"][0]["versions"] = json!("newer than 9");
            json["tasks"][0]["name"] = json!("Postgres Backup");
            json["tasks"][0]["steps"][0]["params"] = json!({"job": 4});
            json["tasks"][0]["steps"][0]["timeout"] = json!("soon");
        });
        let invalid = brought(&addon(), &description).unwrap_err();
        let fields: Vec<_> = invalid.causes.iter().map(|cause| cause.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "functions[postgres-dump].spec.serves[0].versions",
                "tasks[Postgres Backup].steps[0].params.job",
                "tasks[Postgres Backup].steps[0].timeout",
                "tasks[Postgres Backup].metadata.name",
            ]
        );
    }
}
