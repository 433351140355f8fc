//! A BackupStorage → the store it describes.

use super::secret;
use crate::error::{Error, Result};
use crate::object;
use coffer_api::backup_storage::Provider;
use coffer_api::refs::ObjectRef;
use coffer_api::{BackupStorage, FailureClass};
use coffer_repository::{S3Config, S3Credentials, StoreConfig};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use secrecy::ExposeSecret;
use std::path::PathBuf;

/// The storage that an object of `namespace` refers to, or the namespace's default one; refused unless its usage policy
/// lets that namespace in.
pub(crate) async fn find(client: &Client, namespace: &str, reference: Option<&ObjectRef>) -> Result<BackupStorage> {
    let Some(reference) = reference else {
        return default(client, namespace).await;
    };
    let owner = reference.namespace_or(namespace);
    let storage: BackupStorage = object::get(client, owner, reference.name.as_str()).await?;
    if !storage.spec.usage_policy.allows(owner, namespace) {
        return Err(Error::refused(
            FailureClass::Denied,
            format!("BackupStorage {owner}/{} may not be used from namespace {namespace}", reference.name),
        )
        .hint("its owner can set spec.usagePolicy.allowedNamespaces.from: All"));
    }
    Ok(storage)
}

async fn default(client: &Client, namespace: &str) -> Result<BackupStorage> {
    let api: Api<BackupStorage> = Api::namespaced(client.clone(), namespace);
    let list = api.list(&ListParams::default()).await;
    let list = list.map_err(Error::api("list", format_args!("the BackupStorages of namespace {namespace}")))?;
    let mut defaults: Vec<BackupStorage> = list.items.into_iter().filter(|storage| storage.spec.default).collect();
    match (defaults.pop(), defaults.pop()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => Err(Error::refused(
            FailureClass::Invalid,
            format!("namespace {namespace} has several default BackupStorages"),
        )
        .hint("set spec.default on one of them only, or name one in spec.storage")),
        (None, _) => Err(Error::refused(
            FailureClass::NotFound,
            format!("no storage is named, and namespace {namespace} has no default BackupStorage"),
        )
        .hint("name one in spec.storage, or set spec.default: true on one")),
    }
}

/// How to open what `storage` describes; `path` is a folder inside it.
pub(crate) async fn config(client: &Client, storage: &BackupStorage, path: Option<&str>) -> Result<StoreConfig> {
    let namespace = storage.namespace().unwrap_or_default();
    match storage.spec.provider() {
        Some(Provider::Local(local)) => {
            let folder = PathBuf::from(&local.path);
            Ok(StoreConfig::Local { path: path.map_or_else(|| folder.clone(), |path| folder.join(path)) })
        }
        Some(Provider::S3(s3)) => {
            let credentials = match &storage.spec.secret {
                Some(reference) => {
                    let keys = secret::read(client, &namespace, reference.name.as_str()).await?;
                    Some(S3Credentials {
                        // An identifier, not a secret: AWS prints it in its own errors.
                        access_key_id: keys.require("AWS_ACCESS_KEY_ID")?.expose_secret().to_owned(),
                        secret_access_key: keys.require("AWS_SECRET_ACCESS_KEY")?,
                        session_token: keys.optional("AWS_SESSION_TOKEN")?,
                    })
                }
                None => None,
            };
            let ca_pem = match &s3.ca_bundle {
                Some(bundle) => Some(String::from_utf8(bundle.0.clone()).map_err(|_| {
                    Error::refused(
                        FailureClass::Invalid,
                        format!("{}: spec.s3.caBundle is no text", object::label(storage)),
                    )
                    .hint("give the PEM file, encoded in base64 once")
                })?),
                None => None,
            };
            let parts = [s3.prefix.as_deref(), path].into_iter().flatten().map(|part| part.trim_matches('/'));
            let prefix = parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
            Ok(StoreConfig::S3(S3Config {
                bucket: s3.bucket.clone(),
                prefix: (!prefix.is_empty()).then_some(prefix),
                region: s3.region.clone(),
                endpoint: s3.endpoint.clone(),
                path_style: s3.force_path_style.unwrap_or(s3.endpoint.is_some()),
                credentials,
                ca_pem,
            }))
        }
        None => Err(Error::refused(
            FailureClass::Invalid,
            format!("{} names no provider or several", object::label(storage)),
        )
        .hint("write exactly one of spec.local and spec.s3")),
    }
}
