//! What a restore has made and not finished yet. However it ends, no index is left that shows nobody its documents, has no
//! replicas or passes pipelines by; and the error names what is there.
//!
//! It is not taken away again: with its documents in, an operator may want to look at it, and `overwrite` replaces it. What else
//! it had is not put back: aliases and lifecycles are for indices that are whole.

use super::plan::{Planned, Stream};
use crate::catalog;
use crate::client::{Body, Client};
use coffer_addon::http::segment;
use coffer_addon::{Error, Result, host, omitted};
use futures::StreamExt;
use futures::future::{Either, select};
use futures::stream;
use serde_json::{Map, Value};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

/// For all of it. The host's grace after a cancel is 5 s, and a run that has failed may be cancelled.
const TIME: Duration = Duration::from_secs(4);

const AT_ONCE: usize = 8;

/// Of the names in a request: no server's limit for its first line is lower than 4096.
const MAX_NAMES: usize = 3000;

#[derive(Default)]
pub struct Unfinished {
    /// With the settings to put back.
    indices: RefCell<BTreeMap<String, Map<String, Value>>>,
    /// The same of their indices, oldest first.
    streams: RefCell<BTreeMap<String, Vec<Map<String, Value>>>>,
    removed: RefCell<BTreeSet<String>>,
    /// They were there before, without documents.
    filled: RefCell<BTreeSet<String>>,
    /// Those that are whole by themselves.
    made: RefCell<Vec<String>>,
    is_lost: Cell<bool>,
}

impl Unfinished {
    pub fn index(&self, index: &Planned) {
        self.indices.borrow_mut().insert(index.target.clone(), index.settings.to_use());
    }

    /// The server would not make it.
    pub fn refused(&self, target: &str) {
        self.indices.borrow_mut().remove(target);
        self.streams.borrow_mut().remove(target);
    }

    pub fn stream(&self, stream: &Stream) {
        let put_back =
            |index: &super::plan::Backing| index.made.as_ref().map(|made| made.settings.to_use()).unwrap_or_default();
        self.streams.borrow_mut().insert(stream.target.clone(), stream.indices.iter().map(put_back).collect());
    }

    /// An index or a data stream.
    pub fn removed(&self, target: &str) {
        self.removed.borrow_mut().insert(target.into());
    }

    /// Something that needs no settings put back, e.g. `ingest pipeline x`.
    pub fn made(&self, what: String) {
        self.made.borrow_mut().push(what);
    }

