//! One attempt at a stream: its steps side by side, each joined to the next.
//!
//! When one part fails, others fail because of it, and which error comes first would be a matter of luck. So a failure is
//! reported where it happens, before anything it breaks can notice; and whoever finds an artifact broken from above keeps
//! quiet and waits, for the step above is about to say why (the runtime fails every step whose artifact did not arrive
//! whole). The first report is then the cause.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use coffer_api::Role;
use coffer_runtime::Report;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    Data, Inputs, compare, component,
    load::Load,
    pipe,
    retry::Failed,
    status::{Board, Log},
    step,
    store::Store,
};
use crate::{
    Error,
    error::shown,
    plan::{End, Stream},
};

/// Artifacts that wait between two steps for the second to take them. One: each holds its chunks.
const WAITING: usize = 1;

/// What the parts of an attempt share.
#[derive(Clone)]
pub(super) struct Attempt {
    /// Stops every part.
    pub(super) stop: CancellationToken,
    pub(super) board: Board,
    pub(super) log: Log,
    /// From 1.
    pub(super) number: u32,
    cause: Arc<Mutex<Option<Error>>>,
    /// A sink has read something.
    pub(super) has_sunk: Arc<AtomicBool>,
}

impl Attempt {
    pub(super) fn new(stop: &CancellationToken, board: &Board, log: &Log, number: u32) -> Self {
        Self {
            stop: stop.child_token(),
            board: board.clone(),
            log: log.clone(),
            number,
            cause: Arc::default(),
            has_sunk: Arc::default(),
        }
    }

    /// Reports a failure and stops every other part. The first report counts.
    pub(super) fn fail(&self, error: Error) {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.stop.cancel();
    }

    /// What was reported so far, for people.
    pub(super) fn failure(&self) -> Option<String> {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Error::chain)
    }

    /// Why the attempt failed.
    pub(super) fn cause(&self) -> Error {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(Error::Cancelled)
    }

    /// Whether nothing was reported and nobody stopped it.
    fn is_well(&self) -> bool {
        !self.stop.is_cancelled()
    }
}

/// Artifacts that were handed to a step.
#[derive(Default)]
pub(super) struct Passed {
    pub(super) total: usize,
    /// Those that it did not read to their end.
    pub(super) unread: Vec<String>,
}

/// What a good attempt leaves.
pub(super) struct Done {
    /// By the step's place in the plan.
    pub(super) reports: BTreeMap<usize, Report>,
    /// The snapshots under way, not listed yet.
    pub(super) store: Option<Store>,
}

