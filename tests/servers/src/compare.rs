//! Proof that two databases hold the same: their dumps by the vendor's own tool, line by line, and a checksum a table.

use std::hash::{Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::Postgres;
use crate::error::{Error, Result};

/// The number of rows and an order-independent checksum of a table, or a sequence's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// Quoted where it must be: `shop.orders_2023`, `"Kleiner Laden"."…"`.
    pub relation: String,
    /// Rows; of a sequence its last value.
    pub rows: i64,
    /// The sum of a 64-bit hash of each row's text; of a sequence whether its last value was used.
    pub sum: String,
}

impl Checksum {
    /// A line each, separated by tabs: the relation, which may have some itself, the rows, the sum.
    pub(crate) fn read(text: &str) -> Result<Vec<Self>> {
        let parse = |line: &str| {
            let mut fields = line.rsplitn(3, '\t');
            let sum = fields.next()?.to_owned();
            let rows = fields.next()?.parse().ok()?;
            Some(Self { relation: fields.next()?.to_owned(), rows, sum })
        };
        let wrong = |line| Error::Different(format!("unexpected line among the checksums: {line}"));
        text.lines().map(|line| parse(line).ok_or_else(|| wrong(line))).collect()
    }
}

/// Fails unless both databases, by name, have the same; returns it.
pub(crate) fn same_checksums(
    (one, ours): (&str, Vec<Checksum>),
    (other, theirs): (&str, Vec<Checksum>),
) -> Result<Vec<Checksum>> {
    let differs = ours.iter().filter(|sum| !theirs.contains(sum)).map(|sum| (one, sum));
    let differs: Vec<_> =
        differs.chain(theirs.iter().filter(|sum| !ours.contains(sum)).map(|sum| (other, sum))).collect();
    if differs.is_empty() {
        return Ok(ours);
    }
    let lines =
        differs.iter().take(20).map(|(name, sum)| format!("{name}: {} {} rows {}", sum.relation, sum.rows, sum.sum));
    Err(Error::Different(format!("the tables differ:\n{}", lines.collect::<Vec<_>>().join("\n"))))
}

/// Prints one `select` a table with rows of its own (partitions, materialised views) and a sequence; `\gexec` runs them.
const CHECKSUMS: &str = r#"
set extra_float_digits = 3;
set timezone = 'UTC';
select case relkind
    when 'S' then format('select %L, last_value, is_called::text from %s', name, name)
    else format('select %L, count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text from only %s as t', name, name) end
from (
    select format('%I.%I', nspname, relname) as name, relkind
    from pg_class join pg_namespace as n on n.oid = relnamespace
    where relkind in ('r', 'S') or relkind = 'm' and relispopulated
) as relation
where name !~ '^(pg_|information_schema)'
order by name
\gexec
"#;

/// A checksum of every table with rows of its own and every sequence, by name.
pub fn checksums(server: &Postgres, database: &str) -> Result<Vec<Checksum>> {
    let text = server.psql(database, &format!("\\pset fieldsep '\\t'\n{CHECKSUMS}"))?;
    Checksum::read(&text)
}

/// One database on one server.
#[derive(Clone, Copy)]
pub struct Database<'a> {
    pub server: &'a Postgres,
    pub name: &'a str,
}

/// Fails unless both databases have the same checksums; returns them.
pub fn same_rows(one: Database, other: Database) -> Result<Vec<Checksum>> {
    let (ours, theirs) = (checksums(one.server, one.name)?, checksums(other.server, other.name)?);
    same_checksums((one.name, ours), (other.name, theirs))
}

