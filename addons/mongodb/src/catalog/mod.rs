//! What a server has: its databases, their collections, how each is made.

mod extended;
mod metadata;

pub use metadata::{digits, metadata};

use crate::client::{Client, code, number};
use crate::layout::{BUCKETS, Kind};
use crate::parameters::Dump;
use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf, cstr};
use bson::rawdoc;
use coffer_addon::parameters::Patterns;
use coffer_addon::{Context as _, Error, Result, omitted};
use std::collections::BTreeSet;

/// The server's own databases, which are dumped only when they are named.
pub const OWN: [&str; 3] = ["admin", "config", LOCAL];

/// What every member has for itself.
const LOCAL: &str = "local";

/// Where users and roles are, and the version of how they are written. In `admin`.
pub const USERS_AND_ROLES: [&str; 3] = ["system.users", "system.roles", "system.version"];

/// A collection, a view or a time series, as `listCollections` tells it.
#[derive(Clone, Debug)]
pub struct Found {
    pub database: String,
    pub name: String,
    pub kind: Kind,
    /// The server's word for the kind; old servers have none.
    pub type_name: String,
    pub options: RawDocumentBuf,
    pub uuid: Option<[u8; 16]>,
    /// The collection that has the documents: of a time series, that of its buckets.
    pub stored: Stored,
    /// Options and indexes, as [`metadata`] words them.
    pub metadata: String,
    /// Whether there is an index on `_id` alone.
    pub has_id_index: bool,
    /// By the server's count.
    pub documents: u64,
    /// By the server's count, uncompressed.
    pub bytes: u64,
}

/// Where documents are.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    pub name: String,
    pub uuid: Option<[u8; 16]>,
    /// A time series without a collection for its buckets, from MongoDB 8.3 on: `rawData: true` makes the server show them.
    pub raw: bool,
}

impl Found {
    /// `<database>.<name>`.
    pub fn namespace(&self) -> String {
        format!("{}.{}", self.database, self.name)
    }

    pub fn identity(&self) -> Identity {
        (self.namespace(), self.stored.uuid)
    }

    pub fn is_capped(&self) -> bool {
        flag(&self.options, "capped")
    }

    /// The documents are kept by `_id`, and there is no index of it.
    pub fn is_clustered(&self) -> bool {
        matches!(self.options.get("clusteredIndex"), Ok(Some(_)))
    }

    /// Texts are compared in another way than byte by byte.
    pub fn has_collation(&self) -> bool {
        let locale = self.options.get_document("collation").and_then(|collation| collation.get_str("locale"));
        locale.is_ok_and(|locale| locale != "simple")
    }
}

/// What is to be dumped.
pub struct Selection<'a> {
    pub databases: Vec<String>,
    include: &'a Patterns,
    exclude: &'a Patterns,
    /// Users and roles are dumped beside it: they may be all there is.
    may_be_empty: bool,
}

impl<'a> Selection<'a> {
    /// The databases that are there and meant.
    pub async fn new(client: &mut Client, parameters: &'a Dump) -> Result<Self> {
        if parameters.databases.iter().any(|name| name == LOCAL) {
            return Err(Error::InvalidParameter(
                "databases: `local` is each member's own, and no other server could use it; leave it out".into(),
            ));
        }
        let mut command = rawdoc! { "listDatabases": 1, "nameOnly": true };
        // Of an account that may not list them all the server would show some, and the others would be missing in silence.
        if parameters.databases.is_empty() && client.version().is_since(40_005) && !client.version().is_ferretdb() {
            command.append(cstr!("authorizedDatabases"), false);
        }
        let reply = client.run("admin", command).await.map_err(|error| match error {
            Error::Denied(text) => Error::Denied(format!(
                "the account may not list the server's databases, and could leave some out; grant it the role `backup`, or name \
                 the databases: {text}"
            )),
            other => other,
        })?;
        let there = names(&reply)?;
        let databases = if parameters.databases.is_empty() {
            there.into_iter().filter(|name| !OWN.contains(&name.as_str())).collect()
        } else {
            let missing: Vec<&str> =
                parameters.databases.iter().filter(|name| !there.contains(name)).map(String::as_str).collect();
            if !missing.is_empty() {
                return Err(Error::InvalidParameter(format!("databases: there is no {}", missing.join(", no "))));
            }
            let mut databases = parameters.databases.clone();
            databases.sort();
            databases.dedup();
            databases
        };
        Ok(Selection {
            databases,
            include: &parameters.include,
            exclude: &parameters.exclude,
            may_be_empty: parameters.users_and_roles,
        })
    }

