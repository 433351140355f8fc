//! Whether as many documents were read as there are.
//!
//! While others write, nobody can tell. Where nothing was written, or where the server reads from a snapshot, another count is
//! a cursor that ended early, or a range that was not read.

use super::oplog::Written;
use super::point::has_gone;
use crate::catalog::Found;
use crate::client::{Client, number};
use crate::layout::Timestamp;
use bson::raw::{RawDocument, cstr};
use bson::{RawBson, rawdoc};
use coffer_addon::{Error, Result};
use std::cell::RefCell;

/// The collections of which another number of documents was read than the server counted right afterwards.
#[derive(Debug, Default)]
pub struct Counts(RefCell<Vec<Differing>>);

#[derive(Clone, Debug)]
struct Differing {
    database: String,
    name: String,
    read: u64,
    counted: u64,
}

/// What is known of writes during the dump.
pub enum During<'a> {
    Snapshot(Timestamp),
    Oplog(&'a Written),
    Unknown,
}

impl Counts {
    /// Notes it when the server counts others than were read. Its count is a quick one, which a crash may have left wrong.
    pub async fn look(&self, client: &mut Client, found: &Found, read: u64) -> Result<()> {
        let count = client.try_run(&found.database, rawdoc! { "count": found.stored.name.as_str() }).await?;
        // Time series without a collection count what they show.
        if let Ok(reply) = count
            && !found.stored.raw
        {
            let counted = number(&reply, "n").unwrap_or(0);
            if counted != read {
                let (database, name) = (found.database.clone(), found.stored.name.clone());
                self.0.borrow_mut().push(Differing { database, name, read, counted });
            }
        }
        Ok(())
    }

    /// Fails for one that must not differ. The documents are counted one by one for that.
    pub async fn check(&self, client: &mut Client, during: During<'_>) -> Result<()> {
        for differing in self.0.take() {
            let Differing { database, name, read, counted } = &differing;
            let namespace = format!("{database}.{name}");
            let snapshot = match &during {
                During::Snapshot(at) => Some(*at),
                During::Oplog(written) if !written.is_to(&namespace) => None,
                During::Oplog(_) | During::Unknown => {
                    coffer_addon::debug!(
                        "{read} documents of {namespace} were read, and then the server counted {counted}"
                    );
                    continue;
                }
            };
            let exact = match exact(client, &differing, snapshot).await {
                // All documents have been read from it by then.
                Err(error) if has_gone(&error) => {
                    coffer_addon::info!(
                        "whether {namespace} has the {read} documents that were read cannot be checked: the snapshot has gone ({error})"
                    );
                    continue;
                }
                exact => exact?,
            };
            if exact != *read && (snapshot.is_some() || exact == *counted) {
                return Err(Error::Failed(format!(
                    "{read} documents of collection {namespace} were read, but it has {exact}, and nothing was written meanwhile; \
                     run the dump again, and look at the server's log"
                )));
            }
        }
        Ok(())
    }
}

async fn exact(client: &mut Client, differing: &Differing, snapshot: Option<Timestamp>) -> Result<u64> {
    let mut command = rawdoc! {
        "aggregate": differing.name.as_str(),
        "pipeline": [{ "$group": { "_id": RawBson::Null, "n": { "$sum": 1 } } }],
        "cursor": {},
    };
    if let Some(at) = snapshot {
        let at = bson::Timestamp::from(at);
        command.append(cstr!("readConcern"), rawdoc! { "level": "snapshot", "atClusterTime": at });
    }
    let mut cursor = client.query(&differing.database, command).await?;
    let count = cursor.next().await?.and_then(|group: &RawDocument| number(group, "n")).unwrap_or(0);
    cursor.close().await?;
    Ok(count)
}
