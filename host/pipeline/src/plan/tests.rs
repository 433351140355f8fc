//! Plans: where each value comes from, and what is refused.

use coffer_api::{Capability::*, FunctionSpec, TaskSpec};
use serde_json::json;

use super::*;

/// What the tests change of a request that is good as it stands.
struct World {
    functions: BTreeMap<String, FunctionSpec>,
    grants: BTreeMap<String, BTreeSet<Capability>>,
    task: Value,
    target: Target,
    source: Option<(Target, Value)>,
    ends: Ends,
    app: Value,
    session: Value,
    variables: Variables,
}

fn function(role: &str, parameters: Value) -> FunctionSpec {
    let capabilities = match role {
        "source" => json!(["application", "outbox"]),
        "transform" => json!(["inbox", "outbox"]),
        "sink" => json!(["application", "inbox"]),
        _ => json!(["application"]),
    };
    serde_json::from_value(json!({
        "addon": "postgres", "entry": "e", "role": role, "parameters": parameters, "capabilities": capabilities,
        "serves": if role == "transform" { json!([]) } else {
            json!([{"application": "postgresql", "versions": ">=9.6, <19", "tested": ["15", "17"]}])
        },
    }))
    .unwrap()
}

fn world() -> World {
    let dump = json!({"type": "object", "additionalProperties": false, "properties": {
        "jobs": {"type": "integer", "default": 2}, "label": {"type": "string", "default": "${TARGET_NAME}"},
        "exclude": {"type": "array", "items": {"type": "string"}},
    }});
    World {
        functions: [
            ("wait-ready", function("action", json!({}))),
            ("dump", function("source", dump)),
            ("mask", function("transform", json!({"type": "object", "properties": {"rules": {"type": "array"}}}))),
            ("load", function("sink", json!({"type": "object", "properties": {"clean": {"type": "boolean"}}}))),
        ]
        .map(|(name, function)| (name.to_owned(), function))
        .into(),
        grants: [("postgres".to_owned(), [Application, Inbox, Outbox].into())].into(),
        task: json!({"steps": [{"name": "ready", "function": "wait-ready", "timeout": "5m"}, {"name": "dump", "function": "dump"}]}),
        target: Target {
            kind: "AppBinding".to_owned(),
            name: "shop".to_owned(),
            namespace: "demo".to_owned(),
            application: "postgresql".to_owned(),
            version: Some("17".to_owned()),
        },
        source: None,
        ends: Ends::Repositories,
        app: json!({}),
        session: json!({}),
        variables: Variables::new(),
    }
}

impl World {
    fn plan(&self) -> Result<Plan, PlanError> {
        let spec: TaskSpec = serde_json::from_value(self.task.clone()).unwrap();
        let parameters = |value: &Value| serde_json::from_value::<Parameters>(value.clone()).unwrap();
        let source = self.source.as_ref().map(|(target, app)| (target, parameters(app)));
        plan(&Request {
            task: "backup",
            spec: &spec,
            functions: &self.functions,
            grants: &self.grants,
            target: &self.target,
            source: source.as_ref().map(|(target, app_parameters)| Source { target, app_parameters }),
            ends: self.ends,
            app_parameters: &parameters(&self.app),
            session_parameters: &parameters(&self.session),
            variables: &self.variables,
            timeout: None,
            retry: None,
        })
    }

    fn problems(&self) -> Vec<String> {
        self.plan().unwrap_err().problems.iter().map(|problem| problem.cause.to_string()).collect()
    }

    fn steps(mut self, functions: &[&str], ends: Ends) -> Self {
        let steps: Vec<_> =
            functions.iter().map(|name| json!({"name": format!("s-{name}"), "function": name})).collect();
        self.task = json!({ "steps": steps });
        self.ends = ends;
        self
    }
}

fn bound(plan: &Plan, step: &str) -> Vec<(String, Value, Layer)> {
    let step = plan.steps().find(|candidate| candidate.name == step).unwrap();
    step.parameters.iter().map(|(name, bound)| (name.clone(), bound.value.clone(), bound.from)).collect()
}

