//! Kubernetes' protobuf encoding, read only, for Namespace and Secret: `kubectl create namespace` and `kubectl create
//! secret` send nothing else.
//!
//! Envelope: k8s.io/apimachinery `pkg/runtime/generated.proto` (Unknown after the magic `k8s\0`). Messages:
//! `ObjectMeta` in `pkg/apis/meta/v1/generated.proto`, `Namespace` and `Secret` in k8s.io/api `core/v1/generated.proto`.

use k8s_openapi::ByteString;
use serde_json::{Map, Value, json};

pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
const MAGIC: &[u8] = b"k8s\0";

/// The object as JSON; `None` when it is broken or of another kind.
pub(crate) fn decode(body: &[u8]) -> Option<Value> {
    let envelope = Message::parse(body.strip_prefix(MAGIC)?)?;
    let type_meta = Message::parse(envelope.bytes(1)?)?;
    let (api_version, kind) = (type_meta.text(1)?, type_meta.text(2)?);
    let object = Message::parse(envelope.bytes(2)?)?;
    let mut json =
        json!({"apiVersion": api_version, "kind": kind, "metadata": metadata(object.bytes(1).unwrap_or(&[]))?});
    let fields = crate::object::as_map(&mut json);
    match (api_version, kind) {
        // What a client says of a namespace's finalizers and phase does not count.
        ("v1", "Namespace") => {}
        ("v1", "Secret") => {
            let encoded = |value: &[u8]| serde_json::to_value(ByteString(value.to_vec())).ok();
            insert(fields, "data", map(&object, 2, encoded)?);
            insert(fields, "stringData", map(&object, 4, text)?);
            if let Some(kind) = object.text(3).filter(|kind| !kind.is_empty()) {
                fields.insert("type".into(), kind.into());
            }
            if let Some(immutable) = object.number(5) {
                fields.insert("immutable".into(), (immutable != 0).into());
            }
        }
        _ => return None,
    }
    Some(json)
}

fn metadata(body: &[u8]) -> Option<Value> {
    let message = Message::parse(body)?;
    let mut fields = Map::new();
    for (number, name) in [(1, "name"), (2, "generateName"), (3, "namespace")] {
        if let Some(text) = message.text(number).filter(|text| !text.is_empty()) {
            fields.insert(name.into(), text.into());
        }
    }
    insert(&mut fields, "labels", map(&message, 11, text)?);
    insert(&mut fields, "annotations", map(&message, 12, text)?);
    Some(Value::Object(fields))
}

fn text(value: &[u8]) -> Option<Value> {
    std::str::from_utf8(value).ok().map(Value::from)
}

fn insert(fields: &mut Map<String, Value>, name: &str, value: Map<String, Value>) {
    if !value.is_empty() {
        fields.insert(name.into(), Value::Object(value));
    }
}

/// A map is a repeated message of key 1 and value 2.
fn map(message: &Message, number: u64, value: impl Fn(&[u8]) -> Option<Value>) -> Option<Map<String, Value>> {
    let mut entries = Map::new();
    for (_, field) in message.0.iter().filter(|(found, _)| *found == number) {
        let Field::Bytes(entry) = field else { return None };
        let entry = Message::parse(entry)?;
        entries.insert(entry.text(1).unwrap_or_default().into(), value(entry.bytes(2).unwrap_or_default())?);
    }
    Some(entries)
}

/// The fields of a message in the order they came.
struct Message<'a>(Vec<(u64, Field<'a>)>);

#[derive(Clone, Copy)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Message<'a> {
    fn parse(mut rest: &'a [u8]) -> Option<Message<'a>> {
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let key = varint(&mut rest)?;
            let field = match key & 7 {
                0 => Field::Number(varint(&mut rest)?),
                1 => Field::Bytes(take(&mut rest, 8)?),
                2 => {
                    let length = usize::try_from(varint(&mut rest)?).ok()?;
                    Field::Bytes(take(&mut rest, length)?)
                }
                5 => Field::Bytes(take(&mut rest, 4)?),
                _ => return None,
            };
            fields.push((key >> 3, field));
        }
        Some(Message(fields))
    }

    /// The last value of a field counts.
    fn field(&self, number: u64) -> Option<Field<'a>> {
        self.0.iter().rev().find(|(found, _)| *found == number).map(|(_, field)| *field)
    }

    fn bytes(&self, number: u64) -> Option<&'a [u8]> {
        match self.field(number)? {
            Field::Bytes(bytes) => Some(bytes),
            Field::Number(_) => None,
        }
    }

    fn text(&self, number: u64) -> Option<&'a str> {
        std::str::from_utf8(self.bytes(number)?).ok()
    }

    fn number(&self, number: u64) -> Option<u64> {
        match self.field(number)? {
            Field::Number(number) => Some(number),
            Field::Bytes(_) => None,
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut all = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
        all.extend_from_slice(content);
        all
    }

    fn secret() -> Vec<u8> {
        let type_meta = [field(1, b"v1"), field(2, b"Secret")].concat();
        let label = [field(1, b"app"), field(2, b"shop")].concat();
        let metadata = [field(1, b"auth"), field(3, b"demo"), field(11, &label)].concat();
        let data = [field(1, b"password"), field(2, b"geheim")].concat();
        let object = [field(1, &metadata), field(2, &data), field(3, b"Opaque"), vec![5 << 3, 1]].concat();
        [MAGIC.to_vec(), field(1, &type_meta), field(2, &object)].concat()
    }

    #[test]
    fn reads_a_secret() {
        let expected = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "immutable": true,
            "metadata": {"name": "auth", "namespace": "demo", "labels": {"app": "shop"}},
            "data": {"password": "Z2VoZWlt"},
        });
        assert_eq!(decode(&secret()), Some(expected));
    }

    #[test]
    fn what_is_cut_short_is_nothing_else() {
        let whole = secret();
        for length in 0..whole.len() {
            assert_ne!(decode(&whole[..length]), decode(&whole), "{length}");
        }
        assert_eq!(decode(b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), None);
    }
}
