//! A dump with an index: all that is wrong with names and with the target is seen before anything is touched, and files may
//! come in any order.

use super::definition::{Accounts, Definition, Fate, Metadata};
use super::run::{AT_ONCE, Run, drain};
use super::target::Target;
use crate::client::Client;
use crate::layout::{self, Consistency, FORMAT, INDEX, Index, MAX_INDEX, METADATA, OPLOG, PRELUDE};
use coffer_addon::{Context as _, Error, Incoming, Result, index};
use futures::future::try_join_all;
use futures::lock::Mutex;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// What an artifact of the dump is.
enum File {
    Documents(Definition),
    Accounts(Accounts),
    /// The text that it has to have.
    Metadata(Option<String>),
    LeftOut,
}

pub async fn read(incoming: &mut Incoming) -> Result<Index> {
    parse(&incoming.read_all(MAX_INDEX).await?)
}

fn parse(bytes: &[u8]) -> Result<Index> {
    index::parse(bytes, INDEX, FORMAT)
}

/// What an operator should know.
pub fn announce(index: &Index) {
    let Index { tool, server, collections, .. } = index;
    let count = collections.len();
    coffer_addon::info!("restoring {count} collections, dumped by {tool} from {} {}", server.engine, server.version);
    if let Some(filtered) = &index.filtered {
        coffer_addon::info!("the dump has not all that was there: {filtered}");
    }
    if let Consistency::None { why } = &index.consistency {
        coffer_addon::warn!("the dump's documents are of different moments: {why}");
    }
}

pub async fn restore(run: &Run<'_>, leader: &mut Client, index: &Index) -> Result<()> {
    announce(index);
    let mut files = BTreeMap::new();
    let mut definitions = Vec::new();
    for collection in &index.collections {
        let file = |definition: Option<Definition>, fate: Option<Fate>| match (definition, fate) {
            (Some(definition), _) => File::Documents(definition),
            (None, Some(Fate::Accounts(of))) => File::Accounts(of),
            _ => File::LeftOut,
        };
        let named = |error: Error| error.context(format!("{INDEX}: {}", collection.namespace()));
        let fate = run.fate(&collection.database, &collection.name);
        let mut definition = None;
        if fate == Some(Fate::Restored) && !collection.is_nothing(index.schema) {
            let made = match (&collection.metadata, index.schema) {
                (Some(metadata), true) => Some(Metadata::parse(metadata.as_bytes()).map_err(named)?.made),
                (None, true) => return Err(named(Error::Corrupt("it does not say how it is made".into()))),
                (_, false) => None,
            };
            let (database, name) = (&collection.database, &collection.name);
            let mut made = Definition::new(run.parameters, database, name, collection.kind, made);
            made.expected.clone_from(&collection.data);
            definitions.push(made.clone());
            definition = Some(made);
        }
        let mut known = Vec::new();
        if let Some(data) = &collection.data {
            known.push((data.file.clone(), file(definition, fate)));
        }
        if let Some(metadata) = &collection.metadata {
            let name = layout::metadata_name(&collection.database, &collection.name);
            known.push((name, File::Metadata(Some(metadata.clone()))));
        }
        for (name, file) in known {
            if files.insert(name.clone(), file).is_some() {
                return Err(Error::Corrupt(format!("{INDEX} has {name} twice")));
            }
        }
    }
    run.check_names()?;
    let mut target = Target::default();
    target.prepare(leader, run.parameters, definitions.iter()).await?;
    definitions.iter().for_each(|definition| run.note(definition));

    let reading = Reading { run, files, seen: RefCell::default(), oplog: RefCell::default(), inbox: Mutex::new(()) };
    try_join_all((0..AT_ONCE).map(|_| reading.read())).await?;
    let missing = reading.missing(index);
    if !missing.is_empty() {
        return Err(Error::Corrupt(format!(
            "{} did not come: the dump is not whole",
            coffer_addon::omitted::line(missing)
        )));
    }
    let oplog = reading.oplog.take().map(|oplog| (oplog, index.oplog.clone()));
    run.settle(leader, &mut target, oplog).await
}

