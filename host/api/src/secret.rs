//! core/v1 Secret: the one thing its schema cannot say.

use k8s_openapi::ByteString;
use serde_json::{Map, Value};

/// Moves `stringData` into `data`, encoded, as an API server does on every write. `stringData` wins. A Secret that is not
/// valid is left for validation to refuse.
pub fn merge_string_data(secret: &mut Value) {
    let Some(object) = secret.as_object_mut() else { return };
    let Some(Value::Object(plain)) = object.get("stringData") else { return };
    if !plain.values().all(Value::is_string) {
        return;
    }
    let Some(Value::Object(plain)) = object.remove("stringData") else { return };
    let data = object.entry("data").or_insert_with(|| Value::Object(Map::new()));
    if data.is_null() {
        *data = Value::Object(Map::new());
    }
    let Some(data) = data.as_object_mut() else { return };
    for (key, value) in plain {
        if let Value::String(text) = value
            && let Ok(encoded) = serde_json::to_value(ByteString(text.into_bytes()))
        {
            data.insert(key, encoded);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn string_data_becomes_data_and_wins() {
        let mut secret = json!({"data": {"a": "YQ==", "b": "Yg=="}, "stringData": {"b": "grün"}});
        merge_string_data(&mut secret);
        assert_eq!(secret, json!({"data": {"a": "YQ==", "b": "Z3LDvG4="}}));
    }

    #[test]
    fn what_is_not_valid_stays_to_be_refused() {
        let mut secret = json!({"stringData": {"port": 5432}});
        merge_string_data(&mut secret);
        assert_eq!(secret, json!({"stringData": {"port": 5432}}));
    }
}
