//! What a piece of work costs: wall time, processor time, peak memory, read from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::shell::{Result, run as run_command};

/// A peak is read this often; the kernel itself keeps it for as long as the process lives.
const SAMPLE: Duration = Duration::from_millis(20);

/// `/proc` counts processor time in hundredths of a second, whatever the kernel's own clock.
const TICKS: f64 = 100.0;

#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    pub wall: f64,
    /// Processor seconds of the work itself.
    pub cpu: f64,
    /// Processor seconds of the database server meanwhile.
    pub server: f64,
    /// Peak resident memory in bytes, added up over the processes that ran at once.
    pub memory: u64,
}

/// Runs a command with all that it starts. `servers` are the processes of the database server, each with those below it.
pub fn command(command: &mut Command, servers: &[u32]) -> Result<Cost> {
    let own = std::process::id();
    let (mine, theirs) = (of_children(own), of_all(servers));
    let start = Instant::now();
    let done = AtomicBool::new(false);
    let (result, memory) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            // A watchdog of ours or a server is a child too, so only processes that are new count.
            let old = tree(own);
            let mut peaks = BTreeMap::new();
            while !done.load(Ordering::Relaxed) {
                // The database server may be a child of ours as well; its new backends are not the work's.
                let theirs: Vec<u32> = servers.iter().flat_map(|server| tree(*server)).collect();
                let is_new = |process: &u32| !old.contains(process) && !theirs.contains(process);
                for process in tree(own).into_iter().filter(is_new) {
                    peaks.insert(process, peak(process).max(peaks.get(&process).copied().unwrap_or(0)));
                }
                std::thread::sleep(SAMPLE);
            }
            peaks.values().sum::<u64>()
        });
        let result = run_command(command);
        done.store(true, Ordering::Relaxed);
        (result, sampler.join().unwrap_or_default())
    });
    result?;
    let wall = start.elapsed().as_secs_f64();
    Ok(Cost { wall, cpu: of_children(own) - mine, server: of_all(servers) - theirs, memory })
}

/// Runs a command that makes the process `worker` work: what both cost, and the worker's peak since it started.
pub fn worker(command_: &mut Command, worker: u32, servers: &[u32]) -> Result<Cost> {
    let before = of_tree(worker);
    let client = command(command_, servers)?;
    Ok(Cost { cpu: client.cpu + of_tree(worker) - before, memory: client.memory + peak(worker), ..client })
}

/// Processor seconds of a process, its living children and those it has waited for.
fn of_tree(process: u32) -> f64 {
    tree(process).into_iter().map(|process| ticks(process, 13..17)).sum::<u64>() as f64 / TICKS
}

fn of_all(processes: &[u32]) -> f64 {
    processes.iter().map(|process| of_tree(*process)).sum()
}

/// Processor seconds of the children that a process has waited for.
fn of_children(process: u32) -> f64 {
    ticks(process, 15..17) as f64 / TICKS
}

/// The fields of `/proc/<id>/stat`, counted from 0: utime, stime, cutime, cstime are 13 to 16.
fn ticks(process: u32, fields: std::ops::Range<usize>) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The second field is the program's name in brackets and may hold spaces.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let values = rest.split_whitespace().skip(fields.start - 2).take(fields.len());
    values.filter_map(|value| value.parse::<u64>().ok()).sum()
}

/// A process and all below it.
fn tree(process: u32) -> Vec<u32> {
    let mut found = vec![process];
    let mut next = 0;
    while let Some(process) = found.get(next).copied() {
        let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        next += 1;
    }
    found
}

/// Peak resident memory in bytes.
fn peak(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_child_is_measured() {
        let mut busy = Command::new("sh");
        busy.args(["-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; sleep 0.1"]);
        let cost = command(&mut busy, &[]).unwrap();
        assert!(cost.cpu > 0.0 && cost.wall > 0.1, "{cost:?}");
        assert!(cost.memory > 100_000, "{cost:?}");
    }

    /// The PostgreSQL below FerretDB once passed for 600 MB of ours.
    #[test]
    fn what_a_server_starts_meanwhile_is_not_counted() {
        let mut server = Command::new("sh").args(["-c", "while sleep 0.05; do :; done"]).spawn().unwrap();
        let costs = [&[][..], &[server.id()]].map(|servers| command(Command::new("sleep").arg("0.5"), servers));
        server.kill().unwrap();
        server.wait().unwrap();
        let [all, own] = costs.map(|cost| cost.unwrap().memory);
        assert!(own < all, "{own} of {all}");
    }
}
