//! Extended JSON, as `metadata.json` has it, into BSON with the fields in their order.
//!
//! Every mongodump writes another dialect: canonical (since 100.0), and before it the older one of the shell. Both are read:
//! they differ in how binary data and dates are written, and in that the older one leaves plain numbers plain.
//! Source of the format: the MongoDB specifications, `extended-json`.

use bson::oid::ObjectId;
use bson::raw::{CString, RawArrayBuf, RawDocumentBuf, RawJavaScriptCodeWithScope};
use bson::{Binary, DateTime, DbPointer, Decimal128, RawBson, Regex, Timestamp};
use coffer_addon::{Error, Result};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// JSON whose objects keep the order of their fields, which is what an index's key is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Integer(i64),
    Double(f64),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub fn parse(bytes: &[u8]) -> Result<Json> {
        Ok(serde_json::from_slice(bytes)?)
    }

    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(fields) => fields.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// An object's BSON.
    pub fn document(&self) -> Result<RawDocumentBuf> {
        match self {
            Json::Object(fields) => document(fields),
            _ => Err(Error::Corrupt("it is no document".into())),
        }
    }

    fn value(&self) -> Result<RawBson> {
        Ok(match self {
            Json::Null => RawBson::Null,
            Json::Bool(value) => RawBson::Boolean(*value),
            Json::Integer(value) => i32::try_from(*value).map_or(RawBson::Int64(*value), RawBson::Int32),
            Json::Double(value) => RawBson::Double(*value),
            Json::Text(text) => RawBson::String(text.clone()),
            Json::Array(values) => {
                let mut array = RawArrayBuf::new();
                for value in values {
                    array.push(value.value()?);
                }
                RawBson::Array(array)
            }
            Json::Object(fields) => match special(fields)? {
                Some(value) => value,
                None => RawBson::Document(document(fields)?),
            },
        })
    }

    fn number<T: std::str::FromStr>(&self) -> Option<T> {
        match self {
            Json::Text(text) => text.parse().ok(),
            Json::Integer(value) => value.to_string().parse().ok(),
            _ => None,
        }
    }

    fn double(&self) -> Option<f64> {
        match self {
            Json::Double(value) => Some(*value),
            Json::Text(text) => match text.as_str() {
                "Infinity" => Some(f64::INFINITY),
                "-Infinity" => Some(f64::NEG_INFINITY),
                text => text.parse().ok(),
            },
            _ => None,
        }
    }
}

/// A field's name as BSON has it.
pub fn key(name: &str) -> Result<CString> {
    CString::try_from(name.to_string()).map_err(|_| Error::Corrupt(format!("{name:?} cannot be the name of a field")))
}

fn document(fields: &[(String, Json)]) -> Result<RawDocumentBuf> {
    let mut document = RawDocumentBuf::new();
    for (name, value) in fields {
        document.append(key(name)?, value.value()?);
    }
    Ok(document)
}

/// What `{"$oid": …}` and kin stand for; none for a document that is one, such as a query's `{"$gt": 5}`.
fn special(fields: &[(String, Json)]) -> Result<Option<RawBson>> {
    let Some((first, value)) = fields.first() else { return Ok(None) };
    let second = fields.get(1);
    let other = |name: &str| second.filter(|(key, _)| key == name).map(|(_, value)| value);
    let wrong = || Error::Corrupt(format!("{first} has a value that it cannot have"));
    let parsed = match (first.as_str(), fields.len()) {
        ("$oid", 1) => value.text().and_then(|text| ObjectId::parse_str(text).ok()).map(RawBson::ObjectId),
        ("$numberInt", 1) => value.number().map(RawBson::Int32),
        ("$numberLong", 1) => value.number().map(RawBson::Int64),
        ("$numberDouble", 1) => value.double().map(RawBson::Double),
        ("$numberDecimal", 1) => value.number::<Decimal128>().map(RawBson::Decimal128),
        ("$symbol", 1) => value.text().map(|text| RawBson::Symbol(text.into())),
        ("$undefined", 1) => Some(RawBson::Undefined),
        ("$minKey" | "$minkey", 1) => Some(RawBson::MinKey),
        ("$maxKey" | "$maxkey", 1) => Some(RawBson::MaxKey),
        ("$code", 1) => value.text().map(|text| RawBson::JavaScriptCode(text.into())),
        ("$code", 2) if other("$scope").is_some() => match (value.text(), other("$scope")) {
            (Some(code), Some(Json::Object(scope))) => {
                Some(RawBson::JavaScriptCodeWithScope(RawJavaScriptCodeWithScope {
                    code: code.into(),
                    scope: document(scope)?,
                }))
            }
            _ => None,
        },
        ("$date", 1) => date(value),
        ("$timestamp", 1) => match (value.get("t").and_then(unsigned), value.get("i").and_then(unsigned)) {
            (Some(time), Some(increment)) => Some(RawBson::Timestamp(Timestamp { time, increment })),
            _ => None,
        },
        ("$regularExpression", 1) => {
            match (value.get("pattern").and_then(Json::text), value.get("options").and_then(Json::text)) {
                (Some(pattern), Some(options)) => {
                    Some(RawBson::RegularExpression(Regex { pattern: key(pattern)?, options: key(options)? }))
                }
                _ => None,
            }
        }
        ("$uuid", 1) => value
            .text()
            .and_then(uuid)
            .map(|bytes| RawBson::Binary(Binary { subtype: bson::spec::BinarySubtype::Uuid, bytes: bytes.to_vec() })),
        ("$binary", 1) => match (value.get("base64").and_then(Json::text), value.get("subType").and_then(Json::text)) {
            (Some(base64), Some(subtype)) => binary(base64, subtype),
            _ => None,
        },
        // The older dialect's.
        ("$binary", 2) => match (value.text(), other("$type").and_then(Json::text)) {
            (Some(base64), Some(subtype)) => binary(base64, subtype),
            _ => None,
        },
        ("$dbPointer", 1) => {
            let id = value.get("$id").and_then(|id| id.get("$oid")).and_then(Json::text);
            match (value.get("$ref").and_then(Json::text), id.and_then(|id| ObjectId::parse_str(id).ok())) {
                (Some(namespace), Some(id)) => Some(RawBson::DbPointer(db_pointer(namespace, id)?)),
                _ => None,
            }
        }
        _ => return Ok(None),
    };
    parsed.map(Some).ok_or_else(wrong)
}

