//! Stopping what the server does for a run that is asked to stop: its sessions are killed, and their operations and cursors
//! go with them. Where the server has no sessions, there are cursors to kill; an operation that is under way there goes on
//! until the server sees that its client has hung up.

use super::pulse::{Pulse, watched};
use super::{Client, Login, ServerError, session_id};
use bson::rawdoc;
use coffer_addon::{Application, Error, Result, stop};
use futures::lock::Mutex;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A server's cursor: database, collection, id.
pub(super) type Kept = (String, String, i64);

/// What a connection has under way on its server.
#[derive(Clone, Default)]
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
    pub pulse: Pulse,
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

    /// Those that there are connections to.
    pub fn endpoints(&self) -> BTreeSet<Option<String>> {
        self.underway.borrow().values().map(|underway| underway.endpoint.clone()).collect()
    }
}

impl Open {
    /// Makes up the id of a session.
    pub fn session(&self) -> Result<[u8; 16]> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| Error::Failed(format!("no random bytes: {error}")))?;
        // Marked as a random UUID.
        let [.., version, _, variant, _, _, _, _, _, _, _] = &mut id;
        *version = *version & 0x0f | 0x40;
        *variant = *variant & 0x3f | 0x80;
        self.note(|underway| underway.session = Some(id));
        Ok(id)
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

/// Connections that end what others have under way: one for each endpoint, as a server at its limit has no room for more.
type Killers = RefCell<BTreeMap<Option<String>, Rc<Killer>>>;

/// None until it is connected.
type Killer = Mutex<Option<Client>>;

/// Does `work`, and ends all that the connections of `login` have under way when the run is asked to stop before it is done. A
/// server that no longer answers ends it, too.
pub async fn stoppable<T>(
    application: &Application,
    login: &Login,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let killers = Killers::default();
    let sessions = &login.registry.sessions;
    let work = watched(application, login, work);
    sessions.end_when_cancelled(work, async |key| end(application, login, &killers, key).await).await
}

async fn end(application: &Application, login: &Login, killers: &Killers, key: u32) -> Result<()> {
    let underway = login.registry.underway.borrow().get(&key).cloned().unwrap_or_default();
    if underway.session.is_none() && underway.cursor.is_none() {
        return Ok(());
    }
    let killer = killers.borrow_mut().entry(underway.endpoint.clone()).or_default().clone();
    let mut killer = killer.lock().await;
    let mut client = match killer.take() {
        Some(client) => client,
        None => Client::connect(application, login, underway.endpoint.as_deref()).await?,
    };
    let outcome = kill(&mut client, &underway).await?;
    *killer = Some(client);
    outcome.map_err(|error| Error::Failed(error.text()))
}

/// An error where nothing could be ended.
async fn kill(client: &mut Client, underway: &Underway) -> Result<Result<(), ServerError>> {
    let mut outcomes = Vec::new();
    if let Some((database, collection, id)) = &underway.cursor {
        let command = rawdoc! { "killCursors": collection.as_str(), "cursors": [*id] };
        outcomes.push(client.try_run(database, command).await?);
    }
    if let Some(id) = &underway.session {
        // A user may kill its own sessions without any privilege. A cursor goes with them, but on servers that have sessions
        // in name only, as FerretDB.
        let command = rawdoc! { "killSessions": [session_id(id)] };
        outcomes.push(client.try_run("admin", command).await?);
    }
    let is_ended = outcomes.iter().any(Result::is_ok);
    Ok(outcomes.pop().filter(|_| !is_ended).map_or(Ok(()), |outcome| outcome.map(|_| ())))
}
