//! Nodes to dump, and what a dump consists of.

// Every test binary uses another part of it.
#![allow(dead_code)]
// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

pub mod fake;

use coffer_addon::testing::{self, Written};
use coffer_addon::{Application, Binding, Ends, Error, Report, TlsMode};
use coffer_addon_elasticsearch::layout::{COUNTS, Counts, INDEX, Index};
use coffer_test_servers::search::Search;
use serde_json::Value;
use tokio_util::compat::TokioAsyncReadCompatExt;

pub fn binding() -> Binding {
    Binding {
        kind: "elasticsearch".into(),
        version: None,
        endpoints: vec!["default".into()],
        tls: TlsMode::Disable,
        parameters: Vec::new(),
    }
}

/// A node without TLS as an addon sees it.
pub fn application(server: &Search) -> Application {
    at(server.port())
}

/// Whatever answers on a loopback port.
pub fn at(port: u16) -> Application {
    testing::application(binding(), &[], move || async move {
        let tcp = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        tcp.set_nodelay(true)?;
        Ok(testing::connection(tcp.compat()))
    })
}

/// The same with Dashboards behind it, whose paths begin with `prefix`.
pub fn with_dashboards(port: u16, prefix: &str) -> Application {
    let binding = Binding {
        endpoints: vec!["default".into(), "dashboards".into()],
        parameters: vec![("dashboardsPath".into(), prefix.into())],
        ..binding()
    };
    testing::endpoints(binding, &[], move |_| async move {
        let tcp = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        Ok(testing::connection(tcp.compat()))
    })
}

/// What was dumped.
pub struct Dump {
    pub report: Report,
    pub files: Vec<Written>,
}

impl Dump {
    pub fn fact(&self, name: &str) -> &str {
        let found = self.report.facts.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        found.unwrap_or_else(|| panic!("no fact {name} in {:?}", self.report))
    }

    pub fn index(&self) -> Index {
        assert_eq!(self.files.first().expect("files").artifact.name, INDEX);
        serde_json::from_slice(self.bytes(INDEX)).expect("an index")
    }

    pub fn counts(&self) -> Counts {
        assert_eq!(self.files.last().expect("files").artifact.name, COUNTS);
        serde_json::from_slice(self.bytes(COUNTS)).expect("counts")
    }

    pub fn names(&self) -> Vec<&str> {
        self.files.iter().map(|file| file.artifact.name.as_str()).collect()
    }

    pub fn bytes(&self, name: &str) -> &[u8] {
        let file = self.files.iter().find(|file| file.artifact.name == name);
        file.unwrap_or_else(|| panic!("no file {name} in {:?}", self.names())).bytes.as_ref().expect("whole")
    }

    pub fn lines(&self, name: &str) -> Vec<&str> {
        std::str::from_utf8(self.bytes(name)).expect("text").lines().collect()
    }

    /// The files in a folder, as multielasticdump takes them.
    pub fn write(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for file in &self.files {
            if let Some((above, _)) = file.artifact.name.rsplit_once('/') {
                std::fs::create_dir_all(folder.path().join(above)).expect("a folder");
            }
            std::fs::write(folder.path().join(&file.artifact.name), file.bytes.as_ref().expect("whole"))
                .expect("written");
        }
        folder
    }
}

pub async fn dump_from(application: Application, parameters: &str) -> Result<Dump, Error> {
    let (outbox, written) = testing::outbox();
    let ends = Ends { application, inbox: testing::inbox([]), outbox };
    let report = coffer_addon_elasticsearch::addon().run(ends, "elasticsearch-dump", parameters).await?;
    Ok(Dump { report, files: written.take() })
}

pub async fn dump(server: &Search, parameters: &str) -> Result<Dump, Error> {
    dump_from(application(server), parameters).await
}

/// How many points in time and scrolls the node has open.
pub fn open_contexts(server: &Search) -> u64 {
    let stats = server.client().ask("GET", "/_nodes/stats/indices/search", &Value::Null).expect("stats");
    let nodes = stats["nodes"].as_object().expect("nodes");
    let open = |node: &Value| {
        let search = &node["indices"]["search"];
        search["open_contexts"].as_u64().unwrap_or(0)
            + search["scroll_current"].as_u64().unwrap_or(0)
            + search["point_in_time_current"].as_u64().unwrap_or(0)
    };
    nodes.values().map(open).sum()
}
