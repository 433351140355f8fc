//! `cargo xtask demo`: the main job on real input, driven as a user would drive it, by the `coffer` program alone, and
//! judged by tools that are not ours: `restic`, `pg_restore`, `pg_dump`.

use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use coffer_test_servers::compare::{Database, same_dump, same_rows};
use coffer_test_servers::{Postgres, PostgresOptions, PostgresVersion, sample, tools};

use crate::addons;
use crate::shell::{Result, cargo, heading, megabytes, run as run_command, say, size_of, table, target_folder};
use crate::stage::{Place, REPOSITORY_PASSWORD, User, restic_on};

#[derive(clap::Args)]
pub struct Options {
    /// About how many megabytes of rows the sample database has
    #[arg(long, default_value_t = sample::DEMO, value_name = "MB", value_parser = clap::value_parser!(u32).range(1..10_000))]
    size: u32,

    /// PostgreSQL's major version
    #[arg(long, default_value = "17", value_parser = ["15", "17"])]
    postgres: String,

    /// At the end, leave the servers running until Enter is pressed
    #[arg(long)]
    keep: bool,
}

pub fn run(options: &Options) -> Result<()> {
    let mut steps = Steps::default();
    let version = if options.postgres == "15" { PostgresVersion::V15 } else { PostgresVersion::V17 };

    heading("1/6 install what is missing, build");
    version.programs()?;
    let restic = tools::restic()?;
    let kubectl = tools::kubectl()?;
    steps.time("tools and servers from packages", String::new());
    let wasm = addons::build()?;
    steps.time("addons built", wasm.display().to_string());
    run_command(cargo().args(["build", "--package", "coffer"]))?;
    let target = target_folder()?;
    let coffer = target.join("debug/coffer");
    steps.time("host built", coffer.display().to_string());

    heading(format_args!("2/6 a PostgreSQL {} with a sample database", version.major()));
    let server = Postgres::start(version, &PostgresOptions::default())?;
    sample::create(&server, "shop", options.size)?;
    let size = server.psql("shop", "select pg_database_size('shop')")?.parse::<u64>().unwrap_or(0);
    steps.time("sample database filled", format!("{} on {}", megabytes(size), server.url("shop")));

    heading("3/6 coffer serve, the addon, one manifest");
    let place = Place::anew(&target.join("demo"))?;
    let serve = place.serve(&coffer)?;
    let user = User { coffer: &coffer, place: &place };
    let addon = wasm.join("coffer_addon_postgres.wasm");
    user.runs(&["addon", "install", &addon.display().to_string(), "--grant-requested"])?;
    place.write_manifest(&(&server).into())?;
    user.runs(&["apply", "-f", &place.manifest.display().to_string()])?;
    steps.time("control plane up, manifest applied", place.manifest.display().to_string());

    heading("4/6 back up");
    user.runs(&["backup", "shop", "-n", "demo"])?;
    let stored = size_of(&place.repository)?;
    let backup = steps.time("backup", format!("{} in {}", megabytes(stored), place.repository.display()));
    user.runs(&["snapshots", "-n", "demo"])?;
    say("\n$ kubectl get backupsessions -A");
    let kubeconfig = place.data.join("kubeconfig");
    run_command(Command::new(&kubectl).arg("--kubeconfig").arg(&kubeconfig).args(["get", "backupsessions", "-A"]))?;
    say("\n$ restic check --read-data");
    run_command(restic_on(&restic, &place.repository).args(["check", "--read-data"]))?;
    steps.time("restic check --read-data: no errors", restic.display().to_string());
    run_command(restic_on(&restic, &place.repository).args(["restore", "latest", "--target"]).arg(&place.dump))?;
    let dumped = size_of(&place.dump)?;
    let list = server.restore_list(&place.dump)?;
    let entries = list.lines().filter(|line| !line.starts_with(';')).count();
    steps.time(
        "restic restore, pg_restore --list",
        format!("{entries} entries, {} in {}", megabytes(dumped), place.dump.display()),
    );

    heading("5/6 drop the database, restore it, compare");
    server.psql("postgres", "create database before template shop")?;
    server.psql("postgres", "drop database shop with (force)")?;
    server.psql("postgres", "create database shop template template0")?;
    steps.time("database dropped (a copy kept to compare with)", String::new());
    user.runs(&["restore", "-n", "demo", "--config", "shop", "--task", "postgres-restore"])?;
    let restore = steps.time("restore", server.url("shop"));
    let (source, copy) = (Database { server: &server, name: "before" }, Database { server: &server, name: "shop" });
    let sums = same_rows(source, copy)?;
    let rows: i64 = sums.iter().map(|sum| sum.rows).sum();
    steps.time("equal by checksum of every table", format!("{} tables and sequences, {rows} rows", sums.len()));
    let lines = same_dump(source, copy, &[])?;
    steps.time("equal by pg_dump", format!("{lines} lines"));

    heading("6/6 what happened");
    steps.print();
    say("");
    let ratio = |whole: u64, part: u64| format!("{:.2}", whole as f64 / part.max(1) as f64);
    let rate = |time: Duration| format!("{:.0} MB/s", dumped as f64 / 1e6 / time.as_secs_f64());
    table(&[
        ["", "bytes", "of the dump", "rate of the dump"].map(str::to_owned).into(),
        vec!["database on disk".into(), megabytes(size), String::new(), String::new()],
        vec!["dump".into(), megabytes(dumped), "1.00".into(), rate(backup)],
        vec!["repository".into(), megabytes(stored), format!("1/{}", ratio(dumped, stored)), String::new()],
        vec!["restored".into(), megabytes(dumped), "1.00".into(), rate(restore)],
    ]);
    what_next(&place, &coffer, &restic, &kubectl, options.keep);
    if options.keep {
        say(format_args!("\nPostgreSQL: {} as {}, password {}", server.url("shop"), Postgres::USER, server.password()));
        say("Press Enter to stop the servers.");
        // Nobody at the other end counts as Enter.
        let _ = std::io::stdin().read(&mut [0]);
    }
    drop(serve);
    Ok(())
}

