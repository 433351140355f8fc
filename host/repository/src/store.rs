//! Where a repository lies: a folder or an S3 bucket, opened as an [`ObjectStore`].
//!
//! S3 speaks TLS by rustls without a built-in crypto provider: the program installs one first thing in `main`
//! (`rustls::crypto::ring::default_provider().install_default()`).

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::TryStreamExt;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    local::LocalFileSystem,
    path::Path as ObjectPath,
    prefix::PrefixStore,
};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    error::{Error, FOLDER, Result},
    limits,
};

/// Where a repository lies, and how to get there.
#[derive(Debug, Clone)]
pub enum StoreConfig {
    /// A folder. When it is missing, making a repository there makes it too, for its owner only.
    Local {
        path: PathBuf,
    },
    S3(S3Config),
}

/// An S3 bucket, of Amazon or a compatible server.
#[derive(Debug, Clone, Default)]
pub struct S3Config {
    pub bucket: String,
    /// Folder within the bucket.
    pub prefix: Option<String>,
    /// `us-east-1` when not given; compatible servers mostly do not care.
    pub region: Option<String>,
    /// Base URL of a compatible server. Only an explicit `http://` here turns TLS off.
    pub endpoint: Option<String>,
    /// `endpoint/bucket` rather than `bucket.endpoint`. Most servers other than Amazon's want it.
    pub path_style: bool,
    /// Without them, the environment's: AWS_* variables, web identity, the instance's or the pod's role.
    pub credentials: Option<S3Credentials>,
    /// Certificate authorities (PEM) trusted beside the system's.
    pub ca_pem: Option<String>,
}

#[derive(Debug, Clone)]
pub struct S3Credentials {
    pub access_key_id: String,
    pub secret_access_key: SecretString,
    pub session_token: Option<SecretString>,
}

/// A place for a repository, with a name for messages.
#[derive(Clone)]
pub struct Store {
    place: Place,
    name: String,
}

#[derive(Clone)]
enum Place {
    Objects(Objects),
    /// Perhaps not there.
    Folder(PathBuf),
}

#[derive(Clone)]
struct Objects {
    patient: Arc<dyn ObjectStore>,
    brief: Arc<dyn ObjectStore>,
}

/// A store that is there, as far as that shows without asking a server.
#[derive(Clone)]
pub(crate) struct OpenStore {
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// The same store with little patience, for the first contact: a mistyped endpoint shows in seconds, while the store of a
    /// running backup sits out an outage of minutes.
    pub(crate) probe: Arc<dyn ObjectStore>,
    pub(crate) name: String,
}

impl Store {
    /// A store made elsewhere. `name` is what errors call it.
    pub fn new(objects: Arc<dyn ObjectStore>, name: impl Into<String>) -> Self {
        Self { place: Place::Objects(Objects { brief: Arc::clone(&objects), patient: objects }), name: name.into() }
    }

    /// Asks whether this place can be reached and listed and, if it is a folder, written. Makes nothing: a folder that does not
    /// exist, mistyped or not mounted, is [`Error::Unreachable`] here. Whether a bucket may be written shows when it is.
    pub async fn check(&self) -> Result<()> {
        match &self.place {
            Place::Objects(objects) => {
                let first = objects.brief.list(None).try_next().await;
                first.map(drop).map_err(Error::contact(&self.name))
            }
            Place::Folder(path) => {
                use rustix::fs::{Access, access};
                let looked = folder_exists(path).and_then(|exists| match exists {
                    true => Ok(access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?),
                    false => Err(io::Error::new(
                        io::ErrorKind::NotFound,
                        "there is no such folder: make it, or mount what belongs there",
                    )),
                });
                looked.map_err(refused(&self.name))
            }
        }
    }

    /// Makes nothing: a folder that does not exist is [`Error::Absent`].
    pub(crate) fn open(self) -> Result<OpenStore> {
        let Self { place, name } = self;
        let Objects { patient, brief } = match place {
            Place::Objects(objects) => objects,
            Place::Folder(path) => {
                if !folder_exists(&path).map_err(refused(&name))? {
                    return Err(Error::Absent { store: name });
                }
                let store = LocalFileSystem::new_with_prefix(path).map_err(Error::contact(&name))?.with_fsync(true);
                let store: Arc<dyn ObjectStore> = Arc::new(store);
                Objects { brief: Arc::clone(&store), patient: store }
            }
        };
        Ok(OpenStore { objects: patient, probe: brief, name })
    }

    /// Makes the folder, if it is one, with all its parents.
    pub(crate) fn make(self) -> Result<OpenStore> {
        if let Place::Folder(path) = &self.place {
            private_folder(path).map_err(refused(&self.name))?;
        }
        self.open()
    }
}