struct Reading<'a> {
    run: &'a Run<'a>,
    files: BTreeMap<String, File>,
    seen: RefCell<BTreeSet<String>>,
    /// Read when all documents are in.
    oplog: RefCell<Option<Incoming>>,
    /// One asks at a time; the others wait for their turn.
    inbox: Mutex<()>,
}

impl Reading<'_> {
    async fn read(&self) -> Result<()> {
        loop {
            let turn = self.inbox.lock().await;
            let incoming = self.run.inbox.next().await;
            drop(turn);
            let Some(incoming) = incoming else { return Ok(()) };
            let name = incoming.artifact.name.clone();
            if !self.seen.borrow_mut().insert(name.clone()) {
                return Err(Error::Corrupt(format!("{name} came twice")));
            }
            self.file(&name, incoming).await?;
        }
    }

    async fn file(&self, name: &str, mut incoming: Incoming) -> Result<()> {
        let run = self.run;
        match self.files.get(name) {
            _ if name == OPLOG => {
                self.oplog.replace(Some(incoming));
                Ok(())
            }
            _ if name == PRELUDE => drain(&mut incoming).await,
            Some(File::Documents(definition)) => {
                let filling = run.loader.fill(definition, name);
                run.loader.file(&filling, &mut incoming).await
            }
            Some(File::Accounts(of)) => run.accounts(*of, &mut incoming).await.context(|| name.to_string()),
            Some(File::Metadata(text)) => {
                let found = incoming.read_all(MAX_INDEX).await?;
                if text.as_ref().is_some_and(|text| text.as_bytes() != found) {
                    return Err(Error::Corrupt(format!("{name} is not what {INDEX} says of it")));
                }
                Ok(())
            }
            Some(File::LeftOut) => drain(&mut incoming).await,
            None if name.ends_with(METADATA) && !self.has_metadata() => drain(&mut incoming).await,
            None => Err(Error::Corrupt(format!("{name} is nothing that {INDEX} knows of"))),
        }
    }

    fn has_metadata(&self) -> bool {
        self.files.values().any(|file| matches!(file, File::Metadata(_)))
    }

    /// Files with documents that did not come. The others say nothing that the index does not.
    fn missing(&self, index: &Index) -> Vec<String> {
        let seen = self.seen.borrow();
        let data = index.collections.iter().filter_map(|collection| collection.data.as_ref()).chain(&index.oplog);
        data.filter(|data| !seen.contains(&data.file)).map(|data| data.file.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_of_another_format_is_for_another_version() {
        assert!(matches!(parse(br#"{"format": 9}"#), Err(Error::Unsupported(text)) if text.contains("format 9")));
        for wrong in ["", "{}", r#"{"format": 1}"#] {
            assert!(matches!(parse(wrong.as_bytes()), Err(Error::Corrupt(_))), "{wrong}");
        }
        let server = r#"{"engine": "MongoDB", "version": "8.0.1"}"#;
        let index = |collection: &str, consistency: &str| {
            format!(
                r#"{{"format": 1, "tool": "a test", "server": {server}, "consistency": {consistency}, "schema": true, "data": true,
                    "collections": [{{"database": "d", "name": "c", "kind": {collection}}}]}}"#
            )
        };
        let none = r#"{"kind": "none", "why": "w"}"#;
        parse(index(r#""view""#, none).as_bytes()).expect("known");
        for newer in [
            index(r#""view", "encrypted": true"#, none),
            index(r#""queue""#, none),
            index(r#""view""#, r#"{"kind": "none", "why": "w", "since": 5}"#),
            index(r#""view""#, r#"{"kind": "later"}"#),
        ] {
            let refused = parse(newer.as_bytes());
            assert!(
                matches!(&refused, Err(Error::Unsupported(text)) if text.contains("or a later one")),
                "{refused:?}"
            );
        }
    }
}
