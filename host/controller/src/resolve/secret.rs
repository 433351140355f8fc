//! Secrets: read when they are needed, held as `SecretString`, named in errors but never shown.

use crate::error::{Error, Result};
use crate::object;
use coffer_api::FailureClass;
use k8s_openapi::api::core::v1::Secret;
use kube::{Client, ResourceExt};
use secrecy::SecretString;
use std::collections::BTreeMap;

/// The keys of one Secret.
pub(crate) struct Keys {
    name: String,
    values: BTreeMap<String, Vec<u8>>,
}

/// Reads the Secret `name`.
pub(crate) async fn read(client: &Client, namespace: &str, name: &str) -> Result<Keys> {
    let mut secret: Secret = object::get(client, namespace, name).await?;
    secret.metadata.namespace = Some(namespace.to_owned());
    Ok(Keys::from(secret))
}

impl From<Secret> for Keys {
    fn from(secret: Secret) -> Self {
        let name = format!("{}/{}", secret.namespace().unwrap_or_default(), secret.name_any());
        Self { name, values: secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect() }
    }
}

impl Keys {
    /// The value of a key that must be there and not be empty.
    pub(crate) fn require(&self, key: &str) -> Result<SecretString> {
        match self.optional(key)? {
            Some(value) => Ok(value),
            None => {
                let present: Vec<&str> = self.values.keys().map(String::as_str).collect();
                let present = if present.is_empty() { "none".to_owned() } else { present.join(", ") };
                Err(Error::refused(FailureClass::NotFound, format!("Secret {} has no key {key}", self.name))
                    .hint(format!("add the key {key} to the Secret; the keys it has: {present}")))
            }
        }
    }

    /// The value of a key, if it is there and not empty.
    pub(crate) fn optional(&self, key: &str) -> Result<Option<SecretString>> {
        self.values.get(key).filter(|value| !value.is_empty()).map(|value| self.text(key, value)).transpose()
    }

    /// All keys with their values.
    pub(crate) fn all(&self) -> Result<BTreeMap<String, SecretString>> {
        self.values.iter().map(|(key, value)| Ok((key.clone(), self.text(key, value)?))).collect()
    }

    fn text(&self, key: &str, value: &[u8]) -> Result<SecretString> {
        match std::str::from_utf8(value) {
            Ok(text) => Ok(SecretString::from(text)),
            Err(_) => {
                Err(Error::refused(FailureClass::Invalid, format!("key {key} of Secret {} is no text", self.name))
                    .hint("encode the value in base64 exactly once"))
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn of(values: &[(&str, &str)]) -> Self {
        let values = values.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
        Self { name: "demo/test".to_owned(), values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_is_named_with_those_that_are_there_and_no_value_is_shown() {
        let keys = Keys::of(&[("user", "postgres"), ("pass", "hunter2"), ("username", "")]);
        let failure = keys.require("username").unwrap_err().into_failure();
        assert_eq!(failure.message, "Secret demo/test has no key username");
        let hint = failure.hint.unwrap();
        assert!(hint.contains("pass, user"), "{hint}");
        assert!(!hint.contains("hunter2"));
    }
}
