//! The settings that a dump and a restore depend on. Whatever the server or the user's account has set, these win.
//!
//! Servers differ in which settings they know, so the server is asked: those it has not are left out, those that are right
//! already are not touched, as some may be set by administrators only.

use crate::client::{Client, Flavor, Version};
use crate::sql::literal;
use coffer_addon::host::{self, Level};
use coffer_addon::{Context as _, Error, Result};
use std::ops::Range;
use std::time::Duration;

/// In seconds: a year, the longest that servers take. Nothing times out but by the task's own timeout; a repository that is
/// slow to take or to give bytes leaves the server waiting for as long as that lasts.
const YEAR: &str = "31536000";

type Setting = (&'static str, &'static str);

/// Settings of both, as `SHOW VARIABLES` words them.
const COMMON: [Setting; 16] = [
    ("autocommit", "ON"),
    ("completion_type", "NO_CHAIN"),
    ("time_zone", "+00:00"),
    ("sql_big_selects", "ON"),
    ("sql_safe_updates", "OFF"),
    ("sql_auto_is_null", "OFF"),
    ("net_read_timeout", YEAR),
    ("net_write_timeout", YEAR),
    ("wait_timeout", YEAR),
    ("idle_transaction_timeout", "0"),
    ("idle_readonly_transaction_timeout", "0"),
    ("idle_write_transaction_timeout", "0"),
    // Of MySQL, in milliseconds, and of MariaDB, in seconds.
    ("max_execution_time", "0"),
    ("max_statement_time", "0"),
    // The errors' language: what to leave out of them is found by their words.
    ("lc_messages", "en_US"),
    ("sql_quote_show_create", "ON"),
];

/// What makes definitions come out whole and the same on every server.
const DUMP: [Setting; 7] = [
    ("sql_mode", ""),
    // Statistics as they are, not as they were cached.
    ("information_schema_stats_expiry", "0"),
    ("show_gipk_in_create_table_and_information_schema", "ON"),
    ("print_identified_with_as_hex", "ON"),
    ("show_old_temporals", "OFF"),
    ("show_create_table_skip_secondary_engine", "OFF"),
    ("show_create_table_verbosity", "OFF"),
];

/// What lets rows and definitions in as they were: in any order, and whatever the server's rules have become since. Not
/// strict, as tables hold zero dates and values that are in no ENUM; a storage engine that the server has not must not become
/// another one.
const RESTORE: [Setting; 3] = [
    ("sql_mode", "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION"),
    ("foreign_key_checks", "OFF"),
    ("unique_checks", "OFF"),
];

/// Wanted for a restore as well, where the user may: tables are then made as the source had them.
const WISHES: [Setting; 7] = [
    ("explicit_defaults_for_timestamp", "ON"),
    ("innodb_strict_mode", "OFF"),
    // Of MySQL: a foreign key may refer to a key that is not unique, where it was made so.
    ("restrict_fk_on_non_standard_key", "OFF"),
    ("sql_generate_invisible_primary_key", "OFF"),
    ("sql_require_primary_key", "OFF"),
    ("system_versioning_insert_history", "ON"),
    // Of MariaDB: rows may be older than a CHECK, or let in without it.
    ("check_constraint_checks", "OFF"),
];

/// The wishes without which the server refuses a table or a row, and says so. Without the others it makes another one.
const SPEAK_FOR_THEMSELVES: [&str; 4] =
    ["innodb_strict_mode", "restrict_fk_on_non_standard_key", "sql_require_primary_key", "check_constraint_checks"];

/// Versions of a flavor's servers, as [`Version::number`] has them: from the first to before the second.
const fn supported(flavor: Flavor) -> Range<u32> {
    match flavor {
        Flavor::MySql => 50_700..100_000,
        Flavor::MariaDb => 100_300..130_000,
    }
}

/// Versions that the tests are run with.
pub const fn tested(flavor: Flavor) -> &'static [&'static str] {
    match flavor {
        Flavor::MySql => &["9.7"],
        Flavor::MariaDb => &["10.11", "11.8"],
    }
}

/// What of a flavor is supported, as a requirement.
pub fn requirement(flavor: Flavor) -> String {
    let Range { start, end } = supported(flavor);
    format!(">={}, <{}", dotted(start), dotted(end))
}

/// Major and minor version.
fn dotted(version: u32) -> String {
    match (version / 10_000, version / 100 % 100) {
        (major, 0) => major.to_string(),
        (major, minor) => format!("{major}.{minor}"),
    }
}

/// An unsupported version is an error, an untested one a warning.
pub fn check_version(client: &Client) -> Result<()> {
    check(client.version())
}