    fn has(&self, namespace: &str) -> bool {
        Patterns::select(self.include, self.exclude, namespace)
    }
}

/// A collection's name, and what tells it from another one of that name.
pub type Identity = (String, Option<[u8; 16]>);

/// Those of all that is selected, as it is now.
pub async fn identities(client: &mut Client, parameters: &Dump) -> Result<BTreeSet<Identity>> {
    let selection = Selection::new(client, parameters).await?;
    let (all, _) = listed(client, &selection).await?;
    Ok(all.iter().map(Found::identity).collect())
}

/// All that is selected, by database and name, with its size.
pub async fn read(client: &mut Client, selection: &Selection<'_>) -> Result<Vec<Found>> {
    let (mut all, seen) = listed(client, selection).await?;
    // What was meant would not be in the backup.
    let idle = selection.include.without_match(&seen);
    if !idle.is_empty() {
        return Err(Error::InvalidParameter(format!("include: no collection is named like {}", omitted::line(idle))));
    }
    let idle = selection.exclude.without_match(&seen);
    if !idle.is_empty() {
        coffer_addon::warn!("exclude: no collection is named like {}", omitted::line(idle));
    }
    if all.is_empty() && !seen.is_empty() && !selection.may_be_empty {
        return Err(Error::InvalidParameter("exclude: it leaves nothing to dump".into()));
    }
    all.sort_by(|a, b| (&a.database, &a.name).cmp(&(&b.database, &b.name)));
    for found in &mut all {
        describe(client, found).await?;
    }
    Ok(all)
}

/// What is selected, and the names of all that it was selected from.
async fn listed(client: &mut Client, selection: &Selection<'_>) -> Result<(Vec<Found>, Vec<String>)> {
    let (mut all, mut seen) = (Vec::new(), Vec::new());
    for database in &selection.databases {
        let listed = list(client, database, None).await?;
        for found in listed.iter().filter(|found| !is_servers_own(database, &found.name)) {
            let namespace = found.namespace();
            if selection.has(&namespace) {
                check_folder(database)?;
                all.push(found.clone());
            }
            seen.push(namespace);
        }
    }
    Ok((all, seen))
}

/// A database's name is that of a folder, and stands there for itself.
fn check_folder(database: &str) -> Result<()> {
    if database.contains(|c: char| c.is_control() || matches!(c, '/' | '\\')) {
        return Err(Error::Unsupported(format!(
            "database {database:?} has a character in its name that no folder of a dump can have; leave it out with databases or exclude"
        )));
    }
    Ok(())
}

/// The collections of users and roles that are there.
pub async fn users_and_roles(client: &mut Client) -> Result<Vec<Found>> {
    let mut all = list(client, "admin", None).await?;
    all.retain(|found| USERS_AND_ROLES.contains(&found.name.as_str()));
    if client.version().is_ferretdb() && all.iter().all(|found| found.name != "system.users") {
        let version = client.version();
        return Err(Error::Unsupported(format!(
            "usersAndRoles: {version} keeps its users where no client can read them; FerretDB 1 has them in its own storage, FerretDB 2 as \
             PostgreSQL's roles"
        )));
    }
    for found in &mut all {
        describe(client, found).await?;
    }
    Ok(all)
}

/// The collection as it is now; none where it is gone.
pub async fn again(client: &mut Client, found: &Found) -> Result<Option<Found>> {
    let listed = list(client, &found.database, Some(&found.stored.name)).await?;
    Ok(listed.into_iter().find(|other| other.name == found.stored.name))
}

/// What `listCollections` tells, with the buckets of time series at the series.
async fn list(client: &mut Client, database: &str, name: Option<&str>) -> Result<Vec<Found>> {
    let mut command = rawdoc! { "listCollections": 1, "cursor": {} };
    if let Some(name) = name {
        command.append(cstr!("filter"), rawdoc! { "name": name });
    }
    let mut listed = Vec::new();
    let mut cursor = client.query(database, command).await?;
    while let Some(document) = cursor.next().await? {
        let found = found(database, document).ok_or_else(|| {
            Error::Corrupt(format!("the server's list of the collections of {database} has one without a name"))
        })?;
        listed.push(found);
    }
    let buckets: Vec<Stored> =
        listed.iter().map(|found| Stored { name: found.name.clone(), uuid: found.uuid, raw: false }).collect();
    for series in listed.iter_mut().filter(|found| found.kind == Kind::Timeseries) {
        let name = format!("{BUCKETS}{}", series.name);
        let stored = buckets.iter().find(|stored| stored.name == name).cloned();
        series.stored = stored.unwrap_or(Stored { name: series.name.clone(), uuid: series.uuid, raw: true });
    }
    Ok(listed)
}

