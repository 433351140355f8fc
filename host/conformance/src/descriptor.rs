//! What can be said against a descriptor without running anything: names, roles, capabilities, schemas, Tasks.

use coffer_addon_descriptor::{Capability, Descriptor, Function, Role, Task};
use coffer_api::install::brought;
use coffer_api::parameters::ParameterSchema;
use coffer_api::{Addon, AddonModule, AddonSpec};
use serde_json::{Map, Value};

/// Everything that is wrong with the addon as a whole. `imports` are the component's.
pub(crate) fn addon(descriptor: &Descriptor, imports: &[Capability]) -> Vec<String> {
    let spec =
        AddonSpec { module: AddonModule { digest: format!("sha256:{:064}", 0) }, grants: Vec::new(), limits: None };
    let name = descriptor.name.to_lowercase();
    let mut problems = match brought(&Addon::new(&name, spec), descriptor) {
        Ok(_) => Vec::new(),
        Err(invalid) => invalid.causes.iter().map(ToString::to_string).collect(),
    };
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        problems.push(format!("its name {:?} is not made of letters, digits and hyphens", descriptor.name));
    }
    if descriptor.functions.is_empty() {
        problems.push("it has no Function".to_owned());
    }
    if descriptor.description.trim().is_empty() {
        problems.push("it has no description: people are asked to grant it capabilities by that".to_owned());
    }
    let used = |capability| descriptor.functions.iter().any(|function| function.capabilities.contains(&capability));
    for capability in imports.iter().filter(|capability| !used(**capability)) {
        problems.push(format!("the component imports {} and none of its Functions says so", name_of(*capability)));
    }
    problems.extend(descriptor.tasks.iter().flat_map(|task| self::task(descriptor, task)));
    problems
}

fn task(descriptor: &Descriptor, task: &Task) -> Vec<String> {
    let mut problems = Vec::new();
    let mut complain = |what: String| problems.push(format!("Task {}: {what}", task.name));
    let role = |name: &str| descriptor.functions.iter().find(|function| function.name == name).map(|found| found.role);
    for step in task.steps.iter().chain(&task.finally) {
        if role(&step.function).is_none() {
            complain(format!("step {} calls {}, which is no Function of this addon", step.name, step.function));
        }
    }
    for step in &task.finally {
        if role(&step.function).is_some_and(|role| role != Role::Action) {
            complain(format!("step {} is in finally, where only actions can stand", step.name));
        }
    }
    let stream: Vec<Role> =
        task.steps.iter().filter_map(|step| role(&step.function)).filter(|role| *role != Role::Action).collect();
    let last = stream.len().saturating_sub(1);
    if stream.iter().skip(1).any(|role| *role == Role::Source) {
        complain("a source stands behind another step of the stream".to_owned());
    }
    if stream.iter().take(last).any(|role| *role == Role::Sink) {
        complain("a sink stands before another step of the stream".to_owned());
    }
    problems
}

