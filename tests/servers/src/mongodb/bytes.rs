//! BSON written byte for byte: a type, a name, a value, with lengths around them. It checks nothing, so that wrong and
//! awkward documents can be made as well.

use bson::RawDocumentBuf;

pub const DOUBLE: u8 = 0x01;
pub const STRING: u8 = 0x02;
pub const DOCUMENT: u8 = 0x03;
pub const ARRAY: u8 = 0x04;
pub const BINARY: u8 = 0x05;
pub const UNDEFINED: u8 = 0x06;
pub const OBJECT_ID: u8 = 0x07;
pub const BOOLEAN: u8 = 0x08;
pub const DATE: u8 = 0x09;
pub const NULL: u8 = 0x0a;
pub const REGEX: u8 = 0x0b;
pub const DB_POINTER: u8 = 0x0c;
pub const CODE: u8 = 0x0d;
pub const SYMBOL: u8 = 0x0e;
pub const CODE_WITH_SCOPE: u8 = 0x0f;
pub const INT32: u8 = 0x10;
pub const TIMESTAMP: u8 = 0x11;
pub const INT64: u8 = 0x12;
pub const DECIMAL128: u8 = 0x13;
pub const MIN_KEY: u8 = 0xff;
pub const MAX_KEY: u8 = 0x7f;

/// A type and the bytes of a value.
pub type Value = (u8, Vec<u8>);

pub fn document(fields: &[(&str, Value)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    fields.iter().for_each(|(name, value)| element(&mut bytes, name.as_bytes(), value));
    closed(&bytes)
}

pub fn array(values: &[Value]) -> Value {
    let mut bytes = Vec::new();
    values.iter().enumerate().for_each(|(place, value)| element(&mut bytes, place.to_string().as_bytes(), value));
    (ARRAY, closed(&bytes))
}

pub fn element(into: &mut Vec<u8>, name: &[u8], (kind, bytes): &Value) {
    into.push(*kind);
    into.extend(name);
    into.push(0);
    into.extend(bytes);
}

/// Elements with a document's length before and its end after them.
pub fn closed(elements: &[u8]) -> Vec<u8> {
    sized_whole(&[elements, &[0]].concat())
}

pub fn text(text: &str) -> Value {
    (STRING, sized(format!("{text}\0").as_bytes()))
}

pub fn binary(subtype: u8, bytes: &[u8]) -> Value {
    let mut value = length(bytes.len());
    value.push(subtype);
    value.extend(bytes);
    (BINARY, value)
}

pub fn int32(number: i32) -> Value {
    (INT32, number.to_le_bytes().to_vec())
}

pub fn int64(number: i64) -> Value {
    (INT64, number.to_le_bytes().to_vec())
}

/// Bytes after their length.
pub fn sized(bytes: &[u8]) -> Vec<u8> {
    [&length(bytes.len()), bytes].concat()
}

/// Bytes after their length, which counts itself.
pub fn sized_whole(bytes: &[u8]) -> Vec<u8> {
    [&length(bytes.len() + 4), bytes].concat()
}

pub fn length(size: usize) -> Vec<u8> {
    u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes().to_vec()
}

#[expect(clippy::expect_used, reason = "it was just closed")]
pub fn raw(bytes: &[u8]) -> RawDocumentBuf {
    RawDocumentBuf::from_bytes(bytes.to_vec()).expect("a document with its length and its end")
}
