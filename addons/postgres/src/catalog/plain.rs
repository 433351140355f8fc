//! Families whose objects the server can spell in one expression: a query each, and nothing to decide afterwards.

use serde::Deserialize;

use super::Error;
use super::object::{Body, Graph, Id, Key, Kind, Object};
use super::reader::Reader;

/// A query for all objects of one kind; its columns are those of [`Row`].
pub(super) struct Family {
    pub what: &'static str,
    pub class: u32,
    pub kind: Kind,
    pub desc: &'static str,
    /// The first major version that has the kind.
    pub since: u32,
    pub sql: &'static str,
}

#[derive(Deserialize)]
pub(super) struct Row {
    pub oid: u32,
    #[serde(default)]
    pub namespace: Option<String>,
    /// The entry's tag.
    pub name: String,
    #[serde(default)]
    pub owner: Option<String>,
    /// How DDL calls it: `SCHEMA s`, `TRIGGER t ON s.r`; empty where nothing can be said about it.
    pub reference: String,
    /// The tag of its comment: by default desc and name.
    #[serde(default)]
    pub label: Option<String>,
    pub create: String,
    /// By default `DROP reference;`.
    #[serde(default)]
    pub drop: Option<String>,
}

pub(super) async fn read(reader: &mut Reader<'_>, graph: &mut Graph, families: &[Family]) -> Result<(), Error> {
    let version = reader.version;
    for family in families.iter().filter(|family| family.since <= version) {
        for row in reader.select::<Row>(family.what, family.sql).await? {
            add(graph, family.class, family.kind, family.desc, row);
        }
    }
    Ok(())
}

/// Adds one row's object, unless it comes with an extension.
pub(super) fn add(graph: &mut Graph, class: u32, kind: Kind, desc: &'static str, row: Row) -> Option<Id> {
    let key = Key::new(class, row.oid);
    if graph.is_member(key) {
        return None;
    }
    let label = row.label.unwrap_or_else(|| format!("{desc} {}", row.name));
    let mut object = Object::new(kind, desc, row.name);
    object.namespace = row.namespace.unwrap_or_default();
    object.owner = row.owner.unwrap_or_default();
    object.body = Body::Text(row.create);
    object.drop = row.drop.unwrap_or_else(|| format!("DROP {};\n", row.reference));
    let id = graph.add(key, object);
    if !row.reference.is_empty() {
        graph.refer(key, id, row.reference, label);
    }
    Some(id)
}
