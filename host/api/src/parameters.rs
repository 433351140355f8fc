//! Parameters of a step: typed values, checked against the JSON Schema of the Function that takes them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Cause, hint};

/// Parameters by name. Their shape is the Function's affair, so a manifest's schema leaves them open.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Parameters(pub Map<String, Value>);

impl Parameters {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl JsonSchema for Parameters {
    fn schema_name() -> Cow<'static, str> {
        "Parameters".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        crate::schema::raw_object(generator)
    }
}

/// The parameters that a Function declares.
#[derive(Debug)]
pub struct ParameterSchema {
    validator: jsonschema::Validator,
    properties: Map<String, Value>,
    /// What `$ref`s are looked up in.
    whole: Value,
    open: bool,
}

/// Why a Function's `parameters` are no schema.
#[derive(Debug, thiserror::Error)]
#[error("the parameters of a function are described by a JSON Schema of an object: {0}")]
pub struct SchemaError(String);

impl ParameterSchema {
    /// Reads a Function's `parameters`. An empty schema declares no parameter.
    pub fn new(schema: &Map<String, Value>) -> Result<Self, SchemaError> {
        if schema.get("type").is_some_and(|type_| type_ != "object") {
            return Err(SchemaError("its type is not \"object\"".to_owned()));
        }
        let properties = match schema.get("properties") {
            None => Map::new(),
            Some(Value::Object(properties)) => properties.clone(),
            Some(_) => return Err(SchemaError("its \"properties\" are no object".to_owned())),
        };
        let whole = Value::Object(schema.clone());
        let validator = jsonschema::validator_for(&whole).map_err(|error| SchemaError(error.to_string()))?;
        let open = matches!(schema.get("additionalProperties"), Some(Value::Bool(true) | Value::Object(_)));
        Ok(Self { validator, properties, whole, open })
    }

    /// Whether the Function takes a parameter of that name.
    pub fn declares(&self, name: &str) -> bool {
        self.open || self.properties.contains_key(name)
    }

    /// The names of the declared parameters.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.properties.keys().map(String::as_str)
    }

    /// The defaults the schema gives. A default of null says only that the parameter may be left out.
    pub fn defaults(&self) -> impl Iterator<Item = (&str, &Value)> {
        let defaults =
            self.properties.iter().filter_map(|(name, schema)| Some((name.as_str(), schema.get("default")?)));
        defaults.filter(|(_, default)| !default.is_null())
    }

    /// All that is wrong with `parameters`: unknown names (with the nearest known one), values of the wrong type,
    /// required ones that are missing. The fields of the causes are paths such as `rules[0].column`.
    pub fn check(&self, parameters: &Map<String, Value>) -> Vec<Cause> {
        let mut causes: Vec<Cause> =
            parameters.keys().filter(|name| !self.declares(name)).map(|name| self.unknown(name)).collect();
        // Unknown parameters are told of already, and the schema may or may not refuse them.
        let mut known = parameters.clone();
        known.retain(|name, _| self.declares(name));
        let known = Value::Object(known);
        for error in self.validator.iter_errors(&known) {
            causes.push(self.choice(&error).unwrap_or_else(|| cause(&error)));
        }
        causes
    }

    /// What is wrong with a parameter that has to be one of a few values, each of which has a schema of its own: the validator
    /// would say only that none of those fits.
    fn choice(&self, error: &jsonschema::ValidationError<'_>) -> Option<Cause> {
        let path = error.instance_path().as_str();
        let schema = self.properties.get(path.strip_prefix('/')?)?;
        let mut values = Vec::new();
        self.values(schema, &mut values)?;
        Some(Cause::new(dotted(path), format!("{} is none of {}", error.instance(), values.join(", "))))
    }

    /// The values that a schema allows; none where it allows others, too.
    fn values(&self, schema: &Value, values: &mut Vec<String>) -> Option<()> {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            return self.values(self.whole.pointer(reference.strip_prefix('#')?)?, values);
        }
        if let Some(value) = schema.get("const") {
            values.push(value.to_string());
        } else if let Some(all) = schema.get("enum").and_then(Value::as_array) {
            values.extend(all.iter().map(Value::to_string));
        } else {
            let each = ["oneOf", "anyOf"].into_iter().find_map(|key| schema.get(key)?.as_array())?;
            each.iter().try_for_each(|one| self.values(one, values))?;
        }
        Some(())
    }

    /// The refusal of a parameter that the Function does not declare.
    pub fn unknown(&self, name: &str) -> Cause {
        Cause::new(name, "unknown parameter").hint(hint::unknown(name, self.names(), "parameters"))
    }
}

