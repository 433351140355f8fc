//! What a server has, read into the dump's [`Index`](crate::layout::Index): every object with the statement that makes it.
//!
//! Statements are the server's own words (`SHOW CREATE …`), never put together here, so that nothing of an attribute is lost
//! that this code has not heard of. What has no such words, or what the account may not see, is named, not left out.

mod accounts;
mod columns;
mod databases;
mod names;
mod objects;
mod places;
mod privileges;
mod programs;
mod sequences;
mod tables;
mod views;
mod worded;

pub use columns::{Column, Form};
pub use databases::is_own;
pub use objects::{Objects, Relation, Stored};
pub use places::of_table as place_of;
pub use privileges::Privileges;
pub use tables::{Key, Storage, Table, show_create, without_counter};

use crate::client::{Client, Row};
use crate::layout::{self, Account, Program};
use crate::parameters::Dump;
use coffer_addon::parameters::Patterns;
use coffer_addon::{Error, Result};

/// What a dump is made of, with what only the dump itself has to know.
pub struct Catalog {
    pub databases: Vec<Database>,
    pub views: Vec<Program>,
    pub accounts: Vec<Account>,
    /// What there is and cannot be dumped faithfully, as `kind name`.
    pub unsupported: Vec<String>,
}

impl Catalog {
    /// Reads once more where sequences stand.
    pub async fn move_sequences(&mut self, client: &mut Client) -> Result<()> {
        for database in &mut self.databases {
            for sequence in &mut database.index.sequences {
                sequence.set = sequences::set(client, &database.index.name, &sequence.name).await?;
            }
        }
        Ok(())
    }
}

pub struct Database {
    /// Without its tables.
    pub index: layout::Database,
    pub tables: Vec<Table>,
}

impl Database {
    /// Views aside, which are the catalog's.
    fn is_empty(&self) -> bool {
        let Self { index, tables } = self;
        let programs = [&index.routines, &index.triggers, &index.events];
        tables.is_empty() && index.sequences.is_empty() && programs.iter().all(|programs| programs.is_empty())
    }
}

/// Which objects are asked for.
pub struct Selection<'a> {
    pub databases: Vec<String>,
    include: &'a Patterns,
    exclude: &'a Patterns,
    /// Whether databases are asked for as such, and not only what is in them.
    whole: bool,
    /// Whether anything but rows is asked for.
    pub schema: bool,
}

impl<'a> Selection<'a> {
    /// The databases are checked to be there.
    pub async fn new(client: &mut Client, parameters: &'a Dump) -> Result<Self> {
        let databases = databases::names(client, &parameters.databases).await?;
        Ok(Selection {
            databases,
            include: &parameters.include,
            exclude: &parameters.exclude,
            whole: !parameters.databases.is_empty() || parameters.include.is_empty(),
            schema: !parameters.data_only,
        })
    }

    /// Whether an object of a database is asked for.
    pub fn has(&self, database: &str, name: &str) -> bool {
        Patterns::select(self.include, self.exclude, &format!("{database}.{name}"))
    }

    /// Whether tables of a database are asked for by a pattern and not by name.
    pub fn is_by_pattern(&self, database: &str) -> bool {
        let has_wildcard = |text: &str| text.contains(['*', '?']);
        self.include.is_empty()
            || self.include.iter().any(|pattern| {
                let of = pattern.split_once('.').map(|(of, _)| of).filter(|of| !has_wildcard(of));
                has_wildcard(pattern) && of.is_none_or(|of| of == database)
            })
    }

    /// A pattern that fits nothing is most likely mistyped, and what was meant would be missing without a word.
    fn check(&self, objects: &Objects) -> Result<()> {
        let names: Vec<String> = objects.names().collect();
        let unmatched = self.include.without_match(&names);
        if unmatched.is_empty() {
            return Ok(());
        }
        Err(Error::InvalidParameter(format!(
            "include: nothing that the account can see matches {}",
            unmatched.join(", ")
        )))
    }
}

/// What the sessions have that read definitions and rows. Definitions come as they were sent when they were made: a program in its
/// own character set, and a literal in another one with its own bytes. (A conversion would also make `?` of what is outside of
/// MySQL's old UTF-8.) Rows come in the bytes that their columns hold, also those that are wrong in their character set.
pub async fn as_is(client: &mut Client) -> Result<()> {
    client.execute("SET character_set_results = NULL").await?;
    Ok(())
}

/// Text for people and for comparing, whatever its bytes are.
fn lossy(row: &Row, name: &str) -> Result<String> {
    Ok(row.bytes(name)?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default())
}

/// Reads everything selected, in a session that has its results [`as_is`]. Whoever calls makes sure that it does not change meanwhile, or finds out whether it did.
pub async fn read(client: &mut Client, selection: &Selection<'_>, objects: &Objects, users: bool) -> Result<Catalog> {
    selection.check(objects)?;
    let mut names = names::Names::default();
    let mut catalog =
        Catalog { databases: Vec::new(), views: Vec::new(), accounts: Vec::new(), unsupported: Vec::new() };
    for name in &selection.databases {
        if !names.check(&mut catalog.unsupported, "database", name) {
            continue;
        }
        let index = databases::read(client, name, names.files.name(name)).await?;
        client.execute(&format!("USE {}", crate::sql::identifier(name))).await?;
        let mut database = Database { index, tables: Vec::new() };
        tables::read(client, selection, objects, &mut names, &mut database, &mut catalog.unsupported).await?;
        if selection.schema {
            sequences::read(client, selection, objects, &mut names, &mut database.index).await?;
            programs::read(client, selection, &mut names, &mut database.index, &mut catalog.unsupported).await?;
            let tables = &database.tables;
            let is_there = |name: &str| tables.iter().any(|table| table.index.name == name);
            database.index.triggers.retain(|trigger| trigger.table.as_deref().is_some_and(is_there));
            let unsupported = &mut catalog.unsupported;
            let views = views::read(client, selection, objects, &mut names, &database.index, unsupported).await?;
            catalog.views.extend(views);
        }
        // One that nothing is asked of would be made, empty, by a restore, or be in its way.
        let has_view = catalog.views.iter().any(|view| view.database == *name);
        if selection.whole || has_view || !database.is_empty() {
            catalog.databases.push(database);
        }
    }
    views::complete(client, &mut catalog).await?;
    catalog.views = views::in_order(std::mem::take(&mut catalog.views));
    if users {
        catalog.accounts = accounts::read(client).await?;
    }
    Ok(catalog)
}