/// Fails unless `pg_dump` prints the same for both, with these arguments; returns how many lines that were.
///
/// The order of a table's rows does not count: it is not the table's, and a server that loads rows of many sizes puts
/// small ones into pages which larger ones left half empty.
pub fn same_dump(one: Database, other: Database, arguments: &[&str]) -> Result<u64> {
    let (mut ours, mut theirs) = (Dump::start(one, arguments)?, Dump::start(other, arguments)?);
    let mut context: std::collections::VecDeque<String> = std::collections::VecDeque::new();
    loop {
        let (our, their) = (ours.line()?, theirs.line()?);
        if our != their {
            let show = |line: Option<String>| line.unwrap_or_else(|| "(the end)".into());
            return Err(Error::Different(format!(
                "the dumps differ in line {} after\n{}\n{}: {}\n{}: {}",
                ours.read,
                context.into_iter().collect::<Vec<_>>().join("\n"),
                one.name,
                show(our),
                other.name,
                show(their),
            )));
        }
        let Some(line) = our else { break };
        context.push_back(line);
        if context.len() > 12 {
            context.pop_front();
        }
    }
    let lines = ours.read;
    ours.finish()?;
    theirs.finish()?;
    Ok(lines)
}

struct Dump {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    /// Lines read, rows among them.
    read: u64,
    in_rows: bool,
}

impl Dump {
    fn start(database: Database, arguments: &[&str]) -> Result<Self> {
        let failed = |source| Error::Spawn { program: "pg_dump".into(), source };
        let mut command = database.server.tool("pg_dump");
        command.args(arguments).arg("--dbname").arg(database.name).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let stdout = child.stdout.take().ok_or_else(|| failed(std::io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { child, lines: BufReader::with_capacity(1 << 20, stdout), read: 0, in_rows: false })
    }

    /// The next line that counts: newer versions print a token that is new every time. A table's rows are one line, their
    /// number and the sum of their hashes.
    fn line(&mut self) -> Result<Option<String>> {
        let mut line = Vec::new();
        if std::mem::take(&mut self.in_rows) {
            let (mut rows, mut sum) = (0_u64, 0_u64);
            while self.raw(&mut line)? && line != b"\\.\n" {
                let mut hasher = std::hash::DefaultHasher::new();
                line.hash(&mut hasher);
                sum = sum.wrapping_add(hasher.finish());
                rows += 1;
            }
            return Ok(Some(format!("{rows} rows, sum {sum:016x}")));
        }
        while self.raw(&mut line)? {
            if !line.starts_with(b"\\restrict ") && !line.starts_with(b"\\unrestrict ") {
                self.in_rows = line.starts_with(b"COPY ") && line.ends_with(b" FROM stdin;\n");
                return Ok(Some(String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned()));
            }
        }
        Ok(None)
    }

    fn raw(&mut self, line: &mut Vec<u8>) -> Result<bool> {
        line.clear();
        let read = self.lines.read_until(b'\n', line);
        let read = read.map_err(|source| Error::Spawn { program: "pg_dump".into(), source })?;
        self.read += u64::from(read > 0);
        Ok(read > 0)
    }

    fn finish(mut self) -> Result<()> {
        let status = self.child.wait().map_err(|source| Error::Spawn { program: "pg_dump".into(), source })?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Failed { program: "pg_dump".into(), status, stderr: "see above".into() })
    }
}

impl Drop for Dump {
    fn drop(&mut self) {
        // Left early: the other end of the pipe may still be writing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_differ_are_shown_on_both_sides() {
        let read = |text| Checksum::read(text).expect("checksums");
        let (ours, theirs) = ("a\t1\t17\nsome\ttab\t2\t4", "a\t1\t17\nsome\ttab\t2\t5\nc\t0\t0");
        let same = same_checksums(("shop", read(ours)), ("copy", read(ours))).expect("the same");
        assert_eq!(same.get(1).map(|sum| (sum.relation.as_str(), sum.rows)), Some(("some\ttab", 2)));
        let error = same_checksums(("shop", read(ours)), ("copy", read(theirs))).expect_err("differences").to_string();
        assert!(error.ends_with("shop: some\ttab 2 rows 4\ncopy: some\ttab 2 rows 5\ncopy: c 0 rows 0"), "{error}");
        assert!(Checksum::read("a\t1\t17\nERROR 1064").is_err());
    }
}
