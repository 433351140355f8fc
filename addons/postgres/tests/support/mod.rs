//! A PostgreSQL server of a test binary's own, and the ways into it.

// Every test binary uses another part of it.
#![allow(dead_code)]
// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use coffer_addon::{Application, Artifact, Binding, Ends, Error, Report, TlsMode, testing};
use coffer_addon_postgres::Client;
use coffer_addon_postgres::client::Login;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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
    /// Its certificate for `localhost`, PEM; the authority is itself.
    pub certificate: String,
    bin: PathBuf,
    /// A shell that stops the server and removes its folder when this process is gone, however it went.
    _keeper: Child,
}

/// Where `postgres` and `initdb` are: `$COFFER_PG_BIN`, else the newest of Debian's.
fn bin() -> Option<PathBuf> {
    if let Some(dir) = std::env::var_os("COFFER_PG_BIN") {
        return Some(dir.into());
    }
    let mut found: Vec<PathBuf> =
        std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|e| e.path().join("bin")).collect();
    found.retain(|dir| dir.join("initdb").exists());
    found.sort();
    found.pop()
}

/// The binary's server, started once; none (and a loud line) where PostgreSQL is not installed.
pub fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let server = SERVER.get_or_init(|| bin().map(Server::start)).as_ref();
    if server.is_none() {
        eprintln!("SKIPPED: no PostgreSQL found; set COFFER_PG_BIN to a folder with initdb and postgres");
    }
    server
}

impl Server {
    fn start(bin: PathBuf) -> Server {
        let dir = tempfile::Builder::new().prefix("coffer-pg-").tempdir().expect("temp dir").keep();
        // The server refuses to run as root.
        let root = std::fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0).expect("proc");
        let mut prefix: Vec<&str> = Vec::new();
        let mut owner = None;
        if root {
            let id = |flag: &str| {
                let out = Command::new("id").args([flag, "nobody"]).output().expect("id");
                String::from_utf8_lossy(&out.stdout).trim().parse::<u32>().expect("an id")
            };
            let (user, group) = (id("-u"), id("-g"));
            chown(&dir, Some(user), Some(group)).expect("chown");
            owner = Some((user, group));
            prefix = vec!["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"];
        }
        let run = |args: &[&str]| {
            let line: Vec<&str> = prefix.iter().chain(args).copied().collect();
            let out = Command::new(line[0]).args(&line[1..]).current_dir(&dir).output().expect("starts");
            assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        };
        let data = dir.join("data");
        let data = data.to_str().expect("UTF-8");
        let initdb = bin.join("initdb");
        run(&[
            initdb.to_str().expect("UTF-8"),
            "-D",
            data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        let mut hba = std::fs::File::create(dir.join("data/pg_hba.conf")).expect("pg_hba.conf");
        hba.write_all(HBA.as_bytes()).expect("written");

        let certificate = rcgen::generate_simple_self_signed(["localhost".into()]).expect("certificate");
        std::fs::write(dir.join("server.crt"), certificate.cert.pem()).expect("written");
        let key = dir.join("server.key");
        std::fs::write(&key, certificate.signing_key.serialize_pem()).expect("written");
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("permissions");
        if let Some((user, group)) = owner {
            chown(&key, Some(user), Some(group)).expect("chown");
        }

        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let script = format!(
            "{prefix} {postgres} -D {data} -p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off \
             -c dynamic_shared_memory_type=mmap \
             -c ssl=on -c ssl_cert_file={dir}/server.crt -c ssl_key_file={dir}/server.key \
             -c max_connections=150 -c max_prepared_transactions=4 -c log_min_messages=panic 2>/dev/null >/dev/null & server=$!; \
             read _; kill -QUIT $server; wait $server; rm -rf {dir}",
            prefix = prefix.join(" "),
            postgres = bin.join("postgres").display(),
            dir = dir.display(),
        );
        let keeper = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().expect("sh");
        let server = Server { port, certificate: certificate.cert.pem(), bin, _keeper: keeper };
        server.await_ready();
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

    fn await_ready(&self) {
        for _ in 0..600 {
            // A server that starts accepts and says so by an error; `N` to a request for TLS is an answer of a ready postmaster.
            if let Ok(mut socket) = std::net::TcpStream::connect(("127.0.0.1", self.port)) {
                let mut answer = [0; 1];
                let asked =
                    socket.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).and_then(|()| socket.read_exact(&mut answer));
                if asked.is_ok()
                    && Command::new(self.tool("pg_isready"))
                        .args(self.args("postgres"))
                        .output()
                        .is_ok_and(|o| o.status.success())
                {
                    return;
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("PostgreSQL does not get ready on port {}", self.port);
    }

    /// A client program of the server's version.
    pub fn tool(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// Where the server is, for any of its client programs.
    pub fn args(&self, database: &str) -> Vec<String> {
        ["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres", "-d", database].map(String::from).to_vec()
    }

    /// Runs SQL by psql; gives what it printed, unaligned. Panics with its complaint.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let mut child = Command::new(self.tool("psql"))
            .args(self.args(database))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql");
        let mut stdin = child.stdin.take().expect("piped");
        let sql = sql.to_string();
        let writer = std::thread::spawn(move || stdin.write_all(sql.as_bytes()));
        let out = child.wait_with_output().expect("psql");
        let _ = writer.join();
        assert!(out.status.success(), "psql: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).expect("UTF-8").trim_end().to_string()
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
