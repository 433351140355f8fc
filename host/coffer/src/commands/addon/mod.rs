//! `coffer addon`: install, list, inspect, test, remove.

mod test;

use super::get;
use crate::cli::{Format, Global, NamespaceArgs, OutputArgs};
use crate::connect::Connection;
use crate::failure::{Failure, OrFail, Result};
use crate::output::Printer;
use crate::paths::DataDir;
use clap::{Args, Subcommand};
use coffer_api::{Addon, AddonModule, AddonPhase, AddonSpec, Capability};
use coffer_runtime::{Compiled, Descriptor, Grants, Linked, Runtime, RuntimeOptions};
use futures::StreamExt;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Compiling a large component takes seconds; a server that says nothing for this long is not reconciling.
const PATIENCE: Duration = Duration::from_secs(120);

const INSTALL_EXAMPLES: &str = "\
Examples:
  coffer addon install postgres.wasm                                  asks before it grants
  coffer addon install postgres.wasm --grant-requested                grants what the addon asks for
  coffer addon install postgres.wasm --grant application,outbox       grants these and no more";

#[derive(Debug, Subcommand)]
pub enum AddonCommand {
    /// Load an addon from its file and write the Functions and Tasks it brings
    Install(InstallArgs),
    /// List installed addons
    List(ListArgs),
    /// Show what an addon is and asks for: a file, or an installed one by name
    Inspect(InspectArgs),
    /// Try an addon on its application, and on all that goes wrong in real life
    Test(Box<test::TestArgs>),
    /// Remove addons with their Functions and Tasks
    Remove(RemoveArgs),
}

/// Load an addon from its file and write the Functions and Tasks it brings
///
/// An addon reaches nothing it was not granted. Without --grant or --grant-requested a person at a terminal is asked.
#[derive(Debug, Args)]
#[command(after_help = INSTALL_EXAMPLES)]
pub struct InstallArgs {
    /// The component: a .wasm file
    file: PathBuf,

    /// Name of the addon [default: the one it gives itself]
    #[arg(long)]
    name: Option<String>,

    /// Grant these capabilities and no others
    #[arg(long, value_delimiter = ',', value_name = "CAPABILITY", value_parser = capability, conflicts_with = "grant_requested")]
    grant: Vec<Capability>,