fn check(version: &Version) -> Result<()> {
    let flavor = version.flavor;
    if ["tidb", "vitess"].iter().any(|other| version.text.to_ascii_lowercase().contains(other)) {
        return Err(Error::Unsupported(format!(
            "the server calls itself {}: it speaks MySQL's protocol but is none",
            version.text
        )));
    }
    if !supported(flavor).contains(&version.number) {
        return Err(Error::Unsupported(format!(
            "the server is {version}; {} {} can be dumped and restored",
            flavor.name(),
            requirement(flavor)
        )));
    }
    if !tested(flavor).contains(&dotted(version.number / 100 * 100).as_str()) {
        coffer_addon::warn!("{version} is supported but not among the versions this addon was tested with");
    }
    Ok(())
}

/// A dump's settings. `lock_timeout` bounds the wait for another session's lock on a table's definition.
pub async fn prepare_dump(client: &mut Client, lock_timeout: Duration) -> Result<()> {
    prepare(client, &DUMP).await?;
    let seconds = lock_timeout.as_secs().max(1);
    client.execute(&format!("SET SESSION lock_wait_timeout = {seconds}")).await?;
    Ok(())
}

/// A restore's settings.
pub async fn prepare_restore(client: &mut Client) -> Result<()> {
    prepare(client, &RESTORE).await?;
    for (name, value, is) in different(client, &WISHES).await? {
        let refused = client.try_execute(&format!("SET SESSION {name} = {}", value_of(value))).await?.err();
        if let Some(error) = refused {
            let level = if SPEAK_FOR_THEMSELVES.contains(&name) { Level::Debug } else { Level::Warn };
            host::log(level, &format!("the server's {name} stays {is}, not {value}: {}", error.message), &[]);
        }
    }
    Ok(())
}

async fn prepare(client: &mut Client, settings: &[Setting]) -> Result<()> {
    // A limit would cut every answer short that has none of its own, also that to the question for settings.
    for sql in ["SET NAMES utf8mb4", "SET SESSION sql_select_limit = 18446744073709551615"] {
        client.execute(sql).await.context(|| "unable to prepare the session")?;
    }
    let wanted: Vec<Setting> = COMMON.iter().chain(settings).copied().collect();
    let changes = different(client, &wanted).await?;
    if changes.is_empty() {
        return Ok(());
    }
    let changes: Vec<String> =
        changes.iter().map(|(name, value, _)| format!("SESSION {name} = {}", value_of(value))).collect();
    client.execute(&format!("SET {}", changes.join(", "))).await.context(|| "unable to prepare the session")?;
    Ok(())
}

/// Those settings that the server has and that are something else, with what they are.
async fn different(client: &mut Client, wanted: &[Setting]) -> Result<Vec<(&'static str, &'static str, String)>> {
    let names: Vec<String> = wanted.iter().map(|(name, _)| literal(name)).collect();
    let rows = client.query(&format!("SHOW SESSION VARIABLES WHERE Variable_name IN ({})", names.join(", "))).await?;
    let mut different = Vec::new();
    for row in rows {
        let (name, is) = (row.at(0).unwrap_or_default(), row.at(1).unwrap_or_default());
        let setting = wanted.iter().find(|(wanted, _)| *wanted == name);
        different
            .extend(setting.filter(|(_, value)| *value != is).map(|(name, value)| (*name, *value, is.to_string())));
    }
    Ok(different)
}

/// A value as SET takes it: numbers as they are, all else as text.
fn value_of(value: &str) -> String {
    if value.parse::<u64>().is_ok() { value.into() } else { literal(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_those_of_the_numbers() {
        assert_eq!(requirement(Flavor::MySql), ">=5.7, <10");
        assert_eq!(requirement(Flavor::MariaDb), ">=10.3, <13");
    }

    #[test]
    fn old_servers_and_other_products_are_refused_by_name() {
        let check = |text: &str| super::check(&Version::parse(text).expect("a version"));
        for text in ["9.7.0", "8.0.36-28", "10.11.6-MariaDB", "11.4.5-MariaDB-log", "8.0.mysql_aurora.3.04.0"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        for (text, named) in [
            ("5.5.9-log", "MySQL 5.5.9-log; MySQL >=5.7, <10"),
            ("5.5.68-MariaDB", "5.5.68-MariaDB; MariaDB >=10.3"),
            ("8.0.11-TiDB-v7.5.0", "TiDB-v7.5.0"),
        ] {
            let refused = check(text);
            assert!(matches!(&refused, Err(Error::Unsupported(text)) if text.contains(named)), "{refused:?}");
        }
    }
}
