//! The database that a restore goes into: empty, cleaned or made.

use super::plan;
use super::session::{Session, name};
use crate::archive::Archive;
use crate::client::{Client, Login};
use crate::parameters::Restore;
use crate::session;
use crate::sql::identifier;
use coffer_addon::{Application, Context as _, Error, Result};

/// SQLSTATEs that say that an object is not there: class, then table, column, function, object, schema.
const ABSENT: &[&str] = &["42P01", "42703", "42883", "42704", "3F000"];

/// Any object of a user's own, with its kind. What belongs to an extension counts by the extension.
const ANY_OBJECT: &str = r"
SELECT 'relation ' || n.nspname || '.' || c.relname AS object
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
UNION ALL
SELECT 'function ' || n.nspname || '.' || p.proname
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e')
UNION ALL
SELECT 'type ' || n.nspname || '.' || t.typname
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND t.typtype IN ('d', 'e', 'r')
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid AND d.deptype = 'e')
UNION ALL
SELECT 'schema ' || n.nspname
FROM pg_catalog.pg_namespace n
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'public')
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.objid = n.oid AND d.deptype = 'e')
LIMIT 1";

/// Makes the target ready. Gives the login for it, which `create` turns to the new database.
pub async fn prepare(
    application: &Application,
    archive: &Archive,
    mut login: Login,
    parameters: &Restore,
) -> Result<Login> {
    if parameters.create {
        create(application, archive, &login, parameters).await?;
        login.database.clone_from(&archive.database);
        return Ok(login);
    }
    let mut session = Session::open(application, &login, &archive.entries, parameters).await?;
    session::check_version(&session.client)?;
    if parameters.clean {
        clean(&mut session, archive).await?;
    } else if let Some(row) = session.client.query(ANY_OBJECT).await?.first() {
        let (database, object) = (&login.database, row.get("object")?);
        return Err(Error::InvalidParameter(format!(
            "database {database} is not empty: it has {object}; restore into an empty one, or set clean or create"
        )));
    }
    session.client.close().await;
    Ok(login)
}

/// Drops what the archive has, the last made first. What is not there is passed over.
async fn clean(session: &mut Session<'_>, archive: &Archive) -> Result<()> {
    for entry in archive.entries.iter().rev() {
        // Indexes and what stands on them go with their tables. Those of partitions cannot be dropped by themselves.
        let goes_along = matches!(entry.kind.as_str(), "CONSTRAINT" | "INDEX");
        if entry.drop.is_empty() || goes_along || plan::is_database(entry) {
            continue;
        }
        session.prepare(entry).await?;
        session.client.execute_unless(&entry.drop, ABSENT).await.map_err(|error| {
            error.context(format!("unable to drop {} {} (entry {})", entry.kind, entry.tag, entry.id))
        })?;
    }
    Ok(())
}

/// Makes the archive's database from the login's, which is another.
async fn create(application: &Application, archive: &Archive, login: &Login, parameters: &Restore) -> Result<()> {
    let database = &archive.database;
    if *database == login.database {
        return Err(Error::InvalidParameter(format!(
            "database {database} cannot be created from within itself; set the parameter database to another, e.g. postgres"
        )));
    }
    let Some(entry) = archive.entries.iter().find(|entry| entry.kind == "DATABASE") else {
        return Err(Error::Unsupported(
            "the dump does not say how its database was made; restore without create".into(),
        ));
    };
    let mut client = Client::connect(application, login).await?;
    session::check_version(&client)?;
    session::prepare_restore(&mut client).await?;
    if parameters.clean {
        client.execute(&format!("DROP DATABASE IF EXISTS {}", identifier(database))).await?;
    }
    // Neither can be part of another's transaction.
    let create = entry.create.trim().to_string();
    client.execute_private(&create).await.context(|| name(entry))?;
    if !parameters.no_owner && !entry.owner.is_empty() {
        let owner = format!("ALTER DATABASE {} OWNER TO {}", identifier(database), identifier(&entry.owner));
        client.execute(&owner).await.context(|| name(entry))?;
    }
    client.close().await;
    Ok(())
}