#[test]
fn a_copys_source_is_an_application_of_its_own() {
    let mut world = world().steps(&["wait-ready", "dump", "load"], Ends::Application);
    let old = Target { name: "old".to_owned(), version: Some("15".to_owned()), ..world.target.clone() };
    world.app = json!({"exclude": ["a"], "clean": true});
    world.source = Some((old.clone(), json!({"jobs": 7, "clean": false})));
    let plan = world.plan().unwrap();
    assert!(plan.warnings.is_empty());
    // Each step takes what the binding of its own application says.
    let of = |step: &str, name: &str| {
        bound(&plan, step).into_iter().find(|(found, ..)| found == name).map(|(_, value, _)| value)
    };
    assert_eq!((of("s-dump", "jobs"), of("s-dump", "exclude")), (Some(json!(7)), None));
    assert_eq!(of("s-load", "clean"), Some(json!(true)));
    world.source = Some((Target { application: "oracle".to_owned(), ..old }, json!({})));
    let problems = world.problems();
    let expected = "steps.s-dump: Function dump does not serve oracle 15, the application of AppBinding old";
    assert!(problems.len() == 1 && problems[0].starts_with(expected), "{problems:?}");
}

#[test]
fn each_layer_wins_over_the_ones_below() {
    let mut world = world();
    let jobs = |world: &World| {
        let plan = world.plan().unwrap();
        let (_, value, layer) = bound(&plan, "dump").into_iter().find(|(name, ..)| name == "jobs").unwrap();
        (value.as_u64().unwrap(), layer)
    };
    assert_eq!(jobs(&world), (2, Layer::Function));
    world.task["steps"][1]["params"] = json!({"jobs": 3});
    assert_eq!(jobs(&world), (3, Layer::Task));
    world.app = json!({"jobs": 4});
    assert_eq!(jobs(&world), (4, Layer::AppBinding));
    world.session = json!({"jobs": 5});
    assert_eq!(jobs(&world), (5, Layer::Session));
}

#[test]
fn strings_are_expanded_on_every_layer_and_nothing_else_is() {
    let mut world = world();
    world.variables = Variables::from([(variables::REPOSITORY_NAME, "repo".to_owned())]);
    world.session = json!({"exclude": ["${REPOSITORY_NAME}", "${TARGET_APP_VERSION}", "$${X}", "${NOPE:=d}"]});
    let plan = world.plan().unwrap();
    assert_eq!(
        bound(&plan, "dump"),
        [
            ("exclude".to_owned(), json!(["repo", "17", "${X}", "d"]), Layer::Session),
            ("jobs".to_owned(), json!(2), Layer::Function),
            ("label".to_owned(), json!("shop"), Layer::Function),
        ]
    );
    world.session = json!({"label": "${NOPE}", "jobs": "${TARGET_NAME}"});
    assert_eq!(
        world.problems(),
        [
            "steps.dump.params.label: there is no variable NOPE here; give a default: ${NOPE:=…}",
            "steps.dump.params.jobs: \"shop\" is not of type \"integer\" (given by the session)",
        ]
    );
}

#[test]
fn bad_parameters_are_told_together_with_their_remedies() {
    let mut world = world();
    world.session = json!({"job": 4, "TARGET_NAME": "other"});
    world.task["steps"][1]["params"] = json!({"jobs": "many", "lable": "x"});
    assert_eq!(
        world.problems(),
        [
            "task.params.TARGET_NAME: is reserved: Coffer gives it its value (remove it; parameters may refer to it as \
             ${TARGET_NAME})",
            "steps.dump.params.lable: unknown parameter (did you mean label?)",
            "steps.dump.params.jobs: \"many\" is not of type \"integer\"",
            "task.params.job: no step of task backup has this parameter (did you mean jobs?)",
        ]
    );
    let error = world.plan().unwrap_err();
    assert_eq!(error.failure().class, FailureClass::InvalidParameter);
}

#[test]
fn a_slip_in_the_binding_is_a_warning_and_a_parameter_for_another_task_is_nothing() {
    let mut world = world();
    world.app = json!({"clean": true});
    assert_eq!(world.plan().unwrap().warnings, [""; 0]);
    world.app = json!({"job": 4});
    assert_eq!(
        world.plan().unwrap().warnings,
        ["parameter job of AppBinding shop goes to no step of task backup: did you mean jobs?"]
    );
}

