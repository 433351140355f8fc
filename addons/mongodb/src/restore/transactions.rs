//! Transactions in an oplog: their entries are held until it is known that they came to something.

use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};
use coffer_addon::{Error, Result};
use std::collections::BTreeMap;

/// Of transactions that are under way: they have to be in memory.
const MOST_HELD: usize = 64 << 20;

/// Session and number.
pub type Key = (Vec<u8>, i64);

#[derive(Default)]
pub struct Transactions {
    open: BTreeMap<Key, Vec<RawDocumentBuf>>,
    held: usize,
}

/// Of the transaction that an entry belongs to.
pub fn key(entry: &RawDocument) -> Option<Key> {
    // Inserts that were made together have a session too, and are no transaction.
    let is_group = matches!(entry.get("multiOpType"), Ok(Some(RawBsonRef::Int32(1))));
    match (entry.get_document("lsid"), entry.get("txnNumber")) {
        (Ok(session), Ok(Some(RawBsonRef::Int64(number)))) if !is_group => Some((session.as_bytes().to_vec(), number)),
        _ => None,
    }
}

impl Transactions {
    /// A part of one that may still come to nothing.
    pub fn hold(&mut self, key: Key, object: &RawDocument) -> Result<()> {
        self.held += object.as_bytes().len();
        if self.held > MOST_HELD {
            return Err(Error::Unsupported(format!(
                "transactions of more than {MOST_HELD} bytes were under way; restore the dump with mongorestore"
            )));
        }
        self.open.entry(key).or_default().push(object.to_owned());
        Ok(())
    }

    /// What was held of it.
    pub fn release(&mut self, key: &Key) -> Vec<RawDocumentBuf> {
        let held = self.open.remove(key).unwrap_or_default();
        self.held -= held.iter().map(|object| object.as_bytes().len()).sum::<usize>();
        held
    }

    /// A transaction of several entries has to be there from its first one on.
    pub fn check_begin(&self, entry: &RawDocument, key: &Key) -> Result<()> {
        let before = entry.get_document("prevOpTime").and_then(|time| time.get_timestamp("ts"));
        let has_before = before.is_ok_and(|before| (before.time, before.increment) != (0, 0));
        if has_before && !self.open.contains_key(key) {
            return Err(Error::Corrupt("it goes on with a transaction whose beginning the dump does not have".into()));
        }
        Ok(())
    }

    /// Those that had not committed at the dump's end: at that moment there was nothing of them.
    pub fn finish(&self) {
        if !self.open.is_empty() {
            coffer_addon::info!("{} transactions were under way at the dump's end: not replayed", self.open.len());
        }
    }
}
