//! A sample database worth the name: every kind of object that Coffer restores faithfully, every value that a dump
//! might get wrong, and as many rows as asked for. The same size gives the same database on every version.

use crate::Postgres;
use crate::error::Result;

const SCHEMA: &str = include_str!("sample/1-schema.sql");
const ROWS: &str = include_str!("sample/2-rows.sql");
const REST: &str = include_str!("sample/3-rest.sql");

/// About a megabyte of rows: for tests.
pub const SMALL: u32 = 1;

/// About 300 MB of rows: for the demo and benchmarks; filled in less than a minute.
pub const DEMO: u32 = 300;

/// Creates `database` and fills it with about `size` megabytes of rows.
pub fn create(server: &Postgres, database: &str, size: u32) -> Result<()> {
    let quoted = quote(database);
    server.psql(
        "postgres",
        &format!("create database {quoted} template template0; comment on database {quoted} is 'Coffer''s sample'"),
    )?;
    // One session, so that the helpers in pg_temp last; one transaction, so that rows go into new tables without WAL.
    let script = format!("\\set size {size}\nbegin;\n{SCHEMA}\n{ROWS}\n{REST}\ncommit;\n");
    server.psql(database, &script).map(drop)
}

fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
