//! An S3 server that checks signatures: s3s-fs, which keeps buckets as folders and objects as files.
//!
//! Of what could be had it is the lightest that refuses a wrong key: one small binary, started in milliseconds. It is
//! built once by `cargo install` (about 100 CPU-seconds) and kept in the cache.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cache::{self, run, say, tail};
use crate::error::{AtPath, Error, Result};
use crate::process::{Process, free_port, listens, temporary_folder, wait_until};
use crate::tools::overridden;

/// 0.15 and later want a newer Rust than this workspace.
const VERSION: &str = "0.14.1";

#[derive(Debug)]
pub struct S3 {
    port: u16,
    folder: PathBuf,
    program: PathBuf,
    process: Option<Process>,
}

impl S3 {
    pub const ACCESS_KEY: &str = "COFFERTESTACCESSKEY";
    pub const SECRET_KEY: &str = "coffer-test-secret-key-f3a9";
    pub const REGION: &str = "us-east-1";
    /// The bucket that is there from the start.
    pub const BUCKET: &str = "backups";

    pub fn start() -> Result<Self> {
        let program = program()?;
        let folder = temporary_folder("coffer-s3-")?;
        let bucket = folder.join("objects").join(Self::BUCKET);
        fs::create_dir_all(&bucket).at(bucket)?;
        let mut server = Self { port: free_port()?, folder, program, process: None };
        server.start_again()?;
        Ok(server)
    }

    /// `http://127.0.0.1:PORT`, for path-style requests.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The folder of [`Self::BUCKET`], to look at or to damage.
    pub fn bucket_folder(&self) -> PathBuf {
        self.folder.join("objects").join(Self::BUCKET)
    }

    /// What `restic` and other S3 clients read the keys from.
    pub fn environment(&self) -> [(&'static str, &'static str); 3] {
        [
            ("AWS_ACCESS_KEY_ID", Self::ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", Self::SECRET_KEY),
            ("AWS_DEFAULT_REGION", Self::REGION),
        ]
    }

    /// Kills the server; its objects stay for [`Self::start_again`].
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Brings it back on the same port with the same objects.
    pub fn start_again(&mut self) -> Result<()> {
        self.kill9();
        let log = self.folder.join("log");
        let output = fs::File::options().create(true).append(true).open(&log).at(&log)?;
        let mut command = Command::new(&self.program);
        command
            .args(["--host", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--access-key", Self::ACCESS_KEY, "--secret-key", Self::SECRET_KEY])
            .arg(self.folder.join("objects"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().at(&log)?)
            .stderr(output);
        let mut process = Process::start(&mut command, Some(&self.folder))?;
        if !wait_until(&mut process, Duration::from_secs(30), || listens(self.port)) {
            let text = fs::read_to_string(&log).unwrap_or_default();
            return Err(Error::NotReady { what: "the S3 server".into(), log: tail(&text, 2000) });
        }
        self.process = Some(process);
        Ok(())
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        // Killed and not started again: no watchdog is left to remove the folder.
        if self.process.is_none() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The s3s-fs program: `$COFFER_S3S_FS`, else built once.
pub fn program() -> Result<PathBuf> {
    if let Some(own) = overridden("COFFER_S3S_FS", "")? {
        return Ok(own);
    }
    let folder = cache::entry("s3s-fs", VERSION, install)?;
    Ok(folder.join("bin/s3s-fs"))
}

fn install(folder: &Path) -> Result<()> {
    say(format_args!("building s3s-fs {VERSION}, an S3 server, into {} (once; a minute or two)", folder.display()));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let built = run(Command::new(cargo)
        .args([
            "install",
            "--quiet",
            "--locked",
            "--debug",
            "--features",
            "binary",
            "s3s-fs",
            "--version",
            VERSION,
            "--root",
        ])
        .arg(folder)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        // Fast to build, and fast enough at hashing what it receives.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env_remove("RUSTFLAGS")
        .current_dir(folder));
    let target = folder.join("target");
    if target.exists() {
        fs::remove_dir_all(&target).at(target)?;
    }
    built.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools;

    fn restic(server: &S3, secret: &str, arguments: &[&str]) -> Result<Vec<u8>> {
        let repository = format!("s3:{}/{}/some/where", server.endpoint(), S3::BUCKET);
        run(Command::new(tools::restic()?)
            .args(["--quiet", "--no-cache", "--repo", &repository])
            .args(arguments)
            .envs(server.environment())
            .env("AWS_SECRET_ACCESS_KEY", secret)
            .env("RESTIC_PASSWORD", "x"))
    }

    #[test]
    fn objects_survive_a_kill_and_a_wrong_key_is_refused() {
        let mut server = S3::start().unwrap();
        restic(&server, S3::SECRET_KEY, &["init"]).unwrap();
        server.kill9();
        assert!(!listens(server.port));
        server.start_again().unwrap();
        restic(&server, S3::SECRET_KEY, &["snapshots"]).unwrap();
        assert!(server.bucket_folder().join("some/where/config").is_file());
        let refused = restic(&server, "wrong", &["snapshots"]).unwrap_err().to_string();
        assert!(refused.contains("Access Denied"), "{refused}");
    }
}
