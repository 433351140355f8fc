//! Whether the server still answers. A connection to a server that was stopped, or whose machine hangs, stays open for as
//! long as its kernel answers, and a reply may rightly take hours: an index is built without a word. So when no connection of
//! a run has moved a byte for a while, the server is asked on a new one what it is. When it does not say, everything that
//! waits for it ends with an error.
//!
//! It is asked again after twice the time, and so on: a server that answers and never ends a command is left to the limit
//! that the host has for runs that move nothing.

use super::Login;
use coffer_addon::{Application, Error, Result, host};
use futures::future::{Either, select};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How often in a row it has to stay silent. One answer may be lost to a busy moment.
const TRIES: usize = 2;

/// For each of them: less than the host has for connecting, whose errors do not tell a server that is silent from one that is
/// not there.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the connections of one run have in common. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Pulse(Rc<Inner>);

#[derive(Default)]
struct Inner {
    moves: Cell<u64>,
    /// Why nobody needs to wait any longer.
    dead: RefCell<Option<String>>,
    waiting: RefCell<Vec<Waker>>,
}

impl Pulse {
    /// Does what waits for the server, until that is known to be in vain.
    pub async fn alive<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = pin!(work);
        let outcome = poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Pending => self.poll_dead(cx).map(Err),
            ready => ready,
        });
        let outcome = outcome.await;
        self.0.moves.set(self.0.moves.get().wrapping_add(1));
        outcome
    }

    fn poll_dead(&self, cx: &Context<'_>) -> Poll<Error> {
        if let Some(why) = &*self.0.dead.borrow() {
            return Poll::Ready(Error::Unavailable(why.clone()));
        }
        let mut waiting = self.0.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn die(&self, why: String) {
        self.0.dead.replace(Some(why));
        self.0.waiting.take().into_iter().for_each(Waker::wake);
    }

    fn moves(&self) -> u64 {
        self.0.moves.get()
    }
}

/// Does `work`, and looks meanwhile whether the servers that it is connected to still answer.
pub(super) async fn watched<T>(application: &Application, login: &Login, work: impl Future<Output = T>) -> T {
    match select(pin!(work), pin!(watch(application, login))).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right((never, _)) => match never {},
    }
}

async fn watch(application: &Application, login: &Login) -> Infallible {
    let pulse = &login.registry.pulse;
    // Whoever is patient with a new connection is so with an old one.
    let mut pause = login.connect_timeout;
    let mut before = pulse.moves();
    loop {
        host::sleep(pause).await;
        let now = pulse.moves();
        if now != before {
            (before, pause) = (now, login.connect_timeout);
            continue;
        }
        let endpoints: BTreeSet<Option<String>> = login.registry.endpoints();
        for endpoint in endpoints {
            if is_silent(application, login, endpoint.as_deref()).await && pulse.moves() == now {
                let seconds = pause.as_secs_f64();
                pulse.die(format!(
                    "the server has stopped answering: nothing came for {seconds} s, and {TRIES} new connections got no answer either"
                ));
            }
        }
        pause = pause.saturating_mul(2);
    }
}

/// Whether it leaves a new connection without an answer. One that it refuses, as a server with too many does, is an answer.
async fn is_silent(application: &Application, login: &Login, endpoint: Option<&str>) -> bool {
    let patience = login.connect_timeout.min(PATIENCE);
    for _ in 0..TRIES {
        let greeting = login.ask(application, endpoint);
        if let Either::Left(_) = select(pin!(greeting), pin!(host::sleep(patience))).await {
            return false;
        }
    }
    true
}