/// Everything that is wrong with one Function's description.
pub(crate) fn function(function: &Function, imports: &[Capability]) -> Vec<String> {
    let mut problems = Vec::new();
    let needs: &[Capability] = match function.role {
        Role::Source => &[Capability::Outbox],
        Role::Sink => &[Capability::Inbox],
        Role::Transform => &[Capability::Inbox, Capability::Outbox],
        Role::Action => &[],
    };
    for capability in needs.iter().filter(|capability| !function.capabilities.contains(capability)) {
        problems.push(format!("its role needs {}, which its capabilities leave out", name_of(*capability)));
    }
    let reaches = function.capabilities.iter().any(|found| matches!(found, Capability::Application | Capability::Http));
    if function.role != Role::Transform && !reaches {
        problems.push("its role needs application or http, which its capabilities leave out".to_owned());
    }
    for capability in &function.capabilities {
        if !imports.contains(capability) {
            problems.push(format!("it says it uses {}, which the component does not import", name_of(*capability)));
        }
        let other = match capability {
            Capability::Inbox => !matches!(function.role, Role::Sink | Role::Transform),
            Capability::Outbox => !matches!(function.role, Role::Source | Role::Transform),
            Capability::Application | Capability::Http => false,
        };
        if other {
            problems.push(format!("it asks for {}, for which its role has no use", name_of(*capability)));
        }
    }
    if function.description.trim().is_empty() {
        problems.push("it has no description".to_owned());
    }
    if function.serves.is_empty() && reaches {
        problems.push("it says of no application that it serves it: any would be bound to it".to_owned());
    }
    for serves in &function.serves {
        for text in std::iter::once(&serves.versions).chain(&serves.tested) {
            if semver::VersionReq::parse(text).is_err() {
                problems.push(format!("{text:?} is no requirement of a version of {}", serves.application));
            }
        }
    }
    if !function.first.is_empty() && !matches!(function.role, Role::Sink | Role::Transform) {
        problems.push("it wants artifacts first, and its role is handed none".to_owned());
    }
    problems.extend(schema(&function.parameters));
    problems
}

fn schema(parameters: &Value) -> Vec<String> {
    let Some(object) = parameters.as_object() else {
        return vec!["its parameters are no JSON Schema of an object".to_owned()];
    };
    let checked = match ParameterSchema::new(object) {
        Ok(checked) => checked,
        Err(error) => return vec![error.to_string()],
    };
    let mut problems = Vec::new();
    if object.get("type").is_none_or(|kind| kind != "object") {
        problems.push("the schema of its parameters has no type: object".to_owned());
    }
    closed(parameters, "parameters", &mut problems);
    for (name, default) in checked.defaults() {
        let given = Map::from_iter([(name.to_owned(), default.clone())]);
        // Others may be required; here it is about this one.
        let refused = checked.check(&given).into_iter().filter(|cause| cause.field.starts_with(name));
        problems.extend(refused.map(|cause| format!("the schema refuses its own default: {cause}")));
    }
    for (name, property) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if property.get("description").and_then(Value::as_str).is_none_or(|text| text.trim().is_empty()) {
            problems.push(format!("parameter {name} has no description"));
        }
    }
    problems
}

/// Every object with fields of its own denies others, and nothing is a reference.
fn closed(schema: &Value, path: &str, problems: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            let is_object =
                object.contains_key("properties") || object.get("type").is_some_and(|kind| kind == "object");
            match object.get("additionalProperties") {
                // A map: its values have a schema.
                Some(Value::Object(_)) if !object.contains_key("properties") => {}
                Some(Value::Bool(false)) => {}
                _ if is_object => {
                    problems.push(format!("{path} takes unknown fields: set additionalProperties: false"))
                }
                _ => {}
            }
            if object.contains_key("$ref") {
                problems.push(format!("{path} is a reference: every definition is to be inlined"));
            }
            for (key, value) in object {
                // Examples and defaults are data.
                if !matches!(key.as_str(), "default" | "const" | "enum" | "examples") {
                    closed(value, &format!("{path}.{key}"), problems);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                closed(item, &format!("{path}[{index}]"), problems);
            }
        }
        _ => {}
    }
}

/// Parameters that the schema refuses for a value's type; none where it takes anything.
pub(crate) fn wrong_type(function: &Function, given: &Map<String, Value>) -> Option<Map<String, Value>> {
    let schema = ParameterSchema::new(function.parameters.as_object()?).ok()?;
    let candidates = [Value::from(Vec::<Value>::new()), Value::from(-1), Value::from("\u{0}"), Value::from(true)];
    schema.names().find_map(|name| {
        candidates.iter().find_map(|candidate| {
            let mut parameters = given.clone();
            parameters.insert(name.to_owned(), candidate.clone());
            schema.check(&parameters).iter().any(|cause| cause.field.starts_with(name)).then_some(parameters)
        })
    })
}

