//! `coffer serve`: the embedded control plane, the controllers, and the runs, in one process.

use crate::cli::Global;
use crate::failure::{Failure, OrFail, Result};
use crate::output::Printer;
use crate::paths::DataDir;
use clap::Args;
use coffer_apiserver::{Error, Listening, Server};
use coffer_controller::Options;
use coffer_runtime::{Runtime, RuntimeOptions};
use kube::config::Kubeconfig;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

// What may be uploaded is what can be run.
const _: () = assert!(coffer_apiserver::MAX_MODULE_BYTES == coffer_runtime::COMPONENT_BYTES as u64);

/// How long a server before us may take to let go of the data folder: the kernel closes the files of one that was killed after
/// whoever killed it went on, and later still when it was writing to a slow disk. One that is well never lets go, and whoever
/// started a second one by mistake should not wait for long to be told.
const LET_GO: Duration = Duration::from_secs(8);

const EXAMPLES: &str = "\
Examples:
  coffer serve
  coffer serve --data-dir /var/lib/coffer --listen 127.0.0.1:7443
  kubectl --kubeconfig ~/.local/share/coffer/kubeconfig get backupsessions -A";

/// Run the embedded control plane and its controllers
///
/// Keeps all objects in one file of the data folder, listens on loopback, and writes a kubeconfig into the data folder, by
/// which `coffer` and `kubectl` find it. Runs until SIGINT or SIGTERM; sessions that run then are cancelled and marked,
/// and tried again at the next start if their retry policy allows it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ServeArgs {
    /// Loopback address to listen on; port 0 takes a free one [default: 127.0.0.1, the port of the last time if it is free]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,

    /// How many sessions may run at once; others wait for their turn
    #[arg(long, value_name = "NUMBER", default_value = "4")]
    max_sessions: NonZeroUsize,
}

pub async fn run(global: &Global, args: ServeArgs, printer: Printer) -> Result<()> {
    let data_dir = DataDir::find(global)?;
    let mut terminate = signal(SignalKind::terminate()).or_fail(|| "unable to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).or_fail(|| "unable to listen for SIGINT")?;

    let opened = tokio::select! {
        opened = Server::open_within(&data_dir.0, LET_GO, |error| {
            printer.note(format_args!("waiting for up to {} s: {error}", LET_GO.as_secs()));
        }) => opened,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let server = opened.or_fail(|| "unable to start")?;
    let runtime = Runtime::new(RuntimeOptions { cache: data_dir.cache() }).or_fail(|| "unable to start")?;
    // The controllers first: a client that is served must not see a server which does not act.
    let stop = CancellationToken::new();
    let options = Options {
        client: server.client(),
        runtime,
        modules: server.modules().source(),
        max_sessions: args.max_sessions,
    };
    let mut controllers = tokio::spawn(coffer_controller::run(options, stop.clone()));
    let listening = listen(&server, args.listen, &data_dir).await.or_fail(|| "unable to start")?;
    printer.note(format_args!("listening on https://{}", listening.address()));
    printer.note(format_args!("kubeconfig: {}", listening.kubeconfig().display()));

    let ended = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        ended = &mut controllers => Some(ended),
    };
    if let Some(ended) = ended {
        // Nobody asked them to.
        let failure = Failure::new("the controllers stopped");
        return Err(match ended {
            Err(error) => failure.because(&error),
            Ok(()) => failure,
        });
    }
    printer.note("stopping: running sessions are cancelled and marked; once more to stop at once");
    stop.cancel();
    tokio::select! {
        _ = &mut controllers => {}
        _ = terminate.recv() => return Err(Failure::new("stopped at once; running sessions are marked at the next start")),
        _ = interrupt.recv() => return Err(Failure::new("stopped at once; running sessions are marked at the next start")),
    }
    listening.shutdown().await;
    printer.note("stopped");
    Ok(())
}

/// Where we were asked to, else where we were before: a client that follows a session, and a kubeconfig that was copied,
/// then survive a restart.
async fn listen(server: &Server, asked: Option<SocketAddr>, data_dir: &DataDir) -> Result<Listening, Error> {
    if let Some(address) = asked {
        return server.listen(address).await;
    }
    if let Some(before) = last_address(data_dir)
        && let Ok(listening) = server.listen(before).await
    {
        return Ok(listening);
    }
    server.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
}

fn last_address(data_dir: &DataDir) -> Option<SocketAddr> {
    let kubeconfig = Kubeconfig::read_from(data_dir.kubeconfig()).ok()?;
    let url = kubeconfig.clusters.into_iter().find_map(|cluster| cluster.cluster?.server)?;
    url.strip_prefix("https://")?.trim_end_matches('/').parse().ok()
}
