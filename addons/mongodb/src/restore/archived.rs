//! An archive: one artifact with everything, read once from its beginning to its end.

use super::archive::{self, Event, Listed, Namespace, Parser, Prelude};
use super::definition::{Accounts, Definition, Fate, Metadata};
use super::documents::scan;
use super::load::{Batch, Filling};
use super::oplog::Replay;
use super::run::Run;
use super::target::Target;
use crate::client::Client;
use crate::layout::Kind;
use coffer_addon::{Context as _, Error, Incoming, Result};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Where a collection's documents go.
#[derive(Clone)]
enum Goes {
    Collection(Rc<Filling>),
    Accounts(Accounts),
    Oplog,
    Nowhere,
}

/// The prelude, and what is made of it.
#[derive(Default)]
struct Contents {
    definitions: Vec<Definition>,
    goes: BTreeMap<Namespace, Goes>,
    /// Those whose documents have not all been there.
    open: usize,
}

pub async fn restore(run: &Run<'_>, leader: &mut Client, mut incoming: Incoming) -> Result<()> {
    let file = incoming.artifact.name.clone();
    let mut target = Target::default();
    read(run, leader, &mut target, &mut incoming).await.context(|| file.clone())?;
    if let Some(other) = run.inbox.next().await {
        return Err(Error::Corrupt(format!(
            "{} comes beside the archive {file}; restore archives one at a time",
            other.artifact.name
        )));
    }
    Ok(())
}

async fn read(run: &Run<'_>, leader: &mut Client, target: &mut Target, incoming: &mut Incoming) -> Result<()> {
    let mut parser = Parser::default();
    let mut contents = Contents::default();
    let mut batch = None;
    // Replaying what one segment of the oplog has; none while others' documents come.
    let mut replay: Option<Replay<'_>> = None;
    // Whoever replays has both.
    let mut server = Some((leader, target));
    let mut current = Goes::Nowhere;
    loop {
        let (taken, event) = parser.next(incoming.buffer())?;
        match event {
            Event::More => {
                if incoming.fill().await? == 0 {
                    break;
                }
            }
            Event::Nothing => {}
            Event::Prelude(prelude) => {
                contents = Contents::new(run, &prelude, &incoming.artifact.name)?;
                run.check_names()?;
                if let Some((leader, target)) = &mut server {
                    target.prepare(leader, run.parameters, contents.definitions.iter()).await?;
                }
                contents.definitions.iter().for_each(|definition| run.note(definition));
            }
            Event::Segment(namespace) => {
                current = contents.goes.get(&namespace).cloned().unwrap_or(Goes::Nowhere);
                match &current {
                    Goes::Collection(filling) => batch = Some(Batch::new(filling)),
                    Goes::Oplog if replay.is_none() => {
                        if contents.open > 0 {
                            return Err(Error::Unsupported(
                                "its oplog comes before documents that it is about; restore it with mongorestore"
                                    .into(),
                            ));
                        }
                        if let Some((leader, target)) = server.take() {
                            run.settle(leader, target, None).await?;
                            replay = Some(run.replaying(leader, target));
                        }
                    }
                    _ => {}
                }
            }
            Event::Document(document) => match &current {
                Goes::Collection(filling) => {
                    let scanned = scan(document).context(|| {
                        format!(
                            "document {} of {}.{}",
                            filling.read.borrow().documents + 1,
                            filling.database,
                            filling.collection
                        )
                    })?;
                    if let Some(batch) = &mut batch {
                        run.loader.add(batch, document, scanned).await?;
                    }
                }
                Goes::Accounts(of) => run.account(*of, document)?,
                Goes::Oplog => {
                    if let Some(replay) = &mut replay {
                        replay.entry(document).await?;
                    }
                }
                Goes::Nowhere => {}
            },
            Event::SegmentEnd => {
                if let Some(batch) = batch.take() {
                    run.loader.send(batch).await;
                }
            }
            Event::Whole(namespace) => {
                if let Some(Goes::Collection(filling)) = contents.goes.get(&namespace) {
                    run.loader.check_read(filling)?;
                    contents.open = contents.open.saturating_sub(1);
                }
            }
        }
        incoming.consume(taken);
    }
    parser.end(incoming.buffer())?;
    match replay {
        Some(replay) => {
            run.replayed.set(Some(replay.count));
            replay.finish().await?;
        }
        None => {
            if let Some((leader, target)) = server.take() {
                run.settle(leader, target, None).await?;
            }
        }
    }
    Ok(())
}

impl Contents {
    fn new(run: &Run<'_>, prelude: &Prelude, file: &str) -> Result<Contents> {
        let Prelude { server_version, tool_version, collections } = prelude;
        coffer_addon::info!(
            "an archive of {} collections, dumped from MongoDB {server_version} by mongodump {tool_version}",
            collections.len()
        );
        let mut contents = Contents::default();
        for listed in collections {
            let goes = contents.goes_to(run, listed, file).context(|| format!("its prelude, {}", listed.data))?;
            contents.goes.insert(listed.data.clone(), goes);
        }
        Ok(contents)
    }

    fn goes_to(&mut self, run: &Run<'_>, listed: &Listed, file: &str) -> Result<Goes> {
        let Namespace { database, collection } = &listed.data;
        if (database.as_str(), collection.as_str()) == archive::OPLOG {
            if !run.parameters.replay_oplog {
                coffer_addon::warn!("the oplog is not replayed: collections are of different moments");
                return Ok(Goes::Nowhere);
            }
            return Ok(Goes::Oplog);
        }
        match run.fate(database, collection) {
            Some(Fate::Restored) => {}
            Some(Fate::Accounts(of)) if run.parameters.users_and_roles => return Ok(Goes::Accounts(of)),
            _ => return Ok(Goes::Nowhere),
        }
        let metadata = listed.metadata.as_ref().map(|text| Metadata::parse(text.as_bytes())).transpose()?;
        let metadata = metadata.ok_or_else(|| Error::Corrupt("it does not say how the collection is made".into()))?;
        let kind = if listed.is_view { Kind::View } else { metadata.kind };
        let definition = Definition::new(run.parameters, database, &listed.name, kind, Some(metadata.made));
        let goes = match kind {
            Kind::View => Goes::Nowhere,
            _ => {
                self.open += 1;
                Goes::Collection(run.loader.fill(&definition, &format!("{file}: {}", listed.data)))
            }
        };
        self.definitions.push(definition);
        Ok(goes)
    }
}