    /// Grant whatever the addon asks for
    #[arg(long)]
    grant_requested: bool,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A .wasm file, or the name of an installed addon
    addon: String,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// The addons
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

fn capability(text: &str) -> Result<Capability, String> {
    serde_json::from_value(json!(text)).map_err(|_| "capabilities are application, http, inbox and outbox".to_owned())
}

pub async fn run(global: &Global, command: AddonCommand, printer: Printer) -> Result<()> {
    match command {
        AddonCommand::Install(args) => install(global, args, printer).await,
        AddonCommand::List(args) => {
            let args = get::GetArgs::all("addons", args.output);
            get::run(&Connection::open(global).await?, args, printer).await
        }
        AddonCommand::Inspect(args) => inspect(global, args, printer).await,
        AddonCommand::Test(args) => test::run(global, *args, printer).await,
        AddonCommand::Remove(args) => remove(&Connection::open(global).await?, args, printer).await,
    }
}

/// A component read from a file, compiled, and asked what it is. It ran with its log and nothing else.
struct Loaded {
    wasm: Vec<u8>,
    compiled: Compiled,
    linked: Linked,
    description: Descriptor,
}

async fn load(global: &Global, file: &Path) -> Result<Loaded> {
    let shown = file.display();
    let wasm = tokio::fs::read(file).await.or_fail(|| format!("unable to read {shown}"))?;
    // Shared with the server when it is this machine's, which then need not compile again.
    let cache = DataDir::find(global)?.cache();
    let runtime = Runtime::new(RuntimeOptions { cache }).or_fail(|| "unable to start the WebAssembly runtime")?;
    let compiled = runtime
        .compile(&wasm)
        .await
        .map_err(|error| Failure::new(format_args!("{shown} is no addon that this Coffer can run")).because(&error))?;
    let linked = compiled
        .link(&Grants::all())
        .map_err(|error| Failure::new(format_args!("{shown} is no addon that this Coffer can run")).because(&error))?;
    let description = linked.describe().await.map_err(|error| {
        Failure::new(format_args!("{shown} does not say what it is"))
            .because(&error)
            .hint("the module is broken; ask its author")
    })?;
    Ok(Loaded { wasm, compiled, linked, description })
}

fn requested(compiled: &Compiled) -> Vec<Capability> {
    compiled.imports().iter().copied().map(Capability::from).collect()
}

fn names(capabilities: &[Capability]) -> String {
    match capabilities {
        [] => "nothing".to_owned(),
        some => some.iter().map(|capability| capability.as_str()).collect::<Vec<_>>().join(", "),
    }
}

async fn install(global: &Global, args: InstallArgs, printer: Printer) -> Result<()> {
    let loaded = load(global, &args.file).await?;
    let description = &loaded.description;
    let asks = requested(&loaded.compiled);
    printer.note(format_args!("{} {}: {}", description.name, description.version, description.description));
    for capability in &asks {
        printer.note(format_args!("  asks for {capability}: {}", meaning(*capability)));
    }
    let grants = grants(&args, &asks, printer)?;
    let name = args.name.as_ref().unwrap_or(&description.name).to_lowercase();
    let digest = loaded.compiled.digest();

    let connection = Connection::open(global).await?;
    let upload = http::Request::put(format!("/coffer/modules/{}", digest.to_hex()))
        .header(http::header::CONTENT_TYPE, "application/wasm")
        .body(loaded.wasm)
        .or_fail(|| "unable to upload the module")?;
    connection.client.request_text(upload).await.or_fail(|| "unable to upload the module")?;

    let api: Api<Addon> = Api::all(connection.client.clone());
    let spec = AddonSpec { module: AddonModule { digest: digest.to_string() }, grants, limits: None };
    let addon = Addon::new(&name, spec);
    let written = api
        .patch(&name, &PatchParams::apply("coffer-cli").force(), &Patch::Apply(&addon))
        .await
        .or_fail(|| format!("unable to write Addon {name}"))?;
    let ready = wait(&api, &name, written.metadata.generation).await?;
    let status = ready.status.unwrap_or_default();
    printer.line(format_args!("addon/{name} {} installed ({digest})", status.version.unwrap_or_default()));
    printer.note(format_args!("  functions: {}", status.functions.join(", ")));
    printer.note(format_args!("  tasks: {}", status.tasks.join(", ")));
    Ok(())
}

fn meaning(capability: Capability) -> &'static str {
    match capability {
        Capability::Application => "connections to the application it is run for, and that application's credentials",
        Capability::Http => {
            "HTTP requests to the application it is run for, in that application's name; it is shown no password"
        }
        Capability::Inbox => "to read what the step before it, or a snapshot, holds",
        Capability::Outbox => "to hand data to the step after it, or into a snapshot",
    }
}

fn grants(args: &InstallArgs, asks: &[Capability], printer: Printer) -> Result<Vec<Capability>> {
    if args.grant_requested || asks.is_empty() {
        return Ok(asks.to_vec());
    }
    if !args.grant.is_empty() {
        return Ok(args.grant.clone());
    }
    if printer.can_ask() {
        return if printer.ask(format_args!("Grant {}?", names(asks))) {
            Ok(asks.to_vec())
        } else {
            Err(Failure::new("not installed: nothing was granted"))
        };
    }
    Err(Failure::new(format_args!("{} asks for {}, and nothing is granted", args.file.display(), names(asks)))
        .hint(format_args!("add --grant-requested, or --grant {}", names(asks).replace(", ", ","))))
}

