//! From the ordered graph to numbered entries.

use std::collections::HashMap;

use crate::entry::{Entry, Section};

use super::object::{Body, Graph, Id, Item, Object, Satellite, Shape};
use super::order::{Order, is_separate};

pub(super) fn entries(graph: &Graph, order: &Order) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(order.ids.len());
    let mut numbers: HashMap<Id, i32> = HashMap::new();
    let mut last = 0;
    for id in &order.ids {
        let Some(object) = graph.objects.get(*id) else { continue };
        last += 1;
        let number = last;
        numbers.insert(*id, number);
        let mut dependencies: Vec<i32> =
            order.needs.get(*id).into_iter().flatten().filter_map(|needed| numbers.get(needed)).copied().collect();
        dependencies.sort_unstable();
        entries.push(Entry {
            id: number,
            catalog: object.key.map_or((0, 0), |key| (key.class, key.oid)),
            tag: object.tag.clone(),
            namespace: object.namespace.clone(),
            owner: object.owner.clone(),
            kind: object.desc.to_owned(),
            section: object.section(),
            create: terminated(create(graph, object)),
            drop: object.drop.clone(),
            copy: object.copy.clone(),
            access_method: object.access_method.clone(),
            tablespace: object.tablespace.clone(),
            dependencies,
            data: object.data.clone(),
        });
        for satellite in satellites(graph, object) {
            last += 1;
            entries.push(Entry {
                namespace: object.namespace.clone(),
                dependencies: vec![number],
                ..said(satellite, last)
            });
        }
    }
    for satellite in &graph.loose {
        last += 1;
        entries.push(said(satellite, last));
    }
    entries
}

/// What is said about an object and about the parts that are made with it.
fn satellites<'a>(graph: &'a Graph, object: &'a Object) -> impl Iterator<Item = &'a Satellite> {
    let parts: Vec<Id> = match &object.body {
        Body::Text(_) => Vec::new(),
        Body::View { query, .. } => vec![*query],
        Body::List { items, .. } => items
            .iter()
            .filter_map(|item| match item {
                Item::Part(id) => Some(*id),
                Item::Text(_) => None,
            })
            .collect(),
    };
    let parts = parts.into_iter().filter(|id| !is_separate(graph, *id)).filter_map(|id| graph.objects.get(id));
    object.satellites.iter().chain(parts.flat_map(|part| &part.satellites))
}

/// pg_dump gives comments and privileges no section: they go with the entry before them.
fn said(satellite: &Satellite, id: i32) -> Entry {
    let section = if satellite.desc == "SEQUENCE OWNED BY" { Section::PreData } else { Section::None };
    Entry {
        id,
        tag: satellite.tag.clone(),
        owner: satellite.owner.clone(),
        kind: satellite.desc.to_owned(),
        section,
        create: terminated(satellite.create.clone()),
        ..Entry::default()
    }
}

fn terminated(mut text: String) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn create(graph: &Graph, object: &Object) -> String {
    match &object.body {
        Body::Text(text) => text.clone(),
        Body::View { query, whole, stand_in } => {
            if is_separate(graph, *query) {
                stand_in.clone()
            } else {
                whole.clone()
            }
        }
        Body::List { head, items, shape, tail } => {
            let texts: Vec<&str> = items
                .iter()
                .filter_map(|item| match item {
                    Item::Text(text) => Some(text.as_str()),
                    Item::Part(id) => {
                        graph.objects.get(*id).and_then(|part| part.part_of.as_ref()).map(|(_, text)| text.as_str())
                    }
                })
                .collect();
            match shape {
                Shape::Bare => {
                    format!("{head}{}{tail}", texts.iter().map(|t| format!("\n    {t}")).collect::<String>())
                }
                Shape::Options if texts.is_empty() => format!("{head}{tail}"),
                Shape::Columns if texts.is_empty() => format!("{head} (\n){tail}"),
                _ => format!("{head} (\n    {}\n){tail}", texts.join(",\n    ")),
            }
        }
    }
}
