//! The life of a session, for both kinds.

use super::registry::{Busy, Claim, Target};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::object::{self, Object};
use coffer_api::{Failure, FailureClass, Retry, RunStatus, SessionPhase, StepStatus, labels};
use futures::future;
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

/// How soon a waiting session looks again.
const WAIT: Duration = Duration::from_secs(2);
/// How soon the finalizer looks whether the run has stopped.
const STOP: Duration = Duration::from_millis(250);
/// A run that died without a word is found by then.
const CHECK: Duration = Duration::from_secs(30);
/// How often the progress of a run is written.
const REPORT: Duration = Duration::from_secs(1);
/// Before the last word of a run is tried again.
const REWRITE: Duration = Duration::from_secs(2);
/// A process that stops cannot wait for its API server for ever; the next one then finds the session interrupted.
const LAST_WORDS: u32 = 5;
/// Bytes of a failure's message in a status that has to be small.
const SHORT_MESSAGE: usize = 1 << 10;

/// What a run tells while it runs. `extra` is what one kind of session says beyond the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told<E> {
    pub(crate) steps: Vec<StepStatus>,
    pub(crate) warnings: Vec<String>,
    pub(crate) extra: E,
}

/// A kind of session.
pub(crate) trait Session: Object + Resource<Scope = NamespaceResourceScope> + Send + Sync + 'static {
    /// What the kind's status says beyond [`RunStatus`].
    type Extra: Clone + Default + Send + Sync + 'static;

    /// What to do about one that was interrupted and is not started again.
    const INTERRUPTED: &'static str;

    /// What the status says now.
    fn run_status(&self) -> RunStatus;

    /// And what it says beyond that.
    fn extra(&self) -> Self::Extra;

    /// The whole status.
    fn status(run: RunStatus, extra: Self::Extra) -> impl serde::Serialize;

    /// What it works on, and how often it may be started again.
    fn claims(&self, context: &Context) -> impl Future<Output = Result<(Vec<Target>, Option<Retry>)>> + Send;

    /// What an attempt that was interrupted left for good, and whether that is all it was to do.
    fn left(&self, _: &Context) -> impl Future<Output = Result<(Self::Extra, bool)>> + Send {
        let extra = self.extra();
        async { Ok((extra, false)) }
    }

    /// Does the work. What it tells is written to the status now and then, and at the end.
    fn run(
        &self,
        context: &Context,
        tell: &watch::Sender<Told<Self::Extra>>,
        cancel: CancellationToken,
    ) -> impl Future<Output = Result<()>> + Send;
}

pub(crate) async fn reconcile<S: Session>(session: Arc<S>, context: Arc<Context>) -> Result<Action> {
    let (namespace, name) = (session.namespace().unwrap_or_default(), session.name_any());
    let api: Api<S> = Api::namespaced(context.client.clone(), &namespace);
    let uid = session.uid().unwrap_or_default();
    if session.meta().deletion_timestamp.is_some() {
        if context.sessions.cancel(&uid) {
            return Ok(Action::requeue(STOP));
        }
        set_finalizer(&api, &*session, false).await?;
        return Ok(Action::await_change());
    }
    if context.sessions.is_running(&uid) {
        return Ok(Action::requeue(CHECK));
    }
    // What we were handed may be older than the last word of a run that ended just now. Since it does not run here, what the
    // server says at this moment is the truth.
    let Some(session) = api.get_opt(&name).await.map_err(Error::api("read", object::label(&*session)))? else {
        return Ok(Action::await_change());
    };
    if session.uid().unwrap_or_default() != uid || session.meta().deletion_timestamp.is_some() {
        return Ok(Action::requeue(STOP));
    }
    let mut state = session.run_status();
    if state.phase.is_terminal() {
        set_finalizer(&api, &session, false).await?;
        return Ok(Action::await_change());
    }
    let (targets, retry) = match session.claims(&context).await {
        Ok(claims) => claims,
        Err(Error::Refused(failure)) => {
            state.fail(failure, object::now());
            write(&api, &session, state, session.extra()).await?;
            return Ok(Action::await_change());
        }
        Err(api) => return Err(api),
    };
    if state.phase == SessionPhase::Running {
        let extra = interrupted(&session, &context, &mut state, retry).await?;
        write(&api, &session, state, extra).await?;
        // If it is pending now, the next look starts it, from what is written by then.
        return Ok(Action::requeue(STOP));
    }
    match context.sessions.claim(&uid, object::label(&session), targets) {
        Ok(claim) => {
            set_finalizer(&api, &session, true).await?;
            let running = Running { api, session, context: context.clone(), retry, claim };
            context.sessions.spawn(running.drive(state));
            Ok(Action::requeue(CHECK))
        }
        Err(Busy::Target(other)) => {
            state.wait("TargetBusy", format!("waits for {other}, which works on the same application"), object::now());
            write(&api, &session, state, session.extra()).await?;
            Ok(Action::requeue(WAIT))
        }
        Err(Busy::Full(most)) => {
            state.wait("Busy", format!("waits for its turn: at most {most} sessions run at once"), object::now());
            write(&api, &session, state, session.extra()).await?;
            Ok(Action::requeue(WAIT))
        }
        Err(Busy::Stopping) => Ok(Action::await_change()),
    }
}

