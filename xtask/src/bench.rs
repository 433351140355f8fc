//! `cargo xtask bench`: what a backup and a restore cost, against what a user would take instead, on the same database
//! in the same run. Seconds belong to the machine they were measured on; the ratios are what to look at.

mod application;

use std::path::Path;
use std::process::Command;

use coffer_test_servers::{sample, tools};

use crate::addons;
use crate::measure::{self, Cost};
use crate::shell::{Result, cargo, heading, megabytes, output, run as run_command, say, table, target_folder};
use crate::stage::{Place, REPOSITORY_PASSWORD, User, restic_on};
use application::{Application, Kind};

#[derive(clap::Args)]
pub struct Options {
    /// What to back up; may be repeated, and without it all take their turn
    #[arg(value_enum, value_name = "APPLICATION")]
    applications: Vec<Kind>,

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

    let kinds = if options.applications.is_empty() { Kind::ALL.as_slice() } else { &options.applications };
    for kind in kinds {
        compare(*kind, options, &Programs { coffer: &coffer, restic: &restic, wasm: &wasm }, &target)?;
    }
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

struct Programs<'a> {
    coffer: &'a Path,
    restic: &'a Path,
    /// The folder of the addons.
    wasm: &'a Path,
}

fn compare(kind: Kind, options: &Options, programs: &Programs, target: &Path) -> Result<()> {
    heading(format_args!("the sample database on {}", kind.name()));
    let application = Application::start(kind, options.size)?;
    let size = application.size()?;
    say(format_args!("{} on {}", megabytes(size), kind.name()));
    let servers = application.process_ids();

    let [mut backup, mut restic_backup, mut restore, mut restic_restore] =
        [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for round in 1..=options.runs {
        heading(format_args!("{}, round {round} of {}", kind.name(), options.runs));
        // Each round backs up into repositories that are new, so that nothing is there to be skipped.
        let place = Place::anew(&target.join("bench"))?;
        let theirs = place.backups.join("stock-restic");
        let serve = place.serve(programs.coffer)?;
        let user = User { coffer: programs.coffer, place: &place };
        let addon = programs.wasm.join(kind.addon());
        user.runs(&["addon", "install", &addon.display().to_string(), "--grant-requested"])?;
        place.write_manifest(&application.binding())?;
        user.runs(&["apply", "-f", &place.manifest.display().to_string()])?;
        let ours = |arguments: &[&str]| {
            let mut command = Command::new(programs.coffer);
            command.arg("--data-dir").arg(&place.data).args(arguments);
            measure::worker(&mut command, serve.id(), &servers)
        };

        run_command(restic_on(programs.restic, &theirs).arg("init"))?;
        let dump = format!("{} | restic backup --quiet --stdin --stdin-filename shop.sql", application.dump()?);
        restic_backup.push(pipeline(&application, programs.restic, &theirs, &dump)?);
        backup.push(ours(&["backup", "shop", "-n", "demo"])?);

        application.empty("copy")?;
        let load = format!("restic dump latest shop.sql | {}", application.load("copy")?);
        restic_restore.push(pipeline(&application, programs.restic, &theirs, &load)?);
        let restored = application.before_restore()?;
        let mut arguments = vec!["restore", "-n", "demo", "--config", "shop", "--task", kind.restore_task()];
        arguments.extend(restored.parameters);
        restore.push(ours(&arguments)?);
        application.same_rows(restored.source, restored.copy)?;
        application.after_restore()?;
    }

    heading(format_args!("figures for {}", kind.name()));
    say(format_args!("sample database {}, best of {} runs, everything on one machine", megabytes(size), options.runs));
    let [dump, load] = kind.stock();
    report(
        "backup",
        [(&format!("{dump} | restic backup --stdin"), best(&restic_backup)), ("coffer backup", best(&backup))],
    );
    report("restore", [(&format!("restic dump | {load}"), best(&restic_restore)), ("coffer restore", best(&restore))]);
    Ok(())
}

/// A shell pipeline of the server's own tools and restic.
fn pipeline(application: &Application, restic: &Path, repository: &Path, script: &str) -> Result<Cost> {
    say(format_args!("\n$ {script}"));
    let mut shell = Command::new("bash");
    let programs = application.environment(&mut shell)?;
    let path = std::env::var("PATH").unwrap_or_default();
    let restic_folder = restic.parent().unwrap_or(Path::new("")).display().to_string();
    shell.env("PATH", format!("{}:{restic_folder}:{path}", programs.display()));
    shell.env("RESTIC_REPOSITORY", repository).env("RESTIC_PASSWORD", REPOSITORY_PASSWORD);
    shell.args(["-o", "pipefail", "-c", script]);
    measure::command(&mut shell, &application.process_ids())
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
