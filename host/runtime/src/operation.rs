//! One run: what goes in, what comes out.

use crate::{
    Application, Artifact, ArtifactReader, Class, Descriptor, Limits, Linked, Observer, RunError, Traffic,
    bindings::{Addon, GuestError},
    error::Stopped,
    guard::guard,
    limits::{FACTS_BYTES, HANDLES, HOSTCALL_BYTES, PAIRS},
    state::{Outside, State},
    stdio::lock,
};
use coffer_addon_descriptor::CONTRACT;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wasmtime::{Store, Trap, UpdateDeadline};

/// The artifacts of the step before. Closed = there are no more.
pub type Inbox = mpsc::Receiver<ArtifactReader>;
/// Where this step's artifacts go, in the order in which they begin.
pub type Outbox = mpsc::Sender<ArtifactReader>;

/// One call of a Function. [`Operation::new`] gives it nothing to reach.
pub struct Operation {
    pub function: String,
    /// An object that the Function's schema has accepted.
    pub parameters: serde_json::Value,
    pub application: Option<Application>,
    pub inbox: Inbox,
    pub outbox: Outbox,
    pub limits: Limits,
    /// Hears the run's log and progress.
    pub observer: Observer,
    /// Counts the run's bytes as they move.
    pub traffic: Arc<Traffic>,
    pub cancel: CancellationToken,
}

impl Operation {
    /// An operation with an empty inbox, an outbox nobody reads, and default limits.
    pub fn new(function: impl Into<String>, parameters: serde_json::Value) -> Self {
        Self {
            function: function.into(),
            parameters,
            application: None,
            inbox: mpsc::channel(1).1,
            outbox: mpsc::channel(1).0,
            limits: Limits::default(),
            observer: Observer::none(),
            traffic: Arc::default(),
            cancel: CancellationToken::new(),
        }
    }
}

/// What a good run leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// As the Function reported them: counts, versions, positions.
    pub facts: Vec<(String, String)>,
    /// What it wrote to its outbox, in the order in which it ended.
    pub artifacts: Vec<Written>,
}

/// An artifact that was handed on whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub artifact: Artifact,
    pub receipt: Receipt,
}

/// The host's own measure of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// In bytes.
    pub length: u64,
    pub sha256: [u8; 32],
}

pub(crate) async fn run(linked: &Linked, operation: Operation) -> Result<Report, RunError> {
    let function = operation.function.clone();
    let parameters = operation.parameters.to_string();
    let called = function.clone();
    let (outcome, outside) = call(linked, operation, async move |addon, store| {
        store
            .run_concurrent(async |accessor| addon.coffer_addon_step().call_run(accessor, called, parameters).await)
            .await
            .flatten()
    })
    .await;
    let judge = Judge { linked, function, outside };
    let report = judge.outcome(outcome)?.map_err(|error| judge.guest_error(&error))?;
    let artifacts = lock(&judge.outside.ledger).close().map_err(|names| {
        let shown: Vec<_> = names.iter().take(5).map(String::as_str).collect();
        let more = if names.len() > shown.len() { ", …" } else { "" };
        let message = format!("it returned well, but these artifacts are not whole: {}{more}", shown.join(", "));
        judge.error(Class::OpenArtifacts, message)
    })?;
    if report.facts.len() > PAIRS {
        let message = format!("it reported {} facts, {PAIRS} are allowed", report.facts.len());
        return Err(judge.error(Class::Failed, message));
    }
    let facts = lock(&judge.outside.gate).readable_pairs(report.facts);
    let size = facts.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    if size > FACTS_BYTES {
        let message = format!("it reported facts of {size} bytes, {FACTS_BYTES} are allowed");
        return Err(judge.error(Class::Failed, message));
    }
    Ok(Report { facts, artifacts })
}

