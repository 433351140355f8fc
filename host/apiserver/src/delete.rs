//! Deletion, and everything that follows from it: finalizers, dependents by owner reference, the content of a namespace.
//!
//! Kubernetes' garbage collector works behind the API server and may fall behind; here the consequences are part of the
//! same write, so that no crash leaves orphans.

use std::sync::Arc;

use serde_json::Value;

use crate::metadata::namespace_key;
use crate::object::{self, FOREGROUND, meta_mut};
use crate::registry::{Target, preconditions};
use crate::status::{Result, Status};
use crate::store::Key;
use crate::txn::Txn;

/// What becomes of the objects that the deleted one owns.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Propagation {
    /// They are deleted with it.
    #[default]
    Background,
    /// They are deleted first; it stays until those that block it are gone.
    Foreground,
    /// They stay, without an owner.
    Orphan,
}

/// `metav1.DeleteOptions`, as far as it concerns this server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) propagation: Propagation,
    pub(crate) uid: String,
    pub(crate) resource_version: String,
}

/// What a deletion came to.
pub(crate) enum Deleted {
    Gone(Arc<Value>),
    /// Marked; it goes when its last finalizer does.
    Pending(Arc<Value>),
}

/// Deletes what a client named.
pub(crate) fn delete(txn: &mut Txn, target: &Target, options: &Options) -> Result<Deleted> {
    let key = target.key();
    let before = txn.get(&key).cloned().ok_or_else(|| target.absent())?;
    preconditions(target, &before, &options.resource_version, &options.uid)?;
    if key == namespace_key("default") {
        return Err(Status::forbidden(&target.resource, &target.name, "this namespace may not be deleted"));
    }
    delete_key(txn, &key, options.propagation);
    Ok(match txn.get(&key) {
        Some(pending) => Deleted::Pending(pending.clone()),
        None => Deleted::Gone(before),
    })
}

/// Removes an object whose finalizers are gone; returns its last state.
pub(crate) fn remove(txn: &mut Txn, key: &Key) -> Option<Arc<Value>> {
    let before = txn.get(key).cloned()?;
    let mut work = vec![Work::Remove(key.clone())];
    settle(txn, &mut work);
    Some(before)
}

/// Deletes a new object at once whose owners are all gone already.
pub(crate) fn collect_if_orphaned(txn: &mut Txn, key: &Key) {
    let mut work = vec![Work::Collect(key.clone())];
    settle(txn, &mut work);
}

fn delete_key(txn: &mut Txn, key: &Key, propagation: Propagation) {
    let mut work = vec![Work::Delete(key.clone(), propagation)];
    settle(txn, &mut work);
}

/// What remains to be done. A list, not recursion: chains of owners may be long.
enum Work {
    Delete(Key, Propagation),
    Remove(Key),
    /// Delete it if it has owners and none of them is left; else forget those that are gone.
    Collect(Key),
    /// Let it go if it waits for dependents and none blocks it.
    Unblock(Key),
    /// Remove a namespace that is going, if it is empty.
    Empty(String),
}

fn settle(txn: &mut Txn, work: &mut Vec<Work>) {
    while let Some(next) = work.pop() {
        match next {
            Work::Delete(key, propagation) => mark(txn, &key, propagation, work),
            Work::Remove(key) => {
                let Some(last) = txn.remove(&key) else { continue };
                if !key.namespace.is_empty() {
                    work.push(Work::Empty(key.namespace.clone()));
                }
                work.extend(
                    object::owners(&last).filter_map(|owner| txn.find_owner(owner, &key.namespace)).map(Work::Unblock),
                );
                work.extend(txn.dependents(object::uid(&last)).into_iter().map(Work::Collect));
            }
            Work::Collect(key) => collect(txn, &key, work),
            Work::Unblock(key) => unblock(txn, &key, work),
            Work::Empty(namespace) => {
                let key = namespace_key(&namespace);
                let going = txn.get(&key).is_some_and(|namespace| {
                    object::is_deleting(namespace) && object::finalizers(namespace).next().is_none()
                });
                if going && txn.keys(|key| key.namespace == namespace).is_empty() {
                    work.push(Work::Remove(key));
                }
            }
        }
    }
}

