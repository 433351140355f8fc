//! Proof that two databases hold the same: their dumps by the server's own `mysqldump`, line by line, and a checksum a
//! table, which sees what `mysqldump` rounds (FLOAT) or does not say.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use super::{Mysql, MysqlVersion};
use crate::compare::{Checksum, same_checksums};
use crate::error::{Error, Result};

/// Prints, in hexadecimal, one `select` a table with rows: its name, how many, and the sum of 60 bits of each row's hash.
/// Names are compared in hexadecimal, too: MariaDB's schema takes `a` for `A`. When a row's version began, which a copy cannot keep, does not count. Columns are compared by their bytes; numbers and enumerations, for which HEX means something else, by their text.
const CHECKSUMS: &str = "
set session group_concat_max_len = 4000000, time_zone = '+00:00';
select hex(concat(
    'select ', quote(name), ', count(*), coalesce(sum(cast(conv(left(sha2(concat_ws('','', ',
    columns, '), 256), 15), 16, 10) as unsigned)), 0) from `', replace(database(), '`', '``'), '`.`', replace(name, '`', '``'), '`;'))
from (
    select max(table_name) as name, group_concat(
        case
            when data_type in ('float', 'double') then concat('coalesce(concat(', column_quoted, ' + 0e0), ''N'')')
            when data_type = 'decimal' then concat('coalesce(concat(', column_quoted, '), ''N'')')
            when data_type in ('enum', 'set') then
                concat('coalesce(concat(', column_quoted, ' + 0, ''.'', hex(', column_quoted, ')), ''N'')')
            else concat('coalesce(hex(', column_quoted, '), ''N'')')
        end
        order by ordinal_position separator ', ') as columns
    from (
        select c.table_name, c.data_type, c.ordinal_position,
            concat('`', replace(c.column_name, '`', '``'), '`') as column_quoted
        from information_schema.columns as c
        join information_schema.tables as t on t.table_schema = c.table_schema and hex(t.table_name) = hex(c.table_name)
        where t.table_schema = database() and t.table_type not in ('VIEW', 'SEQUENCE', 'TEMPORARY')
            /*M!100300 and coalesce(c.generation_expression, '') not in ('ROW START', 'ROW END') */
    ) as quoted
    group by hex(table_name)
    union all
    select table_name, '`next_not_cached_value`'
    from information_schema.tables where table_schema = database() and table_type = 'SEQUENCE'
) as relation
order by name;
";

/// A checksum of every table and every sequence of a database, by name. History of system-versioned tables is left out.
pub fn checksums(server: &Mysql, database: &str) -> Result<Vec<Checksum>> {
    let selects = if server.version() == MysqlVersion::MySql55 {
        // Without TLS it has no SHA-2; the newest MySQL has no MD5.
        server.query(database, CHECKSUMS.replace("sha2(", "md5(").replace("), 256)", "))"))?
    } else {
        server.query(database, CHECKSUMS)?
    };
    let mut script = b"set session time_zone = '+00:00';\n".to_vec();
    for line in selects.lines() {
        script.extend(unhex(line).ok_or_else(|| Error::Different(format!("not hexadecimal: {line}")))?);
        script.push(b'\n');
    }
    let text = server.query(database, script)?;
    Checksum::read(&text)
}

/// One database on one server.
#[derive(Clone, Copy)]
pub struct Database<'a> {
    pub server: &'a Mysql,
    pub name: &'a str,
}

/// Fails unless both databases have the same checksums; returns them.
pub fn same_rows(one: Database, other: Database) -> Result<Vec<Checksum>> {
    let (ours, theirs) = (checksums(one.server, one.name)?, checksums(other.server, other.name)?);
    same_checksums((one.name, ours), (other.name, theirs))
}

/// Fails unless `mysqldump` prints the same for both, with these arguments; returns how many lines that were.
///
/// The order of a table's rows does not count: without a primary key it is not the table's.
pub fn same_dump(one: Database, other: Database, arguments: &[&str]) -> Result<usize> {
    let dump = |database: Database| {
        let arguments = [&["--skip-extended-insert", "--complete-insert"], arguments, &[database.name]].concat();
        database.server.dump(&arguments).map(|text| significant_lines(&text))
    };
    let (ours, theirs) = (dump(one)?, dump(other)?);
    let mut context = VecDeque::new();
    for at in 0..ours.len().max(theirs.len()) {
        let (our, their) = (ours.get(at), theirs.get(at));
        if our != their {
            let show = |line: Option<&String>| line.cloned().unwrap_or_else(|| "(the end)".into());
            let context = context.into_iter().collect::<Vec<_>>().join("\n");
            let (our, their) = (show(our), show(their));
            let (one, other) = (one.name, other.name);
            return Err(Error::Different(format!(
                "the dumps differ in line {at} after\n{context}\n{one}: {our}\n{other}: {their}"
            )));
        }
        context.extend(our.map(String::as_str));
        if context.len() > 12 {
            context.pop_front();
        }
    }
    Ok(ours.len())
}

/// The lines of a dump; rows that follow each other become one line, their number and the sum of their hashes.
fn significant_lines(dump: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rows: Option<(u64, u64)> = None;
    for line in dump.split(|byte| *byte == b'\n') {
        if line.starts_with(b"INSERT INTO ") {
            let mut hasher = std::hash::DefaultHasher::new();
            line.hash(&mut hasher);
            let (count, sum) = rows.unwrap_or_default();
            rows = Some((count + 1, sum.wrapping_add(hasher.finish())));
            continue;
        }
        if let Some((count, sum)) = rows.take() {
            lines.push(format!("{count} rows, sum {sum:016x}"));
        }
        lines.push(without_implied_charset(&String::from_utf8_lossy(line)));
    }
    lines
}

/// Leaves out the character set of a column that has a collation, which implies it. MySQL prints it when it was once
/// written down, and its own dump writes it down only every second time.
fn without_implied_charset(line: &str) -> String {
    let Some((before, after)) = line.split_once(" CHARACTER SET ") else { return line.to_owned() };
    let implied = after
        .split_once(" COLLATE ")
        .filter(|(charset, rest)| rest.strip_prefix(charset).is_some_and(|rest| rest.starts_with('_')));
    match implied {
        Some((_, rest)) if line.starts_with("  `") => format!("{before} COLLATE {rest}"),
        _ => line.to_owned(),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| digit.to_digit(16)?.try_into().ok()).collect();
    Some(digits?.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}
