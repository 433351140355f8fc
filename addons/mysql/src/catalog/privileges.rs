//! What the account may see. The server does not say that it hides something: triggers, events and routines that an account
//! has no privilege on are not listed, and would be missing from the backup without a word.

use super::Selection;
use crate::client::{Client, Version};
use coffer_addon::Result;
use std::collections::BTreeSet;

/// The account's privileges, as far as a dump is concerned with them.
#[derive(Debug, Default)]
pub struct Privileges {
    global: BTreeSet<String>,
    /// By pattern: `%` and `_` stand for other letters, unless a backslash is in front.
    databases: Vec<(String, BTreeSet<String>)>,
    /// Taken away again, by name (partial revokes).
    revoked: Vec<(String, BTreeSet<String>)>,
    /// `mysql.proc`, where routines stood before MySQL 8.
    routine_table: bool,
}

const ALL: &str = "ALL PRIVILEGES";

impl Privileges {
    /// Of this account and its active roles.
    pub async fn read(client: &mut Client) -> Result<Self> {
        let mut privileges = Privileges::default();
        for row in client.query("SHOW GRANTS").await? {
            privileges.add(row.at(0).unwrap_or_default());
        }
        Ok(privileges)
    }

    fn add(&mut self, line: &str) {
        let (revoked, line) = match (line.strip_prefix("GRANT "), line.strip_prefix("REVOKE ")) {
            (Some(line), _) => (false, line),
            (_, Some(line)) => (true, line),
            _ => return,
        };
        // A granted role has no `ON`; MySQL lists what the active ones give as the account's own.
        let Some((words, rest)) = line.split_once(" ON ") else { return };
        let words: BTreeSet<String> = words.split(',').map(|word| word.trim().to_string()).collect();
        let target = rest.split(if revoked { " FROM " } else { " TO " }).next().unwrap_or_default().trim();
        if target == "*.*" {
            self.global.extend(words);
        } else if let Some(database) = target.strip_suffix(".*") {
            let database = database.trim_matches('`').replace("``", "`");
            if revoked { &mut self.revoked } else { &mut self.databases }.push((database, words));
        } else if target == "`mysql`.`proc`" && words.contains("SELECT") {
            self.routine_table = true;
        }
    }

    /// Whether the account has a privilege on all of a database.
    pub fn on(&self, database: &str, privilege: &str) -> bool {
        let has = |words: &BTreeSet<String>| words.contains(privilege) || words.contains(ALL);
        let by_name = self.databases.iter().any(|(pattern, words)| has(words) && is_like(pattern, database));
        let revoked = self.revoked.iter().any(|(name, words)| has(words) && name == database);
        by_name || (has(&self.global) && !revoked)
    }

    fn sees_routines(&self, version: &Version, database: &str) -> bool {
        let any = |privileges: &[&str]| privileges.iter().any(|privilege| self.on(database, privilege));
        if version.is_mysql(80_000) {
            let global = |word: &str| self.global.contains(word) || self.global.contains(ALL);
            // Those that run or change routines see that there are some; that the text is hidden is found out later.
            return global("SHOW_ROUTINE") || global("SELECT") || any(&["EXECUTE", "ALTER ROUTINE", "CREATE ROUTINE"]);
        }
        self.routine_table || self.on("mysql", "SELECT") || any(&["SHOW CREATE ROUTINE", "EXECUTE", "ALTER ROUTINE"])
    }

    /// What would be missing from a dump of the selection, and which privilege it takes.
    pub fn missing(&self, version: &Version, selection: &Selection<'_>) -> Vec<String> {
        let mut missing = Vec::new();
        for database in &selection.databases {
            let mut needs = |privilege: &str, what: &str| {
                if !self.on(database, privilege) {
                    missing.push(format!("{what} of {database} (GRANT {privilege} ON `{database}`.* …)"));
                }
            };
            // The account may have been granted just the tables that are named; one that is not found is an error then.
            if selection.is_by_pattern(database) {
                needs("SELECT", "tables");
            }
            if selection.schema {
                needs("SHOW VIEW", "views");
                needs("TRIGGER", "triggers");
                needs("EVENT", "events");
                if !self.sees_routines(version, database) {
                    let grant =
                        if version.is_mysql(80_000) { "SHOW_ROUTINE ON *.*" } else { "SELECT ON `mysql`.`proc`" };
                    missing.push(format!("routines of {database} (GRANT {grant} …)"));
                }
            }
        }
        missing
    }
}

/// SQL's LIKE, as grants on databases use it.
fn is_like(pattern: &str, name: &str) -> bool {
    let mut letters = pattern.chars();
    match letters.next() {
        None => name.is_empty(),
        Some('%') => {
            let rest = letters.as_str();
            name.char_indices().any(|(place, _)| is_like(rest, name.get(place..).unwrap_or_default()))
                || is_like(rest, "")
        }
        Some(letter) => {
            let wanted = match letter {
                '_' => None,
                '\\' => letters.next(),
                other => Some(other),
            };
            let mut found = name.chars();
            found.next().is_some_and(|found| wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(&found)))
                && is_like(letters.as_str(), found.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn privileges(lines: &[&str]) -> Privileges {
        let mut privileges = Privileges::default();
        lines.iter().for_each(|line| privileges.add(line));
        privileges
    }

    #[test]
    fn grants_are_on_everything_or_on_databases() {
        let some = privileges(&[
            "GRANT USAGE ON *.* TO `a`@`%`",
            "GRANT SELECT, SHOW VIEW ON `sh\\_p`.* TO `a`@`%`",
            "GRANT ALL PRIVILEGES ON `own%`.* TO `a`@`%` WITH GRANT OPTION",
            "GRANT `reader`@`%` TO `a`@`%`",
        ]);
        assert!(some.on("sh_p", "SELECT") && some.on("own1", "TRIGGER"));
        assert!(!some.on("shop", "SELECT") && !some.on("sh_p", "TRIGGER"));
        let all = privileges(&["GRANT ALL PRIVILEGES ON *.* TO `a`@`%`", "REVOKE SELECT ON `secret`.* FROM `a`@`%`"]);
        assert!(all.on("shop", "EVENT") && all.on("secret", "EVENT"));
        let partial = privileges(&["GRANT SELECT ON *.* TO `a`@`%`", "REVOKE SELECT ON `secret`.* FROM `a`@`%`"]);
        assert!(partial.on("shop", "SELECT") && !partial.on("secret", "SELECT"));
    }

    #[test]
    fn patterns_are_those_of_like() {
        for (pattern, name, is) in
            [("a%", "abc", true), ("a%", "ba", false), ("%", "", true), ("a_c", "abc", true), ("a\\_c", "abc", false)]
        {
            assert_eq!(is_like(pattern, name), is, "{pattern} {name}");
        }
    }
}
