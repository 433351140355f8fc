//! An AppBinding → the application as the runtime takes it: endpoints, TLS, credentials.

use super::secret::{self, Keys};
use crate::error::{Error, Result};
use crate::object;
use coffer_api::{AppBinding, ClientConfig, FailureClass, SecretTransform};
use coffer_runtime::{Application, Endpoint, Identity, Tls};
use k8s_openapi::api::core::v1::Secret;
use kube::{Client, ResourceExt};
use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use std::collections::BTreeMap;
use url::{Host, Url};

/// The name of the one endpoint that a binding has today. A Function that names none gets it.
const ENDPOINT: &str = "default";

/// Ports of the applications whose URLs are mostly written without one.
const PORTS: [(&str, u16); 8] = [
    ("elasticsearch", 9200),
    ("http", 80),
    ("https", 443),
    ("mariadb", 3306),
    ("mongodb", 27017),
    ("mysql", 3306),
    ("postgres", 5432),
    ("postgresql", 5432),
];

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
    let config = &binding.spec.client_config;
    let label = object::label(binding);
    let address = address(config, &namespace).map_err(|error| prefix(&label, error))?;
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
        endpoints: vec![Endpoint { name: ENDPOINT.to_owned(), host: address.host, port: address.port }],
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

struct Address {
    host: String,
    port: u16,
    /// What the address says beyond host and port: `database` for a path, and the query.
    parameters: Vec<(String, String)>,
}

fn address(config: &ClientConfig, namespace: &str) -> Result<Address> {
    match (&config.url, &config.service) {
        (Some(url), _) => from_url(url),
        (None, Some(service)) => {
            let namespace = service.namespace.as_ref().map_or(namespace, |namespace| namespace.as_str());
            let query = url::form_urlencoded::parse(service.query.as_deref().unwrap_or_default().as_bytes());
            Ok(Address {
                host: format!("{}.{namespace}.svc", service.name),
                port: service.port,
                parameters: parameters(service.path.as_deref().unwrap_or_default(), query)?,
            })
        }
        (None, None) => Err(Error::refused(FailureClass::Invalid, "spec.clientConfig names no address")
            .hint("write spec.clientConfig.url or spec.clientConfig.service")),
    }
}

/// The URL itself is not repeated in errors: someone may have put a password into it.
fn from_url(text: &str) -> Result<Address> {
    let refuse = |what: String| {
        Error::refused(FailureClass::Invalid, format!("spec.clientConfig.url {what}"))
            .hint("write it like postgresql://db.example:5432/shop")
    };
    let url = Url::parse(text).map_err(|error| refuse(format!("is no URL: {error}")))?;
    let host = match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => return Err(refuse("names no host".to_owned())),
    };
    let known = || PORTS.iter().find(|(scheme, _)| *scheme == url.scheme()).map(|(_, port)| *port);
    let port = url.port().or_else(known).ok_or_else(|| refuse("names no port".to_owned()))?;
    Ok(Address { host, port, parameters: parameters(url.path(), url.query_pairs())? })
}

fn parameters(path: &str, query: url::form_urlencoded::Parse<'_>) -> Result<Vec<(String, String)>> {
    let mut parameters = Vec::new();
    let database = percent_decode_str(path.trim_matches('/')).decode_utf8().map_err(|_| {
        Error::refused(FailureClass::Invalid, "the path of spec.clientConfig is not UTF-8 when percent-decoded")
    })?;
    if !database.is_empty() {
        parameters.push(("database".to_owned(), database.into_owned()));
    }
    parameters.extend(query.into_owned());
    Ok(parameters)
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
    fn a_url_gives_host_port_and_database() {
        let address = from_url("postgresql://db.example/sh%C3%B6p?application_name=coffer").unwrap();
        assert_eq!((address.host.as_str(), address.port), ("db.example", 5432));
        let expected = [("database", "shöp"), ("application_name", "coffer")];
        assert_eq!(address.parameters, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let address = from_url("postgresql://[::1]:5433").unwrap();
        assert_eq!((address.host.as_str(), address.port, address.parameters.len()), ("::1", 5433, 0));
    }

    #[test]
    fn a_url_that_cannot_be_reached_is_refused_without_showing_it() {
        for url in ["redis://cache:hunter2@", "oracle://user:hunter2@db.example/x", "hunter2"] {
            let failure = from_url(url).err().unwrap().into_failure();
            assert!(!failure.message.contains("hunter2"), "{}", failure.message);
        }
    }

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