pub(crate) async fn describe(linked: &Linked) -> Result<Descriptor, RunError> {
    let operation = Operation { limits: Limits::describe(), ..Operation::new("describe", serde_json::Value::Null) };
    let (outcome, outside) =
        call(linked, operation, async |addon, store| addon.coffer_addon_step().call_describe(store).await).await;
    let judge = Judge { linked, function: "describe".into(), outside };
    let text = judge.outcome(outcome)?;
    let descriptor: Descriptor = serde_json::from_str(&text)
        .map_err(|error| judge.error(Class::Failed, format!("its description is not valid: {error}")))?;
    if descriptor.contract != CONTRACT {
        let message = format!("it says it was built for {}, but this Coffer speaks {CONTRACT}", descriptor.contract);
        return Err(judge.error(Class::Unsupported, message));
    }
    Ok(descriptor)
}

/// One instance, one call, under guard. When this returns, the store and everything in it is gone.
async fn call<T>(
    linked: &Linked,
    operation: Operation,
    enter: impl AsyncFnOnce(&Addon, &mut Store<State>) -> wasmtime::Result<T>,
) -> (Result<wasmtime::Result<T>, Stopped>, Outside) {
    let (state, outside) = State::new(operation);
    let work = async move {
        let mut store = Store::new(&linked.engine, state);
        store.limiter(|state| state);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        store.set_hostcall_fuel(HOSTCALL_BYTES);
        store.set_max_component_handles(HANDLES);
        if let Some(table) = store.concurrent_resource_table() {
            // Streams, futures and tasks: several to a handle.
            table.set_max_capacity(HANDLES * 10);
        }
        let addon = linked.addon_pre.instantiate_async(&mut store).await?;
        enter(&addon, &mut store).await
    };
    let outcome = guard(work, &outside.limits, &outside.traffic, &outside.stop).await;
    (outcome, outside)
}

/// Turns what happened into what a caller may decide by and a person may read.
struct Judge<'a> {
    linked: &'a Linked,
    function: String,
    outside: Outside,
}

impl Judge<'_> {
    fn outcome<T>(&self, outcome: Result<wasmtime::Result<T>, Stopped>) -> Result<T, RunError> {
        let last_words = self.outside.stderr.last();
        lock(&self.outside.gate).flush();
        let judged = match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.broken(&error, &last_words)),
            Err(stopped) => Err(self.error(stopped.class(), stopped.to_string())),
        };
        // After a cancel, whatever else happened most likely followed from it.
        if self.outside.stop.cancel.is_cancelled() {
            return Err(self.error(Class::Cancelled, Stopped::Cancelled.to_string()));
        }
        judged
    }

    fn broken(&self, error: &wasmtime::Error, last_words: &str) -> RunError {
        // An allocator that is refused what it needs aborts.
        if let Some(stopped) = lock(&self.outside.refused).as_ref() {
            return self.error(stopped.class(), stopped.to_string());
        }
        tracing::debug!(addon = %self.linked.label, function = self.function, error = format!("{error:#}"), "trapped");
        let reason = match error.downcast_ref::<Trap>() {
            Some(trap) => trap.to_string(),
            None => error.root_cause().to_string(),
        };
        let message = match last_words {
            "" => format!("trapped: {reason}"),
            words => format!("trapped: {reason}; its last words: {words}"),
        };
        self.error(Class::Trap, message)
    }

    fn guest_error(&self, error: &GuestError) -> RunError {
        let class = match error {
            GuestError::InvalidParameter(_) => Class::InvalidParameter,
            GuestError::Unavailable(_) => Class::Unavailable,
            GuestError::Denied(_) => Class::Denied,
            GuestError::Unsupported(_) => Class::Unsupported,
            GuestError::Corrupt(_) => Class::Corrupt,
            GuestError::Failed(_) => Class::Failed,
        };
        let text = error.text();
        let has_remedy = self.outside.remedy.is_in(text);
        RunError { has_remedy, ..self.error(class, text.to_owned()) }
    }

    fn error(&self, class: Class, message: String) -> RunError {
        RunError {
            class,
            addon: self.linked.label.to_string(),
            function: self.function.clone(),
            message: lock(&self.outside.gate).readable(&message),
            has_remedy: false,
        }
    }
}
