//! Users and roles: put into collections of their own, from which the server takes them over by the command that it has for
//! that. They hold what passwords are checked with: never in a log or an error.

use super::concern::{append_concern, check_concern};
use super::definition::Accounts as Of;
use super::parameters::Restore;
use crate::client::{Client, code};
use bson::raw::{RawBsonRef, RawDocument, cstr};
use bson::rawdoc;
use coffer_addon::{Context as _, Error, Result};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Of all users and roles together.
const MOST: usize = 32 << 20;

/// What servers since 3.0 have. With 4 an upgrade is under way, before 3 users were others.
const KNOWN_SCHEMAS: [i64; 2] = [3, 5];

/// The documents of the dump, one after the other.
#[derive(Default)]
pub struct Accounts {
    documents: RefCell<BTreeMap<Of, Vec<u8>>>,
    /// Why the server takes none.
    refusal: RefCell<Option<Error>>,
}

/// What merges users and roles on the server.
const MERGE: &str = "_mergeAuthzCollections";

impl Accounts {
    pub fn add(&self, of: Of, document: &[u8]) -> Result<()> {
        let mut all = self.documents.borrow_mut();
        let size: usize = all.values().map(Vec::len).sum();
        if size + document.len() > MOST {
            return Err(Error::Unsupported(format!("users and roles have more than {MOST} bytes")));
        }
        all.entry(of).or_default().extend_from_slice(document);
        Ok(())
    }

    /// Before anything is written.
    pub fn check_parameters(parameters: &Restore) -> Result<()> {
        if parameters.users_and_roles && !parameters.rename.is_empty() {
            return Err(Error::InvalidParameter(
                "usersAndRoles does not go with rename: users belong to databases by their old names".into(),
            ));
        }
        Ok(())
    }

    /// Asks whether the server would take any: without what is to be merged it merges nothing. All else would be there before
    /// that is known.
    pub async fn ask(&self, client: &mut Client) -> Result<()> {
        let nothing = rawdoc! { "_mergeAuthzCollections": 1, "drop": false, "db": "" };
        if let Err(error) = client.try_run("admin", nothing).await?
            && [code::COMMAND_NOT_FOUND, code::COMMAND_NOT_SUPPORTED, code::UNAUTHORIZED].contains(&error.code)
        {
            let error = error.during(&format!("{MERGE} in admin"));
            self.refusal.replace(Some(error.context("unable to restore users and roles; leave out usersAndRoles")));
        }
        Ok(())
    }

    /// Whether what was asked for can be done.
    pub fn check(&self, is_there: bool) -> Result<()> {
        if !is_there {
            return Err(none());
        }
        self.refusal.borrow().clone().map_or(Ok(()), Err)
    }

    pub async fn restore(&self, client: &mut Client, parameters: &Restore) -> Result<()> {
        let all = self.documents.take();
        let documents = |of: Of| all.get(&of).filter(|bytes| !bytes.is_empty());
        if documents(Of::Users).is_none() && documents(Of::Roles).is_none() {
            return Err(none());
        }
        if let Some(versions) = documents(Of::Version) {
            check_schema(versions)?;
        }
        let mut merge = rawdoc! { "_mergeAuthzCollections": 1 };
        let mut temporary = Vec::new();
        let outcome = async {
            for (of, option, name) in [
                (Of::Users, cstr!("tempUsersCollection"), "coffer_restored_users"),
                (Of::Roles, cstr!("tempRolesCollection"), "coffer_restored_roles"),
            ] {
                let Some(documents) = documents(of) else { continue };
                drop_temporary(client, name).await?;
                client.note_temporary("admin", name);
                temporary.push(name);
                merge.append(option, format!("admin.{name}"));
                insert(client, name, documents).await?;
            }
            merge.append(cstr!("drop"), parameters.drop);
            merge.append(cstr!("db"), "");
            append_concern(&mut merge, client.hello());
            client.run("admin", merge).await.and_then(|reply| check_concern(&reply))
        };
        let outcome = outcome.await;
        // Also of what failed. Where that fails as well, they go when the run ends.
        let mut dropped = Ok(());
        for name in temporary {
            match drop_temporary(client, name).await {
                Ok(()) => client.forget_temporary("admin", name),
                Err(error) => dropped = Err(error.context(format!("admin.{name}"))),
            }
        }
        outcome.and(dropped).context(|| "unable to restore users and roles")
    }
}

/// Asked for, and not there.
fn none() -> Error {
    Error::InvalidParameter(
        "usersAndRoles: the dump has no users and no roles; make it with them, or restore without".into(),
    )
}

fn check_schema(mut versions: &[u8]) -> Result<()> {
    while let Some((document, rest)) = split(versions) {
        if document.get_str("_id").is_ok_and(|id| id == "authSchema") {
            let version = match document.get("currentVersion") {
                Ok(Some(RawBsonRef::Int32(version))) => version.into(),
                Ok(Some(RawBsonRef::Int64(version))) => version,
                #[expect(clippy::cast_possible_truncation)]
                Ok(Some(RawBsonRef::Double(version))) => version as i64,
                _ => 0,
            };
            if !KNOWN_SCHEMAS.contains(&version) {
                return Err(Error::Unsupported(format!(
                    "the dump's users are of the schema {version}, which no server that can be restored into takes; restore without usersAndRoles"
                )));
            }
        }
        versions = rest;
    }
    Ok(())
}

fn split(bytes: &[u8]) -> Option<(&RawDocument, &[u8])> {
    let length = usize::try_from(super::documents::length(bytes)?).ok()?;
    let (document, rest) = bytes.split_at_checked(length)?;
    Some((RawDocument::from_bytes(document).ok()?, rest))
}

async fn insert(client: &mut Client, collection: &str, documents: &[u8]) -> Result<()> {
    let limit = client.hello().max_message / 2;
    let most = client.hello().max_batch;
    let mut rest = documents;
    while !rest.is_empty() {
        let (mut size, mut count) = (0, 0);
        while let Some((document, _)) = rest.get(size..).and_then(split)
            && count < most
            && (count == 0 || size + document.as_bytes().len() <= limit)
        {
            size += document.as_bytes().len();
            count += 1;
        }
        let Some((batch, behind)) = rest.split_at_checked(size).filter(|_| count > 0) else {
            return Err(Error::Corrupt("a document of users or roles cannot be read".into()));
        };
        let mut head = rawdoc! { "insert": collection };
        append_concern(&mut head, client.hello());
        let done = client.insert("admin", head, batch).await?;
        if let Some((_, error)) = done.errors.first() {
            return Err(Error::Failed(format!(
                "unable to put users and roles into admin.{collection}: {} ({})",
                error.code_name, error.code
            )));
        }
        if let Some(concern) = done.concern {
            return Err(concern.during("insert").context(format!("admin.{collection}")));
        }
        rest = behind;
    }
    Ok(())
}

async fn drop_temporary(client: &mut Client, name: &str) -> Result<()> {
    match client.try_run("admin", rawdoc! { "drop": name }).await? {
        Err(error) if error.code != code::NAMESPACE_NOT_FOUND => Err(error.during("drop")),
        _ => Ok(()),
    }
}
