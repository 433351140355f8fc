//! Views in an oplog. Their definitions are documents of `system.views`, which no client may write: they are made and dropped as
//! views are. What is there already may be newer than an entry; after the last one it is the same.

use super::definition::{Definition, Made};
use super::entries::{id_of, split, unreadable};
use super::oplog::Replay;
use super::target::Becomes;
use super::there::drop_collection;
use crate::layout::{BUCKETS, Kind};
use bson::raw::RawDocument;
use coffer_addon::{Error, Result};

impl Replay<'_> {
    /// An entry about a view's definition.
    pub(super) async fn view(&mut self, database: &str, entry: &RawDocument, object: &RawDocument) -> Result<()> {
        let name = id_of(entry, object)?.and_then(|id| split(id.as_str()?).ok());
        let Some((_, name)) = name.filter(|(of, _)| *of == database) else { return Err(unreadable(())) };
        let is_of_buckets = object.get_str("viewOn").is_ok_and(|on| on.starts_with(BUCKETS));
        if !self.is_wanted(database, name) || is_of_buckets {
            return Ok(());
        }
        let operation = entry.get_str("op").map_err(unreadable)?;
        if operation != "i" {
            // It had gone when the dump listed what there is, or what has its name now is no view.
            if self.strangers.kind(database, name) != Some(Kind::View) {
                self.skipped += 1;
                return Ok(());
            }
            if operation == "u" && object.get_str("viewOn").is_err() {
                return Err(Error::Unsupported(format!(
                    "view {database}.{name} was changed during the dump in a way that cannot be replayed; leave it out with exclude, or \
                     leave the oplog out with replayOplog"
                )));
            }
            self.flush().await?;
            let definition = Definition::new(self.parameters, database, name, Kind::View, None);
            drop_collection(self.client, &definition).await?;
            self.strangers.forget(database, name);
            if operation == "d" {
                return Ok(());
            }
        }
        let options = object.iter().flatten().filter(|(name, _)| name.as_str() != "_id").collect();
        let made = Made { options, indexes: Vec::new(), uuid: None };
        self.meet((database, name), made, Becomes::MadeHere).await
    }
}
