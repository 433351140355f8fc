//! An Addon → its linked component. Compiled once a digest, linked once a set of grants.

use crate::error::{Error, Result};
use crate::run::Modules;
use coffer_api::{Addon, Capability, Failure, FailureClass};
use coffer_runtime::{Compiled, Grants, LinkError, Linked, Runtime};
use kube::ResourceExt;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The module store and what was compiled from it.
pub(crate) struct Addons {
    runtime: Runtime,
    modules: Modules,
    compiled: Mutex<HashMap<String, Compiled>>,
    /// By digest and grants.
    linked: Mutex<HashMap<(String, Vec<Capability>), Linked>>,
}

impl Addons {
    pub(crate) fn new(runtime: Runtime, modules: Modules) -> Self {
        Self { runtime, modules, compiled: Mutex::default(), linked: Mutex::default() }
    }

    /// The component of `addon`, compiled but not linked yet.
    pub(crate) async fn compile(&self, addon: &Addon) -> Result<Compiled> {
        let digest = &addon.spec.module.digest;
        if let Some(compiled) = lock(&self.compiled).get(digest) {
            return Ok(compiled.clone());
        }
        let name = addon.name_any();
        let wasm = (self.modules)(digest.clone()).await.map_err(|failure| {
            let message = format!("unable to get the module of addon {name}: {}", failure.message);
            Error::Refused(Failure { message, ..failure }).hint("install it again: `coffer addon install FILE`")
        })?;
        let refuse =
            |error| Error::refused(FailureClass::Unsupported, format!("addon {name} cannot be loaded: {error}"));
        let compiled = self.runtime.compile(&wasm).await.map_err(|error| refuse(crate::error::chain(&error)))?;
        lock(&self.compiled).insert(digest.clone(), compiled.clone());
        Ok(compiled)
    }

    /// The component of `addon`, linked with what the operator granted.
    pub(crate) async fn link(&self, addon: &Addon) -> Result<Linked> {
        let mut granted = addon.spec.grants.clone();
        granted.sort();
        let key = (addon.spec.module.digest.clone(), granted);
        if let Some(linked) = lock(&self.linked).get(&key) {
            return Ok(linked.clone());
        }
        let compiled = self.compile(addon).await?;
        let linked = compiled.link(&grants(&addon.spec.grants)).map_err(|error| refusal(&addon.name_any(), error))?;
        // Asked once, a component goes by its own name in messages. One that does not answer is refused elsewhere.
        let _ = linked.describe().await;
        lock(&self.linked).insert(key, linked.clone());
        Ok(linked)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while a map is read or inserted into leaves a whole map.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn grants(granted: &[Capability]) -> Grants {
    let capabilities = granted.iter().map(|capability| match capability {
        Capability::Application => coffer_runtime::Capability::Application,
        Capability::Http => coffer_runtime::Capability::Http,
        Capability::Inbox => coffer_runtime::Capability::Inbox,
        Capability::Outbox => coffer_runtime::Capability::Outbox,
    });
    capabilities.collect()
}

fn refusal(addon: &str, error: LinkError) -> Error {
    match &error {
        LinkError::Missing { ungranted, unknown, .. } if unknown.is_empty() => {
            let missing: Vec<&str> =
                ungranted.iter().map(|capability| Capability::from(*capability).as_str()).collect();
            let missing = missing.join(", ");
            Error::refused(FailureClass::Denied, format!("addon {addon} needs what it was not granted: {missing}"))
                .hint(format!(
                    "grant it: `coffer addon install FILE --grant-requested`, or add {missing} to spec.grants"
                ))
        }
        _ => Error::refused(FailureClass::Unsupported, crate::error::chain(&error))
            .hint("build the addon for this version of Coffer; an addon imports nothing but the contract"),
    }
}

/// What a component imports and the operator did not grant, by name.
pub(crate) fn missing(compiled: &Compiled, granted: &[Capability]) -> Vec<String> {
    let granted = grants(granted);
    let missing = compiled.imports().iter().filter(|capability| !granted.contains(**capability));
    missing.map(|capability| Capability::from(*capability).as_str().to_owned()).collect()
}
