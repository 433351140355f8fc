//! Binds the parameters of one step: layers, variables, schema.

use std::collections::BTreeMap;

use coffer_api::{Cause, FailureClass, FunctionSpec, Parameters, parameters::ParameterSchema};
use serde_json::{Map, Value};

use super::{
    Bound, Layer, Problem,
    variables::{RESERVED, Variables, expand},
};

/// A Function's schema, read; a Function that came by validation always has one.
pub(super) fn schema(path: &str, function: &FunctionSpec, problems: &mut Vec<Problem>) -> Option<ParameterSchema> {
    ParameterSchema::new(&function.parameters)
        .map_err(|error| {
            problems.push(Problem { class: FailureClass::Invalid, cause: Cause::new(path, error.to_string()) });
        })
        .ok()
}

/// The parameters of one step. `own` are the step's in the Task: all of them must be declared. Of `app` and `session` the
/// step takes what it declares.
pub(super) fn bind(
    path: &str,
    schema: &ParameterSchema,
    own: &Parameters,
    app: &Parameters,
    session: &Parameters,
    variables: &Variables,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Bound> {
    let mut layers: BTreeMap<&str, (Layer, &Value)> = BTreeMap::new();
    layers.extend(schema.defaults().map(|(name, value)| (name, (Layer::Function, value))));
    layers.extend(own.0.iter().map(|(name, value)| (name.as_str(), (Layer::Task, value))));
    for (layer, parameters) in [(Layer::AppBinding, app), (Layer::Session, session)] {
        let taken = parameters.0.iter().filter(|(name, _)| schema.declares(name));
        layers.extend(taken.map(|(name, value)| (name.as_str(), (layer, value))));
    }

    let mut bound = BTreeMap::new();
    let mut values = Map::new();
    for (name, (layer, value)) in layers {
        // Told once for all steps, by `reserved`; a schema cannot claim these names either.
        if RESERVED.contains(&name) {
            continue;
        }
        match expand(value, variables) {
            Ok(value) => {
                values.insert(name.to_owned(), value.clone());
                bound.insert(name.to_owned(), Bound { value, from: layer });
            }
            Err(error) => problems.push(problem(Cause::new(format!("{path}.params.{name}"), error.to_string()))),
        }
    }
    let under = format!("{path}.params");
    problems.extend(schema.check(&values).into_iter().map(|cause| {
        let layer = bound.get(cause.field.split(['.', '[']).next().unwrap_or_default()).map(|bound| bound.from);
        let mut cause = cause.under(&under);
        if let Some(layer) = layer.filter(|layer| *layer != Layer::Task) {
            cause.message = format!("{} (given by the {})", cause.message, layer.as_str());
        }
        problem(cause)
    }));
    bound
}

/// Refuses names that only Coffer gives a value to.
pub(super) fn reserved(path: &str, parameters: &Parameters, problems: &mut Vec<Problem>) {
    let reserved = parameters.0.keys().filter(|name| RESERVED.contains(&name.as_str()));
    problems.extend(reserved.map(|name| {
        problem(
            Cause::new(format!("{path}.{name}"), "is reserved: Coffer gives it its value")
                .hint(format!("remove it; parameters may refer to it as ${{{name}}}")),
        )
    }));
}

fn problem(cause: Cause) -> Problem {
    Problem { class: FailureClass::InvalidParameter, cause }
}
