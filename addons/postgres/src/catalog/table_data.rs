//! Which rows are dumped, and how they are asked for. Those of foreign tables are not: they live in another place.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use crate::entry::DataSource;

use super::Error;
use super::columns::Column;
use super::object::{Graph, Id, Key, Kind, Object, class};
use super::reader::Reader;
use super::relations::Relation;
use super::sequences;

/// Tables (and sequences) of extensions whose rows a user may have changed: the extension says so, with a condition.
const CONFIGURATION: &str = "
    SELECT e.oid::int8 AS extension, c.oid::int8 AS oid, c.relkind, n.nspname AS namespace, c.relname AS name,
           format('%I.%I', n.nspname, c.relname) AS ident, pg_get_userbyid(c.relowner) AS owner, condition,
           quote_literal(format('%I.%I', n.nspname, c.relname)) AS literal,
           greatest(c.relpages, 0)::int8 * current_setting('block_size')::int8 AS estimated_bytes
    FROM pg_extension e CROSS JOIN LATERAL unnest(e.extconfig, e.extcondition) AS config(relation, condition)
    JOIN pg_class c ON c.oid = config.relation JOIN pg_namespace n ON n.oid = c.relnamespace";

#[derive(Deserialize)]
struct Configuration {
    extension: u32,
    oid: u32,
    relkind: String,
    namespace: String,
    name: String,
    ident: String,
    owner: String,
    condition: Option<String>,
    literal: String,
    estimated_bytes: u64,
}

pub(super) async fn read(
    reader: &mut Reader<'_>,
    graph: &mut Graph,
    relations: &[Relation],
    columns: &HashMap<u32, Vec<Column>>,
) -> Result<(), Error> {
    for relation in relations.iter().filter(|relation| relation.relkind == "r") {
        let Some(table) = graph.find(Key::new(class::CLASS, relation.oid)) else { continue };
        let (namespace, name) = (relation.namespace.clone(), relation.name.clone());
        let of = columns.get(&relation.oid);
        let rows = Rows {
            namespace,
            name,
            ident: &relation.ident,
            owner: &relation.owner,
            condition: "",
            estimated_bytes: relation.estimated_bytes,
        };
        rows.add(graph, of.map_or(&[], Vec::as_slice), table);
    }
    let mut members = BTreeMap::new();
    for member in reader.select::<Configuration>("configuration of extensions", CONFIGURATION).await? {
        let Some(extension) = graph.find(Key::new(class::EXTENSION, member.extension)) else { continue };
        if member.relkind == "S" {
            members.insert(member.oid, (extension, member));
            continue;
        }
        let of = columns.get(&member.oid);
        let condition = member.condition.unwrap_or_default();
        let rows = Rows {
            namespace: member.namespace,
            name: member.name,
            ident: &member.ident,
            owner: &member.owner,
            condition: condition.trim(),
            estimated_bytes: member.estimated_bytes,
        };
        rows.add(graph, of.map_or(&[], Vec::as_slice), extension);
    }
    let idents = members.values().map(|(_, member)| (member.oid, member.ident.as_str()));
    for (oid, value) in sequences::values(reader, idents).await? {
        if let Some((extension, member)) = members.get(&oid) {
            sequences::set(graph, &member.namespace, &member.name, &member.owner, &member.literal, &value, *extension);
        }
    }
    Ok(())
}

struct Rows<'a> {
    namespace: String,
    name: String,
    ident: &'a str,
    owner: &'a str,
    /// `WHERE …`, or empty for all rows.
    condition: &'a str,
    estimated_bytes: u64,
}

impl Rows<'_> {
    fn add(self, graph: &mut Graph, columns: &[Column], table: Id) {
        let copied: Vec<&Column> = columns.iter().filter(|column| column.generated.is_empty()).collect();
        let idents = copied.iter().map(|column| column.ident.as_str()).collect::<Vec<_>>().join(", ");
        let list = if idents.is_empty() { String::new() } else { format!(" ({idents})") };
        let copy_out = if self.condition.is_empty() {
            format!("COPY {}{list} TO STDOUT", self.ident)
        } else {
            format!("COPY (SELECT {idents} FROM {} {}) TO STDOUT", self.ident, self.condition)
        };
        let mut object = Object::new(Kind::TableData, "TABLE DATA", &self.name);
        object.namespace.clone_from(&self.namespace);
        object.owner = self.owner.to_owned();
        object.copy = format!("COPY {}{list} FROM stdin;\n", self.ident);
        object.needs.insert(table);
        object.data = Some(DataSource {
            schema: self.namespace,
            name: self.name,
            estimated_bytes: self.estimated_bytes,
            copy_out,
        });
        graph.add_extra(object);
    }
}