#[test]
fn shapes_that_work() {
    for (functions, ends, stages) in [
        (vec!["wait-ready", "dump"], Ends::Repositories, 2),
        (vec!["dump", "mask", "mask"], Ends::Repositories, 1),
        (vec!["wait-ready", "dump", "wait-ready"], Ends::Repositories, 3),
        (vec!["wait-ready", "load"], Ends::Snapshot, 2),
        (vec!["mask", "load"], Ends::Snapshot, 1),
        (vec!["dump", "mask", "load"], Ends::Application, 1),
        (vec!["wait-ready", "wait-ready"], Ends::Nothing, 2),
    ] {
        // Step names repeat here, which only validation of the Task minds.
        let plan = world().steps(&functions, ends).plan().unwrap();
        assert_eq!(plan.stages.len(), stages, "{functions:?}");
    }
}

#[test]
fn shapes_that_do_not() {
    for (functions, ends, problem) in [
        (vec!["load"], Ends::Repositories, "steps.s-load: is a sink and a backup ends in repositories"),
        (vec!["mask"], Ends::Repositories, "steps.s-mask: is a transform and a backup begins with a source"),
        (vec!["wait-ready"], Ends::Repositories, "steps: it has no source, so there is nothing to store"),
        (vec!["dump"], Ends::Snapshot, "steps.s-dump: is a source and a restore begins with a snapshot"),
        (vec!["mask"], Ends::Snapshot, "steps.s-mask: is a transform and a restore ends in a sink"),
        (vec!["wait-ready"], Ends::Snapshot, "steps: it has no sink, so nothing would be restored"),
        (vec!["dump"], Ends::Application, "steps.s-dump: is a source and a copy ends in a sink"),
        (vec!["mask", "dump"], Ends::Repositories, "steps.s-dump: is a source behind another step of its stream"),
        (vec!["load", "mask"], Ends::Snapshot, "steps.s-load: is a sink before another step of its stream"),
        (vec!["dump", "wait-ready", "mask"], Ends::Repositories, "steps.s-mask: begins a second stream"),
        (vec!["dump"], Ends::Nothing, "steps.s-dump: is a source and there is nothing to read from or to write to"),
    ] {
        let problems = world().steps(&functions, ends).problems();
        assert!(problems[0].starts_with(problem), "{functions:?}: {problems:?}");
    }
    let mut world = world();
    world.task["finally"] = json!([{"name": "late", "function": "dump"}]);
    assert_eq!(world.problems(), ["finally.late: is a source (only actions can stand there)"]);
}

#[test]
fn what_is_not_there_or_not_granted_is_refused() {
    let mut world = world();
    world.functions.remove("dump");
    assert_eq!(world.problems()[0].split(" (").next(), Some("steps.dump: there is no Function dump"));
    assert_eq!(world.plan().unwrap_err().failure().class, FailureClass::NotFound);

    let mut world = self::world();
    world.grants = [("postgres".to_owned(), [Application].into())].into();
    assert_eq!(
        world.problems(),
        [
            "steps.dump: Function dump needs outbox, which the Addon postgres is not granted (add outbox to spec.grants of \
             the Addon postgres)"
        ]
    );
    world.grants.clear();
    assert!(world.problems()[0].contains("needs the Addon postgres, which is not installed"));
}

#[test]
fn applications_and_versions_are_looked_at() {
    let mut world = world();
    for (version, warned) in
        [(None, false), (Some("17.2 (Debian)"), false), (Some("15"), false), (Some("16"), true), (Some("18"), true)]
    {
        world.target.version = version.map(str::to_owned);
        assert_eq!(world.plan().unwrap().warnings.is_empty(), !warned, "{version:?}");
    }
    world.target.version = Some("9.5".to_owned());
    let failure = world.plan().unwrap_err().failure();
    assert_eq!(failure.class, FailureClass::Unsupported);
    assert!(failure.message.contains("does not serve postgresql 9.5"), "{}", failure.message);
    world.target.application = "mysql".to_owned();
    assert!(world.problems()[0].contains("does not serve mysql"));
}

#[test]
fn a_plan_can_be_printed() {
    let plan = world().plan().unwrap();
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["stages"][0]["action"]["timeout"], "5m");
    assert_eq!(json["stages"][1]["stream"]["into"], "repositories");
    assert_eq!(json["stages"][1]["stream"]["steps"][0]["parameters"]["jobs"], json!({"value": 2, "from": "Function"}));
}
