//! Everything that CI needs, in the order in which it fails fastest.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use coffer_test_servers::{MongodbVersion, MysqlVersion, PostgresVersion, SearchVersion, mongodb, s3, tools};

use crate::shell::{Error, Result, cargo, heading, run as run_command, say, target_folder};
use crate::{addons, generate};

/// A test that cannot run here prints a line that starts so, past the harness's capture.
const SKIPPED: &str = "SKIPPED:";

pub fn run() -> Result<()> {
    let start = Instant::now();
    heading("format");
    run_command(cargo().args(["fmt", "--all", "--check"]))?;
    let wasm = addons::build()?;
    heading("lints");
    run_command(cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))?;
    // Builds the program that the end-to-end tests use.
    generate::run(&generate::Options { check: true })?;

    heading("servers and tools");
    let mut tests = cargo();
    tests.args(["test", "--workspace", "--no-fail-fast"]);
    for (variable, path) in [
        ("COFFER_PG_BIN_15", PostgresVersion::V15.programs()?),
        ("COFFER_PG_BIN_17", PostgresVersion::V17.programs()?),
        ("COFFER_RESTIC", tools::restic()?),
        ("COFFER_RESTIC_OLD", tools::restic_old()?),
        ("COFFER_KUBECTL", tools::kubectl()?),
        ("COFFER_S3S_FS", s3::program()?),
        ("COFFER_MYDUMPER", tools::mydumper_programs()?),
        ("COFFER_MONGO_TOOLS", mongodb::tools()?),
        ("COFFER_DOCUMENTDB_BIN", mongodb::documentdb()?),
        (MongodbVersion::FerretDb2.variable(), MongodbVersion::FerretDb2.program()?),
        (MongodbVersion::FerretDb1.variable(), MongodbVersion::FerretDb1.program()?),
        ("COFFER_ADDONS", wasm),
        ("COFFER_BIN", target_folder()?.join("debug/coffer")),
    ] {
        say(format_args!("{variable}={}", path.display()));
        tests.env(variable, path);
    }
    for version in MysqlVersion::ALL {
        match version.programs() {
            Ok(path) => {
                say(format_args!("{}={}", version.variable(), path.display()));
                tests.env(version.variable(), path);
            }
            // It comes by Maven, which not every machine has; the tests that miss it say so and are counted.
            Err(error) if version == MysqlVersion::MySql55 => say(format_args!("no {}: {error}", version.name())),
            Err(error) => return Err(error.into()),
        }
    }

    prepare_search(&mut tests);

    heading("tests");
    let spawn = |source| Error::Spawn { program: "cargo test".into(), source };
    let mut child = tests.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(spawn)?;
    let seen = Mutex::new(Seen::default());
    std::thread::scope(|scope| {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let seen = &seen;
        scope.spawn(move || stdout.map(|pipe| pass_on(pipe, seen)));
        scope.spawn(move || stderr.map(|pipe| pass_on(pipe, seen)));
    });
    let status = child.wait().map_err(spawn)?;

    let seen = seen.into_inner().unwrap_or_default();
    heading(format_args!("done in {} s", start.elapsed().as_secs()));
    for line in &seen.skipped {
        say(line);
    }
    // Ignored tests and those that a missing server or tool kept from running.
    let skipped = seen.ignored + u64::try_from(seen.skipped.len()).unwrap_or(u64::MAX);
    say(format_args!("{} passed, {} failed, {skipped} skipped", seen.passed, seen.failed));
    if status.success() { Ok(()) } else { Err(Error::Failed { program: "cargo test".into(), status }) }
}

/// OpenSearch and Elasticsearch come by Maven, the program that judges their dumps by npm, which not every machine has; the
/// tests that miss them say so. Those that only `COFFER_TEST_ALL_SEARCH=1` has tested are fetched by that alone.
fn prepare_search(tests: &mut Command) {
    let versions = SearchVersion::tested();
    let programs = versions.iter().map(|version| (version.variable(), version.name(), version.programs()));
    let judge = ("COFFER_ELASTICDUMP", "elasticdump", tools::elasticdump_programs());
    for (variable, name, path) in programs.chain([judge]) {
        match path {
            Ok(path) => {
                say(format_args!("{variable}={}", path.display()));
                tests.env(variable, path);
            }
            Err(error) => say(format_args!("no {name}: {error}")),
        }
    }
    for version in SearchVersion::ALL.iter().filter(|version| !versions.contains(version)) {
        say(format_args!("no {}: only COFFER_TEST_ALL_SEARCH=1 has it tested", version.name()));
    }
}

/// What the test programs printed about themselves.
#[derive(Default)]
struct Seen {
    passed: u64,
    failed: u64,
    ignored: u64,
    skipped: Vec<String>,
}

impl Seen {
    fn line(&mut self, line: &str) {
        if let Some(at) = line.find(SKIPPED) {
            self.skipped.extend(line.get(at..).map(str::to_owned));
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
fn pass_on(pipe: impl Read, seen: &Mutex<Seen>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches('\n');
        say(text);
        if let Ok(mut seen) = seen.lock() {
            seen.line(text);
        }
        line.clear();
    }
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
