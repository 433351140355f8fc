//! Schemas of fields whose Rust type has none of its own.

use schemars::{Schema, SchemaGenerator, json_schema};

/// An object whose fields are nobody's business here.
pub(crate) fn raw_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// Bytes, in base64.
pub(crate) fn byte_string(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "byte" })
}
