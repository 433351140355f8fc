//! A component's way from compiled to linked: what it wants against what it is given.

use crate::{
    Capability, Descriptor, Grants, LinkError, LoadError, Operation, Report, RunError, bindings::AddonPre, capability,
    grants, operation, state::State,
};
use coffer_addon_descriptor::CONTRACT;
use sha2::{Digest as _, Sha256};
use std::{
    fmt,
    sync::{Arc, OnceLock},
};
use wasmtime::{
    Engine,
    component::{
        Component, Linker,
        types::{ComponentExtern, ComponentItem},
    },
};

/// A component's identity: the SHA-256 of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Without `sha256:` in front.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Machine code of a component that exports what an addon must.
#[derive(Clone)]
pub struct Compiled {
    engine: Engine,
    component: Component,
    digest: Digest,
    wants: Wants,
}

/// A component's imports, sorted into what grants can give and what nothing can.
#[derive(Debug, Clone, Default)]
struct Wants {
    capabilities: Vec<Capability>,
    unknown: Vec<String>,
}

/// The WASI 0.2 that Rust's standard library imports whether it is used or not. None of it leads out of the store: there are
/// no arguments, no environment, no directories, and both outputs are the log.
const WASI: [&str; 20] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// `coffer:addon/inbox@0.1.0` → (`coffer:addon/inbox`, `0.1.0`).
fn split_version(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}

/// The package's name and version that this host speaks. There has been one so far; when there is a second, the older one is
/// accepted here, and the linker already binds it to the newer.
fn contract() -> (&'static str, &'static str) {
    split_version(CONTRACT)
}

pub(crate) fn inspect(engine: Engine, component: Component, digest: Digest) -> Result<Compiled, LoadError> {
    let (package, version) = contract();
    let ty = component.component_type();

    let step = format!("{package}/step@{version}");
    if component.get_export_index(None, step.as_str()).is_none() {
        let prefix = format!("{package}/");
        let other = ty.exports(&engine).map(|(name, _)| name).find(|name| name.starts_with(&prefix)).map(str::to_owned);
        return Err(match other {
            Some(name) => LoadError::OtherContract { found: format!("{package}@{}", split_version(&name).1) },
            None => LoadError::NotAnAddon(step),
        });
    }

    let mut wants = Wants::default();
    for (name, item) in ty.imports(&engine) {
        let (interface, found) = split_version(name);
        match interface.strip_prefix(package).and_then(|rest| rest.strip_prefix('/')) {
            Some("host" | "types") if found == version => {}
            Some(own) if found == version => match grants::by_name(own) {
                Some(_) if has_only_types(&engine, &item) => {}
                Some(capability) => wants.capabilities.push(capability),
                None => wants.unknown.push(name.to_owned()),
            },
            None if WASI.contains(&interface) && found.starts_with("0.2.") => {}
            _ => wants.unknown.push(name.to_owned()),
        }
    }
    wants.capabilities.sort();
    Ok(Compiled { engine, component, digest, wants })
}

/// Whether nothing of an imported interface can be called. Bindings import one so when they have a stream's type from it.
fn has_only_types(engine: &Engine, item: &ComponentExtern<'_>) -> bool {
    match &item.ty {
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).all(|(_, item)| matches!(item.ty, ComponentItem::Type(_)))
        }
        _ => false,
    }
}

impl Compiled {
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The capabilities the component imports, sorted.
    pub fn imports(&self) -> &[Capability] {
        &self.wants.capabilities
    }

    /// Links what was granted and nothing else. An error lists everything that is missing at once.
    pub fn link(&self, granted: &Grants) -> Result<Linked, LinkError> {
        let addon = Arc::new(Label { digest: self.digest, name: OnceLock::new() });
        let ungranted: Vec<_> = self.wants.capabilities.iter().copied().filter(|c| !granted.contains(*c)).collect();
        if !ungranted.is_empty() || !self.wants.unknown.is_empty() {
            return Err(LinkError::Missing {
                addon: addon.to_string(),
                ungranted,
                unknown: self.wants.unknown.clone(),
            });
        }
        let incompatible =
            |error: wasmtime::Error| LinkError::Incompatible { addon: addon.to_string(), reason: format!("{error:#}") };
        let mut linker = Linker::<State>::new(&self.engine);
        capability::link(&mut linker, granted).map_err(incompatible)?;
        let addon_pre = linker.instantiate_pre(&self.component).and_then(AddonPre::new).map_err(incompatible)?;
        Ok(Linked { engine: self.engine.clone(), addon_pre, label: addon, digest: self.digest })
    }
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled").field("digest", &self.digest).field("wants", &self.wants).finish_non_exhaustive()
    }
}

/// A component that can run, as often as one likes and in parallel: every call has a store of its own.
#[derive(Clone)]
pub struct Linked {
    pub(crate) engine: Engine,
    pub(crate) addon_pre: AddonPre<State>,
    pub(crate) label: Arc<Label>,
    digest: Digest,
}

impl Linked {
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Asks the component what it is. It is given nothing but its log.
    pub async fn describe(&self) -> Result<Descriptor, RunError> {
        let descriptor = operation::describe(self).await?;
        // The first name stays: a component that changes it between calls is told apart by its digest anyway.
        let _ = self.label.name.set(format!("{} {}", descriptor.name, descriptor.version));
        Ok(descriptor)
    }

    /// Runs one Function. Dropping the future stops the run.
    pub async fn run(&self, operation: Operation) -> Result<Report, RunError> {
        operation::run(self, operation).await
    }
}

impl fmt::Debug for Linked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linked")
            .field("addon", &self.label.to_string())
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// How messages name an addon: by its own name and version once they are known, by its digest before.
pub(crate) struct Label {
    digest: Digest,
    name: OnceLock<String>,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.get() {
            Some(name) => f.write_str(name),
            None => {
                let digest = self.digest.to_hex();
                write!(f, "sha256:{}", digest.get(..12).unwrap_or_default())
            }
        }
    }
}
