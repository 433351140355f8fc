//! A write in the making: what it changes, over the objects as they were when it began.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use crate::object;
use crate::store::{Change, Key, State};

/// The last state of every object that a write touched, encoded; `None` where it removed one.
pub(crate) type Staged = BTreeMap<Key, Option<(Arc<Value>, String)>>;

/// A write in the making: sees its own changes over the state it began from.
pub(crate) struct Txn<'a> {
    base: &'a State,
    pub(crate) staged: Staged,
    pub(crate) changes: Vec<Change>,
    pub(crate) revision: u64,
    /// Owner's uid → its dependents, gathered once when first needed. May name objects that changed since.
    dependents: Option<HashMap<String, Vec<Key>>>,
}

impl<'a> Txn<'a> {
    pub(crate) fn new(base: &'a State) -> Txn<'a> {
        Txn { base, staged: BTreeMap::new(), changes: Vec::new(), revision: base.revision, dependents: None }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        match self.staged.get(key) {
            Some(staged) => staged.as_ref().map(|(object, _)| object),
            None => self.base.get(key),
        }
    }

    /// The objects as they were before this write.
    pub(crate) fn base(&self) -> &'a State {
        self.base
    }

    /// Stores an object under its next `resourceVersion` and returns it as stored.
    pub(crate) fn put(&mut self, key: Key, object: Value) -> Arc<Value> {
        let before = self.get(&key).cloned();
        let after = self.stamp(object);
        if let Some(dependents) = &mut self.dependents {
            for owner in object::owner_uids(&after) {
                dependents.entry(owner.into()).or_default().push(key.clone());
            }
        }
        let encoded = after.to_string();
        self.changes.push(Change {
            revision: self.revision,
            key: key.clone(),
            before,
            after: Some(after.clone()),
            bytes: encoded.len(),
        });
        self.staged.insert(key, Some((after.clone(), encoded)));
        after
    }

    /// Removes an object; returns its last state, stamped with the revision of the removal.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let before = self.get(key).cloned()?;
        let last = self.stamp(Value::clone(&before));
        self.changes.push(Change {
            revision: self.revision,
            key: key.clone(),
            before: Some(last.clone()),
            after: None,
            bytes: 0,
        });
        self.staged.insert(key.clone(), None);
        Some(last)
    }

    fn stamp(&mut self, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        object::meta_mut(&mut object).insert("resourceVersion".into(), self.revision.to_string().into());
        Arc::new(object)
    }

    /// The keys of all objects that exist now and pass the test.
    pub(crate) fn keys(&self, test: impl Fn(&Key) -> bool) -> Vec<Key> {
        let kept = self.base.keys().filter(|key| test(key) && !self.staged.contains_key(key));
        let staged = self.staged.iter().filter(|(key, value)| value.is_some() && test(key)).map(|(key, _)| key);
        kept.chain(staged).cloned().collect()
    }

    /// The objects that name `uid` among their owners.
    pub(crate) fn dependents(&mut self, uid: &str) -> Vec<Key> {
        let gathered = match self.dependents.take() {
            Some(gathered) => gathered,
            None => {
                let mut gathered: HashMap<String, Vec<Key>> = HashMap::new();
                for key in self.keys(|_| true) {
                    for owner in self.get(&key).iter().flat_map(|object| object::owner_uids(object)) {
                        gathered.entry(owner.into()).or_default().push(key.clone());
                    }
                }
                gathered
            }
        };
        let mut keys = gathered.get(uid).cloned().unwrap_or_default();
        self.dependents = Some(gathered);
        keys.sort();
        keys.dedup();
        keys.retain(|key| self.get(key).is_some_and(|object| object::owner_uids(object).any(|owner| owner == uid)));
        keys
    }

    /// The object with this uid among those an owner reference can name.
    pub(crate) fn find_owner(&self, owner: &Value, namespace: &str) -> Option<Key> {
        let uid = owner.get("uid")?.as_str()?;
        let name = owner.get("name")?.as_str()?;
        self.keys(|key| key.name == name && (key.namespace.is_empty() || key.namespace == namespace))
            .into_iter()
            .find(|key| self.get(key).is_some_and(|object| object::uid(object) == uid))
    }
}
