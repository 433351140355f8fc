//! `coffer snapshots`, and how other commands find one.

use crate::cli::{Format, NamespaceArgs, OutputArgs};
use crate::connect::Connection;
use crate::failure::{Failure, OrFail, Result};
use crate::output::{Printer, age, bytes};
use crate::resource;
use clap::Args;
use coffer_api::{Repository, Snapshot, StoragePhase, labels};
use jiff::Timestamp;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, ResourceExt};
use serde_json::json;
use std::collections::BTreeSet;

/// List the snapshots that the repositories hold
///
/// Shows what the controllers saw in the repositories: what restic or another machine wrote appears with their next look. Warns
/// of those of a repository that could not be opened then.
#[derive(Debug, Args)]
pub struct SnapshotsArgs {
    /// Only of this Repository
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,

    /// Only of this target
    #[arg(long, value_name = "NAME")]
    target: Option<String>,

    /// Of all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,

    #[command(flatten)]
    namespace: NamespaceArgs,

    #[command(flatten)]
    output: OutputArgs,
}

pub async fn run(connection: &Connection, args: SnapshotsArgs, printer: Printer) -> Result<()> {
    let namespace = (!args.all_namespaces).then(|| connection.namespace(&args.namespace));
    let mut snapshots = list(connection, namespace.as_deref()).await?;
    snapshots.retain(|snapshot| {
        let target = snapshot.spec.target.as_ref().map(|target| target.name.as_str());
        args.repository.as_deref().is_none_or(|wanted| wanted == snapshot.spec.repository.name.as_str())
            && args.target.as_deref().is_none_or(|wanted| Some(wanted) == target)
    });
    if snapshots.is_empty()
        && let (Some(repository), Some(namespace)) = (&args.repository, &namespace)
    {
        resource::must_exist(&connection.client, "repository", repository, namespace).await?;
    }
    if args.output.output != Format::Table {
        for snapshot in &mut snapshots {
            snapshot.metadata.managed_fields = None;
        }
        return printer.value(args.output.output, &json!({"apiVersion": "v1", "kind": "List", "items": snapshots}));
    }
    if snapshots.is_empty() {
        let such = if args.repository.is_some() || args.target.is_some() { "such " } else { "" };
        printer.note(match &namespace {
            Some(namespace) => format!("there are no {such}snapshots in namespace {namespace}; -A shows those of all"),
            None => format!("there are no {such}snapshots"),
        });
        return Ok(());
    }
    let now = Timestamp::now();
    let rows = snapshots.iter().map(|snapshot| {
        let spec = &snapshot.spec;
        let mut row = if args.all_namespaces { vec![snapshot.namespace().unwrap_or_default()] } else { Vec::new() };
        row.extend([
            short(&spec.id).to_owned(),
            spec.repository.name.to_string(),
            spec.target.as_ref().map_or_else(|| "-".to_owned(), |target| target.name.to_string()),
            format!("{:.0}", spec.time.0),
            age(spec.time.0, now),
            spec.files.to_string(),
            bytes(spec.size),
        ]);
        row
    });
    let repositories: Api<Repository> = all(connection, namespace.as_deref());
    let repositories = repositories.list(&ListParams::default()).await.or_fail(|| "unable to list repositories")?;
    for doubt in doubts(&snapshots, &repositories.items) {
        printer.warning(doubt);
    }
    let header = ["namespace", "id", "repository", "target", "time", "age", "files", "size"];
    printer.table(if args.all_namespaces { &header } else { &header[1..] }, rows);
    Ok(())
}

