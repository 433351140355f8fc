//! Follows a session from its status until it ends, also over a restart of the server.

use crate::connect::Connection;
use crate::failure::{Failure, Result};
use crate::output::Printer;
use crate::output::progress::Progress;
use crate::session::Session;
use coffer_api::RunStatus;
use futures::StreamExt;
use kube::Api;
use kube::runtime::watcher::{self, watch_object};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// A server that restarts is back by then, also when it has an interrupted session's locks to look after first.
const PATIENCE: Duration = Duration::from_secs(120);
/// A server that is there answers at once; what took its port meanwhile may never.
const ANSWER: Duration = Duration::from_secs(5);
/// Before a server that went away is asked for again.
const AGAIN: Duration = Duration::from_millis(500);

/// Shows the run of the session `name` until it ends, and returns the session as it ended.
///
/// # Errors
/// When the session is deleted, the server stays away, or the user stops following. The session itself having failed is
/// no error here.
pub async fn follow<S: Session>(connection: &Connection, namespace: &str, name: &str, printer: Printer) -> Result<S> {
    let mut progress = Progress::new(printer);
    let tell = |word: Word<'_>| match word {
        Word::Run(run) => progress.update(run),
        Word::Note(note) => progress.note(note),
    };
    let session = Following { namespace, name, label: format!("{} {name}", S::called()), tell };
    let label = session.label.clone();
    let ended = tokio::select! {
        ended = session.until_ended(connection.clone()) => ended,
        _ = tokio::signal::ctrl_c() => {
            Err(Failure::new(format_args!("stopped following {label}, which goes on")).hint(format_args!(
                "`coffer describe {label} -n {namespace}` shows it, `coffer delete {label} -n {namespace}` cancels it"
            )))
        }
    };
    progress.finish();
    ended
}

/// What there is to show.
enum Word<'a> {
    Run(&'a RunStatus),
    Note(String),
}

/// A server that does not answer.
#[derive(Default)]
struct Away {
    since: Option<Instant>,
    /// Whether the user knows.
    said: bool,
}

struct Following<'a, T> {
    namespace: &'a str,
    name: &'a str,
    /// Kind and name, as messages and commands have them.
    label: String,
    tell: T,
}

