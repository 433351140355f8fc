//! `cargo xtask bench`: what a backup and a restore cost, against what a user would take instead, on the same database
//! in the same run. Seconds belong to the machine they were measured on; the ratios are what to look at.

use std::path::Path;
use std::process::Command;

use coffer_test_servers::compare::{Database, same_rows};
use coffer_test_servers::{Postgres, PostgresOptions, PostgresVersion, sample, tools};

use crate::addons;
use crate::measure::{self, Cost};
use crate::shell::{Result, cargo, heading, megabytes, output, run as run_command, say, table, target_folder};
use crate::stage::{Place, REPOSITORY_PASSWORD, User, restic_on};

#[derive(clap::Args)]
pub struct Options {
    /// About how many megabytes of rows the sample database has
    #[arg(long, default_value_t = sample::DEMO, value_name = "MB", value_parser = clap::value_parser!(u32).range(1..10_000))]
    size: u32,

    /// How often each pipeline runs; the fastest run counts
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..20))]
    runs: u32,

    /// Leave out the engine's own figures
    #[arg(long)]
    no_engine: bool,
}

pub fn run(options: &Options) -> Result<()> {
    heading("build, optimised");
    let wasm = addons::build()?;
    run_command(cargo().args(["build", "--release", "--package", "coffer"]))?;
    let target = target_folder()?;
    let coffer = target.join("release/coffer");
    let restic = tools::restic()?;

    heading("the sample database");
    let server = Postgres::start(PostgresVersion::V17, &PostgresOptions::default())?;
    sample::create(&server, "shop", options.size)?;
    let size: u64 = server.psql("shop", "select pg_database_size('shop')")?.parse().unwrap_or(0);
    say(format_args!("{} on PostgreSQL 17", megabytes(size)));
    let postmaster = server.process_id().unwrap_or_default();

    let [mut backup, mut restic_backup, mut restore, mut restic_restore] =
        [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for round in 1..=options.runs {
        heading(format_args!("round {round} of {}", options.runs));
        // Each round backs up into repositories that are new, so that nothing is there to be skipped.
        let place = Place::anew(&target.join("bench"))?;
        let theirs = place.backups.join("stock-restic");
        let serve = place.serve(&coffer)?;
        let user = User { coffer: &coffer, place: &place };
        let addon = wasm.join("coffer_addon_postgres.wasm");
        user.runs(&["addon", "install", &addon.display().to_string(), "--grant-requested"])?;
        place.write_manifest(&server)?;
        user.runs(&["apply", "-f", &place.manifest.display().to_string()])?;
        let ours = |arguments: &[&str]| {
            let mut command = Command::new(&coffer);
            command.arg("--data-dir").arg(&place.data).args(arguments);
            measure::worker(&mut command, serve.id(), postmaster)
        };

        run_command(restic_on(&restic, &theirs).arg("init"))?;
        restic_backup.push(pipeline(
            &server,
            &restic,
            &theirs,
            "pg_dump shop | restic backup --quiet --stdin --stdin-filename shop.sql",
            postmaster,
        )?);
        backup.push(ours(&["backup", "shop", "-n", "demo"])?);

        empty(&server, "copy")?;
        restic_restore.push(pipeline(
            &server,
            &restic,
            &theirs,
            "restic dump latest shop.sql | psql --quiet --output=/dev/null copy",
            postmaster,
        )?);
        server.psql("postgres", "create database before template shop")?;
        empty(&server, "shop")?;
        restore.push(ours(&["restore", "-n", "demo", "--config", "shop", "--task", "postgres-restore"])?);
        same_rows(Database { server: &server, name: "before" }, Database { server: &server, name: "shop" })?;
        server.psql("postgres", "drop database before")?;
    }

    heading("figures");
    say(format_args!("sample database {}, best of {} runs, everything on one machine", megabytes(size), options.runs));
    report("backup", [("pg_dump | restic backup --stdin", best(&restic_backup)), ("coffer backup", best(&backup))]);
    report("restore", [("restic dump | psql", best(&restic_restore)), ("coffer restore", best(&restore))]);
    if !options.no_engine {
        heading("the repository engine alone");
        let engine = ["run", "--release", "--package", "coffer-repository", "--example", "engine_bench"];
        say(output(cargo().args(engine).args(["--", "--mib", "512"]))?);
        heading("loading a component");
        let load = ["run", "--release", "--package", "coffer-bench", "--"];
        run_command(
            cargo().args(load).arg(wasm.join("coffer_addon_postgres.wasm")).arg(wasm.join("coffer_test_guests.wasm")),
        )?;
    }
    Ok(())
}

fn empty(server: &Postgres, database: &str) -> Result<()> {
    server.psql("postgres", &format!("drop database if exists {database} with (force)"))?;
    server.psql("postgres", &format!("create database {database} template template0"))?;
    Ok(())
}

/// A shell pipeline of the server's own tools and restic.
fn pipeline(server: &Postgres, restic: &Path, repository: &Path, script: &str, postmaster: u32) -> Result<Cost> {
    say(format_args!("\n$ {script}"));
    // A tool's command brings the environment in which it finds the server.
    let tool = server.tool("psql");
    let programs = Path::new(tool.get_program()).parent().unwrap_or(Path::new("")).display().to_string();
    let mut shell = Command::new("bash");
    for (name, value) in tool.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let restic_folder = restic.parent().unwrap_or(Path::new("")).display().to_string();
    shell.env("PATH", format!("{programs}:{restic_folder}:{path}"));
    shell.env("RESTIC_REPOSITORY", repository).env("RESTIC_PASSWORD", REPOSITORY_PASSWORD);
    shell.args(["-o", "pipefail", "-c", script]);
    measure::command(&mut shell, postmaster)
}

fn best(costs: &[Cost]) -> Cost {
    costs.iter().copied().min_by(|one, other| one.wall.total_cmp(&other.wall)).unwrap_or_default()
}

fn report(what: &str, costs: [(&str, Cost); 2]) {
    let [(_, stock), (_, ours)] = costs;
    let mut rows = vec![[what, "wall s", "cpu s", "server cpu s", "peak memory"].map(str::to_owned).to_vec()];
    for (name, cost) in costs {
        let seconds = |seconds: f64| format!("{seconds:.2}");
        rows.push(vec![
            name.into(),
            seconds(cost.wall),
            seconds(cost.cpu),
            seconds(cost.server),
            megabytes(cost.memory),
        ]);
    }
    let ratio = |ours: f64, stock: f64| format!("{:.2}", ours / stock.max(0.001));
    let memory = ratio(ours.memory as f64, stock.memory as f64);
    rows.push(vec![
        "ratio".into(),
        ratio(ours.wall, stock.wall),
        ratio(ours.cpu, stock.cpu),
        ratio(ours.server, stock.server),
        memory,
    ]);
    say("");
    table(&rows);
}
