//! Follows a session from its status until it ends.

use crate::failure::{Failure, Result};
use crate::output::Printer;
use crate::output::progress::{Progress, Run};
use futures::StreamExt;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher::watch_object};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::{Duration, Instant};

/// A server that restarts is back by then.
const PATIENCE: Duration = Duration::from_secs(30);

/// Shows the run of the session `name` until it ends, and returns the session as it ended.
///
/// # Errors
/// When the session is deleted, the server stays away, or the user stops following. The session itself having failed is
/// no error here.
pub async fn follow<K>(
    api: Api<K>,
    kind: &str,
    name: &str,
    printer: Printer,
    view: impl for<'a> Fn(&'a K) -> Run<'a>,
) -> Result<K>
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut progress = Progress::new(printer);
    let mut changes = std::pin::pin!(watch_object(api, name).default_backoff());
    let mut lost: Option<Instant> = None;
    let interrupted = tokio::signal::ctrl_c();
    let mut interrupted = std::pin::pin!(interrupted);
    loop {
        let change = tokio::select! {
            change = changes.next() => change,
            _ = &mut interrupted => {
                progress.finish();
                return Err(Failure::new(format_args!("stopped following {kind} {name}, which goes on")).hint(format_args!(
                    "`coffer describe {kind} {name}` shows it, `coffer delete {kind} {name}` cancels it"
                )));
            }
        };
        match change {
            Some(Ok(Some(session))) => {
                lost = None;
                let run = view(&session);
                progress.update(&run);
                if run.phase.is_terminal() {
                    return Ok(session);
                }
            }
            Some(Ok(None)) => {
                progress.finish();
                return Err(Failure::new(format_args!("{kind} {name} was deleted, which cancels it")));
            }
            Some(Err(error)) => {
                let since = *lost.get_or_insert_with(Instant::now);
                if since.elapsed() > PATIENCE {
                    progress.finish();
                    return Err(Failure::new(format_args!("lost the server while following {kind} {name}"))
                        .because(&error)
                        .hint("see whether `coffer serve` is running; the session is marked when it starts again"));
                }
            }
            None => return Err(Failure::new(format_args!("the watch of {kind} {name} ended"))),
        }
    }
}
