//! Starts a controller a kind, and stops them all in the right order.

use crate::context::{Context, on_error};
use crate::error::{Error, Result};
use crate::object::Object;
use crate::reconcile::{addon, backup_configuration, backup_storage, repository};
use crate::resolve::addon::Addons;
use crate::session::{self, Sessions};
use bytes::Bytes;
use coffer_api::{
    Addon, AppBinding, BackupConfiguration, BackupSession, BackupStorage, Failure, Function, Repository,
    RestoreSession, Snapshot, Task,
};
use coffer_runtime::Runtime;
use futures::future::BoxFuture;
use futures::{StreamExt, future};
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// Several changes that come at once, as those of one `apply`, are one look.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// Reconciles of one kind at the same time. Opening repositories costs processor time (scrypt) and connections.
const CONCURRENCY: u16 = 8;

/// Brings the bytes of a module by its digest (`sha256:…`), having checked them against it.
pub type Modules = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Bytes, Failure>> + Send + Sync>;

/// What the controllers need.
pub struct Options {
    /// The API they work against.
    pub client: Client,
    /// Compiles and runs addons.
    pub runtime: Runtime,
    /// Where addons' modules come from.
    pub modules: Modules,
    /// How many sessions may run at once.
    pub max_sessions: NonZeroUsize,
}

/// Runs all controllers until `shutdown`. Then sessions that run are cancelled and marked before this returns.
pub async fn run(options: Options, shutdown: CancellationToken) {
    let Options { client, runtime, modules, max_sessions } = options;
    let addons = Addons::new(runtime, modules);
    let context = Arc::new(Context { client, addons, sessions: Sessions::new(max_sessions), making: Mutex::default() });
    // Controllers go on while sessions end: a session that is being deleted needs its finalizer removed.
    let stop = CancellationToken::new();
    let stopping = async {
        shutdown.cancelled().await;
        context.sessions.stop().await;
        stop.cancel();
    };
    future::join(stopping, controllers(&context, &stop)).await;
}

async fn controllers(context: &Arc<Context>, stop: &CancellationToken) {
    let client = &context.client;
    let any = watcher::Config::default;

    let addons = controller::<Addon>(client)
        .owns(Api::<Function>::all(client.clone()), any())
        .owns(Api::<Task>::all(client.clone()), any());

    let storages = controller::<BackupStorage>(client);
    let store = storages.store();
    let storages = storages
        .watches(Api::<Secret>::all(client.clone()), any(), move |secret: Secret| same_namespace(&store, &secret));

    let repositories = controller::<Repository>(client);
    let (by_secret, by_storage) = (repositories.store(), repositories.store());
    let repositories = repositories
        .owns(Api::<Snapshot>::all(client.clone()), any())
        .watches(Api::<Secret>::all(client.clone()), any(), move |secret: Secret| same_namespace(&by_secret, &secret))
        .watches(Api::<BackupStorage>::all(client.clone()), any(), move |_| all(&by_storage));

    let configurations = controller::<BackupConfiguration>(client);
    let [by_secret, by_binding, by_repository, by_task, by_function, by_addon] =
        [(); 6].map(|()| configurations.store());
    let configurations = configurations
        .watches(Api::<Secret>::all(client.clone()), any(), move |secret: Secret| same_namespace(&by_secret, &secret))
        .watches(Api::<AppBinding>::all(client.clone()), any(), move |binding: AppBinding| {
            same_namespace(&by_binding, &binding)
        })
        .watches(Api::<Repository>::all(client.clone()), any(), move |_| all(&by_repository))
        .watches(Api::<Task>::all(client.clone()), any(), move |_| all(&by_task))
        .watches(Api::<Function>::all(client.clone()), any(), move |_| all(&by_function))
        .watches(Api::<Addon>::all(client.clone()), any(), move |_| all(&by_addon));

    let backups = controller::<BackupSession>(client);
    let restores = controller::<RestoreSession>(client);

    let start = Start { context, stop };
    tokio::join!(
        start.run(addons, addon::reconcile),
        start.run(storages, backup_storage::reconcile),
        start.run(repositories, repository::reconcile),
        start.run(configurations, backup_configuration::reconcile),
        start.run(backups, session::reconcile::<BackupSession>),
        start.run(restores, session::reconcile::<RestoreSession>),
    );
}

fn controller<K: Object + Send + Sync + 'static>(client: &Client) -> Controller<K> {
    Controller::new(Api::all(client.clone()), watcher::Config::default())
        .with_config(Config::default().debounce(DEBOUNCE).concurrency(CONCURRENCY))
}

struct Start<'a> {
    context: &'a Arc<Context>,
    stop: &'a CancellationToken,
}

impl Start<'_> {
    async fn run<K, F>(&self, controller: Controller<K>, reconcile: impl FnMut(Arc<K>, Arc<Context>) -> F)
    where
        K: Object + Send + Sync + 'static,
        F: Future<Output = Result<Action>> + Send + 'static,
    {
        let kind = K::kind(&()).into_owned();
        controller
            .graceful_shutdown_on(self.stop.clone().cancelled_owned())
            .run(reconcile, on_error, self.context.clone())
            .for_each(|result| {
                if let Err(error) = result {
                    report(&kind, &error);
                }
                future::ready(())
            })
            .await;
    }
}

/// Failed reconciles were logged by [`on_error`]; what is left concerns the watches.
fn report(kind: &str, error: &kube::runtime::controller::Error<Error, watcher::Error>) {
    use kube::runtime::controller::Error as E;
    match error {
        E::ReconcilerFailed(..) => {}
        // Deleted before its turn came.
        E::ObjectNotFound(object) => tracing::debug!(kind, %object, "is gone"),
        other => tracing::warn!(kind, error = crate::error::chain(other), "watch failed, trying again"),
    }
}

/// All objects of a kind.
fn all<K: Object + 'static>(store: &Store<K>) -> Vec<ObjectRef<K>> {
    store.state().iter().map(|object| ObjectRef::from_obj(object.as_ref())).collect()
}

/// The objects of a kind in the namespace of another object.
fn same_namespace<K: Object + 'static>(store: &Store<K>, other: &impl ResourceExt) -> Vec<ObjectRef<K>> {
    let namespace = other.namespace();
    let objects = store.state();
    let same = objects.iter().filter(|object| object.namespace() == namespace);
    same.map(|object| ObjectRef::from_obj(object.as_ref())).collect()
}
