//! Watches: the changes of a selection of objects as a stream of events, one JSON document a line.
//!
//! A watch has no queue of its own. It remembers the revision it has told and reads on in the store's history when
//! woken; one that falls behind the history gets 410 and lists again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::object::meta_mut;
use crate::registry::Registry;
use crate::resource::Resource;
use crate::selector::Selector;
use crate::status::Status;
use crate::store::{Change, State};
use crate::table::{self, Include};

/// Idle watches say at this pace how far they are, so that a reconnect does not fall behind the history.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Longest watch when the client names none: it then simply connects again. Kubernetes uses 30–60 minutes.
const LONGEST: Duration = Duration::from_secs(45 * 60);

/// How objects are shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Format {
    Json,
    Table(Include),
    Partial,
}

/// What a list or a watch is about.
#[derive(Clone)]
pub(crate) struct Scope {
    pub(crate) resource: Arc<Resource>,
    /// `None`: all namespaces.
    pub(crate) namespace: Option<String>,
    pub(crate) selector: Selector,
}

impl Scope {
    /// The objects in it.
    pub(crate) fn objects(&self, state: &State) -> Vec<Arc<Value>> {
        state
            .scan(&self.resource.id, self.namespace.as_deref(), None)
            .filter(|(_, object)| self.selector.matches(object))
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// What a change means within the scope: the event's type and object.
    fn event(&self, change: &Change) -> Option<(&'static str, Arc<Value>)> {
        let inside = change.key.resource == self.resource.id
            && self.namespace.as_ref().is_none_or(|namespace| change.key.namespace == *namespace);
        if !inside {
            return None;
        }
        let select = |object: &Option<Arc<Value>>| object.clone().filter(|object| self.selector.matches(object));
        match (select(&change.before), select(&change.after)) {
            (None, Some(after)) => Some(("ADDED", after)),
            (Some(_), Some(after)) => Some(("MODIFIED", after)),
            (Some(before), None) => {
                // The last state, at the revision at which it left.
                let mut last = Value::clone(&before);
                meta_mut(&mut last).insert("resourceVersion".into(), change.revision.to_string().into());
                Some(("DELETED", Arc::new(last)))
            }
            (None, None) => None,
        }
    }
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Start {
    /// With an ADDED for every object there is.
    Now {
        /// Then with a bookmark that says these were all (`sendInitialEvents`).
        announce_end: bool,
    },
    After(u64),
}

pub(crate) struct Options {
    pub(crate) start: Start,
    pub(crate) format: Format,
    pub(crate) bookmarks: bool,
    pub(crate) timeout: Option<Duration>,
    /// Ends the watch when the server stops listening.
    pub(crate) stop: CancellationToken,
}

/// The body of a watch's response.
pub(crate) fn events(
    registry: Arc<Registry>,
    scope: Scope,
    options: Options,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let deadline = Instant::now() + options.timeout.unwrap_or(LONGEST).min(LONGEST);
    let follow = registry.store.follow();
    let watch = Watch { registry, scope, options, follow, told: None, deadline, ended: false };
    futures::stream::unfold(watch, |mut watch| async move {
        let lines = watch.next().await?;
        Some((Ok(lines.into()), watch))
    })
}

/// What a watch has to tell, up to a revision.
struct News {
    events: Vec<(&'static str, Arc<Value>)>,
    revision: u64,
    /// The revision that the history does not reach back to.
    lost: Option<u64>,
}

struct Watch {
    registry: Arc<Registry>,
    scope: Scope,
    options: Options,
    follow: tokio::sync::watch::Receiver<u64>,
    /// Everything up to this revision was told; `None` before the start.
    told: Option<u64>,
    deadline: Instant,
    ended: bool,
}

impl Watch {
    /// The next lines; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        if self.ended {
            return None;
        }
        let mut bookmark_at = Instant::now() + BOOKMARK_EVERY;
        loop {
            self.follow.borrow_and_update();
            let lines = self.catch_up();
            if !lines.is_empty() || self.ended {
                return Some(lines);
            }
            tokio::select! {
                changed = self.follow.changed() => changed.ok()?,
                () = sleep_until(self.deadline) => {
                    self.ended = true;
                    return self.options.bookmarks.then(|| self.bookmark(json!({})));
                }
                () = sleep_until(bookmark_at) => {
                    if self.options.bookmarks {
                        return Some(self.bookmark(json!({})));
                    }
                    bookmark_at = Instant::now() + BOOKMARK_EVERY;
                }
                () = self.options.stop.cancelled() => return None,
            }
        }
    }

    /// Tells what happened since the last time. Only the choice is made under the store's lock, the encoding after it.
    fn catch_up(&mut self) -> String {
        let News { events, revision, lost } = self.registry.store.read(|state| self.news(state));
        let begun = self.told.replace(revision).is_some();
        if let Some(asked) = lost {
            self.ended = true;
            return error_line(&expired(asked, revision));
        }
        let mut lines: String = events.into_iter().map(|(kind, object)| self.line(kind, object)).collect();
        if !begun && self.options.start == (Start::Now { announce_end: true }) {
            lines += &self.bookmark(json!({"k8s.io/initial-events-end": "true"}));
        }
        lines
    }

    fn news(&self, state: &State) -> News {
        let revision = state.revision;
        let told = match (self.told, self.options.start) {
            (Some(told), _) => told,
            (None, Start::After(asked)) => asked,
            (None, Start::Now { .. }) => {
                let events = self.scope.objects(state).into_iter().map(|object| ("ADDED", object)).collect();
                return News { events, revision, lost: None };
            }
        };
        // A future revision comes from before the database was put back to an older copy.
        let changes = if told > revision { None } else { state.since(told) };
        match changes {
            Some(changes) => {
                let events = changes.filter_map(|change| self.scope.event(change)).collect();
                News { events, revision, lost: None }
            }
            None => News { events: Vec::new(), revision, lost: Some(told) },
        }
    }

    fn line(&self, kind: &str, object: Arc<Value>) -> String {
        let object = match self.options.format {
            Format::Json => json!({"type": kind, "object": &*object}),
            Format::Partial => json!({"type": kind, "object": table::partial(&object)}),
            Format::Table(include) => {
                let meta = json!({"resourceVersion": crate::object::meta(&object, "resourceVersion")});
                json!({"type": kind, "object": table::table(&self.scope.resource, &[object], meta, include)})
            }
        };
        format!("{object}\n")
    }

    fn bookmark(&self, annotations: Value) -> String {
        let revision = self.told.unwrap_or_default().to_string();
        let mut metadata = json!({"resourceVersion": revision});
        if annotations != json!({}) {
            crate::object::as_map(&mut metadata).insert("annotations".into(), annotations);
        }
        let resource = &self.scope.resource;
        let (kind, api_version) = match self.options.format {
            Format::Json => (resource.kind.as_str(), resource.api_version()),
            Format::Partial => ("PartialObjectMetadata", "meta.k8s.io/v1".into()),
            Format::Table(_) => ("Table", "meta.k8s.io/v1".into()),
        };
        let object = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata});
        format!("{}\n", json!({"type": "BOOKMARK", "object": object}))
    }
}

fn error_line(status: &Status) -> String {
    format!("{}\n", json!({"type": "ERROR", "object": status.to_json()}))
}

/// The history does not hold what a client wants to go on from.
pub(crate) fn expired(asked: u64, current: u64) -> Status {
    Status::expired(format!("too old resource version: {asked} (current: {current}), list again"))
}
