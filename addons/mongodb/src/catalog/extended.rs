//! BSON as canonical extended JSON, which mongodump writes definitions in: every type comes back as it was.
//! https://github.com/mongodb/specifications/blob/master/source/extended-json/extended-json.md

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bson::raw::{RawBsonRef, RawDocument};
use coffer_addon::{Error, Result};
use std::fmt::Write;

/// Appends a document.
pub fn document(json: &mut String, document: &RawDocument) -> Result<()> {
    json.push('{');
    for (index, field) in document.iter().enumerate() {
        let (name, value) = field.map_err(broken)?;
        if index > 0 {
            json.push(',');
        }
        text(json, name.as_ref())?;
        json.push(':');
        self::value(json, value)?;
    }
    json.push('}');
    Ok(())
}

/// Appends a text, quoted.
pub fn text(json: &mut String, text: &str) -> Result<()> {
    json.push_str(&serde_json::to_string(text)?);
    Ok(())
}

fn value(json: &mut String, value: RawBsonRef<'_>) -> Result<()> {
    let plain = |json: &mut String, key: &str, value: &dyn std::fmt::Display| {
        // Writing to a string cannot fail.
        let _ = write!(json, "{{\"{key}\":\"{value}\"}}");
    };
    match value {
        RawBsonRef::Document(value) => document(json, value)?,
        RawBsonRef::Array(values) => {
            json.push('[');
            for (index, value) in values.into_iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                self::value(json, value.map_err(broken)?)?;
            }
            json.push(']');
        }
        RawBsonRef::String(value) => text(json, value)?,
        RawBsonRef::Boolean(value) => json.push_str(if value { "true" } else { "false" }),
        RawBsonRef::Null => json.push_str("null"),
        RawBsonRef::Int32(value) => plain(json, "$numberInt", &value),
        RawBsonRef::Int64(value) => plain(json, "$numberLong", &value),
        RawBsonRef::Double(value) => plain(json, "$numberDouble", &double(value)),
        RawBsonRef::Decimal128(value) => plain(json, "$numberDecimal", &value),
        RawBsonRef::ObjectId(value) => plain(json, "$oid", &value),
        RawBsonRef::DateTime(value) => {
            json.push_str("{\"$date\":");
            plain(json, "$numberLong", &value.timestamp_millis());
            json.push('}');
        }
        RawBsonRef::Timestamp(value) => {
            let _ = write!(json, "{{\"$timestamp\":{{\"t\":{},\"i\":{}}}}}", value.time, value.increment);
        }
        RawBsonRef::Binary(value) => {
            // The old kind's payload has its length in front, which is not part of the data.
            let (data, kind) = (STANDARD.encode(value.bytes), u8::from(value.subtype));
            let _ = write!(json, "{{\"$binary\":{{\"base64\":\"{data}\",\"subType\":\"{kind:02x}\"}}}}");
        }
        RawBsonRef::RegularExpression(value) => {
            json.push_str("{\"$regularExpression\":{\"pattern\":");
            text(json, value.pattern.as_str())?;
            json.push_str(",\"options\":");
            text(json, value.options.as_str())?;
            json.push_str("}}");
        }
        RawBsonRef::JavaScriptCode(value) => worded(json, "$code", value)?,
        RawBsonRef::Symbol(value) => worded(json, "$symbol", value)?,
        RawBsonRef::JavaScriptCodeWithScope(value) => {
            json.push_str("{\"$code\":");
            text(json, value.code)?;
            json.push_str(",\"$scope\":");
            document(json, value.scope)?;
            json.push('}');
        }
        RawBsonRef::Undefined => json.push_str("{\"$undefined\":true}"),
        RawBsonRef::MinKey => json.push_str("{\"$minKey\":1}"),
        RawBsonRef::MaxKey => json.push_str("{\"$maxKey\":1}"),
        // No option and no index has one.
        RawBsonRef::DbPointer(_) => {
            return Err(Error::Unsupported(
                "it has a value of the type DBPointer, which is long gone from MongoDB".into(),
            ));
        }
    }
    Ok(())
}

fn worded(json: &mut String, key: &str, value: &str) -> Result<()> {
    let _ = write!(json, "{{\"{key}\":");
    text(json, value)?;
    json.push('}');
    Ok(())
}

/// The shortest text that reads as the same number, in the tools' way of writing it: with an exponent from a million on, and
/// never without a sign that it is no integer.
fn double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    let scientific = format!("{value:e}");
    let exponent = scientific.split_once('e').and_then(|(digits, exponent)| Some((digits, exponent.parse().ok()?)));
    match exponent {
        Some((digits, exponent @ (..-4 | 6..=i32::MAX))) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}E{sign}{:02}", exponent.abs())
        }
        _ => format!("{value:?}"),
    }
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::Corrupt(format!("the server sent a definition that is no valid BSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::oid::ObjectId;
    use bson::raw::{RawDocumentBuf, cstr};
    use bson::spec::BinarySubtype;
    use bson::{Binary, DateTime, RawBson, Regex, Timestamp, rawdoc};

    fn json(document: &RawDocument) -> String {
        let mut json = String::new();
        super::document(&mut json, document).expect("valid");
        json
    }

    #[test]
    fn every_type_is_told() {
        let mut document = rawdoc! { "b": 1, "a": [2_i64, { "é\"": true }], "n": RawBson::Null };
        document.append(cstr!("d"), DateTime::from_millis(-1));
        document.append(cstr!("o"), ObjectId::from_bytes([7; 12]));
        document.append(cstr!("t"), Timestamp { time: 4, increment: 5 });
        document.append(cstr!("x"), Binary { subtype: BinarySubtype::Uuid, bytes: vec![1, 2] });
        document.append(cstr!("r"), Regex { pattern: cstr!("a/b").into(), options: cstr!("i").into() });
        document.append(cstr!("m"), RawBson::MinKey);
        let expected = r#"{"b":{"$numberInt":"1"},"a":[{"$numberLong":"2"},{"é\"":true}],"n":null,"d":{"$date":{"$numberLong":"-1"}},"o":{"$oid":"070707070707070707070707"},"t":{"$timestamp":{"t":4,"i":5}},"x":{"$binary":{"base64":"AQI=","subType":"04"}},"r":{"$regularExpression":{"pattern":"a/b","options":"i"}},"m":{"$minKey":1}}"#;
        assert_eq!(json(&document), expected);
        assert_eq!(json(&RawDocumentBuf::new()), "{}");
    }

    #[test]
    fn doubles_are_told_as_the_tools_do() {
        for (value, text) in [
            (1.0, "1.0"),
            (-180.0, "-180.0"),
            (0.1, "0.1"),
            (-0.0, "-0.0"),
            (999_999.0, "999999.0"),
            (1e6, "1E+06"),
            (1_234_567.5, "1.2345675E+06"),
            (1e-5, "1E-05"),
            (1e300, "1E+300"),
            (f64::INFINITY, "Infinity"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(double(value), text);
        }
    }
}
