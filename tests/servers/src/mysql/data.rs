//! System tables, made once a version and copied for every server: making them takes longer than most tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Mysql, MysqlOptions, MysqlVersion, START_LIMIT, version};
use crate::cache::{self, run, tail};
use crate::error::{AtPath, Error, Result};
use crate::process::Process;

/// Changed when what is done here changes.
const RECIPE: u32 = 1;

/// MariaDB's scripts that make the system tables, in the order in which they depend on each other. Older packages say
/// `mysql` where newer say `mariadb`.
const SCRIPTS: [&str; 3] = ["system_tables", "performance_tables", "system_tables_data"];

/// A named time zone for events that want one: India's has had no transition since 1945.
const TIME_ZONE: &str = "
insert into mysql.time_zone (time_zone_id, use_leap_seconds) values (1, 'N');
insert into mysql.time_zone_name (name, time_zone_id) values ('Asia/Kolkata', 1);
insert into mysql.time_zone_transition_type (time_zone_id, transition_type_id, `offset`, is_dst, abbreviation)
values (1, 0, 19800, 0, 'IST');
";

/// Users that come with the system tables and stand in the way: nameless ones take precedence over `somebody@'%'`,
/// roots of other addresses carry this machine's name.
const SUPERFLUOUS_USERS: &str = "select concat(quote(user), '@', quote(host)) from mysql.user
where user = '' or user = 'root' and host <> 'localhost'";

/// A folder with the version's system tables, to copy.
pub(super) fn template(version: MysqlVersion) -> Result<PathBuf> {
    let programs = version.programs()?;
    let banner = run(Command::new(programs.join(version.server_program())).args(["--no-defaults", "--version"]))?;
    let recipe = format!("{RECIPE} {} {}", programs.display(), String::from_utf8_lossy(&banner).trim());
    let folder = cache::entry(&format!("{}-data", version.slug()), &recipe, |folder| make(version, folder))?;
    Ok(folder.join("data"))
}

/// Copies a data folder.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    run(Command::new("cp").args(["-R", "--reflink=auto"]).arg(from).arg(to)).map(drop)
}

fn make(version: MysqlVersion, into: &Path) -> Result<()> {
    let mut server = Mysql::prepare(version, &MysqlOptions::default())?;
    match version {
        MysqlVersion::MySql97 => initialise(&server, "--initialize-insecure", "")?,
        MysqlVersion::MariaDb1011 | MysqlVersion::MariaDb118 => {
            let data = server.data();
            fs::create_dir(&data).at(data)?;
            initialise(&server, "--bootstrap", &mariadb_script(&version::share(&server.programs)?)?)?;
        }
        MysqlVersion::MySql55 => copy(&server.programs.join("share/data"), &server.data())?,
    }
    // Every server's own log begins with what its test does.
    server.launch(&["--skip-log-bin"])?;
    let superfluous = server.mysql(SUPERFLUOUS_USERS)?;
    for user in superfluous.lines() {
        server.mysql(&format!("drop user {user}"))?;
    }
    server.mysql(TIME_ZONE)?;
    server.shut_down()?;
    // Who the server is, which no two may share.
    let _ = fs::remove_file(server.data().join("auto.cnf"));
    copy(&server.data(), &into.join("data"))
}

/// Runs the server in the mode that makes system tables, to its end.
fn initialise(server: &Mysql, mode: &str, script: &str) -> Result<()> {
    let (input, log) = (server.folder.join("script"), server.folder.join("log"));
    fs::write(&input, script).at(&input)?;
    let stdin = fs::File::open(&input).at(&input)?;
    let output = fs::File::create(&log).at(&log)?;
    let mut command = server.server()?;
    command.args(server.settings()).args([mode, "--skip-log-bin"]);
    command.stdin(stdin).stdout(output.try_clone().at(&log)?).stderr(output).current_dir("/");
    // Guarded as the server itself will be, so that a test killed by now leaves nothing either.
    let mut process = Process::start(&mut command, Some(&server.folder))?;
    let ended = process.wait(START_LIMIT);
    process.kill();
    if ended.is_some_and(|status| status.success()) {
        return Ok(());
    }
    let what = format!("system tables of {}", server.version.name());
    Err(Error::NotReady { what, log: tail(&server.log(), 2000) })
}

/// What `mariadb-install-db` feeds to the server, but with a root that has no password, by any way in.
fn mariadb_script(share: &Path) -> Result<String> {
    let vendor = if share.join("mariadb_system_tables.sql").is_file() { "mariadb" } else { "mysql" };
    let mut script = String::from("create database if not exists mysql;\nuse mysql;\nset @auth_root_socket = null;\n");
    for name in SCRIPTS {
        let path = share.join(format!("{vendor}_{name}.sql"));
        script.push_str(&fs::read_to_string(&path).at(path)?);
    }
    Ok(script)
}