    /// Documents go into what is there.
    pub fn filled<'a>(&self, targets: impl Iterator<Item = &'a str>) {
        self.filled.borrow_mut().extend(targets.map(str::to_owned));
    }

    /// All indices are what they were in the dump.
    pub fn finished(&self) {
        self.removed.borrow_mut().clear();
        self.indices.borrow_mut().clear();
        self.streams.borrow_mut().clear();
    }

    /// Does `work`. Unless it succeeds, what it has not finished gets its settings and is named.
    pub async fn during<T>(&self, client: &Client, work: impl Future<Output = Result<T>>) -> Result<T> {
        match select(pin!(work), pin!(host::cancelled())).await {
            Either::Left((Ok(done), _)) => Ok(done),
            Either::Left((Err(error), _)) => {
                self.put_back(client).await;
                Err(match self.told() {
                    Some(told) => error.with(told),
                    None => error,
                })
            }
            // The work is let go of only after that: an artifact left in the middle would end the run at once.
            Either::Right(((), _work)) => {
                self.put_back(client).await;
                if let Some(told) = self.told() {
                    coffer_addon::warn!("{told}");
                }
                Err(Error::Failed("cancelled".into()))
            }
        }
    }

    /// For people: what is on the server now that was not, or was another; none where nothing was changed.
    fn told(&self) -> Option<String> {
        let (indices, streams, removed) = (self.indices.borrow(), self.streams.borrow(), self.removed.borrow());
        let halves: Vec<&String> = indices.keys().chain(streams.keys()).collect();
        let removed = removed.iter().filter(|name| !halves.contains(name));
        let parts = [
            ("restored by half", omitted::line(&halves)),
            ("removed, and not made again", omitted::line(removed)),
            ("made already", omitted::line(&*self.made.borrow())),
        ];
        let parts = parts.iter().filter(|(_, names)| !names.is_empty());
        let told: Vec<String> = parts.map(|(what, names)| format!("{what}: {names}")).collect();
        let filled = self.filled.borrow();
        match (told.is_empty(), filled.is_empty()) {
            (false, _) => Some(format!("{}; overwrite replaces them", told.join("; "))),
            (true, false) => Some(format!("empty them first to try again: {}", omitted::line(&*filled))),
            (true, true) => None,
        }
    }

    async fn put_back(&self, client: &Client) {
        let all = async {
            let mut alike: BTreeMap<String, Vec<String>> = BTreeMap::new();
            let indices = self.indices.borrow().clone();
            let mut add = |index: String, settings: Map<String, Value>| {
                if !settings.is_empty() {
                    alike.entry(Value::Object(settings).to_string()).or_default().push(index);
                }
            };
            indices.into_iter().for_each(|(index, settings)| add(index, settings));
            let streams = self.streams.borrow().clone();
            for (stream, settings) in streams {
                // It need not be there yet.
                let there = catalog::backing(client, &stream).await.unwrap_or_default();
                there.into_iter().zip(settings).for_each(|(index, settings)| add(index, settings));
            }
            let requests = alike.iter().flat_map(|(settings, indices)| {
                together(indices).into_iter().map(move |names| (names, settings.clone()))
            });
            stream::iter(requests.collect::<Vec<_>>())
                .for_each_concurrent(AT_ONCE, |(names, settings)| self.set(client, names, settings))
                .await;
        };
        if let Either::Right(_) = select(pin!(all), pin!(host::sleep(TIME))).await {
            coffer_addon::warn!("not all indices have their refresh interval and replicas again");
        }
    }

    async fn set(&self, client: &Client, names: String, settings: String) {
        if self.is_lost.get() {
            return;
        }
        let path = format!("/{names}/_settings?ignore_unavailable=true");
        let failed = match client.ask("PUT", &path, &Body::Json(settings.into_bytes())).await {
            Ok(Ok(_)) => return,
            Ok(Err(refusal)) if refusal.status == 404 => return,
            Ok(Err(refusal)) => refusal.error("putting settings back"),
            Err(error) => error,
        };
        self.is_lost.set(self.is_lost.get() || matches!(failed, Error::Unavailable(_)));
        coffer_addon::warn!("unable to give {names} their refresh interval and replicas again: {failed}");
    }
}

/// Lists of names for paths, none of them too long.
fn together(indices: &[String]) -> Vec<String> {
    let mut lists: Vec<String> = Vec::new();
    for name in indices.iter().map(|index| segment(index)) {
        match lists.last_mut() {
            Some(list) if list.len() + name.len() < MAX_NAMES => {
                list.push(',');
                list.push_str(&name);
            }
            _ => lists.push(name),
        }
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_together_as_far_as_a_path_goes() {
        let names: Vec<String> = (0..500).map(|number| format!("index ü{number:03}")).collect();
        let lists = together(&names);
        assert!(lists.len() > 1 && lists.iter().all(|list| list.len() <= MAX_NAMES));
        assert_eq!(lists.join(",").split(',').count(), names.len());
    }

    #[test]
    fn nothing_is_told_of_nothing() {
        let unfinished = Unfinished::default();
        assert_eq!(unfinished.told(), None);
        unfinished.removed("x");
        unfinished.made("script y".into());
        let told = "removed, and not made again: x; made already: script y; overwrite replaces them";
        assert_eq!(unfinished.told().as_deref(), Some(told));
    }
}