fn mark(txn: &mut Txn, key: &Key, propagation: Propagation, work: &mut Vec<Work>) {
    let Some(before) = txn.get(key).cloned() else { return };
    let mut object = Value::clone(&before);
    let uid = object::uid(&before).to_owned();
    match propagation {
        Propagation::Orphan => {
            for dependent in txn.dependents(&uid) {
                if let Some(mut freed) = txn.get(&dependent).map(|dependent| Value::clone(dependent)) {
                    object::remove_owner(&mut freed, &uid);
                    txn.put(dependent, freed);
                }
            }
        }
        Propagation::Foreground => {
            let dependents = txn.dependents(&uid);
            if dependents.iter().any(|dependent| blocks(txn, dependent, &uid)) {
                if !object::finalizers(&object).any(|finalizer| finalizer == FOREGROUND) {
                    let finalizers =
                        meta_mut(&mut object).entry("finalizers").or_insert_with(|| Value::Array(Vec::new()));
                    if let Value::Array(finalizers) = finalizers {
                        finalizers.push(FOREGROUND.into());
                    }
                }
                work.push(Work::Unblock(key.clone()));
                work.extend(dependents.into_iter().map(|dependent| Work::Delete(dependent, Propagation::Foreground)));
            }
        }
        Propagation::Background => {}
    }
    let is_namespace = *key == namespace_key(&key.name);
    let content = if is_namespace { txn.keys(|inside| inside.namespace == key.name) } else { Vec::new() };
    if object::finalizers(&object).next().is_none() && content.is_empty() {
        work.push(Work::Remove(key.clone()));
        return;
    }
    if !object::is_deleting(&object) {
        let generation = object.pointer("/metadata/generation").and_then(Value::as_u64);
        let metadata = meta_mut(&mut object);
        metadata.insert("deletionTimestamp".into(), object::now().into());
        metadata.insert("deletionGracePeriodSeconds".into(), 0.into());
        if let Some(generation) = generation {
            metadata.insert("generation".into(), (generation + 1).into());
        }
    }
    if is_namespace {
        object::entry_map(object::as_map(&mut object), "status").insert("phase".into(), "Terminating".into());
        work.push(Work::Empty(key.name.clone()));
        // A kind this version does not know goes with its namespace all the same.
        work.extend(content.into_iter().map(|key| Work::Delete(key, Propagation::Background)));
    }
    if object != *before {
        txn.put(key.clone(), object);
    }
}

fn collect(txn: &mut Txn, key: &Key, work: &mut Vec<Work>) {
    let Some(object) = txn.get(key).cloned() else { return };
    let (left, gone): (Vec<&Value>, Vec<&Value>) =
        object::owners(&object).partition(|owner| txn.find_owner(owner, &key.namespace).is_some());
    if gone.is_empty() {
        return;
    }
    if left.is_empty() {
        work.push(Work::Delete(key.clone(), Propagation::Background));
        return;
    }
    let mut freed = Value::clone(&object);
    for uid in gone.iter().filter_map(|owner| owner.get("uid")?.as_str()) {
        object::remove_owner(&mut freed, uid);
    }
    txn.put(key.clone(), freed);
}

fn unblock(txn: &mut Txn, key: &Key, work: &mut Vec<Work>) {
    let Some(owner) = txn.get(key).cloned() else { return };
    let waits = object::is_deleting(&owner) && object::finalizers(&owner).any(|finalizer| finalizer == FOREGROUND);
    let uid = object::uid(&owner);
    if !waits || txn.dependents(uid).iter().any(|dependent| blocks(txn, dependent, uid)) {
        return;
    }
    let mut freed = Value::clone(&owner);
    object::remove_finalizer(&mut freed, FOREGROUND);
    let free = object::finalizers(&freed).next().is_none();
    txn.put(key.clone(), freed);
    if free {
        work.push(Work::Remove(key.clone()));
    }
}

/// Whether a dependent says that its owner must not go before it.
fn blocks(txn: &Txn, dependent: &Key, uid: &str) -> bool {
    txn.get(dependent).is_some_and(|dependent| {
        object::owners(dependent).any(|owner| {
            owner.get("uid").and_then(Value::as_str) == Some(uid)
                && owner.get("blockOwnerDeletion") == Some(&Value::Bool(true))
        })
    })
}
