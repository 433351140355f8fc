//! How many rows each table gave, as `metadata` has it: GLib's key file, a section a table, named as the table's files are.

use crate::layout::METADATA;
use coffer_addon::{Error, Incoming, Result};
use std::collections::BTreeMap;

/// A hundred bytes a table.
const MAX: usize = 64 * 1024 * 1024;

/// Rows by [`crate::layout::Table::file`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    pub async fn read(incoming: &mut Incoming) -> Result<Counts> {
        let bytes = incoming.read_all(MAX).await?;
        let text = std::str::from_utf8(&bytes)?;
        // The dump's last line: what was cut off behind a table's section would not be missed otherwise.
        let last = text.strip_suffix('\n').and_then(|text| text.lines().next_back());
        if !last.is_some_and(|line| line.starts_with("# Finished")) {
            return Err(Error::Corrupt(format!("{METADATA} does not say that the dump was finished: it is not whole")));
        }
        Self::parse(text)
    }

    pub fn rows(&self, file: &str) -> Option<u64> {
        self.0.get(file).copied()
    }

    fn parse(text: &str) -> Result<Counts> {
        let mut counts = BTreeMap::new();
        let mut table = None;
        for line in text.lines().map(str::trim) {
            if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                table = file(section);
            } else if let (Some(table), Some((key, value))) = (&table, line.split_once('='))
                && key.trim().eq_ignore_ascii_case("rows")
            {
                let rows = value.trim().parse();
                let rows = rows.map_err(|_| Error::Corrupt(format!("{METADATA}: {line:?} is no number of rows")))?;
                counts.insert(table.clone(), rows);
            }
        }
        Ok(Counts(counts))
    }
}

/// `a.b` of `` `a`.`b` ``; names of files hold no quotes.
fn file(section: &str) -> Option<String> {
    let (database, table) = section.strip_prefix('`')?.strip_suffix('`')?.split_once("`.`")?;
    Some(format!("{database}.{table}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_of_the_section() {
        let text = "# Started\n[config]\nquote-character = BACKTICK\nrows = 9\n\n[source]\nFile = x\n\n[`shop`.`mydumper_0`]\n\
                    real_table_name=or`ders\nrows = 12\n\n[`shop`.`v`]\nis_view = 1\n";
        let counts = Counts::parse(text).expect("parsed");
        assert_eq!(counts.rows("shop.mydumper_0"), Some(12));
        assert_eq!(counts.0.len(), 1);
        assert!(Counts::parse("[`a`.`b`]\nrows = many").is_err());
    }
}