/// Waits until the controller has looked at this generation.
async fn wait(api: &Api<Addon>, name: &str, generation: Option<i64>) -> Result<Addon> {
    let looked = async {
        let mut changes = std::pin::pin!(watch_object(api.clone(), name).default_backoff());
        while let Some(change) = changes.next().await {
            match change {
                Ok(Some(addon)) => {
                    let status = addon.status.clone().unwrap_or_default();
                    if status.observed_generation >= generation && status.phase != AddonPhase::Pending {
                        return Ok(addon);
                    }
                }
                Ok(None) => return Err(Failure::new(format_args!("Addon {name} was deleted meanwhile"))),
                Err(error) => tracing::debug!(%error, "watch"),
            }
        }
        Err(Failure::new(format_args!("the watch of Addon {name} ended")))
    };
    let addon = tokio::time::timeout(PATIENCE, looked).await.unwrap_or_else(|_| {
        Err(Failure::new(format_args!("Addon {name} is not looked at"))
            .hint("are the controllers running? see the log of `coffer serve`"))
    })?;
    match addon.status.as_ref().and_then(|status| status.error.as_ref()) {
        None => Ok(addon),
        Some(error) => {
            let mut failure = Failure::new(format_args!("addon {name} cannot be used")).cause(&error.message);
            failure.hint.clone_from(&error.hint);
            Err(failure)
        }
    }
}

async fn inspect(global: &Global, args: InspectArgs, printer: Printer) -> Result<()> {
    let path = Path::new(&args.addon);
    if path.extension().is_some() || path.components().count() > 1 || path.is_file() {
        let loaded = load(global, path).await?;
        let asks = requested(&loaded.compiled);
        if args.output.output != Format::Table {
            let value = json!({
                "digest": loaded.compiled.digest().to_string(),
                "bytes": loaded.wasm.len(),
                "requested": asks,
                "description": loaded.description,
            });
            return printer.value(args.output.output, &value);
        }
        print(&loaded, &asks, printer);
        return Ok(());
    }
    let args = super::describe::DescribeArgs::of("addon", &args.addon, NamespaceArgs { namespace: None }, args.output);
    super::describe::run(&Connection::open(global).await?, args, printer).await
}

fn print(loaded: &Loaded, asks: &[Capability], printer: Printer) {
    let description = &loaded.description;
    printer.line(format_args!("Name:      {} {}", description.name, description.version));
    printer.line(format_args!("About:     {}", description.description));
    printer.line(format_args!("Digest:    {}", loaded.compiled.digest()));
    printer.line(format_args!("Contract:  {}", description.contract));
    printer.line(format_args!("Asks for:  {}", names(asks)));
    printer.line("");
    printer.heading("Functions");
    let functions = description.functions.iter().map(|function| {
        let serves = function.serves.iter().map(|serves| format!("{} {}", serves.application, serves.versions));
        let role = serde_json::to_value(function.role).ok().and_then(|role| role.as_str().map(str::to_owned));
        vec![
            function.name.clone(),
            role.unwrap_or_default(),
            serves.collect::<Vec<_>>().join("; "),
            function.description.clone(),
        ]
    });
    printer.table(&["name", "role", "serves", "description"], functions);
    printer.line("");
    printer.heading("Tasks");
    let tasks = description.tasks.iter().map(|task| {
        let steps = task.steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>().join(" → ");
        vec![task.name.clone(), steps, task.description.clone()]
    });
    printer.table(&["name", "steps", "description"], tasks);
}

async fn remove(connection: &Connection, args: RemoveArgs, printer: Printer) -> Result<()> {
    let api: Api<Addon> = Api::all(connection.client.clone());
    for name in &args.names {
        api.delete(name, &DeleteParams::default()).await.map_err(|error| match &error {
            kube::Error::Api(status) if status.is_not_found() => {
                Failure::new(format_args!("there is no addon {name}")).hint("`coffer addon list` lists those installed")
            }
            error => Failure::api(format_args!("unable to remove addon {name}"), error),
        })?;
        printer.line(format_args!("addon/{name} removed"));
    }
    Ok(())
}
