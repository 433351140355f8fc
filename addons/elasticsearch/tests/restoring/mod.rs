//! Servers to restore into, and dumps to restore.

#![allow(dead_code)]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

pub mod fake;

use coffer_addon::testing::{self, Written};
use coffer_addon::{Application, Artifact, Binding, Connection, Ends, Error, Report, TlsMode};
use coffer_test_servers::cache::run;
use coffer_test_servers::search::Search;
use std::path::Path;
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

pub fn fact<'a>(report: &'a Report, name: &str) -> &'a str {
    let found = report.facts.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    found.unwrap_or_else(|| panic!("no fact {name} in {report:?}"))
}

pub fn artifact(name: &str, bytes: impl Into<Vec<u8>>) -> Written {
    Written { artifact: Artifact { name: name.into(), labels: Vec::new() }, bytes: Ok(bytes.into()) }
}

/// A folder's files in the order of their names, as a snapshot without a manifest has them.
pub fn files(folder: &Path) -> Vec<Written> {
    let mut entries: Vec<_> = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let read = |entry: &std::fs::DirEntry| {
        artifact(&entry.file_name().to_string_lossy(), std::fs::read(entry.path()).expect("read"))
    };
    entries.iter().map(read).collect()
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
