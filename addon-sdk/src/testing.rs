//! Stand-ins for the host, for the native tests of an addon.

use crate::application::{Application, Binding};
use crate::connection::Connection;
use crate::error::Result;
use crate::inbox::Inbox;
use crate::outbox::Outbox;
use crate::sys;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

pub use crate::sys::{Io, Written};

/// A connection over anything that is `futures::io`: a socket, a pipe, a script of bytes.
pub fn connection(io: impl Io + 'static) -> Connection {
    Connection::new(sys::Connection::new(io))
}

/// An application whose connections `connect` makes.
pub fn application<F>(binding: Binding, credentials: &[(&str, &str)], connect: impl Fn() -> F + 'static) -> Application
where
    F: Future<Output = Result<Connection>> + 'static,
{
    endpoints(binding, credentials, move |_| connect())
}

/// [`application`] with more than one endpoint: `connect` is told which one is meant, none being the first.
pub fn endpoints<F>(
    binding: Binding,
    credentials: &[(&str, &str)],
    connect: impl Fn(Option<&str>) -> F + 'static,
) -> Application
where
    F: Future<Output = Result<Connection>> + 'static,
{
    let credentials: BTreeMap<_, _> = credentials.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let connect: sys::Connect = Rc::new(move |endpoint| Box::pin(connect(endpoint)));
    Application { raw: sys::Application { binding, credentials, connect } }
}

/// An outbox and what will have been written to it, in the order of finishing.
pub fn outbox() -> (Outbox, Rc<RefCell<Vec<Written>>>) {
    let raw = sys::Outbox::default();
    let written = raw.written.clone();
    (Outbox { raw }, written)
}

/// An inbox with these artifacts.
pub fn inbox(artifacts: impl IntoIterator<Item = Written>) -> Inbox {
    Inbox { raw: sys::Inbox { waiting: Rc::new(RefCell::new(artifacts.into_iter().collect())) } }
}

/// Takes what was logged on this thread so far.
pub fn logged() -> Vec<(crate::host::Level, String)> {
    sys::LOG.take()
}

/// Asks the runs of this thread that listen to [`host::cancelled`](crate::host::cancelled) at the moment to stop.
pub fn cancel() {
    sys::cancel();
}
