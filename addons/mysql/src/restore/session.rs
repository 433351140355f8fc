//! A restoring session: the database it is in, and the settings that a program's text was written under.

use crate::client::{Client, Done, Login, Row, ServerError};
use crate::layout::{Program, Sql};
use crate::session::prepare_restore;
use crate::sql::{identifier, literal};
use coffer_addon::{Application, Result};

/// Waits for other sessions' locks on definitions are bounded.
const SETTINGS: &str = "SET SESSION lock_wait_timeout = 300";

/// So that every warning about a row can be looked at. Newer servers let administrators only; `rows` counts them.
const ALL_WARNINGS: &str = "SET SESSION max_error_count = 65535";

/// Modes that MySQL 8.0 took away; they mean nothing to it.
const GONE: [&str; 11] = [
    "DB2",
    "MAXDB",
    "MSSQL",
    "MYSQL323",
    "MYSQL40",
    "NO_AUTO_CREATE_USER",
    "NO_FIELD_OPTIONS",
    "NO_KEY_OPTIONS",
    "NO_TABLE_OPTIONS",
    "ORACLE",
    "POSTGRESQL",
];

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Its statements are UTF-8.
    Schema,
    /// Its statements hold the bytes of columns in whatever character set.
    Rows,
}

/// What the server remarks on a statement that it took: of each its number and its words.
pub type Remarks = Vec<ServerError>;

pub struct Session {
    pub client: Client,
    /// The one that unqualified names are in.
    database: Option<String>,
    /// A restore's own.
    sql_mode: String,
}

impl Session {
    pub async fn open(application: &Application, login: &Login, purpose: Purpose) -> Result<Session> {
        let mut client = Client::connect(application, login, None).await?;
        prepare_restore(&mut client).await?;
        client.execute(SETTINGS).await?;
        if purpose == Purpose::Rows {
            client.execute("SET NAMES binary").await?;
            if let Err(error) = client.try_execute(ALL_WARNINGS).await? {
                coffer_addon::debug!("max_error_count stays as it is: {}", error.message);
            }
        }
        let sql_mode = client.query_one("SELECT @@SESSION.sql_mode AS mode").await?.get("mode")?.to_string();
        Ok(Session { client, database: None, sql_mode })
    }

    /// Makes it the database that unqualified names are in.
    pub async fn enter(&mut self, database: &str) -> Result<()> {
        if self.database.as_deref() != Some(database) {
            self.client.execute(&format!("USE {}", identifier(database))).await?;
            self.database = Some(database.to_string());
        }
        Ok(())
    }

    /// What the server remarks on the statement that it just took.
    pub async fn remarks(&mut self, done: Done) -> Result<Remarks> {
        if done.warnings == 0 {
            return Ok(Vec::new());
        }
        let rows = self.client.query("SHOW WARNINGS").await?;
        let remark = |row: &Row| ServerError {
            number: row.at(1).and_then(|number| number.parse().ok()).unwrap_or_default(),
            message: row.at(2).unwrap_or_default().to_string(),
        };
        Ok(rows.iter().map(remark).collect())
    }

    /// Runs a program's statement in the session that it was written in. The inner result is the server's refusal.
    pub async fn make(&mut self, program: &Program, sql: &Sql) -> Result<Result<Remarks, ServerError>> {
        let mode = program.sql_mode.as_ref().unwrap_or(&self.sql_mode);
        let lacks_modes = self.client.version().is_mysql(80_000);
        let modes: Vec<&str> = mode.split(',').filter(|mode| !(lacks_modes && GONE.contains(mode))).collect();
        let mut settings = format!(
            "SET SESSION sql_mode = {}, character_set_client = {}, collation_connection = {}",
            literal(&modes.join(",")),
            literal(&program.character_set_client),
            literal(&program.collation_connection)
        );
        if let Some(zone) = &program.time_zone {
            settings.push_str(&format!(", time_zone = {}", literal(zone)));
        }
        self.client.execute(&settings).await?;
        let outcome = match self.client.try_execute_private(sql.bytes()).await? {
            Ok(done) => Ok(self.remarks(done).await?),
            Err(error) => Err(error),
        };
        self.reset().await?;
        Ok(outcome)
    }

    /// Takes back what a statement needed for itself.
    pub async fn reset(&mut self) -> Result<()> {
        self.client.execute("SET NAMES utf8mb4").await?;
        let mode = literal(&self.sql_mode);
        self.client.execute(&format!("SET SESSION sql_mode = {mode}, time_zone = '+00:00'")).await?;
        Ok(())
    }
}
