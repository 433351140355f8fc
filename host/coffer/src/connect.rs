//! The way to a server: a kubeconfig, a client, and a first request that tells a missing server from a refusing one.

use crate::cli::{Global, NamespaceArgs};
use crate::failure::{Failure, OrFail, Result};
use crate::manifest;
use crate::paths::DataDir;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use std::path::{Path, PathBuf};

/// A server that answered.
#[derive(Clone)]
pub struct Connection {
    pub client: Client,
    namespace: String,
    global: Global,
}

impl Connection {
    /// The namespace asked for, else the kubeconfig's.
    pub fn namespace(&self, args: &NamespaceArgs) -> String {
        args.namespace.clone().unwrap_or_else(|| self.namespace.clone())
    }

    pub async fn open(global: &Global) -> Result<Self> {
        let (path, named) = kubeconfig_path(global)?;
        let kubeconfig = Kubeconfig::read_from(&path).map_err(|error| {
            if path.exists() {
                return unreadable(&path, &error);
            }
            let missing = Failure::new(format_args!("there is no kubeconfig at {}", path.display()));
            if named {
                missing.hint("check --kubeconfig and $COFFER_KUBECONFIG")
            } else {
                Failure::new("no Coffer server is running here").cause(&missing.error).hint(
                    "start one with `coffer serve`, or name its data folder by --data-dir or its kubeconfig by --kubeconfig",
                )
            }
        })?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .or_fail(|| format!("unable to use the kubeconfig {}", path.display()))?;
        let (url, namespace) = (config.cluster_url.clone(), config.default_namespace.clone());
        let client = Client::try_from(config).or_fail(|| format!("unable to connect to {url}"))?;
        // Every command would fail in its own words without this.
        if let Err(error) = client.apiserver_version().await {
            let failure = Failure::api(format_args!("no Coffer server answers at {url}"), &error);
            return Err(match error {
                kube::Error::Api(_) => failure,
                _ => failure.hint(format_args!(
                    "{} names this address: start `coffer serve` again, or name another server by --data-dir or --kubeconfig",
                    path.display()
                )),
            });
        }
        Ok(Self { client, namespace, global: global.clone() })
    }

    /// The way to the server by what its kubeconfig says now: one that was started again may listen elsewhere.
    pub async fn again(&self) -> Result<Self> {
        Self::open(&self.global).await
    }
}

/// A kubeconfig holds a token, so what stands in it is not shown.
fn unreadable(path: &Path, error: &KubeconfigError) -> Failure {
    let failure = Failure::new(format_args!("unable to read the kubeconfig {}", path.display()));
    match error {
        KubeconfigError::Parse(error) => {
            failure.cause(format_args!("not a kubeconfig: {}", manifest::explain(error, 1)))
        }
        error => failure.because(error),
    }
}

/// The file, and whether the user named it.
fn kubeconfig_path(global: &Global) -> Result<(PathBuf, bool)> {
    match &global.kubeconfig {
        Some(path) => Ok((path.clone(), true)),
        None => Ok((DataDir::find(global)?.kubeconfig(), false)),
    }
}
