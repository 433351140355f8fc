//! Addon: load, link with the grants, ask it what it is, write the Functions and Tasks it brings.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::object;
use crate::resolve;
use coffer_api::condition::{self, types};
use coffer_api::{Addon, AddonPhase, AddonStatus, Capability, Failure, FailureClass, labels};
use kube::api::{DeleteParams, ListParams};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A module may be uploaded after its Addon was applied.
const RETRY: std::time::Duration = std::time::Duration::from_secs(30);

pub(crate) async fn reconcile(addon: Arc<Addon>, context: Arc<Context>) -> Result<Action> {
    let before = addon.status.clone().unwrap_or_default();
    let mut status = AddonStatus {
        observed_generation: addon.metadata.generation,
        conditions: before.conditions,
        ..AddonStatus::default()
    };
    let outcome = match install(&addon, &context, &mut status).await {
        Ok(()) => Ok(()),
        Err(Error::Refused(failure)) => Err(failure),
        Err(api) => return Err(api),
    };
    let (ready, reason, message) = match &outcome {
        Ok(()) => (true, "Installed", "its Functions and Tasks can be used".to_owned()),
        Err(failure) if !status.missing.is_empty() => (false, "MissingGrants", failure.message.clone()),
        Err(failure) => (false, "NotLoaded", failure.message.clone()),
    };
    status.phase = if ready { AddonPhase::Ready } else { AddonPhase::Failed };
    let generation = addon.metadata.generation;
    condition::set(&mut status.conditions, types::READY, ready.into(), reason, message, generation, object::now());
    status.error = outcome.err();
    let again = status.error.as_ref().is_some_and(|failure| {
        matches!(failure.class, FailureClass::NotFound | FailureClass::Unavailable | FailureClass::Host)
    });
    object::write_status(&Api::all(context.client.clone()), &*addon, &status).await?;
    Ok(if again { Action::requeue(RETRY) } else { Action::await_change() })
}

async fn install(addon: &Addon, context: &Context, status: &mut AddonStatus) -> Result<()> {
    let compiled = context.addons.compile(addon).await?;
    status.requested = compiled.imports().iter().map(|capability| Capability::from(*capability).to_string()).collect();
    status.missing = resolve::addon::missing(&compiled, &addon.spec.grants);
    let linked = context.addons.link(addon).await?;
    let description = linked.describe().await.map_err(|error| {
        Error::refused(FailureClass::Failed, format!("addon {} does not describe itself: {error}", addon.name_any()))
            .hint("the module is broken; ask its author")
    })?;
    status.name = Some(description.name.clone());
    status.version = Some(description.version.to_string());
    status.contract = Some(description.contract.clone());
    let brought = coffer_api::install::brought(addon, &description).map_err(|invalid| {
        Error::refused(FailureClass::Unsupported, invalid.to_string())
            .hint("the addon contradicts itself; ask its author")
    })?;
    status.functions = write(context, addon, &brought.functions).await?;
    status.tasks = write(context, addon, &brought.tasks).await?;
    tracing::info!(addon = addon.name_any(), version = %description.version, "addon installed");
    Ok(())
}

/// Writes what the addon brings and deletes what an earlier version of it brought. Returns the names.
async fn write<K>(context: &Context, addon: &Addon, brought: &[K]) -> Result<Vec<String>>
where
    K: object::Object + kube::Resource<Scope = kube::core::ClusterResourceScope>,
{
    let api: Api<K> = Api::all(context.client.clone());
    let owner = addon.name_any();
    for object in brought {
        let existing = api.get_opt(&object.name_any()).await.map_err(Error::api("read", object::label(object)))?;
        let other = existing.as_ref().and_then(|existing| match existing.labels().get(labels::ADDON) {
            Some(by) if *by == owner => None,
            Some(by) => Some(format!("addon {by}")),
            None => Some("hand".to_owned()),
        });
        if let Some(other) = other {
            let label = object::label(object);
            let message = format!("addon {owner} brings {label}, which was already made by {other}");
            return Err(Error::Refused(Failure::new(FailureClass::Invalid, message).hint("remove one of the two")));
        }
        object::apply(&api, object).await?;
    }
    let names: BTreeSet<String> = brought.iter().map(ResourceExt::name_any).collect();
    let params = ListParams::default().labels(&format!("{}={owner}", labels::ADDON));
    let kind = K::kind(&());
    let owned = api.list(&params).await.map_err(Error::api("list", format_args!("the {kind}s of addon {owner}")))?;
    for gone in owned.items.iter().filter(|object| !names.contains(&object.name_any())) {
        match api.delete(&gone.name_any(), &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(source) => return Err(Error::api("delete", object::label(gone))(source)),
        }
    }
    Ok(names.into_iter().collect())
}
