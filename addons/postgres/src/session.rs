//! The settings that a dump and a restore depend on. Whatever the server, database or role has set, these win.

use crate::client::Client;
use coffer_addon::{Context as _, Error, Result};
use std::time::Duration;

/// Settings of both: nothing times out but by the task's own timeout, nothing is filtered, every name is qualified.
const COMMON: &str = "\
SET statement_timeout = 0; \
SET lock_timeout = 0; \
SET idle_in_transaction_session_timeout = 0; \
SET standard_conforming_strings = on; \
SET row_security = off; \
SET search_path = ''";

/// What makes values come out as text that every server reads back as the same values.
const DUMP: &str = "\
SET DateStyle = ISO; \
SET IntervalStyle = POSTGRES; \
SET extra_float_digits = 3; \
SET synchronize_seqscans = off; \
SET quote_all_identifiers = off; \
SET xmloption = content; \
SET bytea_output = hex";

/// What lets statements be run in an order in which not everything they name is there yet.
const RESTORE: &str = "\
SET check_function_bodies = false; \
SET xmloption = content; \
SET client_min_messages = warning";

/// Versions of the server, as `server_version_num` has them: from the first to before the second.
pub const SUPPORTED: std::ops::Range<u32> = 90_600..190_000;
/// Major versions that the tests are run with.
pub const TESTED: [u32; 2] = [15, 17];

/// [`SUPPORTED`] as a requirement.
pub fn supported() -> String {
    format!(">={}, <{}", dotted(SUPPORTED.start), dotted(SUPPORTED.end))
}

/// The part of a version that says which release it is: before 10, the first two numbers.
fn dotted(version: u32) -> String {
    let major = version / 10_000;
    if major >= 10 { major.to_string() } else { format!("{major}.{}", version / 100 % 100) }
}

/// An unsupported version is an error, an untested one a warning.
pub fn check_version(client: &Client) -> Result<()> {
    let (version, text) = (client.server_version(), client.server_version_text());
    if !SUPPORTED.contains(&version) {
        return Err(Error::Unsupported(format!(
            "the server is PostgreSQL {text}; versions {} can be dumped and restored",
            supported()
        )));
    }
    if !TESTED.contains(&(version / 10_000)) {
        coffer_addon::warn!("PostgreSQL {text} is supported but not among the versions this addon was tested with");
    }
    Ok(())
}

/// Begins the transaction that a dump reads in, with a dump's settings in it: a pooler between may give every transaction
/// another session, and a transaction whole. `snapshot` is one that another session exported.
pub async fn begin_dump(client: &mut Client, snapshot: Option<&str>, lock_timeout: Duration) -> Result<()> {
    client.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    if let Some(snapshot) = snapshot {
        // Nothing that needs a snapshot may come before it.
        client.execute(&format!("SET TRANSACTION SNAPSHOT '{snapshot}'")).await?;
    }
    common(client).await?;
    client.execute(DUMP).await?;
    let version = client.server_version();
    if version >= 120_000 {
        // A view or a foreign table put in a table's place runs no code of somebody else's (CVE-2024-7348). Unknown before
        // the minor versions that have the fix.
        client
            .execute(
                "SELECT pg_catalog.set_config(name, 'view, foreign-table', false) FROM pg_catalog.pg_settings \
                 WHERE name = 'restrict_nonsystem_relation_kind'",
            )
            .await?;
    }
    client.execute(&format!("SET lock_timeout = {}", lock_timeout.as_millis())).await?;
    Ok(())
}

/// A restore's settings.
pub async fn prepare_restore(client: &mut Client) -> Result<()> {
    common(client).await?;
    client.execute(RESTORE).await?;
    Ok(())
}

async fn common(client: &mut Client) -> Result<()> {
    client.execute(COMMON).await.context(|| "unable to prepare the session")?;
    if client.server_version() >= 170_000 {
        client.execute("SET transaction_timeout = 0").await?;
    }
    // A database without an encoding converts nothing: its bytes come as they are and go back as they were.
    if client.parameter("server_encoding") == Some("SQL_ASCII") {
        client.execute("SET client_encoding = 'SQL_ASCII'").await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::supported;

    #[test]
    fn the_requirement_is_that_of_the_numbers() {
        assert_eq!(supported(), ">=9.6, <19");
    }
}
