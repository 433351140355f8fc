//! A sample database worth the name: every kind of object that Coffer dumps, every value that a dump might get wrong,
//! and as many rows as asked for. Each version gets what it knows; the same version gets the same every time.

use std::fmt::Write;

use super::{Mysql, MysqlVersion};
use crate::error::Result;

const EVERYWHERE: &str = include_str!("../sample/mysql-1-everywhere.sql");
const MODERN: &str = include_str!("../sample/mysql-2-modern.sql");
const MYSQL: &str = include_str!("../sample/mysql-3-mysql.sql");
const MARIADB: &str = include_str!("../sample/mysql-3-mariadb.sql");
const NAMES: &str = include_str!("../sample/mysql-4-names.sql");
const MYISAM: &str = include_str!("../sample/mysql-5-myisam.sql");
const ROWS: &str = include_str!("../sample/mysql-6-rows.sql");
const STEP: &str = include_str!("../sample/mysql-7-step.sql");
const MYSQL_USERS: &str = include_str!("../sample/mysql-users-mysql.sql");
const MARIADB_USERS: &str = include_str!("../sample/mysql-users-mariadb.sql");

/// Who defined some of the sample's views, triggers, routines and events.
pub const DEFINER: &str = "'sample_owner'@'localhost'";

/// Creates `database` with every kind of object, all tables transactional, and about `size` megabytes of rows.
pub fn create(server: &Mysql, database: &str, size: u32) -> Result<()> {
    create_empty(server, database)?;
    create_definer(server)?;
    let own = match server.version() {
        MysqlVersion::MySql97 => [MODERN, MYSQL].as_slice(),
        MysqlVersion::MariaDb1011 | MysqlVersion::MariaDb118 => &[MODERN, MARIADB],
        MysqlVersion::MySql55 => &[],
    };
    // Some parts leave their session changed.
    for part in [EVERYWHERE].iter().chain(own) {
        server.query(database, part)?;
    }
    fill(server, database, size)
}

/// Creates `database` with names that need care everywhere: quotes, dots, slashes, percent signs, 64 characters.
pub fn create_awkward_names(server: &Mysql, database: &str) -> Result<()> {
    create_empty(server, database)?;
    server.query(database, NAMES).map(drop)
}

/// Creates `database` with tables of MyISAM, MEMORY, CSV and MERGE: no snapshot of them can be had.
pub fn create_myisam(server: &Mysql, database: &str) -> Result<()> {
    create_empty(server, database)?;
    server.query(database, MYISAM).map(drop)
}

/// Creates users and roles of all kinds, named `sample…` or awkwardly, with grants of every level, some of them on
/// objects of a database that [`create`] made. MySQL 5.5, which knows little of that, gets none.
pub fn create_users(server: &Mysql, database: &str) -> Result<()> {
    let script = match server.version() {
        MysqlVersion::MySql97 => MYSQL_USERS,
        MysqlVersion::MariaDb1011 | MysqlVersion::MariaDb118 => MARIADB_USERS,
        MysqlVersion::MySql55 => return Ok(()),
    };
    server.query(database, script).map(drop)
}

/// Fills the sample's tables, once, with about `size` megabytes of rows.
fn fill(server: &Mysql, database: &str, size: u32) -> Result<()> {
    let mut script = ROWS.to_owned();
    for step in 0..size {
        let _ = writeln!(script, "set @step = {step};\n{STEP}");
    }
    server.query(database, script).map(drop)
}

fn create_empty(server: &Mysql, database: &str) -> Result<()> {
    let name = database.replace('`', "``");
    server.mysql(&format!("create database `{name}` character set utf8mb4 collate utf8mb4_general_ci")).map(drop)
}

/// Makes [`DEFINER`] without a password, unless it is there already; views run with its privileges.
pub fn create_definer(server: &Mysql) -> Result<()> {
    if server.mysql("select count(*) from mysql.user where user = 'sample_owner'")? == "0" {
        server.mysql(&format!("create user {DEFINER}"))?;
    }
    let privileges = "select, insert, update, delete, create, execute, show view, event, trigger";
    server.mysql(&format!("grant {privileges} on *.* to {DEFINER}")).map(drop)
}