/// What becomes of a session that somebody ran who is not there any more. It may have been through with everything but its
/// last word.
async fn interrupted<S: Session>(
    session: &S,
    context: &Context,
    state: &mut RunStatus,
    retry: Option<Retry>,
) -> Result<S::Extra> {
    let label = object::label(session);
    let (extra, whole) = match session.left(context).await {
        Ok(left) => left,
        Err(Error::Refused(failure)) => {
            tracing::warn!(session = label, error = failure.message, "unable to see what an interrupted session left");
            (session.extra(), false)
        }
        Err(api) => return Err(api),
    };
    if whole {
        tracing::info!(session = label, "session succeeded: the process that ran it ended before it could say so");
        state.complete(object::now());
    } else {
        tracing::warn!(session = label, "was interrupted: the process that ran it has ended");
        let how = format!("{label} was interrupted: the process that ran it ended");
        state.interrupt(retry, &how, S::INTERRUPTED, object::now());
    }
    Ok(extra)
}

async fn write<S: Session>(api: &Api<S>, session: &S, state: RunStatus, extra: S::Extra) -> Result<()> {
    object::write_status(api, session, &S::status(state, extra)).await
}

/// Adds or removes our finalizer. A merge patch of the whole list, guarded by the version it was read at.
async fn set_finalizer<S: Session>(api: &Api<S>, session: &S, wanted: bool) -> Result<()> {
    let mut finalizers = session.finalizers().to_vec();
    if finalizers.iter().any(|finalizer| finalizer == labels::FINALIZER) == wanted {
        return Ok(());
    }
    if wanted {
        finalizers.push(labels::FINALIZER.to_owned());
    } else {
        finalizers.retain(|finalizer| finalizer != labels::FINALIZER);
    }
    let patch = json!({"metadata": {"resourceVersion": session.resource_version(), "finalizers": finalizers}});
    match api.patch(&session.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() && !wanted => Ok(()),
        Err(source) => Err(Error::api("write the finalizers of", object::label(session))(source)),
    }
}

struct Running<S: Session> {
    api: Api<S>,
    session: S,
    context: Arc<Context>,
    retry: Option<Retry>,
    claim: Claim,
}

impl<S: Session> Running<S> {
    /// Runs to the end and writes every word of it. The claim is given back after the last.
    async fn drive(self, mut state: RunStatus) {
        let label = object::label(&self.session);
        state.start(object::now());
        tracing::info!(session = label, attempt = state.attempt, "session started");
        let (tell, mut told) = watch::channel(Told::default());
        self.say(state.clone(), Told::default()).await;

        let run = self.session.run(&self.context, &tell, self.claim.cancel.clone());
        let result = beside(run, &mut told, |told| self.say(state.clone(), told)).await;
        let extra = take(&told.borrow(), &mut state);
        self.conclude(&mut state, result.map_err(Error::into_failure), &label);
        self.last_words(state, extra, &label).await;
    }

    fn conclude(&self, state: &mut RunStatus, result: Result<(), Failure>, label: &str) {
        match result {
            Ok(()) => {
                state.succeed(object::now());
                tracing::info!(session = label, "session succeeded");
            }
            // Whatever broke after the cancel broke by it.
            Err(_) if self.claim.cancel.is_cancelled() => {
                if self.context.sessions.is_stopping() {
                    state.interrupt(
                        self.retry,
                        &format!("{label} was interrupted: `coffer serve` was stopped"),
                        S::INTERRUPTED,
                        object::now(),
                    );
                } else {
                    let message = format!("{label} was cancelled: it was deleted");
                    state.fail(Failure::new(FailureClass::Cancelled, message), object::now());
                }
                tracing::warn!(session = label, phase = state.phase.as_str(), "session cancelled");
            }
            Err(failure) => {
                tracing::warn!(session = label, class = ?failure.class, error = failure.message, "session failed");
                state.fail(failure, object::now());
            }
        }
    }

