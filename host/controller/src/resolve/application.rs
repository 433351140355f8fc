//! An AppBinding → the application as the runtime takes it: endpoints, TLS, credentials.

use super::address::Address;
use super::secret::{self, Keys};
use crate::error::{Error, Result};
use crate::object;
use coffer_api::{AppBinding, FailureClass, SecretTransform};
use coffer_runtime::{Application, Identity, Tls};
use k8s_openapi::api::core::v1::Secret;
use kube::{Client, ResourceExt};
use secrecy::SecretString;
use std::collections::BTreeMap;

/// Reads the Secrets that `binding` names and puts everything together.
pub(crate) async fn resolve(client: &Client, binding: &AppBinding) -> Result<Application> {
    let namespace = binding.namespace().unwrap_or_default();
    let mut secrets = BTreeMap::new();
    for name in secret_names(binding) {
        secrets.insert(name.to_owned(), secret::read(client, &namespace, name).await?);
    }
    assemble(binding, &secrets)
}

/// The application of a binding that no API server has, with the Secrets that stand beside it.
pub fn of_manifests(binding: &AppBinding, secrets: &[Secret]) -> Result<Application> {
    let mut keys = BTreeMap::new();
    for name in secret_names(binding) {
        let found = secrets.iter().find(|secret| {
            secret.name_any() == name
                && secret.namespace().unwrap_or_default() == binding.namespace().unwrap_or_default()
        });
        let secret = found.ok_or_else(|| {
            let message = format!("{}: its Secret {name} is not among the manifests", object::label(binding));
            Error::refused(FailureClass::NotFound, message)
                .hint("write the Secret into the same file, with the same namespace")
        })?;
        keys.insert(name.to_owned(), Keys::from(secret.clone()));
    }
    assemble(binding, &keys)
}

/// Of all Secrets that the binding's application needs.
fn secret_names(binding: &AppBinding) -> impl Iterator<Item = &str> {
    let spec = &binding.spec;
    let encrypted = spec.client_config.tls_mode != coffer_api::TlsMode::Disable;
    let added = spec.secret_transforms.iter().filter_map(|transform| transform.add_keys_from.as_ref());
    let named = spec.secret.iter().chain(added.map(|from| &from.secret_ref));
    named.chain(spec.tls_secret.iter().filter(move |_| encrypted)).map(|reference| reference.name.as_str())
}

fn assemble(binding: &AppBinding, secrets: &BTreeMap<String, Keys>) -> Result<Application> {
    let namespace = binding.namespace().unwrap_or_default();
    let label = object::label(binding);
    let address = Address::of(&binding.spec, &namespace).map_err(|error| prefix(&label, error))?;
    let all = |name: &str| secrets.get(name).map_or_else(|| Ok(BTreeMap::new()), Keys::all);
    let mut credentials = match &binding.spec.secret {
        Some(reference) => all(reference.name.as_str())?,
        None => BTreeMap::new(),
    };
    for transform in &binding.spec.secret_transforms {
        let added = match &transform.add_keys_from {
            Some(from) => all(from.secret_ref.name.as_str())?,
            None => BTreeMap::new(),
        };
        self::transform(transform, added, &mut credentials).map_err(|error| prefix(&label, error))?;
    }
    Ok(Application {
        kind: binding.spec.type_.clone(),
        version: binding.spec.version.clone(),
        endpoints: address.endpoints,
        tls: tls(binding, secrets)?,
        parameters: address.parameters,
        credentials,
    })
}

fn tls(binding: &AppBinding, secrets: &BTreeMap<String, Keys>) -> Result<Tls> {
    let config = &binding.spec.client_config;
    if config.tls_mode == coffer_api::TlsMode::Disable {
        return Ok(Tls::disabled());
    }
    let mut tls = Tls {
        ca_pem: config.ca_bundle.as_ref().map(|bundle| bundle.0.clone()),
        server_name: config.server_name.clone(),
        verify: !config.insecure_skip_tls_verify,
        ..Tls::default()
    };
    if let Some(keys) = binding.spec.tls_secret.as_ref().and_then(|reference| secrets.get(reference.name.as_str())) {
        use secrecy::ExposeSecret;
        tls.identity = Some(Identity {
            certificate_pem: keys.require("tls.crt")?.expose_secret().as_bytes().to_vec(),
            key_pem: keys.require("tls.key")?,
        });
        if tls.ca_pem.is_none() {
            tls.ca_pem = keys.optional("ca.crt")?.map(|pem| pem.expose_secret().as_bytes().to_vec());
        }
    }
    Ok(tls)
}

fn transform(
    transform: &SecretTransform,
    added: BTreeMap<String, SecretString>,
    credentials: &mut BTreeMap<String, SecretString>,
) -> Result<()> {
    if let Some(rename) = &transform.rename_key {
        let value = credentials.remove(&rename.from).ok_or_else(|| {
            Error::refused(
                FailureClass::NotFound,
                format!("there is no credential {} to rename to {}", rename.from, rename.to),
            )
            .hint("correct spec.secretTransforms, or add the key to the Secret")
        })?;
        credentials.insert(rename.to.clone(), value);
    }
    if let Some(add) = &transform.add_key {
        credentials.insert(add.key.clone(), SecretString::from(add.string_value.clone()));
    }
    if let Some(remove) = &transform.remove_key {
        credentials.remove(&remove.key);
    }
    credentials.extend(added);
    Ok(())
}

fn prefix(label: &str, error: Error) -> Error {
    match error {
        Error::Refused(failure) => {
            Error::Refused(coffer_api::Failure { message: format!("{label}: {}", failure.message), ..failure })
        }
        api => api,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffer_api::app_binding::{AddKey, RemoveKey, RenameKey};
    use secrecy::ExposeSecret;

    #[test]
    fn credentials_are_changed_in_order() {
        let mut credentials = BTreeMap::from([("user".to_owned(), SecretString::from("postgres"))]);
        let rename = RenameKey { from: "user".to_owned(), to: "username".to_owned() };
        let add = AddKey { key: "role".to_owned(), string_value: "dumper".to_owned() };
        let steps = [
            SecretTransform { rename_key: Some(rename.clone()), ..SecretTransform::default() },
            SecretTransform { add_key: Some(add), ..SecretTransform::default() },
            SecretTransform { remove_key: Some(RemoveKey { key: "none".to_owned() }), ..SecretTransform::default() },
        ];
        for step in &steps {
            transform(step, BTreeMap::new(), &mut credentials).unwrap();
        }
        let plain: Vec<_> = credentials.iter().map(|(key, value)| (key.as_str(), value.expose_secret())).collect();
        assert_eq!(plain, [("role", "dumper"), ("username", "postgres")]);
        let again = SecretTransform { rename_key: Some(rename), ..SecretTransform::default() };
        assert!(transform(&again, BTreeMap::new(), &mut credentials).is_err(), "the key is gone by now");
    }
}
