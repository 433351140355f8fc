//! The embedded control plane: the Kubernetes API conventions over one local database file.
//!
//! [`Server::open`] takes a data folder. [`Server::client`] is a [`kube::Client`] that calls the API in process, with no
//! network in between; [`Server::listen`] serves the same API on loopback over TLS to holders of a token, so that
//! `coffer` and stock `kubectl` work against it. Reconcilers cannot tell it from a cluster's API server.
//!
//! What a request passes through, one module each:
//! [`router`] (URL → [`verbs`]) → [`registry`] (create, update, patch, apply, delete as pure changes of a [`txn::Txn`]) →
//! [`store`] (durable, then visible, then announced to [`watch`]ers). [`discovery`], [`openapi`] and [`table`] are what
//! `kubectl` asks for besides.
//!
//! Where it differs from a cluster on purpose: unknown fields are refused unless the client says otherwise, garbage is
//! collected within the write that made it, and a watch does not survive a restart (it gets 410 and lists again). An
//! object in a namespace that does not exist is refused as in a cluster; `coffer apply` makes the namespace first.
//!
//! In the data folder (mode 0700; files 0600): `control.redb` holds every object, **Secrets included, unencrypted**, as
//! etcd does by default: its protection is the file's mode. `token` and `authority.key` are what clients are
//! let in and recognise the server by, `kubeconfig` hands both to them, `modules/` keeps addon modules by digest.

mod access;
mod apply;
mod delete;
mod discovery;
mod error;
mod fields;
mod holder;
mod jsonpath;
mod list;
mod listen;
mod media;
mod metadata;
mod modules;
mod object;
mod openapi;
mod patch;
mod private;
mod protobuf;
mod query;
mod registry;
mod resource;
mod router;
mod selector;
mod status;
mod store;
mod table;
mod txn;
mod verbs;
mod watch;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

pub use error::Error;
pub use holder::Holder;
pub use listen::Listening;
pub use modules::{MAX_MODULE_BYTES, ModuleError, ModuleSource, ModuleStore};

/// How often a database is tried that another process has open.
const LOOK: Duration = Duration::from_millis(50);

/// The embedded control plane over one data folder. Cheap to clone; the database closes with the last clone, client
/// and [`Listening`].
#[derive(Clone)]
pub struct Server {
    data_dir: PathBuf,
    registry: Arc<registry::Registry>,
    modules: ModuleStore,
}

impl Server {
    /// Opens the data folder, making it and the `default` namespace when absent.
    ///
    /// # Errors
    /// [`Error::Exposed`] when other users may write to the folder; [`Error::Locked`] when another process has it open; [`Error::Foreign`], [`Error::Corrupt`] and
    /// [`Error::Format`] when its database is not what this version wrote. Each names the file.
    pub fn open(data_dir: impl AsRef<Path>) -> Result<Server, Error> {
        let data_dir = data_dir.as_ref().to_path_buf();
        private::data_dir(&data_dir)?;
        let store = store::Store::open(&data_dir.join("control.redb"))?;
        let registry = registry::Registry::open(store, coffer_api::kinds())?;
        Ok(Server { registry: Arc::new(registry), modules: ModuleStore::open(&data_dir)?, data_dir })
    }

    /// The same, but while another process has the folder open it waits, for at most so long. `waits` is told at its beginning,
    /// with the error that it would have ended with.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_within(
        data_dir: impl AsRef<Path>,
        patience: Duration,
        waits: impl FnOnce(&Error),
    ) -> Result<Server, Error> {
        let (until, mut waits) = (Instant::now() + patience, Some(waits));
        loop {
            match Self::open(&data_dir) {
                Err(error @ Error::Locked { .. }) if Instant::now() < until => {
                    if let Some(waits) = waits.take() {
                        waits(&error);
                    }
                    sleep(LOOK).await;
                }
                opened => return opened,
            }
        }
    }

    /// A client that calls the API in this process. Its requests need no token. Call it within a tokio runtime.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(router::router(self.registry.clone(), self.modules.clone()), "default")
    }

    /// The files of installed addons.
    pub fn modules(&self) -> ModuleStore {
        self.modules.clone()
    }

    /// Serves the API on a loopback address (port 0: a free one) over TLS, to requests that carry the token, and
    /// writes `data_dir/kubeconfig` with all that a client needs.
    ///
    /// # Errors
    /// [`Error::NotLoopback`] for any other address, [`Error::Listen`] when it is taken.
    pub async fn listen(&self, address: SocketAddr) -> Result<Listening, Error> {
        let router = router::router(self.registry.clone(), self.modules.clone());
        Listening::start(&self.data_dir, address, router).await
    }
}
