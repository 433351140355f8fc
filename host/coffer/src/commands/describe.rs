//! `coffer describe`: one object for people.

use super::get::presentable;
use crate::cli::{Format, NamespaceArgs, OutputArgs};
use crate::connect::Connection;
use crate::failure::{OrFail, Result};
use crate::output::{Printer, age};
use crate::resource;
use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// Show one object with its conditions and status
#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// The kind: plural, singular or short name
    kind: String,

    /// The object
    name: String,

    #[command(flatten)]
    namespace: NamespaceArgs,

    #[command(flatten)]
    output: OutputArgs,
}

impl DescribeArgs {
    pub fn of(kind: &str, name: &str, namespace: NamespaceArgs, output: OutputArgs) -> Self {
        Self { kind: kind.to_owned(), name: name.to_owned(), namespace, output }
    }
}

pub async fn run(connection: &Connection, args: DescribeArgs, printer: Printer) -> Result<()> {
    let kind = resource::kind(&args.kind)?;
    let namespace = connection.namespace(&args.namespace);
    let api = resource::api(&connection.client, kind, &namespace);
    let object = api.get_opt(&args.name).await.or_fail(|| format!("unable to read {} {}", kind.kind, args.name))?;
    let mut object = presentable(object.ok_or_else(|| resource::not_found(kind, &args.name, &namespace))?, kind)?;
    if kind.kind == "Secret" {
        mask(&mut object);
    }
    if args.output.output != Format::Table {
        return printer.value(args.output.output, &object);
    }
    print(&object, printer)
}

/// The keys of a Secret are no secret; its values are.
fn mask(secret: &mut Value) {
    if let Some(data) = secret.get_mut("data").and_then(Value::as_object_mut) {
        for value in data.values_mut() {
            *value = Value::String("(not shown)".to_owned());
        }
    }
}

fn print(object: &Value, printer: Printer) -> Result<()> {
    let metadata = object.get("metadata");
    let text = |field: &str| metadata.and_then(|metadata| metadata.get(field)).and_then(Value::as_str);
    let mut head = vec![("Name", text("name").unwrap_or_default().to_owned())];
    head.extend(text("namespace").map(|namespace| ("Namespace", namespace.to_owned())));
    head.extend(object.get("kind").and_then(Value::as_str).map(|kind| ("Kind", kind.to_owned())));
    if let Some(created) = text("creationTimestamp").and_then(|time| time.parse::<Timestamp>().ok()) {
        head.push(("Created", format!("{created} ({} ago)", age(created, Timestamp::now()))));
    }
    if text("deletionTimestamp").is_some() {
        head.push(("Deleting", "yes".to_owned()));
    }
    for (label, value) in head {
        printer.line(format_args!("{:<11}{value}", format!("{label}:")));
    }
    for field in ["labels", "annotations"] {
        if let Some(Value::Object(map)) = metadata.and_then(|metadata| metadata.get(field)) {
            section(field, &Value::Object(map.clone()), printer)?;
        }
    }
    let mut status = object.get("status").cloned().unwrap_or(Value::Null);
    let conditions = status.as_object_mut().and_then(|status| status.remove("conditions"));
    for (name, value) in object.as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status") {
            section(name, value, printer)?;
        }
    }
    section("status", &status, printer)?;
    if let Some(Value::Array(conditions)) = conditions {
        printer.line("");
        printer.heading("Conditions");
        let now = Timestamp::now();
        let rows = conditions.iter().map(|condition| {
            let text = |field: &str| condition.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            let since = text("lastTransitionTime").parse::<Timestamp>().map(|time| age(time, now)).unwrap_or_default();
            vec![text("type"), text("status"), text("reason"), since, text("message")]
        });
        printer.table(&["type", "status", "reason", "since", "message"], rows);
    }
    Ok(())
}

fn section(name: &str, value: &Value, printer: Printer) -> Result<()> {
    let empty = match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    if empty {
        return Ok(());
    }
    printer.line("");
    let mut title = name.to_owned();
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    printer.heading(&title);
    let block: Map<String, Value> = match value {
        Value::Object(map) => map.clone(),
        other => Map::from_iter([(name.to_owned(), other.clone())]),
    };
    let yaml = serde_saphyr::to_string(&block).or_fail(|| "unable to show the object")?;
    for line in yaml.lines() {
        printer.line(format_args!("  {line}"));
    }
    Ok(())
}
