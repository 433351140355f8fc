//! BackupStorage: where data goes.

use k8s_openapi::ByteString;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::repository::StoragePhase;
use crate::{
    Cause, Condition, Failure,
    refs::LocalRef,
    usage::{DeletionPolicy, UsagePolicy},
};

/// Where data goes: a bucket or a folder that holds repositories. Exactly one provider block.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "coffer.dev",
    version = "v1alpha1",
    kind = "BackupStorage",
    namespaced,
    status = "BackupStorageStatus",
    shortname = "bs",
    category = "coffer",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Provider", type_ = "string", json_path = ".status.provider"),
    printcolumn(name = "Default", type_ = "boolean", json_path = ".spec.default"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct BackupStorageSpec {
    /// A folder of the machine that runs the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalProvider>,
    /// A bucket of S3 or of a server that speaks its protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Provider>,
    /// The Secret with the provider's credentials; for s3 the keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and optionally
    /// AWS_SESSION_TOKEN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<LocalRef>,
    /// Which namespaces may have repositories here.
    #[serde(default)]
    pub usage_policy: UsagePolicy,
    /// Whether a Repository of this namespace that names no storage uses this one.
    #[serde(default)]
    pub default: bool,
    /// What happens to the data when this object is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// A folder of the machine that runs the session.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalProvider {
    /// The folder, as an absolute path. Made when it is missing.
    #[schemars(length(min = 1))]
    pub path: String,
}

/// A bucket of S3 or of a server that speaks its protocol.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Provider {
    /// The bucket. It must exist.
    #[schemars(length(min = 1))]
    pub bucket: String,
    /// Key prefix inside the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The server's URL. Absent: AWS. With `http://` the connection is not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region. Default: us-east-1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Put the bucket into the path, not into the host name. Default: true with an endpoint, false without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_path_style: Option<bool>,
    /// Certificates of the authorities to trust: PEM, in base64. Absent: those of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::byte_string")]
    pub ca_bundle: Option<ByteString>,
}

/// What became of a storage.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupStorageStatus {
    /// Whether it can be used.
    #[serde(default)]
    pub phase: StoragePhase,
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The provider block that is set: `local` or `s3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Why it cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Condition `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// The provider block that is set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Provider<'a> {
    /// `spec.local`.
    Local(&'a LocalProvider),
    /// `spec.s3`.
    S3(&'a S3Provider),
}

impl BackupStorageSpec {
    /// The provider block that is set; `None` when none is or several are, which validation refuses.
    pub fn provider(&self) -> Option<Provider<'_>> {
        match (&self.local, &self.s3) {
            (Some(local), None) => Some(Provider::Local(local)),
            (None, Some(s3)) => Some(Provider::S3(s3)),
            _ => None,
        }
    }

    pub(crate) fn check(&self, causes: &mut Vec<Cause>) {
        crate::validate::exactly_one("spec", [("local", self.local.is_some()), ("s3", self.s3.is_some())], causes);
        if let Some(local) = &self.local {
            if !local.path.starts_with('/') {
                causes.push(
                    Cause::new("spec.local.path", format!("{:?} is not absolute", local.path))
                        .hint("write the whole path, beginning with /"),
                );
            }
            if self.secret.is_some() {
                causes.push(Cause::new("spec.secret", "a local storage has no credentials").hint("remove it"));
            }
        }
        if let Some(endpoint) = self.s3.as_ref().and_then(|s3| s3.endpoint.as_ref())
            && !endpoint.starts_with("http://")
            && !endpoint.starts_with("https://")
        {
            causes.push(
                Cause::new("spec.s3.endpoint", format!("{endpoint:?} is no URL"))
                    .hint("write https:// before the host"),
            );
        }
    }
}