/// The declared parameter that was probably meant by `name`.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    hint::nearest(name, known)
}

/// What to say about a parameter that no step of a Task declares.
pub fn unknown_to_all<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    hint::unknown(name, known, "parameters")
}

fn cause(error: &jsonschema::ValidationError<'_>) -> Cause {
    use jsonschema::error::ValidationErrorKind as Kind;
    let path = dotted(error.instance_path().as_str());
    match error.kind() {
        Kind::Required { property } => {
            let property = property.as_str().unwrap_or_default();
            Cause::new(join(&path, property), "required, and not given").hint(format!("set {property}"))
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            Cause::new(join(&path, &unexpected.join(", ")), "unknown field").hint("remove it")
        }
        _ => Cause::new(path, error.to_string()),
    }
}

/// `/rules/0/column` as `rules[0].column`.
fn dotted(pointer: &str) -> String {
    pointer.split('/').skip(1).fold(String::new(), |path, part| {
        let part = part.replace("~1", "/").replace("~0", "~");
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            format!("{path}[{part}]")
        } else {
            join(&path, &part)
        }
    })
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> ParameterSchema {
        let schema = json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["database"],
            "properties": {
                "database": {"type": "string"},
                "jobs": {"type": "integer", "minimum": 1, "default": 4},
                "schema": {"type": ["string", "null"], "default": null},
                "format": {"enum": ["plain", "custom"]},
                "consistency": {"$ref": "#/$defs/Consistency", "default": "auto"},
                "rules": {"type": "array", "items": {
                    "type": "object", "properties": {"column": {"type": "string"}}, "additionalProperties": false,
                }},
            },
            "$defs": {"Consistency": {"oneOf": [
                {"type": "string", "const": "auto"}, {"type": "string", "enum": ["oplog", "none"], "description": "Both."},
            ]}},
        });
        ParameterSchema::new(schema.as_object().unwrap()).unwrap()
    }

    fn check(parameters: Value) -> Vec<String> {
        schema().check(parameters.as_object().unwrap()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn good_parameters_pass() {
        assert_eq!(check(json!({"database": "shop", "jobs": 2, "rules": [{"column": "a"}]})), Vec::<String>::new());
        assert_eq!(schema().defaults().collect::<Vec<_>>(), [("consistency", &json!("auto")), ("jobs", &json!(4))]);
    }

    #[test]
    fn every_mistake_is_told_with_its_name() {
        let causes = check(json!({"job": 4, "jobs": "four", "rules": [{"column": 5, "x": 1}]}));
        assert_eq!(
            causes,
            [
                "job: unknown parameter (did you mean jobs?)",
                "jobs: \"four\" is not of type \"integer\"",
                "rules[0].column: 5 is not of type \"string\"",
                "rules[0].x: unknown field (remove it)",
                "database: required, and not given (set database)",
            ]
        );
    }

    #[test]
    fn a_choice_is_told_with_what_there_is_to_choose_from() {
        assert_eq!(check(json!({"database": "shop", "consistency": "none", "format": "plain"})), Vec::<String>::new());
        let causes = check(json!({"database": "shop", "consistency": "never", "format": 5}));
        let wanted =
            [r#"consistency: "never" is none of "auto", "oplog", "none""#, r#"format: 5 is none of "plain", "custom""#];
        assert_eq!(causes, wanted);
    }

    #[test]
    fn an_empty_schema_takes_no_parameter() {
        let none = ParameterSchema::new(&Map::new()).unwrap();
        let causes = none.check(json!({"jobs": 1}).as_object().unwrap());
        assert_eq!(causes.first().unwrap().to_string(), "jobs: unknown parameter (there are no parameters)");
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for schema in [json!({"type": "string"}), json!({"type": "object", "properties": {"a": {"type": "strin"}}})] {
            assert!(ParameterSchema::new(schema.as_object().unwrap()).is_err(), "{schema}");
        }
    }
}
