//! What the dump holds open on the server: points in time, scrolls, indices that were closed. Kept alive meanwhile, and given back
//! at the end, whatever the end.

use crate::client::{Body, Client};
use coffer_addon::http::segment;
use coffer_addon::{Error, Result, host};
use futures::StreamExt;
use futures::future::{Either, select};
use futures::stream;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

/// How long the server keeps a point in time that nobody asks for.
const KEEP_ALIVE: Duration = Duration::from_secs(600);

/// A scroll is renewed by asking for its next page alone, which may have to wait for a slow repository.
const SCROLL_KEEP_ALIVE: Duration = Duration::from_secs(3600);

/// How often points in time are renewed in that time.
const RENEWALS: u32 = 5;

/// How long a failed run waits for what is just being opened: a server that is busy is asked again for about 25 s.
const TO_SETTLE: Duration = Duration::from_secs(30);

/// The same for a run that is to stop, and for all to be given back. The host's grace is 5 s.
const TO_OPEN: Duration = Duration::from_millis(1500);
const TO_CLOSE: Duration = Duration::from_secs(3);

/// Between two looks at whether something is still being opened.
const LOOK: Duration = Duration::from_millis(20);

/// Requests at once, when all is given back.
const AT_ONCE: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Context {
    Pit(String),
    Scroll(String),
    /// An index that was closed and is to be so again.
    Opened(String),
}

/// All that is open for one run.
pub struct Contexts {
    client: Client,
    /// As an operator wants it.
    keep_alive: Option<Duration>,
    open: RefCell<BTreeMap<u64, Context>>,
    next: Cell<u64>,
    /// Requests whose answers will have something to be noted.
    opening: Cell<usize>,
    is_stopping: Cell<bool>,
}

/// Something is being opened.
pub struct Opening<'a>(&'a Contexts);

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.opening.set(self.0.opening.get().saturating_sub(1));
    }
}

impl Contexts {
    pub fn new(client: Client, keep_alive: Option<Duration>) -> Self {
        Contexts {
            client,
            keep_alive,
            open: RefCell::default(),
            next: Cell::default(),
            opening: Cell::default(),
            is_stopping: Cell::default(),
        }
    }

    /// How long points in time are to be kept, as servers take it.
    pub fn pit_keep_alive(&self) -> String {
        text(self.keep_alive.unwrap_or(KEEP_ALIVE))
    }

    /// The same for scrolls.
    pub fn scroll_keep_alive(&self) -> String {
        text(self.keep_alive.unwrap_or(SCROLL_KEEP_ALIVE))
    }