/// Those of `offered` that the Function declares.
pub(crate) fn declared(function: &Function, offered: &Map<String, Value>) -> Map<String, Value> {
    let schema = function.parameters.as_object().and_then(|schema| ParameterSchema::new(schema).ok());
    let takes = |name: &str| schema.as_ref().is_some_and(|schema| schema.declares(name));
    offered.iter().filter(|(name, _)| takes(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn name_of(capability: Capability) -> &'static str {
    match capability {
        Capability::Application => "application",
        Capability::Http => "http",
        Capability::Inbox => "inbox",
        Capability::Outbox => "outbox",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const IMPORTS: [Capability; 2] = [Capability::Application, Capability::Outbox];

    fn good() -> Value {
        json!({
            "name": "notes", "version": "1.0.0", "description": "Notes", "contract": "coffer:addon@0.1.0",
            "functions": [{
                "name": "notes-dump", "description": "Dumps notes", "role": "source",
                "parameters": {"type": "object", "additionalProperties": false, "properties": {
                    "jobs": {"type": "integer", "default": 2, "description": "Connections"},
                }},
                "capabilities": ["application", "outbox"],
                "serves": [{"application": "notes", "versions": ">=1", "tested": ["1"]}],
            }],
            "tasks": [{"name": "notes-backup", "steps": [{"name": "dump", "function": "notes-dump"}]}],
        })
    }

    fn problems(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut value = good();
        change(&mut value);
        let descriptor: Descriptor = serde_json::from_value(value).unwrap();
        let mut problems = addon(&descriptor, &IMPORTS);
        problems.extend(descriptor.functions.iter().flat_map(|described| function(described, &IMPORTS)));
        problems
    }

    #[test]
    fn a_good_descriptor_has_no_problem() {
        assert_eq!(problems(|_| ()), Vec::<String>::new());
    }

    #[test]
    fn every_fault_is_found_and_named() {
        let faults: [(&str, Value, &str); 14] = [
            ("/name", json!("Not A Name"), "name"),
            ("/description", json!(""), "no description"),
            ("/functions/0/description", json!(" "), "no description"),
            ("/functions/0/capabilities", json!(["application"]), "outbox"),
            ("/functions/0/capabilities", json!(["outbox"]), "application or http"),
            ("/functions/0/capabilities", json!(["http", "outbox"]), "does not import"),
            ("/functions/0/role", json!("sink"), "inbox"),
            ("/functions/0/serves", json!([]), "serves it"),
            ("/functions/0/serves/0/tested/0", json!("new"), "\"new\""),
            ("/functions/0/parameters/additionalProperties", json!(true), "unknown fields"),
            ("/functions/0/parameters/properties/jobs/default", json!("two"), "its own default"),
            ("/functions/0/parameters/properties/jobs/type", json!("integre"), "JSON Schema"),
            ("/functions/0/parameters/properties/jobs/description", json!(""), "no description"),
            ("/tasks/0/steps/0/function", json!("notes-dmup"), "notes-dmup"),
        ];
        for (pointer, value, word) in faults {
            let found = problems(|descriptor| *descriptor.pointer_mut(pointer).unwrap() = value);
            assert!(found.iter().any(|problem| problem.contains(word)), "{pointer}: {found:?}");
        }
    }

    #[test]
    fn a_nested_object_has_to_be_closed_too() {
        let nested = json!({"type": "array", "description": "Rules", "items": {
            "type": "object", "properties": {"column": {"type": "string"}},
        }});
        let path = "/functions/0/parameters/properties/jobs";
        let found = problems(|descriptor| *descriptor.pointer_mut(path).unwrap() = nested);
        assert!(found[0].contains("parameters.properties.jobs.items"), "{found:?}");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_found_for_any_parameter() {
        let descriptor: Descriptor = serde_json::from_value(good()).unwrap();
        let wrong = wrong_type(&descriptor.functions[0], &Map::new()).unwrap();
        assert_eq!(Value::Object(wrong), json!({"jobs": []}));
    }
}