    /// Writes the status now; a word that is lost is followed by another.
    async fn say(&self, mut state: RunStatus, told: Told<S::Extra>) {
        let extra = take(&told, &mut state);
        match self.patch(state, extra).await {
            Ok(()) => {}
            // Deleted under us, without the finalizer.
            Err(kube::Error::Api(status)) if status.is_not_found() => self.claim.cancel.cancel(),
            Err(error) => tracing::warn!(session = object::label(&self.session), %error, "unable to write the status"),
        }
    }

    /// Writes the status however long it takes: what is not written here, somebody has to find out. A server that will never
    /// take it gets a shorter one; then the target is free again, whatever the status says.
    async fn last_words(&self, mut state: RunStatus, extra: S::Extra, label: &str) {
        let mut short = false;
        for attempt in 1u32.. {
            match self.patch(state.clone(), extra.clone()).await {
                Ok(()) => return,
                Err(kube::Error::Api(status)) if status.is_not_found() => return,
                Err(kube::Error::Api(status)) if is_final(status.code) && short => {
                    tracing::error!(
                        session = label,
                        phase = state.phase.as_str(),
                        error = status.message,
                        "gave up writing how the session ended: the API server refuses its status"
                    );
                    return;
                }
                Err(kube::Error::Api(status)) if is_final(status.code) => {
                    tracing::error!(
                        session = label,
                        phase = state.phase.as_str(),
                        error = status.message,
                        "the API server refuses how the session ended; writing less"
                    );
                    short = true;
                    state = state.shortened(&status.message, SHORT_MESSAGE, object::now());
                    continue;
                }
                Err(error) => tracing::warn!(session = label, %error, "unable to write how the session ended"),
            }
            if self.context.sessions.is_stopping() && attempt >= LAST_WORDS {
                return;
            }
            sleep(REWRITE).await;
        }
    }

    async fn patch(&self, state: RunStatus, extra: S::Extra) -> kube::Result<()> {
        let status = serde_json::to_value(S::status(state, extra)).unwrap_or(Value::Null);
        object::patch_status(&self.api, &self.session.name_any(), status).await
    }
}

fn take<E: Clone>(told: &Told<E>, state: &mut RunStatus) -> E {
    (state.steps, state.warnings) = (told.steps.clone(), told.warnings.clone());
    told.extra.clone()
}

/// Whether the same write can never succeed: neither a timeout, nor a conflict, nor too many requests.
fn is_final(code: u16) -> bool {
    (400..500).contains(&code) && ![408, 409, 429].contains(&code)
}

/// Runs `run`, and passes what it tells to `write` now and then. Both go on side by side: a slow API server must not stop the
/// flow of data. Returns when both have ended, so that no word follows the last.
async fn beside<T, E: Clone, F: Future<Output = ()>>(
    run: impl Future<Output = T>,
    told: &mut watch::Receiver<Told<E>>,
    write: impl Fn(Told<E>) -> F,
) -> T {
    let ended = CancellationToken::new();
    let run = async {
        let result = run.await;
        ended.cancel();
        result
    };
    let report = async {
        let mut report = interval(REPORT);
        report.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = ended.cancelled() => break,
                _ = report.tick() => {
                    if told.has_changed().unwrap_or(false) {
                        let told = told.borrow_and_update().clone();
                        write(told).await;
                    }
                }
            }
        }
    };
    future::join(run, report).await.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Notify;

    #[tokio::test]
    async fn a_run_goes_on_while_its_status_is_written() {
        let (tell, mut told) = watch::channel(Told::<u32>::default());
        let (writing, done) = (Notify::new(), Notify::new());
        let run = async {
            tell.send_modify(|told| told.extra = 7);
            writing.notified().await;
            done.notify_one();
            "ended"
        };
        // An API server that answers only once the run has gone on.
        let write = |told: Told<u32>| {
            let (writing, done) = (&writing, &done);
            async move {
                assert_eq!(told.extra, 7);
                writing.notify_one();
                done.notified().await;
            }
        };
        let both = tokio::time::timeout(Duration::from_secs(60), beside(run, &mut told, write));
        assert_eq!(both.await.unwrap(), "ended");
    }

    #[test]
    fn what_may_be_taken_later_is_not_final() {
        assert!([400, 403, 413, 422].into_iter().all(is_final));
        assert!(![408, 409, 429, 500, 503].into_iter().any(is_final));
    }
}