fn folder_exists(path: &Path) -> io::Result<bool> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(true),
        Ok(_) => Err(io::ErrorKind::NotADirectory.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn refused(store: &str) -> impl FnOnce(io::Error) -> Error {
    let contact = Error::contact(store);
    |error| contact(object_store::Error::Generic { store: FOLDER, source: error.into() })
}

impl From<Arc<dyn ObjectStore>> for Store {
    fn from(objects: Arc<dyn ObjectStore>) -> Self {
        let name = objects.to_string();
        Self::new(objects, name)
    }
}

impl fmt::Debug for OpenStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenStore").field(&self.name).finish()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.name).finish()
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The store that a configuration describes. Neither the disk nor the network is touched yet.
pub fn open_store(config: &StoreConfig) -> Result<Store> {
    match config {
        StoreConfig::Local { path } => {
            Ok(Store { place: Place::Folder(path.clone()), name: path.display().to_string() })
        }
        StoreConfig::S3(config) => open_s3(config),
    }
}

/// Everything below lies behind this folder's mode, so one is enough. An existing folder keeps what its owner gave it.
fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn open_s3(config: &S3Config) -> Result<Store> {
    let prefix = config.prefix.as_deref().unwrap_or_default().trim_matches('/');
    let prefix = ObjectPath::parse(prefix).map_err(|error| Error::Configuration(format!("invalid prefix: {error}")))?;
    let name = match prefix.as_ref() {
        "" => format!("s3://{}", config.bucket),
        prefix => format!("s3://{}/{prefix}", config.bucket),
    };
    let patient = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: limits::RETRY_PAUSE,
            max_backoff: limits::RETRY_PAUSE_MAX,
            base: limits::RETRY_GROWTH,
        },
        max_retries: limits::RETRIES,
        retry_timeout: limits::RETRY_TIMEOUT,
    };
    let brief = RetryConfig { max_retries: limits::PROBE_RETRIES, ..RetryConfig::default() };
    let build = |retry, timeout| -> Result<Arc<dyn ObjectStore>> {
        let store = s3_builder(config, retry, timeout)?.build();
        let store = store.map_err(|error| Error::Configuration(error.to_string()))?;
        Ok(Arc::new(PrefixStore::new(store, prefix.clone())))
    };
    let (patient, brief) = (build(patient, limits::REQUEST_TIMEOUT)?, build(brief, limits::PROBE_TIMEOUT)?);
    Ok(Store { place: Place::Objects(Objects { patient, brief }), name })
}

fn s3_builder(config: &S3Config, retry: RetryConfig, timeout: Duration) -> Result<AmazonS3Builder> {
    let mut client = ClientOptions::new().with_timeout(timeout).with_connect_timeout(limits::CONNECT_TIMEOUT);
    if let Some(pem) = &config.ca_pem {
        let authorities = Certificate::from_pem_bundle(pem.as_bytes())
            .map_err(|error| Error::Configuration(format!("the certificate authorities are malformed: {error}")))?;
        client = authorities.into_iter().fold(client, ClientOptions::with_root_certificate);
    }
    let mut builder = match &config.credentials {
        Some(credentials) => {
            let builder = AmazonS3Builder::new()
                .with_access_key_id(&credentials.access_key_id)
                .with_secret_access_key(credentials.secret_access_key.expose_secret());
            match &credentials.session_token {
                Some(token) => builder.with_token(token.expose_secret()),
                None => builder,
            }
        }
        None => AmazonS3Builder::from_env(),
    };
    if let Some(endpoint) = &config.endpoint {
        let (scheme, rest) = endpoint.split_once("://").unwrap_or_default();
        if !matches!(scheme, "http" | "https") || rest.is_empty() || rest.contains('@') {
            let reason = "the endpoint must be a URL like https://s3.example.com, without credentials in it";
            return Err(Error::Configuration(reason.into()));
        }
        client = client.with_allow_http(scheme == "http");
        // For virtual-hosted requests object_store expects the bucket in the endpoint already.
        let rest = rest.trim_end_matches('/');
        builder = builder.with_endpoint(match config.path_style {
            true => format!("{scheme}://{rest}"),
            false => format!("{scheme}://{}.{rest}", config.bucket),
        });
    }
    if let Some(region) = &config.region {
        builder = builder.with_region(region);
    } else if builder.get_config_value(&AmazonS3ConfigKey::Region).is_none() {
        builder = builder.with_region("us-east-1");
    }
    // Payloads stay signed: the server then verifies every object's SHA-256 before it keeps it.
    Ok(builder
        .with_bucket_name(&config.bucket)
        .with_virtual_hosted_style_request(!config.path_style)
        .with_retry(retry)
        .with_client_options(client))
}
