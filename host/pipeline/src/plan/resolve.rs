//! From a request to a plan.

use coffer_api::{
    API_VERSION, Cause, FailureClass, Parameters, Role, TaskStep,
    parameters::{self, ParameterSchema},
};

use super::{Plan, PlanError, Problem, Request, Stage, Step, Target, Variables, bind, check, variables as var};

/// Makes the plan, or says everything that is wrong with it.
pub fn plan(request: &Request<'_>) -> Result<Plan, PlanError> {
    let mut resolver = Resolver {
        variables: variables(request),
        request,
        schemas: Vec::new(),
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    bind::reserved("task.params", request.session_parameters, &mut resolver.problems);
    for (_, parameters) in applications(request) {
        bind::reserved("AppBinding.spec.parameters", parameters, &mut resolver.problems);
    }
    let steps = resolver.steps("steps", &request.spec.steps);
    let finally = resolver.steps("finally", &request.spec.finally);
    resolver.unclaimed();

    let Resolver { mut problems, mut warnings, .. } = resolver;
    // The order of roles can only be judged when every role is known.
    let stages = if steps.len() == request.spec.steps.len() {
        check::stages(steps, request.ends, &mut problems)
    } else {
        Vec::new()
    };
    check::finally(&finally, &mut problems);
    if !problems.is_empty() {
        return Err(PlanError { task: request.task.to_owned(), problems });
    }
    warnings.sort();
    warnings.dedup();
    Ok(Plan {
        task: request.task.to_owned(),
        target: request.target.clone(),
        stages: stages.into_iter().map(with_retry).collect(),
        finally,
        timeout: request.timeout,
        warnings,
    })
}

/// A stream is tried again as often as the most patient of its steps.
fn with_retry(stage: Stage) -> Stage {
    match stage {
        Stage::Stream(mut stream) => {
            let retries = stream.steps.iter().filter_map(|step| step.retry);
            stream.retry = retries.max_by_key(|retry| retry.max_retries);
            Stage::Stream(stream)
        }
        action => action,
    }
}

fn variables(request: &Request<'_>) -> Variables {
    let target = request.target;
    let mut variables = request.variables.clone();
    variables.extend([
        (var::TARGET_API_VERSION, API_VERSION.to_owned()),
        (var::TARGET_KIND, target.kind.clone()),
        (var::TARGET_NAME, target.name.clone()),
        (var::TARGET_NAMESPACE, target.namespace.clone()),
        (var::TARGET_APP_TYPE, target.application.clone()),
    ]);
    variables.extend(target.version.clone().map(|version| (var::TARGET_APP_VERSION, version)));
    variables
}

/// The applications of the Task, each with its parameters.
fn applications<'a>(request: &Request<'a>) -> impl Iterator<Item = (&'a Target, &'a Parameters)> {
    let source = request.source.map(|source| (source.target, source.app_parameters));
    std::iter::once((request.target, request.app_parameters)).chain(source)
}

struct Resolver<'a> {
    request: &'a Request<'a>,
    variables: Variables,
    schemas: Vec<ParameterSchema>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Resolver<'_> {
    /// The steps whose Functions exist.
    fn steps(&mut self, list: &str, steps: &[TaskStep]) -> Vec<Step> {
        steps.iter().filter_map(|step| self.step(&format!("{list}.{}", step.name), step)).collect()
    }

    fn step(&mut self, path: &str, step: &TaskStep) -> Option<Step> {
        let request = self.request;
        let name = step.function.as_str();
        let Some(function) = request.functions.get(name) else {
            let cause = Cause::new(path, format!("there is no Function {name}"))
                .hint("install the addon that brings it: `coffer addon list` shows what is there");
            self.problems.push(Problem { class: FailureClass::NotFound, cause });
            return None;
        };
        let (target, app_parameters) = match (function.role, request.source) {
            (Role::Source, Some(source)) => (source.target, source.app_parameters),
            _ => (request.target, request.app_parameters),
        };
        bind::reserved(&format!("{path}.params"), &step.params, &mut self.problems);
        let schema = bind::schema(path, function, &mut self.problems)?;
        let parameters = bind::bind(
            path,
            &schema,
            &step.params,
            app_parameters,
            request.session_parameters,
            &self.variables,
            &mut self.problems,
        );
        self.schemas.push(schema);
        let step = Step {
            name: step.name.clone(),
            function: name.to_owned(),
            addon: function.addon.to_string(),
            entry: function.entry.clone(),
            role: function.role,
            parameters,
            first: function.first.clone(),
            timeout: step.timeout,
            retry: step.retry.or(request.retry),
            limits: function.limits.clone(),
        };
        check::granted(path, &step, function, request.grants, &mut self.problems);
        check::served(path, &step, function, target, &mut self.problems, &mut self.warnings);
        Some(step)
    }

    /// Parameters that no step declares. The session's are mistakes; the AppBinding's may be meant for another Task, so only
    /// those that look like a slip are told.
    fn unclaimed(&mut self) {
        let names: Vec<&str> = self.schemas.iter().flat_map(ParameterSchema::names).collect();
        let request = self.request;
        let unclaimed = |given: &Parameters| -> Vec<String> {
            let unknown = |name: &&String| {
                !var::RESERVED.contains(&name.as_str()) && !self.schemas.iter().any(|schema| schema.declares(name))
            };
            given.0.keys().filter(unknown).cloned().collect()
        };
        for name in unclaimed(request.session_parameters) {
            let cause = Cause::new(
                format!("task.params.{name}"),
                format!("no step of task {} has this parameter", request.task),
            )
            .hint(parameters::unknown_to_all(&name, names.iter().copied()));
            self.problems.push(Problem { class: FailureClass::InvalidParameter, cause });
        }
        for (target, parameters) in applications(request) {
            for name in unclaimed(parameters) {
                if let Some(known) = parameters::nearest(&name, names.iter().copied()) {
                    self.warnings.push(format!(
                        "parameter {name} of {} {} goes to no step of task {}: did you mean {known}?",
                        target.kind, target.name, request.task
                    ));
                }
            }
        }
    }
}
