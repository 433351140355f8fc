//! What looks after the connections that read documents.
//!
//! A server ends sessions, and the cursors in them, that are idle for half an hour; whoever takes the dump may be slower. A
//! session that is named to it every few minutes is not idle.

use super::point;
use crate::client::{Client, Login};
use crate::layout::Timestamp;
use bson::raw::{RawArrayBuf, RawDocumentBuf, cstr};
use bson::rawdoc;
use coffer_addon::{Application, Error, Result, host};
use futures::future::{Either, select};
use std::pin::pin;
use std::time::Duration;

/// Often enough for the shortest `localLogicalSessionTimeoutMinutes` that is of any use.
const INTERVAL: Duration = Duration::from_secs(120);

/// Makes the server keep a query's cursor: whoever takes the dump may be slower than it is patient.
pub fn patient(client: &Client, command: &mut RawDocumentBuf) {
    // FerretDB 1 refuses to hear of it.
    if !client.version().is_ferretdb() {
        command.append(cstr!("noCursorTimeout"), true);
    }
}

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

    fn named(&self) -> RawArrayBuf {
        self.sessions.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::raw::RawDocument;
    use coffer_addon::testing::{application, connection};
    use coffer_addon::{Binding, TlsMode};
    use std::sync::{Arc, Mutex};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio_util::compat::TokioAsyncReadCompatExt;

    type Heard = Arc<Mutex<Vec<RawDocumentBuf>>>;

    /// Says yes to everything.
    async fn serve(mut io: DuplexStream, heard: Heard) {
        let reply = rawdoc! { "ok": 1, "ismaster": true, "maxWireVersion": 21, "version": "7.0.0" };
        let mut head = [0; 16];
        while io.read_exact(&mut head).await.is_ok() {
            let [length, request, ..] = [0, 4].map(|at| i32::from_le_bytes(*head[at..].first_chunk().expect("a head")));
            let mut body = vec![0; usize::try_from(length).expect("a length") - head.len()];
            io.read_exact(&mut body).await.expect("a message");
            heard.lock().expect("no panic").push(RawDocument::from_bytes(&body[5..]).expect("a command").to_owned());
            let length = i32::try_from(21 + reply.as_bytes().len()).expect("a length");
            let mut message: Vec<u8> = [length, 1, request, 2013, 0].into_iter().flat_map(i32::to_le_bytes).collect();
            message.push(0);
            message.extend(reply.as_bytes());
            io.write_all(&message).await.expect("written");
        }
    }

    #[tokio::test]
    async fn sessions_of_other_connections_are_named() {
        let heard = Heard::default();
        let binding = Binding {
            kind: "mongodb".into(),
            tls: TlsMode::Disable,
            endpoints: vec!["default".into()],
            ..Binding::default()
        };
        let application = application(binding, &[], {
            let heard = heard.clone();
            move || {
                let (ours, theirs) = tokio::io::duplex(1 << 16);
                tokio::spawn(serve(ours, heard.clone()));
                async move { Ok(connection(theirs.compat())) }
            }
        });
        let login = Login::of(&application).expect("a login");
        let sessions = vec![rawdoc! { "id": 1 }, rawdoc! { "id": 2 }];
        let watch = Watch { application: &application, login: &login, endpoint: "default", sessions, oplog: None };
        watch.look().await.expect("looked");
        let heard = heard.lock().expect("no panic");
        let named = heard.iter().find_map(|command| command.get_array("refreshSessions").ok()).expect("asked for");
        assert_eq!(named.into_iter().flatten().filter_map(|id| id.as_document()?.get_i32("id").ok()).sum::<i32>(), 3);
    }
}
