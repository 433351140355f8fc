//! Stopping what the server does for a run that is asked to stop.
//!
//! A server in the middle of a statement does not notice that its client is gone: it would build an index to the end, and
//! wait for a lock for ever. So each session gets a CancelRequest, over a connection of its own as the protocol wants it.

use super::Login;
use super::startup::secure;
use bytes::BytesMut;
use coffer_addon::{Application, Error, Result, host};
use futures::StreamExt;
use futures::future::{Either, select};
use futures::stream;
use postgres_protocol::message::frontend;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// All requests together. The host's grace is 5 s.
const TIME: Duration = Duration::from_secs(4);

/// Requests at once: the sessions' own connections are still open beside them, and the host allows 64 of all.
const AT_ONCE: usize = 8;

/// Process id and secret key, as the server told them when the session began.
pub(super) type Key = (i32, i32);

/// The sessions that are open for one run.
#[derive(Clone, Default)]
pub(super) struct Sessions(Rc<RefCell<BTreeSet<Key>>>);

/// Membership among the [`Sessions`], for as long as it lives.
pub(super) struct Open {
    sessions: Sessions,
    key: Key,
}

impl Sessions {
    pub fn open(&self, key: Key) -> Open {
        self.0.borrow_mut().insert(key);
        Open { sessions: self.clone(), key }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.sessions.0.borrow_mut().remove(&self.key);
    }
}

/// Does `work`, and stops the statements of all sessions of `login` when the run is asked to stop before it is done.
pub async fn stoppable<T>(
    application: &Application,
    login: &Login,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    match select(pin!(work), pin!(host::cancelled())).await {
        Either::Left((outcome, _)) => outcome,
        // The work is let go of only after that: an artifact left in the middle would end the run at once.
        Either::Right(((), _work)) => {
            let keys = login.sessions.0.borrow().clone();
            let count = keys.len();
            let requests = stream::iter(keys).for_each_concurrent(AT_ONCE, async |key| {
                if let Err(error) = request(application, login, key).await {
                    coffer_addon::warn!("unable to stop a statement on the server: {error}");
                }
            });
            if let Either::Right(_) = select(pin!(requests), pin!(host::sleep(TIME))).await {
                coffer_addon::warn!("statements of {count} sessions may still be running on the server");
            }
            Err(Error::Failed("cancelled".into()))
        }
    }
}

async fn request(application: &Application, login: &Login, (process, secret): Key) -> Result<()> {
    let mut connection = secure(application.connect(None).await?, login.tls).await?;
    let mut message = BytesMut::new();
    frontend::cancel_request(process, secret, &mut message);
    connection.write(&message).await?;
    connection.send().await?;
    // It closes once the request has been passed on, and never says anything.
    while let Ok(1..) = connection.fill().await {
        connection.consume(usize::MAX);
    }
    Ok(())
}
