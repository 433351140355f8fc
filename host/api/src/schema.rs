//! Schemas of fields whose Rust type has none of its own.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::validate::transition;

/// An object whose fields are nobody's business here.
pub(crate) fn raw_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// Validations of a field that is never changed once it exists.
pub(crate) fn immutable(message: &str) -> Value {
    json!([{ "rule": transition::IMMUTABLE, "message": message }])
}

/// Bytes, in base64.
pub(crate) fn byte_string(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "byte" })
}
