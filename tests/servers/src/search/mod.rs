//! OpenSearch and Elasticsearch, a node each, with a small client.
//!
//! ```no_run
//! use coffer_test_servers::search::{Search, SearchOptions, SearchVersion, sample};
//! use serde_json::json;
//! let server = Search::start(SearchVersion::OpenSearch38, &SearchOptions::default())?;
//! let (status, _) = server.client().put("/users/_doc/1?refresh=true", &json!({ "name": "Ada" }))?;
//! assert_eq!(status, 201);
//! sample::create(&server, 10_000)?;
//! # Ok::<(), coffer_test_servers::Error>(())
//! ```
//!
//! A secured version speaks HTTPS with a certificate of [`Search::authority`] and knows [`Search::USER`]; the others
//! speak HTTP to anybody. What a version lacks is in [`Abilities`].

pub mod compare;
mod documents;
mod http;
mod install;
mod java;
pub mod sample;
mod version;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

pub use http::Client;
use http::Node;
pub use version::{Abilities, SearchVersion};

use crate::cache::tail;
use crate::certs::{Authority, Identity};
use crate::error::{AtPath, Error, Result};
use crate::process::{Process, free_port, temporary_folder, wait_until};
use crate::tools;

/// A machine that is busy with compiling needs a minute.
const START_LIMIT: Duration = Duration::from_secs(240);

/// Another process may take a port between our look and the server's start.
const TRIES: usize = 3;

/// What the log goes to: standard output, and so a file of ours.
const LOGGING: &str = "status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d][%p][%c{1.}] %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
";

#[derive(Debug, Clone)]
pub struct SearchOptions {
    /// The password of [`Search::USER`], where the version knows users.
    pub password: String,
    /// The names in the server's certificate.
    pub server_names: Vec<String>,
    /// The heap, in MiB.
    pub heap: u32,
    /// Settings of the node beside the harness's own, e.g. `("search.max_open_scroll_context", "5")`.
    pub settings: Vec<(String, String)>,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self {
            password: "search-pässwörd/%-9d2c".into(),
            server_names: vec!["localhost".into(), "127.0.0.1".into()],
            heap: 512,
            settings: Vec::new(),
        }
    }
}

/// A running node, a cluster of its own.
pub struct Search {
    version: SearchVersion,
    programs: PathBuf,
    java: PathBuf,
    options: SearchOptions,
    folder: PathBuf,
    port: u16,
    transport_port: u16,
    authority: Option<Authority>,
    process: Option<Process>,
}

impl Search {
    /// With all privileges and the password of the options.
    pub const USER: &str = "coffer";

    pub fn start(version: SearchVersion, options: &SearchOptions) -> Result<Self> {
        let mut server = Self {
            version,
            programs: version.programs()?,
            java: version.java().home()?.join("bin/java"),
            options: options.clone(),
            folder: temporary_folder("coffer-search-")?,
            port: 0,
            transport_port: 0,
            authority: None,
            process: None,
        };
        if version.is_secured() {
            server.authority = Some(Authority::new()?);
        }
        server.write_files()?;
        server.start_again()?;
        Ok(server)
    }

    pub fn version(&self) -> SearchVersion {
        self.version
    }

    /// On 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// The address for an AppBinding: no user, no password.
    pub fn url(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Who may do everything, where the version knows users.
    pub fn user(&self) -> Option<&'static str> {
        self.version.is_secured().then_some(Self::USER)
    }

    pub fn password(&self) -> Option<&str> {
        self.version.is_secured().then_some(self.options.password.as_str())
    }

    /// Who signed the server's certificate, where it has one.
    pub fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    /// Where the node keeps data, log and configuration.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the server has said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// A client with all privileges.
    pub fn client(&self) -> Client {
        let client = self.anonymous();
        if self.version.is_secured() { client.with_login(Self::USER, &self.options.password) } else { client }
    }

    /// A client that trusts the server and says nothing of itself.
    pub fn anonymous(&self) -> Client {
        let node = self.process_id().map(|process| Node { process, folder: self.folder.clone() });
        let client = Client::new(self.port, node);
        match &self.authority {
            // An authority's own certificate is one.
            Some(authority) => client.clone().with_authority(&authority.certificate()).unwrap_or(client),
            None => client,
        }
    }

