//! Tables and foreign tables: columns, defaults, check constraints, partitions, settings.

use std::collections::HashMap;
use std::fmt::Write;

use super::columns::{self, Column};
use super::constraints::Check;
use super::object::{Body, Graph, Id, Item, Key, Kind, Object, Shape, class};
use super::relations::Relation;

/// Adds every table; `checks` are the constraints by relation.
pub(super) fn add(
    graph: &mut Graph,
    relations: &[Relation],
    columns: &HashMap<u32, Vec<Column>>,
    checks: &HashMap<u32, Vec<Check>>,
) {
    let mut attached = Vec::new();
    for relation in relations.iter().filter(|relation| relation.is_table()) {
        let columns = columns.get(&relation.oid).map_or(&[][..], Vec::as_slice);
        let id = table(graph, relation, columns, checks.get(&relation.oid).map_or(&[][..], Vec::as_slice));
        columns::defaults(graph, relation, id, columns);
        if relation.is_partition() {
            attached.push((relation, id));
        }
    }
    for (relation, id) in attached {
        attach(graph, relation, id);
    }
}

fn table(graph: &mut Graph, relation: &Relation, columns: &[Column], checks: &[Check]) -> Id {
    let keyword = relation.keyword();
    let mut object = Object::new(Kind::Table, keyword, &relation.name);
    object.namespace = relation.namespace.clone();
    object.owner = relation.owner.clone();
    object.tablespace = relation.tablespace.clone().unwrap_or_default();
    // default_table_access_method does not reach partitioned tables before 17; a statement after CREATE does.
    object.access_method = relation.access_method.clone().filter(|_| relation.relkind == "r").unwrap_or_default();
    object.drop = format!("DROP {keyword} {};\n", relation.ident);

    let mut head = format!("CREATE {}{keyword} {}", if relation.unlogged { "UNLOGGED " } else { "" }, relation.ident);
    if let Some(of_type) = &relation.of_type {
        // Writing to a String cannot fail.
        let _ = write!(head, " OF {of_type}");
    }
    let mut items = Vec::new();
    for column in columns {
        items.extend(definition(graph, relation, column).map(Item::Text));
    }
    let key = Key::new(class::CLASS, relation.oid);
    let id = graph.add(key, object);
    for check in checks {
        items.extend(check.add(graph, relation, id));
    }
    let shape = if relation.of_type.is_some() { Shape::Options } else { Shape::Columns };
    if let Some(object) = graph.objects.get_mut(id) {
        object.body = Body::List { head, items, shape, tail: tail(relation, columns) };
    }
    graph.refer(key, id, format!("{keyword} {}", relation.ident), format!("{keyword} {}", relation.name));
    id
}

/// One line of CREATE TABLE; none for a column that comes from elsewhere as it is.
fn definition(graph: &Graph, relation: &Relation, column: &Column) -> Option<String> {
    if !column.is_listed(relation) {
        return None;
    }
    let mut text = column.ident.clone();
    let bare = text.len();
    if relation.of_type.is_none() {
        let _ = write!(text, " {}", column.data_type);
        if let Some(options) = &column.fdw_options {
            let _ = write!(text, " {options}");
        }
        if let Some(collation) = &column.collation {
            let _ = write!(text, " COLLATE {collation}");
        }
    } else {
        text.push_str(" WITH OPTIONS");
    }
    let typed = text.len();
    if column.is_default_inline(graph, relation) {
        text.push_str(&column.default_clause());
    }
    if let Some(not_null) = &column.not_null {
        let _ = write!(text, " {not_null}");
    }
    // A typed table lists a column only to add something to it.
    (relation.of_type.is_none() || text.len() > typed.max(bare)).then_some(text)
}

/// What follows the columns, up to the statements that need the table to exist.
fn tail(relation: &Relation, columns: &[Column]) -> String {
    let ident = &relation.ident;
    let mut tail = String::new();
    if !relation.parents.is_empty() && !relation.is_partition() {
        let _ = write!(tail, "\nINHERITS ({})", relation.parents.join(", "));
    }
    if let Some(key) = &relation.partition_key {
        let _ = write!(tail, "\nPARTITION BY {key}");
    }
    if let Some(server) = &relation.server {
        let _ = write!(tail, "\n{server}");
    }
    if let Some(options) = &relation.options {
        let _ = write!(tail, "\nWITH ({options})");
    }
    tail.push(';');
    tail.push_str(&columns::settings(relation, columns));
    if let Some(method) = relation.access_method.as_ref().filter(|_| relation.relkind == "p") {
        let _ = write!(tail, "\nALTER TABLE ONLY {ident} SET ACCESS METHOD {method};");
    }
    match relation.replica_identity.as_str() {
        _ if relation.relkind == "f" => {}
        "n" => drop(write!(tail, "\nALTER TABLE ONLY {ident} REPLICA IDENTITY NOTHING;")),
        "f" => drop(write!(tail, "\nALTER TABLE ONLY {ident} REPLICA IDENTITY FULL;")),
        _ => {}
    }
    if relation.force_row_security {
        let _ = write!(tail, "\nALTER TABLE ONLY {ident} FORCE ROW LEVEL SECURITY;");
    }
    tail
}

/// A partition is made as a table of its own, with its own column order, and then attached.
fn attach(graph: &mut Graph, relation: &Relation, id: Id) {
    let (Some(bound), Some(parent), Some(parent_oid)) =
        (&relation.bound, relation.parents.first(), relation.parent_oids.first())
    else {
        return;
    };
    let mut object = Object::new(Kind::TableAttach, "TABLE ATTACH", &relation.name);
    object.namespace = relation.namespace.clone();
    object.owner = relation.owner.clone();
    object.body = Body::Text(format!("ALTER TABLE ONLY {parent} ATTACH PARTITION {} {bound};", relation.ident));
    object.needs.insert(id);
    object.needs.extend(graph.find(Key::new(class::CLASS, *parent_oid)));
    graph.add_extra(object);
}
