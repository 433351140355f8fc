//! `coffer apply`: checks every document offline first, then writes them by server-side apply.

use super::verdict;
use crate::cli::{Global, NamespaceArgs};
use crate::connect::Connection;
use crate::failure::{Failure, OrFail, Result};
use crate::manifest::{self, Document, Problems};
use crate::output::Printer;
use crate::resource;
use clap::Args;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The owner of the fields that manifests set.
const FIELD_MANAGER: &str = "coffer-cli";

const EXAMPLES: &str = "\
Examples:
  coffer apply -f shop.yaml
  coffer apply -f manifests/ -n demo
  generate-manifests | coffer apply -f -";

/// Check manifests and write them to the server
///
/// All documents are checked before any is written, and all that is wrong is told at once. Objects keep fields that others
/// set; missing namespaces are made. BackupConfigurations are then checked by the server against the Tasks they name: one that
/// contradicts its Task fails the command, one that waits for something is a warning.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ApplyArgs {
    /// File, folder of .yaml, .yml and .json files, or - for stdin; may be repeated
    #[arg(short, long, required = true, value_name = "FILE")]
    filename: Vec<PathBuf>,

    /// Only check the manifests, without a server
    #[arg(long)]
    check: bool,

    #[command(flatten)]
    namespace: NamespaceArgs,
}

pub async fn run(global: &Global, args: ApplyArgs, printer: Printer) -> Result<()> {
    let mut problems = Problems::default();
    let documents = manifest::read(&args.filename, &mut problems)?;
    for document in &documents {
        check(document, &mut problems);
    }
    let problems = problems.into_texts();
    if !problems.is_empty() {
        let mut failure = Failure::new(match problems.len() {
            1 => "the manifest is refused; nothing was written".to_owned(),
            count => format!("{count} documents are refused; nothing was written"),
        });
        failure.causes = problems;
        return Err(failure);
    }
    if documents.is_empty() {
        return Err(Failure::new("there is nothing to apply").hint("the files hold no document"));
    }
    if args.check {
        let count = documents.len();
        printer.line(format_args!("{count} {} valid", if count == 1 { "document is" } else { "documents are" }));
        return Ok(());
    }
    let connection = Connection::open(global).await?;
    let default_namespace = connection.namespace(&args.namespace);
    let mut namespaces = BTreeSet::new();
    let mut configurations = Vec::new();
    for document in &documents {
        let written =
            apply(&connection, document, &args.namespace, &default_namespace, &mut namespaces, printer).await?;
        let is_configuration = written.types.as_ref().is_some_and(|types| types.kind == "BackupConfiguration");
        configurations.extend(is_configuration.then_some(written));
    }
    verdict::wait(&connection, &configurations, printer).await
}

/// The schema and the rules of the kind, as the server checks them too.
fn check(document: &Document, problems: &mut Problems) {
    let mut object = document.object.clone();
    if let Err(invalid) = coffer_api::validate(&mut object) {
        problems.add(&document.origin, invalid);
    }
}

async fn apply(
    connection: &Connection,
    document: &Document,
    asked: &NamespaceArgs,
    default_namespace: &str,
    namespaces: &mut BTreeSet<String>,
    printer: Printer,
) -> Result<DynamicObject> {
    let mut object: DynamicObject =
        serde_json::from_value(document.object.clone()).or_fail(|| format!("{}: not an object", document.origin))?;
    let (api_version, kind) =
        object.types.as_ref().map(|types| (types.api_version.clone(), types.kind.clone())).unwrap_or_default();
    let Some(kind) = coffer_api::catalog::find(&api_version, &kind) else {
        return Err(Failure::new(format_args!("{}: unknown kind {kind} of {api_version}", document.origin)));
    };
    let namespace = namespace_of(document, &object, asked, default_namespace)?;
    if kind.namespaced {
        object.metadata.namespace = Some(namespace.clone());
        if namespaces.insert(namespace.clone()) {
            ensure_namespace(connection, &namespace, printer).await?;
        }
    }
    object.metadata.managed_fields = None;
    let name = object.name_any();
    let api = resource::api(&connection.client, kind, &namespace);
    let what = || format!("unable to write {} {name} ({})", kind.kind, document.origin);
    if object.metadata.name.is_none() {
        let made = api.create(&PostParams::default(), &object).await.or_fail(what)?;
        printer.line(format_args!("{} created", resource::label(kind, &made.name_any())));
        return Ok(DynamicObject { types: object.types, ..made });
    }
    let before = api.get_opt(&name).await.or_fail(what)?;
    // Force: the manifest in the operator's hand outranks whoever set the field before.
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let after = api.patch(&name, &params, &Patch::Apply(&object)).await.or_fail(what)?;
    let outcome = match before {
        None => "created",
        Some(before) if same_content(&before, &after) => "unchanged",
        Some(_) => "configured",
    };
    printer.line(format_args!("{} {outcome}", resource::label(kind, &name)));
    Ok(DynamicObject { types: object.types, ..after })
}

fn namespace_of(document: &Document, object: &DynamicObject, asked: &NamespaceArgs, default: &str) -> Result<String> {
    match (&object.metadata.namespace, &asked.namespace) {
        (Some(own), Some(asked)) if own != asked => Err(Failure::new(format_args!(
            "{}: the manifest says namespace {own}, the command line {asked}",
            document.origin
        ))
        .hint("leave out one of them")),
        (Some(own), _) => Ok(own.clone()),
        (None, _) => Ok(default.to_owned()),
    }
}

async fn ensure_namespace(connection: &Connection, name: &str, printer: Printer) -> Result<()> {
    let api: Api<Namespace> = Api::all(connection.client.clone());
    let what = || format!("unable to make the namespace {name}");
    if api.get_opt(name).await.or_fail(what)?.is_some() {
        return Ok(());
    }
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(name.to_owned());
    match api.create(&PostParams::default(), &namespace).await {
        Ok(_) => printer.line(format_args!("namespace/{name} created")),
        // Somebody was faster.
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(error) => return Err(Failure::api(what(), &error)),
    }
    Ok(())
}

/// Whether a write changed anything but the server's own bookkeeping.
fn same_content(before: &DynamicObject, after: &DynamicObject) -> bool {
    let content = |object: &DynamicObject| {
        let mut value = serde_json::to_value(object).unwrap_or(Value::Null);
        if let Some(object) = value.as_object_mut() {
            object.remove("status");
        }
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in ["managedFields", "resourceVersion", "generation"] {
                metadata.remove(field);
            }
        }
        value
    };
    before.metadata.resource_version == after.metadata.resource_version || content(before) == content(after)
}