    /// Stock `elasticdump` or `multielasticdump`, set to trust this server and with all privileges on it; the address is
    /// [`Self::url`]. A password in an address it would decode twice.
    pub fn tool(&self, program: &str) -> Result<Command> {
        let mut command = tools::elasticdump(program)?;
        if self.authority.is_some() {
            command.env("NODE_EXTRA_CA_CERTS", self.folder.join("config/ca.crt"));
        }
        if let Some(authorization) = self.client().authorization() {
            command.arg(format!("--headers={}", json!({ "Authorization": authorization })));
        }
        Ok(command)
    }

    /// Kills the node at once; the data stays for [`Self::start_again`].
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Brings the node back with the same data, on the same port if it can.
    pub fn start_again(&mut self) -> Result<()> {
        self.kill9();
        let mut log = String::new();
        for _ in 0..TRIES {
            if self.port == 0 {
                self.port = free_port()?;
                self.transport_port = free_port()?;
            }
            log = match self.launch()? {
                None => return Ok(()),
                Some(log) => log,
            };
            if !log.contains("Failed to bind") && !log.contains("Address already in use") {
                break;
            }
            self.port = 0;
        }
        Err(Error::NotReady { what: self.version.name().into(), log })
    }

    /// The end of the node's log when it does not come up.
    fn launch(&mut self) -> Result<Option<String>> {
        let log = self.folder.join("log");
        let output = fs::File::options().create(true).append(true).open(&log).at(&log)?;
        let mut command = Command::new(&self.java);
        command.args(self.arguments()).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(output.try_clone().at(&log)?).stderr(output);
        let mut process = Process::start(&mut command, Some(&self.folder))?;
        let mut error = String::new();
        let is_ready = || match self.is_ready() {
            Ok(()) => true,
            Err(failed) => {
                error = failed.to_string();
                false
            }
        };
        if wait_until(&mut process, START_LIMIT, is_ready) {
            self.process = Some(process);
            return Ok(None);
        }
        process.kill();
        Ok(Some(format!("{}\n{error}", tail(&self.log(), 4000))))
    }

    /// Whether every index can be read, by the user of the options; who is created where the node does not know them yet.
    fn is_ready(&self) -> Result<()> {
        let health = "/_cluster/health?wait_for_status=yellow&timeout=1s";
        match self.client().get(health)? {
            (200, _) => return Ok(()),
            (401, _) if self.version == SearchVersion::OpenSearch34Secured => {}
            (status, answer) => return Err(Error::Different(format!("its health: {status} {answer:.500}"))),
        }
        // What the plugin's own configuration says at first.
        let first = self.anonymous().with_login("admin", "admin");
        first.ask("GET", health, &Value::Null)?;
        let user = json!({ "password": self.options.password, "backend_roles": ["admin"] });
        first.ask("PUT", &format!("/_plugins/_security/api/internalusers/{}", Self::USER), &user)?;
        self.client().ask("GET", health, &Value::Null).map(drop)
    }

    fn arguments(&self) -> Vec<String> {
        let file = |path: &str| self.folder.join(path).display().to_string();
        let jars = |folder: &str| self.programs.join(folder).display().to_string();
        let version = self.version;
        let heap = self.options.heap;
        let mut arguments = vec![
            format!("-Xms{heap}m"),
            format!("-Xmx{heap}m"),
            // The quick compiler alone: a node lives for seconds and shares its processors with the test.
            "-XX:TieredStopAtLevel=1".into(),
            "-XX:+UseSerialGC".into(),
            "-XX:-UsePerfData".into(),
            format!("-Djava.io.tmpdir={}", file("tmp")),
            format!("-Dlog4j2.configurationFile={}", file("config/log4j2.properties")),
            // The same for the log4j of Elasticsearch 7.
            format!("-Dlog4j.configurationFile={}", file("config/log4j2.properties")),
        ];
        if version.main_class() != "OldNode" {
            arguments
                .extend(["--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"].map(Into::into));
        }
        if version.main_class() != "NewNode" {
            arguments.push(format!("-Dplugins={}", version.modules().join(",")));
        }
        let security = jars("security");
        arguments.extend([
            "-cp".into(),
            format!("{}:{}/*:{security}:{security}/*", jars("node"), jars("lib")),
            version.main_class().to_owned(),
        ]);
        let settings = [
            ("path.home", file("")),
            ("path.repo", file("snapshots")),
            ("cluster.name", "coffer-test".into()),
            ("node.name", "node".into()),
            ("discovery.type", "single-node".into()),
            ("network.host", "127.0.0.1".into()),
            ("http.port", self.port.to_string()),
            ("transport.port", self.transport_port.to_string()),
            // A test's data is small, and a full disk is its owner's business.
            ("cluster.routing.allocation.disk.threshold_enabled", "false".into()),
        ];
        arguments.extend(settings.map(|(name, value)| format!("{name}={}", value.trim_end_matches('/'))));
        arguments.extend(self.version_settings().iter().map(|(name, value)| format!("{name}={value}")));
        arguments.extend(self.options.settings.iter().map(|(name, value)| format!("{name}={value}")));
        arguments
    }

