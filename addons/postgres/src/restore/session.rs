//! A restoring session: runs entries with the settings they expect, and names the one that failed.

use super::plan;
use crate::archive::has_tablespace;
use crate::client::{Client, Login};
use crate::entry::Entry;
use crate::parameters::Restore;
use crate::session;
use crate::sql::identifier;
use coffer_addon::{Application, Context as _, Result};

pub struct Session<'a> {
    pub client: Client,
    parameters: &'a Restore,
    /// Archives before 1.13 have unqualified names, meant in the entry's schema.
    by_search_path: bool,
    /// What the session's settings are, so that they are not set again for every entry.
    tablespace: Option<String>,
    access_method: Option<String>,
    schema: Option<String>,
}

impl<'a> Session<'a> {
    /// Connects and applies the archive's own settings.
    pub async fn open(
        application: &Application,
        login: &Login,
        entries: &[Entry],
        parameters: &'a Restore,
    ) -> Result<Session<'a>> {
        let mut client = Client::connect(application, login).await?;
        session::prepare_restore(&mut client).await?;
        for entry in entries.iter().filter(|entry| plan::is_setting(entry)) {
            client.execute_private(&entry.create).await.context(|| name(entry))?;
        }
        let by_search_path = !entries.iter().any(|entry| entry.kind == "SEARCHPATH");
        Ok(Session { client, parameters, by_search_path, tablespace: None, access_method: None, schema: None })
    }

    /// Makes the entry's object.
    pub async fn run(&mut self, entry: &Entry) -> Result<()> {
        let statements = plan::statements(entry, self.parameters);
        if statements.is_empty() {
            return Ok(());
        }
        self.prepare(entry).await.context(|| name(entry))?;
        self.client.execute_private(&statements).await.context(|| name(entry))
    }

    /// The settings that an entry's statements leave to the session.
    pub async fn prepare(&mut self, entry: &Entry) -> Result<()> {
        if self.by_search_path && !entry.namespace.is_empty() && self.schema.as_ref() != Some(&entry.namespace) {
            let path = format!("SET search_path = {}, pg_catalog", identifier(&entry.namespace));
            self.client.execute(&path).await?;
            self.schema = Some(entry.namespace.clone());
        }
        if has_tablespace(&entry.kind)
            && !self.parameters.no_tablespaces
            && self.tablespace.as_ref() != Some(&entry.tablespace)
        {
            let value = if entry.tablespace.is_empty() { "''".into() } else { identifier(&entry.tablespace) };
            self.client.execute(&format!("SET default_tablespace = {value}")).await?;
            self.tablespace = Some(entry.tablespace.clone());
        }
        let method = &entry.access_method;
        if !method.is_empty() && self.client.server_version() >= 120_000 && self.access_method.as_ref() != Some(method)
        {
            self.client.execute(&format!("SET default_table_access_method = {}", identifier(method))).await?;
            self.access_method = Some(method.clone());
        }
        Ok(())
    }
}

/// An entry as an error names it: `TABLE public.orders (entry 215)`.
pub fn name(entry: &Entry) -> String {
    let schema = if entry.namespace.is_empty() { String::new() } else { format!("{}.", entry.namespace) };
    format!("unable to restore {} {schema}{} (entry {})", entry.kind, entry.tag, entry.id)
}