/// Runs the stream once. After a failure the snapshots under way are given up.
pub(super) async fn stream(
    attempt: &Attempt,
    inputs: &Inputs,
    place: usize,
    stream: &Stream,
    load: Option<Load>,
    mut store: Option<Store>,
) -> Result<Done, Failed> {
    let mut steps = JoinSet::new();
    let mut joints = JoinSet::new();
    let last = stream.steps.len().saturating_sub(1);
    // An artifact counts for the step that wrote it, and for a sink that read it.
    let reader_at =
        |index: usize| stream.steps.get(index).filter(|step| step.role == Role::Sink).map(|_| place + index);
    let backed_up = load.as_ref().map(|load| load.facts().clone());
    let mut inbox = load.map(|load| {
        let (sender, receiver) = mpsc::channel(WAITING);
        let (attempt, reader) = (attempt.clone(), reader_at(0));
        joints.spawn(async move { (0, Arc::new(load).feed(sender, &attempt, reader).await) });
        receiver
    });
    let mut stored = None;
    for (index, step) in stream.steps.iter().enumerate() {
        let place = place + index;
        let writes = step.role.writes_artifacts();
        let (outbox, written) = if writes { Some(mpsc::channel(WAITING)) } else { None }.unzip();
        let application = match (&inputs.data, stream.from) {
            (Data::Application(second), End::SecondApplication) if index == 0 => Some((**second).clone()),
            _ => inputs.application.clone(),
        };
        let job = step::Job {
            place,
            step: step.clone(),
            linked: component(inputs, step)?,
            application,
            inbox: inbox.take(),
            outbox,
            limits: step::limits(&inputs.limits, step),
        };
        let (part, ended) = (attempt.clone(), CancellationToken::new());
        let told = ended.clone().drop_guard();
        steps.spawn(async move {
            let _told = told;
            (place, job.run(&part).await)
        });
        match written {
            Some(written) if index < last => {
                let (sender, receiver) = mpsc::channel(WAITING);
                inbox = Some(receiver);
                let (part, below) = (attempt.clone(), index + 1);
                let counted = pipe::Counted { writer: place, reader: reader_at(below) };
                joints.spawn(async move { (below, pipe::join(written, sender, &part, counted, ended).await) });
            }
            written => stored = written,
        }
    }

    let receive = async {
        if let (Some(store), Some(written), Some(step)) = (&mut store, stored, stream.steps.last()) {
            store.receive(written, attempt, place + last, &step.name).await;
        }
    };
    let end = async {
        let mut reports = BTreeMap::new();
        while let Some(ended) = steps.join_next().await {
            match ended {
                Ok((place, report)) => reports.extend(report.map(|report| (place, report))),
                Err(error) => attempt.fail(Error::Internal(error.to_string())),
            }
        }
        let mut passed = BTreeMap::new();
        while let Some(ended) = joints.join_next().await {
            match ended {
                Ok((index, artifacts)) => passed.extend([(index, artifacts)]),
                Err(error) => attempt.fail(Error::Internal(error.to_string())),
            }
        }
        (reports, passed)
    };
    let ((), (reports, passed)) = tokio::join!(receive, end);
    if attempt.is_well()
        && let Err(error) = check_sink(stream, place, backed_up, passed, &reports, &attempt.board)
    {
        attempt.board.failed(place + last, error.failure());
        attempt.fail(error);
    }
    if attempt.is_well()
        && let (Some(store), Some(step)) = (&store, stream.steps.last())
        && let Some(report) = reports.get(&(place + last))
    {
        store.compare(report, &step.name).unwrap_or_else(|error| attempt.fail(error));
    }
    if attempt.is_well() {
        return Ok(Done { reports, store });
    }
    if let Some(store) = store {
        store.abort().await;
    }
    // What a sink wrote is in the application, and to write it once more on top would make it wrong.
    Err(Failed { error: attempt.cause(), is_final: attempt.has_sunk.load(Relaxed) })
}

/// The sink read everything, and reports as much as was backed up. What a transform left out is its affair, and only told.
fn check_sink(
    stream: &Stream,
    place: usize,
    backed_up: Option<BTreeMap<String, String>>,
    passed: BTreeMap<usize, Passed>,
    reports: &BTreeMap<usize, Report>,
    board: &Board,
) -> Result<(), Error> {
    for (index, Passed { total, unread }) in passed {
        match stream.steps.get(index) {
            Some(step) if !unread.is_empty() => {
                let step_name = step.name.clone();
                if step.role == Role::Sink {
                    return Err(Error::Unread { step: step_name, unread, total });
                }
                let (count, shown) = (unread.len(), shown(&unread));
                board.warn([format!("step {step_name} left {count} of {total} artifacts unread: {shown}")]);
            }
            _ => {}
        }
    }
    let facts = |place: usize| -> BTreeMap<String, String> {
        reports.get(&place).map(|report| report.facts.iter().cloned().collect()).unwrap_or_default()
    };
    // With a transform in between, the sink need not get what the source read.
    match (backed_up, stream.steps.as_slice()) {
        (Some(backed_up), [sink]) => compare::totals(&backed_up, &facts(place), &sink.name),
        (None, [source, sink]) if source.role == Role::Source && sink.role == Role::Sink => {
            compare::totals(&facts(place), &facts(place + 1), &sink.name)
        }
        _ => Ok(()),
    }
}