    /// To be held from before something is asked for until it has been [added](Contexts::add): a run that fails or is to stop
    /// waits for that, and never lets another begin.
    pub async fn opening(&self) -> Opening<'_> {
        if self.is_stopping.get() {
            futures::future::pending::<()>().await;
        }
        self.opening.set(self.opening.get() + 1);
        Opening(self)
    }

    /// Notes what was opened.
    pub fn add(&self, context: Context) -> u64 {
        let key = self.next.get();
        self.next.set(key + 1);
        self.open.borrow_mut().insert(key, context);
        key
    }

    /// The id that the server knows it by now.
    pub fn id(&self, key: u64) -> Option<String> {
        self.open.borrow().get(&key).map(|context| match context {
            Context::Pit(id) | Context::Scroll(id) | Context::Opened(id) => id.clone(),
        })
    }

    /// The server may give another id with each answer.
    pub fn renamed(&self, key: u64, new: &str) {
        if let Some(Context::Pit(id) | Context::Scroll(id)) = self.open.borrow_mut().get_mut(&key)
            && id != new
        {
            *id = new.to_owned();
        }
    }

    /// Gives it back.
    pub async fn close(&self, key: u64) -> Result<()> {
        let Some(context) = self.open.borrow().get(&key).cloned() else { return Ok(()) };
        let outcome = self.give_back(&context).await;
        self.open.borrow_mut().remove(&key);
        outcome
    }

    async fn give_back(&self, context: &Context) -> Result<()> {
        let (method, path, body) = match context {
            Context::Pit(id) if self.client.version().is_elasticsearch() => {
                ("DELETE", "/_pit".to_string(), json!({ "id": id }))
            }
            Context::Pit(id) => ("DELETE", "/_search/point_in_time".to_string(), json!({ "pit_id": [id] })),
            Context::Scroll(id) => ("DELETE", "/_search/scroll".to_string(), json!({ "scroll_id": [id] })),
            Context::Opened(index) => ("POST", format!("/{}/_close", segment(index)), Value::Null),
        };
        match self.client.ask(method, &path, &Body::json(&body)?).await? {
            Ok(_) => Ok(()),
            // It is gone already.
            Err(refusal) if refusal.status == 404 => Ok(()),
            Err(refusal) => Err(refusal.error(&crate::client::what(method, &path))),
        }
    }

    /// Does `work` with everything kept alive. What is open at its end, or when the run is asked to stop, is given back.
    pub async fn during<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let kept = async {
            match select(pin!(work), pin!(self.keep_alive())).await {
                Either::Left((outcome, _)) => outcome,
                Either::Right((never, _)) => match never {},
            }
        };
        match select(pin!(kept), pin!(self.stop())).await {
            Either::Left((outcome, _)) => {
                let closed = self.close_all().await;
                outcome.and_then(|outcome| closed.map(|()| outcome))
            }
            // The work is let go of only after that: an artifact left in the middle would end the run at once.
            Either::Right(((), _kept)) => {
                if let Either::Right(_) = select(pin!(self.close_all()), pin!(host::sleep(TO_CLOSE))).await {
                    coffer_addon::warn!("not all that was open on the server could be given back");
                }
                Err(Error::Failed("cancelled".into()))
            }
        }
    }

    /// Ends when the run is asked to stop and all that is being opened is known.
    async fn stop(&self) {
        host::cancelled().await;
        self.known(TO_OPEN).await;
    }

    /// For whoever fails before the others are let go of: nothing more is opened, and all that is being opened becomes known.
    pub async fn settle(&self) {
        self.known(TO_SETTLE).await;
    }

    async fn known(&self, longest: Duration) {
        self.is_stopping.set(true);
        let known = async {
            while self.opening.get() > 0 {
                host::sleep(LOOK).await;
            }
        };
        select(pin!(known), pin!(host::sleep(longest))).await;
    }

    /// An error is an index that was closed and stays open: people would not notice. What else is not given back ends by itself.
    async fn close_all(&self) -> Result<()> {
        let left: Vec<(u64, Context)> =
            self.open.borrow().iter().map(|(key, context)| (*key, context.clone())).collect();
        let stays_open = RefCell::new(Ok(()));
        let close = async |(key, context)| {
            let Err(error) = self.close(key).await else { return };
            coffer_addon::warn!("unable to give back what was open on the server: {error}");
            if let Context::Opened(index) = context {
                *stays_open.borrow_mut() = Err(error.context(format!(
                    "index {index} was closed, was opened for the dump, and cannot be closed again; close it by POST /{index}/_close"
                )));
            }
        };
        stream::iter(left).for_each_concurrent(AT_ONCE, close).await;
        stays_open.into_inner()
    }

    async fn renew(&self, point: &Context) {
        let Context::Pit(id) = point else { return };
        let body =
            json!({ "size": 0, "track_total_hits": false, "pit": { "id": id, "keep_alive": self.pit_keep_alive() } });
        // One that is lost is told by whoever reads from it.
        if let Err(error) = self.client.post::<Value>("/_search", &body).await {
            coffer_addon::debug!("unable to renew a point in time: {error}");
        }
    }

    async fn keep_alive(&self) -> std::convert::Infallible {
        let pause = self.keep_alive.unwrap_or(KEEP_ALIVE) / RENEWALS;
        loop {
            host::sleep(pause).await;
            let open = self.open.borrow().values().cloned().collect::<Vec<_>>();
            stream::iter(open).for_each_concurrent(AT_ONCE, async |context| self.renew(&context).await).await;
        }
    }
}

fn text(duration: Duration) -> String {
    format!("{}ms", duration.as_millis().max(1))
}