fn unsigned(value: &Json) -> Option<u32> {
    match value {
        Json::Object(_) => value.get("$numberLong").or_else(|| value.get("$numberInt")).and_then(Json::number),
        _ => value.number(),
    }
}

fn date(value: &Json) -> Option<RawBson> {
    let millis = match value {
        Json::Integer(millis) => *millis,
        Json::Object(_) => value.get("$numberLong")?.number()?,
        Json::Text(text) => return DateTime::parse_rfc3339_str(text).ok().map(RawBson::DateTime),
        _ => return None,
    };
    Some(RawBson::DateTime(DateTime::from_millis(millis)))
}

fn binary(base64: &str, subtype: &str) -> Option<RawBson> {
    let subtype = u8::from_str_radix(subtype, 16).ok()?;
    let binary = Binary::from_base64(base64, Some(subtype.into())).ok()?;
    Some(RawBson::Binary(binary))
}

/// `DbPointer` has no public constructor: it is made by way of its bytes.
fn db_pointer(namespace: &str, id: ObjectId) -> Result<DbPointer> {
    let wrong = |_| Error::Corrupt("a $dbPointer cannot be read".into());
    let length = u32::try_from(namespace.len() + 1).map_err(wrong)?;
    let mut bytes = vec![0, 0, 0, 0, 0x0c, 0];
    bytes.extend(length.to_le_bytes());
    bytes.extend(namespace.as_bytes());
    bytes.push(0);
    bytes.extend(id.bytes());
    bytes.push(0);
    let total = u32::try_from(bytes.len()).map_err(wrong)?.to_le_bytes();
    bytes.splice(..4, total);
    let unreadable = || Error::Corrupt("a $dbPointer cannot be read".into());
    let document = RawDocumentBuf::from_bytes(bytes).map_err(|_| unreadable())?;
    match document.get("").map_err(|_| unreadable())?.map(RawBson::from) {
        Some(RawBson::DbPointer(pointer)) => Ok(pointer),
        _ => Err(unreadable()),
    }
}

/// The bytes of a UUID, with hyphens or without.
pub fn uuid(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| *byte != b'-')
        .map(|byte| (byte as char).to_digit(16))
        .map(|digit| digit.and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    if digits.len() != 32 {
        return None;
    }
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair.iter().fold(0, |value, digit| value << 4 | digit);
    }
    Some(bytes)
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Ordered)
    }
}

struct Ordered;