    fn version_settings(&self) -> &'static [(&'static str, &'static str)] {
        match self.version {
            SearchVersion::OpenSearch34Secured => &[
                ("plugins.security.ssl.transport.pemcert_filepath", "server.crt"),
                ("plugins.security.ssl.transport.pemkey_filepath", "server.key"),
                ("plugins.security.ssl.transport.pemtrustedcas_filepath", "ca.crt"),
                ("plugins.security.ssl.transport.enforce_hostname_verification", "false"),
                ("plugins.security.ssl.http.enabled", "true"),
                ("plugins.security.ssl.http.pemcert_filepath", "server.crt"),
                ("plugins.security.ssl.http.pemkey_filepath", "server.key"),
                ("plugins.security.ssl.http.pemtrustedcas_filepath", "ca.crt"),
                ("plugins.security.allow_default_init_securityindex", "true"),
                ("plugins.security.nodes_dn", "CN=Coffer test server"),
                ("plugins.security.restapi.roles_enabled", "all_access"),
            ],
            SearchVersion::Elasticsearch95Secured => &[
                ("xpack.security.enabled", "true"),
                ("xpack.security.authc.api_key.enabled", "true"),
                ("xpack.security.http.ssl.enabled", "true"),
                ("xpack.security.http.ssl.certificate", "server.crt"),
                ("xpack.security.http.ssl.key", "server.key"),
                ("xpack.security.http.ssl.certificate_authorities", "ca.crt"),
            ],
            SearchVersion::OpenSearch38 | SearchVersion::Elasticsearch710 | SearchVersion::Elasticsearch717 => {
                &[("http.type", "netty4"), ("transport.type", "netty4")]
            }
            SearchVersion::Elasticsearch819 | SearchVersion::Elasticsearch95 => &[],
        }
    }

    fn write_files(&self) -> Result<()> {
        let config = self.folder.join("config");
        for path in [&config, &self.folder.join("tmp")] {
            fs::create_dir(path).at(path)?;
        }
        let mut files = vec![("log4j2.properties", LOGGING.to_owned())];
        if let Some(authority) = &self.authority {
            let names: Vec<&str> = self.options.server_names.iter().map(String::as_str).collect();
            let Identity { certificate, key } = authority.server(&names)?;
            files.extend([("ca.crt", authority.certificate()), ("server.crt", certificate), ("server.key", key)]);
        }
        if self.version == SearchVersion::Elasticsearch95Secured {
            files.push(("users", format!("{}:{}\n", Self::USER, hash(&self.options.password))));
            files.push(("users_roles", format!("superuser:{}\n", Self::USER)));
        }
        for (name, text) in files {
            let path = config.join(name);
            fs::write(&path, text).at(path)?;
        }
        if self.version.main_class() == "NewNode" {
            let modules = self.folder.join("modules");
            symlink(self.programs.join("modules"), &modules).at(modules)?;
        }
        if self.version == SearchVersion::OpenSearch34Secured {
            let (from, to) = (self.programs.join("security/config"), config.join("opensearch-security"));
            crate::cache::run(Command::new("cp").arg("-R").args([&from, &to]))?;
        }
        Ok(())
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        // Never started, or killed and not started again: no watchdog is left to remove the folder.
        if self.process.is_none() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// A password as Elasticsearch's file of users has it.
fn hash(password: &str) -> String {
    let salt = [0x5a; 32];
    let hash = pbkdf2::pbkdf2_hmac_array::<sha2::Sha512, 32>(password.as_bytes(), &salt, 10_000);
    format!("{{PBKDF2}}10000${}${}", STANDARD.encode(salt), STANDARD.encode(hash))
}