/// Why some of `snapshots` may not be there any more or cannot be read: of a repository that cannot be opened, all at once.
fn doubts(snapshots: &[Snapshot], repositories: &[Repository]) -> Vec<String> {
    let mut doubts = Vec::new();
    let mut doubted = BTreeSet::new();
    for snapshot in snapshots {
        let (namespace, name) = (snapshot.namespace().unwrap_or_default(), snapshot.spec.repository.name.as_str());
        let repository = repositories.iter().find(|repository| {
            repository.name_any() == name && repository.namespace().unwrap_or_default() == namespace
        });
        let status = repository.and_then(|repository| repository.status.clone()).unwrap_or_default();
        let reason = match repository {
            None => Some("there is no such object any more".to_owned()),
            Some(_) if status.phase == StoragePhase::NotReady => {
                Some(status.error.map(|error| error.message).unwrap_or_default())
            }
            Some(_) => None,
        };
        if let Some(reason) = reason {
            if doubted.insert((namespace.clone(), name)) {
                doubts.push(format!("Repository {namespace}/{name}, its snapshots shown as last seen: {reason}"));
            }
        } else if let Some(reason) = snapshot.annotations().get(labels::UNREADABLE) {
            // What the controllers write on one that is there but cannot be read.
            doubts.push(format!("snapshot {} cannot be read whole: {reason}", short(&snapshot.spec.id)));
        }
    }
    doubts
}

/// The first eight digits, as restic shows ids.
pub fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// Oldest first.
async fn list(connection: &Connection, namespace: Option<&str>) -> Result<Vec<Snapshot>> {
    let api: Api<Snapshot> = all(connection, namespace);
    let mut snapshots = api.list(&ListParams::default()).await.or_fail(|| "unable to list snapshots")?.items;
    snapshots.sort_by_key(|snapshot| snapshot.spec.time.0);
    Ok(snapshots)
}

/// The objects of a kind in one namespace, or in all.
fn all<K>(connection: &Connection, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(connection.client.clone(), namespace),
        None => Api::all(connection.client.clone()),
    }
}

/// Which snapshot a command means.
#[derive(Debug, Args)]
pub struct SnapshotArgs {
    /// The snapshot: its id, at least the first eight digits, the name of its object, or `latest`
    pub snapshot: String,

    /// The Repository that holds it [default: the one that does]
    #[arg(long, value_name = "NAME")]
    pub repository: Option<String>,

    /// With `latest`: the target whose snapshots count [default: the only one there is]
    #[arg(long, value_name = "NAME")]
    pub of: Option<String>,

    #[command(flatten)]
    pub namespace: NamespaceArgs,
}

/// The one snapshot that is meant.
pub async fn find(connection: &Connection, args: &SnapshotArgs) -> Result<Snapshot> {
    let namespace = connection.namespace(&args.namespace);
    let all = list(connection, Some(&namespace)).await?;
    let here = all.into_iter().filter(|snapshot| {
        args.repository.as_deref().is_none_or(|wanted| wanted == snapshot.spec.repository.name.as_str())
    });
    let here: Vec<_> = here.collect();
    if let Some(repository) = args.repository.as_deref().filter(|_| here.is_empty()) {
        resource::must_exist(&connection.client, "repository", repository, &namespace).await?;
    }
    choose(here, &args.snapshot, args.of.as_deref()).map_err(|failure| match failure.hint {
        Some(_) => failure,
        None => failure
            .hint(format_args!("`coffer snapshots -n {namespace}` lists them; -n and --repository choose others")),
    })
}

/// `snapshots` are sorted by time.
fn choose(mut snapshots: Vec<Snapshot>, wanted: &str, of: Option<&str>) -> Result<Snapshot> {
    if wanted == "latest" {
        if let Some(of) = of {
            snapshots.retain(|snapshot| target(snapshot) == Some(of));
            return snapshots.pop().ok_or_else(|| Failure::new(format_args!("there is no snapshot of {of} yet")));
        }
        let targets: BTreeSet<&str> = snapshots.iter().map(|snapshot| target(snapshot).unwrap_or("none")).collect();
        if targets.len() > 1 {
            let targets = targets.into_iter().collect::<Vec<_>>().join(", ");
            return Err(Failure::new(format_args!("the latest snapshot may be of any of several targets: {targets}"))
                .hint("name the one by --of, or a snapshot by its id"));
        }
        return snapshots.pop().ok_or_else(|| Failure::new("there is no snapshot yet"));
    }
    let is_id = wanted.len() >= 8 && wanted.bytes().all(|byte| byte.is_ascii_hexdigit());
    snapshots.retain(|snapshot| snapshot.name_any() == wanted || is_id && snapshot.spec.id.starts_with(wanted));
    match (snapshots.pop(), snapshots.pop()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => Err(Failure::new(format_args!("{wanted} is ambiguous: several snapshots are called so"))),
        (None, _) => Err(Failure::new(format_args!("there is no snapshot {wanted}"))),
    }
}

