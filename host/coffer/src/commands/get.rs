//! `coffer get`: the server's own table, or the objects themselves.

use crate::cli::{Format, NamespaceArgs, OutputArgs};
use crate::connect::Connection;
use crate::failure::{Failure, OrFail, Result};
use crate::output::Printer;
use crate::resource;
use clap::Args;
use coffer_api::Kind;
use kube::api::ListParams;
use serde::Deserialize;
use serde_json::{Value, json};

/// The server renders the columns that the kind declares, as it does for kubectl.
const AS_TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

const EXAMPLES: &str = "\
Examples:
  coffer get backupsessions -A
  coffer get repo shop-repo -n demo -o yaml
  coffer get functions";

/// List objects of a kind
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct GetArgs {
    /// The kind: plural, singular or short name
    kind: String,

    /// Only this object
    name: Option<String>,

    /// Of all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["name", "namespace"])]
    all_namespaces: bool,

    #[command(flatten)]
    namespace: NamespaceArgs,

    #[command(flatten)]
    output: OutputArgs,
}

impl GetArgs {
    /// `coffer get KIND` of a kind without namespaces.
    pub fn all(kind: &str, output: OutputArgs) -> Self {
        let namespace = NamespaceArgs { namespace: None };
        Self { kind: kind.to_owned(), name: None, all_namespaces: false, namespace, output }
    }
}

pub async fn run(connection: &Connection, args: GetArgs, printer: Printer) -> Result<()> {
    let kind = resource::kind(&args.kind)?;
    let namespace = connection.namespace(&args.namespace);
    if args.output.output != Format::Table {
        return objects(connection, kind, &args, &namespace, printer).await;
    }
    let path = path(kind, &namespace, args.all_namespaces, args.name.as_deref());
    let table = table(connection, &path).await.map_err(|error| match &error {
        kube::Error::Api(status) if status.is_not_found() && args.name.is_some() => {
            resource::not_found(kind, args.name.as_deref().unwrap_or_default(), &namespace)
        }
        error => Failure::api(format_args!("unable to list {}", kind.plural), error),
    })?;
    if table.rows.is_empty() {
        printer.note(if kind.namespaced && !args.all_namespaces {
            format!("there are no {} in namespace {namespace}", kind.plural)
        } else {
            format!("there are no {}", kind.plural)
        });
        return Ok(());
    }
    print(&table, kind.namespaced && args.all_namespaces, printer);
    Ok(())
}

async fn objects(
    connection: &Connection,
    kind: &Kind,
    args: &GetArgs,
    namespace: &str,
    printer: Printer,
) -> Result<()> {
    let api = if args.all_namespaces {
        kube::Api::all_with(connection.client.clone(), &resource::api_resource(kind))
    } else {
        resource::api(&connection.client, kind, namespace)
    };
    let value = match &args.name {
        Some(name) => {
            let what = || format!("unable to read {} {name}", kind.kind);
            let object = api.get_opt(name).await.or_fail(what)?;
            let object = object.ok_or_else(|| resource::not_found(kind, name, namespace))?;
            presentable(object, kind)?
        }
        None => {
            let list = api.list(&ListParams::default()).await.or_fail(|| format!("unable to list {}", kind.plural))?;
            let items = list.items.into_iter().map(|object| presentable(object, kind)).collect::<Result<Vec<_>>>()?;
            json!({"apiVersion": "v1", "kind": "List", "items": items})
        }
    };
    printer.value(args.output.output, &value)
}

/// The object as a manifest has it: with its type, without the server's bookkeeping of field owners.
pub fn presentable(mut object: kube::api::DynamicObject, kind: &Kind) -> Result<Value> {
    object.metadata.managed_fields = None;
    object
        .types
        .get_or_insert_with(|| kube::api::TypeMeta { api_version: kind.api_version(), kind: kind.kind.clone() });
    serde_json::to_value(object).or_fail(|| "unable to read the object")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Table {
    column_definitions: Vec<Column>,
    #[serde(default)]
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
    /// 0 is shown always, the rest only on demand.
    #[serde(default)]
    priority: i32,
}

#[derive(Deserialize)]
struct Row {
    cells: Vec<Value>,
    #[serde(default)]
    object: Value,
}

fn path(kind: &Kind, namespace: &str, all: bool, name: Option<&str>) -> String {
    let root = if kind.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", kind.group) };
    let mut path = format!("{root}/{}", kind.version);
    if kind.namespaced && !all {
        path.push_str(&format!("/namespaces/{namespace}"));
    }
    path.push_str(&format!("/{}", kind.plural));
    if let Some(name) = name {
        path.push_str(&format!("/{name}"));
    }
    path
}

async fn table(connection: &Connection, path: &str) -> Result<Table, kube::Error> {
    let request = http::Request::get(path)
        .header(http::header::ACCEPT, AS_TABLE)
        .body(Vec::new())
        .map_err(kube::Error::HttpError)?;
    connection.client.request(request).await
}

fn print(table: &Table, with_namespace: bool, printer: Printer) {
    let shown: Vec<usize> = table
        .column_definitions
        .iter()
        .enumerate()
        .filter(|(_, column)| column.priority == 0)
        .map(|(at, _)| at)
        .collect();
    let mut header: Vec<&str> = Vec::new();
    if with_namespace {
        header.push("namespace");
    }
    header.extend(
        table.column_definitions.iter().filter(|column| column.priority == 0).map(|column| column.name.as_str()),
    );
    let rows = table.rows.iter().map(|row| {
        let mut cells = Vec::new();
        if with_namespace {
            cells
                .push(row.object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default().to_owned());
        }
        cells.extend(shown.iter().map(|at| match row.cells.get(*at) {
            None => String::new(),
            Some(value) => cell(value),
        }));
        cells
    });
    printer.table(&header, rows);
}

/// A list, which the server may have written as JSON in a string, as its items.
fn cell(value: &Value) -> String {
    let list = |text: &str| serde_json::from_str::<Vec<String>>(text).ok();
    match value {
        Value::Null => String::new(),
        Value::String(text) => list(text).map_or_else(|| text.clone(), |items| items.join(", ")),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_in_a_cell_is_shown_as_its_items() {
        assert_eq!(cell(&json!(["dump", "load"])), "dump, load");
        assert_eq!(cell(&json!(r#"["dump","load"]"#)), "dump, load");
        assert_eq!(cell(&json!("[a poem")), "[a poem");
        assert_eq!((cell(&json!(3)), cell(&Value::Null)), ("3".to_owned(), String::new()));
    }
}
