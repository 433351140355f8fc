//! One run of a Function under observation: the proxy before it, the artifacts around it, and a hand on its cancel.

use crate::artifacts::{Offer, Taken, feed, take};
use crate::command::shorten;
use crate::gate::{Gate, lock};
use crate::limits::{PIECE, SETTLE};
use crate::proxy::{Direction, Fault, Proxy};
use coffer_runtime::{Application, Event, Limits, Linked, Observer, Operation, Report, RunError, Traffic};
use serde_json::{Map, Value};
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What the host puts where an addon wrote a secret.
const MASKED: &str = "***";

/// A run to be.
pub(crate) struct Step<'a> {
    pub(crate) linked: &'a Linked,
    pub(crate) limits: Limits,
    pub(crate) function: String,
    pub(crate) parameters: Map<String, Value>,
    pub(crate) application: Application,
    pub(crate) fault: Fault,
    /// What a sink is handed.
    pub(crate) offers: Vec<Offer>,
    /// In pieces of so many bytes.
    pub(crate) piece: usize,
    /// Artifacts stand still after so many bytes of them, in or out.
    pub(crate) hold_after: Option<u64>,
    /// Past the proxy.
    direct: bool,
    /// Where a source's artifacts are kept; they are only measured without.
    pub(crate) keep: Option<PathBuf>,
}

/// What a case may do while it runs.
pub(crate) struct Handles {
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) cancel: CancellationToken,
    pub(crate) proxy: Proxy,
    /// The artifacts'.
    pub(crate) gate: Arc<Gate>,
}

/// What was seen of it.
pub(crate) struct Ran {
    pub(crate) outcome: Result<Report, RunError>,
    pub(crate) artifacts: Vec<Taken>,
    pub(crate) ended: Instant,
    /// The most linear memory, in bytes.
    pub(crate) memory: u64,
    /// At once, at most.
    pub(crate) connections: u64,
    pub(crate) to_addon: u64,
    pub(crate) to_application: u64,
    /// The same of both, as the addon took and gave it.
    pub(crate) exchanged: u64,
    /// Artifacts' bytes that the sink took.
    pub(crate) read: u64,
    /// Whether a fault or hold in the middle of a stream came to happen.
    pub(crate) reached: bool,
    /// Connections that the application had not closed long after.
    pub(crate) lingering: usize,
    /// A text of the addon's that held a secret.
    pub(crate) secret: Option<String>,
}

impl<'a> Step<'a> {
    pub(crate) fn new(linked: &'a Linked, limits: Limits, function: &str, application: Application) -> Self {
        Self {
            linked,
            limits,
            function: function.to_owned(),
            parameters: Map::new(),
            application,
            fault: Fault::None,
            offers: Vec::new(),
            piece: PIECE,
            hold_after: None,
            direct: false,
            keep: None,
        }
    }

    /// Runs it with the application as it is: no proxy, no fault.
    pub(crate) async fn run_directly(mut self) -> io::Result<Ran> {
        self.direct = true;
        self.run(async |_: &Handles| {}).await
    }

    /// Runs it to its end, with `meanwhile` beside it for as long as it lasts. An error is the kit's own.
    pub(crate) async fn run(self, meanwhile: impl AsyncFnOnce(&Handles)) -> io::Result<Ran> {
        let (proxy, proxied) = Proxy::start(&self.application, self.fault)?;
        let application = if self.direct { self.application } else { proxied };
        let gate = Arc::new(Gate::after(self.hold_after.unwrap_or(u64::MAX)));
        let handles =
            Handles { traffic: Arc::default(), cancel: CancellationToken::new(), proxy, gate: Arc::clone(&gate) };
        let (into, inbox) = mpsc::channel(1);
        let (outbox, from) = mpsc::channel(1);
        let secret = Arc::new(Mutex::new(None));
        let mut operation = Operation::new(self.function, Value::Object(self.parameters));
        operation.application = Some(application);
        operation.inbox = inbox;
        operation.outbox = outbox;
        operation.limits = self.limits;
        operation.traffic = Arc::clone(&handles.traffic);
        operation.cancel = handles.cancel.clone();
        operation.observer = observer(Arc::clone(&secret));

        let feeding = tokio::spawn(feed(into, self.offers, self.piece, Arc::clone(&gate)));
        let taking = tokio::spawn(take(from, self.keep, Arc::clone(&gate)));
        let outcome = {
            let mut work = pin!(self.linked.run(operation));
            tokio::select! {
                biased;
                outcome = &mut work => outcome,
                () = meanwhile(&handles) => work.await,
            }
        };
        let ended = Instant::now();
        // Whoever still waits for a run that is over would wait for ever.
        gate.open();
        feeding.abort();
        let artifacts = taking.await.map_err(io::Error::other)??;
        let Handles { traffic, proxy, .. } = handles;
        let reached = gate.is_reached() || proxy.gate().is_some_and(Gate::is_reached);
        // That the addon has hung up comes behind the bytes that were kept back.
        proxy.resume();
        let lingering = proxy.settled(SETTLE).await;
        let heard = lock(&secret).take();
        Ok(Ran {
            secret: heard.or_else(|| told(&outcome)),
            artifacts,
            ended,
            memory: traffic.memory(),
            connections: proxy.most(),
            to_addon: proxy.count(Direction::ToAddon),
            to_application: proxy.count(Direction::ToApplication),
            exchanged: traffic.exchanged(),
            read: traffic.read(),
            reached,
            lingering,
            outcome,
        })
    }
}

/// Keeps the first line that shows a secret.
fn observer(secret: Arc<Mutex<Option<String>>>) -> Observer {
    Observer::new(move |event| {
        if let Event::Log { message, fields, .. } = event
            && (message.contains(MASKED) || fields.iter().any(|(_, value)| value.contains(MASKED)))
        {
            lock(&secret).get_or_insert_with(|| format!("its log: {}", shorten(&message)));
        }
    })
}

/// A secret in what the run ended with.
fn told(outcome: &Result<Report, RunError>) -> Option<String> {
    match outcome {
        Ok(report) => {
            let fact = report.facts.iter().find(|(_, value)| value.contains(MASKED));
            fact.map(|(name, _)| format!("its fact {name}"))
        }
        Err(error) if error.message.contains(MASKED) => Some(format!("its error: {}", shorten(&error.message))),
        Err(_) => None,
    }
}
