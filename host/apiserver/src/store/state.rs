//! The objects in memory, and the changes that watchers may still ask for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use crate::txn::Staged;

/// Changes kept for watchers. A watch from further back gets 410 and lists again, which is also what happens after a
/// restart.
pub(super) const HISTORY: usize = 4096;
/// The same in encoded bytes, since a session's status grows with its artifacts; in memory it is some four times that.
pub(super) const HISTORY_BYTES: usize = 8 << 20;

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// `plural.group`, or the plural alone for the core group.
    pub(crate) resource: Arc<str>,
    /// "" for cluster-scoped kinds.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// One change of one object.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) key: Key,
    /// As it was before; `None` when this made it.
    pub(crate) before: Option<Arc<Value>>,
    /// As it is now; `None` when this removed it.
    pub(crate) after: Option<Arc<Value>>,
    /// What `after` takes when encoded.
    pub(crate) bytes: usize,
}

/// The objects at one revision, and the changes that led there.
#[derive(Default)]
pub(crate) struct State {
    pub(super) objects: BTreeMap<Key, Arc<Value>>,
    pub(crate) revision: u64,
    history: VecDeque<Change>,
    history_bytes: usize,
    /// The oldest revision from which `history` is complete.
    history_from: u64,
}

impl State {
    /// As it was stored: what led there is not known any more.
    pub(super) fn stored(objects: BTreeMap<Key, Arc<Value>>, revision: u64) -> Self {
        Self { objects, revision, history_from: revision, ..Self::default() }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.objects.keys()
    }

    pub(super) fn advance(&mut self, revision: u64, staged: Staged, changes: Vec<Change>) {
        for (key, value) in staged {
            match value {
                Some((value, _)) => self.objects.insert(key, value),
                None => self.objects.remove(&key),
            };
        }
        self.history_bytes += changes.iter().map(|change| change.bytes).sum::<usize>();
        self.history.extend(changes);
        while self.history.len() > HISTORY || self.history_bytes > HISTORY_BYTES {
            let Some(oldest) = self.history.pop_front() else { break };
            self.history_bytes -= oldest.bytes;
            self.history_from = oldest.revision;
        }
        self.revision = revision;
    }

    /// The objects of a resource in key order, in one namespace or all, after a given key.
    pub(crate) fn scan<'a>(
        &'a self,
        resource: &'a Arc<str>,
        namespace: Option<&'a str>,
        after: Option<&Key>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        let first =
            Key { resource: resource.clone(), namespace: namespace.unwrap_or_default().into(), name: String::new() };
        let after = after.cloned();
        let from = after.clone().map_or(first.clone(), |after| after.max(first));
        self.objects
            .range(from..)
            .take_while(move |(key, _)| {
                key.resource == *resource && namespace.is_none_or(|namespace| key.namespace == namespace)
            })
            .filter(move |(key, _)| after.as_ref() != Some(*key))
    }

    /// The changes after `revision`, oldest first; `None` when the history does not reach back so far.
    pub(crate) fn since(&self, revision: u64) -> Option<impl Iterator<Item = &Change>> {
        if revision < self.history_from {
            return None;
        }
        let start = self.history.partition_point(|change| change.revision <= revision);
        Some(self.history.range(start..))
    }
}
