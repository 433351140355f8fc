//! A server as a child process that cannot outlive its owner.
//!
//! Dropping a [`Process`] kills it, and so does the owner's death by any cause, kill -9 included: a watchdog, a shell
//! that waits on a pipe which only the owner holds, sees the pipe close, kills the process with its group and its
//! children (PostgreSQL's backends leave the group) and removes the temporary folder. A parent-death signal would not
//! do: it fires when the *thread* that started the child ends, and tests are threads.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::error::{AtPath, Error, Result};

/// Where [`free_port`] looks: clear of the well-known ones and, as Linux comes (`net.ipv4.ip_local_port_range`), of those
/// that it gives away itself.
const PORTS: Range<u16> = 12_000..32_000;

/// Keeps processes that run side by side apart; a prime that does not divide the range.
const PORTS_OF_A_PROCESS: u32 = 211;

/// The folder is removed unless the owner said `keep` before it let go of the pipe.
const WATCHDOG: &str = r#"
read -r word
children=$(cat "/proc/$1/task/$1/children" 2>/dev/null)
kill -s KILL -- "-$1" $children 2>/dev/null
if [ -n "$2" ] && [ "$word" != keep ]; then rm -rf -- "$2"; fi
"#;

#[derive(Debug)]
pub struct Process {
    child: Child,
    watchdog: Child,
    /// Closed to make the watchdog act.
    lifeline: Option<ChildStdin>,
}

impl Process {
    /// Starts `command` in a process group of its own; `folder` goes when the process goes.
    pub fn start(command: &mut Command, folder: Option<&Path>) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |source| Error::Spawn { program: program.clone(), source };
        let child = command.process_group(0).spawn().map_err(failed)?;
        let mut watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", &child.id().to_string()])
            .arg(folder.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let lifeline = watchdog.stdin.take();
        Ok(Self { child, watchdog, lifeline })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The pipes, where the command asked for them.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits for it to end by itself, at most so long.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            match self.ended() {
                Some(status) => return Some(status),
                None if start.elapsed() > limit => return None,
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Kills it as `kill -9` does, with all its children, and leaves its folder for another start.
    pub fn kill(mut self) {
        if let Some(lifeline) = &mut self.lifeline {
            // The watchdog may be gone already; then there is nobody to tell.
            let _ = lifeline.write_all(b"keep\n");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // The child is reaped only after the watchdog has acted: until then nobody else can have its process id.
        let _ = self.watchdog.wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback port that was free a moment ago, for a server that takes seconds to bind it.
///
/// It lies below those that the kernel gives to connections and to whoever asks for any port: one of those may be somebody
/// else's by the time the server comes, and a probe that knocks at it can be connected to itself. Never the same twice in
/// a process.
pub fn free_port() -> Result<u16> {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let own = std::process::id().wrapping_mul(PORTS_OF_A_PROCESS);
    loop {
        let number = TAKEN.fetch_add(1, Ordering::Relaxed);
        let count = u32::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(own.wrapping_add(number) % count).unwrap_or_default();
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) if number < count && error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => return Err(error).at(format!("127.0.0.1:{port}")),
        }
    }
}

/// How a process fares, by its id: its state as `ps` has it, and the signal or the code of one that has ended and that its
/// owner has not asked yet.
pub(crate) fn state(id: u32) -> String {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{id}/stat")) else {
        return format!("process {id} is gone");
    };
    // proc_pid_stat(5): the name in parentheses may hold anything, the state follows it, `exit_code` is the last field.
    let mut fields = stat.rsplit(") ").next().unwrap_or_default().split_whitespace();
    let (state, ended) = (fields.next().unwrap_or_default(), fields.last().unwrap_or_default());
    match (state, ended.parse::<i32>()) {
        ("Z" | "X", Ok(ended)) if ended & 0x7f != 0 => format!("process {id} was ended by signal {}", ended & 0x7f),
        ("Z" | "X", Ok(ended)) => format!("process {id} has ended with code {}", ended >> 8),
        _ => format!("process {id} is there (state {state})"),
    }
}

/// Whether somebody listens on a loopback port.
pub fn listens(port: u16) -> bool {
    TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), Duration::from_secs(1)).is_ok()
}

/// Waits until `ready`, as long as the process lives and at most so long.
pub fn wait_until(process: &mut Process, limit: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < limit {
        if ready() {
            return true;
        }
        if process.ended().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// A temporary folder that its [`Process`] removes.
pub(crate) fn temporary_folder(prefix: &str) -> Result<PathBuf> {
    let folder = tempfile::Builder::new().prefix(prefix).tempdir().at(std::env::temp_dir())?;
    Ok(folder.keep())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_alive(process: &str) -> bool {
        Path::new("/proc").join(process).join("exe").canonicalize().is_ok()
    }

    #[test]
    fn dropping_kills_the_group_and_children_that_left_it_and_removes_the_folder() {
        let folder = temporary_folder("coffer-process-").unwrap();
        let script =
            "setsid sleep 600 & echo $! > $0/child; sleep 600 & echo $! >> $0/child; mv $0/child $0/children; wait";
        let mut process = Process::start(Command::new("sh").args(["-c", script]).arg(&folder), Some(&folder)).unwrap();
        let children = folder.join("children");
        assert!(wait_until(&mut process, Duration::from_secs(20), || children.exists()));
        let children = std::fs::read_to_string(children).unwrap();
        assert!(children.lines().all(is_alive), "they run at first");
        drop(process);
        assert!(!folder.exists());
        // SIGKILL has been sent; the kernel may take a moment.
        let gone = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            !children.lines().any(is_alive)
        });
        assert!(gone, "a child survived: {children}");
    }

    #[test]
    fn ports_are_free_and_never_the_same() {
        let ports: std::collections::BTreeSet<u16> = (0..50).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| PORTS.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok()));
    }

    #[test]
    fn how_a_process_ended_is_told() {
        let start = |script: &str| Process::start(Command::new("sh").args(["-c", script]), None).unwrap();
        let ended = |process: &Process| {
            let told = || state(process.id());
            (0..500).map(|_| told()).find(|told| {
                std::thread::sleep(Duration::from_millis(10));
                told.contains("ended")
            })
        };
        let (killed, left, alive) = (start("kill -9 $$"), start("exit 3"), start("sleep 600"));
        assert_eq!(ended(&killed), Some(format!("process {} was ended by signal 9", killed.id())));
        assert_eq!(ended(&left), Some(format!("process {} has ended with code 3", left.id())));
        assert!(state(alive.id()).contains("is there"));
        assert_eq!(state(0), "process 0 is gone");
    }

    #[test]
    fn killing_keeps_the_folder() {
        let folder = temporary_folder("coffer-process-").unwrap();
        Process::start(Command::new("sleep").arg("600"), Some(&folder)).unwrap().kill();
        assert!(folder.exists());
        std::fs::remove_dir(folder).unwrap();
    }
}
