//! Who we are, as key files, locks and snapshots record it.

use std::env;

pub(crate) struct Identity {
    pub(crate) hostname: String,
    pub(crate) username: String,
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

pub(crate) fn current() -> Identity {
    Identity {
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        username: env::var("USER").or_else(|_| env::var("LOGNAME")).unwrap_or_default(),
        pid: std::process::id(),
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
    }
}

/// Whether a process of this machine exists no more. Anything unclear counts as alive.
pub(crate) fn is_dead(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else { return false };
    rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
}
