//! AppBinding: how to reach an application.

use k8s_openapi::ByteString;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Cause, Parameters, refs::LocalRef, refs::Name};

/// How to reach an application: its type and version, its address, its credentials, and what its addon needs to know.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "coffer.dev",
    version = "v1alpha1",
    kind = "AppBinding",
    namespaced,
    shortname = "ab",
    category = "coffer",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version"),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.clientConfig.url", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct AppBindingSpec {
    /// The application's type, as Functions name it: `postgresql`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1))]
    pub type_: String,
    /// The application's version. Absent: what the application says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub version: Option<String>,
    /// Its address, and how far to trust what answers there.
    pub client_config: ClientConfig,
    /// The Secret whose keys become the credentials granted to the addon, such as `username` and `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<LocalRef>,
    /// The Secret with the client certificate: keys `tls.crt`, `tls.key` and optionally `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_secret: Option<LocalRef>,
    /// Changes to the credentials, applied in order, for a Secret whose keys have other names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_transforms: Vec<SecretTransform>,
    /// Parameters for the steps that run on this application: each goes to the Functions that declare it.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
}

/// An application's address: `url` or `service`, and its TLS settings.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientConfig {
    /// Address as a URL, such as `postgresql://db.example:5432/shop`. Holds no user and no password: those come from
    /// `secret`. The path and the query are for the addon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub url: Option<String>,
    /// Address as a Service of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceRef>,
    /// Whether the connection is encrypted.
    #[serde(default)]
    pub tls_mode: TlsMode,
    /// Certificates of the authorities to trust: PEM, in base64. Absent: those of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::byte_string")]
    pub ca_bundle: Option<ByteString>,
    /// The name expected in the server's certificate. Absent: the host of the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub server_name: Option<String>,
    /// Accept whatever certificate the server shows. Nobody then knows who answers.
    #[serde(default, rename = "insecureSkipTLSVerify")]
    pub insecure_skip_tls_verify: bool,
}

/// A Service of the cluster.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRef {
    /// The Service's name.
    pub name: Name,
    /// The Service's namespace. Default: that of the AppBinding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Name>,
    /// The Service's port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// The scheme that a URL would have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// The path that a URL would have, such as the name of a database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The query that a URL would have, without the question mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
}

/// Whether a connection is encrypted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum TlsMode {
    /// Always, and the server's certificate is verified unless `insecureSkipTLSVerify` is set.
    #[default]
    Require,
    /// Never.
    Disable,
}

/// One change to the credentials: exactly one of the fields.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretTransform {
    /// Gives a key another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rename_key: Option<RenameKey>,
    /// Adds a key with a value that is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_key: Option<AddKey>,
    /// Adds all keys of another Secret; its values win.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_keys_from: Option<AddKeysFrom>,
    /// Removes a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove_key: Option<RemoveKey>,
}

/// See [`SecretTransform`].
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RenameKey {
    /// The key as it is.
    pub from: String,
    /// The key as it shall be.
    pub to: String,
}

/// See [`SecretTransform`].
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddKey {
    /// The key.
    pub key: String,
    /// Its value, in the clear.
    pub string_value: String,
}

/// See [`SecretTransform`].
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddKeysFrom {
    /// The Secret, in the namespace of the AppBinding.
    pub secret_ref: LocalRef,
}

/// See [`SecretTransform`].
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoveKey {
    /// The key.
    pub key: String,
}

impl AppBindingSpec {
    pub(crate) fn check(&self, causes: &mut Vec<Cause>) {
        let config = &self.client_config;
        crate::validate::exactly_one(
            "spec.clientConfig",
            [("url", config.url.is_some()), ("service", config.service.is_some())],
            causes,
        );
        if let Some(url) = &config.url {
            check_url(url, causes);
        }
        if config.tls_mode == TlsMode::Disable {
            let unused = [
                ("caBundle", config.ca_bundle.is_some()),
                ("serverName", config.server_name.is_some()),
                ("insecureSkipTLSVerify", config.insecure_skip_tls_verify),
            ];
            for (field, _) in unused.iter().filter(|(_, set)| *set) {
                causes.push(
                    Cause::new(format!("spec.clientConfig.{field}"), "means nothing when tlsMode is Disable")
                        .hint("remove it, or set tlsMode: Require"),
                );
            }
        }
        if config.insecure_skip_tls_verify && config.ca_bundle.is_some() {
            causes.push(
                Cause::new("spec.clientConfig.caBundle", "means nothing when insecureSkipTLSVerify is set")
                    .hint("remove one of the two"),
            );
        }
        if let Some(ByteString(pem)) = &config.ca_bundle
            && !contains(pem, b"-----BEGIN CERTIFICATE-----")
        {
            causes.push(
                Cause::new("spec.clientConfig.caBundle", "holds no PEM certificate")
                    .hint("give the PEM file encoded in base64, once: base64 -w0 ca.pem"),
            );
        }
        for (index, transform) in self.secret_transforms.iter().enumerate() {
            crate::validate::exactly_one(
                &format!("spec.secretTransforms[{index}]"),
                [
                    ("renameKey", transform.rename_key.is_some()),
                    ("addKey", transform.add_key.is_some()),
                    ("addKeysFrom", transform.add_keys_from.is_some()),
                    ("removeKey", transform.remove_key.is_some()),
                ],
                causes,
            );
        }
    }
}

/// Only what every application's URL must keep to; the rest is for whoever connects. The URL is never shown: it may hold
/// a password, which is just what is refused here.
fn check_url(url: &str, causes: &mut Vec<Cause>) {
    let path = "spec.clientConfig.url";
    let Some((scheme, rest)) = url.split_once("://") else {
        causes.push(
            Cause::new(path, "is no URL: the scheme is missing")
                .hint("write it like postgresql://db.example:5432/shop"),
        );
        return;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if scheme.is_empty() || authority.is_empty() {
        causes.push(Cause::new(path, "names no host").hint("write it like postgresql://db.example:5432/shop"));
    }
    if authority.contains('@') {
        causes.push(
            Cause::new(path, "holds a user name or a password")
                .hint("put them into a Secret under the keys username and password, and name it in spec.secret"),
        );
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
