//! The server that is restored into: what is there already, and whether it may stay, must go or stops the restore.

use super::definition::Definition;
use super::making::{NO_OPTIONS, make_all, options};
use super::parameters::Restore;
use super::rehearsal::rehearse;
use super::standing;
use super::there::{There, drop_collection, empty, is_filled, look};
use crate::client::Client;
use crate::layout::Kind;
use bson::raw::RawDocument;
use coffer_addon::{Error, Result, omitted};
use std::collections::{BTreeMap, BTreeSet};

/// What to do about a collection of the dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Make,
    DropFirst,
    /// Those of the server's collections that cannot be dropped.
    EmptyFirst,
    Use,
}

/// How a collection that only the oplog tells of comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Becomes {
    /// By an entry that creates it.
    Created,
    /// By an entry that gives another one its name.
    Renamed,
    /// By no entry.
    MadeHere,
}

/// The collections on the server, as they were when they were first asked for.
#[derive(Default)]
pub struct Target {
    databases: BTreeMap<String, BTreeMap<String, There>>,
    /// Those of the dump so far.
    named: BTreeSet<String>,
}

impl Target {
    /// Looks at everything that could stand in the way of these; changes nothing. Then sees that what has to go can be made
    /// again, drops it, and makes what is not there, the views last.
    pub async fn prepare(
        &mut self,
        client: &mut Client,
        parameters: &Restore,
        definitions: impl Iterator<Item = &Definition> + Clone,
    ) -> Result<()> {
        let mut decisions = Vec::new();
        for definition in definitions {
            if !self.named.insert(definition.namespace()) {
                return Err(Error::Corrupt(format!("the dump has {} twice", definition.namespace())));
            }
            decisions.push((definition, self.decide(client, parameters, definition).await?));
        }
        let replaced = decisions.iter().filter(|(_, decision)| *decision == Decision::DropFirst);
        let replaced: Vec<&Definition> = replaced.map(|(definition, _)| *definition).collect();
        let is_free =
            |database: &str, name: &str| !self.databases.get(database).is_some_and(|there| there.contains_key(name));
        rehearse(client, parameters, &replaced, is_free).await?;
        for (definition, decision) in &decisions {
            if *decision == Decision::DropFirst {
                drop_collection(client, definition).await?;
            } else if *decision == Decision::EmptyFirst {
                empty(client, definition).await?;
            }
        }
        let made = decisions.iter().filter(|(_, decision)| matches!(decision, Decision::Make | Decision::DropFirst));
        let mut made: Vec<&Definition> = made.map(|(definition, _)| *definition).collect();
        made.sort_by_key(|definition| definition.kind == Kind::View);
        make_all(client, parameters, &made).await
    }

    /// Makes room for a collection that the dump does not have and its oplog tells of; what is there already is looked at as
    /// for the others. Then it is there, unless the oplog itself makes it.
    pub async fn admit(
        &mut self,
        client: &mut Client,
        parameters: &Restore,
        definition: &Definition,
        becomes: Becomes,
    ) -> Result<()> {
        let decision = self.decide(client, parameters, definition).await?;
        match (decision, becomes) {
            (Decision::DropFirst, _) | (Decision::Use, Becomes::Renamed) => drop_collection(client, definition).await?,
            (Decision::EmptyFirst, _) => return empty(client, definition).await,
            (Decision::Use, _) => return Ok(()),
            (Decision::Make, _) => {}
        }
        match becomes {
            Becomes::MadeHere => make_all(client, parameters, &[definition]).await,
            Becomes::Created | Becomes::Renamed => Ok(()),
        }
    }

    async fn decide(&mut self, client: &mut Client, parameters: &Restore, definition: &Definition) -> Result<Decision> {
        let name = definition.namespace();
        if !self.databases.contains_key(&definition.target) {
            let there = look(client, &definition.target).await?;
            self.databases.insert(definition.target.clone(), there);
        }
        let there = self.databases.get(&definition.target).and_then(|database| database.get(&definition.name));
        let Some(there) = there else {
            return match &definition.made {
                Some(_) => Ok(Decision::Make),
                None => Err(Error::InvalidParameter(format!(
                    "{name} is not there, and the dump has documents alone; restore a dump of its schema first"
                ))),
            };
        };
        let Some(made) = &definition.made else {
            if is_filled(client, definition).await? {
                return Err(Error::InvalidParameter(format!(
                    "{name} is not empty, and the dump has documents alone; empty it first, or restore elsewhere with rename"
                )));
            }
            return Ok(Decision::Use);
        };
        if parameters.drop {
            return Ok(if definition.is_system() { Decision::EmptyFirst } else { Decision::DropFirst });
        }
        let remedy = "set drop to replace it, or restore elsewhere with rename";
        if there.kind == Kind::View || there.kind != definition.kind {
            let kind = match there.kind {
                Kind::View => "view",
                Kind::Timeseries => "time series",
                Kind::Collection => "collection",
            };
            return Err(Error::InvalidParameter(format!("there is a {kind} {name} already; {remedy}")));
        }
        if is_filled(client, definition).await? {
            return Err(Error::InvalidParameter(format!("{name} is not empty; {remedy}")));
        }
        let wanted = options(made)?;
        if !is_same(&there.options, &wanted) || parameters.preserve_uuid {
            return Err(Error::InvalidParameter(format!(
                "{name} is there, empty, but not made as the dump's was; {remedy}"
            )));
        }
        // Those of time series refuse and remove no buckets.
        if definition.kind == Kind::Collection {
            let others = standing::other_indexes(client, definition, made).await?;
            if !others.is_empty() {
                return Err(Error::InvalidParameter(format!(
                    "{name} is there, empty, but has indexes that the dump's has not: {}; {remedy}",
                    omitted::line(&others)
                )));
            }
        }
        Ok(Decision::Use)
    }
}

/// Whether both have the same fields. An option that was never given may stand there with its empty value.
fn is_same(there: &RawDocument, wanted: &RawDocument) -> bool {
    let within = |one: &RawDocument, other: &RawDocument| {
        one.iter().all(|field| {
            let Ok((name, value)) = field else { return false };
            NO_OPTIONS.contains(&name.as_str()) || other.get(name.as_str()).is_ok_and(|found| found == Some(value))
        })
    };
    within(there, wanted) && within(wanted, there)
}

#[cfg(test)]
mod tests {
    use super::super::definition::Made;
    use super::*;
    use bson::rawdoc;

    #[test]
    fn options_that_mean_nothing_are_left_out() {
        let made = Made {
            options: rawdoc! { "create": "c", "capped": true, "size": 4096, "autoIndexId": false, "flags": 1 },
            indexes: Vec::new(),
            uuid: None,
        };
        let kept = options(&made).expect("readable");
        assert_eq!(kept, rawdoc! { "capped": true, "size": 4096 });
        assert!(is_same(&rawdoc! { "size": 4096, "capped": true, "uuid": "x" }, &kept));
        assert!(!is_same(&rawdoc! { "capped": true }, &kept) && !is_same(&kept, &rawdoc! {}));
    }
}