impl<'de> Visitor<'de> for Ordered {
    type Value = Json;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value))
    }

    #[allow(clippy::cast_precision_loss)]
    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(i64::try_from(value).map_or(Json::Double(value as f64), Json::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Double(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(value) = values.next_element()? {
            array.push(value);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(field) = fields.next_entry()? {
            object.push(field);
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<RawDocumentBuf> {
        Json::parse(json.as_bytes()).and_then(|json| json.document())
    }

    fn value(json: &str) -> RawBson {
        let document = read(&format!(r#"{{"x": {json}}}"#)).unwrap_or_else(|error| panic!("{json}: {error}"));
        document.get("x").expect("whole").map(RawBson::from).expect("there")
    }

    #[test]
    fn every_type_is_read_in_both_dialects() {
        let oid = ObjectId::parse_str("0123456789abcdef01234567").expect("an id");
        for (json, wanted) in [
            ("1", RawBson::Int32(1)),
            ("3000000000", RawBson::Int64(3_000_000_000)),
            ("1.5", RawBson::Double(1.5)),
            (r#"{"$numberInt": "-7"}"#, RawBson::Int32(-7)),
            (r#"{"$numberLong": "7"}"#, RawBson::Int64(7)),
            (r#"{"$numberDouble": "-Infinity"}"#, RawBson::Double(f64::NEG_INFINITY)),
            (r#"{"$numberDouble": "1.0"}"#, RawBson::Double(1.0)),
            (r#"{"$numberDecimal": "1.50"}"#, RawBson::Decimal128("1.50".parse().expect("a number"))),
            (r#"{"$oid": "0123456789abcdef01234567"}"#, RawBson::ObjectId(oid)),
            (r#"{"$date": {"$numberLong": "-1"}}"#, RawBson::DateTime(DateTime::from_millis(-1))),
            (r#"{"$date": "1970-01-01T00:00:01Z"}"#, RawBson::DateTime(DateTime::from_millis(1000))),
            (r#"{"$date": 12}"#, RawBson::DateTime(DateTime::from_millis(12))),
            (r#"{"$timestamp": {"t": 1, "i": 2}}"#, RawBson::Timestamp(Timestamp { time: 1, increment: 2 })),
            (r#"{"$minKey": 1}"#, RawBson::MinKey),
            (r#"{"$maxKey": 1}"#, RawBson::MaxKey),
            (r#"{"$undefined": true}"#, RawBson::Undefined),
            (r#"{"$symbol": "s"}"#, RawBson::Symbol("s".into())),
            (r#"{"$code": "f()"}"#, RawBson::JavaScriptCode("f()".into())),
            ("null", RawBson::Null),
            ("true", RawBson::Boolean(true)),
        ] {
            assert_eq!(value(json), wanted, "{json}");
        }
        for json in [r#"{"$binary": {"base64": "AAE=", "subType": "80"}}"#, r#"{"$binary": "AAE=", "$type": "80"}"#] {
            let RawBson::Binary(binary) = value(json) else { panic!("{json}") };
            assert_eq!((binary.bytes, u8::from(binary.subtype)), (vec![0, 1], 0x80));
        }
        let RawBson::RegularExpression(regex) = value(r#"{"$regularExpression": {"pattern": "a/b", "options": "im"}}"#)
        else {
            panic!("a regular expression")
        };
        assert_eq!((regex.pattern.as_str(), regex.options.as_str()), ("a/b", "im"));
        let RawBson::DbPointer(_) =
            value(r#"{"$dbPointer": {"$ref": "a.b", "$id": {"$oid": "0123456789abcdef01234567"}}}"#)
        else {
            panic!("a pointer")
        };
        assert!(matches!(value(r#"{"$numberDouble": "NaN"}"#), RawBson::Double(nan) if nan.is_nan()));
    }

    #[test]
    fn fields_keep_their_order_and_queries_stay_documents() {
        let document = read(
            r#"{"z": 1, "a": {"$gt": {"$numberInt": "5"}, "$type": "string"}, "m": {"$regex": "x", "$options": "i"}}"#,
        )
        .expect("read");
        let names: Vec<_> = document.iter().map(|field| field.expect("whole").0.as_str().to_string()).collect();
        assert_eq!(names, ["z", "a", "m"]);
        assert!(
            document.get_document("m").is_ok_and(|query| query.get_str("$options").is_ok_and(|options| options == "i"))
        );
        assert_eq!(document.get_document("a").expect("a query").get_i32("$gt").ok(), Some(5));
    }

    #[test]
    fn nonsense_is_an_error() {
        for json in [
            r#"{"x": {"$oid": "12"}}"#,
            r#"{"x": {"$numberInt": "99999999999"}}"#,
            r#"{"x": {"$date": []}}"#,
            r#"{"x": {"$binary": {"base64": "%", "subType": "00"}}}"#,
            r#"{"a\u0000b": 1}"#,
            "[]",
            "{",
        ] {
            assert!(matches!(read(json), Err(Error::Corrupt(_))), "{json}");
        }
    }

    #[test]
    fn uuids_have_hyphens_or_not() {
        let bytes = uuid("00112233-4455-6677-8899-aabbccddeeff").expect("a UUID");
        assert_eq!(bytes[..3], [0, 0x11, 0x22]);
        assert_eq!(uuid("00112233445566778899aabbccddeeff"), Some(bytes));
        assert_eq!(uuid("0011"), None);
        assert_eq!(uuid("zz112233445566778899aabbccddeeff"), None);
    }
}
