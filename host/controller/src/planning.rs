//! From a configuration or a restore to a checked plan: reads the Task, its Functions, their Addons and the AppBinding, and
//! asks the pipeline. Nothing is run, and no Secret is read.

use crate::error::{Error, Result};
use crate::object;
use crate::resolve::address::Address;
use coffer_api::refs::{ObjectRef, TargetRef};
use coffer_api::{
    Addon, AddonPhase, AppBinding, BackupConfiguration, Duration, FailureClass, Function, RestoreSession, Retry,
    Session, Source, Task, TaskUse,
};
use coffer_pipeline::plan::variables::{self, Variables};
use coffer_pipeline::{Ends, Plan, Request, Source as Copied, Target};
use kube::{Api, Client, ResourceExt};
use std::collections::{BTreeMap, BTreeSet};

/// Applications whose connections reach no database but the one that the URL names.
const CONFINED: [&str; 1] = ["postgresql"];

/// A plan and the objects that it was made from and that running it needs.
pub struct Planned {
    pub plan: Plan,
    pub(crate) binding: AppBinding,
    /// Of a copy: the application that it is made of.
    pub(crate) source: Option<AppBinding>,
    /// By name.
    pub(crate) addons: BTreeMap<String, Addon>,
    /// By name of the Function: the name of its Addon.
    pub(crate) functions: BTreeMap<String, String>,
}

/// What a run of `session` would do. `run` is the BackupSession's name, when there is one.
pub async fn backup(
    client: &Client,
    configuration: &BackupConfiguration,
    session: &Session,
    run: Option<&str>,
) -> Result<Planned> {
    let namespace = configuration.namespace().unwrap_or_default();
    let mut variables = Variables::from([
        (variables::INVOKER_KIND, "BackupConfiguration".to_owned()),
        (variables::INVOKER_NAME, configuration.name_any()),
    ]);
    if let [only] = session.repositories.as_slice() {
        repository_variables(only, &namespace, &mut variables);
    }
    // Without a run there is no name yet, but a plan that uses it is right all the same.
    let run = run.map_or_else(|| format!("{}-{}", configuration.name_any(), session.name), str::to_owned);
    variables.insert(variables::BACKUP_SESSION, run);
    let wanted = Wanted {
        namespace: &namespace,
        target: &configuration.spec.target,
        source: None,
        task: &session.task,
        ends: Ends::Repositories,
        timeout: session.timeout,
        retry: session.retry,
        variables,
    };
    plan(client, wanted).await
}

/// What a restore would do. `snapshot` is the id of the one chosen; a copy has none.
pub async fn restore(client: &Client, session: &RestoreSession, snapshot: Option<&str>) -> Result<Planned> {
    let namespace = session.namespace().unwrap_or_default();
    let spec = &session.spec;
    let mut variables = Variables::from([
        (variables::INVOKER_KIND, "RestoreSession".to_owned()),
        (variables::INVOKER_NAME, session.name_any()),
        (variables::RESTORE_SESSION, session.name_any()),
    ]);
    variables.extend(snapshot.map(|id| (variables::SNAPSHOT, id.to_owned())));
    let (source, ends) = match spec.data_source.source() {
        Some(Source::Snapshot { repository, .. }) => {
            repository_variables(repository, &namespace, &mut variables);
            (None, Ends::Snapshot)
        }
        Some(Source::Application(application)) => (Some(application), Ends::Application),
        None => {
            let message = format!("{} has no data source, or two", object::label(session));
            return Err(Error::refused(FailureClass::Invalid, message)
                .hint("name a repository or an application in spec.dataSource, and not both"));
        }
    };
    let wanted = Wanted {
        namespace: &namespace,
        target: &spec.target,
        source,
        task: &spec.task,
        ends,
        timeout: spec.timeout,
        retry: spec.retry,
        variables,
    };
    plan(client, wanted).await
}

fn repository_variables(repository: &ObjectRef, namespace: &str, variables: &mut Variables) {
    variables.insert(variables::REPOSITORY_NAME, repository.name.to_string());
    variables.insert(variables::REPOSITORY_NAMESPACE, repository.namespace_or(namespace).to_owned());
}

struct Wanted<'a> {
    namespace: &'a str,
    target: &'a TargetRef,
    source: Option<&'a TargetRef>,
    task: &'a TaskUse,
    ends: Ends,
    timeout: Option<Duration>,
    retry: Option<Retry>,
    variables: Variables,
}

