//! Stopping what the server does for a run that is asked to stop: each session gets a CancelRequest, over a connection of its
//! own as the protocol wants it.

use super::Login;
use super::startup::secure;
use bytes::BytesMut;
use coffer_addon::{Application, Result, stop};
use postgres_protocol::message::frontend;

/// Process id and secret key, as the server told them when the session began.
pub(super) type Key = (i32, i32);

/// The sessions that are open for one run.
pub(super) type Sessions = stop::Sessions<Key>;

/// Membership among the [`Sessions`], for as long as it lives.
pub(super) type Open = stop::Open<Key>;

/// Does `work`, and stops the statements of all sessions of `login` when the run is asked to stop before it is done.
pub async fn stoppable<T>(
    application: &Application,
    login: &Login,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    login.sessions.end_when_cancelled(work, async |key| request(application, login, key).await).await
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
