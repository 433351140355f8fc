//! Servers to restore into, and dumps to restore.

#![allow(dead_code, unused_imports)]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

pub mod fake;

use coffer_addon::testing::{self, Written};
use coffer_addon::{Application, Binding, Connection, Ends, Error, Report, TlsMode};
pub use coffer_test_components::dumped::{artifact, fact, files};
use coffer_test_servers::cache::run;
use coffer_test_servers::search::Search;
use tokio_util::compat::TokioAsyncReadCompatExt;

pub fn binding(kind: &str) -> Binding {
    Binding {
        kind: kind.into(),
        version: None,
        tls: TlsMode::Disable,
        endpoints: vec!["default".into()],
        parameters: Vec::new(),
    }
}

/// A server on a loopback port as an addon sees it.
pub fn application_at(port: u16) -> Application {
    testing::application(binding("elasticsearch"), &[], move || async move { connect(port).await })
}

async fn connect(port: u16) -> Result<Connection, Error> {
    let tcp = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    // As the host does: a request goes in pieces, which wait for nothing.
    tcp.set_nodelay(true)?;
    Ok(testing::connection(tcp.compat()))
}

pub async fn restore_at(port: u16, parameters: &str, files: Vec<Written>) -> Result<Report, Error> {
    let ends = Ends { application: application_at(port), inbox: testing::inbox(files), outbox: testing::outbox().0 };
    coffer_addon_elasticsearch::addon().run(ends, "elasticsearch-restore", parameters).await
}

/// One that has Dashboards, too.
pub async fn restore_with_dashboards(
    port: u16,
    dashboards: u16,
    parameters: &str,
    files: Vec<Written>,
) -> Result<Report, Error> {
    let mut binding = binding("elasticsearch");
    binding.endpoints.push("dashboards".into());
    let application = testing::endpoints(binding, &[], move |name| {
        let port = if name == Some("dashboards") { dashboards } else { port };
        connect(port)
    });
    let ends = Ends { application, inbox: testing::inbox(files), outbox: testing::outbox().0 };
    coffer_addon_elasticsearch::addon().run(ends, "elasticsearch-restore", parameters).await
}

pub async fn restore(server: &Search, parameters: &str, files: Vec<Written>) -> Result<Report, Error> {
    restore_at(server.port(), parameters, files).await
}

/// What stock multielasticdump makes of the sample.
pub fn multielasticdump(server: &Search) -> Vec<Written> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = server.tool("multielasticdump").expect("multielasticdump");
    let streams = if server.version().abilities().data_streams { "alias,datastream" } else { "alias" };
    command
        .args([
            "--direction=dump",
            "--match=^shop",
            "--limit=1000",
            "--interval=50",
            "--ignoreChildError=true",
            "--support-big-int=true",
        ])
        .args(["--includeType=data,mapping,settings,alias,template", &format!("--matchType={streams}")])
        .arg(format!("--input={}", server.url()))
        .arg(format!("--output={}", folder.path().display()));
    run(&mut command).expect("multielasticdump");
    files(folder.path())
}