impl<T: FnMut(Word<'_>)> Following<'_, T> {
    async fn until_ended<S: Session>(mut self, mut connection: Connection) -> Result<S> {
        let mut away = Away::default();
        loop {
            let api: Api<S> = Api::namespaced(connection.client.clone(), self.namespace);
            let error = match self.watch(api, &mut away).await? {
                Watched::Ended(session) => return Ok(*session),
                Watched::Broken(error) => error,
            };
            let since = *away.since.get_or_insert_with(Instant::now);
            let lost = |why: Option<Failure>| {
                let mut lost = Failure::new(format_args!("lost the server while following {}", self.label));
                lost.causes.extend(why.map(|why| why.error));
                lost.because(&error)
                    .hint("see whether `coffer serve` is running; the session is marked when it starts again")
            };
            if since.elapsed() > PATIENCE {
                return Err(lost(None));
            }
            // It may listen elsewhere now.
            connection = loop {
                sleep(AGAIN).await;
                let why = match timeout(ANSWER, connection.again()).await {
                    Ok(Ok(again)) => break again,
                    Ok(Err(why)) => why,
                    Err(_) => Failure::new(format_args!("no answer within {ANSWER:?}")),
                };
                if since.elapsed() > PATIENCE {
                    return Err(lost(Some(why)));
                }
                if !std::mem::replace(&mut away.said, true) {
                    let (why, seconds) = (why.error, PATIENCE.as_secs());
                    (self.tell)(Word::Note(format!("the server went away, waiting up to {seconds} s for it: {why}")));
                }
            };
        }
    }

    /// Shows the session as long as the server tells of it. Begins with what it is now, so that nothing is lost between one
    /// watch and the next.
    async fn watch<S: Session>(&mut self, api: Api<S>, away: &mut Away) -> Result<Watched<S>> {
        let mut changes = std::pin::pin!(watch_object(api, self.name));
        let none = RunStatus::default();
        while let Some(change) = changes.next().await {
            match change {
                Ok(Some(session)) => {
                    if std::mem::take(away).said {
                        (self.tell)(Word::Note("the server is back".to_owned()));
                    }
                    let run = session.status().map_or(&none, S::run);
                    (self.tell)(Word::Run(run));
                    if run.phase.is_terminal() {
                        return Ok(Watched::Ended(Box::new(session)));
                    }
                }
                Ok(None) => return Err(Failure::new(format_args!("{} was deleted, which cancels it", self.label))),
                Err(error) => return Ok(Watched::Broken(error)),
            }
        }
        Err(Failure::new(format_args!("the watch of {} ended", self.label)))
    }
}

enum Watched<S> {
    Ended(Box<S>),
    Broken(watcher::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Global;
    use coffer_api::refs::LocalRef;
    use coffer_api::{BackupSession, BackupSessionSpec, SessionPhase};
    use coffer_apiserver::{Listening, Server};
    use kube::api::{Patch, PatchParams, PostParams};
    use serde_json::json;
    use std::net::TcpListener;
    use std::path::Path;
    use tokio::sync::mpsc;

    /// A server over a folder that another may just have let go of.
    async fn serve(folder: &Path, port: u16) -> (Server, Listening) {
        let server = Server::open_within(folder, Duration::from_secs(60), |_| {}).await.unwrap();
        let listening = server.listen(([127, 0, 0, 1], port).into()).await.unwrap();
        (server, listening)
    }

    async fn connect(folder: &Path) -> Connection {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let global = Global { data_dir: Some(folder.to_owned()), kubeconfig: None, verbose: 0, quiet: true };
        Connection::open(&global).await.unwrap()
    }

    async fn says(server: &Server, phase: SessionPhase) {
        let sessions: Api<BackupSession> = Api::default_namespaced(server.client());
        let status = json!({"status": {"phase": phase}});
        sessions.patch_status("one", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    async fn follows_over_a_restart(elsewhere: bool) {
        let folder = tempfile::tempdir().unwrap();
        let (server, listening) = serve(folder.path(), 0).await;
        let spec = BackupSessionSpec { configuration: LocalRef::new("shop"), session: None };
        let sessions: Api<BackupSession> = Api::default_namespaced(server.client());
        sessions.create(&PostParams::default(), &BackupSession::new("one", spec)).await.unwrap();
        says(&server, SessionPhase::Running).await;

        let connection = connect(folder.path()).await;
        let (words, mut told) = mpsc::unbounded_channel();
        let following = tokio::spawn(async move {
            let tell = move |word: Word<'_>| {
                let word = match word {
                    Word::Run(run) => run.phase.as_str().to_owned(),
                    Word::Note(note) => note,
                };
                words.send(word).unwrap();
            };
            let following = Following { namespace: "default", name: "one", label: "backupsession one".into(), tell };
            following.until_ended::<BackupSession>(connection).await
        });
        assert_eq!(told.recv().await.unwrap(), "Running");
        let port = listening.address().port();
        listening.shutdown().await;
        drop((sessions, server));
        // Somebody may take the port meanwhile: the server then takes another.
        let taken = elsewhere.then(|| TcpListener::bind(("127.0.0.1", port)).unwrap());
        let note = told.recv().await.unwrap();
        assert!(note.contains("went away") && note.contains("120 s"), "{note}");
        let (server, listening) = serve(folder.path(), if elsewhere { 0 } else { port }).await;
        assert_eq!(listening.address().port() != port, elsewhere);
        assert_eq!(told.recv().await.unwrap(), "the server is back");
        says(&server, SessionPhase::Succeeded).await;
        let ended = following.await.unwrap().unwrap();
        assert_eq!(ended.status.unwrap().run.phase, SessionPhase::Succeeded);
        drop(taken);
    }

    #[tokio::test]
    async fn a_server_that_restarts_is_waited_for() {
        follows_over_a_restart(false).await;
    }

    #[tokio::test]
    async fn a_server_that_comes_back_on_another_port_is_found() {
        follows_over_a_restart(true).await;
    }

    #[tokio::test]
    async fn a_session_that_is_not_there_was_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let (_server, _listening) = serve(folder.path(), 0).await;
        let connection = connect(folder.path()).await;
        let refused = follow::<BackupSession>(&connection, "default", "none", Printer::new(true)).await.unwrap_err();
        assert!(refused.error.contains("backupsession none was deleted"), "{}", refused.error);
    }
}
