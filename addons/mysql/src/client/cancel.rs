//! Stopping what the server does for a run that is asked to stop: its sessions are killed, and their locks and transactions
//! go with them.

use super::{Client, Login};
use coffer_addon::{Application, Error, Result, stop};
use futures::lock::Mutex;

/// The sessions that are open for one run, by their connection ids.
pub(super) type Sessions = stop::Sessions<u32>;

/// Membership among the [`Sessions`], for as long as it lives.
pub(super) type Open = stop::Open<u32>;

/// The session has ended by itself meanwhile.
const NO_SUCH_SESSION: u16 = 1094;

/// Does `work`, and kills all sessions of `login` when the run is asked to stop before it is done.
pub async fn stoppable<T>(
    application: &Application,
    login: &Login,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    // One connection for all of them: a server at its limit has no room for more.
    let killer = Mutex::new(None);
    login.sessions.end_when_cancelled(work, async |id| kill(application, login, &killer, id).await).await
}

async fn kill(application: &Application, login: &Login, killer: &Mutex<Option<Client>>, id: u32) -> Result<()> {
    let mut killer = killer.lock().await;
    let mut client = match killer.take() {
        Some(client) => client,
        None => Client::connect(application, login, None).await?,
    };
    // A user may kill its own sessions without any privilege.
    let outcome = client.try_execute(&format!("KILL CONNECTION {id}")).await?;
    *killer = Some(client);
    match outcome {
        Err(error) if error.number != NO_SUCH_SESSION => {
            Err(Error::Failed(format!("connection {id}: {} (server error {})", error.message, error.number)))
        }
        _ => Ok(()),
    }
}
