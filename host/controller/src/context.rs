//! What every reconcile of this process shares.

use crate::error::Error;
use crate::resolve::addon::Addons;
use crate::session::Sessions;
use kube::Client;
use kube::runtime::controller::Action;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How soon a reconcile that the API server failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) addons: Addons,
    pub(crate) sessions: Sessions,
    /// Held while a repository is made: half made, it looks like something else.
    pub(crate) making: Mutex<()>,
}

/// What to do after a reconcile that failed. Refusals end up here only when they could not be written into a status.
pub(crate) fn on_error<K: crate::object::Object>(object: Arc<K>, error: &Error, _: Arc<Context>) -> Action {
    // A conflict or an object that is gone by now is everyday life.
    let gone = matches!(error, Error::Api { source, .. }
        if matches!(&**source, kube::Error::Api(status) if status.is_not_found() || status.is_conflict()));
    let (object, cause) = (crate::object::label(&*object), crate::error::chain(error));
    if gone {
        tracing::debug!(object, cause, "reconcile is tried again");
    } else {
        tracing::warn!(object, cause, "reconcile failed, trying again");
    }
    Action::requeue(RETRY)
}
