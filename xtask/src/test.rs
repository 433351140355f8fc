//! Everything that CI needs, in the order in which it fails fastest.

mod again;
mod seen;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Instant;

use coffer_test_servers::{MongodbVersion, MysqlVersion, PostgresVersion, SearchVersion, mongodb, s3, tools};

use crate::shell::{Error, Result, cargo, heading, run as run_command, say, target_folder};
use crate::{addons, generate};
use seen::Seen;

/// Variables of a test's environment.
type Variables = Vec<(&'static str, PathBuf)>;

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
    let variables = variables(wasm)?;
    for (name, path) in &variables {
        say(format_args!("{name}={}", path.display()));
    }
    heading("tests");
    let (status, seen) = watched(&["--workspace", "--no-fail-fast"].map(OsString::from), &variables)?;
    let flaky = if status.success() { Vec::new() } else { again::flaky(&seen, &variables)? };

    heading(format_args!("done in {} s", start.elapsed().as_secs()));
    for line in &seen.skipped {
        say(line);
    }
    for name in &flaky {
        say(format_args!("FLAKY: {name} failed, and passed when it was asked again"));
    }
    // Ignored tests and those that a missing server or tool kept from running.
    let skipped = seen.ignored + u64::try_from(seen.skipped.len()).unwrap_or(u64::MAX);
    let failed = if flaky.is_empty() { seen.failed } else { 0 };
    say(format_args!("{} passed, {failed} failed, {} flaky, {skipped} skipped", seen.passed, flaky.len()));
    if status.success() || !flaky.is_empty() {
        return Ok(());
    }
    Err(Error::Failed { program: "cargo test".into(), status })
}

/// Runs `cargo test` with these arguments, prints what it prints and takes note of it.
fn watched(arguments: &[OsString], variables: &Variables) -> Result<(ExitStatus, Seen)> {
    let spawn = |source| Error::Spawn { program: "cargo test".into(), source };
    // One pipe for both, so that what cargo says of a target stands behind what the target's tests said.
    let (reader, writer) = std::io::pipe().map_err(spawn)?;
    let mut child = {
        let mut tests = cargo();
        tests.arg("test").args(arguments).envs(variables.iter().cloned());
        tests.stdin(Stdio::null()).stdout(writer.try_clone().map_err(spawn)?).stderr(writer);
        tests.spawn().map_err(spawn)?
    };
    let seen = seen::pass_on(reader);
    Ok((child.wait().map_err(spawn)?, seen))
}

/// Where the tests find what they need, installed where it is not there yet.
fn variables(wasm: PathBuf) -> Result<Variables> {
    let mut variables = vec![
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
    ];
    for version in MysqlVersion::ALL {
        match version.programs() {
            Ok(path) => variables.push((version.variable(), path)),
            // It comes by Maven, which not every machine has; the tests that miss it say so and are counted.
            Err(error) if version == MysqlVersion::MySql55 => say(format_args!("no {}: {error}", version.name())),
            Err(error) => return Err(error.into()),
        }
    }
    variables.extend(search());
    Ok(variables)
}

/// OpenSearch and Elasticsearch come by Maven, the program that judges their dumps by npm, which not every machine has; the
/// tests that miss them say so. Those that only `COFFER_TEST_ALL_SEARCH=1` has tested are fetched by that alone.
fn search() -> Variables {
    let versions = SearchVersion::tested();
    for version in SearchVersion::ALL.iter().filter(|version| !versions.contains(version)) {
        say(format_args!("no {}: only COFFER_TEST_ALL_SEARCH=1 has it tested", version.name()));
    }
    let programs = versions.iter().map(|version| (version.variable(), version.name(), version.programs()));
    let judge = ("COFFER_ELASTICDUMP", "elasticdump", tools::elasticdump_programs());
    let at_hand = programs.chain([judge]).filter_map(|(variable, name, path)| match path {
        Ok(path) => Some((variable, path)),
        Err(error) => {
            say(format_args!("no {name}: {error}"));
            None
        }
    });
    at_hand.collect()
}
