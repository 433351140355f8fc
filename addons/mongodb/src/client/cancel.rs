//! Stopping what the server does for a run that is asked to stop, or that has failed: its sessions are killed, and their
//! operations and cursors go with them. Where the server has no sessions, there are cursors to kill; an operation that is
//! under way there goes on until the server sees that its client has hung up.

use super::pulse::{Pulse, watched};
use super::{Client, Login, ServerError, code, session_id};
use bson::rawdoc;
use coffer_addon::{Application, Error, Result, host, stop};
use futures::future::{join_all, select};
use futures::lock::Mutex;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// For letting go of what a failed run has on the server.
const GOODBYE: Duration = Duration::from_secs(4);

/// A server's cursor: database, collection, id.
pub(super) type Kept = (String, String, i64);

/// What a connection has under way on its server.
#[derive(Clone, Default)]
struct Underway {
    endpoint: Option<String>,
    session: Option<[u8; 16]>,
    cursor: Option<Kept>,
    /// Collections that are not to stay: database and name.
    temporary: BTreeSet<(String, String)>,
}

impl Underway {
    fn is_nothing(&self) -> bool {
        self.session.is_none() && self.cursor.is_none() && self.temporary.is_empty()
    }
}

/// The connections that are open for one run.
#[derive(Clone, Default)]
pub(super) struct Registry {
    sessions: stop::Sessions<u32>,
    last: Rc<Cell<u32>>,
    underway: Rc<RefCell<BTreeMap<u32, Underway>>>,
    /// Of connections that are gone without a goodbye.
    left: Rc<RefCell<Vec<Underway>>>,
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

    /// A collection that has to go, even when the run ends before it does that.
    pub fn note_temporary(&self, database: &str, name: &str) {
        self.note(|underway| underway.temporary.extend([(database.into(), name.into())]));
    }

    pub fn forget_temporary(&self, database: &str, name: &str) {
        self.note(|underway| {
            underway.temporary.retain(|(of, other)| (of.as_str(), other.as_str()) != (database, name))
        });
    }

    /// The server has ended the session, and what was in it.
    pub fn note_goodbye(&self) {
        self.note(|underway| (underway.session, underway.cursor) = (None, None));
    }

    fn note(&self, note: impl FnOnce(&mut Underway)) {
        if let Some(underway) = self.registry.underway.borrow_mut().get_mut(self.open.key()) {
            note(underway);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let underway = self.registry.underway.borrow_mut().remove(self.open.key());
        self.registry.left.borrow_mut().extend(underway.filter(|underway| !underway.is_nothing()));
    }
}

/// Connections that end what others have under way: one for each endpoint, as a server at its limit has no room for more.
type Killers = RefCell<BTreeMap<Option<String>, Rc<Killer>>>;

/// None until it is connected.
type Killer = Mutex<Option<Client>>;

/// Does `work`, and ends all that the connections of `login` have under way when the run is asked to stop before it is done,
/// or fails. A server that no longer answers ends it, too.
pub async fn stoppable<T>(
    application: &Application,
    login: &Login,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let killers = Killers::default();
    let sessions = &login.registry.sessions;
    let work = watched(application, login, work);
    // There is no time to try again what could not be ended.
    let is_stopped = Cell::new(false);
    let stop = async |key| {
        is_stopped.set(true);
        end(application, login, &killers, key).await
    };
    let outcome = sessions.end_when_cancelled(work, stop).await;
    if outcome.is_err() && !is_stopped.get() {
        end_left(application, login).await;
    }
    outcome
}

/// Ends what connections had under way that are gone without a goodbye, so that nothing of a run that has failed stays on the
/// server.
pub async fn end_left(application: &Application, login: &Login) {
    let mut left: BTreeMap<_, Vec<Underway>> = BTreeMap::new();
    for underway in login.registry.left.take() {
        left.entry(underway.endpoint.clone()).or_default().push(underway);
    }
    // Until it is known that they have gone.
    let temporary = Cell::new(left.values().flatten().map(|underway| underway.temporary.len()).sum::<usize>());
    let end = async |(endpoint, left): (&Option<String>, &Vec<Underway>)| {
        let mut client = Client::connect(application, login, endpoint.as_deref()).await?;
        for underway in left {
            if let Err(error) = kill(&mut client, underway).await? {
                coffer_addon::warn!("unable to stop a statement on the server: {}", error.text());
            }
            temporary.set(temporary.get().saturating_sub(underway.temporary.len()));
        }
        client.close().await;
        Ok::<(), Error>(())
    };
    let end_all = async {
        for error in join_all(left.iter().map(end)).await.into_iter().filter_map(Result::err) {
            coffer_addon::warn!("statements of the run may still be running on the server: {error}");
        }
    };
    select(pin!(end_all), pin!(host::sleep(GOODBYE))).await;
    if temporary.get() > 0 {
        let names = left.values().flatten().flat_map(|underway| &underway.temporary);
        let names: BTreeSet<String> = names.map(|(database, name)| format!("{database}.{name}")).collect();
        coffer_addon::warn!("left on the server, drop it: {}", coffer_addon::omitted::line(names));
    }
}

async fn end(application: &Application, login: &Login, killers: &Killers, key: u32) -> Result<()> {
    let underway = login.registry.underway.borrow().get(&key).cloned().unwrap_or_default();
    if underway.is_nothing() {
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
        match client.try_run("admin", command).await? {
            // FerretDB 1: there is no other way on it, and mostly nothing to stop.
            Err(error) if error.code == code::COMMAND_NOT_FOUND => {}
            outcome => outcomes.push(outcome),
        }
    }
    // What was written into them has ended by now.
    for (database, name) in &underway.temporary {
        if let Err(error) = client.try_run(database, rawdoc! { "drop": name.as_str() }).await?
            && error.code != code::NAMESPACE_NOT_FOUND
        {
            coffer_addon::warn!("{database}.{name} is left on the server, drop it: {}", error.text());
        }
    }
    let is_ended = outcomes.is_empty() || outcomes.iter().any(Result::is_ok);
    Ok(outcomes.pop().filter(|_| !is_ended).map_or(Ok(()), |outcome| outcome.map(|_| ())))
}