fn what_next(place: &Place, coffer: &Path, restic: &Path, kubectl: &Path, running: bool) {
    let (data, repository) = (place.data.display(), place.repository.display());
    say("\nWhat to try next:");
    if !running {
        say("  cargo xtask demo --keep          the same, and the servers stay for you to look around; then:");
    }
    let coffer = coffer.display();
    say(format_args!("  {coffer} --data-dir {data} get backupsessions -n demo"));
    say(format_args!("  {coffer} --data-dir {data} backup shop -n demo      (again: only what is new is stored)"));
    say(format_args!("  {coffer} --data-dir {data} plan shop -n demo"));
    say(format_args!("  {} --kubeconfig {data}/kubeconfig get coffer -A", kubectl.display()));
    say("Without any server:");
    say(format_args!("  RESTIC_PASSWORD='{REPOSITORY_PASSWORD}' {} --repo {repository} ls latest", restic.display()));
    say(format_args!("  pg_restore --list {}", place.dump.display()));
}

/// What was done, how long it took, and what is where.
struct Steps {
    rows: Vec<Vec<String>>,
    since: Instant,
}

impl Default for Steps {
    fn default() -> Self {
        Self { rows: vec![["what", "seconds", "how much, where"].map(str::to_owned).into()], since: Instant::now() }
    }
}

impl Steps {
    /// Notes that a step is done; returns the time since the one before.
    fn time(&mut self, what: &str, where_: String) -> Duration {
        let took = self.since.elapsed();
        self.rows.push(vec![what.to_owned(), format!("{:.1}", took.as_secs_f64()), where_]);
        self.since = Instant::now();
        took
    }

    fn print(&self) {
        table(&self.rows);
    }
}
