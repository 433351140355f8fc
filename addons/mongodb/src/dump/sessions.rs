//! What looks after the connections that read documents.
//!
//! A server ends sessions, and the cursors in them, that are idle for half an hour; whoever takes the dump may be slower. A
//! session that is named to it every few minutes is not idle.

use super::point;
use crate::client::{Client, Login};
use crate::layout::Timestamp;
use bson::raw::{RawArrayBuf, RawDocumentBuf};
use bson::rawdoc;
use coffer_addon::{Application, Error, Result, host};
use futures::future::{Either, join_all, select};
use std::pin::pin;
use std::time::Duration;

/// Often enough for the shortest `localLogicalSessionTimeoutMinutes` that is of any use.
const INTERVAL: Duration = Duration::from_secs(120);

/// For letting go of what a failed run has on the server.
const GOODBYE: Duration = Duration::from_secs(4);

/// The connections' sessions, seen from outside.
pub struct Watch<'a> {
    pub application: &'a Application,
    pub login: &'a Login,
    pub endpoint: &'a str,
    /// `{id: …}` of each.
    pub sessions: Vec<RawDocumentBuf>,
    /// Where the oplog's entries begin that will be needed.
    pub oplog: Option<Timestamp>,
}

impl Watch<'_> {
    /// Does `work`, and fails when it has become pointless meanwhile.
    pub async fn during<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match select(pin!(work), pin!(self.watch())).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right((error, _)) => Err(error),
        }
    }

    async fn watch(&self) -> Error {
        loop {
            host::sleep(INTERVAL).await;
            match self.look().await {
                Ok(()) => {}
                // Whether the server is gone, those who read from it see best.
                Err(error @ Error::Unavailable(_)) => {
                    coffer_addon::warn!("unable to look after the dump's sessions: {error}")
                }
                Err(error) => return error,
            }
        }
    }

    /// On a connection of its own: the others are in the middle of something.
    async fn look(&self) -> Result<()> {
        if self.sessions.is_empty() && self.oplog.is_none() {
            return Ok(());
        }
        let mut client = Client::connect(self.application, self.login, Some(self.endpoint)).await?;
        if !self.sessions.is_empty() {
            let refreshed = client.try_run("admin", rawdoc! { "refreshSessions": self.named() }).await?;
            if let Err(error) = refreshed {
                coffer_addon::warn!("unable to keep the dump's sessions alive: {}", error.text());
            }
        }
        if let Some(start) = self.oplog {
            // Better to know it now than when all has been read.
            point::check_oplog(&mut client, start).await?;
        }
        client.close().await;
        Ok(())
    }

    /// Ends what the connections of a run that has failed have under way, so that nothing stays on the server.
    pub async fn end(&self, connections: Vec<Client>) {
        let end = async {
            let killed = async {
                let mut client = Client::connect(self.application, self.login, Some(self.endpoint)).await?;
                let kill = client.try_run("admin", rawdoc! { "killSessions": self.named() }).await?;
                client.close().await;
                kill.map_err(|error| error.during("killSessions"))
            };
            if self.sessions.is_empty() || killed.await.is_err() {
                join_all(connections.into_iter().map(Client::close)).await;
            }
        };
        select(pin!(end), pin!(host::sleep(GOODBYE))).await;
    }

    fn named(&self) -> RawArrayBuf {
        self.sessions.iter().cloned().collect()
    }
}
