//! What `cargo test` prints, kept as it passes by.

use std::io::{BufRead, BufReader, Read};

use crate::shell::say;

/// A test that cannot run here prints a line that starts so, past the harness's capture.
const SKIPPED: &str = "SKIPPED:";

/// What the test programs printed about themselves.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub passed: u64,
    pub failed: u64,
    pub ignored: u64,
    pub skipped: Vec<String>,
    pub failures: Vec<Failure>,
    /// Failed tests of the target that is running.
    running: Vec<String>,
}

/// A target that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// As cargo's arguments: `-p some --test it`.
    pub target: String,
    /// By name; none where the program ended otherwise.
    pub tests: Vec<String>,
}

impl Seen {
    pub fn line(&mut self, line: &str) {
        if let Some(at) = line.find(SKIPPED) {
            self.skipped.extend(line.get(at..).map(str::to_owned));
        }
        if let Some(test) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.running.push(test.to_owned());
        }
        if let Some(target) = line.strip_prefix("error: test failed, to rerun pass `") {
            let target = target.trim_end_matches('`').to_owned();
            self.failures.push(Failure { target, tests: std::mem::take(&mut self.running) });
        }
        // test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 5.38s
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let count = |what: &str| {
            let part = result.split([';', '.']).find_map(|part| part.trim().strip_suffix(what));
            part.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        self.passed += count("passed");
        self.failed += count("failed");
        self.ignored += count("ignored");
    }
}

/// Prints every line as it comes and takes note of it.
pub(super) fn pass_on(pipe: impl Read) -> Seen {
    let mut seen = Seen::default();
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches('\n');
        say(text);
        seen.line(text);
        line.clear();
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up_and_skipped_tests_are_kept() {
        let mut seen = Seen::default();
        seen.line("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 5.38s");
        seen.line("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s");
        seen.line("test one ... SKIPPED: no user namespaces here");
        assert_eq!((seen.passed, seen.failed, seen.ignored), (15, 2, 1));
        assert_eq!(seen.skipped, ["SKIPPED: no user namespaces here"]);
    }
}
