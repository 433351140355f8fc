//! A PostgreSQL server of a test binary's own, and the ways into it.

// Every test binary uses another part of it.
#![allow(dead_code)]
// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use coffer_addon::{Application, Artifact, Binding, Ends, Error, Report, TlsMode, testing};
use coffer_addon_postgres::Client;
use coffer_addon_postgres::client::Login;
use coffer_test_servers::{Auth, Postgres, PostgresOptions, PostgresVersion, Tls};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_util::compat::TokioAsyncReadCompatExt;

pub const PASSWORD: &str = "s3cret ünd ' \\";

/// Roles whose login is checked by the method they are named after; everyone else is trusted.
const HBA: &str = "\
host all by_scram 127.0.0.1/32 scram-sha-256
host all by_md5 127.0.0.1/32 md5
host all by_password 127.0.0.1/32 password
host all by_reject 127.0.0.1/32 reject
hostssl all by_tls 127.0.0.1/32 scram-sha-256
hostnossl all by_tls 127.0.0.1/32 reject
host all all 127.0.0.1/32 trust
";

pub struct Server {
    pub port: u16,
    /// The authority of its certificate for `localhost`, PEM.
    pub certificate: String,
    postgres: Postgres,
}

/// The binary's server, started once; none (and a loud line) where PostgreSQL can be had neither from `$COFFER_PG_BIN_17` nor
/// from packages.
pub fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let start = || match PostgresVersion::V17.programs() {
        Ok(_) => Some(Server::start(PostgresVersion::V17)),
        Err(error) => {
            coffer_test_servers::skipped(format_args!("no PostgreSQL: {error}"));
            None
        }
    };
    SERVER.get_or_init(start).as_ref()
}

impl Server {
    fn start(version: PostgresVersion) -> Server {
        let settings = [("max_connections", "150"), ("max_prepared_transactions", "4")];
        let options = PostgresOptions {
            auth: Auth::Trust,
            tls: Tls::Required,
            hba: HBA.into(),
            settings: settings.map(|(name, value)| (name.into(), value.into())).into(),
            ..PostgresOptions::default()
        };
        let postgres = Postgres::start(version, &options).expect("PostgreSQL starts");
        let certificate = postgres.authority().expect("it has TLS").certificate();
        let server = Server { port: postgres.port(), certificate, postgres };
        for method in ["scram", "md5", "password", "reject", "tls"] {
            let encryption = if method == "md5" { "md5" } else { "scram-sha-256" };
            let password = PASSWORD.replace('\'', "''");
            server.psql(
                "postgres",
                &format!(
                    "SET password_encryption = '{encryption}'; CREATE ROLE by_{method} LOGIN PASSWORD '{password}';"
                ),
            );
        }
        server
    }

    /// A client program of the server's version.
    pub fn tool(&self, name: &str) -> PathBuf {
        self.postgres.version().programs().expect("it runs").join(name)
    }

    /// Where the server is, for any of its client programs.
    pub fn args(&self, database: &str) -> Vec<String> {
        ["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres", "-d", database].map(String::from).to_vec()
    }

    /// Runs SQL by psql; gives what it printed, unaligned. Panics with its complaint.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.postgres.psql(database, sql).unwrap_or_else(|error| panic!("{error}")).trim_end().to_owned()
    }

    /// Runs a client program with the server's address; gives what it printed.
    pub fn run(&self, tool: &str, database: &str, args: &[&str]) -> String {
        let out = Command::new(self.tool(tool)).args(self.args(database)).args(args).output().expect("starts");
        assert!(out.status.success(), "{tool}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// An empty database of the test's own.
    pub fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"));
        name
    }

    /// The server as an addon sees it, bound to a database.
    pub fn application(&self, database: &str, user: &str, password: Option<&str>) -> Application {
        let binding = Binding {
            kind: "postgresql".into(),
            parameters: vec![("database".into(), database.into())],
            tls: TlsMode::Disable,
            ..Binding::default()
        };
        let mut credentials = vec![("username", user)];
        credentials.extend(password.map(|password| ("password", password)));
        let port = self.port;
        testing::application(binding, &credentials, move || async move {
            Ok(testing::connection(tokio::net::TcpStream::connect(("127.0.0.1", port)).await?.compat()))
        })
    }

    /// A session of the superuser.
    pub async fn client(&self, database: &str) -> Client {
        let application = self.application(database, "postgres", None);
        let login = Login::from_binding(&application, None).expect("login");
        Client::connect(&application, &login).await.expect("connected")
    }
}

/// A file beside the test, for fixtures.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

impl Server {
    /// A database with what is in `fixtures/shop.sql`.
    pub fn shop(&self) -> String {
        let database = self.database();
        let sql = std::fs::read_to_string(fixture("shop.sql")).expect("fixture");
        self.psql(&database, &sql);
        database
    }

    /// A database as pg_dump words it, to compare with another's: schema, rows, owners and privileges.
    pub fn text(&self, database: &str) -> String {
        let text = self.run("pg_dump", database, &["--no-sync"]);
        // \restrict has a random key.
        text.lines()
            .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// pg_dump's own dump in the directory format, as artifacts.
    pub fn stock_dump(&self, database: &str, args: &[&str]) -> Vec<testing::Written> {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("dump");
        let mut all = vec!["-Fd", "--no-sync", "-f", path.to_str().expect("UTF-8")];
        all.extend(args);
        self.run("pg_dump", database, &all);
        let mut artifacts: Vec<_> = std::fs::read_dir(&path)
            .expect("a directory")
            .map(|entry| {
                let entry = entry.expect("entry");
                let name = entry.file_name().into_string().expect("UTF-8");
                artifact(&name, Ok(std::fs::read(entry.path()).expect("readable")))
            })
            .collect();
        artifacts.sort_by_key(|written| (written.artifact.name != "toc.dat", written.artifact.name.clone()));
        artifacts
    }

    /// pg_restore of artifacts into an empty database.
    pub fn stock_restore(&self, database: &str, artifacts: &[testing::Written]) {
        let dir = tempfile::tempdir().expect("temp dir");
        for written in artifacts {
            std::fs::write(dir.path().join(&written.artifact.name), written.bytes.as_ref().expect("whole"))
                .expect("written");
        }
        self.run("pg_restore", database, &["--exit-on-error", "-j", "3", dir.path().to_str().expect("UTF-8")]);
    }

    /// Runs one of the addon's functions against a database, as the superuser.
    pub async fn call(
        &self,
        database: &str,
        function: &str,
        parameters: &str,
        inbox: Vec<testing::Written>,
    ) -> (Result<Report, Error>, Vec<testing::Written>) {
        let (outbox, written) = testing::outbox();
        let ends =
            Ends { application: self.application(database, "postgres", None), inbox: testing::inbox(inbox), outbox };
        let outcome = coffer_addon_postgres::addon().run(ends, function, parameters).await;
        (outcome, written.take())
    }
}

/// An artifact without labels.
pub fn artifact(name: &str, bytes: Result<Vec<u8>, Error>) -> testing::Written {
    testing::Written { artifact: Artifact { name: name.into(), labels: Vec::new() }, bytes }
}

/// A fact of a report.
pub fn fact<'a>(report: &'a Report, name: &str) -> &'a str {
    report
        .facts
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
        .unwrap_or_else(|| panic!("{report:?}"))
}