async fn plan(client: &Client, mut wanted: Wanted<'_>) -> Result<Planned> {
    wanted.variables.insert(variables::NAMESPACE, wanted.namespace.to_owned());
    let binding: AppBinding = object::get(client, wanted.namespace, wanted.target.name.as_str()).await?;
    let source: Option<AppBinding> = match wanted.source {
        Some(source) => Some(object::get(client, wanted.namespace, source.name.as_str()).await?),
        None => None,
    };
    if let Some(source) = &source {
        not_onto_itself(source, &binding, wanted.namespace).await?;
    }
    let task: Task = object::get_cluster(client, wanted.task.name.as_str()).await?;
    let names: BTreeSet<&str> =
        task.spec.steps.iter().chain(&task.spec.finally).map(|step| step.function.as_str()).collect();
    let functions = all::<Function>(client, names).await?;
    let addons =
        all::<Addon>(client, functions.values().map(|function| function.spec.addon.as_str()).collect()).await?;
    for addon in addons.values() {
        usable(addon)?;
    }

    let specs = functions.iter().map(|(name, function)| (name.clone(), function.spec.clone())).collect();
    let grants =
        addons.iter().map(|(name, addon)| (name.clone(), addon.spec.grants.iter().copied().collect())).collect();
    let application = |reference: &TargetRef, binding: &AppBinding| Target {
        kind: reference.kind.as_str().to_owned(),
        name: reference.name.to_string(),
        namespace: wanted.namespace.to_owned(),
        application: binding.spec.type_.clone(),
        version: binding.spec.version.clone(),
    };
    let target = application(wanted.target, &binding);
    let copied = wanted.source.zip(source.as_ref());
    let copied = copied.map(|(reference, binding)| (application(reference, binding), &binding.spec.parameters));
    let request = Request {
        task: wanted.task.name.as_str(),
        spec: &task.spec,
        functions: &specs,
        grants: &grants,
        target: &target,
        source: copied.as_ref().map(|(target, app_parameters)| Copied { target, app_parameters }),
        ends: wanted.ends,
        app_parameters: &binding.spec.parameters,
        session_parameters: &wanted.task.params,
        variables: &wanted.variables,
        timeout: wanted.timeout,
        retry: wanted.retry,
    };
    let plan = coffer_pipeline::plan(&request).map_err(|error| Error::Refused(error.failure()))?;
    let functions = functions.into_iter().map(|(name, function)| (name, function.spec.addon.0)).collect();
    Ok(Planned { plan, binding, source, addons, functions })
}

/// Two bindings of one server: a sink that drops what is there would drop what is read. Only where a connection is confined to
/// a database can another one be no part of that.
async fn not_onto_itself(source: &AppBinding, target: &AppBinding, namespace: &str) -> Result<()> {
    let (from, into) = (Address::of(&source.spec, namespace)?, Address::of(&target.spec, namespace)?);
    let is_confined = CONFINED.contains(&target.spec.type_.as_str());
    let apart = is_confined && matches!((from.database(), into.database()), (Some(from), Some(into)) if from != into);
    if apart || !from.meets(&into).await {
        return Ok(());
    }
    let (source, target) = (object::label(source), object::label(target));
    Err(Error::refused(FailureClass::Invalid, format!("{source} and {target} are the same server"))
        .hint("copy to another server; for a copy within one, back up and restore under another name"))
}

/// Those of `names` that exist. The plan says what is missing, and where it is named.
async fn all<K>(client: &Client, names: BTreeSet<&str>) -> Result<BTreeMap<String, K>>
where
    K: object::Object + kube::Resource<Scope = kube::core::ClusterResourceScope>,
{
    let api: Api<K> = Api::all(client.clone());
    let mut found = BTreeMap::new();
    for name in names {
        let object = api.get_opt(name).await.map_err(Error::api("read", format_args!("{} {name}", K::kind(&()))))?;
        found.extend(object.map(|object| (name.to_owned(), object)));
    }
    Ok(found)
}

fn usable(addon: &Addon) -> Result<()> {
    let status = addon.status.clone().unwrap_or_default();
    if status.phase == AddonPhase::Ready {
        return Ok(());
    }
    let name = addon.name_any();
    match status.error {
        Some(mut failure) => {
            failure.message = format!("addon {name} cannot be used: {}", failure.message);
            Err(Error::Refused(failure))
        }
        None => Err(Error::refused(FailureClass::Unavailable, format!("addon {name} is still being installed"))),
    }
}
