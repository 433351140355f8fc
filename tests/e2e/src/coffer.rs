//! A `coffer serve` of its own, and commands run against it.

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use coffer_test_servers::process::{Process, wait_until};
use serde_json::Value;
use tempfile::TempDir;

use crate::programs;

/// No command of these tests takes this long unless it hangs: a store that went away is waited for for five minutes.
const PATIENCE: Duration = Duration::from_secs(480);

/// Nothing that is printed or logged may hold a secret that the test has named: every output is searched for them.
pub struct Coffer {
    folder: TempDir,
    serve: Option<Process>,
    secrets: RefCell<Vec<String>>,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Output {
    pub command: String,
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Coffer {
    /// Starts a server with a data folder of its own.
    pub fn start() -> Self {
        let mut coffer = Self::without_server();
        coffer.start_again();
        coffer
    }

    /// Only the commands: no server runs.
    pub fn without_server() -> Self {
        let folder = tempfile::Builder::new().prefix("coffer-e2e-").tempdir().unwrap();
        Self { folder, serve: None, secrets: RefCell::default() }
    }

    /// The program itself.
    pub fn program() -> &'static Path {
        programs::coffer()
    }

    /// A place for the test's own files, gone when this is dropped.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.data().join("kubeconfig")
    }

    /// From now on this must not appear in any output.
    pub fn keep_secret(&self, secret: &str) {
        self.secrets.borrow_mut().push(secret.to_owned());
    }

    /// Starts the server, also again with what the one before left.
    pub fn start_again(&mut self) {
        self.start_by(Command::new(programs::coffer()));
    }

    /// The same by a command that runs what it is given after its own arguments.
    pub fn start_by(&mut self, mut command: Command) {
        assert!(self.serve.is_none(), "it runs already");
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        command.args(["serve", "--data-dir"]).arg(self.data()).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let _ = fs::remove_file(self.kubeconfig());
        // The folder goes with the server also when this test is killed; dropped in order, it is gone already.
        let mut serve = Process::start(&mut command, Some(self.folder.path())).unwrap();
        let is_up = wait_until(&mut serve, Duration::from_secs(60), || {
            self.kubeconfig().exists() && self.run(&["get", "addons"]).success
        });
        assert!(is_up, "coffer serve did not come up:\n{}", self.log());
        self.serve = Some(serve);
    }

    /// As `kill -9` does.
    pub fn kill9(&mut self) {
        self.serve.take().expect("it runs").kill();
    }

    /// Whether the server still runs.
    pub fn serves(&mut self) -> bool {
        self.serve.as_mut().is_some_and(|serve| serve.ended().is_none()) && self.run(&["get", "addons"]).success
    }

    /// The largest resident size that the server has had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.serve.as_ref().expect("it runs").id());
        let status = fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let files = tempfile::Builder::new().prefix("output-").tempdir_in(self.folder()).unwrap();
        let (stdout, stderr) = (files.path().join("stdout"), files.path().join("stderr"));
        let mut command = Command::new(programs::coffer());
        command.arg("--data-dir").arg(self.data()).args(arguments).current_dir(self.folder()).stdin(Stdio::null());
        command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
        command.env_remove("COFFER_KUBECONFIG").env_remove("COFFER_DATA_DIR").env_remove("RUST_LOG");
        let mut process = Process::start(&mut command, None).unwrap();
        let ended = process.wait(PATIENCE);
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        let output = Output {
            command: format!("coffer {}", arguments.join(" ")),
            success: ended.is_some_and(|status| status.success()),
            stdout: read(stdout),
            stderr: read(stderr),
        };
        assert!(ended.is_some(), "{} did not end:\n{output}\nserver:\n{}", output.command, self.log());
        self.must_hold_no_secret(&output.command, &format!("{output}"));
        output
    }

    /// Runs a command that must succeed; returns what it printed to stdout.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.success, "{} failed:\n{output}\nserver:\n{}", output.command, self.log());
        output.stdout
    }

    /// Runs a command that must fail as a well-behaved one does: with an error on stderr, not with a crash.
    pub fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.success, "{} succeeded:\n{output}", output.command);
        assert!(output.stderr.contains("error:"), "{} says no error:\n{output}", output.command);
        assert!(!has_panicked(&output.stderr), "{} panicked:\n{output}", output.command);
        output.stderr
    }

    /// Runs a command with `--output json`; returns what it printed.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let text = self.ok(&[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in the output of {arguments:?}:\n{text}"))
    }

    /// Applies manifests that must be right.
    pub fn apply(&self, manifests: &[String]) {
        let file = self.manifest_file(manifests);
        self.ok(&["apply", "-f", &file]);
    }

    /// Writes manifests to a file, for an `apply` that fails.
    pub fn manifest_file(&self, manifests: &[String]) -> String {
        let file = self.folder().join("manifest.yaml");
        fs::write(&file, manifests.join("---\n")).unwrap();
        file.display().to_string()
    }

    /// Asks until the answer is yes.
    pub fn wait_for(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert!(start.elapsed() < PATIENCE, "never {what}; server:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.folder().join("serve.log")
    }

    fn must_hold_no_secret(&self, what: &str, text: &str) {
        for secret in self.secrets.borrow().iter() {
            assert!(!text.contains(secret.as_str()), "{what} prints the secret {secret}:\n{text}");
        }
    }
}

impl Drop for Coffer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.must_hold_no_secret("the server's log", &self.log());
        assert!(!has_panicked(&self.log()), "the server panicked:\n{}", self.log());
    }
}

/// Whether Coffer itself panicked. An addon's last words may tell of a panic too, but not at the start of a line.
fn has_panicked(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("thread '") && line.contains("panicked at"))
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.stdout, self.stderr)
    }
}