fn found(database: &str, document: &RawDocument) -> Option<Found> {
    let name = document.get_str("name").ok()?.to_string();
    let type_name = document.get_str("type").unwrap_or_default().to_string();
    let options = document.get_document("options").map(RawDocument::to_owned).unwrap_or_default();
    let uuid = document.get_document("info").ok().and_then(|info| match info.get("uuid") {
        Ok(Some(RawBsonRef::Binary(uuid))) => uuid.bytes.try_into().ok(),
        _ => None,
    });
    let kind = match type_name.as_str() {
        "view" => Kind::View,
        "timeseries" => Kind::Timeseries,
        _ => Kind::Collection,
    };
    Some(Found {
        database: database.into(),
        stored: Stored { name: name.clone(), uuid, raw: false },
        name,
        kind,
        type_name,
        options,
        uuid,
        metadata: String::new(),
        has_id_index: false,
        documents: 0,
        bytes: 0,
    })
}

/// Reads the indexes and the size.
async fn describe(client: &mut Client, found: &mut Found) -> Result<()> {
    let indexes = match found.kind {
        Kind::View => Vec::new(),
        _ => indexes(client, found).await.context(|| format!("unable to read the indexes of {}", found.namespace()))?,
    };
    found.has_id_index = indexes.iter().any(|index| index.get_str("name").is_ok_and(|name| name == "_id_"));
    found.metadata =
        metadata(found, &indexes).context(|| format!("unable to word the definition of {}", found.namespace()))?;
    if found.kind != Kind::View {
        let stats = client.try_run(&found.database, rawdoc! { "collStats": found.stored.name.as_str() }).await?;
        // It is for the order of work and for progress alone: not worth failing for.
        if let Ok(stats) = stats {
            found.documents = number(&stats, "count").unwrap_or(0);
            found.bytes = number(&stats, "size").unwrap_or(0);
        }
    }
    Ok(())
}

async fn indexes(client: &mut Client, found: &Found) -> Result<Vec<RawDocumentBuf>> {
    let command = rawdoc! { "listIndexes": found.name.as_str(), "cursor": {} };
    let mut indexes = Vec::new();
    match client.try_query(&found.database, command).await? {
        Ok(mut cursor) => {
            while let Some(index) = cursor.next().await? {
                indexes.push(index.to_owned());
            }
        }
        Err(error) if error.code == code::NAMESPACE_NOT_FOUND => {
            return Err(Error::Failed(
                "it was dropped or renamed during the dump; run the dump again when nobody does that".into(),
            ));
        }
        Err(error) => return Err(error.during("listIndexes")),
    }
    Ok(indexes)
}

/// What is no data of anybody's: a view's definition, buckets that go with their series, profiles.
fn is_servers_own(database: &str, name: &str) -> bool {
    // A user who names the database wants what the cluster keeps there.
    database != "config" && name.starts_with("system.") && name != "system.js"
}

fn names(reply: &RawDocument) -> Result<Vec<String>> {
    let name = |database: RawBsonRef<'_>| database.as_document()?.get_str("name").ok().map(String::from);
    let listed = reply.get_array("databases").ok().and_then(|databases| {
        databases.into_iter().map(|database| name(database.ok()?)).collect::<Option<Vec<String>>>()
    });
    listed.ok_or_else(|| Error::Corrupt("the server's list of databases has no names".into()))
}

fn flag(document: &RawDocument, key: &str) -> bool {
    number::<i64>(document, key).is_some_and(|flag| flag != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_collections_are_told_from_others() {
        for (database, name, own) in [
            ("shop", "orders", false),
            ("shop", "system.js", false),
            ("shop", "system.views", true),
            ("shop", "system.buckets.weather", true),
            ("admin", "system.users", true),
            ("config", "system.sessions", false),
        ] {
            assert_eq!(is_servers_own(database, name), own, "{database}.{name}");
        }
    }

    #[test]
    fn what_old_and_new_servers_tell_of_a_collection() {
        let uuid = bson::Binary { subtype: bson::spec::BinarySubtype::Uuid, bytes: vec![7; 16] };
        let told =
            rawdoc! { "name": "log", "type": "collection", "options": { "capped": 1.0 }, "info": { "uuid": uuid } };
        let log = found("shop", &told).expect("found");
        assert_eq!((log.namespace().as_str(), log.uuid, log.is_capped()), ("shop.log", Some([7; 16]), true));
        let plain = found("shop", &rawdoc! { "name": "a" }).expect("found");
        assert_eq!((plain.kind, plain.uuid, plain.is_capped()), (Kind::Collection, None, false));
    }
}
