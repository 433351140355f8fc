//! Lists: a selection of objects at one revision, whole or in pages.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::object;
use crate::query::Query;
use crate::status::{Result, Status};
use crate::store::{Key, State};
use crate::watch::{Scope, Start, expired};

/// What a list answers.
pub(crate) struct Answer {
    pub(crate) objects: Vec<Arc<Value>>,
    /// `metadata` of the list.
    pub(crate) meta: Value,
}

/// Lists what is in scope. A page after the first shows the objects as they are now, under the revision of the first
/// page: whoever watches from that revision is told of everything that changed since, so nothing is missed.
pub(crate) fn list(state: &State, scope: &Scope, query: &Query) -> Result<Answer> {
    let limit =
        query.number("limit")?.filter(|limit| *limit > 0).map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let page = query.get("continue").map(Page::parse).transpose()?;
    let revision = match &page {
        Some(page) if page.revision > state.revision || state.since(page.revision).is_none() => {
            return Err(Status::expired("the continue token is too old, begin the list again"));
        }
        Some(page) => page.revision,
        None => {
            at_least(state, query)?;
            state.revision
        }
    };
    let after =
        page.map(|page| Key { resource: scope.resource.id.clone(), namespace: page.namespace, name: page.name });
    let mut matching = state
        .scan(&scope.resource.id, scope.namespace.as_deref(), after.as_ref())
        .filter(|(_, object)| scope.selector.matches(object));
    let mut objects = Vec::new();
    let mut last = None;
    for (key, object) in matching.by_ref().take(limit.unwrap_or(usize::MAX)) {
        objects.push(object.clone());
        last = Some(key);
    }
    let mut meta = json!({"resourceVersion": revision.to_string()});
    let remaining = if limit.is_some() { matching.count() } else { 0 };
    if let (Some(last), true) = (last, remaining > 0) {
        let fields = object::as_map(&mut meta);
        let next = Page { revision, namespace: last.namespace.clone(), name: last.name.clone() };
        fields.insert("continue".into(), next.token().into());
        fields.insert("remainingItemCount".into(), remaining.into());
    }
    Ok(Answer { objects, meta })
}

/// The list as it goes over the wire.
pub(crate) fn as_list(kind: &str, api_version: &str, objects: &[Arc<Value>], meta: &Value) -> Value {
    let items: Vec<&Value> = objects.iter().map(|object| &**object).collect();
    json!({"kind": kind, "apiVersion": api_version, "metadata": meta, "items": items})
}

/// Where a watch with these parameters begins.
pub(crate) fn start(query: &Query) -> Result<Start> {
    let initial = query.flag("sendInitialEvents")?;
    Ok(match query.number("resourceVersion")? {
        _ if initial => Start::Now { announce_end: true },
        None | Some(0) => Start::Now { announce_end: false },
        Some(revision) => Start::After(revision),
    })
}

/// A list shows the newest state whatever version it asks for, unless it asks for exactly one.
fn at_least(state: &State, query: &Query) -> Result<()> {
    let Some(asked) = query.number("resourceVersion")?.filter(|asked| *asked > 0) else { return Ok(()) };
    if asked > state.revision {
        return Err(Status::version_too_large(asked, state.revision));
    }
    if query.get("resourceVersionMatch") == Some("Exact") && asked != state.revision {
        return Err(expired(asked, state.revision));
    }
    Ok(())
}

/// Where a list goes on. Opaque to clients: `revision.namespace/name` in hex.
struct Page {
    revision: u64,
    namespace: String,
    name: String,
}

impl Page {
    fn token(&self) -> String {
        hex::encode(format!("{}.{}/{}", self.revision, self.namespace, self.name))
    }

    fn parse(token: &str) -> Result<Page> {
        let page = || {
            let text = String::from_utf8(hex::decode(token).ok()?).ok()?;
            let (revision, place) = text.split_once('.')?;
            let (namespace, name) = place.split_once('/')?;
            Some(Page { revision: revision.parse().ok()?, namespace: namespace.into(), name: name.into() })
        };
        page().ok_or_else(|| Status::bad_request("the continue token is not one of this server"))
    }
}
