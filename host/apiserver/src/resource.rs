//! The resources that are served: the kinds of `coffer-api`, and how a URL names them.

use std::ops::Deref;
use std::sync::Arc;

use coffer_api::Kind;

/// A kind, under the id its objects are stored by.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    kind: Kind,
    /// `plural.group`, or the plural alone for the core group.
    pub(crate) id: Arc<str>,
}

impl Deref for Resource {
    type Target = Kind;

    fn deref(&self) -> &Kind {
        &self.kind
    }
}

impl Resource {
    pub(crate) fn new(kind: Kind) -> Resource {
        let id = if kind.group.is_empty() { kind.plural.clone() } else { format!("{}.{}", kind.plural, kind.group) };
        Resource { kind, id: id.into() }
    }

    /// `plural.group` as error messages name it.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Whether this is one of Kubernetes' own kinds rather than a custom one: those know strategic merge patches and
    /// may be updated without naming a version.
    pub(crate) fn is_core(&self) -> bool {
        self.group != coffer_api::GROUP
    }
}

/// Every resource that is served.
#[derive(Clone, Debug)]
pub(crate) struct Resources(Vec<Arc<Resource>>);

impl Resources {
    pub(crate) fn new(kinds: &[Kind]) -> Resources {
        Resources(kinds.iter().cloned().map(Resource::new).map(Arc::new).collect())
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.0
            .iter()
            .find(|resource| resource.group == group && resource.version == version && resource.plural == plural)
    }

    /// Group and version of everything served, each once, core first.
    pub(crate) fn group_versions(&self) -> Vec<(&str, &str)> {
        let mut seen: Vec<(&str, &str)> =
            self.0.iter().map(|resource| (resource.group.as_str(), resource.version.as_str())).collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    }

    pub(crate) fn in_group<'a>(&'a self, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Arc<Resource>> {
        self.0.iter().filter(move |resource| resource.group == group && resource.version == version)
    }
}