/// The name of what was backed up; none for what restic wrote.
fn target(snapshot: &Snapshot) -> Option<&str> {
    snapshot.spec.target.as_ref().map(|target| target.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_is_of_one_target() {
        let of = |name: &str, target: &str| {
            let mut snapshot = snapshot(name, "aaaa11112222");
            snapshot.spec.target = Some(serde_json::from_value(json!({"name": target})).unwrap());
            snapshot
        };
        let all = || vec![of("r-1", "shop"), of("r-2", "crm")];
        let refused = choose(all(), "latest", None).unwrap_err();
        assert!(refused.error.contains("crm, shop") && refused.hint.unwrap().contains("--of"), "{}", refused.error);
        assert_eq!(choose(all(), "latest", Some("shop")).unwrap().name_any(), "r-1");
        assert!(choose(all(), "latest", Some("none")).is_err());
        assert!(choose(vec![of("r-1", "shop"), snapshot("r-2", "bbbb1111")], "latest", None).is_err());
        assert_eq!(choose(vec![of("r-1", "shop")], "latest", None).unwrap().name_any(), "r-1");
    }

    fn snapshot(name: &str, id: &str) -> Snapshot {
        serde_json::from_value(json!({
            "apiVersion": "coffer.dev/v1alpha1", "kind": "Snapshot", "metadata": {"name": name},
            "spec": {"repository": {"name": "r"}, "id": id, "time": "2026-11-21T11:00:00Z"},
        }))
        .unwrap()
    }

    #[test]
    fn what_may_not_be_there_any_more_is_doubted_once_a_repository() {
        let repository = |status: serde_json::Value| -> Repository {
            serde_json::from_value(json!({
                "apiVersion": "coffer.dev/v1alpha1", "kind": "Repository", "metadata": {"name": "r"}, "status": status,
                "spec": {"path": "r", "encryptionSecret": {"name": "key"}},
            }))
            .unwrap()
        };
        let mut all = vec![snapshot("r-1", "aaaa11112222"), snapshot("r-2", "bbbb11112222")];
        all[1].annotations_mut().insert(labels::UNREADABLE.to_owned(), "damaged".to_owned());
        let doubts = |status| doubts(&all, &[repository(status)]);
        assert_eq!(doubts(json!({"phase": "Ready"})), ["snapshot bbbb1111 cannot be read whole: damaged"]);
        let away = doubts(json!({"phase": "NotReady", "error": {"class": "NotFound", "message": "it is gone"}}));
        assert_eq!(away, ["Repository /r, its snapshots shown as last seen: it is gone"]);
        assert_eq!(super::doubts(&all, &[]).len(), 1);
    }

    #[test]
    fn a_snapshot_is_found_by_id_name_or_as_the_latest() {
        let all = || vec![snapshot("r-aaaa1111", "aaaa11112222"), snapshot("r-aaaa3333", "aaaa33334444")];
        assert_eq!(choose(all(), "latest", None).unwrap().name_any(), "r-aaaa3333");
        assert_eq!(choose(all(), "aaaa1111", None).unwrap().name_any(), "r-aaaa1111");
        assert_eq!(choose(all(), "r-aaaa3333", None).unwrap().spec.id, "aaaa33334444");
        assert!(choose(all(), "aaaa", None).is_err(), "four digits are too few");
        assert!(choose(Vec::new(), "latest", None).is_err());
    }
}
