//! What the dump holds open on the server: points in time, scrolls, indices that were closed. Kept alive meanwhile, and given back
//! at the end, whatever the end.

use crate::client::{Body, Client};
use coffer_addon::http::segment;
use coffer_addon::stop::{Open, Sessions};
use coffer_addon::{Result, host};
use futures::future::{Either, select};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

/// How long the server keeps a point in time that nobody asks for: longer than three renewals may take.
pub const KEEP_ALIVE: &str = "10m";

/// A scroll is renewed by asking for its next page alone, which may have to wait for a slow repository.
pub const SCROLL_KEEP_ALIVE: &str = "1h";

const RENEWAL: Duration = Duration::from_secs(120);

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
    sessions: Sessions<u64>,
    open: RefCell<BTreeMap<u64, (Context, Open<u64>)>>,
    next: RefCell<u64>,
}

impl Contexts {
    pub fn new(client: Client) -> Self {
        Contexts { client, sessions: Sessions::default(), open: RefCell::default(), next: RefCell::default() }
    }

    /// Notes what was opened.
    pub fn add(&self, context: Context) -> u64 {
        let mut next = self.next.borrow_mut();
        *next += 1;
        let open = self.sessions.open(*next);
        self.open.borrow_mut().insert(*next, (context, open));
        *next
    }

    /// The id that the server knows it by now.
    pub fn id(&self, key: u64) -> Option<String> {
        self.open.borrow().get(&key).map(|(context, _)| match context {
            Context::Pit(id) | Context::Scroll(id) | Context::Opened(id) => id.clone(),
        })
    }

    /// The server may give another id with each answer.
    pub fn renamed(&self, key: u64, new: &str) {
        if let Some((Context::Pit(id) | Context::Scroll(id), _)) = self.open.borrow_mut().get_mut(&key)
            && id != new
        {
            *id = new.to_owned();
        }
    }

    /// Gives it back.
    pub async fn close(&self, key: u64) -> Result<()> {
        let Some(context) = self.open.borrow().get(&key).map(|(context, _)| context.clone()) else { return Ok(()) };
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
        let outcome = self.sessions.end_when_cancelled(kept, async |key| self.close(key).await).await;
        let left: Vec<u64> = self.open.borrow().keys().copied().collect();
        for key in left {
            if let Err(error) = self.close(key).await {
                coffer_addon::warn!("unable to give back what was open on the server: {error}");
            }
        }
        outcome
    }

    async fn keep_alive(&self) -> std::convert::Infallible {
        loop {
            host::sleep(RENEWAL).await;
            let keys: Vec<u64> = self.open.borrow().keys().copied().collect();
            for key in keys {
                let id = match self.open.borrow().get(&key) {
                    Some((Context::Pit(id), _)) => id.clone(),
                    _ => continue,
                };
                let body =
                    json!({ "size": 0, "track_total_hits": false, "pit": { "id": id, "keep_alive": KEEP_ALIVE } });
                // One that is lost is told by whoever reads from it.
                if let Err(error) = self.client.post::<Value>("/_search", &body).await {
                    coffer_addon::debug!("unable to renew a point in time: {error}");
                }
            }
        }
    }
}
